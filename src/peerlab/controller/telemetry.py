"""The scene ``telemetry``: customers' prefixes are withdrawn, hijacked and leaked, and what Microsoft tells is kept.

What is told of prefixes is raised by the very monitor that a served lab has. The listing of received routes and the
looking glass are the served lab's too; beside each answer stands what the routers themselves say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.update import encode_withdrawals
from peerlab.controller.cast import connections
from peerlab.controller.exam import Exam, sequence
from peerlab.controller.examiner import Examiner, Post, free_asns
from peerlab.controller.lab import now_ns
from peerlab.controller.peering_service import watch
from peerlab.controller.rehearsal import Rehearsal
from peerlab.controller.telemetry_report import ask_looking_glass, delay_latency, list_received_routes
from peerlab.evidence.events import Event, PrefixEventRaised, StimulusApplied, StimulusObserved
from peerlab.evidence.story_telemetry import TelemetryStimulus
from peerlab.peering.enums import PrefixEventType
from peerlab.peering.prefix_event import Alarm, Standing, Watched, ends_of, standing_of, watched_of
from peerlab.router.protocol import Announce, RefreshSession, SendRaw, Withdraw
from peerlab.topology.model import NodeKind, Session

RAISED_WITHIN = 5.0
"""Seconds that an event is waited for; how soon it has to come is the checks' affair."""

HIJACKER = "hijacker"
"""Case and first part of the name of the examiner that announces what is not its own."""

OF_STANDING: dict[Standing, tuple[PrefixEventType, PrefixEventType, PrefixEventType, PrefixEventType]] = {
    Standing.PRIMARY: (
        PrefixEventType.ANNOUNCEMENT,
        PrefixEventType.WITHDRAWAL,
        PrefixEventType.ORIGIN_CHANGE,
        PrefixEventType.ACTIVE_PATH,
    ),
    Standing.BACKUP: (
        PrefixEventType.BACKUP_ANNOUNCEMENT,
        PrefixEventType.BACKUP_WITHDRAWAL,
        PrefixEventType.BACKUP_ORIGIN_CHANGE,
        PrefixEventType.BACKUP_PATH,
    ),
}
"""What is to be told of a route there: announced, withdrawn, of another origin, and the path that changes with it."""


