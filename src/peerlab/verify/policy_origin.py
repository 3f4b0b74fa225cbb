"""Judge of whose routes an edge takes: origin and as-set of every accepted route (POL-06)."""

from __future__ import annotations

from peerlab.evidence.story import Moment
from peerlab.topology.model import LabModel, PeeringRequest, Relation, Session
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.policy_cases import ACCEPT, REJECT, Need, insist, proven_cases
from peerlab.verify.policy_rules import accepted_routes
from peerlab.verify.subject import connections

BELOW = (Relation.CUSTOMER, Relation.ROUTE_SERVER_CLIENT)


def members(model: LabModel, asn: int) -> frozenset[int]:
    """The AS numbers an AS may announce routes of: its own, its customers' or clients', and theirs in turn.

    Read from the relations of the model's sessions, not from the policy that is judged.
    """
    cloud = model.cloud()
    edges = {
        (end.asn, other.asn)
        for session in model.sessions
        for end, other in ((session.left, session.right), (session.right, session.left))
        if end.relation in BELOW and (cloud is None or cloud.asn not in (end.asn, other.asn))
    }
    found = {asn}
    while True:
        more = {lower for upper, lower in edges if upper in found} - found
        if not more:
            return frozenset(found)
        found |= more


def judge_origin_allow_list(evidence: Evidence) -> Judgement:
    docket = Docket()
    cases = proven_cases(evidence, docket, "POL-06")
    insist(
        evidence,
        docket,
        cases,
        (
            Need("an origin that is not in the as-set, refused", lambda case: case.expected == REJECT),
            Need("an origin that is registered, accepted", lambda case: case.expected == ACCEPT),
        ),
    )
    accepted = accepted_routes(evidence, docket, Moment.ALLOWED)
    origins = {entry.origin_asn for entry in evidence.model.registry}
    for session, edge, route in accepted:
        where = f"{edge.node} {session.id}"
        peer = session.left if session.right == edge else session.right
        origin = route.attributes.origin_as()
        if origin not in origins:
            docket.breaks(route.received_at, where, f"accepts {route.prefix} of AS {origin}, which is not registered")
        elif origin not in members(evidence.model, peer.asn):
            what = f"accepts {route.prefix} of AS {origin}, which is not in the as-set of AS {peer.asn}"
            docket.breaks(route.received_at, where, what)
        else:
            docket.proves(route.received_at, where, f"{route.prefix} of AS {origin}, in the as-set of AS {peer.asn}")
    if not accepted:
        docket.lacks("no edge accepted any route in snapshot 'allowed', so no origin was looked at")
    customers = _partner_customers(evidence, docket)
    through = f"; {customers} activated through route servers are of registered customers" if customers else ""
    return docket.close(f"{len(accepted)} accepted routes have a registered origin of their peer's as-set{through}")


def _partner_customers(evidence: Evidence, docket: Docket) -> int:
    """How many Peering Service routes came through a route-server partner; each must be a registered customer's."""
    by_session = {session.id: peering for peering, session in _partner_sessions(evidence.model)}
    activated = {prefix.prefix for service in evidence.model.services for prefix in service.prefixes}
    if not by_session or not activated:
        return 0
    seen = 0
    for session, edge, route in accepted_routes(evidence, docket, Moment.ACTIVATED):
        peering = by_session.get(session.id)
        if peering is None or route.prefix not in activated:
            continue
        seen += 1
        registered = {asn for _, asn in peering.registered_asns}
        origin = route.attributes.origin_as()
        if origin not in registered:
            what = f"accepts {route.prefix} for Peering Service; AS {origin} is not registered under {peering.name}"
            docket.breaks(route.received_at, f"{edge.node} {session.id}", what)
    return seen


def _partner_sessions(model: LabModel) -> list[tuple[PeeringRequest, Session]]:
    return [
        (connection.peering, session)
        for connection in connections(model)
        if connection.peering.registered_asns
        for session in connection.sessions(model)
    ]
