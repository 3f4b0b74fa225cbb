"""A Direct peering through the unmodified Azure SDK on a real lab: section 6 of the spec, by its numbers.

A test is named after the lines it proves: ``test_06_...`` is line 6.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

import pytest
from arm_lab import FIRST, GROUP, SECOND, SUBSCRIPTION, ArmLab, direct, key_of, link, peer_asn, served, word
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.peering import models as arm
from product import until

from peerlab.bgp.attributes import Address, PathAttributes, Prefix, Segment, SegmentType
from peerlab.errors import RefusedError
from peerlab.evidence.events import LinkTested, MailSent, SessionStateChanged
from peerlab.router.protocol import Announce, Withdraw

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("api")]

WIRES = (
    ("198.19.1.134/31", "2001:db8:f001:8000::6/127"),
    ("198.19.1.136/31", "2001:db8:f001:8000::8/127"),
)
"""Session prefixes of the two wires of topologies/direct.yaml."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArmLab]:
    with served(tmp_path_factory.mktemp("api"), "direct.yaml") as made:
        yield made


@pytest.fixture(autouse=True)
def _tidy(lab: ArmLab) -> Iterator[None]:
    yield
    lab.clean()


def both() -> tuple[arm.DirectConnection, arm.DirectConnection]:
    return link(FIRST, *WIRES[0]), link(SECOND, *WIRES[1])


def refused(call: Callable[..., Any], *arguments: Any) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        call(*arguments)
    return caught.value


