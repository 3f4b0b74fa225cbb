"""Lists in pages: ``value`` and ``nextLink`` with ``$skipToken`` (spec 1.1).

A token holds the place of the last row and the filters, so that it is whole in itself: rows that come or go between
two pages move no other row into or out of sight, and clients that quote a ``nextLink`` once more do no harm.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from peerlab.api.arm_protocol import answer
from peerlab.peering.refusal import bad_argument

PAGE = 1000
"""Rows of a page; no source says how many Azure gives."""

T = TypeVar("T")


class _Token(msgspec.Struct, frozen=True, array_like=True):
    place: tuple[int | str, ...]
    filters: dict[str, str]


class Readings(Generic[T]):
    """What was read for the first page of a list, so that its further pages need not read it again.

    Only the latest few are kept, and none for long: a client that comes late gets a list read anew.
    """

    def __init__(self, seconds: float = 60.0, kept: int = 4) -> None:
        self._seconds = seconds
        self._kept = kept
        self._read: dict[Hashable, tuple[float, T]] = {}

    def put(self, place: Hashable, read: T) -> None:
        """Remember a reading."""
        self._read.pop(place, None)
        self._read[place] = (time.monotonic(), read)
        while len(self._read) > self._kept:
            self._read.pop(next(iter(self._read)))

    def get(self, place: Hashable) -> T | None:
        """A reading that is young enough."""
        at, read = self._read.get(place, (0.0, None))
        return read if read is not None and time.monotonic() - at < self._seconds else None


def filters_of(request: Request, names: Sequence[str]) -> dict[str, str]:
    """The filters of a call: those of its token, else those in the query."""
    token = _token_of(request)
    if token is not None:
        return token.filters
    return {name: value for name in names if (value := query(request, name))}


def page_of(
    request: Request,
    rows: Sequence[tuple[Any, T]],
    filters: Mapping[str, str] | None = None,
    size: int = PAGE,
) -> Response:
    """One page of rows, which are (place, value) in the order of places; a place is a tuple of integers and texts."""
    page, link = cut(request, rows, filters, size)
    return paged([value for _, value in page], link)


def cut(
    request: Request, rows: Sequence[tuple[Any, T]], filters: Mapping[str, str] | None = None, size: int = PAGE
) -> tuple[Sequence[tuple[Any, T]], str | None]:
    """The rows of one page and the link to the next: for values that are dear to make. Raises RefusedError."""
    token = _token_of(request)
    start = tuple(token.place) if token else None
    try:
        rest = rows if start is None else [row for row in rows if row[0] > start]
    except TypeError as wrong:
        raise bad_argument("$skipToken is of another list") from wrong
    if len(rest) <= size:
        return rest, None
    last = _Token(place=rest[size - 1][0], filters=dict(filters or {}))
    skip = msgspec.json.encode(last).hex()
    url = request.url.replace(query=f"api-version={query(request, 'api-version')}&$skipToken={skip}")
    return rest[:size], str(url)


def paged(values: Sequence[object], link: str | None) -> Response:
    """The answer that a page is."""
    body: dict[str, object] = {"value": values}
    if link is not None:
        body["nextLink"] = link
    return answer(body)


def by_key(rows: Mapping[str, T]) -> list[tuple[tuple[str], T]]:
    """A table in the order of its keys."""
    return [((key,), rows[key]) for key in sorted(rows)]


def query(request: Request, name: str) -> str:
    """A query parameter, its name in any case; empty when there is none."""
    return next((value for known, value in request.query_params.items() if known.lower() == name.lower()), "")


def required(request: Request, name: str) -> str:
    """A query parameter that must be there. Raises RefusedError."""
    found = query(request, name)
    if not found:
        raise bad_argument(f"The query parameter '{name}' is required")
    return found


def _token_of(request: Request) -> _Token | None:
    text = query(request, "$skipToken")
    if not text:
        return None
    try:
        return msgspec.json.decode(bytes.fromhex(text), type=_Token)
    except (ValueError, msgspec.MsgspecError) as wrong:
        raise bad_argument("$skipToken is malformed") from wrong
