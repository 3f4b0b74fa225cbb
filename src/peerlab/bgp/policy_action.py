"""Actions of a policy as functions from attributes to attributes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from peerlab.bgp.attributes import PathAttributes, Segment, SegmentType
from peerlab.bgp.communities import matches, parse_community
from peerlab.bgp.policy import (
    Action,
    AddCommunities,
    Prepend,
    PrependFirst,
    RemoveCommunities,
    RemovePrivateAses,
    SetLocalPref,
    SetMed,
)

Change = Callable[[PathAttributes], PathAttributes]


def change_of(action: Action) -> Change:
    """The change that an action makes to attributes. Raises ValueError for a malformed one."""
    if isinstance(action, SetLocalPref):
        local_pref = action.value
        return lambda attributes: msgspec.structs.replace(attributes, local_pref=local_pref)
    if isinstance(action, SetMed):
        med = action.value
        return lambda attributes: msgspec.structs.replace(attributes, med=med)
    if isinstance(action, AddCommunities):
        return _adding(action)
    if isinstance(action, RemoveCommunities):
        return _removing(action)
    if isinstance(action, Prepend):
        asn, times = action.asn, action.times
        if times < 0:
            raise ValueError(f"an AS cannot be prepended {times} times")
        return lambda attributes: msgspec.structs.replace(attributes, as_path=prepended(attributes.as_path, asn, times))
    if isinstance(action, PrependFirst):
        return _prepending_first(action.times)
    if isinstance(action, RemovePrivateAses):
        return lambda attributes: msgspec.structs.replace(attributes, as_path=_public(attributes.as_path))
    raise TypeError(f"{type(action).__name__} changes no attribute")


def _adding(action: AddCommunities) -> Change:
    added = [parse_community(text) for text in action.communities]
    standard = frozenset(text for text in added if text.count(":") == 1)
    large = frozenset(added) - standard

    def change(attributes: PathAttributes) -> PathAttributes:
        return msgspec.structs.replace(
            attributes,
            communities=tuple(sorted(standard.union(attributes.communities))),
            large_communities=tuple(sorted(large.union(attributes.large_communities))),
        )

    return change


def _prepending_first(times: int) -> Change:
    if times < 0:
        raise ValueError(f"an AS cannot be prepended {times} times")

    def change(attributes: PathAttributes) -> PathAttributes:
        first = attributes.first_as()
        if first is None:
            return attributes
        return msgspec.structs.replace(attributes, as_path=prepended(attributes.as_path, first, times))

    return change


def _removing(action: RemoveCommunities) -> Change:
    exact = frozenset(parse_community(pattern) for pattern in action.patterns if "*" not in pattern)
    patterns = tuple(pattern for pattern in action.patterns if "*" in pattern)
    for pattern in patterns:
        matches(pattern, "0:0")  # a malformed one is told now, not at the first route

    def kept(communities: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            text for text in communities if text not in exact and not any(matches(one, text) for one in patterns)
        )

    def change(attributes: PathAttributes) -> PathAttributes:
        return msgspec.structs.replace(
            attributes,
            communities=kept(attributes.communities),
            large_communities=kept(attributes.large_communities),
        )

    return change


_PRIVATE = ((64512, 65534), (4200000000, 4294967294))
"""RFC 6996."""


def _public(path: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The path without private AS numbers; a segment of which nothing is left goes too."""
    kept = [
        Segment(one.kind, tuple(asn for asn in one.asns if not any(low <= asn <= high for low, high in _PRIVATE)))
        for one in path
    ]
    return tuple(one for one in kept if one.asns)


_LONGEST_SEGMENT = 255


def prepended(path: tuple[Segment, ...], asn: int, times: int = 1) -> tuple[Segment, ...]:
    """The path with an AS put in front (RFC 4271 section 5.1.2 b): a full or absent sequence gets a new one."""
    while times > 0:
        head = path[0].asns if path and path[0].kind is SegmentType.AS_SEQUENCE else ()
        rest = path[1:] if head else path
        if len(head) >= _LONGEST_SEGMENT:
            head, rest = (), path
        count = min(times, _LONGEST_SEGMENT - len(head))
        path = (Segment(SegmentType.AS_SEQUENCE, (asn,) * count + head), *rest)
        times -= count
    return path
