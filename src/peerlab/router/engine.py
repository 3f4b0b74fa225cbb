"""ExaBGP as the engine of a router's sessions. With ``engine_protocol`` and ``engine_session`` the only place that
knows ExaBGP's inside; ``tests/contract/test_exabgp_engine.py`` holds every name that is relied on.

ExaBGP's ``Reactor`` polls; this takes its place: peers run when their socket is ready or one of their timers is due.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import msgspec
from exabgp.bgp.message import Notify
from exabgp.configuration.configuration import Configuration
from exabgp.logger import log
from exabgp.reactor.network.error import LostConnection
from exabgp.reactor.peer import ACTION
from exabgp.version import release

from peerlab.bgp.config import PeerConfig
from peerlab.bgp.notification import ADMINISTRATIVE_RESET, ADMINISTRATIVE_SHUTDOWN, CEASE, PEER_DECONFIGURED
from peerlab.bgp.open import Open, decode_open
from peerlab.errors import RefusedError, RuntimeFailure, Unsupported
from peerlab.router.engine_listening import Listening
from peerlab.router.engine_session import SessionPeer, take_over
from peerlab.router.loop import READ, WRITE, Loop, Timer

SUPPORTED = ("5.0.15",)
"""Releases of ExaBGP whose inside the contract test has been run against."""


class Opens(msgspec.Struct, frozen=True):
    """The OPENs of a session, as they were on the wire, and the hold time that follows from them (seconds, 0 = off)."""

    sent: Open
    received: Open
    hold_time: int


class Sink(Protocol):
    """Who is told what happens on the sessions. Sessions go by the model's session id."""

    def state_changed(self, session: str, before: str, after: str, reason: str) -> None: ...
    def session_up(self, session: str, opens: Opens) -> None: ...
    def session_down(self, session: str, reason: str) -> None: ...
    def updates_came(self, session: str, bodies: list[bytes]) -> None: ...
    def refresh_came(self, session: str, body: bytes) -> None: ...
    def trouble(self, text: str) -> None: ...


class _NoProcesses:
    """ExaBGP's API processes: there are none."""

    @staticmethod
    def broken(neighbor: Any) -> bool:
        return False


class _Driven:
    """What remains of a session in the loop: its peer, the descriptor watched for it, and its timer."""

    __slots__ = ("descriptor", "interest", "peer", "queued", "timer")

    def __init__(self, peer: SessionPeer) -> None:
        self.peer = peer
        self.descriptor = -1
        self.interest = 0
        self.timer: Timer | None = None
        self.queued = False


def check_release() -> None:
    """Raises Unsupported when the installed ExaBGP is not one whose inside is known."""
    if release not in SUPPORTED:
        raise Unsupported(
            f"ExaBGP {release} is installed, but peerlab's router knows the inside of {', '.join(SUPPORTED)} only; "
            f"run: pip install 'exabgp=={SUPPORTED[-1]}'"
        )


def _unheard(message: Any, source: str = "", level: str = "") -> None:
    """ExaBGP's chatter; its own ``log.silence`` cannot take all of its own calls."""


def warm_up(sample: str) -> None:
    """Everything about ExaBGP that all routers of a lab have in common: do it once, before forking.

    ``sample`` is a configuration as peerlab writes it. Raises Unsupported when ExaBGP does not know it.
    """
    check_release()
    take_over()
    log.debug = log.info = log.warning = _unheard
    configuration = Configuration([sample], text=True)
    if not configuration.reload():
        raise Unsupported(f"ExaBGP {release} does not read what peerlab writes: {str(configuration.error).strip()}")


