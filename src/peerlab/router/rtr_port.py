"""A router's connection to one RPKI cache: TCP that comes and goes around an ``RtrClient`` that stays."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_client import NEVER, CacheState, RtrClient
from peerlab.bgp.rtr_config import RtrServer
from peerlab.evidence.snapshot import CacheFact
from peerlab.router.loop import READ, WRITE, Loop, Timer

CONNECT_WITHIN = 3.0
"""Seconds after which a connection that did not open is given up."""

RECONNECT = (0.1, 0.2, 0.5, 1.0)
"""Seconds to the next attempt after each one that failed. RFC 8210's retry interval is about questions, not TCP."""

_AT_ONCE = 1 << 16

Complaint = Callable[[str, str], None]
"""Called with a kind of notice and a text for people."""


class RtrPort:
    """Keeps a connection to a cache. ``changed`` is called whenever its usable VRPs are others than before."""

    def __init__(self, loop: Loop, server: RtrServer, changed: Callable[[], None], tell: Complaint) -> None:
        self.server = server
        self.client = RtrClient()
        self._loop = loop
        self._changed = changed
        self._tell = tell
        self._socket: socket.socket | None = None
        self._connecting = False
        self._unsent = b""
        self._failures = 0
        self._turn = 0
        self._known: frozenset[Vrp] | None = None
        self._state = self.client.state
        self._due: Timer | None = None
        self._deadline: Timer | None = None
        self._again: Timer | None = loop.after(0, self._connect)

    def close(self) -> None:
        """Let go of the cache."""
        for timer in (self._due, self._deadline, self._again):
            if timer is not None:
                timer.cancel()
        self._hang_up()

    def fact(self, used: bool) -> CacheFact:
        """How the router stands with this cache now; ``used`` is whether its data are in use."""
        client = self.client
        left = None if client.expires == NEVER else round(client.expires - self._loop.now(), 3)
        return CacheFact(
            name=self.server.name,
            state=client.state.value,
            preference=self.server.preference,
            version=client.version,
            session=client.session,
            serial=client.serial,
            vrps=None if client.vrps is None else len(client.vrps),
            used=used,
            expires_in=left,
            problem=client.problem,
        )

    # connecting

    def _connect(self) -> None:
        self._again = None
        address = self.server.addresses[self._turn % len(self.server.addresses)]
        v6 = ":" in address
        channel = socket.socket(
            socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        source = next((one for one in self.server.sources if (":" in one) is v6), None)
        try:
            if source is not None:
                channel.bind((source, 0))
            code = channel.connect_ex((address, self.server.port))
        except OSError as error:
            code = error.errno or errno.EIO
        if code not in (0, errno.EINPROGRESS):
            channel.close()
            self._failed(os.strerror(code))
            return
        self._socket, self._connecting = channel, True
        self._deadline = self._loop.after(CONNECT_WITHIN, lambda: self._failed("no answer"))
        self._loop.watch(channel.fileno(), WRITE, self._ready)

    def _failed(self, why: str) -> None:
        """An attempt or a connection ended: the next address, a little later."""
        if self.client.state is not CacheState.DOWN:
            self._tell("rpki-cache-lost", f"{self.server.name}: {self.client.problem or why}")
        self._hang_up()
        self.client.problem = self.client.problem or why
        self._turn += 1
        self._again = self._loop.after(RECONNECT[min(self._failures, len(RECONNECT) - 1)], self._connect)
        self._failures += 1
        self._follow()

    def _hang_up(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._connecting, self._unsent = False, b""
        self.client.disconnected(self._loop.now())

    def _ready(self, events: int) -> None:
        channel = self._socket
        if channel is None:
            return
        if self._connecting:
            code = channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._failed(os.strerror(code))
                return
            self._connecting = False
            if self._deadline is not None:
                self._deadline.cancel()
            self.client.problem = ""
            self.client.connected(self._loop.now())
        elif events & ~WRITE and not self._read(channel):
            return
        self._follow()

    def _read(self, channel: socket.socket) -> bool:
        """Read what is there. False when the connection ended by it."""
        try:
            octets = channel.recv(_AT_ONCE)
        except BlockingIOError:
            return True
        except OSError as error:
            self._failed(error.strerror or str(error))
            return False
        if not octets:
            self._failed("the cache closed the connection")
            return False
        self.client.receive(octets, self._loop.now())
        return True

    # what comes of it

    def _follow(self) -> None:
        """Write what is to be written, tell of what changed, and come back when something is due."""
        self._write()
        client = self.client
        if client.state is CacheState.SYNCHRONISED and self._state is not CacheState.SYNCHRONISED:
            self._failures = 0
        self._state = client.state
        if client.vrps != self._known:
            gone = client.vrps is None
            self._known = client.vrps
            kind = "rpki-expired" if gone else "rpki-synchronised"
            has = f"serial {client.serial}, {len(client.vrps or ())} VRPs"
            self._tell(kind, f"{self.server.name}: {'its data are not used any more' if gone else has}")
            self._changed()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if client.due() != NEVER:
            self._due = self._loop.at(client.due(), self._tick)

    def _tick(self) -> None:
        self._due = None
        self.client.tick(self._loop.now())
        self._follow()

    def _write(self) -> None:
        channel = self._socket
        if channel is None or self._connecting:
            return
        self._unsent += self.client.take()
        try:
            while self._unsent:
                self._unsent = self._unsent[channel.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._failed(error.strerror or str(error))
            return
        self._loop.watch(channel.fileno(), READ | WRITE if self._unsent else READ, self._ready)
        if self.client.must_close and not self._unsent:
            self._failed(self.client.problem)
