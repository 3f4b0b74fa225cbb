"""``peeringServices`` and their ``prefixes``: the customer's side (spec 1.2, 3.6)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from peerlab.api.arm_body import body_of
from peerlab.api.arm_paging import by_key, page_of, query
from peerlab.api.arm_peerings import GROUP, SUBSCRIPTION, Tags
from peerlab.api.arm_protocol import answer
from peerlab.controller.office import Office
from peerlab.peering.command import (
    DeletePeeringService,
    DeleteServicePrefix,
    PutPeeringService,
    PutServicePrefix,
    TagPeeringService,
)
from peerlab.peering.peering_service import PeeringService, PeeringServicePrefix
from peerlab.peering.record import PeeringServiceRecord
from peerlab.peering.refusal import bad_argument, child_not_found, service_not_found
from peerlab.peering.scope import Scope
from peerlab.peering.view import service_prefix_resource, service_resource
from peerlab.topology.model import NodeKind

SERVICE = GROUP + "/peeringServices/{service}"
PREFIXES = SERVICE + "/prefixes"


def found_service(office: Office, subscription: str, group: str, name: str) -> PeeringServiceRecord:
    """The record. Raises RefusedError(ResourceNotFound)."""
    record = office.ledger.services.get(Scope(subscription=subscription, resource_group=group).key(name))
    if record is None:
        raise service_not_found(name, group)
    return record


def peering_services(office: Office) -> APIRouter:
    """The operations on peering services."""
    router = APIRouter(tags=["peeringServices"])

    def published(record: PeeringServiceRecord) -> PeeringService:
        """Hosts outside the cloud are the agents that are connected to a workspace."""
        cloud = office.base.cloud()
        hosts = [n for n in office.base.nodes if n.kind is NodeKind.HOST and not (cloud and n.as_name == cloud.name)]
        workspace = office.ledger.workspaces.get(record.scope.subscription.lower())
        return service_resource(record, workspace, tuple(sorted(host.name for host in hosts)))

    @router.get(SUBSCRIPTION + "/peeringServices")
    async def list_services_of_subscription(subscription: str, request: Request) -> Response:
        services = office.ledger.services.items()
        ours = {k: s for k, s in services if s.scope.subscription.lower() == subscription.lower()}
        return page_of(request, by_key({k: published(s) for k, s in ours.items()}))

    @router.get(GROUP + "/peeringServices")
    async def list_services_of_group(subscription: str, group: str, request: Request) -> Response:
        here = (subscription.lower(), group.lower())
        services = office.ledger.services.items()
        ours = {k: s for k, s in services if (s.scope.subscription.lower(), s.scope.resource_group.lower()) == here}
        return page_of(request, by_key({k: published(s) for k, s in ours.items()}))

    @router.get(SERVICE)
    async def get_service(subscription: str, group: str, service: str) -> Response:
        return answer(published(found_service(office, subscription, group, service)))

    @router.put(SERVICE)
    async def put_service(subscription: str, group: str, service: str, request: Request) -> Response:
        scope = Scope(subscription=subscription, resource_group=group)
        body = await body_of(request, PeeringService)
        key = scope.key(service)
        existed = key in office.ledger.services
        office.ask(PutPeeringService(name=service, service=body, scope=scope))
        return answer(published(office.ledger.services[key]), 200 if existed else 201)

    @router.patch(SERVICE)
    async def patch_service(subscription: str, group: str, service: str, request: Request) -> Response:
        tags = (await body_of(request, Tags)).tags
        record = found_service(office, subscription, group, service)
        office.ask(TagPeeringService(service=record.key, tags=tags))
        return answer(published(office.ledger.services[record.key]))

    @router.delete(SERVICE)
    async def delete_service(subscription: str, group: str, service: str) -> Response:
        key = Scope(subscription=subscription, resource_group=group).key(service)
        if key not in office.ledger.services:
            return Response(status_code=204)
        office.ask(DeletePeeringService(service=key))
        return Response(status_code=200)

    return router


def service_prefixes(office: Office) -> APIRouter:
    """The operations on a service's prefixes; events only with ``$expand=events``."""
    router = APIRouter(tags=["prefixes"])

    def expanded(request: Request) -> bool:
        return "events" in query(request, "$expand").lower().split(",")

    @router.get(PREFIXES)
    async def list_prefixes(subscription: str, group: str, service: str, request: Request) -> Response:
        parent = found_service(office, subscription, group, service)
        ours = {k: r for k, r in office.ledger.prefixes.items() if r.service == parent.key}
        events = expanded(request)
        return page_of(request, by_key({k: service_prefix_resource(r, parent, events=events) for k, r in ours.items()}))

    @router.get(PREFIXES + "/{name}")
    async def get_prefix(subscription: str, group: str, service: str, name: str, request: Request) -> Response:
        parent = found_service(office, subscription, group, service)
        record = office.ledger.prefixes.get(f"{parent.key}/{name}".lower())
        if record is None:
            raise child_not_found()
        return answer(service_prefix_resource(record, parent, events=expanded(request)))

    @router.put(PREFIXES + "/{name}")
    async def put_prefix(subscription: str, group: str, service: str, name: str, request: Request) -> Response:
        properties = (await body_of(request, PeeringServicePrefix)).properties
        parent = found_service(office, subscription, group, service)
        if not properties.prefix:
            raise bad_argument("prefix must be given")
        key = f"{parent.key}/{name}".lower()
        existed = key in office.ledger.prefixes
        office.ask(
            PutServicePrefix(
                service=parent.key,
                name=name,
                prefix=properties.prefix,
                prefix_key=properties.peering_service_prefix_key,
            )
        )
        return answer(service_prefix_resource(office.ledger.prefixes[key], parent), 200 if existed else 201)

    @router.delete(PREFIXES + "/{name}")
    async def delete_prefix(subscription: str, group: str, service: str, name: str) -> Response:
        key = f"{Scope(subscription=subscription, resource_group=group).key(service)}/{name}".lower()
        if key not in office.ledger.prefixes:
            return Response(status_code=204)
        office.ask(DeleteServicePrefix(prefix=key))
        return Response(status_code=200)

    return router
