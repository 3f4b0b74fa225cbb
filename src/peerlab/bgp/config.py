"""What a speaker is told: its own identity and one ``PeerConfig`` per session.

Lives in layer 0 because the pure speaker reads it; ``router.protocol`` re-exports the names for the wire between
controller and router.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, BgpRole, Family, Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.policy import Policy
from peerlab.bgp.rtr_config import RtrServer


class BfdConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """BFD for one session (RFC 5880, 5881, 5882): an interval in milliseconds, sent and demanded alike.

    ``strict``: no route is exchanged before BFD is Up; without it BFD only ends a session whose path fails.
    """

    interval_ms: int = 300
    multiplier: int = 3
    strict: bool = False


class GracefulRestart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Graceful restart of one session (RFC 4724), as restarting and as receiving speaker.

    ``restart_time``: seconds, 1 to 4095, that this end asks its peer to keep its routes for, should it restart.
    """

    restart_time: int = 120


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session as the router that runs it must know it. ``session`` is the model's session id.

    ``hold_time`` seconds. ``max_prefix`` counts routes pre-policy and ends the session with Cease/1 (RFC 4486).
    ``relation`` is what the remote AS is to us; ``local_role`` is announced when set (RFC 9234) and OTC follows it.
    ``multihop`` is True for sessions between loopbacks. ``four_octet_as`` False leaves capability 65 out: an OLD
    speaker in the words of RFC 6793, whose own AS number has to fit two octets.

    An end that is not ``passive`` opens the connection; with ``listening`` it takes one besides, as routers outside of
    a laboratory do, and collisions are resolved (RFC 4271 section 6.8). ``send_hold_time`` is how many seconds nothing
    may get through to the peer before the session ends (RFC 9687), None for the RFC's default. ``bfd`` None: nothing
    but BGP watches over the session. ``graceful_restart`` None: the capability is not announced.
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
    four_octet_as: bool = True
    listening: bool = False
    send_hold_time: float | None = None
    bfd: BfdConfig | None = None
    graceful_restart: GracefulRestart | None = None


class IgpInterface(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An interface on which the node's link-state IGP runs."""

    name: str
    cost: int
    address_v4: Address | None = None
    address_v6: Address | None = None


class OwnConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """An engineer's own configuration of a router: the file as the topology names it, and its text, octet for octet."""

    file: str
    text: str


class RouterConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything one router process is told at birth (``router.json`` in its directory, beside ``exabgp.conf``).

    ``vrps`` are validated ROA payloads that ``RpkiIs`` conditions judge by (RFC 6811), besides what ``caches`` tell
    over RTR (RFC 8210). ``kind`` names the daemon that speaks BGP here (``topology.model.NodeKind``).
    With ``own`` the daemon runs that text: ``peers`` are then the sessions that the laboratory knows of, and
    ``policies`` only have names.
    """

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
    vrps: tuple[Vrp, ...] = ()
    caches: tuple[RtrServer, ...] = ()
    kind: str = "exabgp"
    own: OwnConfiguration | None = None
