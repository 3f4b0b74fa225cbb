"""One router: ExaBGP's sessions, the speaker's RIBs, the kernel's routes and the interior protocol, in one loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath

import msgspec

from peerlab.bgp import framing
from peerlab.bgp.attributes import Prefix
from peerlab.bgp.bfd_packet import diagnostic_words
from peerlab.bgp.bfd_session import StateChange
from peerlab.bgp.config import BfdConfig, PeerConfig, RouterConfig
from peerlab.bgp.effects import Effects
from peerlab.bgp.framing import MessageType
from peerlab.bgp.notification import BFD_DOWN, CEASE, MAXIMUM_PREFIXES, OUT_OF_RESOURCES
from peerlab.bgp.open import Open
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.route_refresh import RouteRefresh, decode_route_refresh, encode_route_refresh
from peerlab.bgp.rtr_config import RtrServer
from peerlab.bgp.speaker import BgpSpeaker
from peerlab.daemons import exabgp
from peerlab.daemons.router_config import ROUTER, router_json
from peerlab.errors import RefusedError, RuntimeFailure
from peerlab.evidence.events import BfdStateChanged, RouteChanged, RouterNotice, SessionStateChanged
from peerlab.evidence.snapshot import BfdFact, SessionFact, ValidationFact
from peerlab.router.bfd import strictly
from peerlab.router.bfd_gate import HELD_MOST, BfdGate
from peerlab.router.bfd_thread import LivenessThread
from peerlab.router.engine import Engine, Opens
from peerlab.router.fib import Fib
from peerlab.router.graceful_restart import OwnRestart, Patience, grace
from peerlab.router.interior import Interior
from peerlab.router.link_monitor import LinkMonitor
from peerlab.router.loop import Loop
from peerlab.router.negotiation import negotiated
from peerlab.router.next_hops import ReachableNextHops
from peerlab.router.route_watch import RouteWatch
from peerlab.router.validation import Validation

Listener = Callable[[SessionStateChanged | BfdStateChanged | RouterNotice | RouteChanged], None]

_CONNECTED = frozenset({"OpenSent", "OpenConfirm", "Established"})
"""States in which there is a connection for BFD to end."""


class _Record(msgspec.Struct):
    """What is known of a session beyond the engine and the speaker."""

    config: PeerConfig
    since: int
    opens: Opens | None = None
    flaps: int = 0
    last_error: str = ""


class Router:
    """Everything of one router but its control socket. ``listener`` hears every notice, in order."""

    exit_code = 0

    def __init__(self, loop: Loop, config: RouterConfig, listener: Listener) -> None:
        """Raises RuntimeFailure when ExaBGP or the kernel refuse, InputError for a contradictory configuration."""
        self.config = config
        self._loop = loop
        self._listener = listener
        self._settling = False
        self._records = {peer.session: _Record(peer, time.time_ns()) for peer in config.peers}
        self._speaker = BgpSpeaker(config, time.time_ns())
        self._watch = RouteWatch(config.node, self._speaker, lambda: self.config.peers)
        self._fib = Fib() if config.install_routes else None
        self._engine = Engine(loop, self)
        self._patience = Patience(loop, self._grace_over)
        self._own_restart = self._look_back()
        self._validation = Validation(loop, config.caches, config.vrps, self._vrps_changed, self._tell_of_caches)
        self._gate = BfdGate()
        self._liveness = LivenessThread(loop, self._bfd_changed, self.trouble)
        self._monitor = LinkMonitor(loop, self._interfaces_changed)
        self._interior = (
            Interior(loop, config, self._next_hops_changed, self.trouble, tells_costs=False) if config.igp else None
        )
        self._engine.configure(self._directory / exabgp.CONFIGURATION, config.peers)
        self._interfaces_changed(frozenset(self._monitor.interfaces))
        for peer in config.peers:
            self._liveness.add(peer)

    def _look_back(self) -> OwnRestart | None:
        """What an earlier life of this router has left in the kernel: kept for a graceful restart, else removed."""
        if self._fib is None:
            return None
        peers = self.config.peers
        if all(peer.graceful_restart is None for peer in peers) or not (left := self._fib.leftovers()):
            self._fib.clear()
            return None
        self._engine.restarted = True
        self.notice("graceful-restart", "", f"restarted: {len(left)} kernel routes forward on until routes are known")
        return OwnRestart(self._loop, peers, left, self._own_restart_done)

    @property
    def _directory(self) -> Path:
        return Path(self.config.directory)

    @property
    def is_settled(self) -> bool:
        """Nothing waits to be decided or installed."""
        return not self._settling

    @property
    def is_quiet(self) -> bool:
        """Nothing waits to be decided, sent or installed."""
        return not self._settling and not self._engine.is_writing()

    def stop(self, communication: str = "") -> None:
        """End every session (Cease/2) and take the routes out of the kernel."""
        self._engine.stop(communication)
        self._validation.close()
        self._liveness.stop()
        if self._interior is not None:
            self._interior.stop()
        if self._fib is not None:
            self._fib.clear()
            self._fib.close()
        self._monitor.close()

    # what the engine tells

    def state_changed(self, session: str, before: str, after: str, reason: str) -> None:
        """A session's FSM moved."""
        now = time.time_ns()
        record = self._records[session]
        record.since = now
        if reason:
            record.last_error = reason
        self._listener(
            SessionStateChanged(
                at=now, node=self.config.node, session=session, before=before, after=after, reason=reason
            )
        )

    def session_up(self, session: str, opens: Opens) -> None:
        """A session is Established: routes may flow."""
        record = self._records[session]
        record.opens = opens
        if strictly(record.config.bfd) and not self._liveness.is_up(session):
            self._gate.shut(session, opens)
            self.notice("bfd-waits", session, "Established; no route is exchanged before BFD is Up")
            return
        self._speaker.peer_up(session, negotiated(opens, record.config), time.time_ns())
        if self._patience.waits_for(session):
            self._patience.begin(session, grace(opens.sent, record.config))
        if self._own_restart is not None and (not grace(opens.received, record.config) or opens.received.has_restarted):
            self._own_restart.is_over_for(session)
        self._settle_soon()

    def session_down(self, session: str, reason: str) -> None:
        """A session is Established no more: its routes go."""
        self._records[session].flaps += 1
        self._gate.forget(session)
        record = self._records[session]
        seconds = grace(record.opens.received if record.opens is not None else None, record.config)
        if seconds and self._engine.ended_silently(session):
            kept = self._speaker.peer_restarts(session, time.time_ns())
            self._patience.begin(session, seconds)
            self.notice("graceful-restart", session, f"the peer may restart: {kept} routes stay for {seconds} s")
        else:
            self._patience.end(session)
            self._speaker.peer_down(session, reason, time.time_ns())
        self._settle_soon()

    def _grace_over(self, session: str) -> None:
        dropped = self._speaker.drop_stale(session)
        if dropped:
            self.notice("graceful-restart", session, f"the restart time is over: {dropped} stale routes purged")
        self._settle_soon()

    def _own_restart_done(self, why: str) -> None:
        self._engine.restarted = False
        self.notice("graceful-restart", "", f"route selection begins: {why}")
        self._loop.soon(self.settle)

    def updates_came(self, session: str, bodies: list[bytes]) -> None:
        """UPDATEs came."""
        if self._gate.is_shut(session):
            if not self._gate.hold(session, bodies):
                why = f"more than {HELD_MOST >> 20} MiB of routes wait for BFD"
                self._engine.close(session, CEASE, OUT_OF_RESOURCES, b"", why)
            return
        self._speaker.receive(session, bodies, time.time_ns())
        if self._own_restart is not None and self._speaker.counters(session).end_of_rib_received:
            self._own_restart.is_over_for(session)
        self._settle_soon()

    def refresh_came(self, session: str, body: bytes) -> None:
        """A ROUTE-REFRESH came. Raises WireError for a malformed one."""
        message = decode_route_refresh(body)
        self._speaker.route_refresh(session, message.family, message.subtype, time.time_ns())
        self._settle_soon()

    def _bfd_changed(self, session: str, change: StateChange) -> None:
        """BFD moved: its failure is the session's (RFC 5882 section 4, Cease/10 of RFC 9384), AdminDown is not."""
        why = diagnostic_words(change.diagnostic)
        self._listener(
            BfdStateChanged(
                at=time.time_ns(),
                node=self.config.node,
                session=session,
                before=change.before.words(),
                after=change.after.words(),
                diagnostic=why,
                remote=change.remote.words(),
                path_failed=change.path_failed,
            )
        )
        if change.path_failed and self._engine.state(session) in _CONNECTED:
            self._engine.close(session, CEASE, BFD_DOWN, b"", f"BFD is down: {why}")
        if self._liveness.is_up(session) and self._gate.is_shut(session):
            opens, bodies = self._gate.open(session)
            self._speaker.peer_up(session, negotiated(opens, self._records[session].config), time.time_ns())
            self._speaker.receive(session, bodies, time.time_ns())
            self._settle_soon()

    def trouble(self, text: str) -> None:
        """Something that should not happen did."""
        self.notice("trouble", "", text)

    def notice(self, kind: str, session: str, text: str, message: bytes = b"") -> None:
        """Tell people."""
        self._listener(
            RouterNotice(
                at=time.time_ns(),
                node=self.config.node,
                session=session,
                kind=kind,
                text=text,
                message=message.hex(),
            )
        )

    # what the caches tell

    def _vrps_changed(self, vrps: frozenset[Vrp]) -> None:
        judged = self._speaker.set_vrps(vrps, time.time_ns())
        self.notice("rpki", "", f"{len(vrps)} VRPs in force, {judged} received routes judged again")
        self._settle_soon()

    def _tell_of_caches(self, kind: str, text: str) -> None:
        self.notice(kind, "", text)

    # what the kernel tells

    def _interfaces_changed(self, names: frozenset[str]) -> None:
        if self._fib is not None:
            self._fib.know_interfaces(self._monitor.indices)
        for interface in {record.config.interface for record in self._records.values()} - {None}:
            self._attend_link(str(interface))
        self._engine.addresses_changed()
        if self._interior is not None:
            self._interior.interfaces_changed(self._monitor.interfaces)
        self._next_hops_changed()
        self.settle()

    def _attend_link(self, interface: str) -> None:
        if self._monitor.has_carrier(interface):
            self._engine.regain_link(interface)
        else:
            self._engine.lose_link(interface)

    def _next_hops_changed(self) -> None:
        routes = self._interior.routes if self._interior is not None else {}
        view = ReachableNextHops(self._monitor.interfaces.values(), routes)
        self._speaker.set_next_hops(view, time.time_ns())
        self._settle_soon()

    # what the speaker wants

    def _settle_soon(self) -> None:
        if not self._settling:
            self._settling = True
            self._loop.soon(self.settle)

    def settle(self) -> None:
        """Carry out what the speaker wants now; what comes of that is carried out in the next turn."""
        if not self._settling or (self._own_restart is not None and self._own_restart.is_deferring):
            return
        self._settling = False
        effects: Effects = self._speaker.take()
        if self._fib is not None and effects.fib:
            for refusal in self._fib.apply(effects.fib):
                self.notice("fib-refused", "", str(refusal))
        if self._fib is not None and self._own_restart is not None:
            unused = self._own_restart.unused(effects.fib)
            self._fib.apply(unused)
            self._own_restart = None
            self.notice("graceful-restart", "", f"{len(unused)} kernel routes of the earlier life are purged")
        for session, messages in effects.send.items():
            self._engine.send(session, messages)
        for close in effects.close:
            if (close.code, close.subcode) == (CEASE, MAXIMUM_PREFIXES):
                self._engine.hold_down(close.session)
            self._engine.close(close.session, close.code, close.subcode, close.data, close.reason)
        for notice in effects.notices:
            self.notice(notice.kind, notice.session, notice.text, notice.message)
        for change in self._watch.look(time.time_ns()):
            self._listener(change)

    def watch(self, prefixes: tuple[Prefix, ...]) -> None:
        """Tell what is held of these prefixes, and of every change from now on."""
        self.settle()
        for held in self._watch.watch(prefixes, time.time_ns()):
            self._listener(held)

    def change(self) -> BgpSpeaker:
        """The speaker, to be told something; ``settle`` carries out what comes of it."""
        self._settle_soon()
        return self._speaker

    # what people ask and tell

    @property
    def rib(self) -> BgpSpeaker:
        """The speaker, to be read."""
        return self._speaker

    def sessions(self) -> list[SessionFact]:
        """Every session as it is now."""
        return [self._fact(record) for record in self._records.values()]

    def validation(self) -> ValidationFact:
        """What origins are validated by now."""
        return self._validation.fact()

    def ask_caches(self, caches: tuple[RtrServer, ...]) -> None:
        """Validate origins by these caches from now on."""
        self._validation.ask(caches)
        self.configure(msgspec.structs.replace(self.config, caches=caches))

    def is_established(self, session: str) -> bool:
        """Whether the session is Established. Raises RefusedError for an unknown one."""
        return self._engine.state(session) == "Established"

    def has_end_of_rib(self, session: str) -> bool:
        """Whether the session is Established and its peer has sent End-of-RIB."""
        return self.is_established(session) and self._speaker.counters(session).end_of_rib_received

    def add_peers(self, config: RouterConfig, peers: tuple[PeerConfig, ...]) -> None:
        """Run these sessions too; ``config`` is the router's configuration with them."""
        self._speaker.add_peers(peers, config.policies, time.time_ns())
        try:
            save(config)
            for peer in peers:
                self._records[peer.session] = _Record(peer, time.time_ns())
            self._engine.configure(self._directory / exabgp.CONFIGURATION, peers)
        except (RuntimeFailure, RefusedError):
            for peer in peers:
                self._records.pop(peer.session, None)
            self._speaker.remove_peers([peer.session for peer in peers], time.time_ns())
            raise
        self.config = config
        for peer in peers:
            if peer.interface is not None:
                self._attend_link(peer.interface)
            self._liveness.add(peer)
        self._settle_soon()

    def remove_peers(self, config: RouterConfig, sessions: tuple[str, ...], communication: str) -> None:
        """Deprovision sessions; ``config`` is the router's configuration without them."""
        for session in sessions:
            self._engine.state(session)
        for session in sessions:
            self._engine.remove(session, communication)
            self._patience.end(session)
            self._liveness.remove(session)
            del self._records[session]
        self._speaker.remove_peers(sessions, time.time_ns())
        self.config = config
        save(config)
        self._settle_soon()

    def configure(self, config: RouterConfig) -> None:
        """The speaker has been told: remember it over a restart, and in what people read."""
        self.config = config
        for peer in config.peers:
            self._records[peer.session].config = peer
        try:
            save(config, ROUTER)
        except RuntimeFailure as failure:
            self.notice("not-saved", "", f"in force, but lost when this router restarts: {failure}")

    def shut(self, session: str, communication: str, reset: bool) -> None:
        """Administrative shutdown, which is BFD's too, or reset. BGP's word goes first: it says why."""
        self._engine.shut(session, communication, reset)
        if not reset:
            self._liveness.set_enabled(session, False)

    def open(self, session: str) -> None:
        """End an administrative shutdown."""
        self._engine.open(session)
        self._liveness.set_enabled(session, True)

    def set_bfd(self, peers: Mapping[str, BfdConfig | None]) -> None:
        """Have BFD watch over these sessions so, or not at all, without a reset of any."""
        changed = tuple(
            msgspec.structs.replace(peer, bfd=peers.get(peer.session, peer.bfd)) for peer in self.config.peers
        )
        for peer in changed:
            self._liveness.configure(peer)
        self.configure(msgspec.structs.replace(self.config, peers=changed))

    def shut_bfd(self, session: str, down: bool) -> None:
        """AdminDown for a session's BFD, or up again. Raises RefusedError for a session without BFD."""
        self._engine.state(session)
        if self._liveness.fact(session) is None:
            raise RefusedError("NoBfd", f"session {session} runs without BFD")
        self._liveness.set_enabled(session, not down)

    def has_bfd_up(self, session: str) -> bool:
        """Whether the session's BFD is Up. Raises RefusedError for an unknown session."""
        self._engine.state(session)
        return self._liveness.is_up(session)

    def refresh(self, session: str) -> None:
        """Ask the peer for its routes again (RFC 2918). Raises RefusedError when it cannot be asked."""
        self._engine.state(session)
        record = self._records[session]
        if self.is_established(session) and record.opens is not None and not record.opens.received.has_route_refresh():
            raise RefusedError("NoRouteRefresh", f"the peer of session {session} did not announce route refresh")
        body = encode_route_refresh(RouteRefresh(family=record.config.family))
        self.write(session, framing.frame(MessageType.ROUTE_REFRESH, body))

    def write(self, session: str, octets: bytes) -> None:
        """Write octets on an Established session as they are. Raises RefusedError when it is not Established."""
        self._engine.send(session, [octets])

    def _fact(self, record: _Record) -> SessionFact:
        config, session = record.config, record.config.session
        state = self._engine.state(session)
        counters = self._speaker.counters(session)
        fact = SessionFact(
            session=session,
            node=self.config.node,
            peer=config.peer,
            family=config.family,
            state=state,
            since=record.since,
            local_address=config.local_address,
            peer_address=config.peer_address,
            local_as=config.local_as,
            peer_as=config.peer_as,
            local_role=config.local_role,
            received=counters.received,
            accepted=counters.accepted,
            advertised=counters.advertised,
            flaps=record.flaps,
            last_error=self._engine.reason(session) or record.last_error,
            import_policy=config.import_policy,
            export_policy=config.export_policy,
            bfd=self._bfd_fact(session),
        )
        if state != "Established" or record.opens is None:
            return fact
        sent, received = record.opens.sent, record.opens.received
        return msgspec.structs.replace(
            fact,
            hold_time=record.opens.hold_time,
            keepalive=record.opens.hold_time // 3,
            capabilities_sent=_names(sent),
            capabilities_received=_names(received),
            peer_role=received.role,
        )

    def _bfd_fact(self, session: str) -> BfdFact | None:
        fact = self._liveness.fact(session)
        return fact if fact is None else msgspec.structs.replace(fact, waits=self._gate.is_shut(session))


_FILES = {exabgp.CONFIGURATION: exabgp.configuration, ROUTER: router_json}


def save(config: RouterConfig, *names: PurePath) -> None:
    """Write the router's files (all of them unless named), so that a new process of it starts as this one is.

    Raises RuntimeFailure; then the file that was there stands as it was.
    """
    for name in names or _FILES:
        path = Path(config.directory) / name
        fresh = path.with_suffix(path.suffix + ".new")
        try:
            fresh.write_text(_FILES[name](config))
            fresh.replace(path)
        except OSError as error:
            raise RuntimeFailure(f"cannot write {path}: {error.strerror}; is the disk full?") from error


def _names(message: Open) -> tuple[str, ...]:
    return tuple(dict.fromkeys(capability.name() for capability in message.capabilities))
