"""BIRD's control socket: a command in, all lines of its reply out."""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path

from peerlab.daemons.bird import CONTROL_SOCKET
from peerlab.daemons.bird_reply import Line, is_last, lines_of
from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.router.companion_child import Child

ANSWER_WITHIN = 10.0
"""Seconds in which BIRD has to answer on its control socket."""

_RUN_TIME_ERRORS = 8000
_NOT_FOUND = 8001


class BirdControl:
    """The connection to the control socket of a BIRD."""

    def __init__(self, directory: Path, child: Child) -> None:
        """Raises RuntimeFailure when nobody listens there."""
        self._child = child
        self._answer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # By way of the directory's descriptor: a path in sockaddr_un may have 107 octets at most.
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{folder}/{CONTROL_SOCKET}")
        except OSError as error:
            child.kill()
            raise RuntimeFailure(f"BIRD runs but cannot be spoken to: {error.strerror}") from error
        finally:
            os.close(folder)
        self._reply()

    def ask(self, command: str) -> tuple[Line, ...]:
        """One command, all of its reply; an empty one for "Network not found".

        Raises RefusedError with BIRD's words for an error, RuntimeFailure when BIRD is gone, TimedOut.
        """
        try:
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            raise RuntimeFailure(f"BIRD has closed its control socket ({error.strerror})") from error
        lines = self._reply()
        code = lines[-1].code
        if code == _NOT_FOUND:
            return ()
        if code >= _RUN_TIME_ERRORS:
            raise RefusedError("BirdRefused", f"{command}: {' '.join(line.text for line in lines)}")
        return lines

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _reply(self) -> tuple[Line, ...]:
        """The log is read meanwhile: BIRD would stop on a full pipe, and we on it."""
        limit = time.monotonic() + ANSWER_WITHIN
        poll = select.poll()
        poll.register(self._child.output, select.POLLIN)
        poll.register(self._socket, select.POLLIN)
        raw: list[str] = []
        while True:
            left = limit - time.monotonic()
            if left <= 0:
                raise TimedOut("BIRD's answer", ANSWER_WITHIN)
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            if self._child.output in ready:
                self._child.read()
            if self._socket.fileno() not in ready:
                if self._child.has_ended:
                    raise RuntimeFailure("BIRD has ended")
                continue
            octets = self._socket.recv(1 << 16)
            if not octets:
                raise RuntimeFailure("BIRD has closed its control socket")
            *lines, self._answer = (self._answer + octets).split(b"\n")
            raw += [line.decode(errors="replace") for line in lines]
            if raw and is_last(raw[-1]) and not self._answer:
                return lines_of(raw)