class Saying(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said of a prefix on one session, and the events that have to follow."""

    node: str
    session: str
    change: str
    origin: int
    expected: tuple[PrefixEventType, ...]
    alarm: Alarm = Alarm.NONE


async def telemetry(rehearsal: Rehearsal) -> None:
    """Prefix events first, while nothing else moves; then the reports, all at once."""
    await watch(rehearsal)
    key = _subject(rehearsal)
    if key is not None:
        await _change_prefix(rehearsal, key)
    await rehearsal.lab.wait_quiet()
    await asyncio.gather(list_received_routes(rehearsal), ask_looking_glass(rehearsal))
    if key is not None:
        await delay_latency(rehearsal, key)


def _subject(rehearsal: Rehearsal) -> str | None:
    """The key of the prefix that is examined: one with a backup location before one without."""
    ledger = rehearsal.desk.desk.ledger
    known = [(ledger.services[r.service].backup is None, key) for key, r in ledger.prefixes.items() if r.activated]
    return min(known)[1] if known else None


async def _change_prefix(rehearsal: Rehearsal, key: str) -> None:
    watched = watched_of(rehearsal.model, rehearsal.desk.desk.ledger, key)
    if watched is None:
        return
    stranger = next(free_asns(rehearsal.model))
    routes = [_on_provider(rehearsal, watched, standing, stranger) for standing in OF_STANDING]
    edges = [connection.edge for _, connection in connections(rehearsal)]
    exam = await Exam.begin(rehearsal, [Post(case=HIJACKER, examiner="exam-h", at=edges[0])])
    try:
        family = Family.IPV4
        exam.want(HIJACKER, families=(family,))
        await exam.realise()
        await exam.is_open(exam[HIJACKER], family)
        await asyncio.gather(*routes, _by_stranger(rehearsal, watched, exam[HIJACKER]))
    finally:
        await exam.end()


async def _on_provider(rehearsal: Rehearsal, watched: Watched, standing: Standing, stranger: int) -> None:
    """On one of the provider's sessions at a location: withdrawn, announced, hijacked, and as it was again."""
    session = _session_at(rehearsal, watched, standing)
    if session is None or not watched.origins:
        return
    lab, prefix = rehearsal.lab, Prefix(watched.record.prefix)
    ours, theirs = ends_of(rehearsal.model, session)
    announced, withdrawn, foreign, path = OF_STANDING[standing]
    peer, edge = await lab.router(theirs.node), await lab.router(ours.node)
    origin = min(watched.origins)

    def say(change: str, of: int, *expected: PrefixEventType, alarm: Alarm = Alarm.NONE) -> Saying:
        return Saying(node=theirs.node, session=session.id, change=change, origin=of, expected=expected, alarm=alarm)

    (octets,) = encode_withdrawals([prefix], session.family)
    gone = say("withdraw", origin, withdrawn, path, alarm=Alarm.WITHDRAWAL)
    await _said(rehearsal, watched, gone, peer.ask(SendRaw(session=session.id, message=octets.hex())))
    back = say("announce", origin, announced, path)
    await _said(rehearsal, watched, back, edge.ask(RefreshSession(session=session.id)))
    attributes = PathAttributes(as_path=sequence(theirs.asn, stranger), next_hop=theirs.address)
    hijack = Announce(session=session.id, prefixes=(prefix,), attributes=attributes)
    await _said(rehearsal, watched, say("announce", stranger, foreign, alarm=Alarm.HIJACK), peer.ask(hijack))
    over = Withdraw(session=session.id, prefixes=(prefix,))
    await _said(rehearsal, watched, say("announce", origin, announced), peer.ask(over))


async def _by_stranger(rehearsal: Rehearsal, watched: Watched, examiner: Examiner) -> None:
    """An AS that has nothing to do with the customer announces the prefix: as its own, then as the customer's."""
    prefix = Prefix(watched.record.prefix)
    session = examiner.sessions[Family.IPV4]
    router = await rehearsal.lab.router(examiner.node)
    for path, kind, alarm in (
        ((examiner.asn,), PrefixEventType.ORIGIN_CHANGE, Alarm.HIJACK),
        ((examiner.asn, *sorted(watched.origins)[:1]), PrefixEventType.ANNOUNCEMENT, Alarm.LEAK),
    ):
        attributes = PathAttributes(as_path=sequence(*path), next_hop=examiner.addresses[Family.IPV4])
        said = Saying(
            node=examiner.node, session=session, change="announce", origin=path[-1], expected=(kind,), alarm=alarm
        )
        announce = Announce(session=session, prefixes=(prefix,), attributes=attributes)
        await _said(rehearsal, watched, said, router.ask(announce))
        over = Saying(
            node=examiner.node,
            session=session,
            change="withdraw",
            origin=path[-1],
            expected=(PrefixEventType.WITHDRAWAL,),
        )
        await _said(rehearsal, watched, over, router.ask(Withdraw(session=session, prefixes=(prefix,))))


def _session_at(rehearsal: Rehearsal, watched: Watched, standing: Standing) -> Session | None:
    """The provider's first session there that can be made to say anything: an ExaBGP router's, no route server's."""
    model = rehearsal.model
    for _, connection in connections(rehearsal):
        for session in map(model.session, connection.sessions):
            _, theirs = ends_of(model, session)
            node = model.node(theirs.node)
            speaks = node.kind is NodeKind.EXABGP and not node.route_server and session.family is Family.IPV4
            if speaks and standing_of(model, watched, session.id) is standing:
                return session
    return None


async def _said(rehearsal: Rehearsal, watched: Watched, said: Saying, act: Coroutine[Any, Any, object]) -> None:
    """Say it, wait for the events, and write both down."""
    lab, key = rehearsal.lab, watched.record.key
    raised: list[str] = []
    complete = asyncio.Event()

    def heard(event: Event) -> None:
        if not isinstance(event, PrefixEventRaised) or event.name != key:
            return
        # A path event names the session that has the traffic now, which is another one's as a rule.
        if event.session == said.session or event.kind in (PrefixEventType.ACTIVE_PATH, PrefixEventType.BACKUP_PATH):
            raised.append(event.kind)
        if set(raised) >= set(said.expected):
            complete.set()

    trial = f"{said.change} {said.origin} {said.alarm}".strip()
    lab.listeners.append(heard)
    try:
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=TelemetryStimulus.PREFIX_CHANGED,
                node=said.node,
                session=said.session,
                detail={
                    "trial": trial,
                    "name": key,
                    "prefix": watched.record.prefix,
                    "change": said.change,
                    "origin": said.origin,
                    "expected": list(said.expected),
                    "alarm": said.alarm,
                },
            )
        )
        await act
        try:
            await asyncio.wait_for(complete.wait(), RAISED_WITHIN)
        except TimeoutError:
            rehearsal.tell(f"not every event came within {RAISED_WITHIN:g} s of {trial} on {said.session}")
    finally:
        lab.listeners.remove(heard)
    lab.record(
        StimulusObserved(
            at=now_ns(),
            stimulus=TelemetryStimulus.PREFIX_CHANGED,
            node=said.node,
            detail={"trial": trial, "session": said.session, "prefix": watched.record.prefix, "raised": raised},
        )
    )
