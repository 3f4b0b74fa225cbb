"""Checks of deprovisioning (catalogue DEP): guarded, drained, closed with a word, and nothing left of it."""

from __future__ import annotations

from peerlab.bgp.wire import Notification
from peerlab.evidence.events import ConnectionStateChanged, TransitionRefused
from peerlab.evidence.reassembly import Step
from peerlab.evidence.story import Moment, Stimulus
from peerlab.topology.model import LabModel, PeeringKind, Relation, Session
from peerlab.verify.check import CRITICAL, MAJOR, MINOR, Check
from peerlab.verify.deprovision_remains import (
    judge_nothing_configured,
    judge_nothing_routed,
    judge_others_untouched,
    removed,
    states_at,
)
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.failover_locations import streams
from peerlab.verify.reading import SECOND, answered, events, snapshot
from peerlab.verify.session import no_connection
from peerlab.verify.subject import Connection, cloud_ebgp, edge_end
from peerlab.verify.wire import decoded, hex_of, watched

PHASE = "deprovision"
GUARDED = ("ProvisioningStarted", "ProvisioningCompleted")
"""States in which Microsoft refuses to delete (spec 2.1)."""
CLEAN = ((6, 2), (6, 3))
"""Administrative Shutdown and Peer De-configured (RFC 4486)."""
FIRST_RETRIES = 5
RETRIES_PER_SECOND = 1.0
"""Connection attempts of a peer that was closed: so many at once, and then one a second; more is a storm."""


def no_other_way(model: LabModel) -> str | None:
    """Why traffic cannot leave before the session is closed."""
    transit = any(end.relation is Relation.PROVIDER for _, end in cloud_ebgp(model))
    if len(model.peerings) > 1 or transit:
        return None
    return no_connection(model) or "this lab has no other way out for the traffic of its only peering"


def judge_delete_guard(evidence: Evidence) -> Judgement:
    docket = Docket()
    refusals = [e for e in events(evidence, TransitionRefused) if e.request == "DeletePeering"]
    guarded: set[str] = set()
    for refusal in refusals:
        states = states_at(evidence, refusal.resource, refusal.at)
        for state in sorted(states & set(GUARDED)):
            guarded.add(state)
            docket.proves(refusal.at, refusal.resource, f"delete in {state} refused: {refusal.code}: {refusal.message}")
    for change in events(evidence, ConnectionStateChanged):
        key = f"{change.peering}/{change.connection}"
        if change.after == "removed" and change.before in GUARDED:
            docket.breaks(change.at, key, f"was deleted in {change.before}")
    direct = any(peering.kind is PeeringKind.DIRECT for peering in evidence.model.peerings)
    for state in GUARDED:
        if state not in guarded and (direct or state != "ProvisioningStarted"):
            docket.lacks(f"nobody tried to delete a peering in {state}")
    for connection, at in removed(evidence, docket):
        docket.proves(at, connection.key, "accepted deprovisioning shows as PendingRemove")
    return docket.close(f"delete refused in {' and '.join(GUARDED)}; accepted deprovisioning shows PendingRemove")


def judge_drain(evidence: Evidence) -> Judgement:
    docket = Docket()
    names: set[str] = set()
    for trial in answered(evidence, docket, Stimulus.DRAIN, "packets_after"):
        left = trial.saw.count("packets_after")
        names.add(trial.did.text("stream") or Stimulus.DRAIN.value)
        if not watched(evidence, docket, trial.session, trial.at):
            continue
        closed = [m for m, _ in decoded(evidence, Notification, trial.session, None, trial.at)]
        if closed and closed[0].at < trial.until:
            docket.breaks(closed[0].at, trial.where, "was closed before it was seen to be drained", hex_of(closed[0]))
        elif left:
            docket.breaks(trial.until, trial.where, f"{left} packets still crossed when it was to be drained")
        elif left is None or not closed:
            docket.lacks(f"{trial.where}: the trace does not show the session being closed after the drain")
        else:
            lead = (closed[0].at - trial.until) / 1e6
            docket.proves(trial.until, trial.where, f"0 packets crossed, closed {lead:.0f} ms later", hex_of(closed[0]))
    for name in sorted(names):
        for stream in streams(evidence, docket, name):
            where = f"stream {stream.source} > {stream.destination} {stream.family}"
            lost = stream.sent - stream.received
            if not stream.sent:
                docket.lacks(f"{where}: nothing was sent, so nothing had to be drained")
            elif lost > 0:
                docket.breaks(stream.at, where, f"{lost} of {stream.sent} packets lost while draining")
            else:
                docket.proves(stream.at, where, f"{stream.received} of {stream.sent} packets arrived")
    return docket.close("traffic had left before the sessions were closed, none of it was lost")


