"""The delay line: one process of a cell that holds packets back and lets them go in time.

Where the kernel has no netem, the receiving end of a wire hands each packet's identifier to this process
(`peerlab.runtime.nfqueue`), which releases it when its time has come. It reads one socket per delayed direction; the
supervisor opens them inside the nodes and hands them over. It starts with the first delay and ends with the cell. When
it dies the kernel unbinds its queues, drops what waits there and lets all later packets pass.
"""

from __future__ import annotations

import heapq
import random
import select
import socket
import time
from collections import deque
from collections.abc import Callable

import msgspec

from peerlab.runtime.framing import Channel
from peerlab.runtime.kernel import set_timer_slack
from peerlab.runtime.nfqueue import packet_number, verdict
from peerlab.runtime.zygote import CONVERSATION

__all__ = ["ENTRY", "DelayWord", "Line", "run_delay_line"]

ENTRY = "peerlab.runtime.delay_line:run_delay_line"
BURST = 256
"""Packets that one queue may bring before the others have their turn, and before what is due is released."""
MESSAGE_BYTES = 4096
LONGEST_SLEEP = 3600.0
_NS = 1e-9


class DelayWord(msgspec.Struct, frozen=True):
    """From the supervisor: hold back what ``queue`` brings (its socket comes along), or, with ``ended``, no longer."""

    queue: int
    delay_ns: int = 0
    jitter_ns: int = 0
    ended: bool = False


class Line:
    """One delayed direction: packets in order of arrival with the time at which each may go.

    The delay of each packet is ``delay_ns`` give or take up to ``jitter_ns``, evenly spread. No packet overtakes
    another: one whose time is earlier than that of its predecessor goes with its predecessor.
    """

    __slots__ = ("_spread", "_waiting", "delay_ns", "jitter_ns", "queue")

    def __init__(
        self, queue: int, delay_ns: int, jitter_ns: int = 0, spread: Callable[[], float] = random.random
    ) -> None:
        self.queue = queue
        self.delay_ns = delay_ns
        self.jitter_ns = jitter_ns
        self._spread = spread
        self._waiting: deque[tuple[int, int]] = deque()

    def arrive(self, number: int, now: int) -> bool:
        """A packet has come. True when it is the only one that waits."""
        due = now + self.delay_ns
        if self.jitter_ns:
            due += round((2 * self._spread() - 1) * self.jitter_ns)
        waiting = self._waiting
        if not waiting:
            waiting.append((due, number))
            return True
        last = waiting[-1][0]
        if due <= last:  # one verdict releases both
            waiting[-1] = (last, number)
        else:
            waiting.append((due, number))
        return False

    def next_due(self) -> int | None:
        """When the next packet may go; None when none waits."""
        return self._waiting[0][0] if self._waiting else None

    def release(self, now: int) -> int | None:
        """The highest number of the packets that may go by now, which are forgotten; None when none may."""
        number = None
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            number = waiting.popleft()[1]
        return number

    def release_all(self) -> int | None:
        """The number of the last packet that waits; None when none waits."""
        number = self._waiting[-1][1] if self._waiting else None
        self._waiting.clear()
        return number


class _Process:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.lines: dict[int, tuple[Line, socket.socket]] = {}
        self.by_descriptor: dict[int, tuple[Line, socket.socket]] = {}
        self.due: list[tuple[int, int]] = []
        self.poll = select.epoll()
        self.poll.register(channel, select.EPOLLIN)
        self._decode = msgspec.json.Decoder(DelayWord).decode
        self._buffer = bytearray(MESSAGE_BYTES)

    def serve(self) -> None:
        """Until the supervisor is gone."""
        while True:
            pause = (self.due[0][0] - time.monotonic_ns()) * _NS if self.due else LONGEST_SLEEP
            if pause > 0:  # epoll_wait knows milliseconds only, select microseconds
                select.select([self.poll], [], [], min(pause, LONGEST_SLEEP))
            for descriptor, _ in self.poll.poll(0):
                if descriptor != self.channel.fileno():
                    self._read(*self.by_descriptor[descriptor])
                elif not self._hear():
                    return
            self._release()

    def _hear(self) -> bool:
        frames = self.channel.feed()
        for frame in frames or ():
            word = self._decode(frame)
            self._end(word.queue)
            if not word.ended:
                [descriptor] = self.channel.take_descriptors(1)
                held = (Line(word.queue, word.delay_ns, word.jitter_ns), socket.socket(fileno=descriptor))
                held[1].setblocking(False)
                self.lines[word.queue] = self.by_descriptor[descriptor] = held
                self.poll.register(descriptor, select.EPOLLIN)
        return frames is not None

    def _end(self, queue: int) -> None:
        """What waits goes at once; the kernel unbinds the queue with its socket."""
        held = self.lines.pop(queue, None)
        if held is None:
            return
        line, reader = held
        while self._read(line, reader) == BURST:
            continue
        number = line.release_all()
        if number is not None:
            reader.send(verdict(queue, number))
        del self.by_descriptor[reader.fileno()]
        self.poll.unregister(reader)
        reader.close()

    def _read(self, line: Line, reader: socket.socket) -> int:
        now = time.monotonic_ns()
        for count in range(BURST):
            try:
                reader.recv_into(self._buffer)
            except BlockingIOError:
                return count
            number = packet_number(self._buffer)
            if number is not None and line.arrive(number, now):
                heapq.heappush(self.due, (line.next_due() or now, line.queue))
        return BURST

    def _release(self) -> None:
        now = time.monotonic_ns()
        while self.due and self.due[0][0] <= now:
            _, queue = heapq.heappop(self.due)
            held = self.lines.get(queue)
            if held is None:
                continue
            line, reader = held
            number = line.release(now)
            if number is not None:
                reader.send(verdict(queue, number))
            following = line.next_due()
            if following is not None:
                heapq.heappush(self.due, (following, queue))


def run_delay_line(_: bytes) -> int:
    """The whole life of the process, forked from the toolbox zygote; its conversation is the supervisor's."""
    set_timer_slack(1)
    connection = socket.socket(fileno=CONVERSATION)
    connection.setblocking(False)
    _Process(Channel(connection)).serve()
    return 0
