"""The link test that a peer asks for before BGP, on the wire of one requested connection (spec S3)."""

from __future__ import annotations

import asyncio

from peerlab.controller.lab import now_ns
from peerlab.controller.link_test import one_way
from peerlab.controller.office import Office
from peerlab.evidence.events import AddressesChanged
from peerlab.peering import command as ask
from peerlab.peering.refusal import bad_argument


async def try_link(office: Office, peering_key: str, label: str, within: str | None) -> bool:
    """Probes both ways between two addresses of 169.254.0.0/16, which are gone again afterwards. True: none lost.

    ``within`` is the range the peer names, if any. Raises RefusedError for a range outside, or without a wire.
    """
    _, wire = office.wire(peering_key, label)
    if wire.link is None:
        raise bad_argument("A link test needs a wire of its own; this connection is on an exchange")
    names = {end.node: end.interface for link in office.base.links if link.id == wire.link for end in link.ends}
    office.ask(ask.StartLinkTest(peering=peering_key, connection=label, within=within))
    _, record = office.record(peering_key, label)
    passed, detail = False, "the test was broken off"
    try:
        if record.link_test is not None:
            held = record.link_test.addresses
            ends = ((wire.edge, names[wire.edge], held.microsoft), (wire.peer, names[wire.peer], held.peer))
            passed = await _probe(office, wire.link, ends)
            detail = "" if passed else "packets were lost; see the link-tested events"
    finally:
        office.ask(ask.FinishLinkTest(peering=peering_key, connection=label, passed=passed, detail=detail))
    return passed


async def _probe(office: Office, link: str, ends: tuple[tuple[str, str, str], tuple[str, str, str]]) -> bool:
    lab = office.lab
    (edge, edge_side, microsoft), (peer, peer_side, theirs) = ends
    put: list[tuple[str, str, str]] = []
    try:
        for node, interface, address in ends:
            text = f"{address}/31"
            await lab.runtime.set_addresses(node, interface, add=(text,))
            put.append((node, interface, text))
            lab.record(AddressesChanged(at=now_ns(), node=node, interface=interface, added=(text,)))
        tests = await asyncio.gather(
            one_way(lab, link, edge, edge_side, microsoft, peer, theirs),
            one_way(lab, link, peer, peer_side, theirs, edge, microsoft),
        )
    finally:
        for node, interface, text in put:
            await lab.runtime.set_addresses(node, interface, remove=(text,))
            lab.record(AddressesChanged(at=now_ns(), node=node, interface=interface, removed=(text,)))
    return all(test.received == test.sent for test in tests)
