"""What every ARM call has in common: path, token, api-version, headers, two shapes of errors (spec 1.1, 1.6)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from peerlab.api.arm_shape import LEDGER, VERSION, encoded
from peerlab.api.arm_version import API_VERSIONS, NESTED_ERRORS_SINCE, is_older, unknown_operation
from peerlab.api.token import InvalidToken, Issuer, Scope
from peerlab.errors import PeerlabError, RefusedError
from peerlab.peering import refusal
from peerlab.peering.ledger import Ledger

JSON = "application/json; charset=utf-8"

OPEN_PATHS = frozenset({"/docs", "/openapi.json"})
"""The description of the API says nothing of the lab; all else needs a token."""

OPERATOR_PREFIX = "/operator/"
METRICS = "/metrics"

_WORDS = {
    word.lower(): word
    for word in (
        "subscriptions", "resourceGroups", "providers", "Microsoft.Peering", "operations", "peerAsns", "peerings",
        "registeredAsns", "registeredPrefixes", "validate", "receivedRoutes", "rpUnbilledPrefixes", "peeringServices",
        "prefixes", "connectionMonitorTests", "initializeConnectionMonitor", "checkServiceProviderAvailability",
        "peeringLocations", "legacyPeerings", "cdnPeeringPrefixes", "lookingGlass", "peeringServiceCountries",
        "peeringServiceLocations", "peeringServiceProviders",
    )
}  # fmt: skip

_STATUS = {
    refusal.BAD_ARGUMENT: 400,
    refusal.NOT_FOUND: 404,
    refusal.RESOURCE_NOT_FOUND: 404,
    refusal.CONFLICT: 409,
}

NOT_POSSIBLE_ANY_MORE = 409
NOT_SUPPORTED_METHOD = 405
"""``OperationNotSupported``: 405 as recorded; 409 when a DELETE comes at the wrong time (spec 5b)."""


def canonical_path(path: str) -> str:
    """The path with ARM's own words in their own case: resource ids are case-insensitive. Names stay as they are."""
    parts = path.split("/")
    # Words and names alternate from the first segment on, except behind a provider's name.
    position = 1
    while position < len(parts):
        word = _WORDS.get(parts[position].lower())
        if word is None:
            break
        parts[position] = word
        if word == "providers" and position + 1 < len(parts):
            parts[position + 1] = _WORDS.get(parts[position + 1].lower(), parts[position + 1])
        position += 2
    return "/".join(parts)


def answer(value: object, status: int = 200) -> Response:
    """A value of ours as JSON."""
    return Response(encoded(value), status_code=status, media_type=JSON)


def error_answer(status: int, code: str, message: str, *, cause: str = "service") -> Response:
    """The nested body of today, the flat one for a version of before."""
    version, told = VERSION.get(), {"code": code, "message": message}
    flat = version is not None and is_older(version, NESTED_ERRORS_SINCE)
    response = answer(told if flat else {"error": told}, status)
    response.headers["x-ms-failure-cause"] = cause
    return response


def refused_answer(method: str, error: RefusedError) -> Response:
    """A refusal of the desk. A missing proxy child has the flat body, a missing tracked resource the nested one."""
    if error.code == refusal.NOT_FOUND:
        response = answer({"code": error.code, "message": error.message}, 404)
        response.headers["x-ms-failure-cause"] = "service"
        return response
    if error.code == refusal.NOT_SUPPORTED:
        status = NOT_POSSIBLE_ANY_MORE if method == "DELETE" else NOT_SUPPORTED_METHOD
    else:
        status = _STATUS.get(error.code, 400)
    cause = "gateway" if error.code == refusal.RESOURCE_NOT_FOUND else "service"
    return error_answer(status, error.code, error.message, cause=cause)


async def on_refusal(request: Request, error: Exception) -> Response:
    """Exception handler: our refusals as Azure words them, anything else of ours as an internal error."""
    if isinstance(error, RefusedError):
        return refused_answer(request.method, error)
    text = str(error) if isinstance(error, PeerlabError) else "Internal server error"
    return error_answer(500, "InternalServerError", text)


async def on_unrouted(request: Request, _: Exception) -> Response:
    """No such path, or no such verb on it."""
    return error_answer(
        404, "InvalidResourceType", f"{request.method} {request.url.path} is no operation of Microsoft.Peering",
        cause="gateway",
    )  # fmt: skip


class Gate:
    """ASGI: lets a call in whose token and api-version are good, and puts the headers on what comes out.

    ``ledger`` is read for the times of resources.
    """

    def __init__(self, app: ASGIApp, issuer: Issuer, ledger: Callable[[], Ledger] | None = None) -> None:
        self._app = app
        self._issuer = issuer
        self._ledger = ledger

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent = _dressed(send, headers)
        path = canonical_path(scope["path"])
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        arm = path.startswith(("/subscriptions/", "/providers/"))
        version = _version_of(query).lower() if arm else ""
        VERSION.set(version if version in API_VERSIONS else None)
        LEDGER.set(self._ledger)
        refused = self._refusal(path, headers, query)
        if refused is not None:
            await refused(scope, receive, sent)
            return
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, sent)

    def _refusal(self, path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> Response | None:
        if path in OPEN_PATHS:
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        operator = path.startswith(OPERATOR_PREFIX)
        try:
            if kind.lower() != "bearer":
                raise InvalidToken("The 'Authorization' header is missing; it must be a Bearer token")
            self._issuer.check(token, Scope.OPERATOR if operator else Scope.ARM, int(time.time()))
        except InvalidToken as wrong:
            response = error_answer(401, "AuthenticationFailed", f"Authentication failed. {wrong}.", cause="gateway")
            response.headers["WWW-Authenticate"] = 'Bearer realm="peerlab"'
            return response
        return None if operator or path == METRICS else _version_refusal(path, query)


def _version_of(query: Mapping[str, str]) -> str:
    return next((value for name, value in query.items() if name.lower() == "api-version"), "")


def _version_refusal(path: str, query: Mapping[str, str]) -> Response | None:
    version = _version_of(query)
    if not version:
        return error_answer(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
            cause="gateway",
        )
    if version.lower() not in API_VERSIONS:
        return error_answer(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{','.join(reversed(API_VERSIONS))}'.",
            cause="gateway",
        )
    word = unknown_operation(path, version.lower())
    if word is not None:
        return error_answer(
            404,
            "InvalidResourceType",
            f"The resource type '{word}' could not be found in the namespace 'Microsoft.Peering' "
            f"for api version '{version}'.",
            cause="gateway",
        )
    return None


def _dressed(send: Send, asked: Mapping[str, str]) -> Send:
    request_id = str(uuid.uuid4())
    correlation = asked.get("x-ms-correlation-request-id") or request_id
    client = asked.get("x-ms-client-request-id")

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-ms-request-id"] = request_id
            headers["x-ms-correlation-request-id"] = correlation
            headers["x-ms-routing-request-id"] = f"PEERLAB:{request_id}"
            headers["Cache-Control"] = "no-cache"
            headers["Pragma"] = "no-cache"
            headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
            headers["X-Content-Type-Options"] = "nosniff"
            if client and asked.get("x-ms-return-client-request-id", "").lower() == "true":
                headers["x-ms-client-request-id"] = client
        await send(message)

    return dressed