def lowered(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def fetch(lab: ArmLab, path: str, method: str = "GET", token: str | None = None) -> tuple[int, Any, dict[str, str]]:
    """A call without the SDK: status, body, headers."""
    context = ssl.create_default_context(cafile=lab.endpoint["authority"])
    request = urllib.request.Request(lab.endpoint["url"] + path, method=method)
    request.add_header("Authorization", f"Bearer {lab.token if token is None else token}")
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, json.loads(answer.read() or b"null"), lowered(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null"), lowered(error.headers)


READS: dict[str, tuple[dict[str, Any], ...]] = {
    "operations": ({"list": {}},),
    "peer_asns": ({"list_by_subscription": {}}, {"get": {"peer_asn_name": "fabrikam"}}),
    "peerings": (
        {"list_by_subscription": {}},
        {"list_by_resource_group": {"resource_group_name": GROUP}},
        {"get": {"resource_group_name": GROUP, "peering_name": "p1"}},
    ),
    "registered_asns": ({"list_by_peering": {"resource_group_name": GROUP, "peering_name": "p1"}},),
    "registered_prefixes": ({"list_by_peering": {"resource_group_name": GROUP, "peering_name": "p1"}},),
    "received_routes": ({"list_by_peering": {"resource_group_name": GROUP, "peering_name": "p1"}},),
    "rp_unbilled_prefixes": ({"list": {"resource_group_name": GROUP, "peering_name": "p1", "consolidate": True}},),
    "peering_services": (
        {"list_by_subscription": {}},
        {"list_by_resource_group": {"resource_group_name": GROUP}},
        {"get": {"resource_group_name": GROUP, "peering_service_name": "ps"}},
        {"initialize_connection_monitor": {}},
    ),
    "prefixes": ({"list_by_peering_service": {"resource_group_name": GROUP, "peering_service_name": "ps"}},),
    "connection_monitor_tests": (
        {"list_by_peering_service": {"resource_group_name": GROUP, "peering_service_name": "ps"}},
    ),
    "peering_locations": ({"list": {"kind": "Direct"}}, {"list": {"kind": "Exchange"}}),
    "legacy_peerings": ({"list": {"peering_location": "Amsterdam", "kind": "Direct", "asn": 64500}},),
    "cdn_peering_prefixes": ({"list": {"peering_location": "Amsterdam"}},),
    "peering_service_countries": ({"list": {}},),
    "peering_service_locations": ({"list": {"country": "netherlands"}},),
    "peering_service_providers": ({"list": {}},),
    "looking_glass": (
        {
            "invoke": {
                "command": "BgpRoute",
                "source_type": "EdgeSite",
                "source_location": "Amsterdam",
                "destination_ip": "198.18.1.2",
            }
        },
    ),
}
"""Calls of every group of operations that the SDK has."""


def test_01_every_group_of_operations_of_the_sdk_with_both_versions(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    service = arm.PeeringService(
        location="westeurope",
        properties=arm.PeeringServiceProperties(
            peering_service_location="Amsterdam",
            peering_service_provider="fabrikam",
            provider_primary_peering_location="Amsterdam",
        ),
    )
    lab.sdk.peering_services.create_or_update(GROUP, "ps", service)
    groups = {name for name, value in vars(lab.sdk).items() if type(value).__name__.endswith("Operations")}
    assert groups == set(READS)
    for version in ("2025-05-01", "2022-10-01"):
        sdk = lab.client(api_version=version)
        for group, calls in READS.items():
            for call in calls:
                for verb, arguments in call.items():
                    answer = getattr(getattr(sdk, group), verb)(**arguments)
                    if verb.startswith("list"):
                        list(answer)
        assert len(list(sdk.operations.list())) == 27
        assert [p.name for p in sdk.peerings.list_by_resource_group(GROUP)] == ["p1"]
        assert [s.name for s in sdk.peering_services.list_by_resource_group(GROUP)] == ["ps"]
        assert [p.properties.peering_location for p in sdk.peering_locations.list(kind="Direct")] == ["Amsterdam"]
        assert [c.name for c in sdk.peering_service_countries.list()] == ["Netherlands"]
        assert sdk.check_service_provider_availability(AVAILABILITY) == "Available"
    lab.sdk.peering_services.delete(GROUP, "ps")


AVAILABILITY = arm.CheckServiceProviderAvailabilityInput(
    peering_service_location="Amsterdam", peering_service_provider="fabrikam"
)


def test_02_no_api_version_or_an_unknown_one_is_refused(lab: ArmLab) -> None:
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Peering/peerings"
    status, body, headers = fetch(lab, path)
    assert (status, body["error"]["code"]) == (400, "MissingApiVersionParameter")
    assert headers["x-ms-failure-cause"] == "gateway"
    assert fetch(lab, path + "?api-version=2018-01-01")[1]["error"]["code"] == "InvalidApiVersionParameter"
    assert fetch(lab, path + "?api-version=2020-10-01")[0] == 200


def test_paths_are_case_insensitive_and_names_keep_their_case(lab: ArmLab) -> None:
    lab.sdk.peer_asns.create_or_update("Fabrikam", peer_asn())
    path = f"/SUBSCRIPTIONS/{SUBSCRIPTION.upper()}/Providers/microsoft.peering/PeerAsns/FABRIKAM?Api-Version=2025-05-01"
    status, body, headers = fetch(lab, path)
    assert (status, body["name"]) == (200, "Fabrikam")
    assert headers["x-ms-request-id"] and headers["cache-control"] == "no-cache"


def test_a_token_is_checked_and_the_operators_door_is_another(lab: ArmLab) -> None:
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Peering/peerings?api-version=2025-05-01"
    for wrong in ("", "nonsense", lab.token[:-4] + "AAAA"):
        assert fetch(lab, path, token=wrong)[1]["error"]["code"] == "AuthenticationFailed"
    assert fetch(lab, "/operator/v1/desk")[0] == 401
    assert fetch(lab, "/openapi.json", token="")[0] == 200


def test_03_a_peer_asn_is_made_read_and_deleted(lab: ArmLab) -> None:
    status: list[int] = []

    def put() -> arm.PeerAsn:
        return lab.sdk.peer_asns.create_or_update(
            "fabrikam", peer_asn(), raw_response_hook=lambda r: status.append(r.http_response.status_code)
        )

    assert put().properties.validation_state == "Pending"
    put()
    assert status == [201, 200]
    assert lab.sdk.peer_asns.get("fabrikam").properties.peer_asn == 64500
    assert [p.name for p in lab.sdk.peer_asns.list_by_subscription()] == ["fabrikam"]
    lab.sdk.peer_asns.delete("fabrikam")
    lab.sdk.peer_asns.delete("fabrikam")
    with pytest.raises(ResourceNotFoundError, match="PeerAsn does not exist with the given name"):
        lab.sdk.peer_asns.get("fabrikam")


def test_04_review_decides_over_a_peer_asn(lab: ArmLab) -> None:
    made = lab.sdk.peer_asns.create_or_update("fabrikam", peer_asn())
    error = refused(lab.sdk.peerings.create_or_update, GROUP, "p1", direct(made.id, *both()))
    assert (error.status_code, error.error.code) == (400, "BadArgument")
    assert "Pending" in error.message
    lab.does("reject-asn", "fabrikam", reason="no NOC contact in PeeringDB")
    properties = lab.sdk.peer_asns.get("fabrikam").properties
    assert (properties.validation_state, properties.error_message) == ("Failed", "no NOC contact in PeeringDB")
    lab.sdk.peer_asns.create_or_update("fabrikam", peer_asn(peer_name="Fabrikam Networks"))
    lab.does("approve-asn", "fabrikam")
    assert lab.sdk.peer_asns.get("fabrikam").properties.validation_state == "Approved"


def test_05_many_asns_and_names_by_the_pattern(lab: ArmLab) -> None:
    for number, name in enumerate(("a", "A.b_c-d", "x" * 63)):
        lab.sdk.peer_asns.create_or_update(name, peer_asn(64500 + number))
    assert len(list(lab.sdk.peer_asns.list_by_subscription())) == 3
    for name in ("x" * 64, "sp ace", "ä"):
        assert refused(lab.sdk.peer_asns.create_or_update, name, peer_asn()).status_code == 400


def test_06_a_direct_peering_begins_pending_approval(lab: ArmLab) -> None:
    owner = lab.associate()
    status: list[int] = []
    made = lab.sdk.peerings.create_or_update(
        GROUP, "p1", direct(owner, *both()), raw_response_hook=lambda r: status.append(r.http_response.status_code)
    )
    assert status == [201]
    assert made.properties.provisioning_state == "Succeeded"
    assert (made.sku.tier, made.sku.family, made.sku.size) == ("Basic", "Direct", "Free")
    for connection in made.properties.direct.connections:
        assert (connection.connection_state, connection.provisioned_bandwidth_in_mbps) == ("PendingApproval", 0)
        assert connection.bgp_session.session_state_v4 == "PendingAdd"


@pytest.mark.parametrize(
    ("prefix_v4", "prefix_v6", "v4", "v6"),
    [
        # /31 and /127: the peer has the first address (recorded)
        ("10.21.31.0/31", "fd00::/127", ("10.21.31.0", "10.21.31.1"), ("fd00::", "fd00::1")),
        # /30 and /126: the peer has the first usable one
        ("32.14.1.0/30", "fd00::/126", ("32.14.1.1", "32.14.1.2"), ("fd00::1", "fd00::2")),
    ],
)
def test_07_addresses_come_from_the_prefix(
    lab: ArmLab, prefix_v4: str, prefix_v6: str, v4: tuple[str, str], v6: tuple[str, str]
) -> None:
    made = lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), link(FIRST, prefix_v4, prefix_v6)))
    session = made.properties.direct.connections[0].bgp_session
    assert (session.peer_session_i_pv4_address, session.microsoft_session_i_pv4_address) == v4
    assert (session.peer_session_i_pv6_address, session.microsoft_session_i_pv6_address) == v6


