"""Which sources an edge takes packets of from a peer: what the peer may announce, whether or not it announces it now.

The strict form of reverse-path filtering would drop what comes in by another connection than the best route leaves by,
which is every packet of a customer with two locations. So sources are those of the registry's route objects of the
peer's as-set (RFC 8704 section 3.7, MANRS action 2), to which the import policy keeps announcements too. Decision 0024.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from peerlab.bgp.attributes import Prefix
from peerlab.peering.intent import as_set
from peerlab.peering.prefix_event import ends_of
from peerlab.topology.model import AsRole, LabModel


def guarded_sources(model: LabModel, node: str, interface: str) -> tuple[Prefix, ...] | None:
    """The sources that may come in by an interface; None where any may: at whatever is no peering of the cloud.

    The addresses of the peer's own wires are among them, for its routers answer traceroutes.
    """
    cloud = model.cloud()
    if cloud is None or model.node(node).asn != cloud.asn:
        return None
    if cloud.role is not AsRole.CLOUD or not any(i.name == interface for i in model.node(node).interfaces):
        return None
    asked = {session for peering in model.peerings for wire in peering.connections for session in wire.sessions}
    peers = {
        theirs.asn
        for ours, theirs in (ends_of(model, session) for session in model.sessions if session.id in asked)
        if (ours.node, ours.interface) == (node, interface)
    }
    if not peers:
        return None
    cone = {asn for peer in peers for asn in as_set(model, peer)}
    return tuple(sorted({*_registered(model, peers, cone), *_wires(model, cone)}))


def _registered(model: LabModel, peers: set[int], cone: set[int]) -> Iterator[Prefix]:
    yield from (entry.prefix for entry in model.registry if entry.origin_asn in cone)
    for peering in model.peerings:
        if peering.peer_asn in peers:
            yield from (prefix for _, prefix in peering.registered_prefixes)


def _wires(model: LabModel, cone: set[int]) -> Iterator[Prefix]:
    for node in model.nodes:
        if node.asn not in cone:
            continue
        for loopback, bits in ((node.loopback_v4, 32), (node.loopback_v6, 128)):
            if loopback:
                yield Prefix(f"{loopback}/{bits}")
        for held in node.interfaces:
            for text in (held.v4, held.v6):
                if text:
                    yield Prefix(str(ip_interface(text).network))
