"""What the routers tell: received routes and the looking glass; and the lists a lab has nothing for (spec 1.2)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from peerlab.api.arm_paging import Readings, filters_of, page_of, query, required
from peerlab.api.arm_peerings import ONE, SUBSCRIPTION, found_peering
from peerlab.api.arm_protocol import answer
from peerlab.controller.cdn_prefixes import cdn_prefixes
from peerlab.controller.looking_glass import look
from peerlab.controller.office import Office
from peerlab.controller.received_routes import FILTERS, Row, received_routes
from peerlab.peering.enums import LookingGlassCommand, LookingGlassSource
from peerlab.peering.received_route import CdnPeeringPrefix, LookingGlassOutput
from peerlab.peering.refusal import bad_argument
from peerlab.peering.scope import PROVIDER

Word = TypeVar("Word", bound=StrEnum)


def routes(office: Office) -> APIRouter:
    """Received routes and the looking glass."""
    router = APIRouter(tags=["routes"])
    readings: Readings[list[Row]] = Readings()

    @router.get(ONE + "/receivedRoutes")
    async def list_received_routes(subscription: str, group: str, peering: str, request: Request) -> Response:
        record = found_peering(office, subscription, group, peering)
        filters = filters_of(request, FILTERS)
        place = (record.key, tuple(sorted(filters.items())))
        rows = readings.get(place) if query(request, "$skipToken") else None
        if rows is None:
            sessions = [(node, session) for _, session, node in office.sessions_of(record)]
            rows = await received_routes(office.lab, sessions, filters)
            readings.put(place, rows)
        return page_of(request, rows, filters)

    @router.get(SUBSCRIPTION + "/cdnPeeringPrefixes")
    async def list_cdn_prefixes(subscription: str, request: Request) -> Response:
        rows = []
        for found in await cdn_prefixes(office, required(request, "peeringLocation")):
            name = "CdnPrefix_" + re.sub(r"[^0-9A-Fa-f]", "_", found.prefix or "")
            one = CdnPeeringPrefix(
                id=f"/subscriptions/{subscription}/providers/{PROVIDER}/cdnPeeringPrefixes/{name}",
                name=name,
                type=f"{PROVIDER}/cdnPeeringPrefixes",
                properties=found,
            )
            rows.append(((name,), one))
        return page_of(request, sorted(rows, key=lambda row: row[0]))

    @router.post(SUBSCRIPTION + "/lookingGlass")
    async def invoke_looking_glass(subscription: str, request: Request) -> Response:
        command = _word(LookingGlassCommand, "command", required(request, "command"))
        kind = _word(LookingGlassSource, "sourceType", required(request, "sourceType"))
        location, destination = required(request, "sourceLocation"), required(request, "destinationIP")
        output = await look(office.lab, command, kind, location, destination)
        return answer(LookingGlassOutput(command=command, output=output))

    return router


def empty_lists(office: Office) -> APIRouter:
    """Lists of what no lab has: nothing is billed."""
    router = APIRouter(tags=["routes"])

    @router.get(ONE + "/rpUnbilledPrefixes")
    async def list_unbilled_prefixes(subscription: str, group: str, peering: str, request: Request) -> Response:
        found_peering(office, subscription, group, peering)
        return page_of(request, [])

    return router


def _word(kind: type[Word], name: str, text: str) -> Word:
    found = next((word for word in kind if word.casefold() == text.casefold()), None)
    if found is None:
        raise bad_argument(f"{name} '{text}' must be one of {', '.join(kind)}")
    return found
