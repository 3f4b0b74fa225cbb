"""Every shipped topology's requests go through the desk, and what it then wants of the edges."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from office import PASSED, Office

from peerlab.bgp.attributes import PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.policy import DENY_ALL
from peerlab.bgp.policy_engine import evaluate
from peerlab.evidence.snapshot import NodeSnapshot, RouteFact, SessionFact, Snapshot
from peerlab.peering.catalogue import catalogue_of
from peerlab.peering.command import (
    ApproveConnection,
    ApprovePeerAsn,
    Deprovision,
    JudgeValidation,
    NotifyReady,
    OpenPolicy,
    ProvisionSessions,
)
from peerlab.peering.intent import as_set, edge_ends
from peerlab.peering.judgement import connection_verdicts, judge_registered, judge_service_prefix
from peerlab.peering.requests import registrations_from, requests_from, service_prefixes_from, services_from
from peerlab.peering.verdict import failures
from peerlab.topology.load import load
from peerlab.topology.model import LabModel, PolicyStage, Session

TOPOLOGIES = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))


def requested(model: LabModel) -> Office:
    office = Office(catalogue_of(model))
    for wanted in requests_from(model):
        office.do(wanted.put_peer_asn, ApprovePeerAsn(peer_asn=wanted.put_peer_asn.name))
        office.do(*wanted.agreements, *wanted.put_peerings)
    return office


def places(model: LabModel) -> list[dict[str, str]]:
    return [{"peering": p.name, "connection": c.name} for p in model.peerings for c in p.connections]


def provision(office: Office, model: LabModel) -> None:
    for at in places(model):
        office.do(ApproveConnection(**at, loa="LOA"), NotifyReady(**at), ProvisionSessions(**at))


def open_all(office: Office, model: LabModel) -> None:
    for at in places(model):
        office.do(JudgeValidation(**at, verdicts=PASSED), OpenPolicy(**at))


def ask_for_service(office: Office, model: LabModel) -> None:
    office.do(*registrations_from(model), *services_from(model))
    office.do(*service_prefixes_from(model, office.desk.ledger))


def cloud_sessions(model: LabModel) -> list[Session]:
    return [s for s in model.sessions if s.connection is not None]


def observed(model: LabModel) -> Snapshot:
    """What the edges would hold under DENY: every session Established, every registered route of the peer's cone."""
    nodes: dict[str, NodeSnapshot] = {}
    cloud = model.cloud()
    assert cloud is not None
    for session in cloud_sessions(model):
        ours, theirs = (session.left, session.right) if session.left.asn == cloud.asn else (session.right, session.left)
        routes = []
        for entry in model.registry:
            if entry.origin_asn not in as_set(model, theirs.asn) or (":" in entry.prefix) != (session.family == "ipv6"):
                continue
            path = tuple(dict.fromkeys((theirs.asn, entry.origin_asn)))
            if ours.relation == "route-server":
                path = (entry.origin_asn,)
            attributes = PathAttributes(
                as_path=(Segment(SegmentType.AS_SEQUENCE, path),),
                next_hop=theirs.address,
                communities=("8075:8007",),
            )
            routes.append(RouteFact(prefix=entry.prefix, session=session.id, attributes=attributes))
        fact = SessionFact(
            session=session.id,
            node=ours.node,
            peer=theirs.node,
            family=session.family,
            state="Established",
            local_address=ours.address,
            peer_address=theirs.address,
            local_as=ours.asn,
            peer_as=theirs.asn,
        )
        before = nodes.get(ours.node, NodeSnapshot(node=ours.node))
        nodes[ours.node] = msgspec.structs.replace(
            before,
            sessions=(*before.sessions, fact),
            adj_rib_in_pre={**before.adj_rib_in_pre, session.id: tuple(routes)},
        )
    return Snapshot(label="test", at=0, nodes=nodes)


