"""Which wire a request means: found by addresses, AS, place and kind, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from peerlab.bgp.attributes import Address, Prefix
from peerlab.controller.cabling import cabled, find_connection, free_prefixes, why_no_wire
from peerlab.peering.addressing import direct_addresses
from peerlab.peering.enums import DirectPeeringType, Kind
from peerlab.peering.ledger import Ledger
from peerlab.peering.record import ConnectionRecord, FamilySession, PeeringRecord
from peerlab.peering.scope import Scope
from peerlab.topology.load import load
from peerlab.topology.model import LabModel

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
KEY = "sub/group/p1"


@pytest.fixture(scope="module")
def model() -> LabModel:
    return load(TOPOLOGIES / "direct.yaml")


def family(prefix: str | None, limit: int = 123) -> FamilySession | None:
    if prefix is None:
        return None
    ends = direct_addresses(Prefix(prefix))
    return FamilySession(prefix=Prefix(prefix), peer=ends.peer, microsoft=ends.microsoft, max_prefixes=limit)


def peering(*connections: ConnectionRecord, **changed: object) -> PeeringRecord:
    record = PeeringRecord(
        key=KEY,
        scope=Scope(subscription="sub", resource_group="group"),
        name="p1",
        kind=Kind.DIRECT,
        region="westeurope",
        sku="Basic_Direct_Free",
        peering_location="amsterdam",
        peer_asn="sub/fabrikam",
        peer_asn_id="",
        asn=64500,
        direct_type=DirectPeeringType.EDGE,
        connections=connections,
    )
    return msgspec.structs.replace(record, **changed)


def connection(label: str, v4: str | None, v6: str | None) -> ConnectionRecord:
    return ConnectionRecord(identifier=label, label=label, v4=family(v4), v6=family(v6))


def first(model: LabModel) -> ConnectionRecord:
    wire = model.peerings[0].connections[0]
    return connection("guid", wire.session_prefix_v4, wire.session_prefix_v6)


def ledger(*peerings: PeeringRecord) -> Ledger:
    return Ledger(peerings={p.key: p for p in peerings})


def test_a_wire_is_found_by_its_addresses_and_named_as_the_desk_names_it(model: LabModel) -> None:
    made = cabled(model, ledger(peering(first(model))))
    found = find_connection(made, KEY, "guid")
    assert found is not None
    wire = model.peerings[0].connections[0]
    assert (found[1].sessions, found[1].edge, found[1].link) == (wire.sessions, wire.edge, wire.link)
    named = {s.id: s.connection for s in made.sessions if s.connection}
    assert {s for s, name in named.items() if name == f"{KEY}/guid"} == set(wire.sessions)
    edge = made.session(wire.sessions[0]).end(wire.edge)
    assert edge.max_prefix == 123


def test_only_the_families_that_are_asked_for(model: LabModel) -> None:
    wire = model.peerings[0].connections[0]
    made = cabled(model, ledger(peering(connection("guid", wire.session_prefix_v4, None))))
    found = find_connection(made, KEY, "guid")
    assert found is not None and [s[-3:] for s in found[1].sessions] == [".v4"]


@pytest.mark.parametrize(
    "changed",
    [
        # another AS at the end of the wire, another place, another kind of peering
        {"asn": 64501},
        {"peering_location": "Dublin"},
        {"kind": Kind.EXCHANGE, "direct_type": None},
        {"direct_type": DirectPeeringType.IX_RS},
    ],
)
def test_the_same_addresses_elsewhere_are_not_this_wire(model: LabModel, changed: dict[str, object]) -> None:
    assert find_connection(cabled(model, ledger(peering(first(model), **changed))), KEY, "guid") is None


def test_addresses_of_two_wires_are_no_wire(model: LabModel) -> None:
    one, other = model.peerings[0].connections
    mixed = peering(connection("guid", one.session_prefix_v4, other.session_prefix_v6))
    assert find_connection(cabled(model, ledger(mixed)), KEY, "guid") is None
    told = why_no_wire(model, mixed, mixed.connections[0])
    assert str(one.session_prefix_v4) in told and str(other.session_prefix_v6) in told


def test_a_wire_belongs_to_one_connection(model: LabModel) -> None:
    twice = peering(first(model), msgspec.structs.replace(first(model), identifier="b", label="b"))
    made = cabled(model, ledger(twice))
    assert find_connection(made, KEY, "guid") and not find_connection(made, KEY, "b")


def test_what_nobody_asked_for_keeps_the_topologys_names(model: LabModel) -> None:
    assert cabled(model, Ledger()) == model


def test_free_prefixes_are_those_of_wires_nobody_asked_for(model: LabModel) -> None:
    one, other = model.peerings[0].connections
    empty = peering()
    offered = free_prefixes(model, Ledger(), empty)
    assert offered is not None and offered.v4 == one.session_prefix_v4
    used = ledger(peering(first(model)))
    offered = free_prefixes(model, used, empty)
    assert offered is not None and offered.v4 == other.session_prefix_v4
    both = peering(first(model), connection("b", other.session_prefix_v4, other.session_prefix_v6))
    assert free_prefixes(model, ledger(both), empty) is None


def test_a_mesh_is_every_session_behind_one_pair_of_addresses() -> None:
    model = load(TOPOLOGIES / "route-server.yaml")
    wire = model.peerings[0].connections[0]
    mesh = ConnectionRecord(
        identifier="m",
        label="m",
        v4=FamilySession(
            prefix=wire.session_prefix_v4, peer=wire.peer_v4, microsoft=Address(str(wire.microsoft_v4)), max_prefixes=9
        ),
    )
    asked = peering(mesh, asn=65536, peering_location="Amsterdam", direct_type=DirectPeeringType.IX_RS)
    found = find_connection(cabled(model, ledger(asked)), KEY, "m")
    assert found is not None
    assert sorted(found[1].sessions) == sorted(s for s in wire.sessions if s.endswith(".v4"))
    assert len(found[1].sessions) == 4
