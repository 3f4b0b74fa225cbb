"""FRR as a companion drives it: zebra and bgpd, bgpd's log for the FSM, its vty for questions and changes, its BMP.

A change is told as the difference of two configurations; policies change by a route-map of another name, which bgpd
applies to the routes that it keeps as received. No session that stays is reset.
"""

from __future__ import annotations

import re
import time
from collections.abc import Hashable, Mapping, Sequence

from peerlab.bgp.attributes import Family
from peerlab.bgp.config import RouterConfig
from peerlab.bgp.effects import FibChange
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.bgp.origin_validation import digest
from peerlab.daemons.frr import BMP_PORT, Configuration, structure
from peerlab.daemons.frr_change import commands
from peerlab.daemons.frr_own import told_besides
from peerlab.daemons.frr_reply import FrrSession, received_count, sessions
from peerlab.daemons.own_configuration import reading_of
from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.evidence.snapshot import ValidationFact
from peerlab.router.bmp_station import BmpStation
from peerlab.router.companion_child import START_WITHIN, Child
from peerlab.router.companion_driver import Shown, Watching
from peerlab.router.fib import Fib
from peerlab.router.frr_process import FrrProcesses
from peerlab.router.frr_rib import FrrRib
from peerlab.router.frr_vty import FrrVty
from peerlab.router.rib_views import RibViews
from peerlab.topology.model import NodeKind

_LOG = re.compile(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)(?:\.(\d+))? \w+: (?:\[[0-9A-Z-]+\])?(\[EC \d+\])? ?(.*)")
_MOVED = re.compile(r"(\S+) went from (\w+) to (\w+)")
_END_OF_RIB = re.compile(r"\S+ rcvd End-of-RIB for IPv\d Unicast from (\S+)")
_NOTIFIED = re.compile(r"%NOTIFICATION(?:\([^)]*\))?: (sent to|received from) neighbor (\S+) (.*)")
_DOWN = re.compile(r"%ADJCHANGE: neighbor ([^\s(]+)\S* in vrf \S+ Down ?(.*)")
_WARNED = re.compile(r"%MAXPFX.* from (\S+) reaches (\d+), max (\d+)")
_STATES = {"Clearing": "Idle", "Deleted": "Idle"}
_FAMILIES = {Family.IPV4: "ipv4 unicast", Family.IPV6: "ipv6 unicast"}
_HUSHED = ("zclient_send_message() failed", "waiting until one is created for it")
"""Warnings of bgpd that tell nobody anything: at its end, and of interfaces without an IPv6 link-local address."""


SHORT_QUIET, LONG_QUIET = 0.15, 0.3
"""Seconds without a stir after which bgpd is quiet: its work queue waits 50 ms, a new announcement of all 100 ms."""


OWN_QUIET = 1.2
"""Likewise where an own configuration leaves bgpd its default of 1 s, for which it collects what it has to tell."""


