"""One lab that is broken and mended again and again: fault, settle, look, mend, and the proof that all is as before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from peerlab.bgp.attributes import Family
from peerlab.controller import fault, probing, rpki
from peerlab.controller.lab import ESTABLISH_WITHIN, Lab, now_ns
from peerlab.controller.short_turn_up import turn_up_all
from peerlab.errors import RefusedError, TimedOut
from peerlab.evidence.events import LabConverged, PathTraced
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.evidence.trace import Trace, TraceReader
from peerlab.router.protocol import OpenSession, ShutSession
from peerlab.topology.model import LabModel
from peerlab.verify.finding import Finding, Outcome
from peerlab.verify.likeness import differences, in_flight
from peerlab.verify.outage import Case, Unit, UnitKind
from peerlab.verify.relation_reach import reachable_pairs
from peerlab.verify.survivor import survivors
from peerlab.verify.sweep import PHASE, Run, judge_run, left_of, traced_pairs, walk_all, window

SETTLE_WITHIN = 15.0
"""Seconds in which the lab has to come to rest once all routers are quiet."""

EXPIRY_MARGIN = 5.0
"""Seconds beyond a hold time in which a session that lost its ground has to be down."""

TALK = "peerlab: the sweep shuts this session"


class SweepCell:
    """A lab turned up and converged. ``play`` one case after the other while ``is_sound``."""

    def __init__(self, lab: Lab, baseline: Snapshot) -> None:
        self.lab = lab
        self.is_sound = True
        self.baseline = baseline
        self._before = baseline
        self._reader = TraceReader(lab.model)
        self._read = 0

    @classmethod
    async def build(cls, model: LabModel, text: str, name: str) -> SweepCell:
        """A new lab with every connection open. Raises what a lab's start and turn-up raise; nothing is left then."""
        lab = await Lab.up(model, text, name)
        try:
            await turn_up_all(lab, lambda _: None)
            lab.record(LabConverged(at=now_ns(), sessions=len(lab.expected_sessions())))
            return cls(lab, await _steady(lab))
        except BaseException as failure:
            await lab.down_after(failure)

    async def end(self) -> None:
        """Take the lab down with all it has shown."""
        await self.lab.down()

    async def play(self, case: Case) -> tuple[Finding, ...]:
        """Play one case and judge it. The cell is sound afterwards if it is again what it was, proven by comparison."""
        self.is_sound = False
        begin = now_ns()
        late: list[str] = []
        lab, model = self.lab, self.lab.model
        expected = frozenset(lab.expected_sessions())
        before = self._before
        if case.is_order:
            await self._in_order(case, expected, late)
        else:
            await self._fail_all(case)
            await self._ended(expected - left_of(model, case).sessions, survivors(model, case.units).routers, late)
        alive = left_of(model, case)
        settled = await self._settled(alive.routers, late)
        walks = walk_all(alive, settled)
        pairs = traced_pairs(model, reachable_pairs(alive))
        paths = await asyncio.gather(*(self._trace(a, b, f) for a, b, f in pairs))
        if not case.is_order:
            await self._mend(case)
            await self._in_time(lab.wait_established(sorted(expected), ESTABLISH_WITHIN), late)
        restored = await self._restored(late)
        self._before = restored
        end = now_ns()
        trace, events = window(await self._captured(end), begin, end, lab.events)
        run = Run(
            case=case,
            model=model,
            expected=expected,
            baseline=self.baseline,
            before=before,
            settled=settled,
            restored=restored,
            late=tuple(late),
            paths=tuple(paths),
            events=events,
            trace=trace,
        )
        findings = judge_run(run, walks)
        mended = next(f for f in findings if f.check == "SWP-06" and f.phase == PHASE)
        self.is_sound = mended.outcome is Outcome.PASS and not late
        return findings

    async def _in_order(self, case: Case, expected: frozenset[str], late: list[str]) -> None:
        """All links down, then each up in its turn, everything that gains ground Established before the next."""
        lab, model = self.lab, self.lab.model
        remaining = list(case.units)
        down = survivors(model, remaining)
        await asyncio.gather(*(fault.set_link(lab, fault.find_link(lab, u.name), up=False) for u in remaining))
        await self._ended(expected - down.sessions, down.routers, late)
        for unit in case.units:
            remaining.remove(unit)
            await fault.set_link(lab, fault.find_link(lab, unit.name), up=True)
            able = expected & survivors(model, remaining).sessions
            await self._in_time(lab.wait_established(sorted(able), ESTABLISH_WITHIN), late)
            await self._in_time(lab.wait_quiet(), late)

    async def _fail_all(self, case: Case) -> None:
        """All at once. A session of a router that dies needs no shutting."""
        running = survivors(self.lab.model, case.units).routers
        shut = [u for u in case.units if u.kind is UnitKind.SESSION]
        moot = {u for u in shut if self.lab.model.session(u.name).left.node not in running}
        await asyncio.gather(*(self._fail(unit) for unit in case.units if unit not in moot))

    async def _fail(self, unit: Unit) -> None:
        lab = self.lab
        if unit.kind is UnitKind.LINK:
            await fault.set_link(lab, fault.find_link(lab, unit.name), up=False)
        elif unit.kind is UnitKind.METRO:
            await fault.set_metro(lab, unit.name, up=False)
        elif unit.kind is UnitKind.RPKI_CACHE:
            await rpki.kill_cache(lab, rpki.find_caches(lab, unit.name)[0])
        elif unit.kind is UnitKind.SESSION:
            client = await lab.router(lab.model.session(unit.name).left.node)
            await client.ask(ShutSession(session=unit.name, communication=TALK))
        else:
            await fault.kill_router(lab, fault.find_router(lab, unit.name))
            await self._wires_of(unit.name, up=False)

    async def _mend(self, case: Case) -> None:
        """Wires first, then routers, then sessions: the plan that starts a router asks those that run."""
        lab = self.lab
        for unit in case.units:
            if unit.kind is UnitKind.METRO:
                await fault.set_metro(lab, unit.name, up=True)
        for unit in case.units:
            if unit.kind is UnitKind.LINK:
                await fault.set_link(lab, fault.find_link(lab, unit.name), up=True)
            elif unit.kind in (UnitKind.ROUTER, UnitKind.ROUTE_SERVER):
                await self._wires_of(unit.name, up=True)
        for unit in case.units:
            if unit.kind in (UnitKind.ROUTER, UnitKind.ROUTE_SERVER):
                # The first of several restarts starts all that are dead.
                try:
                    await fault.restart_router(lab, fault.find_router(lab, unit.name))
                except RefusedError:
                    continue
        for unit in case.units:
            if unit.kind is UnitKind.RPKI_CACHE:
                cache = rpki.find_caches(lab, unit.name)[0]
                if not await rpki.is_running(lab, cache):
                    await rpki.restart_cache(lab, cache)
            if unit.kind is UnitKind.SESSION:
                client = await lab.router(lab.model.session(unit.name).left.node)
                await client.ask(OpenSession(session=unit.name))

    async def _wires_of(self, node: str, up: bool) -> None:
        links = [link for link in self.lab.model.links if any(end.node == node for end in link.ends)]
        await asyncio.gather(*(fault.set_link(self.lab, link, up=up) for link in links))

    async def _ended(self, sessions: Iterable[str], routers: frozenset[str], late: list[str]) -> None:
        """Sessions without ground are down at every end that still runs; the last find out by their hold time."""

        async def down(node: str, session: str, within: float) -> None:
            if not await (await self.lab.router(node)).wait("down", within, session=session):
                late.append(f"{session} is still up at {node} {within:g} s after its ground was lost")

        lost = [self.lab.model.session(name) for name in sorted(sessions)]
        await asyncio.gather(
            *(
                down(end.node, session.id, session.hold_time + EXPIRY_MARGIN)
                for session in lost
                for end in (session.left, session.right)
                if end.node in routers
            )
        )

    async def _settled(self, routers: frozenset[str], late: list[str]) -> Snapshot:
        return await _agreed(self.lab, lambda: self._in_time(self.lab.wait_quiet(sorted(routers)), late), None, late)

    async def _restored(self, late: list[str]) -> Snapshot:
        return await _agreed(self.lab, lambda: self._in_time(self.lab.wait_quiet(), late), self.baseline, late)

    async def _in_time(self, work: Awaitable[None], late: list[str]) -> None:
        """An event that does not come is a finding about the lab under test, not the end of the sweep."""
        try:
            await work
        except TimedOut as error:
            late.append(str(error))

    async def _trace(self, source: str, target: str, family: Family) -> PathTraced:
        return await probing.trace(self.lab, Moment.ALLOWED, source, target, family)

    async def _captured(self, until: int) -> Trace:
        """The trace so far; only what is new of the capture is read."""
        await self.lab.tap.flush()
        with self.lab.store.trace_path.open("rb") as capture:
            capture.seek(self._read)
            fresh = capture.read()
        self._read += len(fresh)
        self._reader.feed(fresh)
        return self._reader.trace(until)


