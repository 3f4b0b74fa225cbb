"""The router's one loop: it sleeps until a descriptor or a timer is due, and never looks at anything in between."""

from __future__ import annotations

import errno
import heapq
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

Watcher = Callable[[int], None]
"""Called with the epoll event bits of its descriptor."""

Task = Callable[[], None]


class Timer:
    """A call that is due at ``when`` (seconds of the monotonic clock) unless it is cancelled first."""

    __slots__ = ("task", "when")

    def __init__(self, when: float, task: Task) -> None:
        self.when = when
        self.task: Task | None = task

    def cancel(self) -> None:
        """Forget the call. Harmless when it has been made already."""
        self.task = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Loop:
    """Descriptors, timers, and calls for the next turn. Every callback runs to its end; none may block."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watchers: dict[int, tuple[int, Watcher]] = {}
        self._timers: list[Timer] = []
        self._soon: deque[Task] = deque()
        self._running = False
        self._afterwards: list[Task] = []

    @staticmethod
    def now() -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def watch(self, descriptor: int, events: int, watcher: Watcher) -> None:
        """Call ``watcher`` whenever ``descriptor`` is ready for ``events``; again to change either."""
        if descriptor in self._watchers:
            before, _ = self._watchers[descriptor]
            if before != events:
                self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._watchers[descriptor] = (events, watcher)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching; must be called before the descriptor is closed. Harmless when it is not watched."""
        if self._watchers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def at(self, when: float, task: Task) -> Timer:
        """Call ``task`` at ``when`` (monotonic seconds)."""
        timer = Timer(when, task)
        heapq.heappush(self._timers, timer)
        return timer

    def after(self, seconds: float, task: Task) -> Timer:
        """Call ``task`` in so many seconds."""
        return self.at(time.monotonic() + seconds, task)

    def soon(self, task: Task) -> None:
        """Call ``task`` in the next turn, after the descriptors that are ready now."""
        self._soon.append(task)

    def after_each_turn(self, task: Task) -> None:
        """Call ``task`` whenever a turn is over, from now on."""
        self._afterwards.append(task)

    def stop(self) -> None:
        """Leave ``run`` after this turn."""
        self._running = False

    def stop_on(self, signals: tuple[int, ...], task: Task) -> None:
        """Call ``task`` in the loop (not in the signal handler) when one of ``signals`` comes."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in signals:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def drain(_: int) -> None:
            os.read(reader, 512)
            task()

        self.watch(reader, READ, drain)

    def run(self) -> None:
        """Turn until ``stop``."""
        self._running = True
        while self._running:
            self.turn(None)

    def turn(self, within: float | None) -> None:
        """One turn: sleep until something is due (at most ``within`` seconds), then do all that is due."""
        for descriptor, events in self._poll(self._patience(within)):
            watched = self._watchers.get(descriptor)
            if watched is not None:
                watched[1](events)
        now = time.monotonic()
        timers = self._timers
        while timers and (timers[0].task is None or timers[0].when <= now):
            task = heapq.heappop(timers).task
            if task is not None:
                task()
        for _ in range(len(self._soon)):
            self._soon.popleft()()
        for afterwards in self._afterwards:
            afterwards()

    def _patience(self, within: float | None) -> float | None:
        if self._soon:
            return 0.0
        timers = self._timers
        while timers and timers[0].task is None:
            heapq.heappop(timers)
        if timers:
            due = max(0.0, timers[0].when - time.monotonic())
            return due if within is None else min(due, within)
        return within

    def _poll(self, patience: float | None) -> list[tuple[int, int]]:
        try:
            return self._epoll.poll(patience)
        except OSError as error:
            if error.errno == errno.EINTR:
                return []
            raise
