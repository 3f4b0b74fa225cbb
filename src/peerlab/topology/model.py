"""The frozen LabModel: everything a lab is, fully resolved. Every reader starts here.

Made by ``topology.resolve`` from the YAML; nothing in it is implicit any more: every address, router id, session
and policy has a value. Serialised with msgspec, it is what the lab keeps on disk as ``model.json``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peerlab.bgp.attributes import Address, BgpRole, Family, Prefix
from peerlab.bgp.config import BfdConfig, GracefulRestart, OwnConfiguration
from peerlab.bgp.policy import Policy


class AsRole(StrEnum):
    """What an autonomous system is in the story."""

    CLOUD = "cloud"
    ISP = "isp"
    IXP = "ixp"
    CUSTOMER = "customer"
    TRANSIT = "transit"
    OBSERVER = "observer"


class NodeKind(StrEnum):
    """What runs in a node. ``switch`` is a LAN's bridge, ``host`` an end system; ``rpki-cache`` is peerlab's own."""

    EXABGP = "exabgp"
    BIRD = "bird"
    FRR = "frr"
    OPENBGPD = "openbgpd"
    GOBGP = "gobgp"
    HOST = "host"
    RPKI_CACHE = "rpki-cache"
    STAYRTR = "stayrtr"
    SWITCH = "switch"


CACHE_KINDS = (NodeKind.RPKI_CACHE, NodeKind.STAYRTR)

WITH_OWN = (NodeKind.BIRD, NodeKind.FRR)
"""Kinds of routers that run an engineer's own configuration."""


class RuntimeKind(StrEnum):
    """Where routers run: in network namespaces, or in containers."""

    NAMESPACES = "namespaces"
    DOCKER = "docker"


class LinkPurpose(StrEnum):
    """Why a link exists. ``interconnect`` links carry eBGP, ``backbone`` links the IGP, ``access`` links hosts."""

    INTERCONNECT = "interconnect"
    BACKBONE = "backbone"
    ACCESS = "access"
    LAN = "lan"


class Relation(StrEnum):
    """What the remote AS is to the local one (Gao-Rexford); ``internal`` is iBGP."""

    CUSTOMER = "customer"
    PROVIDER = "provider"
    PEER = "peer"
    ROUTE_SERVER = "route-server"
    ROUTE_SERVER_CLIENT = "route-server-client"
    INTERNAL = "internal"


class PolicyStage(StrEnum):
    """Stage of a Microsoft session's policy (spec S3)."""

    DENY = "deny"
    ALLOW = "allow"


class AutonomousSystem(msgspec.Struct, frozen=True, kw_only=True):
    """An AS: ``prefixes`` are what it originates, ``infrastructure`` its own non-originated address space."""

    name: str
    asn: int
    role: AsRole
    prefixes: tuple[Prefix, ...] = ()
    infrastructure: tuple[Prefix, ...] = ()


class Metro(msgspec.Struct, frozen=True, kw_only=True):
    """A metropolitan area with a peering location; ``region`` is Azure's region name for it."""

    name: str
    peering_location: str
    region: str


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of a node. ``v4``/``v6`` are addresses with prefix length, e.g. ``192.0.2.1/31``."""

    name: str
    link: str
    mac: str
    v4: str | None = None
    v6: str | None = None
    igp_cost: int | None = None
    mtu: int = 1500


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A router, host or LAN switch.

    ``interfaces`` of a switch are its bridge ports. ``gateway_v4``/``gateway_v6`` are a host's default routers.
    ``originates`` are the prefixes this router originates into BGP (subset of its AS's).
    ``aggregates`` is empty unless stated. ``image`` is of the container it runs in, '' for a namespace.
    ``own`` is a configuration that the router runs as it is, in place of a rendered one.
    ``metro`` is None outside the cloud and IXPs when not given.
    """

    name: str
    kind: NodeKind
    as_name: str | None = None
    asn: int | None = None
    metro: str | None = None
    router_id: Address | None = None
    loopback_v4: Address | None = None
    loopback_v6: Address | None = None
    interfaces: tuple[Interface, ...] = ()
    originates: tuple[Prefix, ...] = ()
    gateway_v4: Address | None = None
    gateway_v6: Address | None = None
    route_server: bool = False
    image: str = ""
    own: OwnConfiguration | None = None

    @property
    def is_router(self) -> bool:
        return self.kind not in (NodeKind.HOST, NodeKind.SWITCH, *CACHE_KINDS)

    @property
    def is_cache(self) -> bool:
        return self.kind in CACHE_KINDS

    def interface(self, name: str) -> Interface:
        """The interface of that name. Raises KeyError."""
        for interface in self.interfaces:
            if interface.name == name:
                return interface
        raise KeyError(name)


