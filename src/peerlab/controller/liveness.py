"""The liveness scene: what BFD demands and finds, on examiners' wires beside the peer's (SES-12, FLV-06).

One wire for the gate and for administration, three for the ways in which a path fails; all at once, both families.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.config import BfdConfig
from peerlab.bgp.nlri import family_of_prefix
from peerlab.bgp.policy import Policy, PrefixIn, PrefixRange, Statement, Verdict
from peerlab.controller import fault, probing
from peerlab.controller.cast import connections
from peerlab.controller.exam import ACCEPT_ALL, ANSWERED_WITHIN, EXAM_ACCEPT, Exam, gone
from peerlab.controller.examiner import Examiner, Post
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.story_liveness import LivenessStimulus
from peerlab.router.protocol import ShutBfd
from peerlab.runtime.base import Task
from peerlab.topology.model import LabModel

EXAMINER_NODE = "exam-l"
GATE = "bfd-gate"
DIRECTIONS = {"bfd-both": "both", "bfd-deaf": "to-edge", "bfd-mute": "from-edge"}
"""Which packets are lost on which case's wire."""

AGREED = BfdConfig()
"""300 ms x 3: this lab's values, no source gives any (spec 5b)."""
HOLD_TIME = 60
"""Seconds: so long that only BFD can have found what is found here."""
BEYOND_DETECTION = 0.2
"""Seconds that a session is watched beyond the detection time."""
WATCHED_UP = 1.0
"""Seconds for which packets of a session that is Up are watched: three intervals and the way between."""
HELD_FOR = 0.5
"""Seconds for which routes have to wait in vain before the peer begins BFD."""
BFD_PORT = 3784


def _detection() -> float:
    return AGREED.interval_ms * AGREED.multiplier / 1000


@dataclass
class Watch:
    """Frames of BFD at one interface, gathered until they are asked for."""

    sniffer: Task
    frames: list[list[object]] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None

    @classmethod
    async def on(cls, exam: Exam, examiner: Examiner) -> Watch:
        """Watch the examined router's end of the wire."""
        arguments = {"interface": examiner.far_interface, "filter": {"protocol": "udp", "port": BFD_PORT}}
        watch = cls(await exam.rehearsal.lab.runtime.task(examiner.at, probing.SNIFF, arguments))
        await probing.listening(watch.sniffer)
        watch.reading = asyncio.ensure_future(watch._read())
        return watch

    async def _read(self) -> None:
        async for record in self.sniffer:
            self.frames.append([record["at_ns"], record["direction"], record["hex"]])

    def of(self, examiner: Examiner, family: Family, since: int = 0) -> list[list[object]]:
        """What was seen of one family's session from a time on."""
        ether = {Family.IPV4: "0800", Family.IPV6: "86dd"}[family]
        return [f for f in self.frames if str(f[2])[24:28] == ether and isinstance(f[0], int) and f[0] >= since]

    async def end(self) -> None:
        """Stop watching."""
        self.sniffer.close()
        if self.reading is not None:
            self.reading.cancel()
            await asyncio.gather(self.reading, return_exceptions=True)


async def watch_over(rehearsal: Rehearsal) -> None:
    """Build the examiners, run every case of both families at once, and take the examiners away."""
    first = next(connections(rehearsal), None)
    if first is None:
        return
    edge = first[1].edge
    posts = [Post(case=case, examiner=EXAMINER_NODE, at=edge) for case in (GATE, *DIRECTIONS)]
    exam = await Exam.begin(rehearsal, posts)
    watches: dict[str, Watch] = {}
    told = _cloud_prefixes(rehearsal.model)
    try:
        await exam.realise()
        for case in (GATE, *DIRECTIONS):
            watches[case] = await Watch.on(exam, exam[case])
        before = await exam.standing(edge)
        _want_gate(exam, told, peer_has_bfd=False)
        for case in DIRECTIONS:
            settings = {"bfd": AGREED, "hold_time": HOLD_TIME}
            exam.want(case, takes=EXAM_ACCEPT, at=settings, peer=settings)
        await exam.realise()
        await asyncio.gather(
            _pass_gate(exam, watches[GATE], told),
            *(_lose(exam, case, watches[case]) for case in DIRECTIONS),
        )
        lost = gone(before, await exam.standing(edge))
        if lost:
            rehearsal.tell(f"  sessions of {edge} that did not stay up meanwhile: {', '.join(lost)}")
    finally:
        for watch in watches.values():
            await watch.end()
        await exam.end()


