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


class Path:
    """One route for a prefix as the decision process sees it. Immutable; equal only to itself.

    ``session`` is None for a path that this router originates. ``resolution`` None means that the next hop cannot be
    reached. ``head``, ``med`` and ``tail`` are what the steps before, at and after MED compare; lower is better.
    """

    __slots__ = ("attributes", "head", "med", "neighbour", "peer_address", "resolution", "router_id",
                 "session", "source", "tail")  # fmt: skip

    def __init__(
        self,
        attributes: PathAttributes,
        *,
        source: LearnedFrom,
        session: str | None = None,
        router_id: Address = _NO_ADDRESS,
        peer_address: Address = _NO_ADDRESS,
        resolution: Resolution | None = None,
    ) -> None:
        self.attributes = attributes
        self.source = source
        self.session = session
        self.router_id = attributes.originator_id or router_id
        self.peer_address = peer_address
        self.resolution = resolution
        self.neighbour = attributes.first_as()
        self.med = attributes.med or 0
        self.head = (
            not self.is_resolvable(),
            source is not LearnedFrom.LOCAL,
            -local_pref(attributes),
            attributes.path_length(),
            int(attributes.origin),
        )
        self.tail = (
            source is LearnedFrom.IBGP,
            0 if resolution is None else resolution.metric,
            int(ipaddress.ip_address(self.router_id)),
            len(attributes.cluster_list),
            int(ipaddress.ip_address(peer_address)),
            session or "",
        )

    def is_resolvable(self) -> bool:
        """Whether packets can leave this way; an originated path needs no next hop."""
        return self.resolution is not None or self.source is LearnedFrom.LOCAL

    def resolved(self, resolution: Resolution | None) -> Path:
        """The same path after the way to its next hop changed."""
        return Path(
            self.attributes,
            source=self.source,
            session=self.session,
            router_id=self.router_id,
            peer_address=self.peer_address,
            resolution=resolution,
        )

    def __repr__(self) -> str:
        return f"Path({self.session or 'local'}, {self.attributes!r})"


class Decision(msgspec.Struct, frozen=True):
    """``best`` is None when no path is resolvable. ``eliminated`` has every other path."""

    best: Path | None
    eliminated: Mapping[Path, Step]


def local_pref(attributes: PathAttributes) -> int:
    """Degree of preference: LOCAL_PREF, or the default for a path without."""
    return DEFAULT_LOCAL_PREF if attributes.local_pref is None else attributes.local_pref


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
    return [path for path in paths if path.is_resolvable()]


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
    (Step.ROUTER_ID, _lowest(lambda path: int(ipaddress.ip_address(path.router_id)))),
    (Step.CLUSTER_LIST, _lowest(lambda path: len(path.attributes.cluster_list))),
    (Step.PEER_ADDRESS, _lowest(lambda path: (int(ipaddress.ip_address(path.peer_address)), path.session or ""))),
)
"""One function per step. The session id behind the peer address makes the order total between parallel sessions that
share one address, which a router never has but a caller of this module may."""
