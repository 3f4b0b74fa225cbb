"""BFD at work in a router: its sessions, their sockets and timers, in a loop (``bfd_thread`` gives it one of its own).

What comes is judged before time is: whoever was kept busy for a while finds what waited, and takes nobody for dead who
has spoken.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.bfd_packet import HOP_LIMIT, BfdState, Discarded, decode, diagnostic_words, encode
from peerlab.bgp.bfd_session import BfdSession, StateChange
from peerlab.bgp.config import BfdConfig, PeerConfig
from peerlab.errors import RefusedError
from peerlab.evidence.snapshot import BfdFact
from peerlab.router.bfd_port import Datagram, ListeningPort, SendingPort
from peerlab.router.loop import Loop, Timer

_NANOSECONDS = 1e9
_MICROSECONDS_PER_MS = 1000

Changed = Callable[[str, StateChange], None]
"""Called with the session's id for every move of its BFD session, in order."""


class _Running(msgspec.Struct):
    """One BFD session with what it needs outside. ``since`` is wall clock, nanoseconds."""

    name: str
    peer: PeerConfig
    core: BfdSession
    port: SendingPort
    since: int
    timer: Timer | None = None


class Liveness:
    """Every BFD session of a router, by the id of the BGP session that it watches over."""

    def __init__(self, loop: Loop, changed: Changed, complain: Callable[[str], None]) -> None:
        self._loop = loop
        self._changed = changed
        self._complain = complain
        self._running: dict[str, _Running] = {}
        self._by_discriminator: dict[int, _Running] = {}
        self._by_addresses: dict[tuple[Address, Address], _Running] = {}
        self._listening: dict[Family, ListeningPort] = {}

    # what the router tells

    def add(self, peer: PeerConfig, enabled: bool = True) -> None:
        """Watch over a session, when its configuration says so. Raises RefusedError for one of several hops."""
        if peer.bfd is None or peer.session in self._running:
            return
        if peer.multihop:
            raise RefusedError("BfdSingleHop", f"session {peer.session} is of several hops; BFD here is of one hop")
        self._listen(peer.family)
        discriminator = self._fresh_discriminator()
        core = BfdSession(peer.bfd, discriminator, _now(), enabled)
        running = _Running(
            peer.session, peer, core, SendingPort(peer.local_address, peer.peer_address), time.time_ns()
        )
        self._running[peer.session] = running
        self._by_discriminator[discriminator] = running
        self._by_addresses[peer.local_address, peer.peer_address] = running
        self._attend(running)

    def remove(self, session: str) -> None:
        """Watch no more. The peer is told AdminDown, which is no failure (RFC 5880 section 6.8.16)."""
        running = self._running.pop(session, None)
        if running is None:
            return
        running.core.set_enabled(False, _now(), random.random)
        for packet in running.core.take():
            running.port.send(encode(packet))
        if running.timer is not None:
            running.timer.cancel()
        running.port.close()
        del self._by_discriminator[running.core.local_discriminator]
        del self._by_addresses[running.peer.local_address, running.peer.peer_address]

    def configure(self, peer: PeerConfig, enabled: bool = True) -> None:
        """The session's BFD is to be as ``peer`` says from now on: begun, ended, or with other timers."""
        running = self._running.get(peer.session)
        if running is None:
            self.add(peer, enabled)
        elif peer.bfd is None:
            self.remove(peer.session)
        elif peer.bfd != running.core.config:
            running.peer = peer
            running.core.set_config(peer.bfd, _now(), random.random)
            self._attend(running)

    def set_enabled(self, session: str, enabled: bool) -> None:
        """Administrative control of a session's BFD; nothing happens where there is none."""
        running = self._running.get(session)
        if running is not None:
            running.core.set_enabled(enabled, _now(), random.random)
            self._attend(running)

    def stop(self) -> None:
        """Tell every peer AdminDown and close everything."""
        for session in tuple(self._running):
            self.remove(session)
        for port in self._listening.values():
            port.close()
        self._listening.clear()

    # what the router asks

    def is_up(self, session: str) -> bool:
        """Whether the session has BFD and it is Up."""
        running = self._running.get(session)
        return running is not None and running.core.state is BfdState.UP

    def fact(self, session: str) -> BfdFact | None:
        """The session's BFD as it is now; None without."""
        running = self._running.get(session)
        if running is None:
            return None
        core = running.core
        return BfdFact(
            state=core.state.words(),
            remote_state=core.remote_state.words(),
            diagnostic=diagnostic_words(core.diagnostic),
            since=running.since,
            interval_ms=core.transmit_interval // _MICROSECONDS_PER_MS,
            detection_ms=core.detection_time // _MICROSECONDS_PER_MS,
            config=core.config,
        )

    # the sockets and the clock

    def _listen(self, family: Family) -> None:
        if family not in self._listening:
            try:
                self._listening[family] = ListeningPort(self._loop, family, self._came)
            except OSError as error:
                self._complain(f"BFD cannot listen for {family.value}: {error.strerror}")

    def _fresh_discriminator(self) -> int:
        while True:
            number = random.getrandbits(32)
            if number and number not in self._by_discriminator:
                return number

    def _came(self, datagram: Datagram) -> None:
        """A datagram on BFD's port. What does not count is dropped without a word, as the RFC has it."""
        if datagram.hop_limit != HOP_LIMIT:  # RFC 5881 section 5: it did not come over one hop
            return
        try:
            packet = decode(datagram.octets)
            place = (datagram.destination, datagram.source)
            running = self._by_addresses.get(place)
            if running is None:
                return
            if packet.your_discriminator and self._by_discriminator.get(packet.your_discriminator) is not running:
                return
            running.core.receive(packet, _now(), random.random)
        except Discarded:
            return
        self._attend(running)

    def _attend(self, running: _Running) -> None:
        """Send what waits, tell what changed, and sleep until the next thing is due."""
        core = running.core
        due = core.due()
        if due is not None and due <= _now():
            core.run(_now(), random.random)
        for packet in core.take():
            running.port.send(encode(packet))
        for change in core.changes():
            running.since = time.time_ns()
            self._changed(running.name, change)
        if running.timer is not None:
            running.timer.cancel()
            running.timer = None
        due = core.due()
        if due is not None and self._running.get(running.name) is running:
            running.timer = self._loop.at(due / _NANOSECONDS, lambda: self._due(running))

    def _due(self, running: _Running) -> None:
        port = self._listening.get(running.peer.family)
        if port is not None:
            port.drain()
        if self._running.get(running.name) is running:
            self._attend(running)


def _now() -> int:
    """Nanoseconds of the loop's clock."""
    return time.monotonic_ns()


def strictly(config: BfdConfig | None) -> bool:
    """Whether routes have to wait for BFD."""
    return config is not None and config.strict
