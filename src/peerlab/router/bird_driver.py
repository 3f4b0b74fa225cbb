"""BIRD as a companion drives it: the FSM's moves from its log, with BIRD's own clock, all else by its control socket.

It is changed by ``configure``, which resets no session that stays.
"""

from __future__ import annotations

import re
import time
from collections.abc import Hashable, Mapping, Sequence

from peerlab.bgp.config import RouterConfig
from peerlab.daemons.bird import BFD_PROTOCOL, CONFIGURATION, CONTROL_SOCKET, protocol_name
from peerlab.daemons.bird_reply import BirdLiveness, BirdSession, Line, liveness, sessions
from peerlab.daemons.own_configuration import neighbours_by_session
from peerlab.errors import RefusedError
from peerlab.evidence.snapshot import ValidationFact
from peerlab.router.bird_caches import BirdCaches
from peerlab.router.bird_control import BirdControl
from peerlab.router.bird_rib import BirdRib
from peerlab.router.companion_child import Child, check, program
from peerlab.router.companion_driver import Shown, ShownBfd, Watching
from peerlab.router.log_shelter import shelter
from peerlab.router.rib_views import RibViews

PROGRAMS = ("/usr/sbin/bird", "/usr/local/sbin/bird", "bird")

LOG = "bird.log"
"""Where BIRD's own words are kept, in the node's directory."""

_STARTED = "<INFO> Started"
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

_REASONS = (
    "Received: ",
    "Error: ",
    "Connection lost",
    "Connection closed",
    "Link down",
    "Shutdown requested",
    "BFD session",
)
_BFD_MOVE = re.compile(r"Session to (\S+) changed state from (\w+) to (\w+)")
_SILENT = ("Got KEEPALIVE", "Sending KEEPALIVE")
_TELLING = frozenset({"RMT", "ERR", "WARN", "BUG", "FATAL", "AUTH"})


def bird_program() -> str:
    """Where BIRD is. Raises Unsupported when it is nowhere."""
    return program(PROGRAMS, "BIRD", "bird2")


