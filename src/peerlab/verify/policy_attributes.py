"""Judges of what happens to attributes on the way, and of the prefix limit (POL-15, 17, 18, 24)."""

from __future__ import annotations

from peerlab.bgp.attributes import PathAttributes
from peerlab.bgp.wire import Notification
from peerlab.evidence.snapshot import NodeSnapshot, Snapshot
from peerlab.evidence.story import Moment, Stimulus
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.policy_cases import ACCEPT, Case, Need, insist, proven_cases
from peerlab.verify.reading import answered, best_of, node_at, received, sent, session_at, snapshot
from peerlab.verify.subject import (
    cloud_routers,
    connection_sessions,
    edge_end,
    is_cloud,
    route_servers,
    session_or_none,
)
from peerlab.verify.wire import announcements, decoded, hex_of, watched

MAXIMUM_PREFIXES = (6, 1)
HEADROOM = 1.5
"""Limit over routes received (catalogue POL-15)."""
NO_EXPORT, NO_ADVERTISE = "65535:65281", "65535:65282"
MAPS = "8075:8007"
"""The community that marks Peering Service routes: Microsoft's, yet set by the peer and kept."""


def judge_max_prefix(evidence: Evidence) -> Judgement:
    docket = Docket()
    keys = ("up_at_limit", "down_after", "warned", "others_down", "recovered")
    for trial in answered(evidence, docket, Stimulus.MAX_PREFIX, *keys):
        limit = trial.did.count("limit")
        if not watched(evidence, docket, trial.session, trial.at, trial.until):
            continue
        notified = [
            (message, said)
            for message, said in decoded(evidence, Notification, trial.session, None, trial.at, trial.until)
            if (said.code, said.subcode) == MAXIMUM_PREFIXES
        ]
        offered = {r.prefix for r in announcements(evidence, trial.session, trial.applied.node, trial.at, trial.until)}
        others = trial.saw.items("others_down")
        if trial.saw.flag("up_at_limit") is not True:
            docket.breaks(trial.until, trial.where, f"does not stay up at the limit of {limit}")
        elif not limit or len(offered) <= limit:
            docket.lacks(f"{trial.where}: the trace shows {len(offered)} routes, not more than the limit of {limit}")
        elif trial.saw.flag("down_after") is not True:
            docket.breaks(trial.until, trial.where, f"stays up with more than {limit} routes")
        elif not notified:
            docket.breaks(trial.until, trial.where, "ended without NOTIFICATION 6/1")
        elif others:
            docket.breaks(trial.until, trial.where, f"took {others[0]} down with it")
        elif trial.saw.flag("warned") is not True:
            docket.breaks(trial.until, trial.where, "nobody was warned before the limit was reached")
        elif trial.saw.flag("recovered") is not True:
            docket.breaks(trial.until, trial.where, "does not come back with fewer routes")
        else:
            what = f"limit {limit}: up at it, Cease 6/1 over it, warned before, alone, recovered"
            docket.proves(notified[0][0].at, trial.where, what, hex_of(notified[0][0]))
    _headroom(evidence, docket)
    return docket.close("the prefix limit acts on its own session only, and every limit in use has headroom")


def _headroom(evidence: Evidence, docket: Docket) -> None:
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    for session in connection_sessions(evidence.model):
        edge = edge_end(evidence.model, session)
        if edge is None or taken is None:
            continue
        fact = session_at(taken, docket, edge.node, session.id)
        if edge.max_prefix is None:
            docket.breaks(taken.at, f"{edge.node} {session.id}", "has no prefix limit")
        elif fact is not None and fact.received * HEADROOM > edge.max_prefix:
            what = f"limit {edge.max_prefix} for {fact.received} routes is under {HEADROOM} times as many"
            docket.breaks(taken.at, f"{edge.node} {session.id}", what)


def _cloud_namespace(evidence: Evidence) -> str:
    cloud = evidence.model.cloud()
    return f"{cloud.asn}:" if cloud is not None else ""


