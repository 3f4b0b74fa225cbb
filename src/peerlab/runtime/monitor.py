"""What an exchange's quarantine does to a port: listen to all that comes out of it, and send it some test frames.

A monitor stands at the far end of a wire: on the other router, or on the port of the LAN's switch, where what it sends
reaches that one member only. Frames of TCP and UDP that differ in nothing but their content are told once, with their
number; every other frame is told as it was, so that ARP, neighbour discovery and all that is forbidden can be read.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence

import msgspec

from peerlab.errors import RefusedError
from peerlab.runtime.frames import (
    ETH_P_ALL,
    PACKET_OUTGOING,
    PACKET_STATISTICS,
    PROTOCOLS,
    RECEIVE_BUFFER,
    SOL_PACKET,
    Frame,
    ask_for_tags,
    parse,
    receive,
)
from peerlab.runtime.task import Reporter

__all__ = ["Monitored", "monitor"]

KEPT_OCTETS = 192
"""Octets that are told of a frame: all headers, and the fields of every protocol that is looked for."""
MOST_FRAMES = 4000
"""Different frames that are told; of a storm the rest is only counted."""
SENT_FOR_MS = 50.0
"""Test frames are spread over this time, so that none of them is lost to a full queue."""


class Monitored(msgspec.Struct, frozen=True):
    """The end of a watch: frames that came in, frames lost to the kernel (``missed``), frames that were counted but
    not told (``untold``), test frames that were sent, and the time of the watch in ns of CLOCK_REALTIME."""

    interface: str
    frames: int
    missed: int
    untold: int
    sent: int
    started_ns: int
    ended_ns: int


class _Told(msgspec.Struct):
    """A frame, or frames that are alike: when the first came, how many, how long, and what is kept of it."""

    at_ns: int
    count: int
    length: int
    hex: str


def monitor(reporter: Reporter, interface: str, frames: Sequence[str] = (), seconds: float = 0.0) -> Monitored:
    """Watches what comes in on an interface, until told to stop or for ``seconds`` when that is positive.

    Sends ``frames`` (hex, from the destination MAC on) once it listens. The first record says that it listens; what
    was seen is told at the end.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        ask_for_tags(wire)
        wire.bind((interface, ETH_P_ALL))
        wire.setblocking(False)
        started = time.time_ns()
        reporter.emit({"interface": interface, "mac": wire.getsockname()[4].hex(":"), "started_ns": started})
        watch = _Watch(wire)
        to_send = [_octets(text) for text in frames]
        sent = 0
        poll = select.poll()
        poll.register(wire, select.POLLIN)
        poll.register(reporter.stopped, select.POLLIN)
        begun = time.monotonic()
        while not reporter.stop.is_set() and (not seconds or time.monotonic() < begun + seconds):
            now = time.monotonic()
            while sent < len(to_send) and (now - begun) * 1000 >= sent * SENT_FOR_MS / len(to_send):
                wire.send(to_send[sent])
                sent += 1
            due = begun + sent * SENT_FOR_MS / 1000 / len(to_send) if sent < len(to_send) else None
            if seconds:
                due = min(due, begun + seconds) if due is not None else begun + seconds
            poll.poll(None if due is None else max(1.0, (due - now) * 1000))
            watch.take_all()
        watch.take_all()
        _, missed = struct.unpack("=II", wire.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    for told in watch.told():
        reporter.emit(told)
    return Monitored(interface, watch.frames, missed, watch.untold, sent, started, time.time_ns())


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as failure:
        raise RefusedError("BadFrame", f"{text[:40]!r} is not hexadecimal") from failure


class _Watch:
    """Frames that came in, those alike under one entry."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        self.frames = self.untold = 0
        self._entries: dict[Frame | bytes, _Told] = {}

    def take_all(self) -> None:
        """Everything that waits."""
        while True:
            try:
                block, address, at = receive(self.wire)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            self.frames += 1
            frame = parse(block)
            flow = frame.protocol in (PROTOCOLS["tcp"], PROTOCOLS["udp"]) and frame.destination_port
            key = frame if flow else block[:KEPT_OCTETS]
            known = self._entries.get(key)
            if known is not None:
                known.count += 1
            elif len(self._entries) < MOST_FRAMES:
                self._entries[key] = _Told(at, 1, len(block), block[:KEPT_OCTETS].hex())
            else:
                self.untold += 1

    def told(self) -> list[_Told]:
        """Every entry, in the order in which the first of each came."""
        return list(self._entries.values())
