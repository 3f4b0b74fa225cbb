"""The companion of a BIRD: the same router process as ExaBGP's, as its clients see it, with BIRD speaking BGP.

It renders ``bird.conf``, has BIRD check it, starts BIRD as its child and reads its log, from which the FSM's moves
come with BIRD's own clock. It runs the interior protocol, whose kernel routes BIRD learns. It changes a running BIRD by
``configure``, which resets no session that stays. When it dies, so does BIRD; when BIRD dies, it ends too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path, PurePath

import msgspec

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.daemons import bird
from peerlab.daemons.bird import Origination, protocol_name
from peerlab.daemons.bird_reply import BirdSession, Line, sessions
from peerlab.errors import PeerlabError, RefusedError, RuntimeFailure
from peerlab.evidence.events import RouteChanged, RouterNotice, SessionStateChanged
from peerlab.evidence.snapshot import SessionFact
from peerlab.router.bird_daemon import BirdDaemon
from peerlab.router.interior import Interior
from peerlab.router.link_monitor import LinkMonitor
from peerlab.router.loop import READ, Loop, Timer
from peerlab.router.route_watch import RouteWatch

Listener = Callable[[SessionStateChanged | RouterNotice | RouteChanged], None]

POKE_EVERY = 0.02
"""Seconds between questions to a BIRD that somebody waits for. Any question ends BIRD's stalls of up to 3 s."""

QUIET_POKES = 3
"""Questions in a row after which BIRD must have neither moved nor said anything to count as quiet."""

WATCH_EVERY = 0.5
"""Seconds between looks at watched prefixes: BIRD tells nobody when a route changes."""

_BGP_PORT = 179
_LOG = re.compile(r"(\d+)\.(\d+) <(\w+)> (?:([^\s:][^\s]*): )?(.*)")
_STATES = {"Passive": "Active", "Down": "Idle", "down": "Idle", "Close": "Idle", "stop": "Idle", "flush": "Idle"}
"""BIRD's own names of states that RFC 4271 section 8.2.2 calls otherwise."""

_MOVES = (
    ("Connect delayed", "Active"),
    ("Connecting to", "Connect"),
    ("Sending OPEN", "OpenSent"),
    ("Got OPEN", "OpenConfirm"),
    ("BGP session established", "Established"),
    ("State changed to stop", "Idle"),
    ("State changed to down", "Idle"),
)
"""How a line of BIRD's log begins, and the state that it tells of."""

_REASONS = ("Received: ", "Error: ", "Connection lost", "Connection closed", "Link down", "Shutdown requested")
_SILENT = ("Got KEEPALIVE", "Sending KEEPALIVE")
_TELLING = frozenset({"RMT", "ERR", "WARN", "BUG", "FATAL", "AUTH"})


class _Record(msgspec.Struct):
    """What is known of a session from BIRD's log."""

    config: PeerConfig
    state: str = "Idle"
    since: int = 0
    flaps: int = 0
    reason: str = ""
    end_of_rib: bool = False
    shut: bool = False