def judge_communities(evidence: Evidence) -> Judgement:
    docket = Docket()
    namespace = _cloud_namespace(evidence)
    cases = [case for case in proven_cases(evidence, docket, "POL-17") if case.expected == ACCEPT]

    def owns(community: str) -> bool:
        return community.startswith(namespace) and community != MAPS

    def carries(case: Case, community: str) -> bool:
        return community in (case.trial.did.texts("communities") or ())

    needs = (
        Need(
            "a community of the cloud's own namespace", lambda c: any(map(owns, c.trial.did.texts("communities") or ()))
        ),
        Need("NO_EXPORT", lambda c: carries(c, NO_EXPORT)),
        Need("NO_ADVERTISE", lambda c: carries(c, NO_ADVERTISE)),
    )
    insist(evidence, docket, cases, needs)
    taken = evidence.snapshots.get(Moment.STIMULATED.value)
    for case in cases if taken is not None else ():
        offered = case.wire.attributes
        if offered is None or case.fate is None or taken is None:
            continue
        where = f"{case.receiver.node} {case.trial.session}"
        put = set(offered.communities) | set(offered.large_communities)
        kept = set(case.fate.attributes.communities) | set(case.fate.attributes.large_communities)
        forged, lost = sorted(filter(owns, put & kept)), sorted(c for c in put - kept if not owns(c))
        if forged:
            docket.breaks(case.wire.at, where, f"keeps {forged[0]}, which only the cloud may set", case.wire.message)
        elif lost:
            docket.breaks(case.wire.at, where, f"drops {lost[0]} of {case.prefix}", case.wire.message)
        else:
            _obeyed(evidence, docket, taken, case, put)
    return docket.close(
        f"{len(cases)} routes: own communities scrubbed, others kept, NO_EXPORT and NO_ADVERTISE obeyed"
    )


def _obeyed(evidence: Evidence, docket: Docket, taken: Snapshot, case: Case, put: set[str]) -> None:
    receiver = case.receiver
    told = {s for s in receiver.adj_rib_out if case.prefix in sent(receiver, s) and s != case.trial.session}
    if NO_ADVERTISE in put:
        if told:
            docket.breaks(taken.at, receiver.node, f"tells {min(told)} of {case.prefix} in spite of NO_ADVERTISE")
        elif not any(receiver.adj_rib_out.values()):
            docket.lacks(
                f"{receiver.node} announces nothing to anybody, so its silence about {case.prefix} proves nothing"
            )
        return
    elsewhere = [
        node
        for node in cloud_routers(evidence.model)
        if node.name != receiver.node and best_of(taken.nodes.get(node.name) or NodeSnapshot(node=""), case.prefix)
    ]
    if not elsewhere and len(cloud_routers(evidence.model)) > 1:
        docket.lacks(f"no other router of the cloud has {case.prefix}, so nobody saw what was passed on")
    if NO_EXPORT not in put:
        return
    for node in cloud_routers(evidence.model):
        at_node = node_at(taken, docket, node.name)
        for session_id in at_node.adj_rib_out if at_node is not None else ():
            session = session_or_none(evidence.model, session_id)
            outside = session is not None and not session.is_internal
            if outside and at_node is not None and case.prefix in sent(at_node, session_id):
                docket.breaks(taken.at, f"{node.name} {session_id}", f"exports {case.prefix} in spite of NO_EXPORT")


