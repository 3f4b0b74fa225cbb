"""Microsoft's side of the desk over HTTPS: never on the ARM paths, never with an ARM token."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from peerlab.api.arm_body import body_of
from peerlab.api.arm_protocol import answer, error_answer
from peerlab.api.operator_acts import ACTS, CONNECTION, Order
from peerlab.controller.office import Office
from peerlab.errors import RefusedError
from peerlab.evidence.events import MailSent

ROOT = "/operator/v1"


def operator_api(office: Office) -> APIRouter:
    """Acts by name, what stands on the desk, and the outbox."""
    router = APIRouter(tags=["operator"], prefix=ROOT)

    @router.get("/desk")
    async def read_desk() -> Response:
        ledger = office.ledger
        return answer(
            {
                "peerAsns": [
                    {"on": key, "asn": r.asn, "state": r.state, "error": r.error}
                    for key, r in sorted(ledger.peer_asns.items())
                ],
                "connections": [
                    {
                        "on": key,
                        "connection": c.label,
                        "kind": p.direct_type or p.kind,
                        "asn": p.asn,
                        "location": p.peering_location,
                        "state": c.state,
                        "error": c.error,
                    }
                    for key, p in sorted(ledger.peerings.items())
                    for c in p.connections
                ],
            }
        )

    @router.get("/outbox")
    async def read_outbox() -> Response:
        return answer([event for event in office.lab.events if isinstance(event, MailSent)])

    @router.post("/{act}")
    async def do(act: str, request: Request) -> Response:
        known = ACTS.get(act)
        if known is None:
            return error_answer(404, "NotFound", f"there is no act '{act}'; there are {', '.join(ACTS)}")
        order = await body_of(request, Order)
        orders = [order]
        if known.about == CONNECTION and not order.connection:
            orders = [Order(order.on, label, order.reason) for label in _connections(office, order.on)]
        for one in orders:
            await known.do(office, one)
        return answer({"done": act, "on": order.on, "connections": [o.connection for o in orders if o.connection]})

    return router


def _connections(office: Office, peering: str) -> list[str]:
    record = office.ledger.peerings.get(peering.lower())
    if record is None:
        raise RefusedError("NotFound", f"there is no peering {peering}; `peerlab operator LAB desk` lists them")
    return [c.label for c in record.connections]
