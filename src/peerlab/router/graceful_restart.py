"""Graceful restart in a router (RFC 4724): timers for peers that restart, and this router's own restart.

A peer that goes without a NOTIFICATION keeps its routes until it is back and has said End-of-RIB, or until its restart
time is over. This router has restarted when the kernel still holds BGP routes as it starts: an orderly end takes them
out. Then they forward on while nothing is decided, told or installed, until every peer has said End-of-RIB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from peerlab.bgp.attributes import Family
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.effects import FibChange
from peerlab.bgp.open import Open
from peerlab.router.loop import Loop, Timer


def kept_forwarding(received: Open, config: PeerConfig) -> tuple[Family, ...]:
    """Families for which the peer has kept its forwarding state, as far as this end runs graceful restart."""
    if config.graceful_restart is None:
        return ()
    return tuple(family for family, kept in received.restarting_families.items() if kept)


def grace(received: Open | None, config: PeerConfig) -> int:
    """Seconds for which the peer's routes are kept when it goes without a word; 0 when the ends did not agree on it."""
    if config.graceful_restart is None or received is None or config.family not in received.restarting_families:
        return 0
    return received.restart_time or 0


class Patience:
    """Peers that restart: each has its time. ``over`` is called with the session when it is up."""

    def __init__(self, loop: Loop, over: Callable[[str], None]) -> None:
        self._loop = loop
        self._over = over
        self._timers: dict[str, Timer] = {}

    def begin(self, session: str, seconds: float) -> None:
        """The peer has gone, or come back: it has so many seconds from now on."""
        self.end(session)
        self._timers[session] = self._loop.after(seconds, lambda: self._up(session))

    def end(self, session: str) -> None:
        """Nothing of the session is stale."""
        timer = self._timers.pop(session, None)
        if timer is not None:
            timer.cancel()

    def waits_for(self, session: str) -> bool:
        """Whether routes of the session may be stale."""
        return session in self._timers

    def _up(self, session: str) -> None:
        del self._timers[session]
        self._over(session)


class OwnRestart:
    """This router's own restart. ``done`` is called once, when route selection may begin."""

    def __init__(
        self, loop: Loop, peers: Iterable[PeerConfig], leftovers: Iterable[FibChange], done: Callable[[str], None]
    ) -> None:
        self.leftovers = {(change.family, change.raw): change for change in leftovers}
        self._awaited = {peer.session for peer in peers if peer.graceful_restart is not None}
        self._done = done
        times = [peer.graceful_restart.restart_time for peer in peers if peer.graceful_restart is not None]
        self._timer = loop.after(max(times, default=0), lambda: self._end("the time for it is up"))
        self.is_deferring = True

    def is_over_for(self, session: str) -> None:
        """A peer has said End-of-RIB, or will not say it for us: it does not know graceful restart, or restarts too."""
        self._awaited.discard(session)
        if self.is_deferring and not self._awaited:
            self._end("every peer has said End-of-RIB")

    def _end(self, why: str) -> None:
        if self.is_deferring:
            self.is_deferring = False
            self._timer.cancel()
            self._done(why)

    def unused(self, changes: Iterable[FibChange]) -> list[FibChange]:
        """Routes of the earlier life that the new one does not install again, to be removed."""
        used = {(change.family, change.raw) for change in changes if change.kind != "remove"}
        return [change for key, change in self.leftovers.items() if key not in used]
