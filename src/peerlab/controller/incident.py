"""An incident played on a lab that runs: announced, watched, judged, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.bgp.update import encode_withdrawals
from peerlab.controller.incident_plan import IncidentPlan, plan_incident
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.observe import read_sessions
from peerlab.controller.prefix_monitor import PrefixMonitor
from peerlab.controller.provision import Provisioner
from peerlab.evidence.events import Event, PrefixEventRaised, StimulusApplied, StimulusObserved
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story_incident import IncidentStimulus
from peerlab.peering.incident import Deed, Incident
from peerlab.peering.prefix_event import Alarm
from peerlab.router.protocol import Announce, RefreshSession, SendRaw, Withdraw
from peerlab.verify.finding import Outcome

ALARMED_WITHIN = 5.0
"""Seconds from the announcement in which an alarm has to come: the lab's budget of the catalogue (TEL-03)."""
SHOWN = 4
"""Routers and sessions that are named before the rest is only counted."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation: what was to happen, whether it did, and where and why."""

    expectation: str
    outcome: Outcome
    where: str
    why: str
    seconds: float | None = None


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an incident. ``believed_by``: routers outside the cloud that took it for their best route."""

    incident: Incident
    role: str
    actor: str
    session: str
    prefixes: tuple[str, ...]
    as_path: str
    verdicts: tuple[Judged, ...]
    believed_by: tuple[str, ...] = ()


async def play_incident(desk: Provisioner, incident: Incident) -> Played:
    """Stage, announce, wait, judge, and take everything back. Raises RefusedError when a role is missing."""
    lab = desk.lab
    watched = [Prefix(record.prefix) for record in desk.desk.ledger.prefixes.values() if record.activated]
    before = await _sessions(lab)
    plan = plan_incident(lab.model, incident, watched, [name for (_, name), (up, _) in before.items() if up])
    monitor = PrefixMonitor(lab, desk)
    monitor.start()
    alarms: list[PrefixEventRaised] = []
    complete = asyncio.Event()

    def heard(event: Event) -> None:
        if isinstance(event, PrefixEventRaised) and event.alarm == incident.alarm and event.session == plan.by.session:
            alarms.append(event)
            complete.set()

    await monitor.follow()
    await lab.wait_quiet()
    lab.listeners.append(heard)
    try:
        begun = now_ns()
        lab.record(_applied(plan, begun))
        await _act(lab, plan)
        await lab.wait_quiet()
        if _is_alarming(plan):
            try:
                await asyncio.wait_for(complete.wait(), ALARMED_WITHIN)
            except TimeoutError:
                complete.clear()
        seen, after = await lab.look(), await _sessions(lab)
    finally:
        await _undo(lab, plan)
        await lab.wait_quiet()
        lab.listeners.remove(heard)
        monitor.close()
    alarm = next((event for event in alarms if event.at >= begun), None)
    played = _judge(lab, plan, seen, alarm, begun, _gone(before, after))
    outcomes = {verdict.expectation: verdict.outcome.value for verdict in played.verdicts}
    lab.record(
        StimulusObserved(
            at=now_ns(),
            stimulus=IncidentStimulus.STAGED,
            node=plan.by.node,
            detail={"trial": incident.id, "session": plan.by.session, "verdicts": outcomes},
        )
    )
    return played


def _applied(plan: IncidentPlan, at: int) -> StimulusApplied:
    """What no check may take for a fault of the lab: it is announced on purpose."""
    return StimulusApplied(
        at=at,
        stimulus=IncidentStimulus.STAGED,
        node=plan.by.node,
        session=plan.by.session,
        detail={
            "trial": plan.incident.id,
            "prefixes": list(_prefixes(plan)),
            "as_path": plan.said[0].attributes.path_text() if plan.said else "",
        },
    )


def _prefixes(plan: IncidentPlan) -> tuple[Prefix, ...]:
    """What is announced, or withdrawn."""
    announced = tuple(prefix for said in plan.said for prefix in said.prefixes)
    return announced or ((plan.victim.prefix,) if plan.victim is not None else ())


async def _act(lab: Lab, plan: IncidentPlan) -> None:
    router = await lab.router(plan.by.node)
    if plan.incident.deed is Deed.WITHDRAWAL and plan.victim is not None:
        (octets,) = encode_withdrawals([plan.victim.prefix], plan.by.family)
        await router.ask(SendRaw(session=plan.by.session, message=octets.hex()))
    for said in plan.said:
        await router.ask(Announce(session=plan.by.session, prefixes=said.prefixes, attributes=said.attributes))


async def _undo(lab: Lab, plan: IncidentPlan) -> None:
    if plan.incident.deed is Deed.WITHDRAWAL:
        await (await lab.router(plan.by.edge)).ask(RefreshSession(session=plan.by.session))
        return
    router = await lab.router(plan.by.node)
    for said in plan.said:
        await router.ask(Withdraw(session=plan.by.session, prefixes=said.prefixes))


_Sessions = Mapping[tuple[str, str], tuple[bool, int]]
"""By node and session: whether it is up there, and how often it went down."""


async def _sessions(lab: Lab) -> _Sessions:
    routers = [node.name for node in lab.model.nodes if node.is_router]
    facts, _ = await read_sessions(routers, lab.runtime, lab.router)
    return {(fact.node, fact.session): (fact.state == "Established", fact.flaps) for fact in facts}


def _gone(before: _Sessions, after: _Sessions) -> list[str]:
    return sorted({name for (node, name), had in before.items() if had[0] and after.get((node, name)) != had})


def _is_alarming(plan: IncidentPlan) -> bool:
    return plan.incident.alarm is not Alarm.NONE and plan.victim is not None and plan.victim.watched


# -- verdicts ------------------------------------------------------------------------------------------------------


def _judge(
    lab: Lab, plan: IncidentPlan, seen: Snapshot, alarm: PrefixEventRaised | None, begun: int, gone: list[str]
) -> Played:
    verdicts = []
    believed: list[str] = []
    if plan.said:
        stopped, believed = _stopped(lab, plan, seen)
        if plan.incident.either and stopped.outcome is Outcome.FAIL and alarm is not None:
            why = f"{stopped.why}; without a ROA nothing can stop it, and it was told"
            stopped = msgspec.structs.replace(stopped, outcome=Outcome.PASS, why=why)
        verdicts.append(stopped)
    if plan.incident.alarm is not Alarm.NONE:
        verdicts.append(_told(plan, alarm, begun))
    verdicts.append(
        Judged(
            expectation="no session is lost",
            outcome=Outcome.FAIL if gone else Outcome.PASS,
            where=_few(gone) or "all sessions",
            why="went down meanwhile" if gone else "stayed up",
        )
    )
    return Played(
        incident=plan.incident,
        role=plan.role,
        actor=f"{plan.by.node} (AS{plan.by.asn})",
        session=plan.by.session,
        prefixes=_prefixes(plan),
        as_path=plan.said[0].attributes.path_text() if plan.said else "",
        verdicts=tuple(verdicts),
        believed_by=tuple(believed),
    )


def _stopped(lab: Lab, plan: IncidentPlan, seen: Snapshot) -> tuple[Judged, list[str]]:
    """Whether any router of the cloud uses what was announced; and who else does."""
    cloud = lab.model.cloud()
    inside = {node.name for node in lab.model.nodes if cloud is not None and node.asn == cloud.asn and node.is_router}
    expectation = f"kept out of {cloud.name if cloud is not None else 'the cloud'}"
    wanted: dict[str, PathAttributes] = {prefix: said.attributes for said in plan.said for prefix in said.prefixes}

    def is_it(prefix: str, attributes: PathAttributes) -> bool:
        said = wanted.get(prefix)
        return said is not None and attributes.asns()[-len(said.asns()) :] == said.asns()

    taken: list[str] = []
    rejected: set[str] = set()
    others: list[str] = []
    arrived: set[str] = set()
    reasons: dict[tuple[str, str], set[str]] = {}
    for name, node in sorted(seen.nodes.items()):
        if any(route.best and is_it(route.prefix, route.attributes) for route in node.loc_rib):
            (taken if name in inside else others).append(name)
        for session, routes in sorted(node.adj_rib_in_pre.items()):
            for route in routes:
                if is_it(route.prefix, route.attributes):
                    arrived |= {route.prefix} if session == plan.by.session else set()
                    if not route.accepted:
                        rejected.add(route.prefix)
                        reasons.setdefault((name, session), set()).add(route.reason)
    missing = len(wanted) - len(arrived)
    if missing:
        why = f"{missing} of {len(wanted)} announcements did not arrive at {plan.by.edge}"
        return Judged(expectation=expectation, outcome=Outcome.INCONCLUSIVE, where=plan.by.edge, why=why), others
    if taken:
        why = "uses what was announced"
        return Judged(expectation=expectation, outcome=Outcome.FAIL, where=_few(taken), why=why), others
    at_cloud = {place: why for place, why in reasons.items() if place[0] in inside}
    stopped = at_cloud or reasons
    where = _few([f"{node} {session}" for node, session in stopped])
    why = _few(sorted({one for each in stopped.values() for one in each}))
    passed_over = sorted(wanted.keys() - rejected)
    if passed_over:
        how = f"{_few(passed_over)}: nobody rejects it, but its receivers have a better route"
        where, why = where or plan.by.edge, f"{why}; {how}" if why else how
    return Judged(expectation=expectation, outcome=Outcome.PASS, where=where, why=why), others


def _told(plan: IncidentPlan, alarm: PrefixEventRaised | None, begun: int) -> Judged:
    expectation = f"told as a {plan.incident.alarm} within {ALARMED_WITHIN:g} s"
    if not _is_alarming(plan):
        return Judged(
            expectation=expectation,
            outcome=Outcome.NOT_APPLICABLE,
            where="-",
            why="no activated Peering Service prefix here that this actor could do it to",
        )
    if alarm is None:
        return Judged(expectation=expectation, outcome=Outcome.FAIL, where=plan.by.session, why="no event was raised")
    seconds = (alarm.at - begun) / 1e9
    return Judged(
        expectation=expectation,
        outcome=Outcome.PASS if seconds <= ALARMED_WITHIN else Outcome.FAIL,
        where=f"{alarm.node} {alarm.session}",
        why=f"{alarm.level} {alarm.kind} after {seconds:.2f} s: {alarm.summary}",
        seconds=seconds,
    )


def _few(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
