"""Frames over a stream socket: four bytes of length, then JSON; file descriptors ride along (SCM_RIGHTS).

The descriptors of a frame are sent with its first byte, so they have arrived when the frame is complete, in
order: a frame that says it brings n takes the oldest n.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence

from peerlab.errors import RuntimeFailure

__all__ = ["Channel", "FrameTooLong"]

LENGTH = struct.Struct("!I")
FRAME_LIMIT = 256 << 20
BACKLOG_LIMIT = 256 << 20
RECEIVE_BYTES = 1 << 18
DESCRIPTORS_AT_ONCE = 64


class FrameTooLong(RuntimeFailure):
    """The other side announces a frame beyond the limit: it does not speak this language."""


class Channel:
    """One end of a framed stream socket. Works blocking (`receive`) and as part of a loop (`feed`, `flush`)."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._inbound = bytearray()
        self._outbound: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._backlog = 0
        self._descriptors: deque[int] = deque()

    def fileno(self) -> int:
        """For selectors."""
        return self.socket.fileno()

    def close(self) -> None:
        """Closes the socket and every descriptor that is on its way in or out."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        for _, descriptors in self._outbound:
            for descriptor in descriptors:
                os.close(descriptor)
        self._outbound.clear()
        self.socket.close()

    def take_descriptors(self, count: int) -> list[int]:
        """The oldest ``count`` descriptors that came in; the caller owns them."""
        if count > len(self._descriptors):
            raise RuntimeFailure(f"a frame promised {count} descriptors, {len(self._descriptors)} came")
        return [self._descriptors.popleft() for _ in range(count)]

    def feed(self) -> list[bytes] | None:
        """Reads what is there: complete frames, or None at the end of the stream. For a readable socket."""
        try:
            block, descriptors, _, _ = socket.recv_fds(
                self.socket, RECEIVE_BYTES, DESCRIPTORS_AT_ONCE, socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return []
        except ConnectionError:
            return None
        self._descriptors.extend(descriptors)
        if not block:
            return None
        self._inbound += block
        return self._complete_frames()

    def _complete_frames(self) -> list[bytes]:
        frames = []
        offset = 0
        while len(self._inbound) - offset >= 4:
            (length,) = LENGTH.unpack_from(self._inbound, offset)
            if length > FRAME_LIMIT:
                raise FrameTooLong(f"a frame of {length} bytes was announced, the limit is {FRAME_LIMIT}")
            if len(self._inbound) - offset - 4 < length:
                break
            frames.append(bytes(self._inbound[offset + 4 : offset + 4 + length]))
            offset += 4 + length
        del self._inbound[:offset]
        return frames

    def receive(self) -> list[bytes] | None:
        """Blocks until there is at least one frame; None at the end of the stream. For a blocking socket."""
        while True:
            frames = self.feed()
            if frames is None or frames:
                return frames

    def queue(self, frame: bytes, descriptors: Sequence[int] = ()) -> None:
        """Takes a frame for sending, and ownership of its descriptors. `flush` moves it."""
        block = memoryview(LENGTH.pack(len(frame)) + frame)
        self._outbound.append((block, tuple(descriptors)))
        self._backlog += len(block)

    @property
    def overloaded(self) -> bool:
        """True when the other side does not read and the backlog has passed its limit."""
        return self._backlog > BACKLOG_LIMIT

    def flush(self) -> bool:
        """Sends what the socket takes. True when everything is out. Raises ConnectionError when the peer is gone."""
        while self._outbound:
            block, descriptors = self._outbound[0]
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            try:
                sent = self.socket.sendmsg([block], ancillary)
            except (BlockingIOError, InterruptedError):
                return False
            for descriptor in descriptors:
                os.close(descriptor)
            self._backlog -= sent
            self._outbound.popleft()
            if sent < len(block):
                self._outbound.appendleft((block[sent:], ()))
        return True
