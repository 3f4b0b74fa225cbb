"""One observation model for every daemon: sessions, the four RIBs, and the node's kernel, at one moment."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.config import BfdConfig
from peerlab.bgp.route_fact import RouteFact as RouteFact
from peerlab.bgp.rtr_config import RtrServer


class BfdFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """BFD of a session as one end reports it. ``state`` and ``remote_state``: AdminDown, Down, Init or Up (RFC 5880).

    ``interval_ms`` is what is sent by, before jitter; ``detection_ms`` the silence that counts as a failure (0: nothing
    has come yet). ``waits``: the session is Established and its routes wait for BFD. ``config`` is what was asked for.
    A daemon that does not tell one of these leaves it out.
    """

    state: str
    remote_state: str = ""
    diagnostic: str = ""
    since: int = 0
    interval_ms: int = 0
    detection_ms: int = 0
    config: BfdConfig = BfdConfig()
    waits: bool = False


class SessionFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session as one end reports it. ``state`` is the FSM's name: Idle … Established (RFC 4271 section 8.2.2).

    ``hold_time``/``keepalive`` are negotiated seconds (0 = off). ``capabilities`` are the names both sides offered.
    Counters: ``received`` routes in Adj-RIB-In pre-policy, ``accepted`` post-policy, ``advertised`` in Adj-RIB-Out.
    ``bfd`` is None for a session without BFD.
    """

    session: str
    node: str
    peer: str
    family: Family
    state: str
    since: int = 0
    local_address: Address
    peer_address: Address
    local_as: int
    peer_as: int
    hold_time: int = 0
    keepalive: int = 0
    capabilities_sent: tuple[str, ...] = ()
    capabilities_received: tuple[str, ...] = ()
    local_role: str | None = None
    peer_role: str | None = None
    received: int = 0
    accepted: int = 0
    advertised: int = 0
    flaps: int = 0
    last_error: str = ""
    stage: str | None = None
    import_policy: str = ""
    export_policy: str = ""
    bfd: BfdFact | None = None


class CacheFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a router stands with an RPKI cache (RFC 8210). ``vrps`` None: it has no usable data of it.

    ``used``: origins are validated by its data. ``expires_in`` seconds; None without data.
    """

    name: str
    state: str
    preference: int = 1
    version: int = 1
    session: int | None = None
    serial: int = 0
    vrps: int | None = None
    used: bool = False
    expires_in: float | None = None
    problem: str = ""


class ValidationFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a router validates origins by: how many VRPs, their ``bgp.origin_validation.digest``, and its caches."""

    vrps: int = 0
    digest: str = ""
    servers: tuple[RtrServer, ...] = ()
    caches: tuple[CacheFact, ...] = ()


class KernelRoute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A route of the node's kernel (main table). ``protocol`` is the kernel's number (186 = bgp)."""

    prefix: Prefix
    gateway: Address | None = None
    interface: str | None = None
    metric: int = 0
    protocol: int = 0
    kind: str = "unicast"


class NodeSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node at one moment. RIB tuples are keyed by session id; ``adj_rib_in`` holds accepted and rejected alike."""

    node: str
    sessions: tuple[SessionFact, ...] = ()
    adj_rib_in_pre: dict[str, tuple[RouteFact, ...]] = {}
    adj_rib_in_post: dict[str, tuple[RouteFact, ...]] = {}
    loc_rib: tuple[RouteFact, ...] = ()
    adj_rib_out: dict[str, tuple[RouteFact, ...]] = {}
    kernel: tuple[KernelRoute, ...] = ()
    addresses: dict[str, tuple[str, ...]] = {}
    carrier: dict[str, bool] = {}
    dead: str = ""
    """Why nothing is known of it: its router process does not run (no sessions, no RIBs), or it is not built."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole lab at one moment, under a label (``under-deny``, ``allowed``, ``primary-lost``…)."""

    label: str
    at: int
    nodes: dict[str, NodeSnapshot]
