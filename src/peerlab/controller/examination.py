"""The session phase: examiners come up wrong on purpose at an edge, all at once, and go away again.

Each case has its own router, wire and sessions of both families (``controller.examiner``), so that nothing of it
touches the connection that was turned up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.bgp.policy import DENY_ALL, AddCommunities, Policy, SetLocalPref, Statement, Verdict
from peerlab.controller import examination_routes, fault
from peerlab.controller.cast import connections
from peerlab.controller.examiner import (
    EXAM_HOLD_TIME,
    Examiner,
    add_examiners,
    free_two_octet_asn,
    other_asn,
    remove_examiners,
)
from peerlab.controller.lab import ESTABLISH_WITHIN, now_ns
from peerlab.controller.plan import EndIntent
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story import Stimulus
from peerlab.router.protocol import Originate
from peerlab.runtime.base import Task

NO_EXPORT = "65535:65281"

STAYS_DOWN_FOR = 2.5
"""Seconds in which a session that must not come up is given the chance to: two dozen connection attempts."""

KEY, OTHER_KEY = "rehearsal", "otherwise"
SNIFF = "peerlab.runtime.frames:sniff"
TTL_AT = {Family.IPV4: 14 + 8, Family.IPV6: 14 + 7}
"""Where the TTL or hop limit stands in an Ethernet frame."""

EXAM_ACCEPT = Policy(
    name="examiner-in",
    statements=(
        Statement(
            name="examiner",
            actions=(SetLocalPref(50), AddCommunities((NO_EXPORT,))),
            verdict=Verdict.ACCEPT,
        ),
    ),
)
"""What an edge accepts of an examiner whose routes have to be seen: everything, least preferred, never passed on."""

OPEN_EXPORT = Policy(name="examiner-out", statements=(Statement(name="all", verdict=Verdict.ACCEPT),))


@dataclass(frozen=True)
class Case:
    """One way for a session to be right or wrong: what each end's configuration is besides the model's."""

    name: str
    stimulus: Stimulus
    edge: Mapping[str, Any]
    peer: Mapping[str, Any]
    comes_up: bool
    edge_import: Policy = DENY_ALL


def session_cases(asn: int, wrong: int, old: int) -> tuple[Case, ...]:
    """Every case of this phase. ``wrong`` is an AS that was not agreed, ``old`` a two-octet one."""
    strict = {"local_role": BgpRole.PEER, "role_strict": True}
    return (
        Case("asn", Stimulus.WRONG_ASN, {}, {"local_as": wrong}, False),
        Case("md5-peer", Stimulus.MD5_ON_PEER, {"passive": True}, {"md5": KEY, "passive": False}, False),
        Case("md5-same", Stimulus.MD5_EQUAL, {"md5": KEY}, {"md5": KEY}, True),
        Case("md5-other", Stimulus.MD5_UNEQUAL, {"md5": KEY}, {"md5": OTHER_KEY}, False),
        Case("ttl-low", Stimulus.TTL_LOWERED, {"gtsm": True, "passive": True}, {"passive": False}, False),
        Case("ttl-full", Stimulus.TTL_FULL, {"gtsm": True}, {"gtsm": True}, True),
        Case("role-bad", Stimulus.ROLE_MISMATCH, {"local_role": BgpRole.PEER}, {"local_role": BgpRole.CUSTOMER}, False),
        Case("role-none", Stimulus.ROLE_SILENT, strict, {"local_role": None}, False),
        Case("role-good", Stimulus.ROLE_PAIR, strict, {"local_role": BgpRole.PEER}, True),
        Case("silent", Stimulus.HOLD_EXPIRY, {}, {}, True, EXAM_ACCEPT),
        Case(
            "old", Stimulus.OLD_SPEAKER, {"peer_as": old}, {"local_as": old, "four_octet_as": False}, True, EXAM_ACCEPT
        ),
    )


@dataclass
class Examination:
    """The examiners at work: who they are, and what their cases are."""

    rehearsal: Rehearsal
    edge: str
    examiners: dict[str, Examiner]

    def applied(self, stimulus: Stimulus, node: str, session: str, **detail: object) -> None:
        """Write down what is done on purpose, before it is done."""
        self.rehearsal.lab.record(
            StimulusApplied(
                at=now_ns(), stimulus=stimulus, node=node, session=session, detail={"session": session, **detail}
            )
        )

    def observed(self, stimulus: Stimulus, node: str, session: str, **detail: object) -> None:
        """Write down what came of it."""
        self.rehearsal.lab.record(
            StimulusObserved(at=now_ns(), stimulus=stimulus, node=node, detail={"session": session, **detail})
        )


async def examine(rehearsal: Rehearsal) -> None:
    """Build the examiners, run every case of both families at once, and take the examiners away."""
    first = next(iter(connections(rehearsal)), None)
    if first is None:
        return
    edge = first[1].edge
    lab = rehearsal.lab
    model = rehearsal.model
    asn_of = {known.name: known.asn for known in model.ases}
    wrong = other_asn(model)
    cases = session_cases(max(asn_of.values()), wrong, free_two_octet_asn(model))
    others = _other_routers(rehearsal, edge)
    extended, examiners = add_examiners(
        model, edge, [*(case.name for case in cases), *examination_routes.CASES], elsewhere=others[:1]
    )
    rehearsal.widest = extended
    await lab.use_model(extended)
    try:
        await rehearsal.desk.realise()
        work = Examination(rehearsal, edge, examiners)
        before = await _established(rehearsal, edge)
        await asyncio.gather(
            *(_run(work, case, wrong) for case in cases),
            examination_routes.examine_routes(work, EXAM_ACCEPT, OPEN_EXPORT),
        )
        after = await _established(rehearsal, edge)
        if before - after:
            rehearsal.tell(f"  sessions of {edge} that went down meanwhile: {', '.join(sorted(before - after))}")
    finally:
        rehearsal.desk.extra = {
            key: end for key, end in rehearsal.desk.extra.items() if not _is_examined(extended, key[1])
        }
        await rehearsal.desk.realise("peerlab: the examination is over")
        await lab.use_model(remove_examiners(extended))
        await rehearsal.desk.realise()
        await lab.wait_quiet()


def _is_examined(model: Any, session: str) -> bool:
    connection = model.session(session).connection
    return connection is not None and connection.startswith("examiner/")


def _other_routers(rehearsal: Rehearsal, edge: str) -> list[str]:
    asn = rehearsal.model.node(edge).asn
    return [n.name for n in rehearsal.model.nodes if n.is_router and n.asn == asn and n.name != edge]


async def _established(rehearsal: Rehearsal, edge: str) -> set[str]:
    """Established sessions of the edge that are no examiner's."""
    facts = await (await rehearsal.lab.router(edge)).sessions()
    return {f.session for f in facts if f.state == "Established" and not _is_examined(rehearsal.widest, f.session)}


