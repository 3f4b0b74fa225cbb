"""Judges of what a deprovisioning leaves behind: nothing of it, and everything else (DEP-04, DEP-05, DEP-06)."""

from __future__ import annotations

from peerlab.evidence.events import ConnectionStateChanged, ResourceChanged, ValidationJudged
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.topology.model import Session
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import events, fact_of, node_at, session_at, snapshot
from peerlab.verify.subject import Connection, connections, edge_end, routers


def removed(evidence: Evidence, docket: Docket) -> list[tuple[Connection, int]]:
    """Connections that were deprovisioned, each with when it became PendingRemove; a gap when there is none."""
    found = []
    for connection in connections(evidence.model):
        for change in events(evidence, ConnectionStateChanged):
            if f"{change.peering}/{change.connection}" == connection.key and change.after == "PendingRemove":
                found.append((connection, change.at))
                break
    if not found:
        docket.lacks("no connection was deprovisioned")
    return found


def _sessions(evidence: Evidence, gone: list[tuple[Connection, int]]) -> dict[str, Session]:
    return {session.id: session for connection, _ in gone for session in connection.sessions(evidence.model)}


def _before(evidence: Evidence, docket: Docket, until: int) -> Snapshot | None:
    """The latest snapshot of the lab in full service before a moment."""
    for moment in (Moment.RESTORED, Moment.ACTIVATED, Moment.ALLOWED):
        taken = evidence.snapshots.get(moment.value)
        if taken is not None and taken.at <= until:
            return taken
    docket.lacks("no snapshot shows the lab in service before the deprovisioning")
    return None


def states_at(evidence: Evidence, peering: str, at: int) -> set[str]:
    """States of a peering's connections at a moment."""
    last: dict[str, str] = {}
    for change in events(evidence, ConnectionStateChanged, until=at):
        if change.peering == peering:
            last[change.connection] = change.after
    return set(last.values())


def judge_nothing_routed(evidence: Evidence) -> Judgement:
    docket = Docket()
    gone = removed(evidence, docket)
    taken = snapshot(evidence, docket, Moment.DEPROVISIONED)
    before = _before(evidence, docket, taken.at) if taken is not None else None
    sessions = _sessions(evidence, gone)
    held = 0
    for node in routers(evidence.model) if taken is not None and before is not None else ():
        now = node_at(taken, docket, node.name) if taken is not None else None
        then = node_at(before, docket, node.name) if before is not None else None
        if now is None or then is None or taken is None:
            continue
        for session_id in sessions:
            held += len(then.adj_rib_in_pre.get(session_id, ()))
            ribs = {
                "Adj-RIB-In": now.adj_rib_in_pre.get(session_id, ()),
                "Adj-RIB-Out": now.adj_rib_out.get(session_id, ()),
                "Loc-RIB": tuple(r for r in now.loc_rib if r.session == session_id),
            }
            for name, routes in ribs.items():
                for route in routes[:1]:
                    docket.breaks(taken.at, node.name, f"{route.prefix} of {session_id} is still in its {name}")
        peers = {s.other(node.name).address for s in sessions.values() if node.name in (s.left.node, s.right.node)}
        shared = {s.other(node.name).address for s in evidence.model.sessions_of(node.name) if s.id not in sessions}
        for kernel in now.kernel:
            if kernel.gateway in peers - shared:
                docket.breaks(taken.at, node.name, f"the kernel still sends {kernel.prefix} to {kernel.gateway}")
    if gone and taken is not None and before is not None:
        if not held:
            docket.lacks("the connection carried no route before, so nothing had to go")
        else:
            docket.proves(taken.at, ", ".join(sorted(sessions)), f"{held} routes before, none in any RIB or kernel now")
    return docket.close(f"none of {held} routes of the deprovisioned connections is left anywhere")


