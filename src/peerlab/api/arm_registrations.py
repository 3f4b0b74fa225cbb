"""``registeredPrefixes`` and ``registeredAsns`` of a peering (spec 1.2, 3.4, 3.5)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from peerlab.api.arm_body import body_of
from peerlab.api.arm_paging import by_key, page_of
from peerlab.api.arm_peerings import ONE, found_peering
from peerlab.api.arm_protocol import answer
from peerlab.controller.office import Office
from peerlab.peering.command import (
    DeleteRegisteredAsn,
    DeleteRegisteredPrefix,
    PutRegisteredAsn,
    PutRegisteredPrefix,
    ValidateRegisteredPrefix,
)
from peerlab.peering.record import PeeringRecord, RegisteredAsnRecord, RegisteredPrefixRecord
from peerlab.peering.refusal import bad_argument, child_not_found
from peerlab.peering.registration import PeeringRegisteredAsn, PeeringRegisteredPrefix
from peerlab.peering.scope import Scope
from peerlab.peering.view import registered_asn_resource, registered_prefix_resource

PREFIXES, ASNS = ONE + "/registeredPrefixes", ONE + "/registeredAsns"


def registered_prefixes(office: Office) -> APIRouter:
    """The operations on registered prefixes."""
    router = APIRouter(tags=["registeredPrefixes"])

    def found(subscription: str, group: str, peering: str, name: str) -> tuple[RegisteredPrefixRecord, PeeringRecord]:
        parent = found_peering(office, subscription, group, peering)
        record = office.ledger.registered_prefixes.get(f"{parent.key}/{name}".lower())
        if record is None:
            raise child_not_found()
        return record, parent

    @router.get(PREFIXES)
    async def list_registered_prefixes(subscription: str, group: str, peering: str, request: Request) -> Response:
        parent = found_peering(office, subscription, group, peering)
        children = {k: r for k, r in office.ledger.registered_prefixes.items() if r.peering == parent.key}
        return page_of(request, by_key({k: registered_prefix_resource(r, parent) for k, r in children.items()}))

    @router.get(PREFIXES + "/{name}")
    async def get_registered_prefix(subscription: str, group: str, peering: str, name: str) -> Response:
        return answer(registered_prefix_resource(*found(subscription, group, peering, name)))

    @router.put(PREFIXES + "/{name}")
    async def put_registered_prefix(
        subscription: str, group: str, peering: str, name: str, request: Request
    ) -> Response:
        body = await body_of(request, PeeringRegisteredPrefix)
        parent = found_peering(office, subscription, group, peering)
        if not body.properties.prefix:
            raise bad_argument("prefix must be given")
        existed = f"{parent.key}/{name}".lower() in office.ledger.registered_prefixes
        office.ask(PutRegisteredPrefix(peering=parent.key, name=name, prefix=body.properties.prefix))
        resource = registered_prefix_resource(*found(subscription, group, peering, name))
        return answer(resource, 200 if existed else 201)

    @router.post(PREFIXES + "/{name}/validate")
    async def validate_registered_prefix(subscription: str, group: str, peering: str, name: str) -> Response:
        record, _ = found(subscription, group, peering, name)
        office.ask(ValidateRegisteredPrefix(registered=record.key))
        return answer(registered_prefix_resource(*found(subscription, group, peering, name)))

    @router.delete(PREFIXES + "/{name}")
    async def delete_registered_prefix(subscription: str, group: str, peering: str, name: str) -> Response:
        key = f"{Scope(subscription=subscription, resource_group=group).key(peering)}/{name}".lower()
        if key not in office.ledger.registered_prefixes:
            return Response(status_code=204)
        office.ask(DeleteRegisteredPrefix(registered=key))
        return Response(status_code=200)

    return router


def registered_asns(office: Office) -> APIRouter:
    """The operations on registered ASNs."""
    router = APIRouter(tags=["registeredAsns"])

    def found(subscription: str, group: str, peering: str, name: str) -> tuple[RegisteredAsnRecord, PeeringRecord]:
        parent = found_peering(office, subscription, group, peering)
        record = office.ledger.registered_asns.get(f"{parent.key}/{name}".lower())
        if record is None:
            raise child_not_found()
        return record, parent

    @router.get(ASNS)
    async def list_registered_asns(subscription: str, group: str, peering: str, request: Request) -> Response:
        parent = found_peering(office, subscription, group, peering)
        children = {k: r for k, r in office.ledger.registered_asns.items() if r.peering == parent.key}
        return page_of(request, by_key({k: registered_asn_resource(r, parent) for k, r in children.items()}))

    @router.get(ASNS + "/{name}")
    async def get_registered_asn(subscription: str, group: str, peering: str, name: str) -> Response:
        return answer(registered_asn_resource(*found(subscription, group, peering, name)))

    @router.put(ASNS + "/{name}")
    async def put_registered_asn(subscription: str, group: str, peering: str, name: str, request: Request) -> Response:
        body = await body_of(request, PeeringRegisteredAsn)
        parent = found_peering(office, subscription, group, peering)
        if body.properties.asn is None:
            raise bad_argument("asn must be given")
        existed = f"{parent.key}/{name}".lower() in office.ledger.registered_asns
        office.ask(PutRegisteredAsn(peering=parent.key, name=name, asn=body.properties.asn))
        resource = registered_asn_resource(*found(subscription, group, peering, name))
        return answer(resource, 200 if existed else 201)

    @router.delete(ASNS + "/{name}")
    async def delete_registered_asn(subscription: str, group: str, peering: str, name: str) -> Response:
        key = f"{Scope(subscription=subscription, resource_group=group).key(peering)}/{name}".lower()
        if key not in office.ledger.registered_asns:
            return Response(status_code=204)
        office.ask(DeleteRegisteredAsn(registered=key))
        return Response(status_code=200)

    return router
