"""An Exchange peering through the unmodified Azure SDK on a real lab: lines 21, 22, 24 and 25 of section 6."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from arm_lab import GROUP, ArmLab, exchange, neighbour, served, word
from azure.core.exceptions import HttpResponseError
from azure.mgmt.peering import models as arm

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("api")]

V4, V6 = "203.0.113.3", "2001:db8:e000::3"
"""The peer's addresses on the LAN of topologies/exchange.yaml; Microsoft's routers have .1 and .2, ::1 and ::2."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArmLab]:
    with served(tmp_path_factory.mktemp("api"), "exchange.yaml") as made:
        yield made


@pytest.fixture(autouse=True)
def _tidy(lab: ArmLab) -> Iterator[None]:
    yield
    lab.clean()


def again(connection: arm.ExchangeConnection, **changed: object) -> arm.ExchangeConnection:
    """An existing connection as a PUT names it again, with something changed."""
    session = connection.bgp_session
    return neighbour(
        session.peer_session_i_pv4_address,
        session.peer_session_i_pv6_address,
        identifier=connection.connection_identifier,
        **changed,
    )


def test_21_one_address_becomes_a_connection_per_microsoft_router(lab: ArmLab) -> None:
    made = lab.sdk.peerings.create_or_update(GROUP, "p1", exchange(lab.associate(64504), neighbour(V4, V6)))
    connections = made.properties.exchange.connections
    assert [c.bgp_session.microsoft_session_i_pv4_address for c in connections] == ["203.0.113.1", "203.0.113.2"]
    assert [c.bgp_session.microsoft_session_i_pv6_address for c in connections] == [
        "2001:db8:e000::1",
        "2001:db8:e000::2",
    ]
    assert {c.bgp_session.session_prefix_v4 for c in connections} == {"203.0.113.0/24"}
    assert len({c.connection_identifier for c in connections}) == 2
    (place,) = lab.sdk.peering_locations.list(kind="Exchange")
    assert place.properties.exchange.peering_facilities[0].microsoft_i_pv4_address == "203.0.113.1,203.0.113.2"


def test_22_from_pending_approval_through_approved_to_active(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", exchange(lab.associate(64504), neighbour(V4, V6)))
    assert lab.states() == ["PendingApproval"] * 2
    lab.does("approve", "p1")
    assert lab.states() == ["Approved"] * 2
    for act in ("notify", "provision", "validate", "open"):
        lab.does(act, "p1")
    assert lab.states() == ["Active"] * 2
    sessions = [c.bgp_session for c in lab.connections()]
    states = [word(s) for each in sessions for s in (each.session_state_v4, each.session_state_v6)]
    assert states == ["Established"] * 4
    hops = {r.next_hop for r in lab.sdk.received_routes.list_by_peering(GROUP, "p1")}
    assert hops == {V4, V6}


def test_24_25_what_may_change_of_an_exchange_connection(lab: ArmLab) -> None:
    owner = lab.associate(64504)
    lab.sdk.peerings.create_or_update(GROUP, "p1", exchange(owner, neighbour(V4, V6)))
    lab.turn_up()
    first, second = lab.connections()
    for changed in (again(first, md5="secret"), again(first, limit_v4=2000)):
        with pytest.raises(HttpResponseError) as refused:
            lab.sdk.peerings.create_or_update(GROUP, "p1", exchange(owner, changed, again(second)))
        assert (refused.value.status_code, refused.value.error.code) == (405, "OperationNotSupported")
        assert "Md5AuthenticationKey and MaxPrefix updates are not yet supported" in refused.value.message
    lab.sdk.peerings.create_or_update(GROUP, "p1", exchange(owner, again(first)))
    assert sorted(lab.states()) == ["Active", "PendingRemove"]
    lab.does("remove", "p1", second.connection_identifier)
    assert [c.connection_identifier for c in lab.connections()] == [first.connection_identifier]
    assert lab.states() == ["Active"]