@pytest.mark.parametrize(
    ("connection", "told"),
    [
        # line 8: the mask, and the network address
        (link(FIRST, "10.0.0.0/29", None), "Invalid Prefix: 10.0.0.0/29, must be either /30 or /31"),
        (link(FIRST, "10.0.0.1/31", None), "10.0.0.1/31"),
        # line 9: bandwidth in steps of 10000 up to 100000
        (link(FIRST, *WIRES[0], bandwidth=15000), "Bandwidth 15000 must have a multiple of 10000."),
        (link(FIRST, *WIRES[0], bandwidth=200000), "Bandwidth:200000 is greater than 100000."),
        (link(FIRST, *WIRES[0], bandwidth=0), "Bandwidth 0 must be greater than 0"),
        # a place that Microsoft is not at
        (link(FIRST, *WIRES[0], facility=77), "77"),
    ],
)
def test_08_09_a_wrong_connection_is_refused_in_the_documented_words(
    lab: ArmLab, connection: arm.DirectConnection, told: str
) -> None:
    error = refused(lab.sdk.peerings.create_or_update, GROUP, "p1", direct(lab.associate(), connection))
    assert (error.status_code, error.error.code) == (400, "BadArgument")
    assert told in error.message
    with pytest.raises(ResourceNotFoundError):
        lab.sdk.peerings.get(GROUP, "p1")


