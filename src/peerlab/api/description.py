"""The OpenAPI description of what is served: bodies, queries, answers and errors as they are, not as FastAPI guesses.

Handlers read their requests themselves (a body that is wrong is Azure's 400, never a 422), so the framework knows
paths only. What is said here comes from the very types that the handlers read and answer with.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from peerlab.api.arm_peerings import Tags
from peerlab.api.arm_places import AvailabilityQuestion
from peerlab.api.arm_version import API_VERSIONS
from peerlab.api.operator_acts import ACTS, Order
from peerlab.controller.received_routes import FILTERS
from peerlab.peering.enums import Availability, DirectPeeringType, Kind, LookingGlassCommand, LookingGlassSource
from peerlab.peering.location import (
    PeeringLocation,
    PeeringServiceCountry,
    PeeringServiceLocation,
    PeeringServiceProvider,
)
from peerlab.peering.peer_asn import PeerAsn
from peerlab.peering.peering_resource import Peering
from peerlab.peering.peering_service import PeeringService, PeeringServicePrefix
from peerlab.peering.received_route import (
    CdnPeeringPrefix,
    ConnectionMonitorTest,
    LookingGlassOutput,
    PeeringReceivedRoute,
    RpUnbilledPrefix,
)
from peerlab.peering.registration import PeeringRegisteredAsn, PeeringRegisteredPrefix

SECURITY = "bearer"

_RESOURCES: dict[str, type] = {
    "peerAsns": PeerAsn,
    "peerings": Peering,
    "registeredAsns": PeeringRegisteredAsn,
    "registeredPrefixes": PeeringRegisteredPrefix,
    "peeringServices": PeeringService,
    "prefixes": PeeringServicePrefix,
    "connectionMonitorTests": ConnectionMonitorTest,
}
"""What has a name and can be put, by the word before the name."""

_LISTS: dict[str, type] = {
    **_RESOURCES,
    "legacyPeerings": Peering,
    "receivedRoutes": PeeringReceivedRoute,
    "rpUnbilledPrefixes": RpUnbilledPrefix,
    "cdnPeeringPrefixes": CdnPeeringPrefix,
    "peeringLocations": PeeringLocation,
    "peeringServiceCountries": PeeringServiceCountry,
    "peeringServiceLocations": PeeringServiceLocation,
    "peeringServiceProviders": PeeringServiceProvider,
}
_ASKED: dict[str, Any] = {"checkServiceProviderAvailability": AvailabilityQuestion}
_ANSWERED: dict[str, Any] = {
    "checkServiceProviderAvailability": Availability,
    "lookingGlass": LookingGlassOutput,
    "validate": PeeringRegisteredPrefix,
}

_TEXT: dict[str, Any] = {"type": "string"}

ERRORS = ("400", "401", "404", "405", "409", "500")
"""Statuses with an error body; 500 only for a lab that cannot be asked."""


def _words(kind: type[StrEnum]) -> dict[str, Any]:
    return {"type": "string", "enum": [str(word) for word in kind]}


_QUERIES: dict[str, tuple[tuple[str, bool, dict[str, Any]], ...]] = {
    "peeringLocations": (("kind", True, _words(Kind)), ("directPeeringType", False, _words(DirectPeeringType))),
    "legacyPeerings": (
        ("peeringLocation", True, _TEXT),
        ("kind", True, _words(Kind)),
        ("asn", False, {"type": "integer", "minimum": 0}),
        ("directPeeringType", False, _words(DirectPeeringType)),
    ),
    "cdnPeeringPrefixes": (("peeringLocation", True, _TEXT),),
    "peeringServiceLocations": (("country", False, _TEXT),),
    "lookingGlass": (
        ("command", True, _words(LookingGlassCommand)),
        ("sourceType", True, _words(LookingGlassSource)),
        ("sourceLocation", True, _TEXT),
        ("destinationIP", True, _TEXT),
    ),
    "receivedRoutes": tuple((name, False, _TEXT) for name in FILTERS),
    "prefixes": (("$expand", False, _TEXT),),
}
"""Queries by the last word of the path: name, whether it must be there, schema."""


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document completed in place: every operation with its body, queries, answers and errors."""
    types = {*_LISTS.values(), *_ASKED.values(), LookingGlassOutput, Tags, Order}
    _, found = msgspec.json.schema_components(sorted(types, key=str), ref_template="#/components/schemas/{name}")
    components = document.setdefault("components", {})
    components["schemas"] = {**found, "Error": _ERROR, "FlatError": _FLAT_ERROR}
    components["securitySchemes"] = {SECURITY: {"type": "http", "scheme": "bearer"}}
    document["security"] = [{SECURITY: []}]
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            _complete(path, verb, operation)
    return document


