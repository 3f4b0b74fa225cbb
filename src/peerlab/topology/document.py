"""The topology language, declared once: what a file may say, before anything is derived from it.

``schema`` makes the validating pydantic models and the published JSON Schema out of these structs (keys are written
with hyphens in YAML: ``hold_time`` is ``hold-time``; the docstring under a field is its description in the editor).
``resolve`` turns a ``Document`` into the ``LabModel``. Order matters nowhere except in deriving addresses and names.
"""

from __future__ import annotations

from typing import NewType

import msgspec

from peerlab.bgp.attributes import Address, BgpRole, Family, Prefix
from peerlab.bgp.policy import LearnedFrom, Verdict
from peerlab.evidence.story import Moment
from peerlab.topology.model import AsRole, NodeKind, PeeringKind, RuntimeKind

Name = NewType("Name", str)
"""A name in the lab: 1 to 32 of a-z, 0-9 and hyphen."""

Asn = NewType("Asn", int)
"""An AS number, 1 to 4294967294."""

InterfaceAddress = NewType("InterfaceAddress", str)
"""An address with its prefix length, e.g. ``192.0.2.1/31``; host bits are kept."""

CommunityText = NewType("CommunityText", str)
"""A community ``a:b``, a large one ``a:b:c``; as a pattern any field may be ``*``."""

RangeText = NewType("RangeText", str)
"""A prefix and the lengths meant under it: ``198.18.0.0/16``, ``198.18.0.0/16 le 24``, ``… ge 20 le 24``."""

NO_IMAGE = "none"
"""The word for a router that runs in a namespace although the lab runs in containers."""

NO_BACKUP = "none"
"""The word for a Peering Service connection whose backup is the internet."""


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    pass


class MetroWords(_Words, frozen=True, kw_only=True):
    """A metropolitan area with a peering location."""

    location: str
    """Microsoft's name of the peering location, e.g. Amsterdam."""
    region: str = ""
    """Azure region nearest to it, e.g. westeurope."""


class RouterWords(_Words, frozen=True, kw_only=True):
    """A router. Everything about it can be derived; what is stated here is pinned."""

    kind: NodeKind = NodeKind.EXABGP
    """The daemon that runs on it."""
    image: str | None = None
    """The container image it runs in, or none for a network namespace; derived from runtime."""
    config: str | None = None
    """A configuration of your own that it runs as it is (kinds bird and frr): a path from this file's directory. A
    lab's own copy of a topology has the file's text behind the path's line."""
    metro: Name | None = None
    """The metro it stands in."""
    originates: tuple[Prefix, ...] | None = None
    """Prefixes of its AS that this router originates; without this key: all of them."""
    router_id: Address | None = None
    """BGP identifier; derived: the IPv4 loopback."""
    loopback_v4: Address | None = None
    """IPv4 loopback; derived from the AS's infrastructure."""
    loopback_v6: Address | None = None
    """IPv6 loopback; derived from the AS's infrastructure."""


class HostWords(_Words, frozen=True, kw_only=True):
    """An end system behind a router of its AS, source and sink of probes."""

    router: Name
    """The router that is its default gateway."""
    v4: InterfaceAddress | None = None
    """Its IPv4 address with length, e.g. 198.18.0.2/30; derived from the prefixes its router originates."""
    v6: InterfaceAddress | None = None
    """Its IPv6 address with length; derived likewise."""


class CacheWords(_Words, frozen=True, kw_only=True):
    """An RPKI cache behind a router of its AS. All routers of the AS ask it by RTR (RFC 8210); it begins with the ROAs
    of the registry."""

    router: Name
    """The router that it is wired to."""
    kind: NodeKind = NodeKind.RPKI_CACHE
    """rpki-cache, which comes with peerlab, or stayrtr where that is installed."""
    preference: int = 1
    """0 to 255, lower is preferred; caches of one preference are believed together."""
    refresh: int = 3600
    """Seconds after which routers ask again."""
    retry: int = 600
    """Seconds after which routers ask again when a question failed."""
    expire: int = 7200
    """Seconds after which routers forget what they were told, unless they are told again."""


