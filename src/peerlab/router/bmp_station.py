"""A monitoring station on the node's loopback: it keeps what every peer of the daemon has announced (RFC 7854)."""

from __future__ import annotations

import select
import socket
import time

import msgspec

from peerlab.bgp.attributes import Address, PathAttributes, Prefix
from peerlab.daemons.bmp import monitored, split
from peerlab.errors import RuntimeFailure, WireError


class Heard(msgspec.Struct, frozen=True):
    """A route as a peer announced it, and when (nanoseconds since the epoch)."""

    attributes: PathAttributes
    at: int


class BmpStation:
    """Listens before the daemon starts; one daemon connects."""

    def __init__(self, port: int) -> None:
        """Raises RuntimeFailure when the port cannot be had."""
        self._listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listening.bind(("127.0.0.1", port))
            self._listening.listen(1)
        except OSError as error:
            raise RuntimeFailure(f"cannot listen on 127.0.0.1 port {port}: {error.strerror}") from error
        self._listening.setblocking(False)
        self._connection: socket.socket | None = None
        self._rest = b""
        self._tables: dict[Address, dict[Prefix, Heard]] = {}
        self.messages = 0

    @property
    def is_connected(self) -> bool:
        """Whether the daemon tells."""
        return self._connection is not None

    def table(self, peer: Address) -> dict[Prefix, Heard]:
        """What that peer has announced, as far as it has been told."""
        return self._tables.get(peer, {})

    def wait(self, within: float) -> None:
        """Read what comes within so many seconds; returns at once when something has. Raises RuntimeFailure."""
        before, limit = self.messages, time.monotonic() + within
        while True:
            self.read()
            left = limit - time.monotonic()
            if self.messages != before or left <= 0:
                return
            select.select([self._connection or self._listening], [], [], left)

    def read(self) -> None:
        """Read what is there. Raises RuntimeFailure for what is no BMP."""
        if self._connection is None:
            try:
                self._connection, _ = self._listening.accept()
            except BlockingIOError:
                return
            self._connection.setblocking(False)
        while True:
            try:
                octets = self._connection.recv(1 << 18)
            except BlockingIOError:
                return
            except OSError:
                octets = b""
            if not octets:
                self.hang_up()
                return
            self._take(self._rest + octets)

    def _take(self, buffer: bytes) -> None:
        try:
            messages, used = split(buffer)
            self._rest = buffer[used:]
            for message in messages:
                self._note(message)
        except (ValueError, WireError) as error:
            raise RuntimeFailure(f"what the daemon tells by BMP cannot be read: {error}") from error

    def _note(self, message: bytes) -> None:
        self.messages += 1
        told = monitored(message)
        if told is None:
            return
        if told.update is None:
            self._tables[told.peer] = {}
            return
        table = self._tables.setdefault(told.peer, {})
        for prefix in told.update.withdrawn:
            table.pop(prefix, None)
        for prefix, attributes in told.update.routes():
            table[prefix] = Heard(attributes, told.at)

    def hang_up(self) -> None:
        """End the connection and forget what was told; the daemon connects again and tells everything."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._rest = None, b""
        self._tables.clear()

    def close(self) -> None:
        """Stop listening."""
        if self._connection is not None:
            self._connection.close()
        self._listening.close()
