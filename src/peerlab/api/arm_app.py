"""The whole of what is served: the ARM API, the operator's API, metrics, and their description."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from peerlab import __version__
from peerlab.api.arm_monitor import connection_monitor_tests
from peerlab.api.arm_operations import operations
from peerlab.api.arm_peer_asns import peer_asns
from peerlab.api.arm_peerings import peerings
from peerlab.api.arm_places import places
from peerlab.api.arm_protocol import Gate, on_refusal, on_unrouted
from peerlab.api.arm_registrations import registered_asns, registered_prefixes
from peerlab.api.arm_routes import empty_lists, routes
from peerlab.api.arm_services import peering_services, service_prefixes
from peerlab.api.description import describe
from peerlab.api.metrics import metrics
from peerlab.api.operator_api import operator_api
from peerlab.api.token import Issuer
from peerlab.controller.office import Office
from peerlab.errors import PeerlabError


def application(office: Office, issuer: Issuer) -> ASGIApp:
    """The ASGI application of one lab's office."""
    app = FastAPI(
        title="Microsoft.Peering over a peerlab lab",
        version=__version__,
        description="Every operation of Microsoft.Peering, answered from real routers, and the operator's side.",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={PeerlabError: on_refusal, 404: on_unrouted, 405: on_unrouted},
    )
    for router in (
        operations(),
        peer_asns(office),
        peerings(office),
        registered_prefixes(office),
        registered_asns(office),
        routes(office),
        peering_services(office),
        service_prefixes(office),
        places(office),
        empty_lists(office),
        connection_monitor_tests(office),
        operator_api(office),
        metrics(office),
    ):
        app.include_router(router)
    describe(app.openapi())
    return Gate(app, issuer, lambda: office.ledger)