class BackboneWords(_Words, frozen=True, kw_only=True):
    """A link inside an AS, on which the IGP runs."""

    between: tuple[Name, ...]
    """The two routers."""
    cost: int = 10
    """IGP cost, both ways unless cost-back is given."""
    cost_back: int | None = None
    """IGP cost from the second router to the first."""
    v4: Prefix | None = None
    """IPv4 prefix of the link, /30 or /31; derived from the AS's infrastructure."""
    v6: Prefix | None = None
    """IPv6 prefix of the link, /64 to /127; derived likewise."""
    delay_ms: float | None = None
    """One-way delay in milliseconds, where the kernel can shape."""


class AsWords(_Words, frozen=True, kw_only=True):
    """An autonomous system: its routers, its links inside, and from whom it buys or with whom it peers."""

    asn: Asn
    """AS number; use 8075 for Microsoft and 64496-64511 or 65536-65551 (RFC 5398) for the others."""
    role: AsRole
    """What it is in the story."""
    prefixes: tuple[Prefix, ...] = ()
    """What it originates, IPv4 and IPv6. Hosts live in these."""
    infrastructure: tuple[Prefix, ...] = ()
    """Space for loopbacks and links, at most one IPv4 and one IPv6 prefix; derived from 198.19.0.0/16 and
    2001:db8:f000::/36."""
    routers: dict[str, RouterWords] = {}
    """Its routers. In an AS of role ixp every router is a route server."""
    hosts: dict[str, HostWords] = {}
    """Its end systems."""
    caches: dict[str, CacheWords] = {}
    """Its RPKI caches."""
    backbone: tuple[BackboneWords, ...] = ()
    """Links between its routers."""
    reflectors: tuple[Name, ...] = ()
    """Route reflectors (RFC 4456); without this key iBGP is a full mesh."""
    providers: tuple[Name, ...] = ()
    """ASes it buys transit from."""
    peers: tuple[Name, ...] = ()
    """ASes it peers with, settlement-free; saying it at one side is enough."""


class EndWords(_Words, frozen=True, kw_only=True):
    """What one router does on a session, where it differs from what its relation implies."""

    passive: bool | None = None
    """Only listen; the other end then connects. Exactly one end connects."""
    max_prefix_v4: int | None = None
    """End the IPv4 session with Cease/1 above so many routes."""
    max_prefix_v6: int | None = None
    """End the IPv6 session with Cease/1 above so many routes."""
    import_policy: str | None = None
    """A policy of this file (see policies) instead of the derived one."""
    export_policy: str | None = None
    """A policy of this file instead of the derived one."""
    local_pref: int | None = None
    """LOCAL_PREF of what is imported here, instead of the ladder's."""
    med: int | None = None
    """MULTI_EXIT_DISC of what is exported here."""
    prepend: int | None = None
    """Put the own AS so many more times in front of what is exported here."""
    communities: tuple[CommunityText, ...] = ()
    """Communities added to what is exported here."""
    role: BgpRole | None = None
    """BGP Role (RFC 9234) to announce instead of the one the relation implies."""
    role_strict: bool = False
    """Refuse a peer that announces no role."""


class BfdWords(_Words, frozen=True, kw_only=True):
    """BFD for a session (RFC 5880 to 5882). An empty ``bfd:`` means all of the defaults."""

    interval_ms: int = 300
    """Milliseconds between control packets, sent and demanded alike; 10 to 60000."""
    multiplier: int = 3
    """How many of the other end's packets may be missing before the path counts as broken; 1 to 255."""
    strict: bool | None = None
    """Exchange no route before BFD is Up; without this key: on connections of a Voice peering, and nowhere else."""


class GracefulRestartWords(_Words, frozen=True, kw_only=True):
    """Graceful restart of a session (RFC 4724), at both ends. Only routers of kind exabgp run it."""

    time: int = 120
    """Seconds that a router which restarts asks its peer to keep its routes for; 1 to 4095."""


