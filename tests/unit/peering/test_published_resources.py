"""Records as published resources: the shapes and server-filled values of the specification (1.4, 1.5)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from office import Office, asn_id, direct, exchange, link, neighbor
from test_peering_requests import on_lan
from test_peering_service import HQ, put_service

from peerlab.bgp.attributes import Family
from peerlab.peering.command import Deprovision, PutRegisteredAsn, PutServicePrefix, RecordPrefixEvents
from peerlab.peering.enums import DirectPeeringType, PrefixEventType, SessionAddressProvider, SessionState
from peerlab.peering.location import ExchangePeeringFacility
from peerlab.peering.prefix_event import PrefixEvent
from peerlab.peering.scope import Scope, peer_asn_key_of
from peerlab.peering.view import (
    peer_asn_resource,
    peering_resource,
    registered_asn_resource,
    registered_prefix_resource,
    service_prefix_resource,
    service_resource,
)


def wire(resource: object) -> Any:
    """The resource as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(resource))


@pytest.fixture
def office() -> Office:
    office = Office()
    office.associate(agreement=True)
    return office


def test_peer_asn(office: Office) -> None:
    assert wire(peer_asn_resource(office.desk.ledger.peer_asns["contoso"])) == {
        "id": "/subscriptions/lab/providers/Microsoft.Peering/peerAsns/contoso",
        "name": "contoso",
        "type": "Microsoft.Peering/peerAsns",
        "properties": {
            "peerAsn": 64500,
            "peerContactDetail": [{"role": "Noc", "email": "noc@contoso.example", "phone": "+31 20 000 0000"}],
            "peerName": "Contoso",
            "validationState": "Approved",
        },
    }


def test_a_new_direct_peering_comes_back_as_documented(office: Office) -> None:
    office.do(direct(link(md5="test-md5-auth-key"), tags={"a": "b"}))
    assert wire(peering_resource(office.desk.ledger.peerings["p1"], {})) == {
        "kind": "Direct",
        "sku": {"name": "Basic_Direct_Free", "tier": "Basic", "family": "Direct", "size": "Free"},
        "location": "westeurope",
        "id": "/subscriptions/lab/resourceGroups/lab/providers/Microsoft.Peering/peerings/p1",
        "name": "p1",
        "type": "Microsoft.Peering/peerings",
        "tags": {"a": "b"},
        "properties": {
            "direct": {
                "connections": [
                    {
                        "bandwidthInMbps": 10000,
                        "provisionedBandwidthInMbps": 0,
                        "sessionAddressProvider": "Peer",
                        "useForPeeringService": False,
                        "peeringDBFacilityId": 99999,
                        "connectionState": "PendingApproval",
                        "bgpSession": {
                            "sessionPrefixV4": "192.168.0.0/31",
                            "sessionPrefixV6": "fd00::/127",
                            "microsoftSessionIPv4Address": "192.168.0.1",
                            "microsoftSessionIPv6Address": "fd00::1",
                            "peerSessionIPv4Address": "192.168.0.0",
                            "peerSessionIPv6Address": "fd00::",
                            "sessionStateV4": "PendingAdd",
                            "sessionStateV6": "PendingAdd",
                            "maxPrefixesAdvertisedV4": 1000,
                            "maxPrefixesAdvertisedV6": 100,
                            "md5AuthenticationKey": "test-md5-auth-key",
                        },
                        "connectionIdentifier": "c1",
                    }
                ],
                "useForPeeringService": False,
                "peerAsn": {"id": asn_id()},
                "directPeeringType": "Edge",
            },
            "peeringLocation": "Amsterdam",
            "provisioningState": "Succeeded",
        },
    }


def test_session_states_are_what_the_router_reports(office: Office) -> None:
    office.do(direct(link(v6=None)))
    office.turn_up("c1", until="Validating")
    record = office.desk.ledger.peerings["p1"]

    def published(states: dict[tuple[str, Family], SessionState]) -> tuple[str | None, str | None]:
        resource = peering_resource(record, states).properties.direct
        assert resource is not None
        session = resource.connections[0].bgp_session
        assert session is not None
        assert session.max_prefixes_advertised_v6 == 0, "an omitted family has a limit of 0"
        return session.session_state_v4, session.session_state_v6

    assert published({}) == ("Idle", "None")
    assert published({("c1", Family.IPV4): SessionState.ESTABLISHED}) == ("Established", "None")
    office.turn_up("c1")
    office.do(Deprovision(peering="p1", connection="c1"))
    record = office.desk.ledger.peerings["p1"]
    assert published({}) == ("PendingRemove", "None")


