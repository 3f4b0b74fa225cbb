"""peerlab's own RPKI cache: a process that serves ``vrps.json`` to routers by RTR, and serves it anew on SIGHUP."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

import msgspec

from peerlab.bgp.rtr_cache import CacheSession, VrpTable
from peerlab.bgp.rtr_config import CacheConfig
from peerlab.daemons import rpki
from peerlab.errors import InputError, PeerlabError, Problem, RuntimeFailure
from peerlab.router.loop import READ, WRITE, Loop

_AT_ONCE = 1 << 16
_BACKLOG = 64
_MOST_UNSENT = 64 << 20
"""Octets that a router may leave unread before it is hung up on."""


class _Customer:
    """One router's connection."""

    def __init__(self, channel: socket.socket, table: VrpTable) -> None:
        self.channel = channel
        self.session = CacheSession(table)
        self.unsent = b""


class RpkiCache:
    """Listens and answers. The session id is another one at each start (RFC 8210 section 5.1)."""

    def __init__(self, loop: Loop, config: CacheConfig) -> None:
        """Raises InputError for a file that holds no VRPs, RuntimeFailure when the port is not to be had."""
        self._loop = loop
        self._path = Path(config.directory) / rpki.VRPS
        started = time.time_ns() // 1_000_000
        self._table = VrpTable(started & 0xFFFF, rpki.read_vrps(_read(self._path)), config.intervals)
        self._customers: dict[int, _Customer] = {}
        self._listening = socket.socket(
            socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._listening.bind(("::", config.port))
            self._listening.listen(_BACKLOG)
        except OSError as error:
            raise RuntimeFailure(f"cannot listen on TCP/{config.port}: {error.strerror}") from error
        loop.watch(self._listening.fileno(), READ, self._accept)
        self._say(f"session {self._table.session}, {len(self._table.vrps)} VRPs")

    def reload(self) -> None:
        """Read the files again and tell every router when there is something new. A bad file changes nothing."""
        try:
            vrps = rpki.read_vrps(_read(self._path))
            self._table.intervals = read_config(self._path.with_name(rpki.CONFIGURATION.name)).intervals
        except PeerlabError as error:
            self._say(f"kept what it had: {error}")
            return
        if self._table.replace(vrps):
            self._say(f"serial {self._table.serial}, {len(self._table.vrps)} VRPs")
            for customer in tuple(self._customers.values()):
                self._send(customer, customer.session.notice())

    def close(self) -> None:
        """Hang up on everybody."""
        for customer in tuple(self._customers.values()):
            self._drop(customer)
        self._loop.unwatch(self._listening.fileno())
        self._listening.close()

    def _accept(self, _: int) -> None:
        while True:
            try:
                channel, address = self._listening.accept()
            except OSError:
                return
            channel.setblocking(False)
            customer = _Customer(channel, self._table)
            self._customers[channel.fileno()] = customer
            self._say(f"a router at {address[0].removeprefix('::ffff:')}")
            self._loop.watch(channel.fileno(), READ, lambda events, customer=customer: self._ready(customer, events))  # type: ignore[misc]

    def _ready(self, customer: _Customer, events: int) -> None:
        answer = b""
        if events & ~WRITE:
            try:
                octets = customer.channel.recv(_AT_ONCE)
            except BlockingIOError:
                octets = b""
            except OSError:
                self._drop(customer)
                return
            else:
                if not octets:
                    self._drop(customer)
                    return
                answer = customer.session.receive(octets)
        self._send(customer, answer)

    def _send(self, customer: _Customer, octets: bytes) -> None:
        customer.unsent += octets
        try:
            while customer.unsent:
                customer.unsent = customer.unsent[customer.channel.send(customer.unsent[:_AT_ONCE]) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(customer)
            return
        if len(customer.unsent) > _MOST_UNSENT or (customer.session.must_close and not customer.unsent):
            self._drop(customer)
            return
        wanted = READ | WRITE if customer.unsent else READ
        self._loop.watch(customer.channel.fileno(), wanted, lambda events: self._ready(customer, events))

    def _drop(self, customer: _Customer) -> None:
        descriptor = customer.channel.fileno()
        if self._customers.pop(descriptor, None) is not None:
            self._loop.unwatch(descriptor)
            customer.channel.close()

    @staticmethod
    def _say(text: str) -> None:
        print(time.strftime("%H:%M:%S", time.gmtime()), text, file=sys.stderr, flush=True)


def read_config(path: Path) -> CacheConfig:
    """What stands in ``cache.json``. Raises InputError when it is no cache's, RuntimeFailure when it cannot be read."""
    try:
        return msgspec.json.decode(_read(path), type=CacheConfig)
    except msgspec.MsgspecError as error:
        raise InputError([Problem(str(path), str(error), "let peerlab write this file")]) from error


def run(path: Path) -> int:
    """Be the cache of this ``cache.json`` until SIGTERM or SIGINT; answers the exit code.

    Raises PeerlabError when it cannot start.
    """
    config = msgspec.structs.replace(read_config(path), directory=str(path.parent.resolve()))
    loop = Loop()
    asked: list[int] = []
    ended: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: asked.append(number))
    cache = RpkiCache(loop, config)

    def obey() -> None:
        if ended:
            cache.close()
            loop.stop()
        elif asked:
            asked.clear()
            cache.reload()

    loop.stop_on((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), obey)
    signal.signal(signal.SIGHUP, lambda number, _: asked.append(number))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: ended.append(number))
    if asked:
        obey()
    loop.run()
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RuntimeFailure(f"cannot read {path}: {error.strerror}") from error