class LinkEnd(msgspec.Struct, frozen=True, array_like=True):
    """One end of a link: node and interface name."""

    node: str
    interface: str


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A point-to-point wire. A LAN is a switch node with one such link per member."""

    id: str
    ends: tuple[LinkEnd, LinkEnd]
    purpose: LinkPurpose
    delay_ms: float | None = None
    bandwidth_mbps: int | None = None


class SessionEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a BGP session. ``interface`` None means the session runs from the loopback (iBGP)."""

    node: str
    asn: int
    address: Address
    interface: str | None = None
    role: BgpRole | None = None
    role_strict: bool = False
    passive: bool = False
    relation: Relation = Relation.PEER
    import_policy: str = "deny-all"
    export_policy: str = "deny-all"
    max_prefix: int | None = None
    route_reflector_client: bool = False
    next_hop_self: bool = False


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A BGP session, one address family each (AS8075 keeps v4 and v6 apart, spec M3).

    ``connection`` names ``PEERING/CONNECTION`` when the session belongs to a Microsoft.Peering connection: such a
    session does not exist on the cloud's edge until the turn-up provisions it. ``bfd`` and
    ``graceful_restart`` are those of both ends, None for a session without.
    """

    id: str
    family: Family
    left: SessionEnd
    right: SessionEnd
    hold_time: int = 9
    md5: str | None = None
    gtsm: bool = False
    connection: str | None = None
    bfd: BfdConfig | None = None
    graceful_restart: GracefulRestart | None = None

    @property
    def is_internal(self) -> bool:
        return self.left.asn == self.right.asn

    def end(self, node: str) -> SessionEnd:
        """The end at that node. Raises KeyError."""
        for end in (self.left, self.right):
            if end.node == node:
                return end
        raise KeyError(node)

    def other(self, node: str) -> SessionEnd:
        """The end that is not at that node. Raises KeyError."""
        if self.left.node == node:
            return self.right
        if self.right.node == node:
            return self.left
        raise KeyError(node)


class PeeringKind(StrEnum):
    """Microsoft.Peering ``kind``."""

    DIRECT = "Direct"
    EXCHANGE = "Exchange"


class ConnectionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One connection asked of Microsoft: a physical interconnect (Direct) or addresses on an IXP LAN (Exchange).

    ``edge``/``peer`` are node names; ``sessions`` are ids of model sessions (v4, v6; a route-server mesh has more).
    """

    name: str
    edge: str
    peer: str
    link: str | None
    session_prefix_v4: Prefix | None
    session_prefix_v6: Prefix | None
    microsoft_v4: Address | None
    microsoft_v6: Address | None
    peer_v4: Address | None
    peer_v6: Address | None
    sessions: tuple[str, ...]
    bandwidth_mbps: int = 10000
    max_prefixes_v4: int = 1000
    max_prefixes_v6: int = 100
    md5: str | None = None
    address_provider: str = "Peer"
    use_for_peering_service: bool = False
    blackhole: bool = False


class PeeringRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One Microsoft.Peering peering as the topology asks for it."""

    name: str
    kind: PeeringKind
    peer_as: str
    peer_asn: int
    metro: str
    peering_location: str
    direct_peering_type: str = "Edge"
    sku: str = "Basic_Direct_Free"
    connections: tuple[ConnectionRequest, ...] = ()
    registered_prefixes: tuple[tuple[str, Prefix], ...] = ()
    registered_asns: tuple[tuple[str, int], ...] = ()
    link_test: bool = True


class PeeringServicePrefixRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's prefix under a Peering Service; ``key_from`` is ``PEERING/REGISTERED`` whose key it uses."""

    name: str
    prefix: str
    key_from: str | None = None
    key: str | None = None


class PeeringServiceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A Peering Service connection; ``backup_metro`` None means the internet is the backup (spec S0)."""

    name: str
    customer_as: str
    provider_as: str
    primary_metro: str
    backup_metro: str | None
    prefixes: tuple[PeeringServicePrefixRequest, ...]


class RegistryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An IRR route object of the lab's registry, and the VRP that goes with it when ``max_length`` is set."""

    prefix: Prefix
    origin_asn: int
    max_length: int | None = None


class RpkiCache(msgspec.Struct, frozen=True, kw_only=True):
    """An RPKI cache: its node, the routers that ask it, and the seconds that it tells them (RFC 8210 section 6).

    It begins with the VRPs of the model's registry. A lower ``preference`` is preferred.
    """

    node: str
    serves: tuple[str, ...]
    preference: int = 1
    refresh: int = 3600
    retry: int = 600
    expire: int = 7200


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """An ``expect:`` statement of the topology: a sentence over the trace, kept as parsed data.

    ``quantifier`` is never|always|until|eventually; ``within`` seconds for eventually. ``where`` is
    ``sent`` (on the wire), ``pre-policy``, ``post-policy`` or ``best`` at ``node`` (and ``peer`` for sent).
    """

    name: str
    quantifier: str
    where: str
    node: str
    prefix: Prefix
    peer: str | None = None
    as_path_contains: int | None = None
    community: str | None = None
    within: float | None = None
    until: str | None = None


class LabModel(msgspec.Struct, frozen=True, kw_only=True):
    """A whole lab, resolved."""

    name: str
    description: str = ""
    ases: tuple[AutonomousSystem, ...] = ()
    metros: tuple[Metro, ...] = ()
    nodes: tuple[Node, ...] = ()
    links: tuple[Link, ...] = ()
    sessions: tuple[Session, ...] = ()
    policies: dict[str, Policy] = {}
    peerings: tuple[PeeringRequest, ...] = ()
    services: tuple[PeeringServiceRequest, ...] = ()
    registry: tuple[RegistryEntry, ...] = ()
    caches: tuple[RpkiCache, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    public_ranges: tuple[Prefix, ...] = ()
    """Documentation and benchmarking ranges that count as public inside this lab."""
    warnings: tuple[str, ...] = ()
    """What the topology says that is allowed but unwise, as sentences (e.g. MD5 towards Microsoft)."""

    def node(self, name: str) -> Node:
        """The node of that name. Raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def session(self, session_id: str) -> Session:
        """The session of that id. Raises KeyError."""
        for session in self.sessions:
            if session.id == session_id:
                return session
        raise KeyError(session_id)

    def sessions_of(self, node: str) -> tuple[Session, ...]:
        """Every session with an end at that node, in model order."""
        return tuple(s for s in self.sessions if node in (s.left.node, s.right.node))

    def validates(self, node: str) -> bool:
        """Whether a router asks an RPKI cache."""
        return any(node in cache.serves for cache in self.caches)

    def as_of(self, node: str) -> AutonomousSystem | None:
        """The AS a node belongs to; None for a switch."""
        wanted = self.node(node).as_name
        return next((a for a in self.ases if a.name == wanted), None)

    def cloud(self) -> AutonomousSystem | None:
        """The AS with role cloud, if the lab has one."""
        return next((a for a in self.ases if a.role is AsRole.CLOUD), None)