def _cloud_prefixes(model: LabModel) -> dict[Family, Prefix]:
    """A prefix of each family that the cloud originates, where there is one."""
    cloud = model.cloud()
    found: dict[Family, Prefix] = {}
    for node in model.nodes:
        for prefix in node.originates if cloud is not None and node.asn == cloud.asn else ():
            found.setdefault(family_of_prefix(prefix), prefix)
    return found


def _want_gate(exam: Exam, told: dict[Family, Prefix], *, peer_has_bfd: bool) -> None:
    tells = Policy(
        name="examiner-told",
        statements=tuple(
            Statement(name=family.value, match=(PrefixIn((PrefixRange(prefix),)),), verdict=Verdict.ACCEPT)
            for family, prefix in told.items()
        ),
    )
    strict = msgspec.structs.replace(AGREED, strict=True)
    exam.want(
        GATE,
        takes=EXAM_ACCEPT,
        tells=tells,
        peer_takes=ACCEPT_ALL,
        at={"bfd": strict, "hold_time": HOLD_TIME},
        peer={"bfd": AGREED if peer_has_bfd else None, "hold_time": HOLD_TIME},
    )


def _facts(exam: Exam, case: str, family: Family, **more: object) -> dict[str, object]:
    """What every stimulus says of its session."""
    examiner = exam[case]
    return {
        "trial": f"{case} {family.value}",
        "peer": examiner.node,
        "addresses": [examiner.far_addresses[family], examiner.addresses[family]],
        "interval_ms": AGREED.interval_ms,
        "multiplier": AGREED.multiplier,
        **more,
    }


async def _pass_gate(exam: Exam, watch: Watch, told: dict[Family, Prefix]) -> None:
    """Established without BFD and nothing passes; the peer begins BFD and all passes; AdminDown harms nobody."""
    examiner = exam[GATE]
    router, peer = await exam.router(examiner.at), await exam.router(examiner.node)
    offered = {family: exam.prefix(family, GATE) for family in examiner.sessions}
    for family, session in examiner.sessions.items():
        facts = _facts(exam, GATE, family, offered=offered[family], told=told.get(family, ""))
        exam.applied(LivenessStimulus.BFD_GATE, examiner.at, session, **facts)
    for family in examiner.sessions:
        await exam.is_up(examiner, family)
        await exam.announce(examiner, family, (offered[family],))
    await exam.rehearsal.lab.wait_quiet((examiner.node, examiner.at))
    await router.wait("best", HELD_FOR, session=examiner.sessions[Family.IPV4], prefix=offered[Family.IPV4])
    held = {family: await exam.fact(examiner, family) for family in examiner.sessions}
    _want_gate(exam, told, peer_has_bfd=True)
    await exam.realise()
    up: dict[Family, bool] = {}
    for family, session in examiner.sessions.items():
        up[family] = await router.wait("bfd-up", ANSWERED_WITHIN, session=session)
        await router.wait("best", ANSWERED_WITHIN, session=session, prefix=offered[family])
        if family in told:
            await peer.wait("best", ANSWERED_WITHIN, session=session, prefix=told[family])
    passed = {family: await exam.fact(examiner, family) for family in examiner.sessions}
    await router.wait("bfd-down", WATCHED_UP, session=examiner.sessions[Family.IPV4])
    for family, session in examiner.sessions.items():
        exam.observed(
            LivenessStimulus.BFD_GATE,
            examiner.at,
            session,
            trial=f"{GATE} {family.value}",
            established=held[family].state == "Established",
            held_received=held[family].received,
            held_advertised=held[family].advertised,
            bfd_up=up[family],
            received=passed[family].received,
            advertised=passed[family].advertised,
            frames=watch.of(examiner, family),
        )
    await _administer(exam, watch)


