"""Checks of telemetry (catalogue TEL): what is told about the lab is complete, ordered, explained and replayable."""

from __future__ import annotations

from collections.abc import Sequence

from peerlab.bgp.wire import Update
from peerlab.evidence.events import (
    ConnectionStateChanged,
    ProcessExited,
    RouterNotice,
    SessionStateChanged,
    SnapshotTaken,
)
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.verify.check import MAJOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import SECOND, events, judged, node_at, received, snapshot
from peerlab.verify.session import no_connection
from peerlab.verify.subject import cloud_routers, connection_sessions, connections
from peerlab.verify.wire import decoded, established_at, hex_of, messages, standing, watched

PHASE = "telemetry"
REPORT_WITHIN = 2.0
"""Seconds between a session being Established on the wire and its router's report of it."""


def judge_state_events(evidence: Evidence) -> Judgement:
    docket = Docket()
    told = 0
    for connection in connections(evidence.model):
        changes = [
            c for c in events(evidence, ConnectionStateChanged) if f"{c.peering}/{c.connection}" == connection.key
        ]
        if not changes:
            docket.lacks(f"{connection.key}: no transition was published")
        told += _chain(docket, connection.key, [(c.at, c.before, c.after) for c in changes])
    for session in connection_sessions(evidence.model):
        up = established_at(evidence, session.id)
        if up is None:
            docket.lacks(f"the trace does not show {session.id} being Established")
            continue
        if not watched(evidence, docket, session.id):
            continue
        for end in (session.left, session.right):
            where = f"{end.node} {session.id}"
            reports = [
                e for e in events(evidence, SessionStateChanged) if e.node == end.node and e.session == session.id
            ]
            deaths = [e.at for e in events(evidence, ProcessExited) if e.node == end.node]
            told += _chain(docket, where, [(e.at, e.before, e.after) for e in reports], deaths)
            first = next((e for e in reports if e.after == "Established"), None)
            if first is None:
                docket.breaks(up, where, "is Established on the wire, and nobody published it")
            elif abs(first.at - up) > REPORT_WITHIN * SECOND:
                what = f"published as Established {(first.at - up) / SECOND:+.2f} s from when the wire shows it"
                docket.breaks(first.at, where, what)
            else:
                docket.proves(first.at, where, f"published {(first.at - up) / 1e6:+.0f} ms from when the wire shows it")
    return docket.close(f"{told} transitions published once each, in order, on the wire's clock")


def _chain(docket: Docket, where: str, steps: list[tuple[int, str, str]], deaths: Sequence[int] = ()) -> int:
    """Every step begins where the one before ended; a step told twice, or left out, is a breach.

    A router that died cannot tell of its sessions' end: after each of ``deaths`` the chain begins anew.
    """
    state: str | None = None
    last = 0
    for at, before, after in steps:
        if any(last <= death <= at for death in deaths):
            state = None
        last = at
        fresh = before in ("None", "legacy") and state in (None, "removed")
        if state is not None and before != state and not fresh:
            docket.breaks(at, where, f"published {before} → {after} after it had become {state}")
            return 0
        state = after
    return len(steps)


def judge_rejections(evidence: Evidence) -> Judgement:
    docket = Docket()
    rejected = 0
    moments = [m for m in (Moment.UNDER_DENY, Moment.ALLOWED, Moment.STIMULATED) if m.value in evidence.snapshots]
    if snapshot(evidence, docket, Moment.UNDER_DENY) is None:
        return docket.close("")
    for moment in moments:
        taken = evidence.snapshots[moment.value]
        for router in cloud_routers(evidence.model):
            node = node_at(taken, docket, router.name)
            for session in node.adj_rib_in_pre if node is not None else ():
                rejected += _explained(docket, taken, router.name, session)
    handled = _treated_as_withdraw(evidence, docket)
    if not rejected:
        docket.lacks("no edge rejected any route, so none had to be explained")
    return docket.close(f"{rejected} rejected routes each carry a reason; {handled} malformed UPDATEs were told of")


