"""Checks of failover (catalogue FLV): the order of ways out, silent failures, maintenance, withdrawal, isolation."""

from __future__ import annotations

from peerlab.bgp.wire import Notification
from peerlab.evidence.events import SessionStateChanged
from peerlab.evidence.snapshot import NodeSnapshot
from peerlab.evidence.story import Moment, Phase, Stimulus
from peerlab.topology.model import LabModel
from peerlab.verify.check import CRITICAL, MAJOR, MINOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.failover_locations import (
    judge_fail_back,
    judge_internet,
    judge_local_link,
    judge_primary,
    no_backup,
    no_internet_backup,
    no_second_link,
    no_wired_primary,
    streams,
)
from peerlab.verify.forwarding import BGP
from peerlab.verify.liveness import judge_one_way
from peerlab.verify.reading import FOREVER, Trial, answered, events, node_at, snapshot, trials
from peerlab.verify.route_server_loss import judge_route_server_loss, no_second_server
from peerlab.verify.session import no_connection
from peerlab.verify.subject import connections, routers, session_or_none
from peerlab.verify.survivor_capacity import judge_survivor_capacity, no_survivor
from peerlab.verify.wire import announcements, decoded, hex_of, routes, watched

PHASE = "failover"
GRACEFUL_SHUTDOWN = "65535:0"
ADMINISTRATIVE_SHUTDOWN = (6, 2)
BREAKING = (Stimulus.ISOLATION, Stimulus.MAX_PREFIX)
"""Stimuli that break one session on purpose and must leave all others alone."""


def no_alternative(model: LabModel) -> str | None:
    """Why maintenance cannot be harmless."""
    return None if len(connections(model)) > 1 else "this lab has no second connection to move traffic to"


def no_wire(model: LabModel) -> str | None:
    """Why no connection can fall silent by itself."""
    if any(connection.request.link is not None for connection in connections(model)):
        return None
    return "no connection of this lab has a wire of its own"