def test_10_microsoft_provided_addresses_come_later(lab: ArmLab) -> None:
    asked = [link(each, None, None, provider="Microsoft") for each in (FIRST, SECOND)]
    made = lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *asked))
    assert [c.bgp_session for c in made.properties.direct.connections] == [None, None]
    lab.does("approve", "p1")
    assigned = [c.bgp_session.session_prefix_v4 for c in lab.connections()]
    assert sorted(assigned) == sorted(v4 for v4, _ in WIRES)
    for act in ("notify", "provision", "validate", "open"):
        lab.does(act, "p1")
    assert lab.states() == ["Active", "Active"]


def test_11_13_14_from_approval_to_traffic(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    lab.does("approve", "p1")
    assert lab.states() == ["ProvisioningStarted"] * 2
    mails = [e for e in lab.product.events(lab.name) if isinstance(e, MailSent)]
    assert [m.to for m in mails if m.subject.startswith("Letter of Authorization")][-2:] == ["noc@fabrikam.example"] * 2
    lab.does("notify", "p1")
    lab.does("provision", "p1")
    assert lab.states() == ["Validating"] * 2
    until(lambda: sessions_of(lab) == ["Established"] * 4, "four sessions Established under DENY ALL")
    facts = edge_facts(lab)
    assert all(fact.get("accepted", 0) == 0 and fact.get("advertised", 0) == 0 for fact in facts)
    lab.does("validate", "p1")
    assert lab.states() == ["ProvisioningCompleted"] * 2
    lab.does("open", "p1")
    assert lab.states() == ["Active"] * 2
    until(lambda: all(f.get("accepted", 0) and f.get("advertised", 0) for f in edge_facts(lab)), "routes both ways")
    assert [c.provisioned_bandwidth_in_mbps for c in lab.connections()] == [10000, 10000]


def sessions_of(lab: ArmLab) -> list[str]:
    return [
        word(state)
        for connection in lab.connections()
        for state in (connection.bgp_session.session_state_v4, connection.bgp_session.session_state_v6)
    ]


def edge_facts(lab: ArmLab) -> list[dict[str, Any]]:
    """What the edges say of their sessions with the peer."""
    facts = json.loads(lab.product.ok("sessions", lab.name, "--json"))
    return [f for f in facts if f["node"].startswith("ams-edge") and f["peer_as"] == 64500]


def test_12_the_link_is_tested_inside_its_range_only(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    lab.does("approve", "p1")
    with pytest.raises(RefusedError, match=r"outside 169\.254\.0\.0/16"):
        lab.does("link-test", "p1", FIRST, "192.0.2.0/24")
    lab.does("link-test", "p1", FIRST, "169.254.7.0/24")
    tests = [e for e in lab.product.events(lab.name) if isinstance(e, LinkTested)][-2:]
    assert {t.source for t in tests} == {"169.254.7.0", "169.254.7.1"}
    assert [t.received for t in tests] == [t.sent for t in tests] != [0, 0]


@pytest.mark.parametrize(
    ("prefix", "asns", "told"),
    [
        # a default route, a private range
        ("0.0.0.0/0", (64500,), "0.0.0.0/0"),
        ("10.9.0.0/16", (64500,), "10.9.0.0/16"),
        # RPKI-invalid: the VRP of this prefix names AS64501
        ("198.18.33.0/24", (64500,), "198.18.33.0/24"),
        # learned from ExpressRoute
        ("203.0.113.0/24", (64500, 12076), "203.0.113.0/24"),
    ],
    ids=["default route", "private range", "RPKI-invalid", "AS12076"],
)
def test_15_a_bad_advertisement_keeps_deny_all(lab: ArmLab, prefix: str, asns: tuple[int, ...], told: str) -> None:
    session = "ams-edge-1--fab-ams-1.v4"
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), link(FIRST, *WIRES[0])))
    for act in ("approve", "notify", "provision"):
        lab.does(act, "p1")
    until(lambda: sessions_of(lab) == ["Established"] * 2, "the sessions Established")
    path = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, asns),), next_hop=Address("198.19.1.134"))
    lab.tells("fab-ams-1", Announce(session=session, prefixes=(Prefix(prefix),), attributes=path))
    lab.does("validate", "p1")
    assert lab.states() == ["Validating"]
    assert told in lab.connections()[0].error_message
    assert all(fact.get("accepted", 0) == 0 for fact in edge_facts(lab))
    lab.tells("fab-ams-1", Withdraw(session=session, prefixes=(Prefix(prefix),)))
    lab.does("validate", "p1")
    assert lab.states() == ["ProvisioningCompleted"]


