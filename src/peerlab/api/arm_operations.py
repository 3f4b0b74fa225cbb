"""``Microsoft.Peering/operations``: what can be permitted to whom (spec 1.2, EX/ListPeeringOperations)."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response

from peerlab.api.arm_paging import page_of
from peerlab.peering.scope import PROVIDER

WRITABLE = (
    "peerAsns",
    "peerings",
    "peerings/registeredPrefixes",
    "peerings/registeredAsns",
    "peeringServices",
    "peeringServices/prefixes",
    "peeringServices/connectionMonitorTests",
)
READABLE = (
    "peeringLocations",
    "legacyPeerings",
    "peeringServiceLocations",
    "peeringServiceProviders",
    "peerings/receivedRoutes",
)


def operation_names() -> Iterator[tuple[str, str, str]]:
    """Each operation's name, the resource it is about, and the verb."""
    yield f"{PROVIDER}/register/action", "register", "action"
    for resource in WRITABLE:
        for verb in ("read", "write", "delete"):
            yield f"{PROVIDER}/{resource}/{verb}", resource, verb
    for resource in READABLE:
        yield f"{PROVIDER}/{resource}/read", resource, "read"


def operations() -> APIRouter:
    """The provider's operations."""
    router = APIRouter(tags=["operations"])

    @router.get(f"/providers/{PROVIDER}/operations")
    async def list_operations(request: Request) -> Response:
        rows = [
            (
                (number,),
                {
                    "name": name,
                    "isDataAction": False,
                    "display": {
                        "provider": PROVIDER,
                        "resource": resource,
                        "operation": f"{verb} {resource}",
                        "description": f"Permits {verb} on {resource}",
                    },
                },
            )
            for number, (name, resource, verb) in enumerate(operation_names())
        ]
        return page_of(request, rows)

    return router
