"""OpenBGPD as a companion drives it: its log for the FSM and for changes of its table, bgpctl for all else.

It is changed by ``reload``, which resets no session that stays and applies policies to the routes that it keeps as
received. It installs nothing in a Linux kernel and takes every next hop for reachable: its companion installs its best
routes (``KernelRoutes``).
"""

from __future__ import annotations

import re
import select
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.nlri import family_of_prefix
from peerlab.bgp.origin_validation import digest
from peerlab.bgp.policy import LearnedFrom
from peerlab.bgp.policy_engine import evaluate
from peerlab.daemons.bmp import as_received
from peerlab.daemons.openbgpd_dump import ends_of_rib, file_name, is_kept
from peerlab.daemons.openbgpd_reply import DEFAULT_LOCAL_PREF, OpenBgpdSession, routes, sessions
from peerlab.daemons.shown_route import ShownRoute
from peerlab.errors import RuntimeFailure, TimedOut
from peerlab.evidence.snapshot import ValidationFact
from peerlab.router.companion_child import Child
from peerlab.router.companion_driver import Shown, Watching
from peerlab.router.kernel_routes import KernelRoutes, Selected
from peerlab.router.openbgpd_control import OpenBgpdControl
from peerlab.router.openbgpd_process import OpenBgpdProcess
from peerlab.router.rib_views import RibViews
from peerlab.router.shown_rib import ShownRib

START_AGAIN_AFTER = 1.0
"""Seconds after which a session that failed may start again. OpenBGPD itself waits 30 s, then 60 s, and so on."""

RELOAD_WITHIN = 20.0
"""Seconds in which OpenBGPD has to take a new configuration, with every route judged anew."""

_RELOADED = "RDE soft reconfiguration done"
_OF_PEER = re.compile(r"neighbor (\S+?)(?: AS\d+)?: (.*)")
_MOVED = re.compile(r"state change (\w+) -> (\w+), reason: (.*)")
_END_OF_RIB = re.compile(r"received IPv\d unicast EOR marker")
_NOTIFIED = re.compile(r"(sending|received) notification: (.*)")
_TOO_MANY = "number of prefix"
_TABLE = re.compile(r"Rib Loc-RIB: |nexthop ")
_FAMILIES = {Family.IPV4: "inet", Family.IPV6: "inet6"}
_LONGEST_TEXT = 255