def judge_silent_failure(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown = 0
    for trial in answered(evidence, docket, Stimulus.SILENT_FAILURE, "seconds", "down"):
        hold, seconds = trial.did.number("hold_time"), trial.saw.number("seconds")
        if not hold or seconds is None:
            docket.lacks(f"{trial.where}: hold time or detection time are not logged")
        elif trial.saw.flag("down") is not True:
            docket.breaks(
                trial.until, trial.where, f"a connection that carries nothing is still up after {seconds:.2f} s"
            )
        elif seconds > hold + 1:
            docket.breaks(trial.until, trial.where, f"found after {seconds:.2f} s, the hold time is {hold:g} s")
        else:
            shown += 1
            docket.proves(trial.until, trial.where, f"found after {seconds:.2f} s (hold time {hold:g} s)")
    for stream in streams(evidence, docket, Stimulus.SILENT_FAILURE.value):
        where = f"stream {stream.source} > {stream.destination} {stream.family}"
        if not stream.received:
            docket.breaks(stream.at, where, f"0 of {stream.sent} packets arrived: nothing took over")
        else:
            docket.proves(stream.at, where, f"{stream.sent - stream.received} of {stream.sent} packets lost")
    return docket.close(f"{shown} sessions with carrier but no packets found within the hold time")


def judge_graceful_shutdown(evidence: Evidence) -> Judgement:
    docket = Docket()
    names: set[str] = set()
    for trial in answered(evidence, docket, Stimulus.GRACEFUL_SHUTDOWN, "moved", "stream"):
        session = session_or_none(evidence.model, trial.session)
        peer = trial.applied.node
        if session is None or not watched(evidence, docket, trial.session, trial.at, trial.until):
            continue
        names.add(trial.saw.text("stream"))
        marked = [
            r
            for r in announcements(evidence, trial.session, peer, trial.at, trial.until)
            if r.attributes is not None and GRACEFUL_SHUTDOWN in r.attributes.communities
        ]
        closed = [
            m
            for m, said in decoded(evidence, Notification, trial.session, None, trial.until)
            if (said.code, said.subcode) == ADMINISTRATIVE_SHUTDOWN
        ]
        if not marked:
            docket.lacks(f"{trial.where}: no announcement with {GRACEFUL_SHUTDOWN} is on the wire")
        elif trial.saw.flag("moved") is not True:
            docket.breaks(trial.until, trial.where, "best routes stay on a session that is marked for shutdown")
        elif not closed:
            docket.lacks(f"{trial.where}: the shutdown itself is not on the wire")
        else:
            what = f"marked {GRACEFUL_SHUTDOWN}, best routes moved, then Cease 6/2"
            docket.proves(marked[0].at, trial.where, what, marked[0].message)
    for name in sorted(names):
        for stream in streams(evidence, docket, name):
            where = f"stream {stream.source} > {stream.destination} {stream.family}"
            lost = stream.sent - stream.received
            if lost > 0:
                docket.breaks(stream.at, where, f"{lost} of {stream.sent} packets lost in planned maintenance")
            elif not stream.sent:
                docket.lacks(f"{where}: nothing was sent")
            else:
                docket.proves(stream.at, where, f"{stream.sent} packets, none lost")
    return docket.close("planned maintenance by 65535:0 and shutdown lost no packet")


def judge_withdrawal(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.WITHDRAWN)
    known = snapshot(evidence, docket, Moment.ALLOWED)
    done: list[str] = []
    for trial in answered(evidence, docket, Stimulus.WITHDRAWAL, "left_at"):
        prefix, origin = trial.did.text("prefix"), trial.applied.node
        left = trial.saw.items("left_at")
        withdrawn = [
            r
            for session in evidence.model.sessions_of(origin)
            for r in routes(evidence, session.id, origin, trial.at, trial.until)
            if r.prefix == prefix and r.attributes is None
        ]
        if not withdrawn:
            docket.lacks(f"{origin}: the withdrawal of {prefix} is not on the wire")
            continue
        if left:
            docket.breaks(trial.until, origin, f"{prefix} is left at {', '.join(map(str, left))}")
        held = 0
        for node in routers(evidence.model) if taken is not None and known is not None else ():
            now = node_at(taken, docket, node.name) if taken is not None else None
            then = known.nodes.get(node.name) if known is not None else None
            held += then is not None and bool(_holders(then, prefix))
            for rib in _holders(now, prefix) if now is not None else ():
                docket.breaks(taken.at if taken else 0, node.name, f"{prefix} is still in its {rib}")
        if not held:
            docket.lacks(f"nobody held {prefix} before, so nothing had to go")
        else:
            done.append(prefix)
            what = f"{prefix} withdrawn; {held} routers held it, none does now"
            docket.proves(withdrawn[0].at, origin, what, withdrawn[0].message)
    return docket.close(f"{', '.join(done)} left every RIB and kernel")


def _holders(node: NodeSnapshot, prefix: str) -> list[str]:
    """Names of the node's tables that hold the prefix."""
    found = [f"Adj-RIB-In of {s}" for s, rib in node.adj_rib_in_pre.items() if any(r.prefix == prefix for r in rib)]
    found += ["Loc-RIB"] if any(r.prefix == prefix for r in node.loc_rib) else []
    found += [f"Adj-RIB-Out to {s}" for s, rib in node.adj_rib_out.items() if any(r.prefix == prefix for r in rib)]
    found += ["kernel"] if any(r.prefix == prefix and r.protocol in BGP for r in node.kernel) else []
    return found


def judge_isolation(evidence: Evidence) -> Judgement:
    docket = Docket()
    broken = [s for s in BREAKING if trials(evidence, s)]
    if not broken:
        docket.lacks("no session was broken on purpose")
    shown: list[str] = []
    for stimulus in broken:
        for trial in answered(evidence, docket, stimulus, "others_down"):
            if not watched(evidence, docket, trial.session, trial.at, trial.until, broken=True):
                continue
            others = trial.saw.items("others_down")
            ended = list(decoded(evidence, Notification, trial.session, None, trial.at, trial.until))
            fallen = _fallen(evidence, trial)
            if others:
                docket.breaks(trial.until, trial.where, f"{others[0]} fell with it")
            elif fallen is not None:
                what = f"{fallen.session} left Established at {fallen.node} meanwhile: {fallen.reason}"
                docket.breaks(fallen.at, trial.where, what)
            elif others is None or not ended:
                docket.lacks(f"{trial.where}: the trace does not show the session being broken")
            else:
                shown.append(trial.session)
                message = ended[0][0]
                docket.proves(
                    message.at, trial.where, f"broken ({stimulus.value}), all others stay up", hex_of(message)
                )
    return docket.close(f"{len(shown)} sessions broken on purpose, no other one left Established")


def _fallen(evidence: Evidence, trial: Trial) -> SessionStateChanged | None:
    """A session of the model, other than the trial's, that left Established while the trial ran."""
    until = trial.until if trial.observed is not None else FOREVER
    for event in events(evidence, SessionStateChanged, trial.at, until):
        known = session_or_none(evidence.model, event.session)
        if known is not None and event.session != trial.session and event.before == "Established":
            return event
    return None


CHECKS: tuple[Check, ...] = (
    Check(
        "FLV-01", "Local link loss", PHASE, CRITICAL,
        "With one of two local links cut traffic stays in the metro and streams lose less than 1 s.",
        "policy.md (localised failover)", "best routes, traced paths, 1 kHz streams", no_second_link, judge_local_link,
        ("snapshot local-link-lost: Loc-RIBs", "FaultInjected/FaultCleared target=link",
         "PathTraced name=local-link-lost", "StreamMeasured local-link-lost:…"),
    ),
    Check(
        "FLV-02", "Primary PoP loss", PHASE, CRITICAL,
        "With the primary location gone the backup location takes over and streams lose less than 2 s.",
        "S0; MAPS", "best routes, traced paths, 1 kHz streams", no_backup, judge_primary,
        ("snapshot primary-lost: Loc-RIBs", "FaultInjected target=link of every primary connection",
         "PathTraced name=primary-lost", "StreamMeasured primary-lost:…"),
    ),
    Check(
        "FLV-03", "Backup None -> internet", PHASE, CRITICAL,
        "With all private links down the prefix stays reachable through a transit AS, and comes back.",
        "S0", "best routes, traced paths, 1 kHz streams", no_internet_backup, judge_internet,
        ("snapshots private-lost, restored: Loc-RIBs", "snapshot private-lost: no session of the provider Established",
         "PathTraced name=private-lost, restored", "StreamMeasured private-lost:… (primary-lost:… when they are one)"),
    ),
    Check(
        "FLV-04", "Fail-back", PHASE, MAJOR,
        "Traffic returns to the primary location once, without flapping, and streams lose less than 1 s.",
        "lab", "best routes, iBGP on the wire, 1 kHz streams", no_wired_primary, judge_fail_back,
        ("FaultCleared before restored", "snapshot restored: Loc-RIBs", "PathTraced name=restored",
         "trace: UPDATE of iBGP sessions since the links were mended", "StreamMeasured restored-mended:…"),
    ),
    Check(
        "FLV-05", "Silent failure", PHASE, CRITICAL,
        "A connection that loses every packet with its carrier up is found within the hold time + 1 s.",
        "RFC 5880 6.8.4; RFC 4271 6.5", "the trial, 1 kHz streams", no_wire, judge_silent_failure,
        ("trial silent-failure: session, hold_time; seconds, down", "StreamMeasured silent-failure:…"),
    ),
    Check(
        "FLV-06", "One-way failure", PHASE, MAJOR,
        "Loss in one direction only is detected and cleared like a full failure.",
        "RFC 5880; RFC 5882 4.2", "three losses on examiners' paths: both ways, and each way alone", no_connection,
        judge_one_way,
        ("trial path-lost: session, peer, direction, interval_ms, multiplier, hold_time; down_at_edge, down_at_peer, "
         "routes_left, kernel_left, frames",
         "trial path-mended: established, bfd_up, received", "SessionStateChanged at both ends",
         "BfdStateChanged at both ends"),
        scene=Phase.LIVENESS,
    ),
    Check(
        "FLV-09", "Graceful shutdown", PHASE, MAJOR,
        "Maintenance by 65535:0 and then shutdown loses no packet when there is an alternative.",
        "RFC 8326 4", "the wire, 1 kHz streams", no_alternative, judge_graceful_shutdown,
        ("trial graceful-shutdown: node=peer, session; moved, stream", "StreamMeasured STREAM:…",
         "trace: UPDATE with 65535:0, then NOTIFICATION 6/2"),
    ),
    Check(
        "FLV-10", "Withdrawal is complete", PHASE, CRITICAL,
        "After its origin withdrew it no router keeps the prefix in any RIB or kernel.",
        "RFC 4271 9.2; RFC 7747 5.6", "every RIB and kernel", no_connection, judge_withdrawal,
        ("trial withdrawal: node=origin, prefix; left_at", "trace: the withdrawal",
         "snapshots allowed (who held it), withdrawn: all RIBs and kernels"),
    ),
    Check(
        "FLV-11", "Route-server loss", PHASE, MAJOR,
        "One route server lost loses no packet; without any of them a bilateral session or transit takes over.",
        "RFC 7948 4.4", "best routes of an edge, traced paths, 1 kHz streams", no_second_server,
        judge_route_server_loss,
        ("trial route-server-lost: node=the route server, servers, edge, best, stream; down, best",
         "ProcessExited of the route server", "SessionStateChanged at its clients",
         "PathTraced name=STREAM", "StreamMeasured STREAM:…"),
        scene=Phase.RESTART,
    ),
    Check(
        "FLV-12", "Failure isolation", PHASE, CRITICAL,
        "A session that is broken on purpose takes no other one with it.",
        "E2, E12, E17; RFC 7606", "the trials, every session's state", no_connection, judge_isolation,
        ("trials isolation, max-prefix: session; others_down", "SessionStateChanged of all sessions",
         "trace: NOTIFICATION on the broken session"),
    ),
    Check(
        "FLV-13", "Survivor capacity", PHASE, MINOR,
        "After a failover no surviving connection has to carry more than its bandwidth; over 50 % is told of.",
        "policy.md 50 %; walkthrough 40 %", "interface counters of the connections against their bandwidths",
        no_survivor, judge_survivor_capacity,
        ("trial survivor-load: trial, offered_mbps, scale, bandwidth_mbps, carried_mbps; carried_mbps",
         "FaultInjected target=link while it runs"),
    ),
)  # fmt: skip
