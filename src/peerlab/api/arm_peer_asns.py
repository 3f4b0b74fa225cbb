"""``peerAsns``: an ASN associated with a subscription (spec 1.2, 2.4)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from peerlab.api.arm_body import body_of
from peerlab.api.arm_paging import by_key, page_of
from peerlab.api.arm_protocol import answer
from peerlab.controller.office import Office
from peerlab.peering.command import DeletePeerAsn, PutPeerAsn
from peerlab.peering.peer_asn import PeerAsn
from peerlab.peering.refusal import peer_asn_not_found
from peerlab.peering.scope import PROVIDER, Scope
from peerlab.peering.view import peer_asn_resource

ROOT = f"/subscriptions/{{subscription}}/providers/{PROVIDER}/peerAsns"


def peer_asns(office: Office) -> APIRouter:
    """The operations on PeerAsns."""
    router = APIRouter(tags=["peerAsns"])

    @router.get(ROOT)
    async def list_peer_asns(subscription: str, request: Request) -> Response:
        found = {
            key: peer_asn_resource(record)
            for key, record in office.ledger.peer_asns.items()
            if record.scope.subscription.lower() == subscription.lower()
        }
        return page_of(request, by_key(found))

    @router.get(ROOT + "/{name}")
    async def get_peer_asn(subscription: str, name: str) -> Response:
        record = office.ledger.peer_asns.get(Scope(subscription=subscription).peer_asn_key(name))
        if record is None:
            raise peer_asn_not_found()
        return answer(peer_asn_resource(record))

    @router.put(ROOT + "/{name}")
    async def put_peer_asn(subscription: str, name: str, request: Request) -> Response:
        scope = Scope(subscription=subscription)
        body = await body_of(request, PeerAsn)
        key = scope.peer_asn_key(name)
        existed = key in office.ledger.peer_asns
        office.ask(PutPeerAsn(name=name, properties=body.properties, scope=scope))
        return answer(peer_asn_resource(office.ledger.peer_asns[key]), 200 if existed else 201)

    @router.delete(ROOT + "/{name}")
    async def delete_peer_asn(subscription: str, name: str) -> Response:
        key = Scope(subscription=subscription).peer_asn_key(name)
        if key not in office.ledger.peer_asns:
            return Response(status_code=204)
        office.ask(DeletePeerAsn(peer_asn=key))
        return Response(status_code=200)

    return router
