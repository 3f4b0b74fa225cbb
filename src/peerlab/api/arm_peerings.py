"""``peerings``: the resource that everything hangs on (spec 1.2, 1.5)."""

from __future__ import annotations

import re

import msgspec
from fastapi import APIRouter, Request, Response

from peerlab.api.arm_body import body_of
from peerlab.api.arm_paging import by_key, cut, paged, query, required
from peerlab.api.arm_protocol import answer
from peerlab.controller.office import Office
from peerlab.controller.probe_monitor import ip_version, prefixes_to_accesslist
from peerlab.peering.command import DeletePeering, PutPeering, TagPeering
from peerlab.peering.legacy import as_listed
from peerlab.peering.peering_resource import Peering
from peerlab.peering.record import PeeringRecord
from peerlab.peering.refusal import bad_argument, peering_not_found
from peerlab.peering.request_rules import asn_of
from peerlab.peering.scope import PROVIDER, Scope
from peerlab.peering.view import peering_resource

SUBSCRIPTION = f"/subscriptions/{{subscription}}/providers/{PROVIDER}"
GROUP = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}"
ONE = GROUP + "/peerings/{peering}"

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.{}-]{1,64}\Z")


class Tags(msgspec.Struct, frozen=True):
    """The body of a PATCH: tags, and nothing else is looked at."""

    tags: dict[str, str] = {}


def found_peering(office: Office, subscription: str, group: str, name: str) -> PeeringRecord:
    """The record. Raises RefusedError(ResourceNotFound)."""
    record = office.ledger.peerings.get(Scope(subscription=subscription, resource_group=group).key(name))
    if record is None:
        raise peering_not_found(name, group)
    return record


def peerings(office: Office) -> APIRouter:
    """The operations on peerings; a peering's session states are asked of the routers at every call."""
    router = APIRouter(tags=["peerings"])

    async def published(*records: PeeringRecord) -> list[Peering]:
        states = await office.session_states(records)
        return [_with_access_lists(office, peering_resource(record, states)) for record in records]

    async def listed(request: Request, records: list[PeeringRecord]) -> Response:
        page, link = cut(request, by_key({record.key: record for record in records}))
        return paged(await published(*(record for _, record in page)), link)

    @router.get(SUBSCRIPTION + "/peerings")
    async def list_peerings_of_subscription(subscription: str, request: Request) -> Response:
        ours = [p for p in office.ledger.peerings.values() if p.scope.subscription.lower() == subscription.lower()]
        return await listed(request, ours)

    @router.get(GROUP + "/peerings")
    async def list_peerings_of_group(subscription: str, group: str, request: Request) -> Response:
        here = (subscription.lower(), group.lower())
        ours = [
            p
            for p in office.ledger.peerings.values()
            if (p.scope.subscription.lower(), p.scope.resource_group.lower()) == here
        ]
        return await listed(request, ours)

    @router.get(ONE)
    async def get_peering(subscription: str, group: str, peering: str) -> Response:
        (resource,) = await published(found_peering(office, subscription, group, peering))
        return answer(resource)

    @router.put(ONE)
    async def put_peering(subscription: str, group: str, peering: str, request: Request) -> Response:
        scope = Scope(subscription=subscription, resource_group=group)
        body = await body_of(request, Peering)
        _check_identifiers(body)
        key = scope.key(peering)
        existed = key in office.ledger.peerings
        office.ask(PutPeering(name=peering, peering=body, scope=scope))
        (resource,) = await published(office.ledger.peerings[key])
        return answer(resource, 200 if existed else 201)

    @router.patch(ONE)
    async def patch_peering(subscription: str, group: str, peering: str, request: Request) -> Response:
        tags = (await body_of(request, Tags)).tags
        record = found_peering(office, subscription, group, peering)
        office.ask(TagPeering(peering=record.key, tags=tags))
        (resource,) = await published(office.ledger.peerings[record.key])
        return answer(resource)

    @router.get(SUBSCRIPTION + "/legacyPeerings")
    async def list_legacy_peerings(subscription: str, request: Request) -> Response:
        """Those of the AS that is asked for, else of every PeerAsn of the subscription (spec 2.7)."""
        location, kind = required(request, "peeringLocation"), required(request, "kind")
        asn, wanted_type = query(request, "asn"), query(request, "directPeeringType")
        number = asn_of(asn) if asn else None
        owners = {
            r.asn: r for r in office.ledger.peer_asns.values() if r.scope.subscription.lower() == subscription.lower()
        }
        found = [
            as_listed(
                legacy,
                Scope(subscription=subscription),
                place.azure_region if (place := office.catalogue.place(legacy.peering_location)) else "",
                owners[legacy.asn].scope.peer_asn_id(owners[legacy.asn].name) if legacy.asn in owners else "",
            )
            for legacy in office.ledger.legacy.values()
            if (legacy.asn in owners if number is None else legacy.asn == number)
            and legacy.peering_location.casefold() == location.casefold()
            and legacy.kind.casefold() == kind.casefold()
            and wanted_type.casefold() in ("", (legacy.direct_type or "").casefold())
        ]
        return await listed(request, found)

    @router.delete(ONE)
    async def delete_peering(subscription: str, group: str, peering: str) -> Response:
        key = Scope(subscription=subscription, resource_group=group).key(peering)
        if key not in office.ledger.peerings:
            return Response(status_code=204)
        office.ask(DeletePeering(peering=key))
        return Response(status_code=200)

    return router


def _with_access_lists(office: Office, peering: Peering) -> Peering:
    """Every connectivity probe says from which prefixes it comes."""
    if not peering.properties.connectivity_probes:
        return peering
    probes = tuple(
        msgspec.structs.replace(
            probe,
            prefixes_to_accesslist=prefixes_to_accesslist(
                office.base, probe.azure_region or "", ip_version(probe.endpoint or "")
            ),
        )
        for probe in peering.properties.connectivity_probes
    )
    properties = msgspec.structs.replace(peering.properties, connectivity_probes=probes)
    return msgspec.structs.replace(peering, properties=properties)


def _check_identifiers(body: Peering) -> None:
    """A GUID is expected; what is refused is only what could not be told from a path."""
    halves = (body.properties.direct, body.properties.exchange)
    for connection in (c for half in halves if half is not None for c in half.connections):
        identifier = connection.connection_identifier
        if identifier is not None and not _IDENTIFIER.match(identifier):
            raise bad_argument(f"connectionIdentifier '{identifier}' is not a GUID")
