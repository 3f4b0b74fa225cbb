"""Reads TCP and UDP payloads out of pcap and pcapng files, as far as the captures beside it need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CAPTURES = Path(__file__).parent / "captures"


class Payload(NamedTuple):
    """TCP octets of one packet and who sent them to whom, as (address and port) octets."""

    source: bytes
    destination: bytes
    octets: bytes


def packets(path: Path) -> Iterator[tuple[int, bytes]]:
    """(link type, octets) of every packet of a file."""
    octets = path.read_bytes()
    if octets[:4] == b"\x0a\x0d\x0d\x0a":
        yield from _pcapng(octets)
        return
    order = "little" if octets[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else "big"
    link = int.from_bytes(octets[20:24], order)
    at = 24
    while at < len(octets):
        length = int.from_bytes(octets[at + 8 : at + 12], order)
        yield link, octets[at + 16 : at + 16 + length]
        at += 16 + length


def _pcapng(octets: bytes) -> Iterator[tuple[int, bytes]]:
    links: list[int] = []
    at = 0
    order = "little"
    while at < len(octets):
        if octets[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "little" if octets[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else "big"
        kind, length = (int.from_bytes(octets[at + i : at + i + 4], order) for i in (0, 4))
        if kind == 1:
            links.append(int.from_bytes(octets[at + 8 : at + 10], order))
        elif kind == 6:
            interface, captured = (int.from_bytes(octets[at + i : at + i + 4], order) for i in (8, 20))
            yield links[interface], octets[at + 28 : at + 28 + captured]
        at += length


_LINK_HEADERS = {1: 14, 101: 0, 113: 16}
"""Octets before the packet: Ethernet, raw IP, Linux's cooked capture. The last two are the Ethertype."""

_VLAN = b"\x81\x00"
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}


def payloads(name: str) -> list[Payload]:
    """Every non-empty TCP payload of a capture, in order."""
    found = []
    for link, frame in packets(CAPTURES / name):
        head = _LINK_HEADERS[link]
        packet = frame[head:]
        kind = int.from_bytes(frame[head - 2 : head], "big") if head else _ETHERTYPES[frame[0] >> 4]
        if kind == 0x0800 and packet[9] == 6:
            head = (packet[0] & 15) * 4
            tcp = packet[head : int.from_bytes(packet[2:4], "big")]
            source, destination = packet[12:16], packet[16:20]
        elif kind == 0x86DD and packet[6] == 6:
            tcp = packet[40 : 40 + int.from_bytes(packet[4:6], "big")]
            source, destination = packet[8:24], packet[24:40]
        else:
            continue
        body = tcp[(tcp[12] >> 4) * 4 :]
        if body:
            found.append(Payload(source + tcp[:2], destination + tcp[2:4], body))
    return found


def datagrams(name: str) -> Iterator[bytes]:
    """Every UDP payload of a capture, in order."""
    for link, frame in packets(CAPTURES / name):
        head = _LINK_HEADERS[link]
        while head and frame[head - 2 : head] == _VLAN:
            head += 4
        packet = frame[head:]
        version = packet[0] >> 4
        if packet[9 if version == 4 else 6] == 17:
            at = (packet[0] & 15) * 4 if version == 4 else 40
            yield packet[at + 8 : at + int.from_bytes(packet[at + 4 : at + 6], "big")]