def judge_local_pref_and_med(evidence: Evidence) -> Judgement:
    docket = Docket()
    cases = [case for case in proven_cases(evidence, docket, "POL-18") if case.expected == ACCEPT]
    in_cloud = [case for case in cases if is_cloud(evidence.model, case.receiver.node)]
    needs = (
        Need("LOCAL_PREF from an eBGP peer", lambda case: case.trial.did.count("local_pref") is not None),
        Need("MED from a peer", lambda case: case.trial.did.count("med") is not None),
    )
    insist(evidence, docket, in_cloud, needs)
    third = 0
    for case in cases:
        preference, med = case.trial.did.count("local_pref"), case.trial.did.count("med")
        attributes = case.fate.attributes if case.fate is not None else PathAttributes()
        where = f"{case.receiver.node} {case.trial.session}"
        if preference is not None and attributes.local_pref == preference:
            docket.breaks(case.wire.at, where, f"takes LOCAL_PREF {preference} from another AS", case.wire.message)
        if med is None:
            continue
        if case in in_cloud:
            if case.wire.attributes is None or case.wire.attributes.med != med:
                docket.lacks(f"{where}: {case.prefix} did not go out with MED {med}")
            elif attributes.med == med:
                docket.breaks(case.wire.at, where, f"keeps MED {med} of {case.prefix}", case.wire.message)
        else:
            third += _passes_no_med(evidence, docket, case, med)
    if not third:
        docket.lacks("no route with a MED was passed on to a third AS")
    return docket.close("LOCAL_PREF of another AS is ignored, its MED overwritten and never passed on to a third AS")


def _passes_no_med(evidence: Evidence, docket: Docket, case: Case, med: int) -> int:
    """How many onward announcements to a third AS were seen; one that carries the MED is a breach."""
    seen = 0
    node = case.receiver.node
    for session in evidence.model.sessions_of(node):
        if session.is_internal or session.id == case.trial.session:
            continue
        for route in announcements(evidence, session.id, node, case.wire.at):
            if route.prefix != case.prefix or route.attributes is None:
                continue
            seen += 1
            if route.attributes.med == med:
                docket.breaks(route.at, f"{node} {session.id}", f"passes MED {med} of {case.prefix} on", route.message)
            else:
                docket.proves(
                    route.at, f"{node} {session.id}", f"{case.prefix} passed on without MED {med}", route.message
                )
    return seen


def judge_transparency(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    compared = 0
    for server in route_servers(evidence.model):
        node = node_at(taken, docket, server.name) if taken is not None else None
        if node is None or taken is None:
            continue
        sources = [route for rib in node.adj_rib_in_pre.values() for route in rib]
        families = set()
        for session in evidence.model.sessions_of(server.name):
            client = session.other(server.name).node
            at_client = node_at(taken, docket, client)
            for prefix, route in (received(at_client, session.id) if at_client is not None else {}).items():
                where = f"{client} {session.id}"
                same = [s for s in sources if s.prefix == prefix and s.session != session.id]
                path = route.attributes.path_text()
                compared += 1
                families.add(session.family)
                if server.asn in route.attributes.asns():
                    docket.breaks(taken.at, where, f"{prefix} has the route server's AS in its path '{path}'")
                elif not same:
                    docket.breaks(taken.at, where, f"{prefix} came from no client of {server.name}")
                elif not any(_unchanged(s.attributes, route.attributes, server.asn) for s in same):
                    docket.breaks(taken.at, where, f"{prefix} '{path}' differs from what a client announced")
                else:
                    docket.proves(taken.at, where, f"{prefix} '{path}' next hop {route.attributes.next_hop} unchanged")
        for session in evidence.model.sessions_of(server.name):
            if session.family not in families:
                docket.lacks(f"no {session.family.value} route passed through {server.name}")
    return docket.close(f"{compared} routes through {len(route_servers(evidence.model))} route servers unchanged")


def _unchanged(before: PathAttributes, after: PathAttributes, server_asn: int | None) -> bool:
    def foreign(communities: tuple[str, ...]) -> set[str]:
        return {c for c in communities if c.split(":")[0] != str(server_asn)}

    return (
        before.as_path == after.as_path
        and before.next_hop == after.next_hop
        and before.med == after.med
        and foreign(before.communities) == foreign(after.communities)
        and foreign(before.large_communities) == foreign(after.large_communities)
    )