async def _administer(exam: Exam, watch: Watch) -> None:
    examiner = exam[GATE]
    router, peer = await exam.router(examiner.at), await exam.router(examiner.node)
    since: dict[Family, int] = {}
    begun: dict[Family, int] = {}
    for family, session in examiner.sessions.items():
        since[family] = (await exam.fact(examiner, family)).since
        begun[family] = exam.applied(
            LivenessStimulus.BFD_ADMIN_DOWN, examiner.at, session, **_facts(exam, GATE, family)
        )
        await peer.ask(ShutBfd(session=session))
    await asyncio.gather(*(router.wait("bfd-down", ANSWERED_WITHIN, session=s) for s in examiner.sessions.values()))
    within = _detection() + BEYOND_DETECTION
    await asyncio.gather(*(router.wait("down", within, session=s) for s in examiner.sessions.values()))
    for family, session in examiner.sessions.items():
        fact = await exam.fact(examiner, family)
        exam.observed(
            LivenessStimulus.BFD_ADMIN_DOWN,
            examiner.at,
            session,
            trial=f"{GATE} {family.value}",
            state="" if fact.bfd is None else fact.bfd.state,
            uptime_kept=fact.state == "Established" and fact.since == since[family],
            frames=watch.of(examiner, family, begun[family]),
        )


async def _lose(exam: Exam, case: str, watch: Watch) -> None:
    """The path of both families' sessions is lost as the case says, and mended again (FLV-06)."""
    examiner, lab = exam[case], exam.rehearsal.lab
    router, peer = await exam.router(examiner.at), await exam.router(examiner.node)
    link = fault.find_link(lab, examiner.link)
    sender = {"both": None, "to-edge": examiner.node, "from-edge": examiner.at}[DIRECTIONS[case]]
    prefixes = {family: exam.prefix(family, case) for family in examiner.sessions}
    await _carry(exam, examiner, prefixes)
    begun: dict[Family, int] = {}
    for family, session in examiner.sessions.items():
        facts = _facts(
            exam, case, family, direction=DIRECTIONS[case], hold_time=HOLD_TIME, prefix=prefixes[family]
        )
        begun[family] = exam.applied(LivenessStimulus.PATH_LOST, examiner.at, session, **facts)
    await fault.silence(lab, link, sender)
    try:
        for family, session in examiner.sessions.items():
            down_at_edge, down_at_peer = await asyncio.gather(
                router.wait("down", ANSWERED_WITHIN, session=session),
                peer.wait("down", ANSWERED_WITHIN, session=session),
            )
            routes = await router.rib("adj-rib-in-pre", session)
            kernel = await lab.runtime.kernel_routes(examiner.at, family.value)
            exam.observed(
                LivenessStimulus.PATH_LOST,
                examiner.at,
                session,
                trial=f"{case} {family.value}",
                prefix=prefixes[family],
                down_at_edge=down_at_edge,
                down_at_peer=down_at_peer,
                routes_left=len(routes),
                kernel_left=sum(1 for route in kernel if route.destination == prefixes[family]),
                frames=watch.of(examiner, family, begun[family]),
            )
    finally:
        for family, session in examiner.sessions.items():
            facts = _facts(exam, case, family, direction=DIRECTIONS[case], prefix=prefixes[family])
            exam.applied(LivenessStimulus.PATH_MENDED, examiner.at, session, **facts)
        await fault.clear(lab, link)
    up = await _carry(exam, examiner, prefixes)
    for family, session in examiner.sessions.items():
        exam.observed(
            LivenessStimulus.PATH_MENDED,
            examiner.at,
            session,
            trial=f"{case} {family.value}",
            prefix=prefixes[family],
            established=up["established"],
            bfd_up=up["bfd-up"],
            received=(await exam.fact(examiner, family)).received,
        )


async def _carry(exam: Exam, examiner: Examiner, prefixes: dict[Family, Prefix]) -> dict[str, bool]:
    """Wait until BGP and BFD stand at both ends, and have the examiner announce its routes."""
    routers = [await exam.router(examiner.at), await exam.router(examiner.node)]
    answers: dict[str, bool] = {}
    for what in ("established", "bfd-up"):
        waits = [r.wait(what, ANSWERED_WITHIN, session=s) for r in routers for s in examiner.sessions.values()]
        answers[what] = all(await asyncio.gather(*waits))
    for family, prefix in prefixes.items():
        await exam.announce(examiner, family, (prefix,))
        await routers[0].wait("best", ANSWERED_WITHIN, session=examiner.sessions[family], prefix=prefix)
    return answers