@pytest.fixture(params=TOPOLOGIES, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> LabModel:
    return load(request.param)


def test_the_desk_takes_every_request_and_its_addresses_are_the_models(model: LabModel) -> None:
    office = requested(model)
    assert TOPOLOGIES, "topologies are shipped"
    for peering in model.peerings:
        for connection in peering.connections:
            record = office.connection(connection.name, peering.name)
            assert record.state == "PendingApproval"
            if connection.address_provider == "Microsoft":
                continue
            assert record.v4 is None or (record.v4.peer, record.v4.microsoft) == (
                connection.peer_v4,
                connection.microsoft_v4,
            )
            assert record.v6 is None or (record.v6.peer, record.v6.microsoft) == (
                connection.peer_v6,
                connection.microsoft_v6,
            )


def test_microsoft_provided_addresses_are_those_of_the_plan(model: LabModel) -> None:
    provided = [
        msgspec.structs.replace(
            p, connections=tuple(msgspec.structs.replace(c, address_provider="Microsoft") for c in p.connections)
        )
        for p in model.peerings
        if p.direct_peering_type == "Edge" and p.kind == "Direct"
    ]
    model = msgspec.structs.replace(model, peerings=tuple(provided))
    office = requested(model)
    provision(office, model)
    for peering in model.peerings:
        for connection in peering.connections:
            record = office.connection(connection.name, peering.name)
            assert record.v4 is not None
            assert (record.v4.peer, record.v4.microsoft) == (connection.peer_v4, connection.microsoft_v4)


def test_no_session_before_provisioning_then_deny_then_allow(model: LabModel) -> None:
    office = requested(model)
    assert edge_ends(model, office.desk.ledger) == ()
    provision(office, model)
    denied = edge_ends(model, office.desk.ledger)
    assert {e.session for e in denied} == {s.id for s in cloud_sessions(model)}
    assert {e.stage for e in denied} <= {PolicyStage.DENY}
    assert all(e.import_policy is DENY_ALL and e.export_policy is DENY_ALL for e in denied)
    open_all(office, model)
    allowed = edge_ends(model, office.desk.ledger)
    assert {(e.node, e.session) for e in allowed} == {(e.node, e.session) for e in denied}
    assert {e.stage for e in allowed} <= {PolicyStage.ALLOW}
    names = [(e.node, e.import_policy.name) for e in allowed]
    assert len(names) == len(set(names)), "a router's policies have names of their own"


def test_validation_passes_on_what_honest_peers_announce(model: LabModel) -> None:
    seen = observed(model)
    for peering in model.peerings:
        for connection in peering.connections:
            assert failures(connection_verdicts(model, peering, connection, seen)) == ()


def test_an_unread_edge_validates_nothing(model: LabModel) -> None:
    nothing = Snapshot(label="test", at=0, nodes={})
    for peering in model.peerings:
        for connection in peering.connections:
            assert failures(connection_verdicts(model, peering, connection, nothing))


def test_peering_service_prefixes_are_verified_and_carried_cold(model: LabModel) -> None:
    office = requested(model)
    provision(office, model)
    open_all(office, model)
    ask_for_service(office, model)
    seen = observed(model)
    for key in list(office.desk.ledger.registered_prefixes):
        office.do(judge_registered(model, office.desk.ledger, key, seen))
        record = office.desk.ledger.registered_prefixes[key]
        assert (record.state, record.error) == ("Verified", None)
    before = edge_ends(model, office.desk.ledger)
    for key in list(office.desk.ledger.prefixes):
        office.do(judge_service_prefix(model, office.desk.ledger, key, seen))
        prefix = office.desk.ledger.prefixes[key]
        assert (prefix.state, prefix.error, prefix.learned) == ("Verified", None, "ViaServiceProvider")
    after = edge_ends(model, office.desk.ledger)
    assert (before != after) is bool(model.services)
    for service in model.services:
        for asked in service.prefixes:
            outcomes = best_of(model, after, Prefix(asked.prefix))
            flat = best_of(model, edge_ends(model, office.desk.ledger, hot_potato=True), Prefix(asked.prefix))
            assert 400 in outcomes.values()
            assert 400 not in flat.values()
            if service.backup_metro is None:
                assert 300 not in outcomes.values()


def best_of(model: LabModel, ends: tuple, prefix: Prefix) -> dict[str, int]:  # type: ignore[type-arg]
    """LOCAL_PREF at every edge session that accepts the prefix as its peer announces it."""
    snapshot = observed(model)
    found = {}
    for end in ends:
        node = snapshot.nodes.get(end.node)
        for route in node.adj_rib_in_pre.get(end.session, ()) if node else ():
            if route.prefix == prefix:
                answer = evaluate(end.import_policy, prefix, route.attributes)
                if answer.accepted:
                    found[end.session] = answer.attributes.local_pref or 0
    return found


def test_a_wrong_key_is_not_activated() -> None:
    model = load(next(path for path in TOPOLOGIES if path.stem == "peering-service"))
    services = tuple(
        msgspec.structs.replace(
            s, prefixes=tuple(msgspec.structs.replace(p, key_from=None, key="no-such-key") for p in s.prefixes)
        )
        for s in model.services
    )
    model = msgspec.structs.replace(model, services=services)
    office = requested(model)
    provision(office, model)
    open_all(office, model)
    ask_for_service(office, model)
    for key in list(office.desk.ledger.prefixes):
        office.do(judge_service_prefix(model, office.desk.ledger, key, observed(model)))
        record = office.desk.ledger.prefixes[key]
        assert (record.state, record.error) == ("Failed", "Peering service provider not found")


def test_a_leaving_connection_is_drained() -> None:
    model = load(next(path for path in TOPOLOGIES if path.stem == "direct"))
    office = requested(model)
    provision(office, model)
    open_all(office, model)
    at = places(model)[0]
    office.do(Deprovision(**at))
    session = next(s.id for s in cloud_sessions(model) if s.connection == f"{at['peering']}/{at['connection']}")
    end = next(e for e in edge_ends(model, office.desk.ledger) if e.session == session)
    assert end.stage is PolicyStage.ALLOW
    assert "connection is being drained" in [s.name for s in end.import_policy.statements]


def test_as_sets_are_customer_cones() -> None:
    model = load(next(path for path in TOPOLOGIES if path.stem == "peering-service"))
    assert as_set(model, 64500) == (64500, 64501, 64502)
    assert as_set(model, 65536) == (64504, 65536, 65541), "a route server's clients, the cloud excepted"