def test_microsoft_provided_addresses_are_absent_at_first(office: Office) -> None:
    office.do(direct(link(provider=SessionAddressProvider.MICROSOFT)))
    properties = peering_resource(office.desk.ledger.peerings["p1"], {}).properties
    assert properties.direct is not None
    assert properties.direct.connections[0].bgp_session is None


def test_exchange(office: Office) -> None:
    office.do(exchange(neighbor()))
    resource = peering_resource(office.desk.ledger.peerings["p1"], {})
    assert resource.properties.exchange is not None
    sessions = [c.bgp_session for c in resource.properties.exchange.connections]
    assert [s.microsoft_session_ipv4_address for s in sessions if s] == ["80.249.209.20", "80.249.209.21"]
    assert resource.properties.direct is None


def test_registrations_and_service(office: Office) -> None:
    office.do(direct(link(service=True), sku="Premium_Direct_Free"))
    office.turn_up("c1")
    office.do(HQ, put_service(backup=None), PutServicePrefix(service="s1", name="hq", prefix="203.0.113.0/24"))
    event = PrefixEvent(kind=PrefixEventType.ORIGIN_CHANGE, summary="a sign of a hijack", origin=64499)
    office.do(RecordPrefixEvents(prefix="s1/hq", events=(event,)))
    ledger = office.desk.ledger
    registered = registered_prefix_resource(ledger.registered_prefixes["p1/hq"], ledger.peerings["p1"])
    assert registered.id and registered.id.endswith("/peerings/p1/registeredPrefixes/hq")
    assert registered.properties.provisioning_state == "Updating"
    service = ledger.services["s1"]
    assert "providerBackupPeeringLocation" not in wire(service_resource(service))["properties"]
    assert service_prefix_resource(ledger.prefixes["s1/hq"], service).properties.events == ()
    expanded = service_prefix_resource(ledger.prefixes["s1/hq"], service, events=True)
    (told,) = wire(expanded)["properties"]["events"]
    assert told.pop("eventTimestamp").endswith("Z")
    assert told == {
        "eventType": "PrefixOriginAsChangeEvent",
        "eventSummary": "a sign of a hijack",
        "eventLevel": "Critical",
        "eventDescription": "",
    }


def test_a_registered_asn(office: Office) -> None:
    office.do(direct(on_lan(), kind=DirectPeeringType.IX_RS, sku="Premium_Direct_Free"))
    office.turn_up("c1")
    office.do(PutRegisteredAsn(peering="p1", name="customer", asn=64510))
    ledger = office.desk.ledger
    resource = registered_asn_resource(ledger.registered_asns["p1/customer"], ledger.peerings["p1"])
    assert (resource.type, resource.properties.asn) == ("Microsoft.Peering/peerings/registeredAsns", 64510)


def test_names_that_are_not_plain_camel_case() -> None:
    facility = ExchangePeeringFacility(microsoft_ipv4_address="80.81.203.133,80.81.203.105", peering_db_facility_id=64)
    assert set(wire(facility)) == {"microsoftIPv4Address", "peeringDBFacilityId"}


# scope, key of a PeerAsn and of a peering named "P1"
SCOPES = [
    (Scope(), "p1", "p1"),
    (Scope(subscription="Sub", resource_group="RG"), "sub/p1", "sub/rg/p1"),
    (Scope(subscription="lab", resource_group="other"), "p1", "lab/other/p1"),
]


@pytest.mark.parametrize(("scope", "asn_key", "peering_key"), SCOPES)
def test_keys_and_ids(scope: Scope, asn_key: str, peering_key: str) -> None:
    assert (scope.peer_asn_key("P1"), scope.key("P1")) == (asn_key, peering_key)
    assert peer_asn_key_of(scope.peer_asn_id("P1").upper()) == asn_key, "ARM ids are case-insensitive"
