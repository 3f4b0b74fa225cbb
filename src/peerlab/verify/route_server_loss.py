"""Judge of lost route servers (FLV-11): one may go unnoticed, and without any of them another way takes over."""

from __future__ import annotations

from peerlab.bgp.attributes import Family
from peerlab.evidence.events import ProcessExited, SessionStateChanged, StreamMeasured
from peerlab.evidence.story_restart import RestartStimulus
from peerlab.topology.model import LabModel
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.failover_locations import INTERNET_BUDGET, streams, within_budget
from peerlab.verify.forwarding import family_of_trace, hosts, traces
from peerlab.verify.outage import Unit, UnitKind
from peerlab.verify.reading import Trial, answered, events
from peerlab.verify.relation_reach import reachable_pairs
from peerlab.verify.subject import connection_sessions, session_or_none
from peerlab.verify.survivor import survivors

WATCHED = 0.3
"""Seconds that a stream has to run after the process was killed: less shows nothing."""

Pairs = frozenset[tuple[str, str, Family]]


def serving(model: LabModel) -> tuple[str, ...]:
    """Route servers that the cloud's connections run to."""
    found = {
        end.node: None
        for session in connection_sessions(model)
        for end in (session.left, session.right)
        if model.node(end.node).route_server
    }
    return tuple(found)


def no_second_server(model: LabModel) -> str | None:
    """Why no route server can be lost harmlessly."""
    if len(serving(model)) < 2:
        return "no connection of this lab runs to two route servers"
    if not hosts(model, cloud=True) or not hosts(model, cloud=False):
        return "this lab has no host inside the cloud and another outside it"
    return None


def judge_route_server_loss(evidence: Evidence) -> Judgement:
    docket = Docket()
    every = set(serving(evidence.model))
    dead = tuple(Unit(UnitKind.ROUTE_SERVER, name) for name in sorted(every))
    elsewhere = reachable_pairs(survivors(evidence.model, dead))

    def has_other_way(stream: StreamMeasured) -> bool:
        return (stream.source, stream.destination, Family(stream.family)) in elsewhere

    stages: set[bool] = set()
    kept = taken_over = 0
    for trial in answered(evidence, docket, RestartStimulus.ROUTE_SERVER_LOST, "down", "best"):
        servers, name = set(trial.did.texts("servers") or ()), trial.did.text("stream")
        if not servers or not name or not _went_down(evidence, docket, trial):
            docket.lacks(f"{trial.where}: nothing shows that the route server was lost")
            continue
        all_gone = servers >= every
        stages.add(all_gone)
        for one in streams(evidence, docket, name):
            if one.ended - trial.at < WATCHED * 1e9:
                docket.lacks(f"stream {one.name} ran for less than {WATCHED:g} s after the loss")
        _judge_routes(evidence, docket, trial, servers, all_gone)
        if all_gone:
            taken_over += within_budget(evidence, docket, name, INTERNET_BUDGET, has_other_way)
        else:
            kept += _without_loss(evidence, docket, name)
        _judge_paths(evidence, docket, name, elsewhere if all_gone else None)
    for stage, what in ((False, "one route server alone"), (True, "every route server")):
        if stage not in stages:
            docket.lacks(f"{what} was not lost")
    end = (
        f"with all {len(every)} lost {taken_over} streams go on by bilateral sessions or transit"
        if taken_over
        else f"with all {len(every)} lost no other way leads there in this lab"
    )
    return docket.close(f"one route server lost: {kept} streams lose nothing; {end}")


def _went_down(evidence: Evidence, docket: Docket, trial: Trial) -> bool:
    """The process ended, and every other end of its sessions left Established."""
    server = trial.applied.node
    exits = [
        e for e in events(evidence, ProcessExited, trial.at, trial.until) if (e.node, e.process) == (server, "router")
    ]
    left = {
        e.session
        for e in events(evidence, SessionStateChanged, trial.at, trial.until)
        if e.before == "Established" and e.node != server
    }
    mine = {s.id for s in connection_sessions(evidence.model) if server in (s.left.node, s.right.node)}
    if not exits or trial.saw.flag("down") is not True:
        return False
    missing = sorted(mine - left)
    if missing:
        docket.lacks(f"{server}: the log does not show {missing[0]} leaving Established")
    return not missing


def _judge_routes(evidence: Evidence, docket: Docket, trial: Trial, servers: set[str], all_gone: bool) -> None:
    """The edge's best routes before and after: none by a dead server, and none gone while a server lives."""
    before, after = trial.did.table("best") or {}, trial.saw.table("best") or {}
    edge = trial.did.text("edge")
    if not any(_server_of(evidence.model, str(session), edge) for session in before.values()):
        docket.lacks(f"{trial.where}: no best route of {edge} came by a route server before")
    for prefix, session in sorted(after.items()):
        was = _server_of(evidence.model, str(before.get(prefix, "")), edge)
        now = _server_of(evidence.model, str(session), edge)
        if was is None:
            continue
        if now in servers:
            docket.breaks(trial.until, edge, f"{prefix} still by {session}, whose route server is dead")
        elif session:
            docket.proves(trial.until, edge, f"{prefix} by {before[prefix]} before, by {session} after")
        elif not all_gone:
            docket.breaks(trial.until, edge, f"has no route to {prefix} any more")


def _server_of(model: LabModel, session: str, edge: str) -> str | None:
    known = session_or_none(model, session)
    if known is None or edge not in (known.left.node, known.right.node):
        return None
    far = known.other(edge).node
    return far if model.node(far).route_server else None


def _without_loss(evidence: Evidence, docket: Docket, name: str) -> int:
    """Streams of a name that lost nothing at all."""
    good = 0
    for stream in streams(evidence, docket, name):
        where = f"stream {stream.source} > {stream.destination} {stream.family} ({name})"
        lost = stream.sent - stream.received
        if not stream.sent:
            docket.lacks(f"{where}: nothing was sent")
        elif lost > 0:
            docket.breaks(stream.at, where, f"{lost} of {stream.sent} packets lost")
        else:
            good += 1
            docket.proves(stream.at, where, f"{stream.sent} packets, none lost")
    return good


def _judge_paths(evidence: Evidence, docket: Docket, name: str, elsewhere: Pairs | None) -> None:
    """Every traced path of a name arrives; with all servers lost those that have another way."""
    found = traces(evidence, name)
    if not found:
        docket.lacks(f"no path was traced at '{name}'")
    for trace in found:
        family = family_of_trace(trace)
        if elsewhere is not None and (trace.source, trace.destination, family) not in elsewhere:
            continue
        where = f"{trace.source} > {trace.destination} ({name})"
        steps = ", ".join(node or "?" for node in trace.nodes)
        if trace.reached:
            docket.proves(trace.at, where, f"through {steps}")
        else:
            docket.breaks(trace.at, where, f"the path ends after {steps}")