class OpenBgpdDriver:
    """The OpenBGPD of one node."""

    title = "OpenBGPD"
    quiet_for = 0.05

    def __init__(self, companion: Watching) -> None:
        self._companion = companion
        self._ribs = ShownRib(self, companion)
        self._kernel: KernelRoutes | None = None
        self._reloads = 0
        self._read_of: dict[str, int] = {}
        self._idle: set[str] = set()
        self._stays_down: set[str] = set()
        self._named: RouterConfig | None = None
        self._addresses: dict[str, str] = {}

    @property
    def ribs(self) -> RibViews:
        """OpenBGPD's tables."""
        return self._ribs

    @property
    def children(self) -> Sequence[Child]:
        """One process; its three helpers end with it."""
        return (self._child,)

    def validation(self) -> ValidationFact:
        """Nothing is validated by."""
        return ValidationFact(digest=digest(()))

    def start(self) -> None:
        """Raises RuntimeFailure when OpenBGPD refuses its file or does not start, Unsupported without OpenBGPD."""
        for left in self._companion.directory.glob("updates-*.mrt"):
            left.unlink()
        self._process = OpenBgpdProcess(self._companion.directory)
        self._process.check()
        if self._companion.config.install_routes:
            self._kernel = KernelRoutes(self._companion, self._selected)
        self._child = self._process.start(self._heard, lambda: self._reloads > 0)
        self._control = OpenBgpdControl(self._companion.directory, self._child)
        self._table_changed()

    def reload(self) -> None:
        """OpenBGPD finds out by itself what is new."""
        self._process.check()
        for address in self._read_of.keys() - self._sessions.keys():
            del self._read_of[address]
            (self._companion.directory / file_name(Address(address))).unlink(missing_ok=True)
        before = self._reloads
        self._control.ask("reload")
        limit = time.monotonic() + RELOAD_WITHIN
        poll = select.poll()
        poll.register(self._child.output, select.POLLIN)
        while self._reloads == before:
            left = limit - time.monotonic()
            if left <= 0:
                raise TimedOut("OpenBGPD's change to another configuration", RELOAD_WITHIN)
            poll.poll(left * 1000)
            self._child.read()
            if self._child.has_ended:
                raise RuntimeFailure("OpenBGPD has ended")
        self._table_changed()

    def poke(self) -> None:
        """OpenBGPD needs no reminding; but some End-of-RIB it does not see."""
        for peer in self._companion.config.peers:
            if is_kept(peer):
                self._look_for_end_of_rib(peer)

    def _look_for_end_of_rib(self, peer: PeerConfig) -> None:
        read = self._read_of.get(peer.peer_address, 0)
        try:
            with (self._companion.directory / file_name(peer.peer_address)).open("rb") as file:
                file.seek(read)
                found, used = ends_of_rib(file.read())
        except FileNotFoundError:
            return
        except ValueError as error:
            raise RuntimeFailure(f"{self._companion.config.node}: {error}") from error
        self._read_of[peer.peer_address] = read + used
        if found and self._companion.is_established(peer.session):
            self._companion.end_of_rib(peer.session)

    def counters(self) -> Hashable:
        """Messages and routes of every session."""
        if self._kernel is not None:
            self._kernel.settle()
        return tuple((one.address, one.state, one.counters) for one in self._neighbours())

    def shown(self) -> Mapping[str, Shown]:
        """Every session."""
        accepted: dict[str, int] = {}
        for family in {peer.family for peer in self._companion.config.peers}:
            for route in self.chosen(family, None):
                accepted[route.peer or ""] = accepted.get(route.peer or "", 0) + 1
        known = self._sessions
        return {known[one.address]: _shown(one, accepted.get(one.address, 0)) for one in self._neighbours()}

    def shut(self, session: str, communication: str) -> None:
        """Cease/2."""
        self._command(session, "down", communication)

    def reset(self, session: str, communication: str) -> None:
        """Cease/4."""
        self._command(session, "clear", communication)

    def open(self, session: str) -> None:
        """End an administrative shutdown, or the pause after too many prefixes."""
        self._command(session, "up")

    def remove(self, session: str, communication: str) -> None:
        """Cease/2 with the text."""
        self.shut(session, communication)

    def refresh(self, session: str) -> None:
        """Route refresh."""
        self._command(session, "refresh")

    def end(self, communication: str) -> None:
        """Cease/2 to every neighbour, then the process and the kernel's routes."""
        if not self._child.has_ended:
            for peer in self._companion.config.peers:
                self.shut(peer.session, communication)
        self._child.end()
        if self._kernel is not None:
            self._kernel.close()

    def _start_again(self, session: str) -> None:
        """A session that failed, and that nobody has shut, removed or started since."""
        known = session in self._sessions.values()
        if session not in self._idle or not known or session in self._companion.shut_sessions or self._child.has_ended:
            return
        try:
            self._command(session, "up")
        except RefusedError as objection:
            self._companion.notice("openbgpd", session, str(objection), time.time_ns())

    def _command(self, session: str, command: str, communication: str = "") -> None:
        text = _plain(communication)
        self._control.ask(
            "neighbor", self._companion.peer(session).peer_address, command, *([text] if text else [])
        )

    # its tables

    def chosen(self, family: Family, prefix: Prefix | None) -> list[ShownRoute]:
        """Loc-RIB; the kernel follows what was told."""
        if self._sessions:
            found = self._routes("show", "rib", _FAMILIES[family], "detail", *([prefix] if prefix else []))
        else:
            found = [one for one in self._own_routes() if family_of_prefix(one.prefix) is family]
            found = [one for one in found if prefix in (None, one.prefix)]
        if self._kernel is not None:
            self._kernel.settle()
        return [self._not_reflected_yet(one) for one in found]

    def received(self, peer: PeerConfig, prefix: Prefix | None) -> list[ShownRoute]:
        """Adj-RIB-In."""
        return [self._not_reflected_yet(one) for one in self._of_peer(peer, "in", prefix)]

    def sent(self, peer: PeerConfig, prefix: Prefix | None) -> list[ShownRoute]:
        """Adj-RIB-Out. It shows a received MED there that it does not tell another AS, unless it is transparent."""
        found = self._of_peer(peer, "out", prefix)
        if peer.local_as == peer.peer_as or peer.route_server_client:
            return found
        best = {route.prefix: route for route in self.chosen(peer.family, prefix) if route.best}
        return [self._with_told_med(peer, one, best.get(one.prefix)) for one in found]

    def _not_reflected_yet(self, route: ShownRoute) -> ShownRoute:
        """A reflector's marks OpenBGPD puts on a route when it comes, and not when it goes (RFC 4456 section 8)."""
        config = self._companion.config
        cluster = config.cluster_id or config.router_id
        return msgspec.structs.replace(route, attributes=as_received(route.attributes, None, cluster))

    def _with_told_med(self, peer: PeerConfig, sent: ShownRoute, chosen: ShownRoute | None) -> ShownRoute:
        med: int | None = sent.attributes.med or 0
        if chosen is None or not chosen.med_is_set:
            before = sent.attributes if chosen is None else chosen.attributes
            before = msgspec.structs.replace(before, med=None)
            policy = self._companion.config.policies[peer.export_policy]
            own = evaluate(policy, sent.prefix, before, self._source(chosen)).attributes.med
            med = None if own is None else med
        return msgspec.structs.replace(sent, attributes=msgspec.structs.replace(sent.attributes, med=med))

    def _source(self, route: ShownRoute | None) -> LearnedFrom:
        if route is None or route.peer is None:
            return LearnedFrom.LOCAL
        inside = any(one.peer_address == route.peer and one.local_as == one.peer_as
                     for one in self._companion.config.peers)  # fmt: skip
        return LearnedFrom.IBGP if inside else LearnedFrom.EBGP

    def same(self, shown: PathAttributes, wanted: PathAttributes) -> PathAttributes:
        """It shows LOCAL_PREF 100 for none, and MED 0 for none."""
        if wanted.local_pref is None and shown.local_pref == DEFAULT_LOCAL_PREF:
            shown = msgspec.structs.replace(shown, local_pref=None)
        if wanted.med == 0 and shown.med is None:
            shown = msgspec.structs.replace(shown, med=0)
        return shown

    def _of_peer(self, peer: PeerConfig, table: str, prefix: Prefix | None) -> list[ShownRoute]:
        if not self._companion.is_established(peer.session):
            return []
        words = ("show", "rib", "detail", table, "neighbor", peer.peer_address)
        return [one for one in self._routes(*words) if prefix in (None, one.prefix)]

    def _own_routes(self) -> list[ShownRoute]:
        """Without any neighbour OpenBGPD shows no table, not even its own routes: they are what it was told."""
        return [
            ShownRoute(
                prefix=one.prefix,
                peer=None,
                attributes=msgspec.structs.replace(
                    one.attributes, local_pref=one.attributes.local_pref or DEFAULT_LOCAL_PREF
                ),
                best=True,
            )
            for one in self._companion.originated
        ]

    def _routes(self, *words: str) -> list[ShownRoute]:
        return self._read(routes, *words)  # type: ignore[no-any-return]

    def _neighbours(self) -> list[OpenBgpdSession]:
        known = self._sessions
        if not known:
            return []  # which it would call a failure
        return [one for one in self._read(sessions, "show", "neighbor") if one.address in known]

    def _read(self, reader: Any, *words: str) -> Any:
        try:
            return reader(self._control.ask(*words))
        except ValueError as error:
            raise RuntimeFailure(f"{self._companion.config.node}: {error}") from error

    def _selected(self) -> Iterable[Selected]:
        peers = {peer.peer_address: peer for peer in self._companion.config.peers}
        for route in self._routes("show", "rib", "best", "detail") if self._sessions else self._own_routes():
            peer = peers.get(route.peer) if route.peer is not None else None
            lost = route.discarded or peer is None
            yield Selected(
                route.prefix,
                None if lost else route.attributes.next_hop,
                None if peer is None else peer.interface,
            )

    @property
    def _sessions(self) -> Mapping[str, str]:
        """Sessions by the neighbour's address."""
        if self._named is not self._companion.config:
            self._named = self._companion.config
            self._addresses = {peer.peer_address: peer.session for peer in self._named.peers}
        return self._addresses

    # what OpenBGPD says

    def _table_changed(self) -> None:
        if self._kernel is not None:
            self._kernel.changed()

    def _heard(self, line: str) -> None:
        at = time.time_ns()
        self._companion.stirred()
        if line == _RELOADED:
            self._reloads += 1
        if _TABLE.match(line):
            self._table_changed()
            return
        match = _OF_PEER.fullmatch(line)
        session = self._sessions.get(match[1]) if match else None
        if match is None or session is None:
            if line.startswith(("fatal", "warning")) or "error" in line:
                self._companion.notice("openbgpd", "", line, at)
            return
        self._follow(session, match[2], at)

    def _follow(self, session: str, text: str, at: int) -> None:
        companion = self._companion
        if moved := _MOVED.fullmatch(text):
            if moved[1] != "None":
                if moved[2] == "Idle" and not companion.is_established(session):
                    companion.because(session, moved[3])
                companion.moved(session, moved[2], at)
                self._table_changed()
                self._idle.discard(session)
                if moved[2] == "Idle" and session not in self._stays_down:
                    self._idle.add(session)
                    companion.after(START_AGAIN_AFTER, lambda: self._start_again(session))
                self._stays_down.discard(session)
        elif _END_OF_RIB.fullmatch(text):
            companion.end_of_rib(session)
        elif told := _NOTIFIED.fullmatch(text):
            way = "sent" if told[1] == "sending" else "received"
            if way == "sent" and _TOO_MANY in told[2]:
                self._stays_down.add(session)
            companion.because(session, f"{way} NOTIFICATION {told[2]}")
            companion.notice("openbgpd", session, text, at)
        elif not text.startswith("sending IPv"):
            companion.notice("openbgpd", session, text, at)


def _shown(one: OpenBgpdSession, accepted: int) -> Shown:
    return Shown(
        state=one.state,
        hold_time=one.hold_time,
        keepalive=one.keepalive,
        capabilities_sent=one.capabilities_sent,
        capabilities_received=one.capabilities_received,
        peer_role=one.remote_role,
        received=one.received,
        accepted=accepted,
        advertised=one.advertised,
        last_error=one.last_error,
    )


def _plain(text: str) -> str:
    """A text as bgpctl takes it: one line of at most 255 octets."""
    clean = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())
    return clean.encode()[:_LONGEST_TEXT].decode(errors="ignore")