async def _steady(lab: Lab) -> Snapshot:
    """The lab once it has come to rest. Raises TimedOut."""
    late: list[str] = []
    taken = await _agreed(lab, lab.wait_quiet, None, late)
    if late:
        raise TimedOut("rest of the lab that is to be swept", SETTLE_WITHIN)
    return taken


async def _agreed(
    lab: Lab, quiet: Callable[[], Awaitable[None]], wanted: Snapshot | None, late: list[str]
) -> Snapshot:
    """Read the lab until it is what is wanted, or where nothing is wanted until it has come to rest.

    At rest two readings in a row agree and every end has heard what the other told. A router can be quiet because it
    has not yet heard of what happened, or because what was said to it has to be sent again. A lab that does not come
    to rest is read as it is at the end of the time: the checks judge it.
    """
    deadline = time.monotonic() + SETTLE_WITHIN
    last: Snapshot | None = None
    while True:
        await quiet()
        taken = await lab.look()
        if wanted is not None and not any(differences(wanted, taken)):
            return taken
        at_rest = last is not None and not any(differences(last, taken))
        if wanted is None and at_rest and not any(in_flight(lab.model, taken)):
            return taken
        if time.monotonic() > deadline:
            if wanted is None and not at_rest:
                late.append(f"two readings of the lab in a row did not agree within {SETTLE_WITHIN:g} s")
            return taken
        last = taken
