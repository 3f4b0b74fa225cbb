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

LEAK_TYPES = (1, 2, 3, 4, 5, 6)
BY_CUSTOMERS = (1, 4)
"""Types by which a provider's customer leaks to it."""


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
    for kind in LEAK_TYPES:
        yield leak_of(model, kind, customer if kind in BY_CUSTOMERS else peer, spare, foreign)


def leak_of(model: LabModel, kind: int, by: Announcer, spare: Iterator[Prefix], foreign: tuple[int, int]) -> Leak:
    """One leak of a type (RFC 7908 section 3) by anybody in any lab. Types 1 and 4 are leaks to a provider."""
    one, two = foreign
    if kind == 1:
        return _leak(1, by, next(spare), (by.asn, one, two), otc=one)
    if kind == 2:
        return _leak(2, by, next(spare), (by.asn, one))
    if kind == 3:
        return _leak(3, by, next(spare), (by.asn, min(TRANSIT_FREE - {by.asn}), one))
    if kind == 4:
        return _leak(4, by, next(spare), (by.asn, two), otc=two)
    if kind == 5:
        return _leak(5, by, _stranger(model, by) or next(spare), (by.asn,))
    finer = next(ip_network(_own(model, by) or next(spare)).subnets(prefixlen_diff=2))
    return _leak(6, by, Prefix(str(finer)), (by.asn,))


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