def judge_clean_close(evidence: Evidence) -> Judgement:
    docket = Docket()
    gone = removed(evidence, docket)
    taken = snapshot(evidence, docket, Moment.DEPROVISIONED)
    for connection, pending in gone if taken is not None else ():
        at = _removal(evidence, connection, pending)
        for session in connection.sessions(evidence.model):
            if taken is None or not watched(evidence, docket, session.id, at, taken.at):
                continue
            edge = edge_end(evidence.model, session)
            where = f"{edge.node if edge else '?'} {session.id}"
            closed = list(decoded(evidence, Notification, session.id, edge.node if edge else None, at, taken.at))
            if not closed:
                docket.breaks(taken.at, where, "was closed without a NOTIFICATION")
                continue
            message, said = closed[0]
            text = _text(said)
            if (said.code, said.subcode) not in CLEAN:
                docket.breaks(message.at, where, f"closed with {said.name()}, not 6/2 or 6/3", hex_of(message))
            elif not text:
                docket.breaks(message.at, where, f"closed with {said.name()} and no word why", hex_of(message))
            else:
                _no_storm(evidence, docket, session, message.at, taken.at, f"{said.name()}: '{text}'", hex_of(message))
    return docket.close("every session was closed with a Cease and its reason; no peer stormed")


def _removal(evidence: Evidence, connection: Connection, since: int) -> int:
    """When Microsoft ordered the removal. What TCP still delivers of an earlier end of the session is not the close."""
    for change in events(evidence, ConnectionStateChanged, since):
        if f"{change.peering}/{change.connection}" == connection.key and change.after == "removed":
            return change.at
    return since


def _text(said: Notification) -> str:
    """The shutdown communication (RFC 9003); Peer De-configured may carry the same form in a lab."""
    if (text := said.communication()) is not None:
        return text
    length = said.data[0] if said.data else 0
    return said.data[1 : 1 + length].decode(errors="replace") if 0 < length < len(said.data) + 1 else ""


def _no_storm(
    evidence: Evidence, docket: Docket, session: Session, closed: int, until: int, how: str, message: str
) -> None:
    attempts = [
        step
        for step in evidence.trace.steps
        if step.session == session.id and step.step is Step.ASKED and closed < step.at <= until
    ]
    seconds = (until - closed) / SECOND
    where = session.id
    if len(attempts) > FIRST_RETRIES + seconds * RETRIES_PER_SECOND:
        docket.breaks(attempts[-1].at, where, f"{len(attempts)} connection attempts in {seconds:.1f} s after the close")
    else:
        docket.proves(closed, where, f"{how}; {len(attempts)} attempts in {seconds:.1f} s afterwards", message)


CHECKS: tuple[Check, ...] = (
    Check(
        "DEP-01", "Delete guard", PHASE, CRITICAL,
        "Delete fails in ProvisioningStarted and ProvisioningCompleted; accepted deprovisioning shows PendingRemove.",
        "S3; walkthrough-exchange", "event log", no_connection, judge_delete_guard,
        ("TransitionRefused request=DeletePeering resource=PEERING in each of the two states",
         "ConnectionStateChanged PendingRemove"),
    ),
    Check(
        "DEP-02", "Drain first", PHASE, MAJOR,
        "Traffic leaves before the session is closed, and none is lost when there is an alternative.",
        "RFC 8326 4.2", "packets on the link, the wire, 1 kHz streams", no_other_way, judge_drain,
        ("trial drain: session; packets_after", "StreamMeasured drain:…", "trace: NOTIFICATION after it"),
    ),
    Check(
        "DEP-03", "Clean close", PHASE, MINOR,
        "The peer receives Cease 6/2 or 6/3 with the shutdown text and does not storm.",
        "RFC 4486; RFC 9003", "NOTIFICATION and connection attempts on the wire", no_connection, judge_clean_close,
        ("ConnectionStateChanged PendingRemove and removed", "snapshot deprovisioned (its time)",
         "trace: NOTIFICATION of the edge with a text, connection attempts"),
    ),
    Check(
        "DEP-04", "Nothing left in routing", PHASE, CRITICAL,
        "No RIB or kernel holds a route of the deprovisioned connections.",
        "RFC 4271 9.2; lab", "every RIB and kernel before and after", no_connection, judge_nothing_routed,
        ("snapshots restored (activated, allowed), deprovisioned: all RIBs and kernels",),
    ),
    Check(
        "DEP-05", "Nothing left in config", PHASE, MAJOR,
        "No neighbour, address or registration key of the deprovisioned connections is left.",
        "lab; S2 (keys)", "the edge against its baseline, event log", no_connection, judge_nothing_configured,
        ("snapshots baseline, deprovisioned: sessions and addresses of the edge",
         "ResourceChanged registeredPrefixes/registeredAsns without a body once the peering is gone"),
    ),
    Check(
        "DEP-06", "Others untouched, repeatable", PHASE, MAJOR,
        "No other session was reset; turning the peering up again from zero gives the same verdicts.",
        "lab", "uptimes, second validation, RIBs", no_connection, judge_others_untouched,
        ("snapshots deprovisioned, reprovisioned, restored: sessions (since), Adj-RIB-In post-policy",
         "ValidationJudged and ConnectionStateChanged of both turn-ups"),
    ),
)  # fmt: skip
