"""Probes of the transport layer: does a TCP connection open, does a UDP datagram get anywhere."""

from __future__ import annotations

import errno
import select
import socket
import time
from pathlib import Path

import msgspec

from peerlab.runtime.probe import family_of
from peerlab.runtime.task import Reporter

__all__ = [
    "Attempt",
    "Served",
    "Settled",
    "in_flight",
    "tcp_await",
    "tcp_connect",
    "tcp_serve",
    "tcp_settle",
    "udp_probe",
]

CONNECT_SECONDS = 2.0
UDP_WAIT_SECONDS = 1.0
BETWEEN_SECONDS = 0.02
BACKLOG = 64
_ESTABLISHED = "01"
_OUTCOMES = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "no-route",
    errno.EHOSTUNREACH: "unreachable",
    errno.EACCES: "no-route",
    errno.EINVAL: "no-route",
    errno.ETIMEDOUT: "timed-out",
    errno.ECONNRESET: "reset",
}


class Attempt(msgspec.Struct, frozen=True):
    """How an attempt ended: open, answered, refused, reset, no-route, unreachable, timed-out, or the system's words."""

    destination: str
    port: int
    outcome: str
    took_ms: float
    source: str = ""


class Settled(msgspec.Struct, frozen=True):
    """Whether every octet has arrived and was read in the end, and how many were still on their way at first."""

    port: int
    settled: bool
    octets_at_first: int


class Served(msgspec.Struct, frozen=True):
    """How many connections were accepted, and from where."""

    port: int
    accepted: int
    sources: tuple[str, ...] = ()


def _word(failure: OSError) -> str:
    return _OUTCOMES.get(failure.errno or 0, failure.strerror or str(failure))


def tcp_connect(
    reporter: Reporter, destination: str, port: int, wait: float = CONNECT_SECONDS, source: str = ""
) -> Attempt:
    """Opens a TCP connection and closes it."""
    begun = time.monotonic_ns()
    local = ""
    with socket.socket(family_of(destination), socket.SOCK_STREAM) as client:
        client.settimeout(wait)
        try:
            if source:
                client.bind((source, 0))
            client.connect((destination, port))
            local = client.getsockname()[0]
            outcome = "open"
        except TimeoutError:
            outcome = "timed-out"
        except OSError as failure:
            outcome = _word(failure)
    return Attempt(destination, port, outcome, (time.monotonic_ns() - begun) / 1e6, local)


def tcp_await(reporter: Reporter, destination: str, port: int, within: float) -> Attempt:
    """Tries to open a TCP connection until somebody accepts it, or for ``within`` seconds."""
    begun = time.monotonic()
    while True:
        attempt = tcp_connect(reporter, destination, port, wait=CONNECT_SECONDS)
        if attempt.outcome == "open" or time.monotonic() - begun > within:
            return attempt
        reporter.stop.wait(BETWEEN_SECONDS)


def tcp_serve(reporter: Reporter, port: int, address: str = "") -> Served:
    """Accepts and closes TCP connections until told to stop. Its first record says that it listens."""
    family = family_of(address) if address else socket.AF_INET6
    sources = []
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if address else 0)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        reporter.emit({"port": port})
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(reporter.stopped, select.POLLIN)
        while not reporter.stop.is_set():
            poll.poll()
            try:
                connection, peer = listener.accept()
            except BlockingIOError:
                continue
            connection.close()
            sources.append(peer[0].removeprefix("::ffff:"))
    return Served(port, len(sources), tuple(sources))


def udp_probe(reporter: Reporter, destination: str, port: int, wait: float = UDP_WAIT_SECONDS) -> Attempt:
    """Sends one datagram. "refused" means that it arrived where nobody listens; "timed-out" says nothing."""
    begun = time.monotonic_ns()
    with socket.socket(family_of(destination), socket.SOCK_DGRAM) as client:
        client.settimeout(wait)
        try:
            client.connect((destination, port))
            client.send(b"peerlab")
            client.recv(2048)
            outcome = "answered"
        except TimeoutError:
            outcome = "timed-out"
        except OSError as failure:
            outcome = _word(failure)
    return Attempt(destination, port, outcome, (time.monotonic_ns() - begun) / 1e6)


def in_flight(table: str, port: int) -> int:
    """Octets of the established connections of a port that the far end has not acknowledged or this end not read.

    ``table`` is the text of /proc/net/tcp or tcp6 (proc(5)).
    """
    octets = 0
    for line in table.splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        if state == _ESTABLISHED and f"{port:04X}" in (local.rpartition(":")[2], remote.rpartition(":")[2]):
            octets += sum(int(queue, 16) for queue in queues.split(":"))
    return octets


def tcp_settle(reporter: Reporter, port: int, within: float) -> Settled:
    """Waits until nothing of this node's connections of a port is on its way, here or there."""
    deadline = time.monotonic() + within
    first = octets = _all_in_flight(port)
    while octets and time.monotonic() < deadline:
        reporter.stop.wait(BETWEEN_SECONDS)
        octets = _all_in_flight(port)
    return Settled(port, not octets, first)


def _all_in_flight(port: int) -> int:
    return sum(in_flight(Path("/proc/thread-self/net", table).read_text(), port) for table in ("tcp", "tcp6"))
