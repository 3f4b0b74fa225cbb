"""The event log of a lab: one JSON object per line, only ever appended to.

An event is in the file when `EventLog.append` returns: one write(2), no buffer of ours, so a `kill -9` of the writer
loses nothing that was appended. The file is not synced to the disk for each event; what a power cut does to it is
the file system's business. Several controllers may append at once: each append holds the file's lock. A last line
without its end is what a writer left that died in the middle of it; readers pass over it and the next append takes
it away. Nothing else is ever taken away.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import Event

_IN_MODIFY = 0x2
_IN_ATTRIB = 0x4
_READ_SIZE = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class EventLog:
    """The log at ``path``, made when it does not exist. Raises RuntimeFailure when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as failure:
            raise RuntimeFailure(f"{path}: the event log cannot be opened: {failure.strerror}") from failure
        self._read: list[Event] = []
        self._lines: set[bytes] = set()
        self._offset = 0

    def append(self, event: Event) -> None:
        """Adds an event. Raises RuntimeFailure when the disk does not take it; the log is then as it was before."""
        self._append(event, unless_there=False)

    def append_once(self, event: Event) -> bool:
        """Adds an event that several writers may have heard of, unless it is there. True when it was added.

        Raises RuntimeFailure as ``append`` does.
        """
        return self._append(event, unless_there=True)

    def _append(self, event: Event, unless_there: bool) -> bool:
        line = _encode(event) + b"\n"
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            end = self._whole_end()
            if unless_there:
                self._read_on()
                if line in self._lines:
                    return False
            try:
                written = os.write(self._descriptor, line)
                if written < len(line):
                    written += os.write(self._descriptor, line[written:])
                if written < len(line):
                    raise OSError(0, "only part of it was taken")
            except OSError as failure:
                os.ftruncate(self._descriptor, end)
                raise RuntimeFailure(
                    f"{self.path}: the event log cannot be written: {failure.strerror}; "
                    "what it held before is kept; make room on that disk"
                ) from failure
            return True
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _whole_end(self) -> int:
        """Where the last whole line ends; takes a torn one away. Only under the lock."""
        size = os.fstat(self._descriptor).st_size
        if size == 0 or os.pread(self._descriptor, 1, size - 1) == b"\n":
            return size
        end = size
        while end > 0:
            start = max(0, end - _READ_SIZE)
            newline = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        os.ftruncate(self._descriptor, end)
        return end

    def read(self) -> tuple[Event, ...]:
        """Every event, in order. Raises RuntimeFailure naming the line when one is no event."""
        self._read_on()
        return tuple(self._read)

    def _read_on(self) -> None:
        """Takes in the lines that were added since the last time."""
        portions = []
        offset = self._offset
        while portion := os.pread(self._descriptor, _READ_SIZE, offset):
            portions.append(portion)
            offset += len(portion)
        octets = b"".join(portions)
        whole = octets[: octets.rfind(b"\n") + 1]
        for line in whole.splitlines():
            try:
                self._read.append(_decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
                raise RuntimeFailure(
                    f"{self.path}:{len(self._read) + 1}: is no event: {mistake}; "
                    "it was changed by hand, or written by another version of peerlab"
                ) from mistake
            self._lines.add(line + b"\n")
            self._offset += len(line) + 1

    async def follow(self, skip: int = 0) -> AsyncIterator[Event]:
        """Every event from number ``skip`` on, then each one as it is appended, until the file is removed."""
        log = EventLog(self.path)
        watch = _watch(self.path)
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        loop.add_reader(watch, changed.set)
        told = skip
        try:
            while True:
                log._read_on()
                for event in log._read[told:]:
                    yield event
                told = max(told, len(log._read))
                if os.fstat(log._descriptor).st_nlink == 0:
                    return
                await changed.wait()
                changed.clear()
                os.read(watch, 1 << 16)
        finally:
            loop.remove_reader(watch)
            os.close(watch)
            log.close()

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._descriptor)


def _watch(path: Path) -> int:
    """An inotify descriptor that becomes readable when the file grows or goes."""
    descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor >= 0 and _libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY | _IN_ATTRIB) >= 0:
        return int(descriptor)
    number = ctypes.get_errno()
    if descriptor >= 0:
        os.close(descriptor)
    raise RuntimeFailure(
        f"{path}: cannot be watched: {os.strerror(number)}; fs.inotify.max_user_instances and max_user_watches limit it"
    )
