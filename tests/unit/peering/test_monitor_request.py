"""Connection monitor tests, endpoints of connectivity probes, and notices that nobody asked for."""

from __future__ import annotations

from typing import Any

import pytest
from office import Office

from peerlab.errors import RefusedError
from peerlab.evidence.events import MailSent
from peerlab.peering.command import (
    DeleteMonitorTest,
    DeletePeeringService,
    EndMaintenance,
    FlagPartner,
    InitializeMonitor,
    PutMonitorTest,
    PutPeeringService,
    StartMaintenance,
)
from peerlab.peering.monitor_request import Endpoint, endpoint_of
from peerlab.peering.peering_service import PeeringService, PeeringServiceProperties
from peerlab.peering.received_route import ConnectionMonitorTestProperties


@pytest.fixture
def office() -> Office:
    made = Office()
    properties = PeeringServiceProperties(
        peering_service_provider="contoso", provider_primary_peering_location="Amsterdam"
    )
    made.do(PutPeeringService(name="s1", service=PeeringService(location="westeurope", properties=properties)))
    return made


def put(**fields: Any) -> PutMonitorTest:
    asked = {"source_agent": "pc", "destination": "198.51.100.1", **fields}
    return PutMonitorTest(service="s1", name="t1", properties=ConnectionMonitorTestProperties(**asked))


def test_a_test_is_made_changed_and_goes_with_its_service(office: Office) -> None:
    office.do(put())
    assert office.desk.ledger.monitor_tests["s1/t1"].frequency == 60
    office.do(put(destination_port=443, test_frequency_in_sec=30))
    changed = office.desk.ledger.monitor_tests["s1/t1"]
    assert (changed.destination_port, changed.frequency) == (443, 30)
    office.do(DeletePeeringService(service="s1"))
    assert office.desk.ledger.monitor_tests == {}


@pytest.mark.parametrize(
    "wrong",
    [{"destination": "nowhere"}, {"destination": None}, {"source_agent": None}, {"destination_port": 0},
     {"destination_port": 65536}, {"test_frequency_in_sec": 0}],
)  # fmt: skip
def test_what_cannot_be_tested_is_refused(office: Office, wrong: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        office.do(put(**wrong))
    assert office.desk.ledger.monitor_tests == {}


def test_a_missing_test_and_a_second_workspace(office: Office) -> None:
    with pytest.raises(RefusedError):
        office.do(DeleteMonitorTest(test="s1/none"))
    office.do(InitializeMonitor(subscription="Sub"))
    first = office.desk.ledger.workspaces["sub"]
    office.do(InitializeMonitor(subscription="sub"))
    assert office.desk.ledger.workspaces == {"sub": first}


@pytest.mark.parametrize(
    ("text", "aim"),
    [
        ("198.51.100.1", Endpoint("198.51.100.1", 443)),
        ("198.51.100.1:80", Endpoint("198.51.100.1", 80)),
        ("2001:db8::1", Endpoint("2001:db8::1", 443)),
        ("[2001:db8::1]:80", Endpoint("2001:db8::1", 80)),
    ],
)
def test_endpoints(text: str, aim: Endpoint) -> None:
    assert endpoint_of(text) == aim


@pytest.mark.parametrize("text", ["", "host", "198.51.100.1:0", "198.51.100.1:x", "[2001:db8::1]:70000"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(RefusedError):
        endpoint_of(text)


def test_notices_name_what_they_are_about(office: Office) -> None:
    from test_published_resources import direct, link

    office.associate()
    office.do(direct(link()))
    (label,) = (c.label for c in office.desk.ledger.peerings["p1"].connections)
    told: list[MailSent] = []
    for command in (
        StartMaintenance(peering="p1", connection=label),
        EndMaintenance(peering="p1", connection=label),
        FlagPartner(peering="p1", connection=label, problem="a firewall"),
    ):
        told += [event for event in office.do(command) if isinstance(event, MailSent)]
    begun, ended, flagged = told
    assert "has started" in begun.subject and "has ended" in ended.subject and "Action needed" in flagged.subject
    for word in ("lab", "westeurope", "Amsterdam"):
        assert word in begun.text and word in ended.text
    assert flagged.text == "a firewall"
