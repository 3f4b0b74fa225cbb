"""A router that is killed and comes back with its forwarding kept, and one that does not come back (FLV-07).

The router that restarts is an examiner's, so that no real peer is hurt. It stands between an edge, its helper, and a
second examiner, so that packets run through its kernel while nobody is there to speak BGP for it.
"""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.config import GracefulRestart
from peerlab.controller import fault, probing
from peerlab.controller.cast import connections
from peerlab.controller.exam import ACCEPT_ALL, ANSWERED_WITHIN, EXAM_ACCEPT, Exam
from peerlab.controller.examiner import Post, free_asns
from peerlab.controller.lab import now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import FaultCleared
from peerlab.evidence.story_restart import RestartStimulus
from peerlab.router.protocol import Originate, WithdrawOrigin

NEAR, BEHIND = "restart", "restart-behind"
NEAR_NODE, BEHIND_NODE = "exam-restart", "exam-behind"

PATIENT, BRIEF = GracefulRestart(restart_time=20), GracefulRestart(restart_time=2)
"""Seconds: more than any machine takes to start a router, and few enough to be waited for."""

PORT = 43000


async def restart_gracefully(rehearsal: Rehearsal) -> None:
    """Build the two examiners, kill the first and start it again, kill it once more, and take both away."""
    first = next(connections(rehearsal), None)
    if first is None:
        return
    other = next(free_asns(rehearsal.model))
    posts = [
        Post(case=NEAR, examiner=NEAR_NODE, at=first[1].edge),
        Post(case=BEHIND, examiner=BEHIND_NODE, at=NEAR_NODE, asn=other),
    ]
    exam = await Exam.begin(rehearsal, posts)
    try:
        await exam.realise()
        case = _Case(exam)
        await case.prepare()
        await case.come_back()
        await case.stay_away()
    finally:
        await exam.end()


