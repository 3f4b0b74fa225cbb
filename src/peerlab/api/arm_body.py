"""Bodies of requests: what is read-only there is dropped, what is unknown is passed over (spec 1.4)."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from peerlab.peering.refusal import bad_argument

T = TypeVar("T")

LARGEST = 1 << 20
"""Octets of a body; ARM takes no more than a few megabytes either."""

READ_ONLY = frozenset(
    {
        "provisioningState", "connectionState", "errorMessage", "sessionStateV4", "sessionStateV6", "systemData",
        "provisionedBandwidthInMbps", "microsoftTrackingId", "validationState", "prefixValidationState",
        "learnedType", "events", "isTestSuccessful", "path",
        "tier", "family", "size", "prefixesToAccesslist", "logAnalyticsWorkspaceProperties",
    }
)  # fmt: skip
"""Names that are read-only wherever they stand."""

READ_ONLY_AT_THE_TOP = frozenset({"id", "name", "type"})


async def body_of(request: Request, kind: type[T]) -> T:
    """The body as a resource. Raises RefusedError(BadArgument) with the place of the mistake."""
    text = await _text_of(request)
    try:
        raw = msgspec.json.decode(text) if text else {}
        if not isinstance(raw, dict):
            raise bad_argument("The request body must be a JSON object")
        writable = {name: value for name, value in raw.items() if name not in READ_ONLY_AT_THE_TOP}
        return msgspec.convert(_writable(writable), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise bad_argument(f"The request content was invalid: {wrong}") from wrong


async def _text_of(request: Request) -> bytes:
    found = bytearray()
    async for portion in request.stream():
        found += portion
        if len(found) > LARGEST:
            raise bad_argument(f"The request content is longer than {LARGEST} octets")
    return bytes(found)


def _writable(value: Any) -> Any:
    """Without nulls, which mean that a field is not given, and without what is read-only."""
    if isinstance(value, list):
        return [_writable(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _writable(item) for name, item in value.items() if item is not None and name not in READ_ONLY}
    if isinstance(kept.get("direct"), dict):
        # Of the peering it is what its connections make of it; of a connection it can be asked for.
        kept["direct"].pop("useForPeeringService", None)
    return kept
