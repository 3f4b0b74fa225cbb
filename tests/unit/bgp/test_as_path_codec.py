"""AS_PATH on the wire, and the two paths of a two octet speaker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import segments

from peerlab.bgp.as_path_codec import decode_as_path, encode_as_path, merge_as4_path, without_confederation
from peerlab.bgp.attributes import Segment, SegmentType
from peerlab.bgp.wire import SessionContext, decode_update

SEQUENCE, SET = SegmentType.AS_SEQUENCE, SegmentType.AS_SET
CONFED = SegmentType.AS_CONFED_SEQUENCE


def seq(*asns: int) -> Segment:
    return Segment(SEQUENCE, asns)


def test_octets() -> None:
    path = (seq(65001, 4200000000), Segment(SET, (1, 2)))
    assert encode_as_path(path, 4).hex() == "02020000fde9fa56ea00" + "01020000000100000002"
    assert encode_as_path(path, 2).hex() == "0202fde95ba0" + "010200010002"
    assert decode_as_path(bytes.fromhex("02020000fde9fa56ea00" "01020000000100000002"), 4) == path  # fmt: skip


@given(segments(confederation=True))
def test_any_path_survives_the_wire(path: tuple[Segment, ...]) -> None:
    assert decode_as_path(encode_as_path(path, 4), 4) == path


def test_a_path_of_more_than_255_is_written_in_several_segments() -> None:
    """RFC 4271 section 5.1.2; the path stays as long and in order."""
    long = (seq(*range(1, 601)),)
    found = decode_as_path(encode_as_path(long, 4), 4)
    assert [len(segment.asns) for segment in found] == [255, 255, 90]
    assert tuple(asn for segment in found for asn in segment.asns) == long[0].asns


@pytest.mark.parametrize(
    ("path", "as4_path", "expect"),
    [
        # RFC 6793 section 4.2.3: the old AS in front stays, the rest is the true path
        ((seq(200, 23456, 23456),), (seq(4200000000, 70000),), (seq(200, 4200000000, 70000),)),
        # equally long: AS4_PATH says it all
        ((seq(23456, 23456),), (seq(70000, 80000),), (seq(70000, 80000),)),
        # shorter than AS4_PATH: an old speaker rewrote the path, so AS4_PATH is stale
        ((seq(200),), (seq(70000, 80000),), (seq(200),)),
        # a set counts one
        ((seq(200), Segment(SET, (1, 2)), seq(23456)), (seq(70000),), (seq(200), Segment(SET, (1, 2)), seq(70000))),
        # confederation segments do not count, and lead on
        ((Segment(CONFED, (64512,)), seq(200, 23456)), (seq(70000),), (Segment(CONFED, (64512,)), seq(200, 70000))),
        # confederation segments do not belong into AS4_PATH and are dropped from it
        ((seq(200, 23456),), (Segment(CONFED, (64512,)), seq(70000)), (seq(200, 70000),)),
        ((seq(200),), (), (seq(200),)),
    ],
)
def test_merging(path: tuple[Segment, ...], as4_path: tuple[Segment, ...], expect: tuple[Segment, ...]) -> None:
    assert merge_as4_path(path, as4_path) == expect


@given(segments(), st.lists(st.integers(1, 0xFFFF), max_size=4))
def test_old_speakers_in_between_do_not_harm_the_path(path: tuple[Segment, ...], old: list[int]) -> None:
    """A new speaker sends to old ones, each puts itself in front of AS_PATH only; the next new one has it all."""
    plain = decode_as_path(encode_as_path(path, 2), 2)
    if old:
        first, rest = (plain[0].asns, plain[1:]) if plain and plain[0].kind is SEQUENCE else ((), plain)
        plain = (Segment(SEQUENCE, (*old, *first)), *rest)
    merged = merge_as4_path(plain, without_confederation(path))
    assert tuple(asn for segment in merged for asn in segment.asns) == (
        *old,
        *(asn for segment in path for asn in segment.asns),
    )


def as2_update(*attribute_octets: str) -> bytes:
    field = bytes.fromhex("40010100" + "".join(attribute_octets) + "400304c0000201")
    return b"\0\0" + len(field).to_bytes(2, "big") + field + bytes.fromhex("18c63364")


PATH = "400206" + "020200c85ba0"  # 200 23456
AS4_PATH = "c01106" + "020100011170"  # 70000


@pytest.mark.parametrize(
    ("octets", "asns", "aggregator"),
    [
        # AS4_AGGREGATOR replaces an AGGREGATOR of AS_TRANS
        ([PATH, "c007065ba0c0000209", AS4_PATH, "c0120800011170c0000209"], (200, 70000), 70000),
        # another AS aggregated since: both AS4 attributes are stale
        ([PATH, "c0070600c8c0000209", AS4_PATH, "c0120800011170c0000209"], (200, 23456), 200),
        # AS4_PATH alone, and with an AGGREGATOR that fits two octets
        ([PATH, AS4_PATH], (200, 70000), None),
        ([PATH, "c0070600c8c0000209", AS4_PATH], (200, 70000), 200),
        # AS4_AGGREGATOR alone says nothing
        ([PATH, AS4_PATH, "c0120800011170c0000209"], (200, 70000), None),
    ],
)
def test_an_update_of_an_old_speaker(octets: list[str], asns: tuple[int, ...], aggregator: int | None) -> None:
    attributes = decode_update(as2_update(*octets), SessionContext(asn4=False)).attributes
    assert attributes is not None
    assert attributes.asns() == asns
    assert (attributes.aggregator.asn if attributes.aggregator else None) == aggregator
