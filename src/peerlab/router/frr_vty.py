"""The vty socket of one of FRR's daemons: a command and a NUL in, the reply, three NULs and a status out."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.router.companion_child import Child

ANSWER_WITHIN = 20.0
"""Seconds in which a daemon has to answer."""

_PIECE = 3000
"""Octets of commands that are sent together: the daemon reads 4096 at a time (VTY_READ_BUFSIZ)."""

_END = b"\0\0\0"
_WARNING = 1
"""CMD_WARNING of FRR's lib/command.h: what it was asked about is not there, or nothing had to be done."""


class FrrVty:
    """The connection to one daemon."""

    def __init__(self, directory: Path, name: str, children: Iterable[Child]) -> None:
        """``children`` are read while a reply is waited for. Raises RuntimeFailure when nobody listens."""
        self._name = name
        self._children = tuple(children)
        self._rest = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # By way of the directory's descriptor: a path in sockaddr_un may have 107 octets at most.
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{folder}/{name}.vty")
        except OSError as error:
            raise RuntimeFailure(f"{name} runs but cannot be spoken to: {error.strerror}") from error
        finally:
            os.close(folder)
        self.ask("enable")

    def ask(self, command: str) -> str:
        """One command and its reply. Raises RefusedError with the daemon's words, RuntimeFailure, TimedOut."""
        status, text = self._exchange(command)
        if status > _WARNING:
            raise RefusedError("FrrRefused", f"{command.strip()}: {text.strip() or f'status {status}'}")
        return text

    def configure(self, lines: Iterable[str], anyhow: bool = False) -> None:
        """Lines of configuration, in order. Raises RefusedError for the first that is refused, unless ``anyhow``.

        What comes in one piece the daemon carries out in one, before it looks at any peer: a new neighbour and its
        ``shutdown`` are never parted.
        """
        self.ask("configure terminal")
        try:
            piece: list[str] = []
            for line in lines:
                if not line.endswith(" shutdown") and sum(map(len, piece)) + len(piece) > _PIECE:
                    self._obey(piece, anyhow)
                    piece = []
                piece.append(line)
            self._obey(piece, anyhow)
        finally:
            self.ask("end")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _obey(self, piece: list[str], anyhow: bool) -> None:
        if not piece:
            return  # nothing at all is a command too, and has a reply
        self._send("\0".join(piece))
        refusals = []
        for line in piece:
            status, text = self._reply(line)
            if status:
                refusals.append(f"{line.strip()}: {text.strip() or f'status {status}'}")
        if refusals and not anyhow:
            raise RefusedError("FrrRefused", refusals[0])

    def _exchange(self, command: str) -> tuple[int, str]:
        self._send(command)
        return self._reply(command)

    def _send(self, command: str) -> None:
        try:
            self._socket.sendall(command.encode() + b"\0")
        except OSError as error:
            raise RuntimeFailure(f"{self._name} has closed its vty ({error.strerror})") from error

    def _reply(self, command: str) -> tuple[int, str]:
        limit = time.monotonic() + ANSWER_WITHIN
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        for child in self._children:
            poll.register(child.output, select.POLLIN)
        while True:
            end = self._rest.find(_END)
            if end >= 0 and len(self._rest) > end + len(_END):
                reply, status = bytes(self._rest[:end]), self._rest[end + len(_END)]
                del self._rest[: end + len(_END) + 1]
                return status, reply.decode(errors="replace")
            left = limit - time.monotonic()
            if left <= 0:
                raise TimedOut(f"{self._name}'s answer to {command!r}", ANSWER_WITHIN)
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            # Their output is read meanwhile: they would stop on a full pipe, and we on them.
            for child in self._children:
                if child.output in ready:
                    child.read()
                    if child.has_ended:
                        poll.unregister(child.output)
            if self._socket.fileno() not in ready:
                if any(child.has_ended for child in self._children):
                    raise RuntimeFailure(f"{self._name} has ended")
                continue
            octets = self._socket.recv(1 << 18)
            if not octets:
                raise RuntimeFailure(f"{self._name} has closed its vty")
            self._rest += octets