async def configure(
    work: Examination, examiner: Examiner, edge: Mapping[str, Any], peer: Mapping[str, Any], edge_import: Policy
) -> None:
    """Say that both ends of an examiner's sessions exist, and make it so."""
    for session in examiner.sessions.values():
        for node, configuration, incoming in (
            (examiner.edge, edge, edge_import),
            (examiner.node, peer, DENY_ALL),
        ):
            work.rehearsal.desk.extra[node, session] = EndIntent(
                node=node,
                session=session,
                import_policy=incoming,
                export_policy=OPEN_EXPORT if node == examiner.node else DENY_ALL,
                configuration=dict(configuration),
            )


async def _run(work: Examination, case: Case, wrong: int) -> None:
    lab = work.rehearsal.lab
    examiner = work.examiners[case.name]
    asker = examiner.node if case.stimulus in (Stimulus.WRONG_ASN,) else work.edge
    for session in examiner.sessions.values():
        detail: dict[str, object] = {}
        if case.stimulus is Stimulus.WRONG_ASN:
            detail["asn"] = wrong
        if case.stimulus is Stimulus.HOLD_EXPIRY:
            continue
        work.applied(case.stimulus, asker, session, **detail)
    counters = await _md5_counters(work, case, examiner)
    watchers = await _watch_ttl(work, case, examiner)
    await configure(work, examiner, case.edge, case.peer, case.edge_import)
    await work.rehearsal.desk.realise_ends(examiner.node, examiner.edge)
    edge = await lab.router(work.edge)
    within = ESTABLISH_WITHIN if case.comes_up else STAYS_DOWN_FOR
    families = list(examiner.sessions)
    states = dict(
        zip(
            families,
            await asyncio.gather(
                *(edge.wait("established", within, session=examiner.sessions[family]) for family in families)
            ),
            strict=True,
        )
    )
    grown = {name: value - counters[name] for name, value in (await _md5_counters(work, case, examiner)).items()}
    ttls = {family: await _ttl_seen(watcher, family) for family, watcher in watchers.items()}
    for family, session in examiner.sessions.items():
        detail = {"established": states[family]}
        if case.stimulus is Stimulus.MD5_ON_PEER:
            detail["reported"] = _md5_report(grown)
        elif case.stimulus is Stimulus.MD5_UNEQUAL:
            detail["kernel_failures"] = grown.get("TCPMD5Failure", 0)
        elif case.stimulus is Stimulus.TTL_FULL:
            detail["ttl_seen"] = ttls[family][0] if ttls[family] else 0
        elif case.stimulus is Stimulus.TTL_LOWERED:
            detail["attempts"] = sum(1 for ttl in ttls[family] if ttl < 255)
        if case.stimulus is Stimulus.HOLD_EXPIRY:
            continue
        if case.stimulus is Stimulus.OLD_SPEAKER:
            detail.update(await examination_routes.path_through_old_speaker(work, examiner, family))
        work.observed(case.stimulus, asker, session, **detail)
    if case.stimulus is Stimulus.HOLD_EXPIRY:
        await _fall_silent(work, examiner)