class BirdDriver:
    """One BIRD of one node."""

    title = "BIRD"
    quiet_for = 0.0

    def __init__(self, companion: Watching) -> None:
        self._companion = companion
        self._caches = BirdCaches(self, companion)
        self._ribs = BirdRib(self, companion, self._caches)
        self._has_started = False
        self._named: RouterConfig | None = None
        self._sessions: dict[str, str] = {}

    @property
    def ribs(self) -> RibViews:
        """BIRD's tables."""
        return self._ribs

    def validation(self) -> ValidationFact:
        """What BIRD's ROA tables hold, and how it stands with its caches."""
        return self._caches.fact()

    @property
    def children(self) -> Sequence[Child]:
        """BIRD is one process."""
        return (self._child,)

    def start(self) -> None:
        """Raises RuntimeFailure when BIRD refuses its configuration or does not start, Unsupported without BIRD."""
        path, directory = bird_program(), self._companion.directory
        prepare = None if self._companion.config.own is None else shelter
        check("BIRD", [path, "-p", "-c", str(CONFIGURATION)], directory / CONFIGURATION, prepare)
        command = [path, "-f", "-c", str(CONFIGURATION), "-s", str(CONTROL_SOCKET), "-P", "bird.pid"]
        self._child = Child("BIRD", command, directory, LOG, self._heard, prepare)
        self._child.wait_until(lambda: self._has_started)
        self._control = BirdControl(directory, self._child)
        if prepare is not None:
            self.ask("debug all { states, events, packets }")  # whatever their own file says of it

    def reload(self) -> None:
        """BIRD finds out by itself what is new."""
        self.ask("configure")

    def poke(self) -> None:
        """Any question ends BIRD's stalls of up to 3 s."""
        self.ask("show status")

    def counters(self) -> Hashable:
        """How many routes each protocol has imported and exported."""
        return tuple((name, one.counters) for name, one in self.protocols().items())

    def shown(self) -> Mapping[str, Shown]:
        """Every session."""
        protocols, peers = self.protocols(), self._companion.config.peers
        alive = liveness(self.ask("show bfd sessions")) if any(peer.bfd is not None for peer in peers) else {}
        return {
            peer.session: _shown(protocols[self.protocol(peer.session)], alive.get(peer.peer_address)) for peer in peers
        }

    def protocols(self) -> dict[str, BirdSession]:
        """BIRD's BGP protocols by name."""
        return {one.name: one for one in sessions(self.ask("show protocols all"))}

    def protocol(self, session: str) -> str:
        """BIRD's protocol behind a session, as it is called in BIRD's own configuration."""
        own = neighbours_by_session(self._companion.config).get(session)
        return protocol_name(session) if own is None else own.name

    def session_of(self, protocol: str) -> str | None:
        """The session behind BIRD's protocol of that name; None for one that is no session."""
        if self._named is not self._companion.config:
            self._named = self._companion.config
            self._sessions = {self.protocol(peer.session): peer.session for peer in self._named.peers}
        return self._sessions.get(protocol)

    def shut(self, session: str, communication: str) -> None:
        """Cease/2."""
        self.ask(f"disable '{self.protocol(session)}' {_quoted(communication)}")

    def reset(self, session: str, communication: str) -> None:
        """Cease/4."""
        self.ask(f"restart '{self.protocol(session)}' {_quoted(communication)}")

    def open(self, session: str) -> None:
        """End an administrative shutdown."""
        self.ask(f"enable '{self.protocol(session)}'")

    def remove(self, session: str, communication: str) -> None:
        """Cease/2 with the text: BIRD sends no text with Cease/3."""
        self.shut(session, communication)
        self.ask("show status")

    def refresh(self, session: str) -> None:
        """Never."""
        raise RefusedError(
            "NoRouteRefresh",
            f"{self._companion.config.node} runs BIRD with an import table, which never asks a peer for its routes "
            "again",
        )

    def end(self, communication: str) -> None:
        """BIRD takes its routes out of the kernel when it ends."""
        if not self._child.has_ended:
            for peer in self._companion.config.peers:
                self.shut(peer.session, communication)
        self._child.end()
        self._control.close()

    def ask(self, command: str, absent: re.Pattern[str] | None = None) -> tuple[Line, ...]:
        """One command to BIRD; no lines when BIRD's objection matches ``absent``.

        Raises RefusedError, RuntimeFailure or TimedOut.
        """
        try:
            return self._control.ask(command)
        except RefusedError as objection:
            if absent is not None and absent.search(objection.message):
                return ()
            raise

    def _heard(self, line: str) -> None:
        self._has_started = self._has_started or _STARTED in line
        match = _LOG.fullmatch(line)
        if match is None:
            self._companion.notice("bird", "", line, time.time_ns())
            return
        at = int(match[1]) * 1_000_000_000 + int(match[2].ljust(9, "0"))
        level, name, text = match[3], match[4] or "", match[5]
        session = self.session_of(name) or ""
        if not text.startswith(_SILENT):
            self._companion.stirred()
        if level in _TELLING:
            self._companion.notice("bird", session, text, at)
        if session:
            self._follow(session, text, at)
        elif name == BFD_PROTOCOL:
            self._follow_bfd(text, at)

    def _follow_bfd(self, text: str, at: int) -> None:
        """BIRD tells of BFD by the neighbour's address, without diagnostic and without the neighbour's own state."""
        match = _BFD_MOVE.fullmatch(text)
        if match is not None:
            for peer in self._companion.config.peers:
                if peer.peer_address == match[1]:
                    self._companion.bfd_moved(peer.session, match[2], match[3], at)

    def _follow(self, session: str, text: str, at: int) -> None:
        if text == "Got END-OF-RIB":
            self._companion.end_of_rib(session)
            return
        if text.startswith(_REASONS):
            self._companion.because(session, text)
        if text == "Started" and self._companion.peer(session).passive:
            self._companion.moved(session, "Active", at)
            return
        for beginning, state in _MOVES:
            if text.startswith(beginning):
                self._companion.moved(session, state, at)
                return


def _shown(one: BirdSession, alive: BirdLiveness | None) -> Shown:
    return Shown(
        state=_STATES.get(one.state, one.state),
        hold_time=one.hold_time,
        keepalive=one.keepalive,
        capabilities_sent=one.local_capabilities,
        capabilities_received=one.neighbour_capabilities,
        peer_role=one.neighbour_role,
        received=one.imported + one.filtered,
        accepted=one.imported,
        advertised=one.exported,
        last_error=one.last_error,
        bfd=None
        if alive is None
        else ShownBfd(state=alive.state, interval_ms=alive.interval_ms, detection_ms=alive.detection_ms),
    )


def _quoted(text: str) -> str:
    """A text as BIRD's command line takes it: it has no way to write a double quote or a line's end."""
    clean = re.sub(r"[\x00-\x1f\x7f]", " ", text).replace('"', "'")
    return f'"{clean}"' if clean else ""
