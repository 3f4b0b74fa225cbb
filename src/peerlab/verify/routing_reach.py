"""Judges of who hears of a route and what follows it: RTG-09 to RTG-13."""

from __future__ import annotations

from collections.abc import Iterator

from peerlab.bgp.attributes import BgpRole
from peerlab.bgp.wire import Update
from peerlab.evidence.events import PathTraced
from peerlab.evidence.story import EXAMINER, Moment, Phase, Stimulus
from peerlab.topology.model import AsRole, LabModel, Relation, Session, SessionEnd
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.forwarding import family_of_trace, lookup, repeated
from peerlab.verify.reading import SECOND, answered, events, node_at, phase_window, sent, snapshot, trials
from peerlab.verify.stimulated import stimulated_routes
from peerlab.verify.subject import (
    addresses_of,
    cloud_ebgp,
    connection_sessions,
    edge_end,
    family_of,
    is_network,
    routers,
    service_prefixes,
    within,
)
from peerlab.verify.wire import WireRoute, announcements, decoded, messages, standing, watched

UPWARD = (Relation.PEER, Relation.PROVIDER, Relation.ROUTE_SERVER)
"""Neighbours that may be told only what is one's own or a customer's (Gao-Rexford)."""
QUIET_AT_LEAST = 0.5
"""Seconds a converged lab must have been watched before its silence says anything."""
SETTLED = (Moment.ALLOWED, Moment.ACTIVATED, Moment.RESTORED)


def protected_prefixes(model: LabModel) -> tuple[str, ...]:
    """Prefixes that Microsoft promises not to announce onward: customers' service prefixes and registered ones."""
    registered = (prefix for peering in model.peerings for _, prefix in peering.registered_prefixes)
    return tuple(dict.fromkeys([*service_prefixes(model), *(p for p in registered if is_network(p))]))


def nothing_protected(model: LabModel) -> str | None:
    """Why there is nothing to keep to oneself."""
    return None if protected_prefixes(model) else "this lab has no Peering Service prefix"