class _Case:
    """The helper, the router that restarts, the one behind it, and two prefixes of each family."""

    def __init__(self, exam: Exam) -> None:
        self.exam = exam
        self.lab = exam.rehearsal.lab
        self.helper = exam[NEAR].at
        self.sessions = exam[NEAR].sessions
        self.kept = {family: exam.prefix(family, "restart-kept") for family in self.sessions}
        self.withdrawn = {family: exam.prefix(family, "restart-withdrawn") for family in self.sessions}
        self.targets = {family: str(ip_network(prefix)[1]) for family, prefix in self.kept.items()}

    def _want(self, own: GracefulRestart) -> None:
        """``own`` is what the router that restarts asks of the others."""
        others, mine = {"graceful_restart": PATIENT}, {"graceful_restart": own}
        self.exam.want(NEAR, at=others, peer=mine, takes=EXAM_ACCEPT, peer_tells=ACCEPT_ALL)
        self.exam.want(BEHIND, at=mine, peer=others, takes=ACCEPT_ALL, peer_tells=ACCEPT_ALL)

    async def prepare(self) -> None:
        """Sessions up, both prefixes best at the helper, an address to send to behind."""
        behind = self.exam[BEHIND]
        addresses = [f"{t}/{128 if ':' in t else 32}" for t in self.targets.values()]
        await self.lab.runtime.set_addresses(BEHIND_NODE, behind.interface, add=addresses)
        self._want(PATIENT)
        await self.exam.realise()
        origin = await self.exam.router(BEHIND_NODE)
        for prefix in (*self.kept.values(), *self.withdrawn.values()):
            await origin.ask(Originate(prefix=prefix))
        await self._are_best((self.kept, self.withdrawn))

    async def _are_best(self, wanted: tuple[dict[Family, Prefix], ...]) -> None:
        router = await self.exam.router(self.helper)
        waits = [
            router.wait("best", ANSWERED_WITHIN, session=session, prefix=prefixes[family])
            for family, session in self.sessions.items()
            for prefixes in wanted
        ]
        await asyncio.gather(*waits)

    def _applied(self, stimulus: RestartStimulus, asked: GracefulRestart, **more: object) -> None:
        for family, session in self.sessions.items():
            self.exam.applied(
                stimulus,
                self.helper,
                session,
                trial=f"{stimulus} {family.value}",
                peer=NEAR_NODE,
                restart_time=asked.restart_time,
                kept=self.kept[family],
                withdrawn=self.withdrawn[family],
                **more,
            )

    async def _kill(self) -> dict[Family, bool]:
        """Kill the router; whether the helper noticed that each session ended."""
        await fault.kill_router(self.lab, self.lab.model.node(NEAR_NODE))
        router = await self.exam.router(self.helper)
        waits = [router.wait("down", ANSWERED_WITHIN, session=session) for session in self.sessions.values()]
        return dict(zip(self.sessions, await asyncio.gather(*waits), strict=True))

    async def _held(self, family: Family) -> list[str]:
        """Which of the two prefixes the helper's best route leads to by the session."""
        rib = await (await self.exam.router(self.helper)).rib("loc-rib")
        mine = {r.prefix for r in rib if r.best and r.session == self.sessions[family]}
        return sorted(mine & {self.kept[family], self.withdrawn[family]})

    async def _kernel(self, node: str, family: Family) -> list[str]:
        held = {route.destination for route in await self.lab.runtime.kernel_routes(node, family.value)}
        return sorted(held & {self.kept[family], self.withdrawn[family]})

    def _streams(self, name: str) -> list[probing.StreamPlan]:
        plans = probing.stream_plans(name, [(self.helper, BEHIND_NODE)], self.sessions)
        return [
            probing.StreamPlan(p.name, p.source, p.destination, p.family, PORT + i, self.targets[p.family])
            for i, p in enumerate(plans)
        ]

    async def come_back(self) -> None:
        """Killed and started again, while a route behind it goes (RFC 4724 sections 4.1 and 4.2)."""
        stream = str(RestartStimulus.GRACEFUL_RESTART)
        async with probing.streams(self.lab, self._streams(stream)):
            self._applied(RestartStimulus.GRACEFUL_RESTART, PATIENT, stream=stream)
            down = await self._kill()
            origin = await self.exam.router(BEHIND_NODE)
            for prefix in self.withdrawn.values():
                await origin.ask(WithdrawOrigin(prefix=prefix))
            meanwhile = {
                family: {
                    "held_while_down": await self._held(family),
                    "helper_kernel_while_down": await self._kernel(self.helper, family),
                    "peer_kernel_while_down": await self._kernel(NEAR_NODE, family),
                }
                for family in self.sessions
            }
            self._want(BRIEF)
            await self.exam.realise()
            self.lab.record(FaultCleared(at=now_ns(), fault="router-killed", target=NEAR_NODE))
            router = await self.exam.router(self.helper)
            for family, session in self.sessions.items():
                back = await router.wait("end-of-rib", ANSWERED_WITHIN, session=session)
                await router.wait("no-best", ANSWERED_WITHIN, prefix=self.withdrawn[family])
                await self.lab.wait_quiet((self.helper, NEAR_NODE, BEHIND_NODE))
                self.exam.observed(
                    RestartStimulus.GRACEFUL_RESTART,
                    self.helper,
                    session,
                    trial=f"{RestartStimulus.GRACEFUL_RESTART} {family.value}",
                    down=down[family],
                    established=back,
                    held_after=await self._held(family),
                    peer_kernel_after=await self._kernel(NEAR_NODE, family),
                    **meanwhile[family],
                )

    async def stay_away(self) -> None:
        """Killed for good: the helper keeps the routes for the restart time, no longer."""
        self._applied(RestartStimulus.RESTART_EXPIRED, BRIEF)
        down = await self._kill()
        began = time.monotonic()
        held = {family: await self._held(family) for family in self.sessions}
        router = await self.exam.router(self.helper)

        async def gone(family: Family) -> tuple[bool, float]:
            went = await router.wait("no-best", ANSWERED_WITHIN, prefix=self.kept[family])
            return went, time.monotonic() - began

        answers = await asyncio.gather(*(gone(family) for family in self.sessions))
        for (family, session), (went, seconds) in zip(self.sessions.items(), answers, strict=True):
            self.exam.observed(
                RestartStimulus.RESTART_EXPIRED,
                self.helper,
                session,
                trial=f"{RestartStimulus.RESTART_EXPIRED} {family.value}",
                down=down[family],
                held_while_down=held[family],
                gone=went,
                seconds=round(seconds, 3),
                helper_kernel_after=await self._kernel(self.helper, family),
            )
