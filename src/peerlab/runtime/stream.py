"""A UDP stream at a steady rate, and what became of it at the other end: losses with their times, order, doubles.

The sender keeps its schedule: when the machine makes it late it catches up, so that the number of datagrams
sent in a second is right even when single ones are late. The receiver takes the kernel's receive time of each
datagram (SO_TIMESTAMPNS), so its own lateness does not matter, and counts what its own socket had to throw
away (SO_RXQ_OVFL), so that this is never mistaken for loss on the way.
"""

from __future__ import annotations

import select
import socket
import struct
import time

import msgspec

from peerlab.errors import RuntimeFailure
from peerlab.runtime.probe import family_of
from peerlab.runtime.task import Reporter

__all__ = ["StreamReceived", "StreamSent", "udp_stream_receive", "udp_stream_send"]

DATAGRAM = struct.Struct("!8sQQQ")
MAGIC = b"peerlab\0"
SO_TIMESTAMPNS, SO_RXQ_OVFL, SO_RCVBUFFORCE = 35, 40, 33
TIMESPEC = struct.Struct("=qq")
RECEIVE_BUFFER = 4 << 20
DRAIN_SECONDS = 0.05
_SHORTEST_SLEEP_NS = 20_000


class StreamSent(msgspec.Struct, frozen=True):
    """What was sent: times are CLOCK_REALTIME in ns; ``late_max_ms`` is the worst lateness on the schedule.

    ``refused`` counts datagrams that the node's own kernel would not send, by its words (no route, no buffer);
    they are in ``sent``, and the receiver misses them like any other loss.
    """

    destination: str
    port: int
    sent: int
    started_ns: int
    ended_ns: int
    late_max_ms: float
    refused: dict[str, int] = {}


class StreamReceived(msgspec.Struct, frozen=True):
    """What arrived. ``gaps`` are (ns of the last datagram before, ns of the first after, datagrams missing).

    For a loss at the very beginning the first time is the sender's start. What is lost at the very end only
    the sender's count shows. ``overflowed`` datagrams reached this node and were lost in its socket: a
    measurement with any is worth nothing. ``stale`` datagrams were sent by a sender that had started before this
    receiver listened: the rest of an earlier stream, kept in a queue of the way; they are counted nowhere else.
    """

    port: int
    received: int
    duplicated: int
    reordered: int
    first_ns: int = 0
    last_ns: int = 0
    last_sequence: int = -1
    overflowed: int = 0
    gaps: tuple[tuple[int, int, int], ...] = ()
    jitter_ms: float = 0.0
    stale: int = 0


def udp_stream_send(
    reporter: Reporter,
    destination: str,
    port: int,
    rate_hz: float = 1000.0,
    size: int = 64,
    source: str = "",
    count: int = 0,
) -> StreamSent:
    """Sends ``rate_hz`` datagrams a second of ``size`` bytes until told to stop, or ``count`` of them.

    Its first record says it began.
    """
    if rate_hz <= 0:
        raise RuntimeFailure(f"a rate of {rate_hz} datagrams a second cannot be sent; give a positive one")
    family = family_of(destination)
    filling = bytes(max(0, size - DATAGRAM.size))
    refused: dict[str, int] = {}
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        if source:
            sender.bind((source, 0))
        target = (destination, port)
        interval = round(1e9 / rate_hz)
        started = time.time_ns()
        due = start = time.monotonic_ns()
        sequence = late_max = 0
        reporter.emit({"started_ns": started})
        while not reporter.stop.is_set() and (not count or sequence < count):
            now = time.monotonic_ns()
            if now < due - _SHORTEST_SLEEP_NS:
                select.select([reporter.stopped], [], [], (due - now) / 1e9)
                continue
            late_max = max(late_max, now - due)
            try:
                sender.sendto(DATAGRAM.pack(MAGIC, sequence, time.time_ns(), started) + filling, target)
            except OSError as failure:
                words = failure.strerror or str(failure)
                refused[words] = refused.get(words, 0) + 1
            sequence += 1
            due = start + sequence * interval
    return StreamSent(destination, port, sequence, started, time.time_ns(), late_max / 1e6, refused)


def udp_stream_receive(reporter: Reporter, port: int, address: str = "") -> StreamReceived:
    """Receives a stream until told to stop, and a moment longer for what is on the way.

    Its first record says that it listens. Without ``address`` it listens on all, of both families.
    """
    with _listener(port, address) as receiver:
        account = _Account(port, time.time_ns())
        reporter.emit({"port": port})
        poll = select.poll()
        poll.register(receiver, select.POLLIN)
        poll.register(reporter.stopped, select.POLLIN)
        while not reporter.stop.is_set():
            poll.poll()
            _take_all(receiver, account)
        rest = select.poll()
        rest.register(receiver, select.POLLIN)
        while rest.poll(DRAIN_SECONDS * 1000):
            _take_all(receiver, account)
    return account.report()


def _listener(port: int, address: str) -> socket.socket:
    family = family_of(address) if address else socket.AF_INET6
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if address else 0)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:  # a user namespace has to live with the host's net.core.rmem_max
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    receiver.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    receiver.bind((address, port))
    receiver.setblocking(False)
    return receiver


def _take_all(receiver: socket.socket, account: _Account) -> None:
    while True:
        try:
            block, ancillary, _, _ = receiver.recvmsg(2048, 128)
        except BlockingIOError:
            return
        at = 0
        for _, kind, value in ancillary:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = TIMESPEC.unpack(value)
                at = seconds * 1_000_000_000 + nanoseconds
            elif kind == SO_RXQ_OVFL:
                account.overflowed = struct.unpack("=I", value)[0]
        if len(block) >= DATAGRAM.size and block.startswith(MAGIC):
            _, sequence, left, started = DATAGRAM.unpack_from(block)
            account.take(sequence, at, started, left)


class _Account:
    """Sequence numbers in, losses out. A gap shrinks when one of its datagrams arrives late."""

    def __init__(self, port: int, listening: int = 0) -> None:
        self.port = port
        self.listening = listening
        self.received = self.duplicated = self.reordered = self.overflowed = self.stale = 0
        self.highest = -1
        self.first = self.last = 0
        self.missing: dict[int, tuple[int, int, set[int]]] = {}  # by first number missing: times, numbers
        self.jitter_ns = 0.0
        self.transit: int | None = None

    def take(self, sequence: int, at: int, started: int, left: int) -> None:
        """One datagram arrived that left at ``left``. Jitter: smoothed change of transit time (RFC 3550 6.4.1)."""
        if started < self.listening:
            self.stale += 1
            return
        if self.transit is not None:
            self.jitter_ns += (abs(at - left - self.transit) - self.jitter_ns) / 16
        self.transit = at - left
        if sequence > self.highest:
            if sequence > self.highest + 1:
                absent = set(range(self.highest + 1, sequence))
                self.missing[self.highest + 1] = (self.last or started, at, absent)
            self.first = self.first or at
            self.highest = sequence
            self.last = at
            self.received += 1
            return
        for begin, (_, _, absent) in self.missing.items():
            if sequence in absent:
                absent.discard(sequence)
                self.received += 1
                self.reordered += 1
                if not absent:
                    del self.missing[begin]
                return
        self.duplicated += 1

    def report(self) -> StreamReceived:
        """The account as it stands."""
        return StreamReceived(
            self.port,
            self.received,
            self.duplicated,
            self.reordered,
            self.first,
            self.last,
            self.highest,
            self.overflowed,
            tuple((before, after, len(absent)) for before, after, absent in self.missing.values()),
            self.jitter_ns / 1e6,
            self.stale,
        )
