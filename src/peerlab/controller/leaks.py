"""Route leaks of all six types of RFC 7908, announced on purpose, and how far each of them got (SEC-05)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.controller.announcements import Announcer
from peerlab.controller.exam import Exam, sequence
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Stimulus
from peerlab.peering.intent import as_set
from peerlab.topology.model import LabModel
from peerlab.verify.bogon import TRANSIT_FREE


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """One leak: its type in RFC 7908 section 3, who leaks, and what."""

    kind: int
    by: Announcer
    prefix: Prefix
    attributes: PathAttributes


def leaks(
    model: LabModel, peer: Announcer, customer: Announcer, spare: Iterator[Prefix], foreign: tuple[int, int]
) -> Iterator[Leak]:
    """One leak of each type in one family: by a peer of the edge, and by one whose provider the edge is.

    A route that came from a provider or a peer carries OTC (RFC 9234) towards the customer who leaks it; a peer's leaks
    carry none, so that policy alone has to stop them.
    """
    one, two = foreign
    transit = min(TRANSIT_FREE - {peer.asn})
    yield _leak(1, customer, next(spare), (customer.asn, one, two), otc=one)
    yield _leak(2, peer, next(spare), (peer.asn, one))
    yield _leak(3, peer, next(spare), (peer.asn, transit, one))
    yield _leak(4, customer, next(spare), (customer.asn, two), otc=two)
    yield _leak(5, peer, _stranger(model, peer) or next(spare), (peer.asn,))
    internal = _own(model, peer) or next(spare)
    finer = next(ip_network(internal).subnets(prefixlen_diff=2))
    yield _leak(6, peer, Prefix(str(finer)), (peer.asn,))


def _leak(kind: int, by: Announcer, prefix: Prefix, path: tuple[int, ...], otc: int | None = None) -> Leak:
    attributes = PathAttributes(as_path=sequence(*path), next_hop=by.address, otc=otc)
    return Leak(kind=kind, by=by, prefix=prefix, attributes=attributes)


def _is_of(prefix: str, family: Family) -> bool:
    return (":" in prefix) is (family is Family.IPV6)


def _stranger(model: LabModel, peer: Announcer) -> Prefix | None:
    """A prefix that is registered for an AS of which the peer may announce nothing."""
    mine = {*as_set(model, peer.asn), model.node(peer.edge).asn}
    found = (e.prefix for e in model.registry if e.origin_asn not in mine and _is_of(e.prefix, peer.family))
    return next(found, None)


def _own(model: LabModel, peer: Announcer) -> Prefix | None:
    """A prefix of the peer's own."""
    found = (p for a in model.ases if a.asn == peer.asn for p in a.prefixes if _is_of(p, peer.family))
    return next(found, None)


def apply(exam: Exam, leak: Leak) -> None:
    """Write down that a leak is about to be announced."""
    exam.applied(
        Stimulus.LEAK,
        leak.by.node,
        leak.by.session,
        type=leak.kind,
        prefix=leak.prefix,
        as_path=leak.attributes.path_text(),
    )


def observe(exam: Exam, leak: Leak, seen: Snapshot) -> None:
    """Write down who took the leak, whom it was passed on to, and what stopped it."""
    path = leak.attributes.asns()

    def is_leak(attributes: PathAttributes) -> bool:
        return attributes.asns()[-len(path) :] == path

    accepted, passed = [], []
    for name, node in sorted(seen.nodes.items()):
        if any(r.prefix == leak.prefix and is_leak(r.attributes) for r in node.loc_rib):
            accepted.append(name)
        for session, routes in sorted(node.adj_rib_out.items()):
            if session != leak.by.session and any(r.prefix == leak.prefix and is_leak(r.attributes) for r in routes):
                passed.append(session)
    at_edge = seen.nodes[leak.by.edge].adj_rib_in_pre.get(leak.by.session, ())
    reasons = [r.reason for r in at_edge if r.prefix == leak.prefix and not r.accepted]
    exam.observed(
        Stimulus.LEAK,
        leak.by.node,
        leak.by.session,
        prefix=leak.prefix,
        accepted_at=accepted,
        passed_on_to=passed,
        reason=reasons[0] if reasons else "",
    )