class BirdRouter:
    """One BIRD and what the laboratory needs around it. ``listener`` hears every notice, in order."""

    def __init__(self, loop: Loop, config: RouterConfig, listener: Listener) -> None:
        """Raises Unsupported for what BIRD cannot be told or when it is missing, RuntimeFailure when it fails."""
        self.config = config
        self.exit_code = 0
        self._loop = loop
        self._listener = listener
        self._records = {peer.session: _Record(peer, since=time.time_ns()) for peer in config.peers}
        self._sessions = {protocol_name(peer.session): peer.session for peer in config.peers}
        self.originated = [Origination(prefix) for prefix in config.originate]
        self._activity = 0
        self._next_look: Timer | None = None
        self._write()
        self._interior = Interior(loop, config, lambda: None, self.trouble) if config.igp else None
        self._monitor = LinkMonitor(loop, self._interfaces_changed)
        self._interfaces_changed(frozenset(self._monitor.interfaces))
        self._daemon = BirdDaemon(Path(config.directory), self._heard)
        loop.watch(self._daemon.log, READ, lambda _: self._log_is_ready())

    @property
    def is_settled(self) -> bool:
        """Nothing of the companion's own waits to be done."""
        return True

    @property
    def is_quiet(self) -> bool:
        """BIRD has neither read, sent nor decided anything over several questions, and its sockets are empty."""
        before = self._counters()
        for _ in range(QUIET_POKES):
            activity = self._activity
            after = self._counters()
            if after != before or self._activity != activity or _octets_waiting():
                return False
        return True

    def poke_while(self, anybody_waits: Callable[[], bool]) -> None:
        """Ask BIRD something every ``POKE_EVERY`` seconds while somebody waits for it."""
        pending: list[bool] = []

        def poke() -> None:
            pending.clear()
            if not self._daemon.has_ended:
                self.ask("show status")

        def arrange() -> None:
            if not pending and anybody_waits() and not self._daemon.has_ended:
                pending.append(True)
                self._loop.after(POKE_EVERY, poke)

        self._loop.after_each_turn(arrange)

    def stop(self, communication: str = "") -> None:
        """End every session (Cease/2) and take the routes out of the kernel."""
        if not self._daemon.has_ended:
            for record in self._records.values():
                self.ask(f"disable '{protocol_name(record.config.session)}' {_quoted(communication)}")
        self._loop.unwatch(self._daemon.log)
        self._daemon.end()
        if self._interior is not None:
            self._interior.stop()
        self._monitor.close()

    def ask(self, command: str, absent: re.Pattern[str] | None = None) -> tuple[Line, ...]:
        """One command to BIRD; no lines when BIRD's objection matches ``absent``.

        Raises RefusedError, RuntimeFailure or TimedOut.
        """
        try:
            return self._daemon.ask(command)
        except RefusedError as objection:
            if absent is not None and absent.search(objection.message):
                return ()
            raise

    def trouble(self, text: str) -> None:
        """Something that should not happen did."""
        self._notice("trouble", "", text, time.time_ns())

    def _notice(self, kind: str, session: str, text: str, at: int) -> None:
        self._listener(RouterNotice(at=at, node=self.config.node, session=session, kind=kind, text=text))

    # what BIRD and the kernel tell

    def _interfaces_changed(self, _: frozenset[str]) -> None:
        if self._interior is not None:
            self._interior.interfaces_changed(self._monitor.interfaces)

    def watch(self, watch: RouteWatch, prefixes: tuple[Prefix, ...]) -> None:
        """Tell what is held of these prefixes, and of every change from now on."""
        if self._next_look is not None:
            self._next_look.cancel()
        for held in watch.watch(prefixes, time.time_ns()):
            self._listener(held)

        def look() -> None:
            if self._daemon.has_ended or watch.is_idle:
                return
            try:
                for change in watch.look(time.time_ns()):
                    self._listener(change)
            except PeerlabError as failure:
                self.trouble(f"watched prefixes cannot be read: {failure}")
            self._next_look = self._loop.after(WATCH_EVERY, look)

        self._next_look = self._loop.after(WATCH_EVERY, look)

    def _log_is_ready(self) -> None:
        self._daemon.read_log()
        if self._daemon.has_ended:
            self._loop.unwatch(self._daemon.log)
            status = self._daemon.exit_status()
            self.trouble(f"BIRD ended with status {status}")
            self.exit_code = 1
            self._loop.stop()

    def _heard(self, line: str) -> None:
        match = _LOG.fullmatch(line)
        if match is None:
            self._notice("bird", "", line, time.time_ns())
            return
        at = int(match[1]) * 1_000_000_000 + int(match[2].ljust(9, "0"))
        level, name, text = match[3], match[4] or "", match[5]
        session = self._sessions.get(name, "")
        if not text.startswith(_SILENT):
            self._activity += 1
        if level in _TELLING:
            self._notice("bird", session, text, at)
        record = self._records.get(session)
        if record is not None:
            self._follow(record, text, at)

    def _follow(self, record: _Record, text: str, at: int) -> None:
        if text == "Got END-OF-RIB":
            record.end_of_rib = True
            return
        if text.startswith(_REASONS):
            record.reason = text
        if text == "Started" and record.config.passive:
            self._move(record, "Active", at)
            return
        for beginning, state in _MOVES:
            if text.startswith(beginning):
                self._move(record, state, at)
                return

    def _move(self, record: _Record, state: str, at: int) -> None:
        if state == record.state or (record.state == "Established" and state not in ("Idle", "Active")):
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
                at=at,
                node=self.config.node,
                session=record.config.session,
                before=before,
                after=state,
                reason=reason,
            )
        )

    # what people ask

    def session_facts(self) -> list[SessionFact]:
        """Every session as BIRD shows it now."""
        shown = self.shown()
        return [self._fact(record, shown[protocol_name(session)]) for session, record in self._records.items()]

    def shown(self) -> dict[str, BirdSession]:
        """BIRD's BGP protocols by name."""
        return {one.name: one for one in sessions(self.ask("show protocols all"))}

    def peer(self, session: str | None) -> PeerConfig:
        """The configuration of a session. Raises RefusedError for an unknown one."""
        return self._record(session).config

    def is_established(self, session: str) -> bool:
        """Whether the session is Established. Raises RefusedError for an unknown one."""
        return self._record(session).state == "Established"

    def has_end_of_rib(self, session: str) -> bool:
        """Whether the session is Established and its peer has sent End-of-RIB."""
        return self.is_established(session) and self._record(session).end_of_rib

    def session_of(self, protocol: str) -> str | None:
        """The session behind BIRD's protocol of that name; None for one that is no session."""
        return self._sessions.get(protocol)

    def _record(self, session: str | None) -> _Record:
        record = self._records.get(session or "")
        if record is None:
            raise RefusedError("SessionUnknown", f"{self.config.node} has no session {session}")
        return record

    def _counters(self) -> dict[str, tuple[str, ...]]:
        return {name: one.counters for name, one in self.shown().items()}

    def _fact(self, record: _Record, shown: BirdSession) -> SessionFact:
        config = record.config
        state = _STATES.get(shown.state, shown.state)
        fact = SessionFact(
            session=config.session,
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
            received=shown.imported + shown.filtered,
            accepted=shown.imported,
            advertised=shown.exported,
            flaps=record.flaps,
            last_error=record.reason or shown.last_error,
            import_policy=config.import_policy,
            export_policy=config.export_policy,
        )
        if state != "Established":
            return fact
        return msgspec.structs.replace(
            fact,
            hold_time=shown.hold_time,
            keepalive=shown.keepalive,
            capabilities_sent=shown.local_capabilities,
            capabilities_received=shown.neighbour_capabilities,
            peer_role=shown.neighbour_role,
        )

    # what people change

    def configure(self, config: RouterConfig) -> None:
        """Have BIRD run another configuration; sessions that stay are not reset. Raises what BIRD objects to."""
        before_config, before_records = self.config, dict(self._records)
        self.config = config
        for peer in config.peers:
            known = self._records.get(peer.session)
            if known is None:
                self._records[peer.session] = _Record(peer, since=time.time_ns())
                self._sessions[protocol_name(peer.session)] = peer.session
            else:
                known.config = peer
        for session in self._records.keys() - {peer.session for peer in config.peers}:
            del self._records[session]
        try:
            self.apply()
        except (RefusedError, RuntimeFailure):
            self.config, self._records = before_config, before_records
            for peer in before_config.peers:
                self._records[peer.session].config = peer
            self._write()
            raise

    def apply(self) -> None:
        """Write the files anew and have BIRD read them."""
        self._write()
        self.ask("configure")

    def shut(self, session: str, communication: str, reset: bool) -> None:
        """Administrative shutdown (Cease/2), or reset (Cease/4), with a text for the peer (RFC 9003)."""
        record = self._record(session)
        name = protocol_name(session)
        if reset:
            self.ask(f"restart '{name}' {_quoted(communication)}")
            return
        self.ask(f"disable '{name}' {_quoted(communication)}")
        record.shut = True
        self._write()

    def open(self, session: str) -> None:
        """End an administrative shutdown."""
        record = self._record(session)
        record.shut = False
        self._write()
        self.ask(f"enable '{protocol_name(session)}'")

    def remove(self, session: str, communication: str) -> None:
        """Close a session with a text for the peer before it is taken out: BIRD sends no text with Cease/3."""
        self._record(session)
        self.ask(f"disable '{protocol_name(session)}' {_quoted(communication)}")
        self.ask("show status")

    def originate(self, prefix: Prefix, attributes: PathAttributes) -> None:
        """Originate a prefix with these attributes. Raises Unsupported for what BIRD cannot originate."""
        before = self.originated
        self.originated = [one for one in before if one.prefix != prefix] + [Origination(prefix, attributes)]
        self._try_originations(before)

    def withdraw_origin(self, prefix: Prefix) -> None:
        """Stop originating a prefix."""
        before = self.originated
        self.originated = [one for one in before if one.prefix != prefix]
        self._try_originations(before)

    def _try_originations(self, before: list[Origination]) -> None:
        try:
            self.apply()
        except (RefusedError, RuntimeFailure):
            self.originated = before
            self._write()
            raise

    def _write(self) -> None:
        """Write the router's files. Raises RuntimeFailure; then the file that was there stands as it was."""
        shut = {session for session, record in self._records.items() if record.shut}
        plain = tuple(one.prefix for one in self.originated if one.attributes == PathAttributes())
        config = msgspec.structs.replace(self.config, originate=plain)
        _replace(self._path(bird.CONFIGURATION), bird.configuration(config, shut, self.originated))
        _replace(self._path(bird.ROUTER), bird.router_json(config))

    def _path(self, name: PurePath) -> Path:
        return Path(self.config.directory) / name


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(path.suffix + ".new")
    try:
        fresh.write_text(text)
        fresh.replace(path)
    except OSError as error:
        raise RuntimeFailure(f"cannot write {path}: {error.strerror}; is the disk full?") from error


def _quoted(text: str) -> str:
    """A text as BIRD's command line takes it: it has no way to write a double quote or a line's end."""
    clean = re.sub(r"[\x00-\x1f\x7f]", " ", text).replace('"', "'")
    return f'"{clean}"' if clean else ""


def _octets_waiting() -> bool:
    """Whether a BGP connection of this node holds octets that nobody has read or acknowledged (proc(5), net/tcp)."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            ports = {int(end.rpartition(":")[2], 16) for end in fields[1:3]}
            if _BGP_PORT in ports and fields[3] == "01" and fields[4] != "00000000:00000000":
                return True
    return False