def test_16_a_request_that_is_not_approved_fails_with_the_reason(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    lab.does("reject", "p1", FIRST, "too little traffic")
    assert lab.states() == ["ProvisioningFailed", "PendingApproval"]
    assert lab.connections()[0].error_message == "too little traffic"


def test_17_an_address_of_another_as(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), link(FIRST, *WIRES[0])))
    lab.turn_up()
    other = lab.associate(64501, "contoso")
    lab.sdk.peerings.create_or_update(GROUP, "p2", direct(other, link(SECOND, *WIRES[0])))
    for act in ("approve", "notify", "provision"):
        lab.does(act, "p2")
    assert lab.states("p2") == ["ProvisioningFailed"]
    assert lab.connections("p2")[0].error_message == "IPv4 address is already configured with a different ASN"
    assert lab.states("p1") == ["Active"]


def test_18_19_delete_before_during_and_after(lab: ArmLab) -> None:
    body = direct(lab.associate(), *both())
    lab.sdk.peerings.create_or_update(GROUP, "p1", body)
    lab.sdk.peerings.delete(GROUP, "p1")
    assert list(lab.sdk.peerings.list_by_subscription()) == []
    lab.sdk.peerings.create_or_update(GROUP, "p1", body)
    lab.does("approve", "p1")
    with pytest.raises(ResourceExistsError):
        lab.sdk.peerings.delete(GROUP, "p1")
    for act in ("notify", "provision", "validate"):
        lab.does(act, "p1")
    assert refused(lab.sdk.peerings.delete, GROUP, "p1").error.code == "OperationNotSupported"
    lab.does("open", "p1")
    assert refused(lab.sdk.peerings.delete, GROUP, "p1").status_code == 409
    lab.does("deprovision", "p1")
    assert lab.states() == ["PendingRemove"] * 2
    lab.does("remove", "p1")
    with pytest.raises(ResourceNotFoundError):
        lab.sdk.peerings.get(GROUP, "p1")
    assert edge_facts(lab) == []


def test_20_a_second_peering_of_one_as_at_one_place(lab: ArmLab) -> None:
    owner = lab.associate()
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, both()[0]))
    error = refused(lab.sdk.peerings.create_or_update, GROUP, "p2", direct(owner, both()[1]))
    assert (error.status_code, error.error.code) == (400, "BadArgument")
    assert "Microsoft might already have a peering with ASN 64500 at Amsterdam" in error.message


