"""AS_PATH and AS4_PATH between octets and segments (RFC 4271 section 4.3, RFC 5065, RFC 6793)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from peerlab.bgp.attributes import Segment, SegmentType

AS_TRANS = 23456
"""Stands for an AS number that does not fit two octets (RFC 6793 section 9)."""

_KINDS = (None, *SegmentType)
CONFEDERATION = (SegmentType.AS_CONFED_SEQUENCE, SegmentType.AS_CONFED_SET)


_LAYOUTS = {
    2: [struct.Struct(f">{count}H") for count in range(256)],
    4: [struct.Struct(f">{count}I") for count in range(256)],
}
"""How a segment's AS numbers lie on the wire, by their size and count."""


def decode_as_path(value: bytes, size: int) -> tuple[Segment, ...]:
    """Segments of a path whose AS numbers take ``size`` octets, 2 or 4.

    Raises ValueError in words when it is malformed (RFC 7606 section 7.2, RFC 7607 section 2).
    """
    segments = []
    layouts = _LAYOUTS[size]
    at, end = 0, len(value)
    while at < end:
        if at + 2 > end:
            raise ValueError("a segment ends inside its header")
        kind, count = value[at], value[at + 1]
        if not 1 <= kind <= 4:
            raise ValueError(f"segment type {kind} is unknown")
        if count == 0:
            raise ValueError("a segment holds no AS number")
        after = at + 2 + count * size
        if after > end:
            raise ValueError("a segment runs past the attribute's end")
        asns = layouts[count].unpack_from(value, at + 2)
        if 0 in asns:
            raise ValueError("AS 0 in the path (RFC 7607)")
        segments.append(Segment(_KINDS[kind], asns))
        at = after
    return tuple(segments)


def encode_as_path(segments: Iterable[Segment], size: int) -> bytes:
    """Octets of a path. With ``size`` 2 an AS number over 65535 becomes AS_TRANS (RFC 6793 section 4.2.2).

    A segment of more than 255 AS numbers is written as several (RFC 4271 section 5.1.2).
    """
    out = []
    for segment in segments:
        for at in range(0, len(segment.asns), 255):
            asns = segment.asns[at : at + 255]
            if size == 2:
                asns = tuple(asn if asn <= 0xFFFF else AS_TRANS for asn in asns)
            out.append(struct.pack(f">BB{len(asns)}{'I' if size == 4 else 'H'}", segment.kind, len(asns), *asns))
    return b"".join(out)


def needs_as4_path(segments: Iterable[Segment]) -> bool:
    """Whether a path loses an AS number when it is written with two octets each."""
    return any(asn > 0xFFFF for segment in segments for asn in segment.asns)


def without_confederation(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """The path without confederation segments, as AS4_PATH must be (RFC 6793 sections 3 and 6)."""
    return tuple(segment for segment in segments if segment.kind not in CONFEDERATION)


def merge_as4_path(path: tuple[Segment, ...], as4_path: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The true path out of AS_PATH and AS4_PATH from a two octet speaker (RFC 6793 section 4.2.3).

    When AS_PATH is shorter, AS4_PATH is ignored. Otherwise its leading AS numbers, as many as it is longer, go
    before AS4_PATH. An AS_SET counts 1 as in route selection; leading confederation segments count 0 and stay.
    """
    as4_path = without_confederation(as4_path)
    surplus = _count(path) - _count(as4_path)
    if surplus < 0:
        return path
    leading: list[Segment] = []
    for segment in path:
        if segment.kind in CONFEDERATION:
            leading.append(segment)
        elif surplus == 0:
            break
        elif segment.kind is SegmentType.AS_SET:
            leading.append(segment)
            surplus -= 1
        else:
            taken = segment.asns[:surplus]
            leading.append(Segment(SegmentType.AS_SEQUENCE, taken))
            surplus -= len(taken)
    return _joined((*leading, *as4_path))


def _count(segments: Iterable[Segment]) -> int:
    return sum(
        len(segment.asns) if segment.kind is SegmentType.AS_SEQUENCE else int(segment.kind is SegmentType.AS_SET)
        for segment in segments
    )


def _joined(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Neighbouring sequences as one, so that a merged path equals the one that was sent."""
    out: list[Segment] = []
    for segment in segments:
        if out and segment.kind is SegmentType.AS_SEQUENCE and out[-1].kind is SegmentType.AS_SEQUENCE:
            out[-1] = Segment(segment.kind, out[-1].asns + segment.asns)
        else:
            out.append(segment)
    return tuple(out)
