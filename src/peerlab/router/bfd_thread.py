"""BFD in a thread of its own, so that a router that is busy with routes is not taken for dead.

A turn of the router's loop that installs 100,000 routes takes longer than a detection time (measured). The thread runs
a loop of its own with nothing in it but ``Liveness``; the two hand each other calls and changes, and share no state.
It is begun with the first session that wants BFD: a router without has no thread.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from peerlab.bgp.bfd_packet import BfdState
from peerlab.bgp.bfd_session import StateChange
from peerlab.bgp.config import PeerConfig
from peerlab.errors import RuntimeFailure
from peerlab.evidence.snapshot import BfdFact
from peerlab.router.bfd import Changed, Liveness
from peerlab.router.loop import READ, Loop

T = TypeVar("T")
_ANSWERS_WITHIN = 10.0
"""Seconds in which the thread has to have done what it was asked."""
_ENDS_WITHIN = 2.0
"""Seconds in which the thread has to have said AdminDown on every session."""


class LivenessThread:
    """What the router calls. Calls return when they are done; changes are told in the router's loop, in order."""

    def __init__(self, loop: Loop, changed: Changed, complain: Callable[[str], None]) -> None:
        self._loop = loop
        self._changed = changed
        self._complain = complain
        self._up: set[str] = set()
        self._lives: dict[str, int] = {}
        """Which life of a session's BFD this is: what an earlier one had to tell is not this one's."""
        self._born = 0
        self._calls: deque[Callable[[], None]] = deque()
        self._told: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None

    def add(self, peer: PeerConfig) -> None:
        """Watch over a session, when its configuration says so. Raises RefusedError for one of several hops."""
        if peer.bfd is not None:
            self._begin_life(peer.session)
            self._call(lambda liveness: liveness.add(peer))

    def configure(self, peer: PeerConfig) -> None:
        """The session's BFD is to be as ``peer`` says from now on: begun, ended, or with other timers."""
        if peer.bfd is None:
            self.remove(peer.session)
            return
        if peer.session not in self._lives:
            self._begin_life(peer.session)
        self._call(lambda liveness: liveness.configure(peer))

    def remove(self, session: str) -> None:
        """Watch no more."""
        if self._thread is not None:
            self._call(lambda liveness: liveness.remove(session))
        self._lives.pop(session, None)
        self._up.discard(session)

    def set_enabled(self, session: str, enabled: bool) -> None:
        """Administrative control of a session's BFD; nothing happens where there is none."""
        if self._thread is not None:
            self._call(lambda liveness: liveness.set_enabled(session, enabled))

    def is_up(self, session: str) -> bool:
        """Whether the session's BFD is Up, as far as the router has been told."""
        return session in self._up

    def fact(self, session: str) -> BfdFact | None:
        """The session's BFD as it is now; None without."""
        return None if self._thread is None else self._call(lambda liveness: liveness.fact(session))

    def stop(self) -> None:
        """Tell every peer AdminDown and end the thread."""
        if self._thread is not None:
            self._call(lambda liveness: liveness.stop())
            self._post(lambda: self._own.stop())
            self._thread.join(_ENDS_WITHIN)
            self._loop.unwatch(self._to_router)
            self._thread = None

    # in the router's thread

    def _begin_life(self, session: str) -> None:
        self._born += 1
        self._lives[session] = self._born

    def _call(self, work: Callable[[Liveness], T]) -> T:
        """Have the thread do something, and wait for it. Raises what it raises."""
        if self._thread is None:
            self._begin()
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work(self._liveness))
            except Exception as error:  # it is the caller's
                done.set_exception(error)

        self._post(run)
        try:
            return done.result(_ANSWERS_WITHIN)
        except TimeoutError as error:
            raise RuntimeFailure("BFD's thread does not answer; the router's log says why") from error

    def _post(self, task: Callable[[], None]) -> None:
        self._calls.append(task)
        os.eventfd_write(self._to_thread, 1)

    def _begin(self) -> None:
        flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
        self._to_thread, self._to_router = os.eventfd(0, flags), os.eventfd(0, flags)
        self._own = Loop()
        self._liveness = Liveness(self._own, self._tell, lambda text: self._say(lambda: self._complain(text)))
        self._own.watch(self._to_thread, READ, lambda _: _drain(self._to_thread, self._calls))
        self._loop.watch(self._to_router, READ, lambda _: _drain(self._to_router, self._told))
        self._thread = threading.Thread(target=self._run, name="bfd", daemon=True)
        self._thread.start()

    def _note(self, session: str, life: int | None, change: StateChange) -> None:
        if life != self._lives.get(session):
            return
        if change.after is BfdState.UP:
            self._up.add(session)
        else:
            self._up.discard(session)
        self._changed(session, change)

    # in BFD's thread

    def _run(self) -> None:
        try:
            self._own.run()
        except Exception:  # a fault of ours; nobody else would hear of it
            traceback.print_exc()
            self._say(lambda: self._complain("BFD's thread failed, its sessions are down; see the router's log"))

    def _tell(self, session: str, change: StateChange) -> None:
        life = self._lives.get(session)
        self._say(lambda: self._note(session, life, change))

    def _say(self, task: Callable[[], None]) -> None:
        self._told.append(task)
        os.eventfd_write(self._to_router, 1)


def _drain(descriptor: int, tasks: deque[Callable[[], None]]) -> None:
    """Do everything that waits; what is put in meanwhile wakes its loop again."""
    try:
        os.eventfd_read(descriptor)
    except BlockingIOError:
        return
    for _ in range(len(tasks)):
        tasks.popleft()()
