"""Hypothesis strategies for the values that the codec carries."""

from __future__ import annotations

import ipaddress
import itertools

from hypothesis import strategies as st

from peerlab.bgp.attributes import (
    Address,
    Aggregator,
    Family,
    Origin,
    PathAttributes,
    Prefix,
    RawAttribute,
    Segment,
    SegmentType,
)

WORDS = st.integers(0, 0xFFFFFFFF)
ASNS = st.integers(1, 0xFFFFFFFF)
ROUTER_IDS = st.integers(1, 0xFFFFFFFF).map(lambda number: Address(str(ipaddress.IPv4Address(number))))
IPV4_NEXT_HOPS = st.integers(0x01000000, 0x7EFFFFFF).map(lambda number: Address(str(ipaddress.IPv4Address(number))))
IPV6_NEXT_HOPS = st.integers(2, 0xFDFF << 112).map(lambda number: Address(str(ipaddress.IPv6Address(number))))
LINK_LOCALS = st.integers(0, (1 << 64) - 1).map(lambda n: Address(str(ipaddress.IPv6Address(0xFE80 << 112 | n))))


def prefixes(family: Family) -> st.SearchStrategy[Prefix]:
    """Canonical prefixes of a family, every length."""
    bits = 32 if family is Family.IPV4 else 128
    kind = ipaddress.IPv4Network if family is Family.IPV4 else ipaddress.IPv6Network

    def build(number: int, length: int) -> Prefix:
        return Prefix(str(kind((number >> bits - length << bits - length, length))))

    return st.builds(build, st.integers(0, (1 << bits) - 1), st.integers(0, bits))


def segments(*, confederation: bool = False) -> st.SearchStrategy[tuple[Segment, ...]]:
    """AS paths. Two sequences never stand side by side, as in a path that was written once."""
    kinds = list(SegmentType) if confederation else [SegmentType.AS_SET, SegmentType.AS_SEQUENCE]
    some = st.lists(
        st.builds(Segment, st.sampled_from(kinds), st.lists(ASNS, min_size=1, max_size=6).map(tuple)), max_size=4
    )
    return some.filter(lambda path: all(a.kind != b.kind for a, b in itertools.pairwise(path))).map(tuple)


COMMUNITIES = st.builds("{}:{}".format, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
LARGE_COMMUNITIES = st.builds("{}:{}:{}".format, WORDS, WORDS, WORDS)


def sorted_set(elements: st.SearchStrategy[str] | st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.sets(elements, max_size=5).map(lambda found: tuple(sorted(found)))


def attributes(family: Family, *, confederation: bool = False) -> st.SearchStrategy[PathAttributes]:
    """Sets of attributes as an internal session may carry them, with a next hop of the family."""
    six = family is Family.IPV6
    return st.builds(
        PathAttributes,
        origin=st.sampled_from(Origin),
        as_path=segments(confederation=confederation),
        next_hop=IPV6_NEXT_HOPS if six else IPV4_NEXT_HOPS,
        link_local_next_hop=st.none() | LINK_LOCALS if six else st.none(),
        med=st.none() | WORDS,
        local_pref=st.none() | WORDS,
        atomic_aggregate=st.booleans(),
        aggregator=st.none() | st.builds(Aggregator, ASNS, ROUTER_IDS),
        communities=sorted_set(COMMUNITIES),
        large_communities=sorted_set(LARGE_COMMUNITIES),
        extended_communities=sorted_set(st.binary(min_size=8, max_size=8)),
        originator_id=st.none() | ROUTER_IDS,
        cluster_list=st.lists(ROUTER_IDS, max_size=3).map(tuple),
        otc=st.none() | ASNS,
        unknown=st.lists(
            st.builds(RawAttribute, st.just(0xE0), st.integers(200, 255), st.binary(max_size=300)),
            max_size=2,
            unique_by=lambda raw: raw.type,
        ).map(lambda found: tuple(sorted(found, key=lambda raw: raw.type))),
    )
