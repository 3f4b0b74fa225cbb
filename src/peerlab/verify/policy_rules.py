"""Judges of what an edge lets in: prefixes, AS numbers, paths and next hops (POL-05, 07 to 14, 16)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_interface

from peerlab.bgp.attributes import Family
from peerlab.evidence.snapshot import RouteFact
from peerlab.evidence.story import Moment
from peerlab.topology.model import AsRole, LabModel, NodeKind, Session, SessionEnd
from peerlab.verify.bogon import BOGON_ASNS, BOGON_PREFIXES, EXPRESS_ROUTE, TRANSIT_FREE
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.policy_cases import ACCEPT, REJECT, Case, Need, insist, proven_cases
from peerlab.verify.reading import fact_of, node_at, snapshot
from peerlab.verify.stimulated import stimulated_routes
from peerlab.verify.subject import (
    cloud_ebgp,
    connection_sessions,
    edge_end,
    family_of,
    is_examiner,
    length_of,
    overlaps,
    route_servers,
    session_or_none,
    subnet_of,
    within,
)
from peerlab.verify.wire import announcements, messages, watched

LONGEST_PATH = 100
ENDLESS_PATH = 255
"""Paths over the first are refused; at the second implementations have crashed (NLNOG long AS paths)."""
DEFAULT_ROUTES = {Family.IPV4: "0.0.0.0/0", Family.IPV6: "::/0"}


def _rejects(test: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: case.expected == REJECT and test(case)


def accepted_routes(evidence: Evidence, docket: Docket, moment: Moment) -> list[tuple[Session, SessionEnd, RouteFact]]:
    """Every route the edges accepted on connection sessions at a moment."""
    taken = snapshot(evidence, docket, moment)
    found: list[tuple[Session, SessionEnd, RouteFact]] = []
    for session in connection_sessions(evidence.model) if taken is not None else ():
        edge = edge_end(evidence.model, session)
        node = node_at(taken, docket, edge.node) if edge is not None and taken is not None else None
        if edge is not None and node is not None:
            found += [(session, edge, r) for r in node.adj_rib_in_post.get(session.id, ()) if r.accepted]
    return found


def judge_allow_list(evidence: Evidence) -> Judgement:
    docket = Docket()
    cases = proven_cases(evidence, docket, "POL-05")
    insist(
        evidence,
        docket,
        cases,
        (
            Need("an unregistered prefix, refused", lambda case: case.expected == REJECT),
            Need("a registered prefix, accepted", lambda case: case.expected == ACCEPT),
        ),
    )
    if not evidence.model.registry:
        docket.lacks("the model holds no registry to compare accepted routes with")
    accepted = accepted_routes(evidence, docket, Moment.ALLOWED)
    for session, edge, route in accepted:
        if evidence.model.registry and not _is_registered(evidence.model, route):
            what = f"accepts {route.prefix} of AS {route.attributes.origin_as()}, which no route object covers"
            docket.breaks(route.received_at, f"{edge.node} {session.id}", what)
    if not accepted:
        docket.lacks("no edge accepted any route in snapshot 'allowed', so the list was not put to use")
    return docket.close(f"{len(accepted)} accepted routes are all registered; others are refused with a reason")


def _is_registered(model: LabModel, route: RouteFact) -> bool:
    return any(
        within(route.prefix, entry.prefix)
        and length_of(route.prefix) <= (entry.max_length or length_of(entry.prefix))
        and route.attributes.origin_as() == entry.origin_asn
        for entry in model.registry
    )


def _cloud_never_sends(evidence: Evidence, docket: Docket, what: str, test: Callable[[str], bool]) -> None:
    """A breach for every announcement of the cloud to another AS that the test holds for."""
    looked = 0
    deliberate = stimulated_routes(evidence)
    for session, end in cloud_ebgp(evidence.model):
        if not any(True for _ in messages(evidence, session.id)):
            continue
        watched(evidence, docket, session.id)
        for route in announcements(evidence, session.id, end.node):
            looked += 1
            if test(route.prefix) and (end.node, session.id, route.prefix) not in deliberate:
                docket.breaks(route.at, f"{end.node} {session.id}", f"sends {what} {route.prefix}", route.message)
    if not looked:
        docket.lacks(f"the trace shows no announcement of the cloud, so nothing shows that it withholds {what}")


def judge_bogon_prefixes(evidence: Evidence) -> Judgement:
    docket = Docket()
    public = evidence.model.public_ranges
    bogons = [bogon for bogon in BOGON_PREFIXES if not any(overlaps(bogon, known) for known in public)]
    cases = proven_cases(evidence, docket, "POL-07")
    needs = tuple(
        Need(f"the bogon {bogon}", _rejects(lambda case, bogon=bogon: within(case.prefix, bogon)), family_of(bogon))  # type: ignore[misc]
        for bogon in bogons
    )
    insist(evidence, docket, cases, needs)
    _cloud_never_sends(evidence, docket, "the bogon", lambda prefix: any(within(prefix, bogon) for bogon in bogons))
    return docket.close(f"{len(cases)} prefixes of {len(bogons)} bogon ranges refused, none sent")


def judge_bogon_asns(evidence: Evidence) -> Judgement:
    docket = Docket()
    own = {known.asn for known in evidence.model.ases}
    ranges = [(low, high, what) for low, high, what in BOGON_ASNS if not any(low <= asn <= high for asn in own)]
    cases = proven_cases(evidence, docket, "POL-08")
    for low, high, what in ranges:
        if not any(case.expected == REJECT and any(low <= a <= high for a in case.asns) for case in cases):
            docket.lacks(f"a path with an AS of {low}-{high}, {what}, was not shown to be refused")
    return docket.close(f"paths with AS numbers of {len(ranges)} bogus ranges refused")


def judge_length(evidence: Evidence) -> Judgement:
    docket = Docket()
    cases = proven_cases(evidence, docket, "POL-09")
    needs = (
        Need("a prefix longer than /24", _rejects(lambda c: length_of(c.prefix) > 24), Family.IPV4),
        Need("a prefix longer than /48", _rejects(lambda c: length_of(c.prefix) > 48), Family.IPV6),
        Need("a prefix shorter than /8", _rejects(lambda c: 0 < length_of(c.prefix) < 8), Family.IPV4),
        Need("a prefix shorter than /19", _rejects(lambda c: 0 < length_of(c.prefix) < 19), Family.IPV6),
    )
    insist(evidence, docket, cases, needs)
    return docket.close(f"{len(cases)} prefixes judged by their length as they should")


def judge_default_route(evidence: Evidence) -> Judgement:
    docket = Docket()
    cases = proven_cases(evidence, docket, "POL-10")
    needs = tuple(
        Need(f"the default route {route}", _rejects(lambda case, route=route: case.prefix == route), family)  # type: ignore[misc]
        for family, route in DEFAULT_ROUTES.items()
    )
    insist(evidence, docket, cases, needs)
    _cloud_never_sends(evidence, docket, "the default route", lambda prefix: prefix in DEFAULT_ROUTES.values())
    return docket.close("0.0.0.0/0 and ::/0 are neither accepted nor sent")


def _lans(model: LabModel) -> tuple[str, ...]:
    """The subnets of every switched LAN."""
    switches = {node.name for node in model.nodes if node.kind is NodeKind.SWITCH}
    members = [end for link in model.links if {e.node for e in link.ends} & switches for end in link.ends]
    interfaces = [model.node(end.node).interface(end.interface) for end in members if end.node not in switches]
    subnets = (str(ip_interface(text).network) for i in interfaces for text in (i.v4, i.v6) if text)
    return tuple(dict.fromkeys(subnets))


def judge_own_prefixes(evidence: Evidence) -> Judgement:
    docket = Docket()
    cloud = evidence.model.cloud()
    cases = proven_cases(evidence, docket, "POL-11")
    exchanges = [p for known in evidence.model.ases if known.role is AsRole.IXP for p in known.infrastructure]
    for what, ranges in (
        ("the cloud's own prefix", cloud.prefixes if cloud else ()),
        ("an IXP LAN", _lans(evidence.model)),
        ("an IXP's infrastructure", exchanges),
    ):
        for family in dict.fromkeys(family_of(prefix) for prefix in ranges):
            inside = [p for p in ranges if family_of(p) is family]
            need = Need(what, _rejects(lambda c, inside=inside: any(within(c.prefix, p) for p in inside)), family)  # type: ignore[misc]
            insist(evidence, docket, cases, (need,))
    return docket.close(f"{len(cases)} announcements of own and IXP prefixes refused")


def judge_forbidden_asns(evidence: Evidence) -> Judgement:
    docket = Docket()
    cases = proven_cases(evidence, docket, "POL-12")
    needs = (
        Need("a path with AS 12076", _rejects(lambda case: EXPRESS_ROUTE in case.asns)),
        Need("a path with a transit-free AS", _rejects(lambda case: bool(TRANSIT_FREE & set(case.asns)))),
    )
    insist(evidence, docket, cases, needs)
    return docket.close("paths with AS 12076 or a transit-free AS refused from a peer")


def judge_first_as(evidence: Evidence) -> Judgement:
    docket = Docket()
    cases = proven_cases(evidence, docket, "POL-13")

    def is_foreign(case: Case) -> bool:
        fact = fact_of(case.receiver, case.trial.session)
        return fact is not None and bool(case.asns) and case.asns[0] != fact.peer_as

    insist(evidence, docket, cases, (Need("a path that does not begin with the peer's AS", _rejects(is_foreign)),))
    servers = {node.name: node.asn for node in route_servers(evidence.model)}
    through = 0
    for session, edge, route in accepted_routes(evidence, docket, Moment.ALLOWED) if servers else ():
        peer = session.other(edge.node)
        if peer.node in servers and route.attributes.first_as() != peer.asn:
            through += 1
            path = route.attributes.path_text()
            what = f"{route.prefix} accepted with path '{path}', which does not begin with AS {peer.asn}"
            docket.proves(route.received_at, f"{edge.node} {session.id}", what)
    if servers and not through:
        docket.lacks("no route of a route server whose path begins with another AS was accepted")
    return docket.close(
        f"foreign first AS refused on bilateral sessions; {through} routes through route servers accepted"
    )


def judge_paths(evidence: Evidence) -> Judgement:
    docket = Docket()
    cases = proven_cases(evidence, docket, "POL-14")
    needs = (
        Need(f"a path of more than {LONGEST_PATH} AS", _rejects(lambda case: len(case.asns) > LONGEST_PATH)),
        Need(f"a path of {ENDLESS_PATH} AS or more", _rejects(lambda case: len(case.asns) >= ENDLESS_PATH)),
        Need("a path with an AS_SET", _rejects(lambda case: "{" in case.trial.did.text("as_path"))),
    )
    insist(evidence, docket, cases, needs)
    for case in cases:
        fact = fact_of(case.receiver, case.trial.session)
        if fact is None:
            docket.lacks(f"{case.receiver.node} does not report session {case.trial.session}")
        elif fact.state != "Established":
            docket.breaks(
                case.wire.at, f"{fact.node} {fact.session}", f"is {fact.state} after {case.prefix}", case.wire.message
            )
    return docket.close(f"{len(cases)} over-long paths and AS_SETs refused, every session still Established")


def judge_next_hop(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    cases = proven_cases(evidence, docket, "POL-16")

    def own(case: Case) -> bool:
        fact = fact_of(case.receiver, case.trial.session)
        return fact is not None and case.trial.did.text("next_hop") == fact.local_address

    def martian(case: Case) -> bool:
        text = case.trial.did.text("next_hop")
        address = ip_address(text) if text else None
        return address is not None and (address.is_loopback or address.is_multicast or address.is_unspecified)

    def foreign(case: Case) -> bool:
        fact, text = fact_of(case.receiver, case.trial.session), case.trial.did.text("next_hop")
        if fact is None or not text or martian(case) or text in (fact.local_address, fact.peer_address):
            return False
        session = session_or_none(model, case.trial.session)
        subnet = subnet_of(model, session.end(case.receiver.node)) if session is not None else None
        return subnet is None or not within(text, subnet)

    needs = (
        Need("a next hop off the subnet", _rejects(foreign)),
        Need("the edge's own address as next hop", _rejects(own)),
        Need("a martian next hop", _rejects(martian)),
    )
    insist(evidence, docket, cases, needs)
    accepted = [item for item in accepted_routes(evidence, docket, Moment.ALLOWED) if not is_examiner(item[0])]
    for session, edge, route in accepted:
        subnet, hop = subnet_of(model, edge), route.attributes.next_hop
        where = f"{edge.node} {session.id}"
        if hop is None or subnet is None or not within(hop, subnet) or hop == edge.address:
            docket.breaks(route.received_at, where, f"accepts {route.prefix} with next hop {hop}")
    if not accepted:
        docket.lacks("no edge accepted any route in snapshot 'allowed'")
    return docket.close(f"foreign, own and martian next hops refused; {len(accepted)} accepted ones lie on the subnet")