def test_23_a_family_is_added_while_active_and_never_taken_away(lab: ArmLab) -> None:
    owner = lab.associate()
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, link(FIRST, WIRES[0][0], None)))
    lab.turn_up()
    assert lab.connections()[0].bgp_session.session_state_v6 == "None"
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, link(FIRST, *WIRES[0])))
    until(lambda: sessions_of(lab) == ["Established"] * 2, "the added session Established")
    lab.does("validate", "p1")
    assert lab.states() == ["Active"]
    error = refused(lab.sdk.peerings.create_or_update, GROUP, "p1", direct(owner, link(FIRST, WIRES[0][0], None)))
    assert error.status_code == 405


def test_25_a_direct_connection_cannot_be_taken_out(lab: ArmLab) -> None:
    owner = lab.associate()
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *both()))
    error = refused(lab.sdk.peerings.create_or_update, GROUP, "p1", direct(owner, both()[0]))
    assert (error.status_code, error.error.code) == (405, "OperationNotSupported")
    assert "peeringexperience@microsoft.com" in error.message


def test_26_patch_is_for_tags(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both(), tags={"a": "1"}))
    patched = lab.sdk.peerings.update(GROUP, "p1", {"tags": {"b": "2"}, "properties": {"peeringLocation": "Dublin"}})
    assert patched.tags == {"b": "2"}
    assert patched.properties.peering_location == "Amsterdam"


def test_28_bandwidth_of_an_active_connection_goes_up(lab: ArmLab) -> None:
    owner = lab.associate()
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *both()))
    lab.turn_up()
    more = [link(FIRST, *WIRES[0], bandwidth=20000), link(SECOND, *WIRES[1], bandwidth=20000)]
    made = lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *more))
    assert [c.bandwidth_in_mbps for c in made.properties.direct.connections] == [20000, 20000]
    assert [c.provisioned_bandwidth_in_mbps for c in made.properties.direct.connections] == [10000, 10000]
    lab.does("provision-bandwidth", "p1")
    assert [c.provisioned_bandwidth_in_mbps for c in lab.connections()] == [20000, 20000]
    assert lab.states() == ["Active", "Active"]


def test_29_30_peering_service_one_connection_at_a_time(lab: ArmLab) -> None:
    owner = lab.associate()
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *both()))
    lab.does("sign-agreement", "64500")
    wanted = [
        link(FIRST, *WIRES[0], use_for_peering_service=True),
        link(SECOND, *WIRES[1], use_for_peering_service=True),
    ]
    lab.turn_up()
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *wanted))
    assert lab.states() == ["TypeChangeRequested"] * 2
    lab.does("approve-conversion", "p1", FIRST)
    with pytest.raises(RefusedError):
        lab.does("approve-conversion", "p1", SECOND)
    flaps = {fact["session"]: fact.get("flaps", 0) for fact in edge_facts(lab)}
    lab.does("convert", "p1", FIRST)
    assert lab.states() == ["Active", "TypeChangeRequested"]
    after = {fact["session"]: fact.get("flaps", 0) for fact in edge_facts(lab)}
    assert sorted(name for name in after if after[name] > flaps[name]) == [
        "ams-edge-1--fab-ams-1.v4",
        "ams-edge-1--fab-ams-1.v6",
    ]
    lab.does("approve-conversion", "p1", SECOND)
    lab.does("convert", "p1", SECOND)
    assert [c.use_for_peering_service for c in lab.connections()] == [True, True]


def test_30_no_conversion_of_a_single_connection(lab: ArmLab) -> None:
    owner = lab.associate()
    lab.does("sign-agreement", "64500")
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, both()[0]))
    lab.turn_up()
    asked = direct(owner, link(FIRST, *WIRES[0], use_for_peering_service=True))
    error = refused(lab.sdk.peerings.create_or_update, GROUP, "p1", asked)
    assert (error.status_code, error.error.code) == (405, "OperationNotSupported")


