"""Who plays an incident in which lab, and what is said when nobody can."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from peerlab.bgp.attributes import Prefix
from peerlab.controller.incident_plan import IncidentPlan, plan_incident
from peerlab.errors import RefusedError
from peerlab.peering.incident import INCIDENTS, Role, incident_of
from peerlab.topology.load import load
from peerlab.topology.model import LabModel

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
CONTOSO, TAILSPIN = Prefix("198.18.33.0/24"), Prefix("198.18.49.0/24")


@cache
def lab(name: str) -> LabModel:
    return load(TOPOLOGIES / f"{name}.yaml")


def planned(name: str, identifier: str, *watched: Prefix) -> IncidentPlan:
    model = lab(name)
    return plan_incident(model, incident_of(identifier), watched, [session.id for session in model.sessions])


@pytest.mark.parametrize("identifier", [incident.id for incident in INCIDENTS if incident.deed is not None])
def test_every_incident_that_is_staged_has_its_cast_in_the_reference_lab(identifier: str) -> None:
    plan = planned("peering-service", identifier, CONTOSO, TAILSPIN)
    assert plan.role in plan.incident.roles
    session = lab("peering-service").session(plan.by.session)
    assert {session.left.node, session.right.node} == {plan.by.node, plan.by.edge}
    assert bool(plan.said) is (identifier != "E14")
    for said in plan.said:
        assert said.attributes.first_as() == plan.by.asn


def test_a_hijacker_is_no_upstream_of_its_victim_and_who_withdraws_is() -> None:
    stolen, withdrawn = planned("peering-service", "E1", CONTOSO, TAILSPIN), planned("peering-service", "E14", CONTOSO)
    assert (stolen.by.node, stolen.victim and stolen.victim.prefix) == ("fab-ams-1", TAILSPIN)
    assert stolen.said[0].prefixes == ("198.18.49.0/25", "198.18.49.128/25")
    assert (withdrawn.by.node, withdrawn.victim and withdrawn.victim.prefix) == ("fab-ams-1", CONTOSO)


def test_an_optimisers_leak_keeps_the_right_origin_and_a_hijack_does_not() -> None:
    assert planned("peering-service", "E9", TAILSPIN).said[0].attributes.asns()[-1] == 65541
    assert planned("peering-service", "E1", TAILSPIN).said[0].attributes.asns() == (64500,)


def test_many_routes_stay_far_from_the_sessions_limit() -> None:
    plan = planned("peering-service", "E2")
    limit = lab("peering-service").session(plan.by.session).end(plan.by.edge).max_prefix
    assert limit is None or 2 * len(plan.said[0].prefixes) <= limit


def test_the_first_role_that_the_lab_has_plays() -> None:
    assert planned("peering-service", "E5").role is Role.OBSERVER
    assert planned("route-server", "E5").role is Role.PEER


@pytest.mark.parametrize(
    ("name", "identifier", "why"),
    [
        ("peering-service", "E12", "E12 cannot be staged: no router of a lab speaks flowspec"),
        ("peering-service", "E16", "the actor is the cloud itself"),
        ("minimal", "L1", "L1 cannot be staged in lab minimal: it has no customer with a router"),
        ("peering-service", "E14", "it has no prefix that a peer could do this to"),
    ],
)
def test_what_cannot_be_staged_is_refused_by_name_with_the_reason(name: str, identifier: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        planned(name, identifier)


def test_without_a_session_nobody_can_announce_anything() -> None:
    with pytest.raises(RefusedError, match=r"no session of its peers is Established \(ams-edge-1--fab-ams-1"):
        plan_incident(lab("peering-service"), incident_of("E1"), (), ())