def judge_nothing_configured(evidence: Evidence) -> Judgement:
    docket = Docket()
    gone = removed(evidence, docket)
    taken, baseline = snapshot(evidence, docket, Moment.DEPROVISIONED), snapshot(evidence, docket, Moment.BASELINE)
    for connection, at in gone if taken is not None and baseline is not None else ():
        edge = connection.request.edge
        now = node_at(taken, docket, edge) if taken is not None else None
        then = node_at(baseline, docket, edge) if baseline is not None else None
        if now is None or then is None or taken is None:
            continue
        left = [s.id for s in connection.sessions(evidence.model) if fact_of(now, s.id) is not None]
        changed = [name for name in now.addresses if now.addresses[name] != then.addresses.get(name)]
        if left:
            docket.breaks(taken.at, edge, f"still has neighbour {left[0]} configured")
        elif changed:
            what = f"{changed[0]} holds {', '.join(now.addresses[changed[0]])}, which is not its baseline"
            docket.breaks(taken.at, edge, what)
        else:
            docket.proves(taken.at, edge, f"no neighbour of {connection.key}, addresses as at the baseline")
        _keys_revoked(evidence, docket, connection, at, taken.at)
    return docket.close("no neighbour, address or key of the deprovisioned connections is left")


def _keys_revoked(evidence: Evidence, docket: Docket, connection: Connection, at: int, until: int) -> None:
    """Registrations of a peering that went with its last connection are deleted."""
    mine: dict[str, str] = {}
    for event in events(evidence, ResourceChanged, until=until):
        if event.kind in ("registeredPrefixes", "registeredAsns") and event.name.startswith(
            f"{connection.peering.name}/"
        ):
            mine[event.name] = "deleted" if event.body is None else "there"
    whole = not any(state != "removed" for state in states_at(evidence, connection.peering.name, until))
    for name, state in sorted(mine.items()):
        if whole and state != "deleted":
            docket.breaks(at, name, "its key still stands although the whole peering is gone")
        elif whole:
            docket.proves(at, name, "the registration and its key are gone")


def judge_others_untouched(evidence: Evidence) -> Judgement:
    docket = Docket()
    gone = removed(evidence, docket)
    taken, again = snapshot(evidence, docket, Moment.DEPROVISIONED), snapshot(evidence, docket, Moment.REPROVISIONED)
    sessions = _sessions(evidence, gone)
    if not gone or taken is None or again is None:
        return docket.close("")
    before = _before(evidence, docket, gone[0][1])
    began = gone[0][1]
    kept = 0
    for session in evidence.model.sessions:
        if session.id in sessions:
            continue
        for end in (session.left, session.right):
            now = session_at(taken, docket, end.node, session.id)
            if now is None:
                continue
            where = f"{end.node} {session.id}"
            if now.state != "Established":
                docket.breaks(taken.at, where, f"is {now.state} after another connection was deprovisioned")
            elif now.since >= began:
                docket.breaks(now.since, where, "was reset while another connection was deprovisioned")
            else:
                kept += 1
    if kept:
        docket.proves(taken.at, "all other sessions", f"{kept} ends Established since before the deprovisioning")
    if before is not None:
        _same_again(evidence, docket, gone, before, again)
    return docket.close(f"{kept} other session ends untouched; turned up again from zero with the same verdicts")


def _same_again(
    evidence: Evidence, docket: Docket, gone: list[tuple[Connection, int]], before: Snapshot, again: Snapshot
) -> None:
    for connection, at in gone:
        rules = [v for v in events(evidence, ValidationJudged) if v.subject == connection.key]
        first = {v.rule: v.passed for v in rules if v.at < at}
        second = {v.rule: v.passed for v in rules if v.at > at}
        active = [
            c.at
            for c in events(evidence, ConnectionStateChanged, at)
            if f"{c.peering}/{c.connection}" == connection.key and c.after == "Active"
        ]
        if not active or not second:
            docket.lacks(f"{connection.key}: the log does not show it Active again")
            continue
        different = sorted(rule for rule in {*first, *second} if first.get(rule) != second.get(rule))
        if different:
            docket.breaks(active[0], connection.key, f"{different[0]} comes out otherwise the second time")
        for session in connection.sessions(evidence.model):
            edge = edge_end(evidence.model, session)
            then = node_at(before, docket, edge.node) if edge is not None else None
            now = node_at(again, docket, edge.node) if edge is not None else None
            if edge is None or then is None or now is None:
                continue
            ribs = [{r.prefix for r in node.adj_rib_in_post.get(session.id, ()) if r.accepted} for node in (then, now)]
            where = f"{edge.node} {session.id}"
            if ribs[0] != ribs[1]:
                odd = sorted(ribs[0] ^ ribs[1])[0]
                docket.breaks(again.at, where, f"{odd} is accepted only {'before' if odd in ribs[0] else 'afterwards'}")
            else:
                docket.proves(again.at, where, f"Active again, {len(ribs[1])} routes accepted as before")