def _explained(docket: Docket, taken: Snapshot, router: str, session: str) -> int:
    node = taken.nodes[router]
    post = judged(node, session)
    where = f"{router} {session} ({taken.label})"
    silent = [p for p in received(node, session) if p not in post]
    unexplained = [r for r in post.values() if not r.accepted and not r.reason]
    explained = [r for r in post.values() if not r.accepted and r.reason]
    for prefix in silent[:1]:
        docket.breaks(taken.at, where, f"{prefix} was received, and nothing says what became of it")
    for route in unexplained[:1]:
        docket.breaks(taken.at, where, f"{route.prefix} is rejected without a reason")
    if explained and not silent and not unexplained:
        reasons = ", ".join(sorted({route.reason for route in explained}))
        docket.proves(taken.at, where, f"{len(explained)} rejected: {reasons}")
    return len(explained)


def _treated_as_withdraw(evidence: Evidence, docket: Docket) -> int:
    """Every UPDATE to the cloud that is treated as a withdrawal (RFC 7606) has a notice with it. Returns how many."""
    cloud = {node.name for node in cloud_routers(evidence.model)}
    notices = [n for n in events(evidence, RouterNotice) if n.message]
    sessions = {message.session for message in evidence.trace.messages if message.destination in cloud}
    if not sessions:
        docket.lacks("the trace shows nothing that was sent to the cloud")
    handled = 0
    for session in sorted(s for s in sessions if s is not None):
        for message, update in decoded(evidence, Update, session):
            if message.destination not in cloud or update.treat_as_withdraw is None:
                continue
            octets = hex_of(message)
            if any(n.node == message.destination and n.message.lower() in octets for n in notices):
                handled += 1
            else:
                what = f"treated an UPDATE as a withdrawal ({update.treat_as_withdraw}) and did not say so"
                docket.breaks(message.at, f"{message.destination} {session}", what, octets)
    return handled


def judge_replay(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    stored = {event.label for event in events(evidence, SnapshotTaken)}
    for label in evidence.snapshots:
        if label not in stored:
            docket.breaks(0, label, "was judged, and the log does not say that it was stored")
    if not stored:
        docket.lacks("no snapshot was stored")
    replayed = 0
    for session in evidence.model.sessions if taken is not None else ():
        if taken is None or not any(True for _ in messages(evidence, session.id)):
            continue
        if not watched(evidence, docket, session.id, until=taken.at):
            continue
        for end, other in ((session.left, session.right), (session.right, session.left)):
            node = node_at(taken, docket, other.node)
            if node is None:
                continue
            wire = set(standing(evidence, session.id, end.node, taken.at))
            held = set(received(node, session.id))
            where = f"{other.node} {session.id}"
            if wire != held:
                odd = sorted(wire ^ held)[0]
                side = "replayed from the wire, not in" if odd in wire else "not to be had from the wire, yet in"
                docket.breaks(taken.at, where, f"{odd} is {side} the Adj-RIB-In that was stored")
            elif held:
                replayed += len(held)
                docket.proves(taken.at, where, f"{len(held)} routes replayed from the capture as stored")
    if not replayed and taken is not None:
        docket.lacks("there was no route to replay")
    return docket.close(f"{len(stored)} snapshots stored; {replayed} routes replayed from the capture equal the RIBs")


CHECKS: tuple[Check, ...] = (
    Check(
        "TEL-01", "State events", PHASE, MAJOR,
        "Every connection and session transition is published once, in order, with the wire's clock.",
        "SDK enums; S3", "event log against the wire", no_connection, judge_state_events,
        ("ConnectionStateChanged", "SessionStateChanged of both ends of every connection session",
         "trace: OPEN, KEEPALIVE"),
    ),
    Check(
        "TEL-06", "Rejected routes explained", PHASE, MAJOR,
        "Each rejected route has a reason; treat-as-withdraw is told with the message.",
        "RFC 7606 6; RFC 8893 4; arouteserver codes", "Adj-RIBs-In before and after policy, notices", no_connection,
        judge_rejections,
        ("snapshots under-deny (allowed, stimulated): Adj-RIB-In pre- and post-policy of cloud routers",
         "RouterNotice with message", "trace: UPDATE to cloud routers"),
    ),
    Check(
        "TEL-08", "Evidence", PHASE, MAJOR,
        "Snapshots are stored, and the capture alone gives back the RIBs that were judged.",
        "RFC 7747 6; bgpdump/mrtparse oracles", "replay of the capture against stored RIBs", no_connection,
        judge_replay,
        ("SnapshotTaken for every snapshot", "snapshot allowed: Adj-RIB-In pre-policy of all routers",
         "trace: UPDATE of every session up to then"),
    ),
)  # fmt: skip
