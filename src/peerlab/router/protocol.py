"""What the controller and a router process say to each other, over the router's Unix socket.

Frames: 4 octets of length (network order), then one JSON object. A request has ``id`` and ``do``; its answer has the
same ``id`` and either ``answer`` or ``refused`` (text). After ``subscribe`` the router also sends ``{"notice": …}``
frames (``evidence.events.SessionStateChanged``, ``RouterNotice``) in order. Any number of clients may be connected.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, BgpRole, Family, PathAttributes, Prefix
from peerlab.bgp.policy import Policy


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session as the router that runs it must know it. ``session`` is the model's session id.

    ``hold_time`` seconds. ``max_prefix`` counts routes pre-policy and ends the session with Cease/1 (RFC 4486).
    ``relation`` is what the remote AS is to us; ``local_role`` is announced when set (RFC 9234) and OTC follows it.
    ``multihop`` is True for sessions between loopbacks.
    """

    session: str
    peer: str
    family: Family
    local_address: Address
    peer_address: Address
    local_as: int
    peer_as: int
    import_policy: str
    export_policy: str
    relation: str = "peer"
    local_role: BgpRole | None = None
    role_strict: bool = False
    hold_time: int = 9
    md5: str | None = None
    gtsm: bool = False
    passive: bool = False
    multihop: bool = False
    max_prefix: int | None = None
    route_reflector_client: bool = False
    route_server_client: bool = False
    enforce_first_as: bool = True
    next_hop_self: bool = False
    interface: str | None = None


class IgpInterface(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An interface on which the node's link-state IGP runs."""

    name: str
    cost: int
    address_v4: Address | None = None
    address_v6: Address | None = None


class RouterConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything one router process is told at birth (``router.json`` in its directory, beside ``exabgp.conf``)."""

    node: str
    asn: int
    router_id: Address
    directory: str
    loopback_v4: Address | None = None
    loopback_v6: Address | None = None
    originate: tuple[Prefix, ...] = ()
    peers: tuple[PeerConfig, ...] = ()
    policies: dict[str, Policy] = {}
    igp: tuple[IgpInterface, ...] = ()
    cluster_id: Address | None = None
    route_server: bool = False
    install_routes: bool = True
    med_across_ases: bool = False


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", omit_defaults=True):
    id: int = 0


class ReadSessions(_Request, frozen=True, kw_only=True, tag="read-sessions"):
    """Answer: list of ``evidence.snapshot.SessionFact``."""


class ReadRib(_Request, frozen=True, kw_only=True, tag="read-rib"):
    """Answer: list of ``RouteFact``. ``view``: adj-rib-in-pre, adj-rib-in-post, loc-rib, adj-rib-out.

    ``session`` is required for all but loc-rib. ``prefix`` narrows to one prefix.
    """

    view: str
    session: str | None = None
    prefix: Prefix | None = None


class Explain(_Request, frozen=True, kw_only=True, tag="explain"):
    """Answer: ``Explanation`` for one prefix: every candidate, the step that eliminated each, and every rejection."""

    prefix: Prefix


class SetPolicy(_Request, frozen=True, kw_only=True, tag="set-policy"):
    """Put policies in force for all named sessions in one atomic step, without a reset. Answer: true.

    ``policies`` are added to (or replace) the router's table. ``peers`` maps session to (import, export) names.
    """

    policies: dict[str, Policy] = {}
    peers: dict[str, tuple[str, str]] = {}


class AddPeers(_Request, frozen=True, kw_only=True, tag="add-peers"):
    """Provision sessions on a running router; others are not touched. Answer: true."""

    peers: tuple[PeerConfig, ...]
    policies: dict[str, Policy] = {}


class RemovePeers(_Request, frozen=True, kw_only=True, tag="remove-peers"):
    """Deprovision: Cease/3 with ``communication`` (RFC 9003), routes gone, configuration gone. Answer: true."""

    sessions: tuple[str, ...]
    communication: str = ""


class ShutSession(_Request, frozen=True, kw_only=True, tag="shut-session"):
    """Administrative shutdown (Cease/2) or, with ``reset``, a hard reset (Cease/4) that comes back by itself."""

    session: str
    reset: bool = False
    communication: str = ""


class OpenSession(_Request, frozen=True, kw_only=True, tag="open-session"):
    """End an administrative shutdown."""

    session: str


class RefreshSession(_Request, frozen=True, kw_only=True, tag="refresh-session"):
    """Send ROUTE-REFRESH to the peer (RFC 2918)."""

    session: str


class Originate(_Request, frozen=True, kw_only=True, tag="originate"):
    """Originate a prefix into BGP with these attributes (AS_PATH as given is put behind the local AS on eBGP)."""

    prefix: Prefix
    attributes: PathAttributes = PathAttributes()
    blackhole: bool = True


class WithdrawOrigin(_Request, frozen=True, kw_only=True, tag="withdraw-origin"):
    """Stop originating a prefix."""

    prefix: Prefix


class Announce(_Request, frozen=True, kw_only=True, tag="announce"):
    """Send a route to one session past all policy, attributes untouched (a stimulus: a leak, a hijack)."""

    session: str
    prefixes: tuple[Prefix, ...]
    attributes: PathAttributes


class Withdraw(_Request, frozen=True, kw_only=True, tag="withdraw"):
    """Withdraw what ``announce`` sent, past all policy."""

    session: str
    prefixes: tuple[Prefix, ...]


class SendRaw(_Request, frozen=True, kw_only=True, tag="send-raw"):
    """Write these octets (hex, whole BGP messages) on an Established session."""

    session: str
    message: str


class Subscribe(_Request, frozen=True, kw_only=True, tag="subscribe"):
    """From now on send notices on this connection; the answer is the current list of ``SessionFact``."""


class WaitFor(_Request, frozen=True, kw_only=True, tag="wait-for"):
    """Answer true as soon as the condition holds, or false after ``within`` seconds.

    ``what``: ``established``, ``down``, ``end-of-rib`` (received) for ``session``; ``best``, ``no-best`` for ``prefix``
    (with ``session`` set: best learned on that session); ``quiet`` = nothing queued to send or to decide.
    """

    what: str
    within: float
    session: str | None = None
    prefix: Prefix | None = None


Request = (
    ReadSessions
    | ReadRib
    | Explain
    | SetPolicy
    | AddPeers
    | RemovePeers
    | ShutSession
    | OpenSession
    | RefreshSession
    | Originate
    | WithdrawOrigin
    | Announce
    | Withdraw
    | SendRaw
    | Subscribe
    | WaitFor
)


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path that was considered for a prefix. ``eliminated_by`` is a decision step, '' for the winner."""

    session: str | None
    peer: str | None
    attributes: PathAttributes
    accepted: bool
    rejected_by: str = ""
    eliminated_by: str = ""
    best: bool = False
    igp_metric: int | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a prefix is routed as it is at one node."""

    node: str
    prefix: Prefix
    candidates: tuple[Candidate, ...]