class SessionWords(_Words, frozen=True, kw_only=True):
    """Options of the BGP sessions of a link, a LAN pair or a connection."""

    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    """Address families; each is a session of its own."""
    hold_time: int | None = None
    """Hold time in seconds, 0 or at least 3."""
    md5: str | None = None
    """TCP-MD5 key (RFC 2385), 1 to 80 characters. Microsoft does not support MD5."""
    gtsm: bool = False
    """Send TTL 255 and accept nothing less (RFC 5082)."""
    bfd: BfdWords | None = None
    """Watch over these sessions with BFD; without this key: only where Microsoft demands it, for Voice."""
    graceful_restart: GracefulRestartWords | None = None
    """Keep a peer's routes while its router restarts; without this key they go with the session."""
    ends: dict[str, EndWords] = {}
    """Options of one end, by router name."""


class LinkWords(_Words, frozen=True, kw_only=True):
    """A wire between routers of two ASes, with the eBGP sessions that their relation implies."""

    between: tuple[Name, ...]
    """The two routers."""
    v4: Prefix | None = None
    """IPv4 prefix of the link, /30 or /31; derived from the provider's (or first AS's) infrastructure."""
    v6: Prefix | None = None
    """IPv6 prefix of the link, /64 to /127; derived likewise."""
    delay_ms: float | None = None
    """One-way delay in milliseconds, where the kernel can shape."""
    bandwidth_mbps: int | None = None
    """Capacity in Mbit/s."""
    session: SessionWords = SessionWords()
    """Options of its sessions."""


class MemberWords(_Words, frozen=True, kw_only=True):
    """A router's port on an exchange LAN."""

    v4: Address | None = None
    """Its IPv4 address on the LAN; derived."""
    v6: Address | None = None
    """Its IPv6 address on the LAN; derived."""
    route_servers: bool | None = None
    """Whether it is a client of the route servers; without this key: yes, unless it is Microsoft's or one of them."""
    session: SessionWords = SessionWords()
    """Options of its sessions with the route servers."""


class BilateralWords(_Words, frozen=True, kw_only=True):
    """Sessions on the LAN between all routers of two member ASes that peer without the route servers."""

    between: tuple[Name, ...]
    """The two ASes."""
    session: SessionWords = SessionWords()
    """Options of these sessions."""


class ExchangeWords(_Words, frozen=True, kw_only=True):
    """An internet exchange: one peering LAN, and the route servers of its operator."""

    operator: Name | None = None
    """The AS of role ixp whose routers are the route servers here."""
    metro: Name | None = None
    """The metro it stands in."""
    v4: Prefix | None = None
    """IPv4 prefix of the LAN; derived."""
    v6: Prefix | None = None
    """IPv6 prefix of the LAN; derived."""
    members: dict[str, MemberWords] = {}
    """Routers with a port, by name; route servers have one anyhow."""
    bilateral: tuple[BilateralWords, ...] = ()
    """Pairs of ASes with sessions of their own. Those with Microsoft belong under peerings."""


class ConnectionWords(_Words, frozen=True, kw_only=True):
    """One connection asked of Microsoft. Direct: a physical interconnect. Exchange and IxRs: a place on a LAN."""

    between: tuple[Name, ...] | None = None
    """Direct: Microsoft's edge router and the peer's router. The wire is made by this; do not repeat it in links."""
    exchange: Name | None = None
    """Exchange and IxRs: the LAN."""
    router: Name | None = None
    """Exchange: the peer's router on that LAN; without this key the peer's only one."""
    prefix_v4: Prefix | None = None
    """Direct: session prefix, /30 or /31, the peer has the first usable address and Microsoft the next."""
    prefix_v6: Prefix | None = None
    """Direct: session prefix, /64 to /127, addresses likewise."""
    address_provider: str = "peer"
    """Who gives the session prefix: peer or microsoft."""
    bandwidth_mbps: int = 10000
    """A multiple of 10000 (Direct)."""
    max_prefixes_v4: int = 1000
    """How many IPv4 prefixes Microsoft shall accept at most."""
    max_prefixes_v6: int = 100
    """How many IPv6 prefixes Microsoft shall accept at most."""
    peering_service: bool = False
    """Use for Peering Service; always so for IxRs."""
    blackhole: bool = False
    """Both sides agreed on the BLACKHOLE community 65535:666 (RFC 7999): Microsoft's edge drops what
    is announced with it, inside prefixes that the peer may announce."""
    delay_ms: float | None = None
    """Direct: one-way delay in milliseconds, where the kernel can shape."""
    session: SessionWords = SessionWords()
    """Options of its sessions."""


