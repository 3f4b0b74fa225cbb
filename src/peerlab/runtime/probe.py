"""Probes by ICMP: ping and traceroute, both families. Each runs inside a node as a task and returns a struct.

Sources: RFC 792, RFC 4443, ip(7) and ipv6(7) for the error queue.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import statistics
import struct
import time
from typing import NamedTuple

import msgspec

from peerlab.runtime.task import Reporter

__all__ = ["Hop", "PingReport", "TraceReport", "ping", "traceroute"]

ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
ECHO_HEADER = struct.Struct("!BBHHH")
STAMP = struct.Struct("!Q")
IPV4_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO, PMTUDISC_DONT = 10, 23, 2, 0
IPV6_CHECKSUM = 7
IP_RECVERR, IPV6_RECVERR = 11, 25
EXTENDED_ERROR = struct.Struct("=IBBBxII")
ORIGIN_ICMP, ORIGIN_ICMP6 = 2, 3
TIME_EXCEEDED = {socket.AF_INET: 11, socket.AF_INET6: 3}
UNREACHABLE = {socket.AF_INET: 3, socket.AF_INET6: 1}
ECHO_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
PING_WAIT_SECONDS = 1.0
TRACE_WAIT_SECONDS = 0.25
TRACE_WAVE = 4
NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL})


class PingReport(msgspec.Struct, frozen=True):
    """Echo requests sent and answered, round-trip times in milliseconds (None without an answer).

    ``errors`` counts what was reported instead of an answer, by the words of the system.
    """

    destination: str
    sent: int
    received: int
    loss_percent: float
    rtt_min_ms: float | None = None
    rtt_avg_ms: float | None = None
    rtt_max_ms: float | None = None
    rtt_median_ms: float | None = None
    errors: dict[str, int] = {}


class Hop(msgspec.Struct, frozen=True):
    """One hop of a trace. ``address`` is None when nobody answered for this TTL."""

    ttl: int
    address: str | None = None
    rtt_ms: float | None = None
    answer: str = ""


class TraceReport(msgspec.Struct, frozen=True):
    """The way to a destination. ``outcome``: reached, unreachable (a router said so), no-route (this node has
    none), or silent (the last TTLs got no answer)."""

    destination: str
    hops: tuple[Hop, ...]
    outcome: str


def family_of(address: str) -> socket.AddressFamily:
    """The family of an address text."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def internet_checksum(block: bytes) -> int:
    """RFC 1071."""
    if len(block) & 1:
        block += b"\0"
    total: int = sum(struct.unpack(f"!{len(block) // 2}H", block))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(
    reporter: Reporter,
    destination: str,
    count: int = 3,
    interval: float = 0.01,
    size: int = 56,
    df: bool = False,
    source: str = "",
    wait: float = PING_WAIT_SECONDS,
) -> PingReport:
    """Sends ``count`` echo requests, ``interval`` seconds apart, of ``size`` payload bytes.

    ``df`` forbids fragmentation, so that a path's MTU shows. Waits up to ``wait`` seconds after the last.
    """
    family = family_of(destination)
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        if family == socket.AF_INET6:
            raw.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO if df else PMTUDISC_DONT)
        else:
            raw.setsockopt(socket.IPPROTO_IP, IPV4_MTU_DISCOVER, PMTUDISC_DO if df else PMTUDISC_DONT)
        if source:
            raw.bind((source, 0))
        return _Pinger(raw, family, destination, size).go(reporter, count, interval, wait)


