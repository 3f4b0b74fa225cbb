"""pcapng as we write it, as others write it, and as a killed writer leaves it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.tcp_talk import NOON, Capture, Connection, announce

from peerlab.evidence.pcapng import (
    CaptureError,
    Frame,
    Interface,
    Loss,
    Reader,
    frame_block,
    interface_block,
    loss_block,
    read,
    section_header,
    write,
)

CAPTURES = Path(__file__).parents[2] / "replay" / "captures"
ONE = Interface(name="ams-edge-1:to-isp", since=NOON)


@given(st.lists(st.tuples(st.integers(0, 2**62), st.binary(max_size=200), st.integers(0, 5000)), max_size=8))
def test_what_is_written_is_read(frames: list[tuple[int, bytes, int]]) -> None:
    blocks = [frame_block(0, at, octets, len(octets) + cut) for at, octets, cut in frames]
    records = read(section_header() + interface_block(ONE) + b"".join(blocks))
    assert records == (
        ONE,
        *(Frame(at=at, interface=ONE, octets=octets, length=len(octets) + cut) for at, octets, cut in frames),
    )


def test_a_loss_is_read_back() -> None:
    records = read(section_header() + interface_block(ONE) + loss_block(0, NOON, NOON + 7, 12))
    assert records[1] == Loss(start=NOON, end=NOON + 7, interface=ONE, frames=12)


@given(st.integers(1, 40))
def test_portions_do_not_matter(size: int) -> None:
    octets = section_header() + interface_block(ONE) + frame_block(0, NOON, b"abc") + loss_block(0, 1, 2, 3)
    reader = Reader()
    found = [record for at in range(0, len(octets), size) for record in reader.feed(octets[at : at + size])]
    assert tuple(found) == read(octets) and reader.pending() == 0


def test_a_torn_last_block_is_left_out() -> None:
    octets = section_header() + interface_block(ONE) + frame_block(0, NOON, b"abcd")
    for cut in range(len(octets) - len(frame_block(0, NOON, b"abcd")), len(octets)):
        assert read(octets[:cut]) == (ONE,)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        # what, why it is refused
        (b"GET / HTTP/1.1\r\n\r\n", "octet 0"),
        (section_header() + struct.pack("<III", 6, 4, 4), "a block of 4 octets cannot be"),
        (section_header() + frame_block(3, NOON, b""), "contradicts itself"),  # an interface never declared
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "byte order magic"),
    ],
)
def test_what_is_no_capture_is_refused_with_the_place(octets: bytes, why: str) -> None:
    with pytest.raises(CaptureError, match=why):
        read(octets)


def test_classic_pcap_of_either_unit_and_order() -> None:
    for order, magic, unit in (("<", 0xA1B2C3D4, 1000), (">", 0xA1B2C3D4, 1000), ("<", 0xA1B23C4D, 1)):
        octets = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
        octets += struct.pack(order + "IIII", 1_700_000_000, 5, 3, 9) + b"abc"
        (frame,) = read(octets)
        assert isinstance(frame, Frame)
        assert (frame.at, frame.octets, frame.length) == (NOON + 5 * unit, b"abc", 9)


def test_an_export_is_sorted_by_time_and_has_only_the_interfaces_it_needs() -> None:
    other = Interface(name="far:eth0")
    late = Frame(at=NOON + 9, interface=ONE, octets=b"late", length=4)
    early = Frame(at=NOON, interface=other, octets=b"early", length=5)
    records = read(b"".join(write([ONE, Interface(name="unused:lo"), other, late, early])))
    assert [record for record in records if isinstance(record, Frame)] == [early, late]
    assert [record for record in records if isinstance(record, Interface)] == [other, ONE]


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed; it is the judge here")
def test_tcpdump_reads_it_and_names_the_update(tmp_path: Path) -> None:
    capture = Capture()
    Connection(capture).establish().say("left", announce("203.0.113.0/24", 64500))
    loss = Loss(start=NOON, end=NOON + 1, interface=Interface(name="left:eth0", since=capture.since), frames=1)
    file = tmp_path / "trace.pcapng"
    file.write_bytes(capture.octets([loss]))
    done = subprocess.run(["tcpdump", "-nvr", str(file)], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.count("BGP") >= 5 and "203.0.113.0/24" in done.stdout
