"""Reading frames and choosing among them. scapy writes what the parser, which is ours, reads."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from peerlab.runtime.frames import Frame, FrameFilter, echo_request, parse

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
V4 = {"src": "192.0.2.1", "dst": "192.0.2.2"}
V6 = {"src": "2001:db8::1", "dst": "2001:db8::2"}


def frame(**fields: object) -> Frame:
    return Frame(source_mac=MACS["src"], destination_mac=MACS["dst"], **fields)  # type: ignore[arg-type]


FROM_V4 = {"ether_type": 0x800, "source": "192.0.2.1", "destination": "192.0.2.2"}
FROM_V6 = {"ether_type": 0x86DD, "source": "2001:db8::1", "destination": "2001:db8::2"}

# packet, what is read
READ = [
    (
        IP(**V4) / UDP(sport=5, dport=6),
        frame(**FROM_V4, protocol=17, source_port=5, destination_port=6),
    ),
    (  # IP options move the ports
        IP(**V4, options=b"\1\1\1\1") / TCP(sport=179, dport=4000),
        frame(**FROM_V4, protocol=6, source_port=179, destination_port=4000),
    ),
    (  # a later fragment has no ports
        IP(**V4, frag=5, proto=17) / b"12345678",
        frame(**FROM_V4, protocol=17),
    ),
    (IP(**V4) / ICMP(), frame(**FROM_V4, protocol=1)),
    (
        IPv6(**V6) / TCP(sport=4000, dport=179),
        frame(**FROM_V6, protocol=6, source_port=4000, destination_port=179),
    ),
    (
        ARP(psrc="169.254.0.1", pdst="169.254.0.2"),
        frame(ether_type=0x806, source="169.254.0.1", destination="169.254.0.2"),
    ),
]


@pytest.mark.parametrize(("packet", "expected"), READ)
def test_frames_are_read(packet: Packet, expected: Frame) -> None:
    assert parse(bytes(Ether(**MACS) / packet)) == expected


@pytest.mark.parametrize("length", range(60))
def test_a_frame_that_is_cut_short_is_no_trouble(length: int) -> None:
    for packet in (IP(**V4) / TCP(), IPv6(**V6) / UDP(), ARP()):
        parse(bytes(Ether(**MACS) / packet)[:length])


BGP = parse(bytes(Ether(**MACS) / IP(**V4) / TCP(sport=4000, dport=179)))

# filter, direction of the frame, does the BGP frame match
CHOSEN = [
    (FrameFilter(), "in", True),
    (FrameFilter(port=179), "in", True),
    (FrameFilter(port=4000), "in", True),  # either end
    (FrameFilter(port=80), "in", False),
    (FrameFilter(protocol="tcp", source="192.0.2.1"), "in", True),
    (FrameFilter(protocol="udp"), "in", False),
    (FrameFilter(source="192.0.2.2"), "in", False),
    (FrameFilter(address="192.0.2.2"), "in", True),
    (FrameFilter(ether_type=0x86DD), "in", False),
    (FrameFilter(direction="in"), "in", True),
    (FrameFilter(direction="in"), "out", False),
]


@pytest.mark.parametrize(("wanted", "direction", "matches"), CHOSEN)
def test_every_given_field_must_match(wanted: FrameFilter, direction: str, matches: bool) -> None:
    assert wanted.matches(BGP, direction) is matches


def test_an_echo_request_is_the_one_that_scapy_writes() -> None:
    """Checksums included."""
    written = bytes(Ether(**MACS) / IP(**V4) / ICMP())
    assert echo_request(MACS["src"], MACS["dst"], V4["src"], V4["dst"]) == written
