"""An exchange with route servers as partner, through the unmodified Azure SDK: lines 38 to 40."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from arm_lab import FIRST, GROUP, ArmLab, direct, served, word
from azure.core.exceptions import HttpResponseError
from azure.mgmt.peering import models as arm

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("api")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArmLab]:
    with served(tmp_path_factory.mktemp("api"), "route-server.yaml") as made:
        made.does("sign-agreement", "65536")
        yield made


@pytest.fixture(autouse=True)
def _tidy(lab: ArmLab) -> Iterator[None]:
    yield
    lab.clean()


def mesh(**more: str) -> arm.DirectConnection:
    """One connection towards the route servers, with explicit addresses."""
    session = arm.BgpSession(
        session_prefix_v4="203.0.113.0/24",
        peer_session_i_pv4_address="203.0.113.1",
        microsoft_session_i_pv4_address="203.0.113.3",
        max_prefixes_advertised_v4=20000,
    )
    return arm.DirectConnection(
        connection_identifier=FIRST,
        bandwidth_in_mbps=10000,
        session_address_provider=more.get("provider", "Peer"),
        peering_db_facility_id=1001,
        bgp_session=session,
    )


def body(owner: str, connection: arm.DirectConnection, **more: str) -> arm.Peering:
    return direct(owner, connection, **{"kind": "IxRs", "sku": "Premium_Direct_Free", **more})


def asn(number: int) -> arm.PeeringRegisteredAsn:
    return arm.PeeringRegisteredAsn(properties=arm.PeeringRegisteredAsnProperties(asn=number))


def prefix(text: str) -> arm.PeeringRegisteredPrefix:
    return arm.PeeringRegisteredPrefix(properties=arm.PeeringRegisteredPrefixProperties(prefix=text))


def test_38_one_connection_is_a_mesh_of_sessions(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", body(lab.associate(65536, "tulip"), mesh()))
    lab.turn_up()
    (connection,) = lab.connections()
    assert (connection.connection_state, connection.bgp_session.session_state_v4) == ("Active", "Established")
    metrics = lab.product.ok("metrics", lab.name).splitlines()
    sessions = [line for line in metrics if line.startswith("SessionAvailability{")]
    assert len(sessions) == 4 and all(line.endswith(" 1") for line in sessions)


@pytest.mark.parametrize(
    ("connection", "more"),
    [
        # addresses are always the exchange's
        (mesh(provider="Microsoft"), {}),
        # only Premium Free is sold
        (mesh(), {"sku": "Basic_Direct_Free"}),
    ],
)
def test_39_what_a_route_server_partner_cannot_ask_for(
    lab: ArmLab, connection: arm.DirectConnection, more: dict[str, str]
) -> None:
    with pytest.raises(HttpResponseError) as refused:
        owner = lab.associate(65536, "tulip")
        lab.sdk.peerings.create_or_update(GROUP, "p1", body(owner, connection, **more))
    assert (refused.value.status_code, refused.value.error.code) == (400, "BadArgument")


def test_40_customers_are_registered_by_asn(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", body(lab.associate(65536, "tulip"), mesh()))
    with pytest.raises(HttpResponseError) as early:
        lab.sdk.registered_asns.create_or_update(GROUP, "p1", "tailspin", asn(65541))
    assert early.value.status_code == 400
    lab.turn_up()
    made = lab.sdk.registered_asns.create_or_update(GROUP, "p1", "tailspin", asn(65541))
    assert uuid.UUID(made.properties.peering_service_prefix_key)
    assert made.properties.provisioning_state == "Succeeded"
    with pytest.raises(HttpResponseError):
        lab.sdk.registered_asns.create_or_update(GROUP, "p1", "again", asn(65541))
    with pytest.raises(HttpResponseError) as wrong:
        lab.sdk.registered_prefixes.create_or_update(GROUP, "p1", "hq", prefix("198.18.49.0/24"))
    assert (wrong.value.status_code, wrong.value.error.code) == (405, "OperationNotSupported")
    assert [a.name for a in lab.sdk.registered_asns.list_by_peering(GROUP, "p1")] == ["tailspin"]
    lab.sdk.registered_asns.delete(GROUP, "p1", "tailspin")
    assert list(lab.sdk.registered_asns.list_by_peering(GROUP, "p1")) == []
    assert word(lab.connections()[0].connection_state) == "Active"