class _Pinger:
    def __init__(self, raw: socket.socket, family: socket.AddressFamily, destination: str, size: int) -> None:
        self.raw = raw
        self.family = family
        self.destination = destination
        self.identifier = os.getpid() & 0xFFFF
        self.filling = bytes(max(0, size - STAMP.size))
        self.errors: dict[str, int] = {}
        self.times: dict[int, float] = {}

    def go(self, reporter: Reporter, count: int, interval: float, wait: float) -> PingReport:
        poll = select.poll()
        poll.register(self.raw, select.POLLIN)
        poll.register(reporter.stopped, select.POLLIN)
        sent = 0
        due = time.monotonic()
        while len(self.times) < count and not reporter.stop.is_set():
            now = time.monotonic()
            if sent < count and now >= due:
                self._send(sent)
                sent += 1
                due = due + interval if sent < count else now + wait
                continue
            if sent == count and (now >= due or len(self.times) + sum(self.errors.values()) >= count):
                break
            if poll.poll(max(0.0, due - now) * 1000):
                self._receive()
        times = list(self.times.values())
        return PingReport(
            self.destination,
            sent,
            len(times),
            round(100.0 * (sent - len(times)) / sent, 3) if sent else 0.0,
            min(times) if times else None,
            sum(times) / len(times) if times else None,
            max(times) if times else None,
            statistics.median(times) if times else None,
            self.errors,
        )

    def _send(self, sequence: int) -> None:
        payload = STAMP.pack(time.monotonic_ns()) + self.filling
        head = ECHO_HEADER.pack(ECHO_REQUEST[self.family], 0, 0, self.identifier, sequence & 0xFFFF)
        if self.family == socket.AF_INET:  # the kernel fills in the checksum of ICMPv6 only
            checksum = internet_checksum(head + payload)
            head = ECHO_HEADER.pack(ECHO_REQUEST[self.family], 0, checksum, self.identifier, sequence & 0xFFFF)
        try:
            self.raw.sendto(head + payload, (self.destination, 0))
        except OSError as failure:
            self._count(failure.strerror or str(failure))

    def _count(self, words: str) -> None:
        self.errors[words] = self.errors.get(words, 0) + 1

    def _receive(self) -> None:
        try:
            block, sender = self.raw.recvfrom(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as failure:
            self._count(failure.strerror or str(failure))
            return
        if self.family == socket.AF_INET:
            block = block[(block[0] & 15) * 4 :]
        if len(block) < ECHO_HEADER.size + STAMP.size:
            return
        kind, code, _, identifier, sequence = ECHO_HEADER.unpack_from(block)
        if kind == ECHO_REPLY[self.family] and identifier == self.identifier:
            (sent_at,) = STAMP.unpack_from(block, ECHO_HEADER.size)
            self.times.setdefault(sequence, (time.monotonic_ns() - sent_at) / 1e6)
        elif kind in (UNREACHABLE[self.family], TIME_EXCEEDED[self.family]) and self._is_about_us(block):
            self._count(f"ICMP {kind}/{code} from {sender[0]}")

    def _is_about_us(self, block: bytes) -> bool:
        """True when an ICMP error quotes one of our requests (RFC 792: the IP header and 8 bytes)."""
        quoted = block[8:]
        skip = 40 if self.family == socket.AF_INET6 else (quoted[0] & 15) * 4 if quoted else 0
        if len(quoted) < skip + ECHO_HEADER.size:
            return False
        kind, _, _, identifier, _ = ECHO_HEADER.unpack_from(quoted, skip)
        return bool(kind == ECHO_REQUEST[self.family] and identifier == self.identifier)


class _Trial(NamedTuple):
    ttl: int
    socket: socket.socket
    sent_at: int


def traceroute(
    reporter: Reporter,
    destination: str,
    max_ttl: int = 24,
    source: str = "",
    wait: float = TRACE_WAIT_SECONDS,
) -> TraceReport:
    """Echo requests, a few TTLs at once, one ping socket each; hops answer through the sockets' error queues.

    The next TTLs go out as soon as all of the last have answered, or after ``wait`` seconds. Echo and not UDP: a
    host's "port unreachable" is rate limited by a global sysctl (icmp_msgs_per_sec), an echo reply is not.
    """
    family = family_of(destination)
    hops: dict[int, Hop] = {}
    last = max_ttl
    for first in range(1, max_ttl + 1, TRACE_WAVE):
        wave = range(first, min(first + TRACE_WAVE, max_ttl + 1))
        trials: dict[int, _Trial] = {}
        try:
            for ttl in wave:
                trial = _send_trial(family, destination, ttl, source)
                if trial is None:
                    return TraceReport(destination, (), "no-route")
                trials[trial.socket.fileno()] = trial
            last = _gather(reporter, family, trials, hops, last, wait)
        finally:
            for trial in trials.values():
                trial.socket.close()
        if last in hops or reporter.stop.is_set():
            break
    ending = hops.get(last)
    outcome = ending.answer if ending is not None and ending.answer != "time-exceeded" else "silent"
    shown = min(last, max(hops, default=0) + 1)  # behind the last answer, one line of silence says it all
    return TraceReport(destination, tuple(hops.get(ttl, Hop(ttl)) for ttl in range(1, shown + 1)), outcome)


def _gather(
    reporter: Reporter,
    family: socket.AddressFamily,
    trials: dict[int, _Trial],
    hops: dict[int, Hop],
    last: int,
    wait: float,
) -> int:
    """Waits for the answers of one wave, writes them into ``hops``; the TTL at which the way ends, as far as known."""
    poll = select.poll()
    poll.register(reporter.stopped, select.POLLIN)
    for descriptor in trials:
        poll.register(descriptor, select.POLLIN | select.POLLERR)
    deadline = time.monotonic() + wait
    while not reporter.stop.is_set() and any(
        trial.ttl not in hops and trial.ttl <= last for trial in trials.values()
    ):
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            break
        for descriptor, _ in ready:
            trial = trials.get(descriptor)
            hop = _answer_of(family, trial) if trial is not None else None
            if hop is not None:
                hops.setdefault(hop.ttl, hop)
                if hop.answer != "time-exceeded":
                    last = min(last, hop.ttl)
    return last


def _send_trial(family: socket.AddressFamily, destination: str, ttl: int, source: str) -> _Trial | None:
    """One probe; None when this node has no route."""
    datagram = socket.socket(family, socket.SOCK_DGRAM, ECHO_PROTOCOL[family])
    try:
        if family == socket.AF_INET6:
            datagram.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
            datagram.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        else:
            datagram.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            datagram.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        if source:
            datagram.bind((source, 0))
        sent_at = time.monotonic_ns()
        request = ECHO_HEADER.pack(ECHO_REQUEST[family], 0, 0, 0, ttl)  # the kernel fills in identifier and checksum
        datagram.sendto(request + b"peerlab-trace", (destination, 0))
    except OSError as failure:
        if failure.errno == errno.ENOBUFS:  # lost to an impairment at this node's own egress
            return _Trial(ttl, datagram, sent_at)
        datagram.close()
        if failure.errno in NO_ROUTE:
            return None
        raise
    return _Trial(ttl, datagram, sent_at)


def _answer_of(family: socket.AddressFamily, trial: _Trial) -> Hop | None:
    """Reads a socket: an echo reply, or who said what about the probe. None when there was nothing of use."""
    try:
        _, ancillary, _, _ = trial.socket.recvmsg(512, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return _reply_of(trial)
    rtt = (time.monotonic_ns() - trial.sent_at) / 1e6
    for _, _, block in ancillary:
        number, origin, kind, _, _, _ = EXTENDED_ERROR.unpack_from(block)
        if origin not in (ORIGIN_ICMP, ORIGIN_ICMP6):
            # The node itself gave up, most often because nobody answered ARP or neighbour discovery.
            return Hop(trial.ttl, None, None, "unreachable" if number == errno.EHOSTUNREACH else os.strerror(number))
        sender = _offender(family, block[EXTENDED_ERROR.size :])
        return Hop(trial.ttl, sender, rtt, "time-exceeded" if kind == TIME_EXCEEDED[family] else "unreachable")
    return None


def _reply_of(trial: _Trial) -> Hop | None:
    """The destination's echo reply, if it is there."""
    try:
        _, sender = trial.socket.recvfrom(512, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    return Hop(trial.ttl, sender[0], (time.monotonic_ns() - trial.sent_at) / 1e6, "reached")


def _offender(family: socket.AddressFamily, block: bytes) -> str | None:
    """The address in the sockaddr behind a sock_extended_err (SO_EE_OFFENDER)."""
    if len(block) < 8:
        return None
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, block[8:24])
    return socket.inet_ntop(family, block[4:8])