def test_33_nothing_is_registered_without_peering_service(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    body = arm.PeeringRegisteredPrefix(properties=arm.PeeringRegisteredPrefixProperties(prefix="198.18.33.0/24"))
    error = refused(lab.sdk.registered_prefixes.create_or_update, GROUP, "p1", "hq", body)
    assert (error.status_code, error.error.code) == (405, "OperationNotSupported")
    assert "Operation is not supported for this peering type" in error.message


def test_33_a_prefix_waits_for_an_active_connection(lab: ArmLab) -> None:
    owner = lab.associate()
    lab.does("sign-agreement", "64500")
    wanted = [link(one, *wire, use_for_peering_service=True) for one, wire in zip((FIRST, SECOND), WIRES, strict=True)]
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *wanted, sku="Premium_Direct_Free"))
    body = arm.PeeringRegisteredPrefix(properties=arm.PeeringRegisteredPrefixProperties(prefix="198.18.33.0/24"))
    error = refused(lab.sdk.registered_prefixes.create_or_update, GROUP, "p1", "hq", body)
    assert (error.status_code, error.error.code) == (400, "BadArgument")
    assert "no Active connection" in error.message
    assert list(lab.sdk.registered_prefixes.list_by_peering(GROUP, "p1")) == []
    lab.turn_up()
    made = lab.sdk.registered_prefixes.create_or_update(GROUP, "p1", "hq", body)
    assert made.properties.prefix_validation_state == "Pending" and made.properties.peering_service_prefix_key
    lab.sdk.registered_prefixes.delete(GROUP, "p1", "hq")


def test_41_availability(lab: ArmLab) -> None:
    for location, answer in (("amsterdam", "Available"), ("Dublin", "Unavailable")):
        asked = arm.CheckServiceProviderAvailabilityInput(
            peering_service_location=location, peering_service_provider="Fabrikam"
        )
        assert lab.sdk.check_service_provider_availability(asked) == answer


def test_55_56_57_what_the_routers_hold_is_what_is_read(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    lab.turn_up()

    def read(**filters: str) -> list[tuple[str, str]]:
        return [(r.prefix, r.as_path) for r in lab.sdk.received_routes.list_by_peering(GROUP, "p1", **filters)]

    assert len(read()) == 8
    assert read(prefix="198.18.33.0/24") == [("198.18.33.0/24", "64500 64501")] * 2
    assert {path for _, path in read(as_path="64500 64501")} == {"64500 64501"}
    assert read(rpki_validation_state="Invalid") == []
    assert len(read(rpki_validation_state="Valid", origin_as_validation_state="valid")) == 8
    for command, told in (
        ("Ping", "5 packets sent, 5 received"),
        ("Traceroute", "198.18.33.2"),
        ("BgpRoute", "64500 64501"),
    ):
        answer = lab.sdk.looking_glass.invoke(
            command=command, source_type="EdgeSite", source_location="Amsterdam", destination_ip="198.18.33.2"
        )
        assert answer.command == command
        assert told in answer.output
    error = refused(
        lambda: lab.sdk.looking_glass.invoke(
            command="Ping", source_type="EdgeSite", source_location="Nowhere", destination_ip="198.18.33.2"
        )
    )
    assert error.status_code == 400


def many(count: int) -> Announce:
    """That many /32 of the customer's block, with its path."""
    return Announce(
        session="ams-edge-1--fab-ams-1.v4",
        prefixes=tuple(Prefix(f"198.18.{33 + n // 256}.{n % 256}/32") for n in range(count)),
        attributes=PathAttributes(
            as_path=(Segment(SegmentType.AS_SEQUENCE, (64500, 64501)),), next_hop=Address("198.19.1.134")
        ),
    )


FULL = 50_000
"""Routes of a long list."""


def test_56_a_list_of_fifty_thousand_comes_in_pages(lab: ArmLab) -> None:
    """A page in the middle can be asked for twice, and routes that come meanwhile move nothing out of sight."""
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), link(FIRST, *WIRES[0], limit_v4=60_000)))
    lab.turn_up()
    lab.tells("fab-ams-1", many(FULL))
    until(lambda: len(routes(lab, prefix="198.18.228.79/32")) == 1, "the last of the session's routes")
    pages = [[r.prefix for r in page] for page in lab.sdk.received_routes.list_by_peering(GROUP, "p1").by_page()]
    found = [prefix for page in pages for prefix in page]
    assert len(found) == len(set(found)) == FULL + 4
    assert [len(page) for page in pages[:-1]] == [1000] * 50 and len(pages) == 51
    assert len(set(routes(lab, as_path="64500 64501"))) == FULL + 2