def _md5_report(grown: Mapping[str, int]) -> str:
    """What the controller says of a session that stays down while the edge's kernel drops signed segments."""
    unexpected = grown.get("TCPMD5Unexpected", 0)
    if not unexpected:
        return ""
    return (
        f"the peer signs its segments with TCP-MD5 ({unexpected} dropped as TCPMD5Unexpected); "
        "Microsoft does not support MD5: take the key out on the peer's side"
    )


async def _md5_counters(work: Examination, case: Case, examiner: Examiner) -> dict[str, int]:
    """The edge kernel's TCP-MD5 counters (RFC 2385 section 2: such segments are dropped without a word)."""
    if case.stimulus not in (Stimulus.MD5_ON_PEER, Stimulus.MD5_UNEQUAL):
        return {}
    total: dict[str, int] = {}
    for node in (examiner.edge, examiner.node) if case.stimulus is Stimulus.MD5_UNEQUAL else (examiner.edge,):
        done = await work.rehearsal.lab.runtime.run(node, ["cat", "/proc/self/net/netstat"], within=5.0)
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            for name, value in zip(names[1:], values[1:], strict=True):
                if name.startswith("TCPMD5"):
                    total[name] = total.get(name, 0) + int(value)
    return total


async def _watch_ttl(work: Examination, case: Case, examiner: Examiner) -> dict[Family, Task]:
    """Watch what the examiner receives (GTSM at the edge) or sends (a low TTL) on port 179."""
    if case.stimulus not in (Stimulus.TTL_FULL, Stimulus.TTL_LOWERED):
        return {}
    direction = "in" if case.stimulus is Stimulus.TTL_FULL else "out"
    watchers = {}
    for family in examiner.sessions:
        ether_type = 0x0800 if family is Family.IPV4 else 0x86DD
        watcher = await work.rehearsal.lab.runtime.task(
            examiner.node,
            SNIFF,
            {"interface": "e0", "filter": {"port": 179, "direction": direction, "ether_type": ether_type}},
        )
        await asyncio.wait_for(anext(aiter(watcher)), ESTABLISH_WITHIN)
        watchers[family] = watcher
    return watchers


async def _ttl_seen(watcher: Task, family: Family) -> list[int]:
    """TTLs (hop limits) of the frames that the watcher has told, in order."""
    stopping = asyncio.ensure_future(watcher.stop())
    seen = [bytes.fromhex(record["hex"])[TTL_AT[family]] async for record in watcher if "hex" in record]
    await stopping
    return seen


async def _fall_silent(work: Examination, examiner: Examiner) -> None:
    """The examiner announces something, then loses every packet with the carrier up (SES-06)."""
    lab = work.rehearsal.lab
    router = await lab.router(examiner.node)
    for family in examiner.sessions:
        await router.ask(Originate(prefix=examination_routes.spare(family, 0)))
    await lab.wait_quiet((examiner.node, examiner.edge))
    edge = await lab.router(examiner.edge)
    link = fault.find_link(lab, examiner.link)

    began = now_ns()
    for session in examiner.sessions.values():
        work.applied(Stimulus.HOLD_EXPIRY, examiner.edge, session, hold_time=EXAM_HOLD_TIME)
    await fault.silence(lab, link)

    async def down(session: str) -> None:
        await edge.wait("down", EXAM_HOLD_TIME + ESTABLISH_WITHIN, session=session)
        seconds = (now_ns() - began) / 1e9
        left = len(await edge.rib("adj-rib-in-pre", session))
        left += sum(1 for route in await edge.rib("loc-rib") if route.session == session)
        work.observed(Stimulus.HOLD_EXPIRY, examiner.edge, session, seconds=seconds, routes_left=left)

    await asyncio.gather(*(down(session) for session in examiner.sessions.values()))