class FrrDriver:
    """The FRR of one node."""

    title = "FRR"

    def __init__(self, companion: Watching) -> None:
        self._companion = companion
        self._ribs = FrrRib(self, companion)
        self._named: RouterConfig | None = None
        self._addresses: dict[str, str] = {}
        self._told: Configuration | None = None
        self._children: tuple[Child, ...] = ()
        self._asked_again = 0
        self._announces_until = 0.0

    @property
    def quiet_for(self) -> float:
        """bgpd lets changed prefixes lie for 50 ms, and for 100 ms what a new session or policy makes it announce.

        An own configuration leaves it the second for which FRR collects what it has to tell (coalesce-time).
        """
        if self._companion.config.own is not None:
            return OWN_QUIET
        return LONG_QUIET if time.monotonic() < self._announces_until else SHORT_QUIET

    def validation(self) -> ValidationFact:
        """Debian's FRR has no origin validation: everything is not-found."""
        return ValidationFact(digest=digest(()))

    @property
    def ribs(self) -> RibViews:
        """bgpd's tables."""
        return self._ribs

    @property
    def children(self) -> Sequence[Child]:
        """bgpd and zebra."""
        return self._children

    def start(self) -> None:
        """Raises RuntimeFailure when FRR refuses its configuration or does not start, Unsupported without FRR."""
        own = self._companion.config.own
        processes = FrrProcesses(self._companion.directory, own is not None)
        processes.check()
        self._fib = Fib()
        self._fib.clear()
        if own is None:
            self._note_configuration()
        self.station = BmpStation(BMP_PORT)
        zebra = processes.zebra(self._heard_zebra)
        bgpd = processes.bgpd(self._heard, installs=self._companion.config.install_routes)
        self._children = (bgpd, zebra, processes.staticd(self._heard_zebra)) if own else (bgpd, zebra)
        self._vty = FrrVty(self._companion.directory, "bgpd", self._children)
        if own is not None:
            self._vty.configure(told_besides(reading_of(NodeKind.FRR, own)))
        limit = time.monotonic() + START_WITHIN
        while not self.station.is_connected:
            if time.monotonic() > limit:
                raise TimedOut("bgpd's connection to its monitoring station", START_WITHIN)
            self.station.wait(START_WITHIN)
        if own is None:
            self._drop_what_nobody_knows((), self._prefixes())

    def reload(self) -> None:
        """bgpd is told the difference; what it refuses is taken back."""
        before, prefixes = self._told, self._known
        assert before is not None
        after = self._wanted()
        try:
            self._vty.configure(commands(before, after))
        except RefusedError:
            self._vty.configure(commands(after, before), anyhow=True)
            raise
        self._note_configuration()
        self._will_announce()
        self._drop_what_nobody_knows(prefixes, self._prefixes())

    def poke(self) -> None:
        """bgpd needs no reminding."""
        self.station.read()

    def counters(self) -> Hashable:
        """Messages and queues of every session, and the monitoring station's messages."""
        self.station.read()
        neighbours = self.neighbours()
        asked = sum(one.refreshes_heard for one in neighbours)
        if asked != self._asked_again:
            self._asked_again = asked
            self._will_announce()
        return (self.station.messages, tuple((one.address, one.state, one.counters) for one in neighbours))

    def shown(self) -> Mapping[str, Shown]:
        """Every session."""
        self.station.read()
        return {self._sessions[one.address]: self._shown(one) for one in self.neighbours()}

    def neighbours(self) -> list[FrrSession]:
        """bgpd's neighbours."""
        try:
            return [one for one in sessions(self.ask("show bgp neighbors json")) if one.address in self._sessions]
        except ValueError as error:
            raise RuntimeFailure(f"{self._companion.config.node}: {error}") from error

    def session_of(self, address: str) -> str | None:
        """The session with that neighbour."""
        return self._sessions.get(address)

    def ask(self, command: str) -> str:
        """One command. Raises RefusedError with FRR's words, RuntimeFailure, TimedOut."""
        return self._vty.ask(command)

    def shut(self, session: str, communication: str) -> None:
        """Cease/2."""
        message = f" message {_plain(communication)}" if communication else ""
        self._configure(f"neighbor {self._companion.peer(session).peer_address} shutdown{message}")

    def reset(self, session: str, communication: str) -> None:
        """Cease/4, in which FRR sends no text."""
        peer = self._companion.peer(session)
        self.ask(f"clear bgp {_FAMILIES[peer.family]} {peer.peer_address}")

    def open(self, session: str) -> None:
        """End an administrative shutdown, or the pause after too many prefixes."""
        peer = self._companion.peer(session)
        self._configure(f"no neighbor {peer.peer_address} shutdown")
        if not self._companion.is_established(session):
            self.reset(session, "")

    def remove(self, session: str, communication: str) -> None:
        """Cease/2 with the text: FRR sends none with Cease/3."""
        self.shut(session, communication)

    def refresh(self, session: str) -> None:
        """bgpd asks only for routes that it does not keep as received: for a moment it keeps none."""
        peer = self._companion.peer(session)
        family, line = _FAMILIES[peer.family], f"neighbor {peer.peer_address} soft-reconfiguration inbound"
        self._configure(f"address-family {family}", f"no {line}", line, "exit-address-family")

    def end(self, communication: str) -> None:
        """zebra takes its routes out of the kernel when it ends."""
        bgpd, *others = self._children
        if not bgpd.has_ended:
            self._configure(f"bgp shutdown message {_plain(communication) or 'the router stops'}")
        for child in (bgpd, *reversed(others)):
            child.end()
        self._vty.close()
        self.station.close()
        self._fib.clear()
        self._fib.close()

    def _will_announce(self) -> None:
        self._announces_until = time.monotonic() + LONG_QUIET

    def _configure(self, *lines: str) -> None:
        self._vty.configure([f"router bgp {self._companion.config.asn}", *lines])

    def _wanted(self) -> Configuration:
        companion = self._companion
        return structure(companion.config, companion.shut_sessions, companion.originated)

    def _note_configuration(self) -> None:
        self._told = self._wanted()
        self._known = self._prefixes()

    @property
    def _sessions(self) -> Mapping[str, str]:
        """Sessions by the neighbour's address."""
        if self._named is not self._companion.config:
            self._named = self._companion.config
            self._addresses = {peer.peer_address: peer.session for peer in self._named.peers}
        return self._addresses

    def _prefixes(self) -> tuple[str, ...]:
        return tuple(one.prefix for one in self._companion.originated)

    def _drop_what_nobody_knows(self, before: Sequence[str], after: Sequence[str]) -> None:
        """Packets for an originated prefix that nothing more specific matches end here. bgpd installs no such route."""
        if not self._companion.config.install_routes:
            return
        changes = [("remove", prefix) for prefix in before if prefix not in after]
        changes += [("blackhole", prefix) for prefix in after if prefix not in before]
        for refusal in self._fib.apply(
            [FibChange(family_of_prefix(prefix), nlri_bytes(prefix), kind) for kind, prefix in changes]  # type: ignore[arg-type]
        ):
            self._companion.notice("fib-refused", "", str(refusal), time.time_ns())

    # what FRR says

    def _heard_zebra(self, line: str) -> None:
        match = _LOG.fullmatch(line)
        if match is None or (match[3] and not match[4].startswith("Disabling MPLS")):
            self._companion.notice("frr", "", line, time.time_ns())

    def _heard(self, line: str) -> None:
        match = _LOG.fullmatch(line)
        if match is None:
            self._companion.notice("frr", "", line, time.time_ns())
            return
        at = int(time.mktime(time.strptime(match[1], "%Y/%m/%d %H:%M:%S"))) * 1_000_000_000
        at += int((match[2] or "").ljust(9, "0"))
        text = match[4]
        self._companion.stirred()
        if match[3] and not text.endswith(_HUSHED):
            self._companion.notice("frr", "", text, at)
        self._follow(text, at)

    def _follow(self, text: str, at: int) -> None:
        companion = self._companion
        if (moved := _MOVED.match(text)) and (session := self._sessions.get(moved[1])):
            # A second connection of the same peer moves too, while the first is Established.
            if moved[2] == "Established" or not companion.is_established(session):
                companion.moved(session, _STATES.get(moved[3], moved[3]), at)
                self._will_announce()
        elif (ended := _END_OF_RIB.match(text)) and (session := self._sessions.get(ended[1])):
            companion.end_of_rib(session)
        elif (told := _NOTIFIED.match(text)) and (session := self._sessions.get(told[2].partition("(")[0])):
            companion.because(session, f"{told[1].split()[0]} NOTIFICATION {told[3]}")
            companion.notice("frr", session, text, at)
        elif (down := _DOWN.match(text)) and (session := self._sessions.get(down[1])):
            companion.notice("frr", session, text, at)
        elif (warned := _WARNED.match(text)) and (session := self._sessions.get(warned[1])):
            companion.notice("max-prefix-warning", session, f"{warned[2]} of at most {warned[3]} prefixes", at)

    def _received(self, one: FrrSession) -> int:
        peer = self._companion.peer(self._sessions[one.address])
        command = f"show bgp {_FAMILIES[peer.family]} neighbors {one.address} prefix-counts json"
        return received_count(self.ask(command)) if one.state == "Established" else 0

    def _shown(self, one: FrrSession) -> Shown:
        state = one.state.split()[0]
        return Shown(
            state=_STATES.get(state, state),
            hold_time=one.hold_time,
            keepalive=one.keepalive,
            capabilities_sent=one.capabilities_sent,
            capabilities_received=one.capabilities_received,
            peer_role=one.remote_role,
            received=self._received(one),
            accepted=one.accepted,
            advertised=one.advertised,
            last_error=one.last_reset,
        )


def _plain(text: str) -> str:
    """A text as FRR's command line takes it: one line without what it would read as a comment or a question."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f?!#|]", " ", text).split())