class PeeringWords(_Words, frozen=True, kw_only=True):
    """A Microsoft.Peering peering as the peer requests it."""

    peer: Name
    """The AS that asks; the exchange's operator for IxRs."""
    metro: Name
    """The metro of all its connections."""
    kind: PeeringKind = PeeringKind.DIRECT
    """Direct or Exchange."""
    type: str = "Edge"
    """Direct peering type, e.g. Edge, or IxRs for AS8075 with exchange route server."""
    sku: str | None = None
    """SKU; derived from kind, type and use for Peering Service."""
    connections: dict[str, ConnectionWords]
    """Its connections."""
    registered_prefixes: dict[str, Prefix] = {}
    """Prefixes of customers that an ISP partner registers, by name."""
    registered_asns: dict[str, Asn] = {}
    """AS numbers of customers that an exchange partner registers, by name."""
    link_test: bool = True
    """Rehearse the optional link test in 169.254.0.0/16 (Direct)."""


class ServicePrefixWords(_Words, frozen=True, kw_only=True):
    """A customer's prefix under a Peering Service connection."""

    prefix: Prefix
    """The prefix."""
    key_from: str | None = None
    """PEERING/REGISTERED: the registered prefix or ASN whose key the customer was given."""
    key: str | None = None
    """A key written out, to rehearse a wrong one."""


class PeeringServiceWords(_Words, frozen=True, kw_only=True):
    """A Peering Service connection as the customer requests it."""

    customer: Name
    """The customer's AS."""
    provider: Name
    """The AS of the partner."""
    primary: Name
    """Metro of the primary location."""
    backup: Name
    """Metro of the backup location, or none: traffic then fails over to the internet."""
    prefixes: dict[str, ServicePrefixWords] = {}
    """The customer's prefixes, by name."""


class MatchWords(_Words, frozen=True, kw_only=True):
    """Conditions of a statement; all that are stated must hold."""

    prefix_in: tuple[RangeText, ...] | None = None
    """The prefix lies in one of these ranges."""
    prefix_not_in: tuple[RangeText, ...] | None = None
    """The prefix lies in none of these ranges."""
    as_path_contains: tuple[Asn, ...] | None = None
    """Any of these ASes is in the path."""
    origin_as_in: tuple[Asn, ...] | None = None
    """The path's origin is one of these."""
    first_as: Asn | None = None
    """The leftmost AS is this."""
    as_path_longer_than: int | None = None
    """The path has more ASes than this."""
    as_path_has_set: bool | None = None
    """The path holds an AS_SET."""
    as_path_prepended: bool | None = None
    """Some AS stands twice in a row."""
    community_in: tuple[CommunityText, ...] | None = None
    """Any community matches one of these patterns."""
    community_not_in: tuple[CommunityText, ...] | None = None
    """No community matches any of these patterns."""
    next_hop_in: tuple[Prefix, ...] | None = None
    """The next hop lies in one of these."""
    learned_from: tuple[LearnedFrom, ...] | None = None
    """How this router came to the route."""
    rpki: tuple[str, ...] | None = None
    """Origin validation state: valid, invalid, not-found."""