class Engine:
    """All sessions of one router. Calls its ``Sink`` from within the loop, never from within its own methods' callers'
    turn except ``close`` and its kin, whose ``session_down`` comes before they return."""

    def __init__(self, loop: Loop, sink: Sink) -> None:
        self.processes = _NoProcesses()
        self.asynchronous = self
        self._loop = loop
        self._sink = sink
        self._driven: dict[str, _Driven] = {}
        self.restarted = False
        """Whether OPENs say that this router has restarted with its forwarding state kept (RFC 4724 section 3)."""
        self._listening = Listening(loop, self, self._passive_peers, sink.trouble)
        log.error = log.critical = self._complaint  # ExaBGP swallows its own exceptions into its log

    # configuration

    def configure(self, configuration: Path, peers: Iterable[PeerConfig]) -> None:
        """Start these sessions, whose neighbors are in ExaBGP's ``configuration``. Others are not touched.

        Raises RuntimeFailure when ExaBGP does not accept the file or a session has no neighbor in it.
        """
        peers = tuple(peers)
        if not peers:  # ExaBGP takes a file without a neighbor for a broken one
            return
        parsed = Configuration([os.fspath(configuration)])
        if not parsed.reload():
            raise RuntimeFailure(f"ExaBGP refuses {configuration}: {str(parsed.error).strip()}")
        neighbors = {
            (neighbor["local-address"].top(), neighbor["peer-address"].top()): neighbor
            for neighbor in parsed.neighbors.values()
        }
        chosen = []
        for peer in peers:
            if peer.session in self._driven:
                raise RefusedError("SessionExists", f"session {peer.session} runs already; remove it first")
            neighbor = neighbors.get((peer.local_address, peer.peer_address))
            if neighbor is None:
                raise RuntimeFailure(
                    f"{configuration} has no neighbor {peer.peer_address} with local-address {peer.local_address} "
                    f"for session {peer.session}; write it there before adding the session"
                )
            chosen.append((peer, neighbor))
        for peer, neighbor in chosen:
            self._driven[peer.session] = _Driven(SessionPeer(neighbor, self, peer, self))
        for peer, _ in chosen:
            if peer.passive or peer.listening:
                self._listening.listen(self._driven[peer.session].peer)
        for peer, _ in chosen:
            self._run_soon(peer.session)

    def remove(self, session: str, communication: str = "") -> None:
        """Deprovision: Cease/3, and the session is unknown from now on."""
        driven = self._known(session)
        driven.peer.shut = True
        self._end(driven, PEER_DECONFIGURED, communication)
        self._disarm(driven)
        del self._driven[session]
        driven.peer.neighbor.rib.uncache()
        self._listening.release(driven.peer)

    def shut(self, session: str, communication: str = "", reset: bool = False) -> None:
        """Cease/2 and down until ``open``; with ``reset`` Cease/4, and it comes back by itself."""
        driven = self._known(session)
        driven.peer.shut = not reset
        self._end(driven, ADMINISTRATIVE_RESET if reset else ADMINISTRATIVE_SHUTDOWN, communication)
        self._run_soon(session)

    def hold_down(self, session: str) -> None:
        """Keep the session from coming back by itself once it is down (RFC 4486 section 4); ``open`` ends it."""
        self._known(session).peer.shut = True

    def open(self, session: str) -> None:
        """Let a session that was shut try again, at once."""
        driven = self._known(session)
        driven.peer.shut = False
        driven.peer._delay.reset()
        self._run_soon(session)

    def _passive_peers(self) -> list[SessionPeer]:
        peers = (driven.peer for driven in self._driven.values())
        return [peer for peer in peers if peer.config.passive or peer.config.listening]

    def _known(self, session: str) -> _Driven:
        driven = self._driven.get(session)
        if driven is None:
            raise RefusedError("SessionUnknown", f"no session {session} here; there are: {', '.join(self._driven)}")
        return driven

    # sessions

    def state(self, session: str) -> str:
        """The FSM's state under RFC 4271's name. Raises RefusedError for an unknown session."""
        return self._known(session).peer.state

    def reason(self, session: str) -> str:
        """Why the session went down last, and what keeps it from coming up now; '' when there is neither."""
        peer = self._known(session).peer
        return "; now: ".join(words for words in (peer.reason, peer.obstacle) if words)

    def ended_silently(self, session: str) -> bool:
        """Whether the session's last end came without a NOTIFICATION of either side, its carrier still there."""
        return self._known(session).peer.ended_silently

    def is_writing(self) -> bool:
        """Whether octets of any session wait for room in its socket."""
        return any(d.peer.proto is not None and d.peer.proto.is_writing for d in self._driven.values())

    def send(self, session: str, messages: Iterable[bytes]) -> None:
        """Write whole BGP messages on an Established session, without waiting. Raises RefusedError when it is not."""
        driven = self._known(session)
        if not driven.peer.is_established:
            raise RefusedError("SessionDown", f"session {session} is in {driven.peer.state}, not Established")
        driven.peer.proto.enqueue(messages)
        if driven.peer.proto.is_writing or driven.peer.proto.lost:
            self._run_soon(session)

    def close(self, session: str, code: int, subcode: int, data: bytes, reason: str) -> None:
        """End a session with this NOTIFICATION; it comes back by itself unless held down."""
        driven = self._known(session)
        driven.peer.end(Notify(code, subcode, data), reason)
        self._run_soon(session)

    def lose_link(self, interface: str) -> None:
        """Carrier is gone: sessions bound to the interface are down at once, and stay so until ``regain_link``."""
        for session, driven in self._driven.items():
            if driven.peer.config.interface == interface and not driven.peer.link_lost:
                driven.peer.link_lost = f"no carrier on {interface}"
                driven.peer.end(LostConnection(driven.peer.link_lost), driven.peer.link_lost)
                driven.peer.reason = driven.peer.link_lost
                self._run_soon(session)

    def regain_link(self, interface: str) -> None:
        """Carrier is back: sessions bound to the interface try at once."""
        for session, driven in self._driven.items():
            if driven.peer.config.interface == interface and driven.peer.link_lost:
                driven.peer.link_lost = ""
                driven.peer._delay.reset()
                self._run_soon(session)

    def addresses_changed(self) -> None:
        """An address came: listen where that was not possible before."""
        self._listening.try_again()

    def stop(self, communication: str = "") -> None:
        """Cease/2 on every session, listeners closed: the end of the process is near."""
        for driven in self._driven.values():
            driven.peer.shut = True
            self._end(driven, ADMINISTRATIVE_SHUTDOWN, communication)
            self._disarm(driven)
        self._listening.stop()

    def _end(self, driven: _Driven, subcode: int, communication: str) -> None:
        """A Cease with a shutdown communication (RFC 9003), cut to the 255 octets it may have."""
        text = communication.encode()[:255].decode(errors="ignore").encode()
        driven.peer.end(Notify(CEASE, subcode, bytes([len(text)]) + text if text else b""), "")

    # what ExaBGP's listener and peers ask of a reactor

    def peers(self, service: str = "") -> list[str]:
        """Keys of all peers."""
        return list(self._driven)

    def neighbor(self, session: str) -> Any:
        """ExaBGP's neighbor of a session."""
        return self._driven[session].peer.neighbor

    def handle_connection(self, session: str, connection: Any) -> Any:
        """An incoming connection that belongs to this session."""
        refusal = self._driven[session].peer.handle_connection(connection)
        if refusal is not None:
            self.schedule("", "", refusal)
        else:
            self._run_soon(session)
        return refusal

    def schedule(self, key: str, command: str, steps: Iterable[Any]) -> None:
        """Write a refusal to a connection that is not taken: what its empty socket holds at once, no more."""
        for _ in itertools.islice(steps, 4):
            continue

    # what sessions tell

    def state_changed(self, peer: SessionPeer, before: str, after: str) -> None:
        """A session's FSM moved."""
        session = peer.config.session
        reason = peer.reason if after == "Idle" else ""
        if before == "Established":
            self._sink.session_down(session, reason)
        self._sink.state_changed(session, before, after, reason)
        if after == "Established":
            peer._delay.reset()
            proto = peer.proto
            opens = Opens(
                decode_open(proto.sent_open), decode_open(proto.received_open), int(proto.negotiated.holdtime)
            )
            self._sink.session_up(session, opens)

    def updates_came(self, peer: SessionPeer, bodies: list[bytes]) -> None:
        """Bodies of UPDATEs came on a session."""
        self._sink.updates_came(peer.config.session, bodies)

    def refresh_came(self, peer: SessionPeer, body: bytes) -> None:
        """A ROUTE-REFRESH came on a session."""
        self._sink.refresh_came(peer.config.session, body)

    def descriptor_closes(self, peer: SessionPeer) -> None:
        """A session's socket is about to be closed."""
        driven = self._driven.get(peer.config.session)
        if driven is not None and driven.descriptor != -1:
            self._loop.unwatch(driven.descriptor)
            driven.descriptor = -1

    def rival_came(self, peer: SessionPeer, descriptor: int) -> None:
        """A second connection of a session waits."""
        self._loop.watch(descriptor, READ, lambda _: self._rival_ready(peer))

    def rival_goes(self, peer: SessionPeer, descriptor: int) -> None:
        """It waits no longer: it is about to be closed, or has become the session's own."""
        self._loop.unwatch(descriptor)

    def refuse(self, steps: Iterable[Any]) -> None:
        """Write a refusal to a connection that is about to be closed."""
        self.schedule("", "", steps)

    def _rival_ready(self, peer: SessionPeer) -> None:
        peer.rival_ready()
        self._run_soon(peer.config.session)

    def _complaint(self, message: Any, source: str = "", level: str = "") -> None:
        self._sink.trouble(f"ExaBGP: {message() if callable(message) else message}")

    def has_restarted(self) -> bool:
        """What OPENs say of this router's own restart."""
        return self.restarted

    # the loop

    def _run_soon(self, session: str) -> None:
        driven = self._driven.get(session)
        if driven is not None and not driven.queued:
            driven.queued = True
            self._loop.soon(lambda: self._step(driven))

    def _step(self, driven: _Driven) -> None:
        driven.queued = False
        session = driven.peer.config.session
        if self._driven.get(session) is not driven:
            return
        before = driven.peer.generator
        if driven.peer.run() == ACTION.NOW or (before is not None and driven.peer.generator is None):
            self._run_soon(session)
        self._arm(driven)

    def _ready(self, driven: _Driven, events: int) -> None:
        if events & WRITE:
            driven.peer.flush()
        self._step(driven)

    def _arm(self, driven: _Driven) -> None:
        peer = driven.peer
        descriptor, interest = peer.descriptor(), peer.interest()
        if descriptor != driven.descriptor and driven.descriptor != -1:
            self._loop.unwatch(driven.descriptor)
        if descriptor != -1 and (descriptor, interest) != (driven.descriptor, driven.interest):
            self._loop.watch(descriptor, interest, lambda events: self._ready(driven, events))
        driven.descriptor, driven.interest = descriptor, interest
        if driven.timer is not None:
            driven.timer.cancel()
            driven.timer = None
        due = peer.due()
        if due is not None:
            driven.timer = self._loop.after(max(0.0, due - time.time()), lambda: self._run_soon(peer.config.session))

    def _disarm(self, driven: _Driven) -> None:
        if driven.descriptor != -1:
            self._loop.unwatch(driven.descriptor)
            driven.descriptor = -1
        if driven.timer is not None:
            driven.timer.cancel()
