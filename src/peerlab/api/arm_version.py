"""What an api-version does not know yet: fields, states and operations that came later (spec 1.7).

Pure: a resource in its newest shape, and a version; out comes the resource as that version has it.
"""

from __future__ import annotations

from typing import Any

API_VERSIONS = (
    "2019-03-01-preview",
    "2019-08-01-preview",
    "2019-09-01-preview",
    "2020-01-01-preview",
    "2020-04-01",
    "2020-10-01",
    "2021-01-01",
    "2021-06-01",
    "2022-01-01",
    "2022-06-01",
    "2022-10-01",
    "2025-05-01",
)
"""Every published version, oldest first."""

FIELDS_SINCE: dict[str, str] = {
    "events": "2019-09-01-preview",
    "errorMessage": "2019-09-01-preview",
    "peerContactDetail": "2020-01-01-preview",
    "peeringServicePrefixKey": "2020-01-01-preview",
    "microsoftTrackingId": "2020-10-01",
    "providerPrimaryPeeringLocation": "2021-01-01",
    "providerBackupPeeringLocation": "2021-01-01",
    "logAnalyticsWorkspaceProperties": "2021-06-01",
    "connectivityProbes": "2025-05-01",
    "systemData": "2025-05-01",
}
"""Fields of answers with the version that brought them."""

STATES_SINCE: dict[str, tuple[str, str]] = {
    "TypeChangeRequested": ("2022-06-01", "Active"),
    "TypeChangeInProgress": ("2022-06-01", "Active"),
    "ExternalBlocker": ("2025-05-01", "ProvisioningStarted"),
}
"""Values of ``connectionState`` with the version that brought them, and what a version before calls them."""

OPERATIONS_SINCE: dict[str, str] = {
    "registeredAsns": "2020-01-01-preview",
    "registeredPrefixes": "2020-01-01-preview",
    "connectionMonitorTests": "2021-06-01",
    "initializeConnectionMonitor": "2021-06-01",
    "validate": "2022-06-01",
}
"""Words of paths with the version that brought them."""

NESTED_ERRORS_SINCE = "2020-10-01"
"""Services of before answered errors flat [REC]."""


def is_older(version: str, than: str) -> bool:
    """Whether a version came before another. Raises ValueError for an unknown one."""
    return API_VERSIONS.index(version) < API_VERSIONS.index(than)


def shaped(value: Any, version: str) -> Any:
    """An answer, out of JSON's own types, as that version has it; the newest has everything."""
    if version == API_VERSIONS[-1]:
        return value
    if isinstance(value, list):
        return [shaped(item, version) for item in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for name, item in value.items():
        since = FIELDS_SINCE.get(name)
        if since is not None and is_older(version, since):
            continue
        if name == "connectionState" and item in STATES_SINCE and is_older(version, STATES_SINCE[item][0]):
            item = STATES_SINCE[item][1]
        kept[name] = shaped(item, version)
    return kept


def unknown_operation(path: str, version: str) -> str | None:
    """The word of a path that the version does not have yet; None when it has them all."""
    for word in path.split("/"):
        since = OPERATIONS_SINCE.get(word)
        if since is not None and is_older(version, since):
            return word
    return None
