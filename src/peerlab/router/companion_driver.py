"""What a foreign daemon must be able to do so that a companion can be a router with it.

A new daemon is three things: a module of ``daemons`` that renders its files (``daemons.kinds``), a driver that speaks
to it, with its RIBs (here), and a line in ``router.companion_kinds``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.next_hop import NextHopView
from peerlab.daemons.origination import Origination
from peerlab.evidence.snapshot import ValidationFact
from peerlab.router.companion_child import Child
from peerlab.router.rib_views import RibViews


class ShownBfd(msgspec.Struct, frozen=True, kw_only=True):
    """BFD of a session as the daemon shows it: state under RFC 5880's name, sending interval and detection time."""

    state: str
    interval_ms: int = 0
    detection_ms: int = 0


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the daemon shows it, in this laboratory's words. ``state`` is RFC 4271's; times are seconds.

    ``received`` counts routes before import policy, ``accepted`` after it. ``bfd`` is None where there is none yet.
    """

    state: str
    hold_time: int = 0
    keepalive: int = 0
    capabilities_sent: tuple[str, ...] = ()
    capabilities_received: tuple[str, ...] = ()
    peer_role: str | None = None
    received: int = 0
    accepted: int = 0
    advertised: int = 0
    last_error: str = ""
    bfd: ShownBfd | None = None


class Watching(Protocol):
    """What a driver tells its companion. Times are nanoseconds since the epoch."""

    config: RouterConfig

    @property
    def directory(self) -> Path:
        """The node's directory."""
        ...

    @property
    def originated(self) -> Sequence[Origination]:
        """What the router originates now."""
        ...

    @property
    def shut_sessions(self) -> Collection[str]:
        """Sessions that are administratively down."""
        ...

    def peer(self, session: str | None) -> PeerConfig:
        """The configuration of a session. Raises RefusedError for an unknown one."""
        ...

    def is_established(self, session: str) -> bool:
        """Whether the session is Established, as far as the driver has told. Raises RefusedError."""
        ...

    def moved(self, session: str, state: str, at: int) -> None:
        """The session's FSM is in this state (RFC 4271 section 8.2.2) now; nothing happens when it was already."""
        ...

    def bfd_moved(self, session: str, before: str, after: str, at: int) -> None:
        """The session's BFD went from one state to another (AdminDown, Down, Init, Up)."""
        ...

    def because(self, session: str, reason: str) -> None:
        """Why the session will go to Idle, or has just gone."""
        ...

    def end_of_rib(self, session: str) -> None:
        """The peer has sent End-of-RIB."""
        ...

    def stirred(self) -> None:
        """The daemon did something, so it is not quiet."""
        ...

    def notice(self, kind: str, session: str, text: str, at: int) -> None:
        """Words of the daemon for people."""
        ...

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something called later, once."""
        ...

    def ways(self) -> NextHopView:
        """Which next hops this node can reach now, by its wires and the interior protocol."""
        ...

    def interface_numbers(self) -> Mapping[str, int]:
        """The kernel's numbers of the node's interfaces."""
        ...

    def hear_of_ways(self, changed: Callable[[], None]) -> None:
        """Have this called from now on whenever ``ways`` are others."""
        ...


class Driver(Protocol):
    """One running daemon of a node. Commands raise RefusedError with its words, RuntimeFailure, TimedOut.

    The files are written by the companion before ``start`` and ``reload``.
    """

    title: str
    """What people call the daemon."""

    @property
    def quiet_for(self) -> float:
        """Seconds in which nothing may have stirred before the daemon counts as quiet: its own delays, and some."""
        ...

    @property
    def ribs(self) -> RibViews:
        """Its tables."""
        ...

    def start(self) -> None:
        """Have the daemon check its files, and start it. Raises Unsupported when it is not installed."""
        ...

    @property
    def children(self) -> Sequence[Child]:
        """Its processes, once it is started; when one ends, the router does."""
        ...

    def reload(self) -> None:
        """Have it run the files as they are now, without a reset of any session that stays."""
        ...

    def poke(self) -> None:
        """Somebody waits: have the daemon do what it would only do when asked something."""
        ...

    def counters(self) -> Hashable:
        """Something that is another value when the daemon has sent, heard or decided anything since."""
        ...

    def shown(self) -> Mapping[str, Shown]:
        """Every session."""
        ...

    def validation(self) -> ValidationFact:
        """What origins are validated by now (RFC 6811)."""
        ...

    def shut(self, session: str, communication: str) -> None:
        """Administrative shutdown (Cease/2) with a text for the peer (RFC 9003)."""
        ...

    def reset(self, session: str, communication: str) -> None:
        """Administrative reset (Cease/4)."""
        ...

    def open(self, session: str) -> None:
        """End an administrative shutdown; the files say so already."""
        ...

    def remove(self, session: str, communication: str) -> None:
        """Close a session with a text for the peer, before the next ``reload`` takes it out."""
        ...

    def refresh(self, session: str) -> None:
        """Ask the peer for its routes again (RFC 2918). Raises RefusedError where that cannot be done."""
        ...

    def end(self, communication: str) -> None:
        """End every session (Cease/2), the daemon's routes in the kernel, and the daemon."""
        ...
