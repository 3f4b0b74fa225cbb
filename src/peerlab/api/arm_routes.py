"""What the routers tell: received routes and the looking glass; and the lists a lab has nothing for (spec 1.2)."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from peerlab.api.arm_paging import filters_of, page_of, query, required
from peerlab.api.arm_peerings import GROUP, ONE, SUBSCRIPTION, found_peering
from peerlab.api.arm_protocol import answer, error_answer
from peerlab.controller.looking_glass import look
from peerlab.controller.office import Office
from peerlab.controller.received_routes import FILTERS, received_routes
from peerlab.peering.enums import LookingGlassCommand, LookingGlassSource
from peerlab.peering.received_route import LookingGlassOutput
from peerlab.peering.refusal import bad_argument

Word = TypeVar("Word", bound=StrEnum)

TESTS = GROUP + "/peeringServices/{service}/connectionMonitorTests"


def routes(office: Office) -> APIRouter:
    """Received routes and the looking glass."""
    router = APIRouter(tags=["routes"])

    @router.get(ONE + "/receivedRoutes")
    async def list_received_routes(subscription: str, group: str, peering: str, request: Request) -> Response:
        record = found_peering(office, subscription, group, peering)
        filters = filters_of(request, FILTERS)
        sessions = [(node, session) for _, session, node in office.sessions_of(record)]
        return page_of(request, await received_routes(office.lab, sessions, filters), filters)

    @router.post(SUBSCRIPTION + "/lookingGlass")
    async def invoke_looking_glass(subscription: str, request: Request) -> Response:
        command = _word(LookingGlassCommand, "command", required(request, "command"))
        kind = _word(LookingGlassSource, "sourceType", required(request, "sourceType"))
        location, destination = required(request, "sourceLocation"), required(request, "destinationIP")
        output = await look(office.lab, command, kind, location, destination)
        return answer(LookingGlassOutput(command=command, output=output))

    return router


def empty_lists(office: Office) -> APIRouter:
    """Lists of what no lab has: nothing is billed, the cloud has no CDN, no peering was made out of band."""
    router = APIRouter(tags=["routes"])

    @router.get(ONE + "/rpUnbilledPrefixes")
    async def list_unbilled_prefixes(subscription: str, group: str, peering: str, request: Request) -> Response:
        found_peering(office, subscription, group, peering)
        return page_of(request, [])

    @router.get(SUBSCRIPTION + "/cdnPeeringPrefixes")
    async def list_cdn_prefixes(subscription: str, request: Request) -> Response:
        required(request, "peeringLocation")
        return page_of(request, [])

    @router.get(SUBSCRIPTION + "/legacyPeerings")
    async def list_legacy_peerings(subscription: str, request: Request) -> Response:
        required(request, "peeringLocation")
        required(request, "kind")
        if (asn := query(request, "asn")) and not asn.isdecimal():
            raise bad_argument(f"asn '{asn}' is not a number")
        return page_of(request, [])

    return router


def unbuilt() -> APIRouter:
    """Operations that this lab does not carry out yet: they say so instead of making an answer up."""
    router = APIRouter(tags=["connectionMonitorTests"])

    async def say_so(request: Request) -> Response:
        return error_answer(
            501, "NotImplemented", f"{request.method} {request.url.path} is not carried out by this lab yet"
        )

    router.add_api_route(TESTS, say_so, methods=["GET"], name="list_connection_monitor_tests")
    for method in ("GET", "PUT", "DELETE"):
        router.add_api_route(
            TESTS + "/{name}", say_so, methods=[method], name=f"{method.lower()}_connection_monitor_test"
        )
    router.add_api_route(
        SUBSCRIPTION + "/initializeConnectionMonitor", say_so, methods=["POST"], name="initialize_connection_monitor"
    )
    return router


def _word(kind: type[Word], name: str, text: str) -> Word:
    found = next((word for word in kind if word.casefold() == text.casefold()), None)
    if found is None:
        raise bad_argument(f"{name} '{text}' must be one of {', '.join(kind)}")
    return found
