"""A running lab in the hands of a test: plain calls, waits within named timeouts, assertions that explain."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from peerlab.bgp.attributes import Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.controller import fault, probing
from peerlab.controller.lab import ESTABLISH_WITHIN, Lab, now_ns
from peerlab.controller.observe import read_sessions
from peerlab.controller.rehearsal import Rehearsal
from peerlab.controller.short_turn_up import turn_up_all
from peerlab.controller.storyline import rehearse
from peerlab.errors import TimedOut
from peerlab.evidence.events import PathTraced, ProbeAnswered
from peerlab.evidence.snapshot import RouteFact, SessionFact
from peerlab.pytest_plugin.loop_thread import LoopThread
from peerlab.pytest_plugin.marker import unproven
from peerlab.pytest_plugin.near_miss import failure_text
from peerlab.report.explanation import explain
from peerlab.report.text import verdict_table
from peerlab.router.protocol import (
    Announce,
    OpenSession,
    Originate,
    RefreshSession,
    ShutSession,
    Withdraw,
    WithdrawOrigin,
)
from peerlab.topology.mistake import no_such
from peerlab.topology.model import LabModel, Session
from peerlab.verify.catalogue import judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding
from peerlab.verify.temporal import Judgement, Quantifier, Statement

STATES = ("up", "open")
"""``up``: as ``peerlab up``. ``open``: every connection turned up and its policy open besides."""

BUILD_WITHIN = 120.0
"""Seconds in which a lab stands, and in which it is down again."""

REHEARSE_WITHIN = 600.0
"""Seconds in which a whole rehearsal ends."""

WITHIN = 20.0
"""Seconds that a wait waits when the test does not say."""

ACT_WITHIN = 60.0
"""Seconds in which one act of a test has to be carried out."""

LOOKS = 0.05
"""Seconds between two looks at something that sends no event."""

PATH_UNGIVEN: tuple[int, ...] = ()

T = TypeVar("T")


class HeldLab:
    """A lab that a fixture holds. ``model`` is its topology, ``controller`` the asyncio object behind it."""

    def __init__(self, loop: LoopThread, controller: Lab) -> None:
        self.controller = controller
        self._loop = loop
        self._rehearsal: Rehearsal | None = None
        self._pause = threading.Event()

    @classmethod
    def start(cls, loop: LoopThread, model: LabModel, text: str, name: str, state: str) -> HeldLab:
        """Build a lab and bring it to a state. Raises what ``Lab.up`` raises; nothing runs then."""

        async def build() -> tuple[Lab, Rehearsal | None]:
            lab = await Lab.up(model, text, name)
            try:
                return lab, await turn_up_all(lab, lambda _: None) if state == "open" else None
            except BaseException as failure:
                await lab.down_after(failure)

        controller, rehearsal = loop.run(build(), BUILD_WITHIN, f"building lab {name}")
        held = cls(loop, controller)
        held._rehearsal = rehearsal
        return held

    def run(self, work: Coroutine[Any, Any, T], within: float = ACT_WITHIN, what: str = "an act in the lab") -> T:
        """Carry out a coroutine of the controller's: for what has no word here. Ends at once when the lab breaks."""
        return self._loop.run(self.controller.while_it_lasts(work), within, what)

    @property
    def model(self) -> LabModel:
        """The topology, resolved."""
        return self.controller.model

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.controller.store.name

    @property
    def directory(self) -> Path:
        """Where the event log, the capture and the snapshots lie."""
        return self.controller.store.path

    # --- what the routers know --------------------------------------------------------------------------

    def sessions(self, node: str | None = None) -> tuple[SessionFact, ...]:
        """Every session as its ends report it, or one router's."""
        names = [self._router(node)] if node else [n.name for n in self.model.nodes if n.is_router]
        facts, _ = self.run(read_sessions(names, self.controller.runtime, self.controller.router))
        return facts

    def session(self, node: str, other: str, family: Family | str = Family.IPV4) -> Session:
        """The model's session between two routers. Raises RefusedError with what there is."""
        wanted = Family(family)
        for one in self.model.sessions_of(self._router(node)):
            if one.family is wanted and one.other(node).node == other:
                return one
        raise no_such("session", f"{node} - {other}", [s.other(node).node for s in self.model.sessions_of(node)])

    def routes(
        self, node: str, prefix: str | None = None, *, view: str = "loc-rib", session: str | None = None
    ) -> tuple[RouteFact, ...]:
        """Routes of a router: ``loc-rib``, or of a session ``adj-rib-in-pre``, ``adj-rib-in-post``, ``adj-rib-out``."""

        async def read() -> tuple[RouteFact, ...]:
            return await (await self.controller.router(self._router(node))).rib(view, session, prefix)

        return self.run(read())

    def best(self, node: str, prefix: str) -> RouteFact | None:
        """A router's best route for a prefix."""
        return next((route for route in self.routes(node, prefix) if route.best), None)

    def explain(self, node: str, prefix: str) -> str:
        """Why a prefix is routed as it is there, as ``peerlab explain`` tells it."""

        async def read() -> str:
            return explain(await (await self.controller.router(self._router(node))).explain(prefix))

        return self.run(read())

    # --- stimuli ----------------------------------------------------------------------------------------

    def announce(
        self,
        node: str,
        to: str,
        *prefixes: str,
        as_path: Iterable[int] = PATH_UNGIVEN,
        communities: Iterable[str] = (),
        med: int | None = None,
    ) -> None:
        """Send routes to one neighbour past all policy; ``as_path`` is the router's own AS when not given."""
        session, end = self._toward(node, to, prefixes)
        path = tuple(as_path) or (end.asn,)
        attributes = PathAttributes(
            as_path=(Segment(SegmentType.AS_SEQUENCE, path),),
            next_hop=end.address,
            communities=tuple(sorted(set(communities))),
            med=med,
        )
        self._ask(node, Announce(session=session, prefixes=_prefixes(prefixes), attributes=attributes))

    def withdraw(self, node: str, to: str, *prefixes: str) -> None:
        """Take back what ``announce`` sent."""
        session, _ = self._toward(node, to, prefixes)
        self._ask(node, Withdraw(session=session, prefixes=_prefixes(prefixes)))

    def originate(self, node: str, prefix: str) -> None:
        """Originate a prefix at a router; its policies say who hears of it."""
        self._ask(node, Originate(prefix=Prefix(prefix)))

    def stop_originating(self, node: str, prefix: str) -> None:
        """Withdraw what a router originates."""
        self._ask(node, WithdrawOrigin(prefix=Prefix(prefix)))

    def refresh(self, node: str, to: str, family: Family | str = Family.IPV4) -> None:
        """Send ROUTE-REFRESH to a neighbour."""
        self._ask(node, RefreshSession(session=self.session(node, to, family).id))

    def shut(self, node: str, to: str, family: Family | str = Family.IPV4) -> None:
        """Shut a session (Cease/2) until ``open_session``."""
        self._ask(node, ShutSession(session=self.session(node, to, family).id))

    def open_session(self, node: str, to: str, family: Family | str = Family.IPV4) -> None:
        """End a shutdown."""
        self._ask(node, OpenSession(session=self.session(node, to, family).id))

    # --- faults -----------------------------------------------------------------------------------------

    def link_down(self, link: str) -> None:
        """Take a link down; both ends lose carrier. A link is an id or ``A:B``."""
        self.run(fault.set_link(self.controller, fault.find_link(self.controller, link), up=False))

    def link_up(self, link: str) -> None:
        """Put a link up again."""
        self.run(fault.set_link(self.controller, fault.find_link(self.controller, link), up=True))

    @contextlib.contextmanager
    def without_link(self, link: str) -> Iterator[None]:
        """A link is down for a while, and put up in any case; nothing is waited for."""
        self.link_down(link)
        try:
            yield
        finally:
            self.link_up(link)

    def silence(self, link: str, from_node: str | None = None) -> None:
        """Lose every packet of a link with its carrier up: both ways, or what one node sends."""
        self.run(fault.silence(self.controller, fault.find_link(self.controller, link), from_node))

    def degrade(
        self, link: str, *, loss_percent: float = 0.0, delay_ms: float = 0.0, jitter_ms: float = 0.0
    ) -> None:
        """Lose a share of a link's packets, or delay them, give or take the jitter. Raises Unsupported."""
        found = fault.find_link(self.controller, link)
        self.run(fault.degrade(self.controller, found, loss_percent, delay_ms, jitter_ms))

    def clear(self, link: str) -> None:
        """Undo ``silence`` and ``degrade``."""
        self.run(fault.clear(self.controller, fault.find_link(self.controller, link)))

    def kill_router(self, node: str) -> None:
        """SIGKILL a router's process."""
        self.run(fault.kill_router(self.controller, fault.find_router(self.controller, node)))

    def restart_router(self, node: str) -> None:
        """Start a router that was killed, with all its sessions."""
        self.run(fault.restart_router(self.controller, fault.find_router(self.controller, node)))

    # --- packets ----------------------------------------------------------------------------------------

    def ping(self, source: str, destination: str, family: Family | str = Family.IPV4, count: int = 3) -> ProbeAnswered:
        """Echo requests between two nodes; the answer says how many were ``sent`` and ``received``."""
        return self.run(probing.ping(self.controller, "test", source, destination, Family(family), count))

    def traceroute(self, source: str, destination: str, family: Family | str = Family.IPV4) -> PathTraced:
        """The path between two nodes, hops named."""
        return self.run(probing.trace(self.controller, "test", source, destination, Family(family)))

    # --- waits ------------------------------------------------------------------------------------------

    def wait_established(self, *sessions: str, within: float = ESTABLISH_WITHIN) -> None:
        """Until these sessions (all that should be up when none is named) are Established with End-of-RIB.

        Raises TimedOut naming each that is not.
        """
        names = sessions or self.controller.expected_sessions()
        self.run(self.controller.wait_established(names, within), within + ACT_WITHIN)

    def wait_down(self, *sessions: str, within: float = ESTABLISH_WITHIN) -> None:
        """Until both ends of these sessions are down. Raises TimedOut."""
        self.run(self.controller.wait_down(sessions, within), within + ACT_WITHIN)

    def wait_quiet(self, within: float = ESTABLISH_WITHIN) -> None:
        """Until no router has anything left to send or decide. Raises TimedOut."""
        self.run(self.controller.wait_quiet(within=within), within + ACT_WITHIN)

    def wait_for_route(
        self, node: str, prefix: str, *, session: str | None = None, within: float = WITHIN
    ) -> RouteFact:
        """Until a router has a best route for a prefix, learned on a session if one is named. Raises TimedOut."""
        self._wait_best("best", node, prefix, session, within)
        found = self.best(node, prefix)
        if found is None:
            raise TimedOut(f"a lasting best route for {prefix} at {node}", within)
        return found

    def wait_for_no_route(self, node: str, prefix: str, *, within: float = WITHIN) -> None:
        """Until a router has no best route for a prefix. Raises TimedOut."""
        self._wait_best("no-best", node, prefix, None, within)

    def _wait_best(self, what: str, node: str, prefix: str, session: str | None, within: float) -> None:
        async def wait() -> bool:
            client = await self.controller.router(self._router(node))
            return await client.wait(what, within, session=session, prefix=prefix)

        if not self.run(wait(), within + ACT_WITHIN):
            raise TimedOut(f"{what} route for {prefix} at {node}", within)

    def wait_until(self, condition: Callable[[], T], what: str, within: float = WITHIN) -> T:
        """Until ``condition()`` is true; its value. For what has no wait of its own. Raises TimedOut."""
        deadline = time.monotonic() + within
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise TimedOut(what, within)
            self._pause.wait(LOOKS)
        return value

    # --- verdicts ---------------------------------------------------------------------------------------

    def mark(self) -> int:
        """This moment, for ``after`` and ``until``: ``lab.expect(after(mark, never(…)))``."""
        return now_ns()

    def snapshot(self, label: str) -> None:
        """Keep the whole lab as it is under a label; statements about tables are judged at snapshots."""
        self.run(self.controller.snapshot(label))

    def evidence(self) -> Evidence:
        """All that the lab has shown up to now, with a snapshot ``now``."""

        async def gather() -> Evidence:
            lab = self.controller
            now = await lab.look("now")
            trace = await lab.trace()
            return Evidence(lab.model, lab.events, trace, {**lab.snapshots, "now": now})

        return self.run(gather())

    def judge(self, statement: Statement) -> Judgement:
        """What the evidence says of a statement; one about the future is waited for as long as it may come true."""
        judgement, _ = self._judge(statement)
        return judgement

    def _judge(self, statement: Statement) -> tuple[Judgement, Evidence]:
        while True:
            evidence = self.evidence()
            judgement = statement.judge(evidence)
            if statement.quantifier is not Quantifier.EVENTUALLY or judgement.holds or judgement.span[1] < now_ns():
                return judgement, evidence
            self._pause.wait(LOOKS)

    def expect(self, statement: Statement) -> Judgement:
        """Assert a statement in the language of ``expect:``. Neither false nor untold passes.

        The failure names the reason, the routes that came nearest, what was on the wire, and where the evidence lies.
        """
        __tracebackhide__ = True
        judgement, evidence = self._judge(statement)
        if judgement.holds:
            return judgement
        raise AssertionError(failure_text(statement, judgement, evidence, str(self.directory)))

    def rehearse(self, conformance: bool = False) -> tuple[Finding, ...]:
        """Play the whole turn-up in this lab (of state ``up``, nothing asked yet) and judge it by the catalogue."""
        work = rehearse(self.controller, lambda _: None, conformance)
        _, findings = self._loop.run(work, REHEARSE_WITHIN, "the rehearsal")
        return findings

    def check(self, *ids: str) -> tuple[Finding, ...]:
        """Judge what the lab has shown by these checks, or by all. Raises KeyError for no check's id."""
        evidence = self.evidence()
        return judge_all(evidence, ids or None)

    def must_pass(self, *ids: str) -> None:
        """Assert that these checks do: a failed one and one that cannot be told fail the test, with the report."""
        __tracebackhide__ = True
        troubled = unproven(self.check(*ids))
        if troubled:
            raise AssertionError(f"{verdict_table(troubled)}\n  evidence: {self.directory}")

    def whereabouts(self) -> str:
        """Where the evidence lies, and how to look at it."""
        return (
            f"lab {self.name}; its evidence: {self.directory}\n"
            f"    PEERLAB_STATE={self.directory.parent} peerlab trace {self.name} --kind update\n"
            f"    PEERLAB_STATE={self.directory.parent} peerlab check {self.name} --verbose"
        )

    # --- its end ----------------------------------------------------------------------------------------

    def end(self, keep_evidence: bool) -> None:
        """Take the lab down."""
        self._loop.run(self.controller.down(keep_evidence), BUILD_WITHIN, f"the end of lab {self.name}")

    def let_go(self) -> str:
        """Leave the lab up, and say how to look at it and how to end it."""
        self._loop.run(self.controller.close(), BUILD_WITHIN, f"letting go of lab {self.name}")
        state = f"PEERLAB_STATE={self.directory.parent}"
        return f"{state} peerlab sessions {self.name}    (end it: {state} peerlab down {self.name})"

    def _router(self, node: str) -> str:
        return fault.find_router(self.controller, node).name

    def _toward(self, node: str, to: str, prefixes: Sequence[str]) -> tuple[str, Any]:
        families = {Family.IPV6 if ":" in prefix else Family.IPV4 for prefix in prefixes}
        if len(families) != 1:
            raise ValueError("give prefixes of one family, at least one")
        session = self.session(node, to, families.pop())
        return session.id, session.end(node)

    def _ask(self, node: str, request: Any) -> None:
        async def ask() -> None:
            await (await self.controller.router(self._router(node))).ask(request)

        self.run(ask())


def _prefixes(texts: Iterable[str]) -> tuple[Prefix, ...]:
    return tuple(Prefix(text) for text in texts)
