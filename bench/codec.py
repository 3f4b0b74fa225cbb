"""What the BGP codec costs: ``python bench/codec.py [MRT file ...]`` prints a table of prefixes per second.

Without a file the routes are synthetic: 200 000 prefixes, a new attribute set every G prefixes, one UPDATE per set.
With MRT files (BGP4MP updates, or a TABLE_DUMP_V2 table regrouped into UPDATEs by peer and attributes) the same
figures are for what really was on the wire. Each figure is the best of three runs in this process.
"""

from __future__ import annotations

import bz2
import gzip
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from peerlab.bgp.attributes import Family, PathAttributes, Segment, SegmentType
from peerlab.bgp.wire import (
    AttributeCache,
    MessageType,
    SessionContext,
    decode_bulk,
    decode_update,
    encode_raw_updates,
    frame,
    split,
)
from peerlab.errors import WireError

PREFIXES = 200_000
RUNS = 3


def best(run: Callable[[], object]) -> float:
    """Seconds of the fastest of the runs."""
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def print_row(name: str, what: str, updates: int, prefixes: int, seconds: float) -> None:
    """One line of the table."""
    print(
        f"{name:<28} {what:<26} {updates:>8} {prefixes:>9} {seconds:>8.3f} s "
        f"{prefixes / seconds / 1e6:>6.2f} M/s {seconds / updates * 1e6:>8.2f} us/UPDATE"
    )


def synthetic(family: Family, group: int) -> list[tuple[PathAttributes, list[bytes]]]:
    """Attribute sets, each with ``group`` raw prefixes."""
    sets = []
    for first in range(0, PREFIXES, group):
        number = first // group
        attributes = PathAttributes(
            as_path=(Segment(SegmentType.AS_SEQUENCE, (64500, 3356 + number % 60000, 4200000000 + number)),),
            next_hop="192.0.2.1" if family is Family.IPV4 else "2001:db8::1",
            med=number % 100,
            communities=("64500:1", f"64500:{number % 65000}"),
        )
        if family is Family.IPV4:
            raws = [b"\x18" + i.to_bytes(3, "big") for i in range(first, first + group)]
        else:
            raws = [b"\x30\x20\x01" + i.to_bytes(4, "big") for i in range(first, first + group)]
        sets.append((attributes, raws))
    return sets


def bulk(bodies: list[bytes], cache: AttributeCache) -> int:
    """Decode all bodies into one table keyed by raw NLRI, as the speaker does; answers its size."""
    table: dict[bytes, object] = {}
    for body in bodies:
        for part in decode_bulk(body, cache):
            for raw in part.withdrawn:
                table.pop(raw, None)
            if part.announced:
                table.update(dict.fromkeys(part.announced, part.attributes))
    return len(table)


def print_decoding(name: str, bodies: list[bytes], session: SessionContext) -> None:
    """Measure decoding of these UPDATE bodies, a row per way of doing it."""
    parts = [part for body in bodies for part in decode_bulk(body, AttributeCache(session, 2))]
    prefixes = sum(len(part.announced) + len(part.withdrawn) for part in parts)
    stream = b"".join(frame(MessageType.UPDATE, body) for body in bodies)
    known = AttributeCache(session, 1 << 22)
    bulk(bodies, known)
    ways: dict[str, Callable[[], object]] = {
        "split the stream": lambda: split(stream, 65535),
        "decode_bulk, first sight": lambda: bulk(bodies, AttributeCache(session, 1 << 22)),
        "decode_bulk, sets known": lambda: bulk(bodies, known),
        "decode_update (text)": lambda: [decode_update(body, session) for body in bodies],
    }
    for what, run in ways.items():
        print_row(name, what, len(bodies), prefixes, best(run))


def print_synthetic(family: Family, group: int) -> None:
    """Rows for encoding and decoding synthetic routes."""
    sets = synthetic(family, group)
    name = f"{family} G={group}"
    seconds = best(lambda: [encode_raw_updates(attributes, raws, family) for attributes, raws in sets])
    messages = [message for attributes, raws in sets for message in encode_raw_updates(attributes, raws, family)]
    print_row(name, "encode_raw_updates", len(messages), PREFIXES, seconds)
    print_decoding(name, [message[19:] for message in messages], SessionContext())


