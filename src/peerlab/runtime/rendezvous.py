"""Waiting until somebody listens on a Unix socket's path, for processes that have just been started.

The appearance of the file is an inotify event. Between bind(2), which makes the file, and listen(2) there is no
event, so from then on the connection is tried again after a short and growing while, by the supervisor's loop.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Rendezvous", "try_connect"]

IN_CREATE, IN_MOVED_TO = 0x100, 0x80
EVENT = struct.Struct("=iIII")
RETRY_FIRST, RETRY_MOST = 0.001, 0.02
_NOT_YET = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN})

_libc = ctypes.CDLL(None, use_errno=True)

Met = Callable[[socket.socket | None, str], None]


def try_connect(path: Path) -> socket.socket:
    """A non-blocking connection to a Unix socket, or OSError at once."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


class _Waiter:
    def __init__(self, path: Path, watch: int, deadline: float, met: Met) -> None:
        self.path = path
        self.watch = watch
        self.deadline = deadline
        self.met = met
        self.pause = RETRY_FIRST
        self.due = deadline


class Rendezvous:
    """All that wait for a listener. `fileno` becomes readable when a file appeared; `tick` does what is due."""

    def __init__(self) -> None:
        self._inotify = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._inotify < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._waiters: list[_Waiter] = []

    def fileno(self) -> int:
        """For selectors."""
        return int(self._inotify)

    def wait(self, path: Path, within: float, met: Met) -> None:
        """Calls ``met`` with the connection, or with None and a reason after ``within`` seconds."""
        watch = _libc.inotify_add_watch(self._inotify, os.fsencode(path.parent), IN_CREATE | IN_MOVED_TO)
        if watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot watch {path.parent}: {os.strerror(number)}")
        waiter = _Waiter(path, watch, time.monotonic() + within, met)
        self._waiters.append(waiter)
        self._try(waiter)

    def appeared(self) -> None:
        """Reads what inotify has to say and tries those paths."""
        block = os.read(self._inotify, 1 << 16)
        offset = 0
        while offset < len(block):
            watch, _, _, length = EVENT.unpack_from(block, offset)
            offset += EVENT.size
            name = block[offset : offset + length].rstrip(b"\0").decode(errors="replace")
            offset += length
            for waiter in list(self._waiters):
                if waiter.watch == watch and waiter.path.name == name:
                    waiter.pause = RETRY_FIRST
                    self._try(waiter)

    def tick(self) -> float | None:
        """Does what is due; the seconds until the next is, None when nobody waits."""
        now = time.monotonic()
        for waiter in list(self._waiters):
            if now >= waiter.due:
                self._try(waiter)
        return max(0.0, min(each.due for each in self._waiters) - now) if self._waiters else None

    def _try(self, waiter: _Waiter) -> None:
        now = time.monotonic()
        try:
            connection = try_connect(waiter.path)
        except OSError as failure:
            if failure.errno not in _NOT_YET or now >= waiter.deadline:
                self._finish(waiter, None, failure.strerror or str(failure))
            elif failure.errno == errno.ENOENT:
                waiter.due = waiter.deadline
            else:
                waiter.due = min(waiter.deadline, now + waiter.pause)
                waiter.pause = min(waiter.pause * 2, RETRY_MOST)
            return
        self._finish(waiter, connection, "")

    def _finish(self, waiter: _Waiter, connection: socket.socket | None, reason: str) -> None:
        self._waiters.remove(waiter)
        if all(other.watch != waiter.watch for other in self._waiters):
            _libc.inotify_rm_watch(self._inotify, waiter.watch)
        waiter.met(connection, reason)