def judge_no_readvertisement(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    cloud = model.cloud()
    taken = snapshot(evidence, docket, Moment.ACTIVATED)
    prefixes = protected_prefixes(model)
    quiet = 0
    for session, end in cloud_ebgp(model):
        where = f"{end.node} {session.id}"
        if not any(True for _ in messages(evidence, session.id)):
            docket.lacks(f"the trace shows nothing of session {session.id}")
            continue
        if not watched(evidence, docket, session.id):
            continue
        told = [r for r in announcements(evidence, session.id, end.node) if _inside(r.prefix, prefixes)]
        for route in told[:1]:
            docket.breaks(route.at, where, f"announces {route.prefix}, a customer's prefix", route.message)
        node = node_at(taken, docket, end.node) if taken is not None else None
        held = [p for p in sent(node, session.id) if _inside(p, prefixes)] if node is not None else []
        for prefix in held[:1]:
            docket.breaks(taken.at if taken else 0, where, f"{prefix} is in the Adj-RIB-Out")
        if not told and not held:
            quiet += 1
            said = sum(1 for _ in announcements(evidence, session.id, end.node))
            docket.proves(0, where, f"{said} other routes announced, no customer's prefix")
    observers = [n for n in routers(model) if (a := model.as_of(n.name)) is not None and a.role is AsRole.OBSERVER]
    observers = [n for n in observers if n.as_name != EXAMINER]
    if not any(True for s, end in cloud_ebgp(model) for _ in announcements(evidence, s.id, end.node)):
        docket.lacks("the trace shows no announcement of the cloud at all, so its silence proves nothing")
    for observer in observers if taken is not None and cloud is not None else ():
        node = node_at(taken, docket, observer.name) if taken is not None else None
        for prefix in prefixes if node is not None else ():
            seen = [r for rib in node.adj_rib_in_pre.values() for r in rib if r.prefix == prefix] if node else []
            over = [r for r in seen if cloud is not None and cloud.asn in r.attributes.asns()]
            if over:
                path = over[0].attributes.path_text()
                docket.breaks(taken.at if taken else 0, observer.name, f"sees {prefix} through the cloud: '{path}'")
            elif not seen:
                docket.lacks(f"{observer.name} does not know {prefix} at all, so not seeing the cloud proves nothing")
            else:
                path = seen[0].attributes.path_text()
                docket.proves(
                    taken.at if taken else 0, observer.name, f"knows {prefix} as '{path}', not over the cloud"
                )
    return docket.close(f"{', '.join(prefixes)} announced on none of {quiet} eBGP sessions of the cloud")


def _inside(prefix: str, prefixes: tuple[str, ...]) -> bool:
    return any(family_of(prefix) is family_of(p) and within(prefix, p) for p in prefixes)


def _honest(evidence: Evidence, docket: Docket) -> Iterator[tuple[Session, SessionEnd, WireRoute]]:
    """Every announcement on every eBGP session that was not made on purpose, with its sender's end."""
    deliberate = stimulated_routes(evidence)
    for session in evidence.model.sessions:
        if session.is_internal or not watched(evidence, docket, session.id):
            continue
        for route in announcements(evidence, session.id):
            if (route.sender, session.id, route.prefix) not in deliberate:
                yield session, session.end(route.sender), route


def judge_valley_free(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    audited = otc = 0
    relations = _relations(evidence)
    for session, end, route in _honest(evidence, docket):
        attributes = route.attributes
        if attributes is None or model.node(end.node).route_server:
            continue
        where = f"{end.node} {session.id}"
        path = attributes.asns()
        audited += 1
        if end.relation in UPWARD and len(path) > 1:
            learned = next((asn for asn in path[1:] if asn != end.asn), None)
            relation = relations.get((end.asn, learned)) if learned is not None else Relation.CUSTOMER
            if relation is not Relation.CUSTOMER:
                source = relation.value if relation is not None else "no customer"
                what = (
                    f"tells a {end.relation.value} of {route.prefix} '{attributes.path_text()}', learnt from {source}"
                )
                docket.breaks(route.at, where, what, route.message)
                continue
        fault = _otc_fault(session, end, attributes.otc)
        if fault is not None:
            docket.breaks(route.at, where, f"{route.prefix} {fault}", route.message)
        otc += attributes.otc is not None
    if audited:
        docket.proves(0, "every eBGP session", f"{audited} announcements audited, {otc} with OTC")
    return docket.close(f"{audited} announcements, none of them a valley; {otc} carry OTC as their role asks")


def _relations(evidence: Evidence) -> dict[tuple[int, int], Relation]:
    """What the second AS is to the first, over all sessions; behind a route server everybody is a peer.

    What an examiner is to the AS that it announces to, only the stimulus says.
    """
    known: dict[tuple[int, int], Relation] = {}
    for session in evidence.model.sessions:
        for end, other in ((session.left, session.right), (session.right, session.left)):
            known[end.asn, other.asn] = end.relation
    for trial in trials(evidence, Stimulus.ANNOUNCED):
        pair, relation = (trial.did.count("receiver_as"), trial.did.count("announcer_as")), trial.did.text("relation")
        if pair[0] is not None and pair[1] is not None and relation in {one.value for one in Relation}:
            known.setdefault((pair[0], pair[1]), Relation(relation))
    return known


def _otc_fault(session: Session, end: SessionEnd, otc: int | None) -> str | None:
    """What is wrong with OTC on a route sent in a role (RFC 9234 section 5), None when nothing is."""
    if end.role is None or session.other(end.node).role is None:
        return None
    if end.role in (BgpRole.CUSTOMER, BgpRole.RS_CLIENT) and otc is not None:
        return f"goes to a {end.relation.value} in spite of OTC {otc}"
    if end.role is BgpRole.PEER and otc is not None and otc != end.asn:
        return f"goes to a peer with somebody else's OTC {otc}"
    if end.role in (BgpRole.PROVIDER, BgpRole.PEER, BgpRole.RS) and otc is None:
        return f"goes to a {end.relation.value} without OTC"
    return None


def judge_export_set(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    cloud = model.cloud()
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    own = {p for n in model.nodes if cloud is not None and n.as_name == cloud.name for p in n.originates}
    if not own:
        docket.lacks("the cloud originates nothing to announce")
    for session in connection_sessions(model) if taken is not None else ():
        edge = edge_end(model, session)
        if edge is None or taken is None or not watched(evidence, docket, session.id, until=taken.at):
            continue
        where = f"{edge.node} {session.id}"
        wanted = {p for p in own if family_of(p) is session.family}
        told = set(standing(evidence, session.id, edge.node, taken.at))
        extra, missing = sorted(told - wanted), sorted(wanted - told)
        if extra:
            docket.breaks(taken.at, where, f"announces {extra[0]}, which is no service prefix")
        elif missing:
            docket.breaks(taken.at, where, f"does not announce {missing[0]}")
        else:
            docket.proves(taken.at, where, f"announces {', '.join(sorted(told))}")
    for one in sorted(own):
        outer = [p for p in own if p != one and within(one, p)]
        if outer:
            docket.lacks(f"{one} lies in {outer[0]}: whether that is an agreed specific is not said")
    return docket.close(f"every connection session is told exactly the cloud's {len(own)} prefixes")


def judge_unannounced(evidence: Evidence) -> Judgement:
    docket = Docket()
    for trial in answered(evidence, docket, Stimulus.UNANNOUNCED_DESTINATION, "crossed", "control"):
        sent_count, crossed, control = trial.did.count("sent"), trial.saw.count("crossed"), trial.saw.count("control")
        where = trial.did.text("link") or trial.where
        if crossed:
            docket.breaks(trial.until, where, f"{crossed} packets to a destination that was not announced crossed")
        elif not sent_count or crossed is None:
            docket.lacks(f"{where}: no packet was sent to an unannounced destination")
        elif not control:
            docket.lacks(f"{where}: not even packets to an announced destination were counted")
        else:
            what = f"0 of {sent_count} packets to an unannounced destination crossed, {control} to an announced one did"
            docket.proves(trial.until, where, what)
    return docket.close("destinations that are not announced on a session are not reached through it")


def judge_loop_free(evidence: Evidence) -> Judgement:
    docket = Docket()
    paths = events(evidence, PathTraced)
    if not paths:
        docket.lacks("no path was traced")
    for trace in paths:
        where = f"{trace.source} > {trace.destination} ({trace.name})"
        steps = ", ".join(node or "?" for node in trace.nodes)
        twice = repeated(trace)
        if twice is not None:
            docket.breaks(trace.at, where, f"visits {twice} twice: {steps}")
        elif not trace.reached and _should_arrive(evidence, trace):
            docket.breaks(trace.at, where, f"ends after {steps or 'nothing'} although there is a route on")
    if paths:
        docket.proves(paths[-1].at, "all traced paths", f"{len(paths)} paths, no hop twice")
    _quiet(evidence, docket)
    return docket.close(f"{len(paths)} paths end without a loop; a converged lab is silent")


def _should_arrive(evidence: Evidence, trace: PathTraced) -> bool:
    """Whether the last router that answered had a route for the destination when the lab had settled.

    A packet that ends where no route goes on ended as the routes say.
    """
    taken = evidence.snapshots.get(trace.name)
    if taken is None or trace.name not in {moment.value for moment in SETTLED}:
        return False
    last = next((node for node in reversed(trace.nodes) if node is not None), trace.source)
    node, family = taken.nodes.get(last), family_of_trace(trace)
    targets = [a for a in addresses_of(evidence.model.node(trace.destination)) if family_of(a) is family]
    return node is None or any(lookup(node, target) is not None for target in targets)


def _quiet(evidence: Evidence, docket: Docket) -> None:
    """No UPDATE between the snapshot of the opened lab and the end of its phase."""
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    window = phase_window(evidence, Phase.ALLOW)
    if taken is None or window is None:
        docket.lacks("the phase that opens the policy is not in the log")
        return
    until = min(window[1], evidence.trace.end)
    seconds = (until - taken.at) / SECOND
    if seconds < QUIET_AT_LEAST:
        docket.lacks(f"the converged lab was watched for {seconds:.2f} s only")
        return
    sessions = 0
    for session in evidence.model.sessions:
        if not watched(evidence, docket, session.id, taken.at, until):
            continue
        sessions += 1
        for message, _ in decoded(evidence, Update, session.id, None, taken.at, until):
            docket.breaks(
                message.at, f"{message.source} {session.id}", "an UPDATE although nothing changed", message.octets.hex()
            )
            return
    docket.proves(until, "all sessions", f"no UPDATE in {seconds:.1f} s on {sessions} sessions")
