"""Conditions of a policy as closures over attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise

from peerlab.bgp.attributes import Address, PathAttributes, SegmentType
from peerlab.bgp.communities import any_matches, matches, parse_community
from peerlab.bgp.policy import (
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    AsPathLongerThan,
    AsPathPrepended,
    CommunityIn,
    Condition,
    FirstAsIs,
    HasOtc,
    LearnedFrom,
    LearnedFromIs,
    NextHopIn,
    OriginAsIn,
)
from peerlab.bgp.prefix_set import PrefixSet

Test = Callable[[PathAttributes, int, LearnedFrom], bool]
"""Whether a route with these attributes, this mark (see ``policy_engine``) and this source matches."""


def _within(ranges: Iterable[AsnRange]) -> Callable[[int], bool]:
    """Whether a number lies in one of the ranges. Single numbers are looked up, ranges are walked."""
    ranges = tuple(ranges)
    for one in ranges:
        if not 0 <= one.low <= one.high <= 0xFFFFFFFF:
            raise ValueError(f"{one.low}-{one.high} is no range of AS numbers")
    single = frozenset(one.low for one in ranges if one.low == one.high)
    wide = tuple((one.low, one.high) for one in ranges if one.low != one.high)
    return lambda asn: asn in single or any(low <= asn <= high for low, high in wide)


def attribute_test(condition: Condition) -> Test:
    """The test of a condition that looks at attributes or source only. Raises ValueError for a malformed one."""
    if isinstance(condition, AsPathContains):
        inside = _within(condition.asns)
        return lambda attributes, mark, source: any(map(inside, attributes.asns()))
    if isinstance(condition, OriginAsIn):
        return _origin_test(condition)
    if isinstance(condition, FirstAsIs):
        first, negated = condition.asn, condition.invert
        return lambda attributes, mark, source: (attributes.first_as() == first) is not negated
    if isinstance(condition, AsPathLongerThan):
        limit = condition.limit
        return lambda attributes, mark, source: attributes.path_length() > limit
    if isinstance(condition, AsPathHasSet):
        return lambda attributes, mark, source: any(
            segment.kind is not SegmentType.AS_SEQUENCE for segment in attributes.as_path
        )
    if isinstance(condition, AsPathPrepended):
        return lambda attributes, mark, source: _is_prepended(attributes)
    if isinstance(condition, CommunityIn):
        return _community_test(condition)
    if isinstance(condition, NextHopIn):
        return _next_hop_test(condition)
    if isinstance(condition, LearnedFromIs):
        sources = frozenset(condition.sources)
        return lambda attributes, mark, source: source in sources
    if isinstance(condition, HasOtc):
        return lambda attributes, mark, source: attributes.otc is not None
    raise TypeError(f"{type(condition).__name__} is no condition on attributes")


def _origin_test(condition: OriginAsIn) -> Test:
    inside, negated = _within(condition.asns), condition.invert

    def test(attributes: PathAttributes, mark: int, source: LearnedFrom) -> bool:
        origin = attributes.origin_as()
        return (origin is not None and inside(origin)) is not negated

    return test


def _is_prepended(attributes: PathAttributes) -> bool:
    """Whether an AS stands twice in a row; the members of a set have no order and do not count."""
    asns: list[int | None] = []
    for segment in attributes.as_path:
        asns.extend(segment.asns if segment.kind is SegmentType.AS_SEQUENCE else (None,))
    return any(one is not None and one == other for one, other in pairwise(asns))


def _community_test(condition: CommunityIn) -> Test:
    """Exact values are one set operation; patterns with ``*`` are one regular expression each."""
    negated = condition.invert
    exact = frozenset(parse_community(pattern) for pattern in condition.communities if "*" not in pattern)
    patterns = tuple(pattern for pattern in condition.communities if "*" in pattern)
    _check(patterns)

    def test(attributes: PathAttributes, mark: int, source: LearnedFrom) -> bool:
        communities = attributes.communities + attributes.large_communities
        found = not exact.isdisjoint(communities) or (bool(patterns) and any_matches(patterns, communities))
        return found is not negated

    return test


def _next_hop_test(condition: NextHopIn) -> Test:
    prefixes, negated = PrefixSet.covering(condition.prefixes), condition.invert

    @lru_cache(maxsize=4096)
    def inside(next_hop: Address) -> bool:
        return prefixes.contains_address(next_hop)

    def test(attributes: PathAttributes, mark: int, source: LearnedFrom) -> bool:
        return (attributes.next_hop is not None and inside(attributes.next_hop)) is not negated

    return test


def _check(patterns: tuple[str, ...]) -> None:
    """Tell of a malformed pattern now, not at the first route."""
    for pattern in patterns:
        matches(pattern, "0:0")
