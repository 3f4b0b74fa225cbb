"""The decision process: which path of a prefix is best, and by which step every other one lost (RFC 4271 section 9.1).

Steps eliminate from the whole set, one after the other, as section 9.1.2.2 words it. A pairwise comparison would be
wrong: MED is only compared between paths of the same neighbouring AS, so "better than" is not transitive and the
winner of a fold depends on the order of arrival.

``decide`` is the reading made for people and the oracle that other daemons are held against. ``choose`` gives the same
winner, without reasons, from keys computed once per path; a property test holds the two together.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache

import msgspec

from peerlab.bgp.attributes import Address, PathAttributes
from peerlab.bgp.next_hop import Resolution
from peerlab.bgp.policy import LearnedFrom

_NO_ADDRESS = Address("0.0.0.0")

DEFAULT_LOCAL_PREF = 100
"""Degree of preference of a path that carries no LOCAL_PREF."""


class Step(StrEnum):
    """The step that eliminated a path, in the order of the decision process."""

    UNRESOLVABLE = "next hop unreachable"
    """RFC 4271 section 9.1.2.1."""
    LOCAL_ORIGIN = "not locally originated"
    """What this router originates itself is preferred over what it hears, as every daemon does."""
    LOCAL_PREF = "lower LOCAL_PREF"
    """RFC 4271 section 9.1.1, degree of preference."""
    AS_PATH = "longer AS_PATH"
    """Section 9.1.2.2 a."""
    ORIGIN = "higher ORIGIN"
    """Section 9.1.2.2 b."""
    MED = "higher MED"
    """Section 9.1.2.2 c."""
    EBGP = "iBGP after eBGP"
    """Section 9.1.2.2 d."""
    IGP_METRIC = "farther next hop"
    """Section 9.1.2.2 e."""
    ROUTER_ID = "higher router id"
    """Section 9.1.2.2 f; ORIGINATOR_ID stands in for it (RFC 4456 section 9)."""
    CLUSTER_LIST = "longer CLUSTER_LIST"
    """RFC 4456 section 9, between f and g."""
    PEER_ADDRESS = "higher peer address"
    """Section 9.1.2.2 g."""


class DecisionProfile(msgspec.Struct, frozen=True):
    """What operators may turn. ``med_across_ases`` compares MED between different neighbouring ASes too."""

    med_across_ases: bool = False


class Path(msgspec.Struct, eq=False, gc=False):
    """One route for a prefix as the decision process sees it. Not to be changed; equal only to itself.

    ``session`` is None for a path that this router originates. ``router_id`` is the BGP Identifier of the peer, and
    becomes ORIGINATOR_ID where there is one. ``resolution`` None means that the next hop cannot be reached.
    ``blackhole``: packets that match nothing but this originated prefix are dropped here.

    The rest is computed: ``head``, ``med`` and ``tail`` are what the steps before, at and after MED compare, lower is
    better; MED is compared between paths of one ``neighbour`` AS. A path holds nothing that could hold it, so the
    garbage collector need not look at the hundreds of thousands that a full table has.
    """

    attributes: PathAttributes
    source: LearnedFrom
    session: str | None = None
    router_id: Address = _NO_ADDRESS
    peer_address: Address = _NO_ADDRESS
    resolution: Resolution | None = None
    blackhole: bool = False
    neighbour: int | None = None
    med: int = 0
    head: tuple[bool, bool, int, int, int] = (False, False, 0, 0, 0)
    tail: tuple[bool, int, int, int, int, str] = (False, 0, 0, 0, 0, "")

    def __post_init__(self) -> None:
        attributes, resolution = self.attributes, self.resolution
        if attributes.originator_id is not None:
            self.router_id = attributes.originator_id
        self.neighbour = attributes.first_as()
        self.med = attributes.med or 0
        local = self.source is LearnedFrom.LOCAL
        self.head = (
            resolution is None and not local,
            not local,
            -local_pref(attributes),
            attributes.path_length(),
            int(attributes.origin),
        )
        self.tail = (
            self.source is LearnedFrom.IBGP,
            0 if resolution is None else resolution.metric,
            _number(self.router_id),
            len(attributes.cluster_list),
            _number(self.peer_address),
            self.session or "",
        )

    def is_resolvable(self) -> bool:
        """Whether packets can leave this way; an originated path needs no next hop."""
        return not self.head[0]

    def resolved(self, resolution: Resolution | None) -> Path:
        """The same path after the way to its next hop changed."""
        return Path(
            self.attributes, self.source, self.session, self.router_id, self.peer_address, resolution, self.blackhole
        )


class Decision(msgspec.Struct, frozen=True):
    """``best`` is None when no path is resolvable. ``eliminated`` has every other path."""

    best: Path | None
    eliminated: Mapping[Path, Step]


def local_pref(attributes: PathAttributes) -> int:
    """Degree of preference: LOCAL_PREF, or the default for a path without."""
    return DEFAULT_LOCAL_PREF if attributes.local_pref is None else attributes.local_pref


@lru_cache(maxsize=4096)
def _number(address: Address) -> int:
    """An address or BGP identifier as the number that is compared."""
    return int(ipaddress.ip_address(address))


def decide(paths: Sequence[Path], profile: DecisionProfile = DecisionProfile()) -> Decision:  # noqa: B008 (frozen)
    """The best of these paths for one prefix. Total and deterministic: the order of ``paths`` does not matter."""
    left = list(paths)
    eliminated: dict[Path, Step] = {}
    for step, survivors in _STEPS:
        kept = survivors(left, profile)
        eliminated.update((path, step) for path in left if path not in kept)
        left = kept
        if not left:
            break
    return Decision(best=left[0] if left else None, eliminated=eliminated)


def choose(paths: Sequence[Path], profile: DecisionProfile) -> Path | None:
    """The best of at least one path: ``decide(paths, profile).best``, for the many."""
    if len(paths) == 2:
        return _better(paths[0], paths[1], profile)
    lowest = min([path.head for path in paths])
    if lowest[0]:
        return None
    left = [path for path in paths if path.head == lowest]
    if len(left) > 1:
        first = left[0].med
        if any(path.med != first for path in left):
            left = _lowest_med(left, profile)
        if len(left) > 1:
            return min(left, key=_tail)
    return left[0]


def _better(one: Path, other: Path, profile: DecisionProfile) -> Path | None:
    """Between two paths elimination and comparison are the same; most decisions are between two."""
    if one.head != other.head:
        one = one if one.head < other.head else other
    elif one.med != other.med and (profile.med_across_ases or one.neighbour == other.neighbour):
        one = one if one.med < other.med else other
    elif other.tail < one.tail:
        one = other
    return None if one.head[0] else one


def _tail(path: Path) -> tuple[bool, int, int, int, int, str]:
    return path.tail


_Survivors = Callable[[list[Path], DecisionProfile], list[Path]]


def _lowest(measure: Callable[[Path], int | tuple[int, str]]) -> _Survivors:
    """A step that keeps the paths with the lowest value."""

    def survivors(paths: list[Path], profile: DecisionProfile) -> list[Path]:
        if not paths:
            return paths
        lowest = min(map(measure, paths))
        return [path for path in paths if measure(path) == lowest]

    return survivors


def _resolvable(paths: list[Path], profile: DecisionProfile) -> list[Path]:
    """A path that this router originates needs no next hop."""
    return [path for path in paths if path.resolution is not None or path.source is LearnedFrom.LOCAL]


def _lowest_med(paths: list[Path], profile: DecisionProfile) -> list[Path]:
    """Keep, per neighbouring AS, the paths with the lowest MED; a missing one is 0, the lowest possible.

    Paths without a neighbouring AS (empty AS_PATH, or one that begins with a set) belong to the local AS.
    """
    lowest: dict[int | None, int] = {}
    for path in paths:
        group = None if profile.med_across_ases else path.neighbour
        lowest[group] = min(path.med, lowest.get(group, path.med))
    return [path for path in paths if path.med == lowest[None if profile.med_across_ases else path.neighbour]]


_STEPS: tuple[tuple[Step, _Survivors], ...] = (
    (Step.UNRESOLVABLE, _resolvable),
    (Step.LOCAL_ORIGIN, _lowest(lambda path: path.source is not LearnedFrom.LOCAL)),
    (Step.LOCAL_PREF, _lowest(lambda path: -local_pref(path.attributes))),
    (Step.AS_PATH, _lowest(lambda path: path.attributes.path_length())),
    (Step.ORIGIN, _lowest(lambda path: int(path.attributes.origin))),
    (Step.MED, _lowest_med),
    (Step.EBGP, _lowest(lambda path: path.source is LearnedFrom.IBGP)),
    (Step.IGP_METRIC, _lowest(lambda path: 0 if path.resolution is None else path.resolution.metric)),
    (Step.ROUTER_ID, _lowest(lambda path: _number(path.router_id))),
    (Step.CLUSTER_LIST, _lowest(lambda path: len(path.attributes.cluster_list))),
    (Step.PEER_ADDRESS, _lowest(lambda path: (_number(path.peer_address), path.session or ""))),
)
"""One function per step. The session id behind the peer address makes the order total between parallel sessions that
share one address, which a router never has but a caller of this module may."""
