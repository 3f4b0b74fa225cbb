"""Frames of a flood and stray segments: scapy reads what we write, checksums and all."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from peerlab.runtime.flood import echo, tcp_segment

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
ENDS = [
    pytest.param("192.0.2.1", "198.51.100.2", IP, id="ipv4"),
    pytest.param("2001:db8::1", "2001:db8:1::2", IPv6, id="ipv6"),
]


def rebuilt(octets: bytes) -> Packet:
    """The same packet with every checksum and length computed by scapy."""
    packet = Ether(octets)
    for layer in (IP, IPv6, TCP, ICMP, ICMPv6EchoRequest):
        if layer in packet:
            for field in ("chksum", "cksum", "len", "plen"):
                if field in packet[layer].fields:
                    del packet[layer].fields[field]
    return Ether(bytes(packet))


@pytest.mark.parametrize(("source", "destination", "layer"), ENDS)
@pytest.mark.parametrize("payload", [b"", b"odd", b"\xff" * 19])
def test_a_stray_segment_is_a_true_one(source: str, destination: str, layer: type[Packet], payload: bytes) -> None:
    octets = tcp_segment(MACS, (source, 40000), (destination, 179), 0x12, payload)
    packet = Ether(octets)
    assert (packet.src, packet.dst) == MACS
    assert (packet[layer].src, packet[layer].dst) == (source, destination)
    assert (packet[TCP].sport, packet[TCP].dport, str(packet[TCP].flags)) == (40000, 179, "SA")
    assert bytes(packet[TCP].payload) == payload
    assert bytes(rebuilt(octets)) == octets


@pytest.mark.parametrize(("source", "destination", "layer"), ENDS)
def test_an_echo_request_is_a_true_one(source: str, destination: str, layer: type[Packet]) -> None:
    octets = echo(MACS, source, destination, bytes(range(56)))
    packet = Ether(octets)
    assert (packet[layer].src, packet[layer].dst) == (source, destination)
    assert ICMP in packet or ICMPv6EchoRequest in packet
    assert bytes(rebuilt(octets)) == octets
