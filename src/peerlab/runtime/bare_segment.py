"""A TCP segment that belongs to no connection, and whether it is answered (RFC 9293 section 3.5.2: by a reset)."""

from __future__ import annotations

import os
import select
import socket
import struct
import time

import msgspec

from peerlab.runtime.probe import internet_checksum
from peerlab.runtime.task import Reporter

__all__ = ["SegmentAnswer", "bare_segment"]

_TCP = struct.Struct("!HHIIBBHHH")
_PSEUDO = struct.Struct("!4s4sBBH")
_IPV4_HEADER_UNIT = 4
ACK, SYN, RST = 0x10, 0x02, 0x04
_FLAGS = {"ack": ACK, "syn": SYN}
ATTEMPTS = 3


class SegmentAnswer(msgspec.Struct, frozen=True):
    """Whether any of the attempts was answered with a reset."""

    destination: str
    port: int
    kind: str
    answered: bool


def bare_segment(
    reporter: Reporter, source: str, destination: str, port: int, kind: str = "ack", wait: float = 0.3
) -> SegmentAnswer:
    """Sends a segment (``ack`` or ``syn``) over IPv4 to a port where nobody listens, a few times.

    A host answers each with a reset, and so does the path let it through, unless something on it keeps state.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.bind((source, 0))
        poll = select.poll()
        poll.register(raw, select.POLLIN)
        for attempt in range(ATTEMPTS):
            own_port = 49152 + (os.getpid() * ATTEMPTS + attempt) % 16384
            raw.sendto(_segment(source, destination, own_port, port, _FLAGS[kind]), (destination, 0))
            deadline = time.monotonic() + wait
            while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                packet, (sender, _) = raw.recvfrom(65535)
                if sender == destination and _is_reset(packet, port, own_port):
                    return SegmentAnswer(destination, port, kind, True)
    return SegmentAnswer(destination, port, kind, False)


def _segment(source: str, destination: str, own_port: int, port: int, flags: int) -> bytes:
    fields = (own_port, port, 1, 1 if flags & ACK else 0, (_TCP.size // 4) << 4, flags, 1024)
    pseudo = _PSEUDO.pack(socket.inet_aton(source), socket.inet_aton(destination), 0, socket.IPPROTO_TCP, _TCP.size)
    checksum = internet_checksum(pseudo + _TCP.pack(*fields, 0, 0))
    return _TCP.pack(*fields, checksum, 0)


def _is_reset(packet: bytes, source_port: int, destination_port: int) -> bool:
    header = (packet[0] & 15) * _IPV4_HEADER_UNIT
    if len(packet) < header + _TCP.size:
        return False
    fields = _TCP.unpack_from(packet, header)
    return fields[0] == source_port and fields[1] == destination_port and bool(fields[5] & RST)