def records(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(type, subtype, message) of every whole MRT record (RFC 6396 section 2); stops where a file is cut off."""
    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, bz2.open if path.name.endswith("bz2") else open)
    with opener(path, "rb") as file:
        while True:
            try:
                header = file.read(12)
                length = int.from_bytes(header[8:12], "big")
                message = file.read(length)
            except EOFError:
                return
            if len(header) < 12 or len(message) < length:
                return
            kind, subtype = int.from_bytes(header[4:6], "big"), int.from_bytes(header[6:8], "big")
            yield kind, subtype, message[4:] if kind == 17 else message


def mrt_bodies(path: Path) -> tuple[list[bytes], list[bytes]]:
    """UPDATE bodies of a file, with four octet AS numbers and with two (RFC 6396 sections 4.3 and 4.4)."""
    four: list[bytes] = []
    two: list[bytes] = []
    table: dict[tuple[int, bytes, int], list[bytes]] = {}
    for kind, subtype, message in records(path):
        if kind in (16, 17) and subtype in (1, 4):
            size = 4 if subtype == 4 else 2
            at = 2 * size + 4 + (8 if message[2 * size + 3] == 1 else 32)
            if message[at + 18] == MessageType.UPDATE:
                (four if size == 4 else two).append(message[at + 19 :])
        elif kind == 13 and subtype in (2, 4):
            read_table_row(message, 1 if subtype == 2 else 2, table)
    for (_, attributes, afi), raws in table.items():
        room = 700 if afi == 1 else 200
        for at in range(0, len(raws), room):
            nlri = b"".join(raws[at : at + room])
            if afi == 1:
                four.append(b"\0\0" + len(attributes).to_bytes(2, "big") + attributes + nlri)
            else:
                four.append(with_reach(attributes, nlri))
    return four, two


def read_table_row(message: bytes, afi: int, table: dict[tuple[int, bytes, int], list[bytes]]) -> None:
    """Sort the entries of one RIB record under peer and attributes."""
    end = 5 + (message[4] + 7 >> 3)
    raw = message[4:end]
    at = end + 2
    for _ in range(int.from_bytes(message[end : end + 2], "big")):
        length = int.from_bytes(message[at + 6 : at + 8], "big")
        peer = int.from_bytes(message[at : at + 2], "big")
        table.setdefault((peer, message[at + 8 : at + 8 + length], afi), []).append(raw)
        at += 8 + length


def with_reach(attributes: bytes, nlri: bytes) -> bytes:
    """An UPDATE body out of table attributes, whose MP_REACH_NLRI holds only a next hop (RFC 6396 section 4.3.4)."""
    at = 0
    out = b""
    while at < len(attributes):
        head = 4 if attributes[at] & 0x10 else 3
        end = at + head + int.from_bytes(attributes[at + 2 : at + head], "big")
        if attributes[at + 1] == 14:
            hop = attributes[at + head : end]
            if hop[0] == 0:
                # Older collectors wrote the whole MP_REACH_NLRI: its next hop follows AFI and SAFI.
                hop = hop[3 : 4 + hop[3]]
            value = b"\0\2\1" + hop + b"\0" + nlri
            out += b"\x90\x0e" + len(value).to_bytes(2, "big") + value
        else:
            out += attributes[at:end]
        at = end
    return b"\0\0" + len(out).to_bytes(2, "big") + out


def legible(bodies: list[bytes], session: SessionContext) -> list[bytes]:
    """The bodies that end no session; says of every other what is wrong."""
    kept = []
    for body in bodies:
        try:
            decode_bulk(body, AttributeCache(session, 2))
            kept.append(body)
        except WireError as error:
            print(f"  left out: {error}", file=sys.stderr)
    return kept


def main() -> None:
    """Print the table."""
    print(f"{'routes':<28} {'what':<26} {'UPDATEs':>8} {'prefixes':>9}")
    for name in sys.argv[1:]:
        path = Path(name)
        for bodies, asn4 in zip(mrt_bodies(path), (True, False), strict=True):
            session = SessionContext(asn4=asn4, ebgp=False)
            kept = legible(bodies, session)
            if kept:
                print_decoding(f"{path.name[:22]} as{4 if asn4 else 2}", kept, session)
    if len(sys.argv) == 1:
        for family in Family:
            for group in (1, 5, 500):
                print_synthetic(family, group)


if __name__ == "__main__":
    main()
