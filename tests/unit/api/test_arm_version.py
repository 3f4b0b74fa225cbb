"""Every api-version has the shape that it had (spec 1.7)."""

from __future__ import annotations

import msgspec
import pytest

from peerlab.api.arm_shape import LEDGER, VERSION, encoded, place_of
from peerlab.api.arm_version import API_VERSIONS, shaped, unknown_operation
from peerlab.peering.ledger import Ledger, Stamp, stamp_place

NEWEST, OLDEST = API_VERSIONS[-1], API_VERSIONS[0]
RESOURCE = {
    "name": "p1",
    "systemData": {"createdBy": "peerlab"},
    "properties": {
        "connectivityProbes": [],
        "direct": {
            "connections": [{"connectionState": "ExternalBlocker", "microsoftTrackingId": "t", "errorMessage": "e"}]
        },
    },
}


def test_the_newest_version_has_everything() -> None:
    assert shaped(RESOURCE, NEWEST) == RESOURCE


@pytest.mark.parametrize(
    ("version", "state", "fields"),
    [
        ("2022-10-01", "ProvisioningStarted", {"connectionState", "microsoftTrackingId", "errorMessage"}),
        ("2020-04-01", "ProvisioningStarted", {"connectionState", "errorMessage"}),
        (OLDEST, "ProvisioningStarted", {"connectionState"}),
    ],
)
def test_what_came_later_is_left_out(version: str, state: str, fields: set[str]) -> None:
    old = shaped(RESOURCE, version)
    assert "systemData" not in old and "connectivityProbes" not in old["properties"]
    (connection,) = old["properties"]["direct"]["connections"]
    assert connection["connectionState"] == state
    assert set(connection) == fields


def test_a_conversion_was_called_active_before_it_had_a_name() -> None:
    converting = {"connectionState": "TypeChangeInProgress"}
    assert shaped(converting, "2022-06-01") == converting
    assert shaped(converting, "2022-01-01") == {"connectionState": "Active"}


@pytest.mark.parametrize(
    ("path", "version", "word"),
    [
        ("/a/peerings/p/registeredPrefixes/x/validate", "2022-01-01", "validate"),
        ("/a/peerings/p/registeredPrefixes/x/validate", "2022-06-01", None),
        ("/a/peerings/p/registeredPrefixes", "2019-09-01-preview", "registeredPrefixes"),
        ("/a/peeringServices/s/connectionMonitorTests", "2021-01-01", "connectionMonitorTests"),
        ("/a/peerings", OLDEST, None),
    ],
)
def test_operations_that_came_later_are_unknown(path: str, version: str, word: str | None) -> None:
    assert unknown_operation(path, version) == word


@pytest.mark.parametrize(
    ("resource_id", "place"),
    [
        ("/subscriptions/s/providers/Microsoft.Peering/peerAsns/A", ("peerAsns", "s/a")),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Peering/peerings/P", ("peerings", "s/g/p")),
        (
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Peering/peeringServices/ps/prefixes/Hq",
            ("prefixes", "s/g/ps/hq"),
        ),
        ("/subscriptions/s/providers/Other/peerAsns/a", None),
        ("", None),
    ],
)
def test_a_resource_is_found_by_its_id(resource_id: str, place: tuple[str, str] | None) -> None:
    assert place_of(resource_id) == place


def test_system_data_tells_when_a_resource_was_made_and_changed() -> None:
    ledger = Ledger(stamps={stamp_place("peerings", "s/g/p"): Stamp(0, 1_500_000_000)})
    tokens = VERSION.set(NEWEST), LEDGER.set(lambda: ledger)
    try:
        identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Peering/peerings/"
        told = encoded({"value": [{"id": identity + "p"}, {"id": identity + "q"}]})
        known, other = msgspec.json.decode(told)["value"]
    finally:
        VERSION.reset(tokens[0])
        LEDGER.reset(tokens[1])
    assert known["systemData"]["createdAt"] == "1970-01-01T00:00:00.0000000Z"
    assert known["systemData"]["lastModifiedAt"] == "1970-01-01T00:00:01.5000000Z"
    assert known["systemData"]["createdByType"] == "Application"
    assert "systemData" not in other
