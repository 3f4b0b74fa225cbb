"""The last step of every ARM answer: ``systemData`` on resources, and the shape that the api-version has."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

from peerlab.api.arm_version import shaped
from peerlab.peering.ledger import Ledger, stamp_place
from peerlab.peering.scope import PROVIDER, Scope

VERSION: ContextVar[str | None] = ContextVar("api-version", default=None)
"""The api-version of the call that is being answered; None outside ARM's paths."""

LEDGER: ContextVar[Callable[[], Ledger] | None] = ContextVar("ledger", default=None)
"""Where the times of resources are read."""

CREATED_BY = "peerlab"
"""Who makes everything in a lab: the application that a token stands for."""


def encoded(value: object) -> bytes:
    """An answer as JSON, as the call's version has it."""
    version = VERSION.get()
    if version is None:
        return msgspec.json.encode(value)
    plain = msgspec.to_builtins(value)
    read = LEDGER.get()
    if read is not None:
        for resource in plain["value"] if isinstance(plain, dict) and "value" in plain else [plain]:
            _stamp(resource, read())
    return msgspec.json.encode(shaped(plain, version))


def _stamp(resource: Any, ledger: Ledger) -> None:
    """``systemData`` of a resource that the desk keeps; what is only on offer has none."""
    place = place_of(resource.get("id") or "") if isinstance(resource, dict) else None
    stamp = ledger.stamps.get(stamp_place(*place)) if place is not None else None
    if stamp is not None:
        who = {"By": CREATED_BY, "ByType": "Application"}
        resource["systemData"] = {
            **{f"created{what}": text for what, text in who.items()},
            "createdAt": _time(stamp.created),
            **{f"lastModified{what}": text for what, text in who.items()},
            "lastModifiedAt": _time(stamp.changed),
        }


def place_of(resource_id: str) -> tuple[str, str] | None:
    """Kind and key of the resource with this ARM id; None for what is no such id."""
    head, found, tail = resource_id.partition(f"/providers/{PROVIDER}/")
    scope, rest = head.strip("/").split("/"), tail.split("/")
    if not found or len(rest) % 2:
        return None
    kind, names = rest[-2], rest[1::2]
    if len(scope) == 2:
        return kind, Scope(subscription=scope[1]).peer_asn_key(names[0])
    return kind, Scope(subscription=scope[1], resource_group=scope[3]).key(*names)


def _time(at: int) -> str:
    seconds, nanoseconds = divmod(at, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds // 100:07d}Z"