def routes(lab: ArmLab, **filters: str) -> list[str]:
    return [route.prefix for route in lab.sdk.received_routes.list_by_peering(GROUP, "p1", **filters)]


def test_59_more_prefixes_than_agreed_end_the_session(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), link(FIRST, *WIRES[0], limit_v4=20)))
    lab.turn_up()
    seen = len(lab.product.events(lab.name))
    lab.tells("fab-ams-1", many(30))

    def downs() -> list[SessionStateChanged]:
        events = [e for e in lab.product.events(lab.name)[seen:] if isinstance(e, SessionStateChanged)]
        return [e for e in events if e.before == "Established" and e.session == "ams-edge-1--fab-ams-1.v4"]

    until(lambda: bool(downs()), "the session ending")
    assert {event.session for event in downs()} == {"ams-edge-1--fab-ams-1.v4"}
    v4, v6 = sessions_of(lab)
    assert v4 != "Established" and v6 == "Established"
    notifications = lab.product.ok("trace", lab.name, "--kind", "notification").splitlines()
    ended = [line for line in notifications if "ams-edge-1" in line and ("6/1" in line or "Cease/1" in line)]
    assert ended, notifications


def test_58_metrics_change_when_a_session_flaps(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    lab.turn_up()

    def metric(name: str) -> dict[str, int]:
        lines = lab.product.ok("metrics", lab.name).splitlines()
        return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in lines if line.startswith(name)}

    assert list(metric("SessionAvailability").values()) == [1] * 4
    before = metric("FlapCounts_total")
    lab.product.ok("fault", "link-down", "ams-edge-1:fab-ams-1", "--lab", lab.name)
    until(lambda: list(metric("SessionAvailability").values()) == [0, 0, 1, 1], "the sessions of one wire going down")
    lab.product.ok("fault", "link-up", "ams-edge-1:fab-ams-1", "--lab", lab.name)
    until(lambda: sum(metric("FlapCounts_total").values()) > sum(before.values()), "a flap that is counted")
    until(lambda: list(metric("SessionAvailability").values()) == [1] * 4, "the session coming back")


def test_63_both_shapes_of_not_found(lab: ArmLab) -> None:
    with pytest.raises(ResourceNotFoundError) as missing:
        lab.sdk.peerings.get(GROUP, "nope")
    assert missing.value.error.code == "ResourceNotFound"
    text = f"The Resource 'Microsoft.Peering/peerings/nope' under resource group '{GROUP}' was not found."
    assert text in missing.value.message
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    path = (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Peering/peerings/p1"
        "/registeredPrefixes/nope?api-version=2020-04-01"
    )
    status, body, _ = fetch(lab, path)
    assert (status, body) == (404, {"code": "NotFound", "message": "Resource does not exist."})


def test_a_connection_without_a_wire_is_accepted_and_says_what_is_missing(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), link(FIRST, "10.0.0.0/31", None)))
    lab.does("approve", "p1")
    lab.does("notify", "p1")
    done = lab.product.run("operator", "provision", key_of("p1"), "--lab", lab.name)
    assert done.returncode == 3
    assert "10.0.0.0 - 10.0.0.1" in done.stderr and "198.19.1.134/31" in done.stderr


def test_a_killed_server_loses_nothing(lab: ArmLab) -> None:
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(lab.associate(), *both()))
    lab.turn_up()
    before = lab.sdk.peerings.get(GROUP, "p1").as_dict()
    uptimes = {fact["session"]: fact["since"] for fact in edge_facts(lab)}
    lab.kill()
    lab.serve()
    assert lab.sdk.peerings.get(GROUP, "p1").as_dict() == before
    assert {fact["session"]: fact["since"] for fact in edge_facts(lab)} == uptimes
    assert lab.product.run("serve", lab.name, "--port", "0").returncode == 3