def _complete(path: str, verb: str, operation: dict[str, Any]) -> None:
    parts = path.strip("/").split("/")
    word, named = (parts[-2], True) if parts[-1].startswith("{") else (parts[-1], False)
    answers: dict[str, Any] = {}
    if parts[0] == "operator":
        _complete_operator(word if named else parts[-1], verb, operation)
        return
    if parts == ["metrics"]:
        operation["responses"] = {"200": {"description": "Prometheus text", "content": {"text/plain": {}}}, **_errors()}
        return
    parameters = operation.setdefault("parameters", [])
    parameters.append(_query("api-version", True, {"type": "string", "enum": list(API_VERSIONS)}))
    if verb == "get" or word == "lookingGlass":
        parameters += [_query(*one) for one in _QUERIES.get(word, ())]
    if verb == "put":
        operation["requestBody"] = _body(_RESOURCES[word])
        answers = {"200": _answer("changed", _ref(_RESOURCES[word])), "201": _answer("made", _ref(_RESOURCES[word]))}
    elif verb == "patch":
        operation["requestBody"] = _body(Tags)
        answers = {"200": _answer("changed", _ref(_RESOURCES[word]))}
    elif verb == "delete":
        answers = {"200": {"description": "deleted"}, "204": {"description": "was not there"}}
    elif verb == "post":
        if word in _ASKED:
            operation["requestBody"] = _body(_ASKED[word])
        answers = {"200": _answer("done", _ref(_ANSWERED[word]) if word in _ANSWERED else None)}
    elif named:
        answers = {"200": _answer("the resource", _ref(_RESOURCES[word]))}
    else:
        parameters.append(_query("$skipToken", False, _TEXT))
        items = _ref(_LISTS[word]) if word in _LISTS else {"type": "object"}
        answers = {"200": _answer("a page", _page(items))}
    operation["responses"] = {**answers, **_errors()}


def _complete_operator(word: str, verb: str, operation: dict[str, Any]) -> None:
    if verb == "post":
        operation["requestBody"] = _body(Order)
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = {"type": "string", "enum": list(ACTS)}
    operation["responses"] = {"200": _answer("done" if verb == "post" else word, {}), **_errors()}


def _query(name: str, required: bool, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _body(kind: type) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _ref(kind)}}}


def _ref(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _words(kind)
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _page(items: dict[str, Any]) -> dict[str, Any]:
    properties = {"value": {"type": "array", "items": items}, "nextLink": _TEXT}
    return {"type": "object", "required": ["value"], "properties": properties}


def _answer(what: str, schema: dict[str, Any] | None) -> dict[str, Any]:
    return {"description": what, **({"content": {"application/json": {"schema": schema}}} if schema else {})}


def _errors(statuses: Sequence[str] = ERRORS) -> dict[str, Any]:
    either = {"anyOf": [{"$ref": "#/components/schemas/Error"}, {"$ref": "#/components/schemas/FlatError"}]}
    return {status: _answer("refused" if status != "500" else "the lab cannot", either) for status in statuses}


_FLAT_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "string", "minLength": 1}, "message": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
"""What a missing proxy child answers with, and every error of an api-version before 2020-10-01."""

_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"$ref": "#/components/schemas/FlatError"}},
    "additionalProperties": False,
}
