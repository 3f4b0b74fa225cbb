"""What a router's own configuration says of its neighbours: the values that every reader of configurations gives.

A reader (``daemons.bird_reading``, ``daemons.frr_reading``) says only what stands in the file. What a neighbour is
taken for is judged elsewhere (``surround_relation``), where it is put likewise (``surround_place``).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peerlab.bgp.attributes import BgpRole, Family, Prefix


class Reach(StrEnum):
    """How much a policy lets through. ``all`` includes "all but what hygiene rejects"."""

    ALL = "all"
    SOME = "some"
    NONE = "none"
    UNKNOWN = "unknown"


class PolicyReading(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a neighbour's policy: as much of it as can be told without running it.

    ``prefixes`` are those it accepts by name, ``default`` whether the default route goes through because it is named,
    ``names`` the filters, route-maps and prefix lists.
    """

    reach: Reach = Reach.UNKNOWN
    prefixes: tuple[Prefix, ...] = ()
    default: bool = False
    names: tuple[str, ...] = ()


class NeighbourReading(msgspec.Struct, frozen=True, kw_only=True):
    """One neighbour statement. None and empty: the configuration does not say it.

    ``asn`` None is "any other AS", as FRR's ``remote-as external``. ``groups`` are templates and peer groups, nearest
    first. ``family`` is that of the addresses; ``carries`` the families that are exchanged. ``keeps`` the
    families whose routes the router keeps as it received them. ``limits`` are what this
    router accepts at most. ``internal`` is iBGP. ``unchecked_first_as``: the leftmost AS may be another one than the
    neighbour's, which only route servers need (RFC 7947 section 2.2.2.1).
    """

    name: str
    line: int
    asn: int | None
    address: str | None
    family: Family | None
    carries: tuple[Family, ...]
    keeps: tuple[Family, ...] = ()
    local_asn: int | None = None
    local_address: str | None = None
    internal: bool = False
    description: str = ""
    groups: tuple[str, ...] = ()
    role: BgpRole | None = None
    role_strict: bool = False
    route_server_client: bool = False
    reflector_client: bool = False
    unchecked_first_as: bool = False
    multihop: bool = False
    passive: bool = False
    disabled: bool = False
    gtsm: bool = False
    bfd: bool = False
    md5: str | None = None
    hold_time: int | None = None
    limits: dict[Family, int] = {}
    imports: dict[Family, PolicyReading] = {}
    exports: dict[Family, PolicyReading] = {}


class RouterReading(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration. ``addresses`` are the router's own with length, where they are stated.

    ``skipped`` says in words what of the file could not be used, each with its line.
    """

    daemon: str
    source: str
    name: str
    asn: int
    router_id: str | None
    addresses: tuple[str, ...]
    originated: tuple[Prefix, ...]
    neighbours: tuple[NeighbourReading, ...]
    skipped: tuple[str, ...] = ()
