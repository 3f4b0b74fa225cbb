"""The companion of a foreign daemon: the same router process as ExaBGP's, as its clients see it.

It has the daemon's files rendered and checked, starts the daemon as its child, and learns from it how the sessions
move. It runs the interior protocol, whose kernel routes the daemon learns. It changes a running daemon without a reset
of any session that stays. When it dies, so does the daemon; when the daemon dies, it ends too. All that is particular
to one daemon is its driver (``router.companion_driver``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path

import msgspec

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.bgp.config import BfdConfig, PeerConfig, RouterConfig
from peerlab.bgp.next_hop import NextHopView
from peerlab.bgp.rtr_config import RtrServer
from peerlab.daemons.kinds import daemon_of
from peerlab.daemons.origination import Origination
from peerlab.errors import PeerlabError, RefusedError, RuntimeFailure
from peerlab.evidence.events import BfdStateChanged, RouteChanged, RouterNotice, SessionStateChanged
from peerlab.evidence.snapshot import BfdFact, SessionFact, ValidationFact
from peerlab.router.companion_child import Child
from peerlab.router.companion_driver import Driver, Shown, ShownBfd, Watching
from peerlab.router.interior import Interior
from peerlab.router.link_monitor import LinkMonitor
from peerlab.router.loop import READ, Loop, Timer
from peerlab.router.next_hops import ReachableNextHops
from peerlab.router.rib_views import RibViews
from peerlab.router.route_watch import RouteWatch
from peerlab.router.socket_queue import octets_waiting
from peerlab.topology.model import NodeKind

Listener = Callable[[SessionStateChanged | BfdStateChanged | RouterNotice | RouteChanged], None]

POKE_EVERY = 0.02
"""Seconds between looks at a daemon that somebody waits for."""

QUIET_POKES = 3
"""Questions in a row after which a daemon must have neither moved nor said anything to count as quiet."""

WATCH_EVERY = 0.5
"""Seconds between looks at watched prefixes: a daemon tells nobody when a route changes."""


class _Record(msgspec.Struct):
    """What is known of a session from what the daemon told."""

    config: PeerConfig
    state: str = "Idle"
    since: int = 0
    flaps: int = 0
    reason: str = ""
    end_of_rib: bool = False
    shut: bool = False
    bfd: str = "Down"
    bfd_since: int = 0


class Companion:
    """One daemon and what the laboratory needs around it. ``listener`` hears every notice, in order."""

    def __init__(
        self, loop: Loop, config: RouterConfig, listener: Listener, make: Callable[[Watching], Driver]
    ) -> None:
        """Raises Unsupported for what the daemon cannot be told or when it is missing, RuntimeFailure when it fails."""
        self.config = config
        self.exit_code = 0
        self._loop = loop
        self._listener = listener
        self._records = {peer.session: _Record(peer, since=time.time_ns()) for peer in config.peers}
        self._originated = [Origination(prefix) for prefix in config.originate]
        self._left: dict[str, str] = {}
        self._activity = 0
        self._seen: Hashable = None
        self._stirred_at = loop.now()
        self._next_look: Timer | None = None
        self._write()
        self._hear_of_ways: list[Callable[[], None]] = []
        self._interior = (
            Interior(loop, config, self._ways_changed, self.trouble, tells_costs=True) if config.igp else None
        )
        self._monitor = LinkMonitor(loop, self._interfaces_changed)
        self._interfaces_changed(frozenset(self._monitor.interfaces))
        self._driver = make(self)
        self._watch = RouteWatch(config.node, self._driver.ribs, lambda: self.config.peers)
        self._driver.start()
        self._follow_again(config.peers)
        for child in self._driver.children:
            loop.watch(child.output, READ, lambda _, child=child: self._said_something(child))  # type: ignore[misc]

    @property
    def directory(self) -> Path:
        """The node's directory."""
        return Path(self.config.directory)

    @property
    def originated(self) -> Sequence[Origination]:
        """What the router originates now."""
        return self._originated

    @property
    def shut_sessions(self) -> Collection[str]:
        """Sessions that are administratively down."""
        return {session for session, record in self._records.items() if record.shut}

    @property
    def title(self) -> str:
        """What people call the daemon."""
        return self._driver.title

    @property
    def rib(self) -> RibViews:
        """The daemon's tables."""
        return self._driver.ribs

    @property
    def is_settled(self) -> bool:
        """Nothing of the companion's own waits to be done."""
        return True

    @property
    def is_quiet(self) -> bool:
        """The daemon has neither read, sent nor decided anything over several questions; its sockets are empty."""
        for _ in range(QUIET_POKES):
            seen = (self._driver.counters(), self._activity)
            up = {str(one.config.peer_address) for one in self._records.values() if one.state == "Established"}
            if seen != self._seen or octets_waiting(up):
                self._seen, self._stirred_at = seen, self._loop.now()
                return False
        return self._loop.now() - self._stirred_at >= self._driver.quiet_for

    def poke_while(self, anybody_waits: Callable[[], bool]) -> None:
        """Turn the loop every ``POKE_EVERY`` seconds while somebody waits, and have the daemon asked something."""
        pending: list[bool] = []

        def poke() -> None:
            pending.clear()
            if not self._has_ended:
                self._driver.poke()

        def arrange() -> None:
            if not pending and anybody_waits() and not self._has_ended:
                pending.append(True)
                self._loop.after(POKE_EVERY, poke)

        self._loop.after_each_turn(arrange)

    def stop(self, communication: str = "") -> None:
        """End every session (Cease/2) and take the routes out of the kernel."""
        for child in self._driver.children:
            self._loop.unwatch(child.output)
        self._driver.end(communication)
        if self._interior is not None:
            self._interior.stop()
        self._monitor.close()

    def trouble(self, text: str) -> None:
        """Something that should not happen did."""
        self.notice("trouble", "", text, time.time_ns())

    # what the kernel and the daemon tell

    def _interfaces_changed(self, _: frozenset[str]) -> None:
        if self._interior is not None:
            self._interior.interfaces_changed(self._monitor.interfaces)
        self._ways_changed()

    def _ways_changed(self) -> None:
        for changed in self._hear_of_ways:
            changed()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something called later, once."""
        self._loop.after(seconds, call)

    def ways(self) -> NextHopView:
        """Which next hops this node can reach now."""
        routes = self._interior.routes if self._interior is not None else {}
        return ReachableNextHops(self._monitor.interfaces.values(), routes)

    def interface_numbers(self) -> Mapping[str, int]:
        """The kernel's numbers of the node's interfaces."""
        return {interface.name: interface.index for interface in self._monitor.interfaces.values()}

    def hear_of_ways(self, changed: Callable[[], None]) -> None:
        """Have this called from now on whenever ``ways`` are others."""
        self._hear_of_ways.append(changed)

    @property
    def _has_ended(self) -> bool:
        return any(child.has_ended for child in self._driver.children)

    def _said_something(self, child: Child) -> None:
        child.read()
        if child.has_ended:
            self._loop.unwatch(child.output)
            self.trouble(f"{child.title} ended with status {child.exit_status()}")
            self.exit_code = 1
            self._loop.stop()

    def notice(self, kind: str, session: str, text: str, at: int) -> None:
        """Tell people."""
        self._listener(RouterNotice(at=at, node=self.config.node, session=session, kind=kind, text=text))

    def stirred(self) -> None:
        """The daemon did something, so it is not quiet."""
        self._activity += 1

    def because(self, session: str, reason: str) -> None:
        """Why the session will go to Idle, or has just gone."""
        record = self._records.get(session)
        if record is not None:
            record.reason = reason

    def end_of_rib(self, session: str) -> None:
        """The peer has sent End-of-RIB."""
        record = self._records.get(session)
        if record is not None:
            record.end_of_rib = True

    def moved(self, session: str, state: str, at: int) -> None:
        """The session's FSM is in this state now. From Established it only goes down."""
        record = self._records.get(session)
        if record is None or state == record.state:
            return
        if record.state == "Established" and state not in ("Idle", "Active"):
            return
        before, record.state, record.since = record.state, state, at
        reason = "" if state != "Idle" else record.reason
        if state == "Established":
            record.reason = ""
        if before == "Established":
            record.flaps += 1
            record.end_of_rib = False
        self._listener(
            SessionStateChanged(
                at=at, node=self.config.node, session=session, before=before, after=state, reason=reason
            )
        )

    def bfd_moved(self, session: str, before: str, after: str, at: int) -> None:
        """The session's BFD went from one state to another."""
        record = self._records.get(session)
        if record is not None and record.config.bfd is not None:
            record.bfd, record.bfd_since = after, at
            self._listener(
                BfdStateChanged(at=at, node=self.config.node, session=session, before=before, after=after)
            )

    # what people ask

    def sessions(self) -> list[SessionFact]:
        """Every session as the daemon shows it now."""
        shown = self._driver.shown()
        return [self._fact(record, shown[session]) for session, record in self._records.items()]

    def peer(self, session: str | None) -> PeerConfig:
        """The configuration of a session. Raises RefusedError for an unknown one."""
        return self._record(session).config

    def is_established(self, session: str) -> bool:
        """Whether the session is Established. Raises RefusedError for an unknown one."""
        return self._record(session).state == "Established"

    def has_end_of_rib(self, session: str) -> bool:
        """Whether the session is Established and its peer has sent End-of-RIB."""
        return self.is_established(session) and self._record(session).end_of_rib

    def has_bfd_up(self, session: str) -> bool:
        """Whether the session's BFD is Up. Raises RefusedError for an unknown one."""
        record = self._record(session)
        return record.config.bfd is not None and record.bfd == "Up"

    def _record(self, session: str | None) -> _Record:
        record = self._records.get(session or "")
        if record is None:
            raise RefusedError("SessionUnknown", f"{self.config.node} has no session {session}")
        return record

    def _fact(self, record: _Record, shown: Shown) -> SessionFact:
        config = record.config
        fact = SessionFact(
            session=config.session,
            node=self.config.node,
            peer=config.peer,
            family=config.family,
            state=shown.state,
            since=record.since,
            local_address=config.local_address,
            peer_address=config.peer_address,
            local_as=config.local_as,
            peer_as=config.peer_as,
            local_role=config.local_role,
            received=shown.received,
            accepted=shown.accepted,
            advertised=shown.advertised,
            flaps=record.flaps,
            last_error=record.reason or shown.last_error,
            import_policy=config.import_policy,
            export_policy=config.export_policy,
            bfd=_bfd_fact(record, shown.bfd),
        )
        if shown.state != "Established":
            return fact
        return msgspec.structs.replace(
            fact,
            hold_time=shown.hold_time,
            keepalive=shown.keepalive,
            capabilities_sent=shown.capabilities_sent,
            capabilities_received=shown.capabilities_received,
            peer_role=shown.peer_role,
        )

    # what people change

    def configure(self, config: RouterConfig) -> None:
        """Have the daemon run another configuration; sessions that stay are not reset. Raises what it objects to.

        A router that runs an engineer's own configuration only keeps in mind what is known of its sessions.
        """
        before_config, before_records = self.config, dict(self._records)
        self.config = config
        for peer in config.peers:
            known = self._records.get(peer.session)
            if known is None:
                state = self._left.get(peer.session, "Idle")
                self._records[peer.session] = _Record(peer, state=state, since=time.time_ns())
            else:
                known.config = peer
        for session in self._records.keys() - {peer.session for peer in config.peers}:
            self._leave(session)
        try:
            self._apply()
        except (RefusedError, RuntimeFailure):
            self.config, self._records = before_config, before_records
            for peer in before_config.peers:
                self._records[peer.session].config = peer
            self._write()
            raise
        self._follow_again(config.peers)

    def _leave(self, session: str) -> None:
        """A session is no longer the laboratory's. An own configuration goes on with it, unseen."""
        record = self._records.pop(session)
        if self.config.own is not None:
            self._left[session] = record.state

    def _follow_again(self, peers: Sequence[PeerConfig]) -> None:
        """Sessions of an own configuration were there before the laboratory asked for them."""
        if self.config.own is None:
            return
        shown = self._driver.shown()
        for peer in peers:
            if self._left.pop(peer.session, None) is not None or self._records[peer.session].state == "Idle":
                self.moved(peer.session, shown[peer.session].state, time.time_ns())

    def set_bfd(self, peers: Mapping[str, BfdConfig | None]) -> None:
        """Have BFD watch over these sessions so, or not at all, without a reset."""
        changed = (msgspec.structs.replace(peer, bfd=peers.get(peer.session, peer.bfd)) for peer in self.config.peers)
        self.configure(msgspec.structs.replace(self.config, peers=tuple(changed)))

    def validation(self) -> ValidationFact:
        """What origins are validated by now."""
        return self._driver.validation()

    def ask_caches(self, caches: tuple[RtrServer, ...]) -> None:
        """Validate origins by these RPKI caches from now on. Raises Unsupported for what the daemon cannot be told."""
        self.configure(msgspec.structs.replace(self.config, caches=caches))

    def shut_bfd(self, session: str, down: bool) -> None:
        """No daemon here can put one BFD session into AdminDown. Raises RefusedError."""
        raise RefusedError(
            "StimulusUnsupported",
            f"{self.config.node} runs {self.title}, which cannot put one BFD session into AdminDown; "
            "let the other end do it",
        )

    def shut(self, session: str, communication: str, reset: bool) -> None:
        """Administrative shutdown (Cease/2), or reset (Cease/4), with a text for the peer (RFC 9003)."""
        record = self._record(session)
        if reset:
            self._driver.reset(session, communication)
            return
        self._driver.shut(session, communication)
        record.shut = True
        self._write()

    def open(self, session: str) -> None:
        """End an administrative shutdown."""
        record = self._record(session)
        record.shut = False
        self._write()
        self._driver.open(session)

    def remove(self, session: str, communication: str) -> None:
        """Close a session with a text for the peer; ``configure`` takes it out."""
        self._record(session)
        if self.config.own is None:
            self._driver.remove(session, communication)

    def refresh(self, session: str) -> None:
        """Ask the peer for its routes again. Raises RefusedError when the daemon or the peer cannot."""
        self._record(session)
        self._driver.refresh(session)

    def watch(self, prefixes: tuple[Prefix, ...]) -> None:
        """Tell what is held of these prefixes, and of every change from now on, at most ``WATCH_EVERY`` late."""
        if self._next_look is not None:
            self._next_look.cancel()
        for held in self._watch.watch(prefixes, time.time_ns()):
            self._listener(held)
        self._next_look = self._loop.after(WATCH_EVERY, self._look)

    def _look(self) -> None:
        if self._has_ended or self._watch.is_idle:
            return
        try:
            for change in self._watch.look(time.time_ns()):
                self._listener(change)
        except PeerlabError as failure:
            self.trouble(f"watched prefixes cannot be read: {failure}")
        self._next_look = self._loop.after(WATCH_EVERY, self._look)

    def _refuse_to_write(self) -> None:
        if self.config.own is not None:
            raise RefusedError(
                "StimulusUnsupported",
                f"{self.config.node} runs {self.config.own.file} as it is, and the lab changes nothing in it",
            )

    def originate(self, prefix: Prefix, attributes: PathAttributes) -> None:
        """Originate a prefix with these attributes. Raises Unsupported for what the daemon cannot originate."""
        self._refuse_to_write()
        staying = [one for one in self._originated if one.prefix != prefix]
        self._try_originations([*staying, Origination(prefix, attributes)])

    def withdraw_origin(self, prefix: Prefix) -> None:
        """Stop originating a prefix."""
        self._refuse_to_write()
        self._try_originations([one for one in self._originated if one.prefix != prefix])

    def _try_originations(self, wanted: list[Origination]) -> None:
        before, self._originated = self._originated, wanted
        try:
            self._apply()
        except (RefusedError, RuntimeFailure):
            self._originated = before
            self._write()
            raise

    def _apply(self) -> None:
        if self.config.own is None:
            self._write()
            self._driver.reload()

    def _write(self) -> None:
        """Write the router's files. Raises RuntimeFailure; then the file that was there stands as it was."""
        plain = tuple(one.prefix for one in self._originated if one.attributes == PathAttributes())
        config = msgspec.structs.replace(self.config, originate=plain)
        daemon = daemon_of(NodeKind(config.kind))
        for name, text in daemon.files(config, self.shut_sessions, self._originated).items():
            _replace(self.directory / name, text)


def _bfd_fact(record: _Record, shown: ShownBfd | None) -> BfdFact | None:
    if record.config.bfd is None:
        return None
    fact = BfdFact(state=record.bfd, since=record.bfd_since, config=record.config.bfd)
    if shown is None:
        return fact
    return msgspec.structs.replace(
        fact, state=shown.state, interval_ms=shown.interval_ms, detection_ms=shown.detection_ms
    )


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(path.suffix + ".new")
    try:
        fresh.write_text(text)
        fresh.replace(path)
    except OSError as error:
        raise RuntimeFailure(f"cannot write {path}: {error.strerror}; is the disk full?") from error