class ActionWords(_Words, frozen=True, kw_only=True):
    """What a statement that matched changes."""

    local_pref: int | None = None
    """Set LOCAL_PREF."""
    med: int | None = None
    """Set MULTI_EXIT_DISC."""
    add_communities: tuple[CommunityText, ...] = ()
    """Add these."""
    remove_communities: tuple[CommunityText, ...] = ()
    """Remove what matches these patterns."""
    prepend: int | None = None
    """Put the own AS so many times in front of the path."""


class StatementWords(_Words, frozen=True, kw_only=True):
    """One rule of a policy. Its name is what people read as the reason."""

    name: str
    """The reason, e.g. bogon prefix."""
    match: MatchWords = MatchWords()
    """Conditions, all required; none means every route."""
    set: ActionWords = ActionWords()
    """Changes."""
    then: Verdict = Verdict.NEXT
    """accept, reject, or next to go on."""


class RegistryWords(_Words, frozen=True, kw_only=True):
    """An IRR route object, and the VRP that goes with it."""

    prefix: Prefix
    """The prefix."""
    origin: Asn
    """The AS that may originate it."""
    max_length: int | None = None
    """maxLength of the VRP; without this key there is none."""


class StatementOfTrace(_Words, frozen=True, kw_only=True):
    """Where a route is looked for."""

    where: str
    """sent (on the wire from node to peer), pre-policy, post-policy, or best."""
    node: Name
    """The router."""
    prefix: Prefix
    """The prefix."""
    peer: Name | None = None
    """The router at the other end; for sent, pre-policy and post-policy."""
    as_path_contains: Asn | None = None
    """Only routes with this AS in the path."""
    community: CommunityText | None = None
    """Only routes with this community."""
    within: float | None = None
    """Seconds, for eventually."""
    until: Moment | None = None
    """The moment of the rehearsal up to which it must hold, for until."""


class ExpectWords(_Words, frozen=True, kw_only=True):
    """A sentence over the trace that must be true; exactly one of never, always, until, eventually."""

    name: str
    """The sentence in words, as the report shows it."""
    never: StatementOfTrace | None = None
    """At no time."""
    always: StatementOfTrace | None = None
    """From the first time it is true, without interruption."""
    until: StatementOfTrace | None = None
    """Up to a moment of the rehearsal."""
    eventually: StatementOfTrace | None = None
    """At some time, within so many seconds."""


class Document(_Words, frozen=True, kw_only=True):
    """A lab: who is in it, how they are wired, and what is asked of Microsoft."""

    name: Name
    """Name of the lab, 1 to 32 of a-z, 0-9 and hyphen."""
    description: str = ""
    """What is rehearsed, in a sentence."""
    runtime: RuntimeKind = RuntimeKind.NAMESPACES
    """Where routers run: in network namespaces, or each in a container of its kind's image."""
    hold_time: int = 9
    """Hold time of every session that does not state one, in seconds."""
    metros: dict[str, MetroWords] = {}
    """Metropolitan areas."""
    ases: dict[str, AsWords]
    """Autonomous systems."""
    exchanges: dict[str, ExchangeWords] = {}
    """Internet exchanges."""
    links: tuple[LinkWords, ...] = ()
    """Wires between ASes, other than Microsoft.Peering connections."""
    peerings: dict[str, PeeringWords] = {}
    """What peers request of Microsoft."""
    peering_services: dict[str, PeeringServiceWords] = {}
    """What customers request of Microsoft."""
    policies: dict[str, tuple[StatementWords, ...]] = {}
    """Policies of this lab, by name; what no statement decides is rejected."""
    registry: tuple[RegistryWords, ...] | None = None
    """The lab's routing registry; without this key: every AS's prefixes with their origin."""
    expect: tuple[ExpectWords, ...] = ()
    """Sentences that must be true of the rehearsal, beyond the built-in checks."""
    public_ranges: tuple[Prefix, ...] | None = None
    """Ranges that count as public in this lab; without this key the documentation and benchmarking ranges."""
