"""A flood of frames for a bounded time: some kinds as fast as this machine makes them, others so many and no more."""

from __future__ import annotations

import errno
import socket
import struct
import time

import msgspec

from peerlab.runtime.frames import ETHER_IPV4, ETHER_IPV6, PROTOCOLS
from peerlab.runtime.probe import family_of, internet_checksum
from peerlab.runtime.task import Reporter

__all__ = ["FloodKind", "Flooded", "echo", "flood", "tcp_segment"]

BURST = 32
"""Frames of one kind in a row, between two looks at the clock."""
_FULL = (errno.ENOBUFS, errno.EAGAIN)
_HOPS = 64


class FloodKind(msgspec.Struct, frozen=True):
    """Frames (hex) that are sent in turn. ``most`` in all, spread over the time; 0 for as many as can be."""

    name: str
    frames: tuple[str, ...]
    most: int = 0


class Flooded(msgspec.Struct, frozen=True):
    """Frames that left, by kind, and the seconds it took."""

    sent: dict[str, int]
    seconds: float


def flood(reporter: Reporter, interface: str, kinds: list[dict[str, object]], seconds: float) -> Flooded:
    """Send every kind in turn for so many seconds."""
    wanted = [msgspec.convert(kind, FloodKind) for kind in kinds]
    blocks = {kind.name: [bytes.fromhex(frame) for frame in kind.frames] for kind in wanted}
    sent = dict.fromkeys(blocks, 0)
    begun = time.monotonic()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind((interface, 0))
        while (passed := time.monotonic() - begun) < seconds and not reporter.stop.is_set():
            for kind in wanted:
                many = BURST if not kind.most else int(kind.most * passed / seconds) - sent[kind.name]
                frames = blocks[kind.name]
                for _ in range(many):
                    try:
                        wire.send(frames[sent[kind.name] % len(frames)])
                    except OSError as failure:
                        if failure.errno not in _FULL:
                            raise
                        break
                    sent[kind.name] += 1
    return Flooded(sent, time.monotonic() - begun)


def tcp_segment(
    macs: tuple[str, str], source: tuple[str, int], destination: tuple[str, int], flags: int, payload: bytes = b""
) -> bytes:
    """An Ethernet frame with one TCP segment in the middle of nowhere: sequence numbers of its own making.

    ``macs`` are source and destination, as are the (address, port) pairs.
    """
    header = struct.pack(
        "!HHIIBBHHH", source[1], destination[1], 0x10000000, 0x20000000, 5 << 4, flags, 65535, 0, 0
    )
    return _framed(macs, source[0], destination[0], PROTOCOLS["tcp"], header + payload, 16)


def echo(macs: tuple[str, str], source: str, destination: str, payload: bytes = b"") -> bytes:
    """An Ethernet frame with an echo request of ICMP (RFC 792) or ICMPv6 (RFC 4443)."""
    if ":" in source:
        message = struct.pack("!BBHHH", 128, 0, 0, 7, 1) + payload
        return _framed(macs, source, destination, PROTOCOLS["icmpv6"], message, 2)
    message = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + payload
    checksum = internet_checksum(message).to_bytes(2, "big")
    return _packet(macs, source, destination, PROTOCOLS["icmp"], message[:2] + checksum + message[4:])


def _framed(
    macs: tuple[str, str], source: str, destination: str, protocol: int, message: bytes, checksum_at: int
) -> bytes:
    """With the checksum over the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1)."""
    family = family_of(source)
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    six = family == socket.AF_INET6
    pseudo = struct.pack("!II", len(message), protocol) if six else struct.pack("!HH", protocol, len(message))
    checksum = internet_checksum(addresses + pseudo + message).to_bytes(2, "big")
    return _packet(macs, source, destination, protocol, message[:checksum_at] + checksum + message[checksum_at + 2 :])


def _packet(macs: tuple[str, str], source: str, destination: str, protocol: int, message: bytes) -> bytes:
    family = family_of(source)
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    ethernet = bytes.fromhex((macs[1] + macs[0]).replace(":", ""))
    if family == socket.AF_INET6:
        head = struct.pack("!IHBB", 6 << 28, len(message), protocol, _HOPS)
        return ethernet + ETHER_IPV6.to_bytes(2, "big") + head + addresses + message
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 1, 0, _HOPS, protocol, 0) + addresses
    head = head[:10] + internet_checksum(head).to_bytes(2, "big") + head[12:]
    return ethernet + ETHER_IPV4.to_bytes(2, "big") + head + message
