"""Cold and hot potato in figures (conformance.md, section B): where each router's best route leaves the cloud."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from heapq import heappop, heappush
from math import inf, log2

import msgspec

from peerlab.evidence.snapshot import Snapshot
from peerlab.topology.model import LabModel, Link, LinkPurpose, Session
from peerlab.verify.reading import best_of
from peerlab.verify.subject import cloud_routers, is_cloud, session_or_none

DEFAULT_PREFERENCE = 100
"""LOCAL_PREF of a route that has none."""


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """Where a router's best route for a prefix leaves the cloud: the edge, its metro, and the eBGP session."""

    router: str
    prefix: str
    edge: str
    metro: str | None
    session: str


def exit_from(model: LabModel, taken: Snapshot, router: str, prefix: str) -> Exit | None:
    """Follow best routes from router to router, iBGP session by iBGP session, to the eBGP session at the end.

    None when a router has no route, the route is the cloud's own, or the search goes in a circle.
    """
    here, seen = router, set[str]()
    while here not in seen:
        seen.add(here)
        node = taken.nodes.get(here)
        best = best_of(node, prefix) if node is not None else None
        session = session_or_none(model, best.session) if best is not None and best.session is not None else None
        if session is None:
            return None
        if not session.is_internal:
            return Exit(router=router, prefix=prefix, edge=here, metro=model.node(here).metro, session=session.id)
        here = _next_hop_router(model, session, here, best.attributes.next_hop if best is not None else None)
    return None


def _next_hop_router(model: LabModel, session: Session, here: str, next_hop: str | None) -> str:
    """The cloud router whose address the next hop is; the iBGP neighbour when it is nobody's (next hop unchanged)."""
    for node in cloud_routers(model):
        if next_hop is not None and next_hop in (node.loopback_v4, node.loopback_v6):
            return node.name
    return session.other(here).node


def igp_distances(model: LabModel, source: str) -> dict[str, float]:
    """Cost from one cloud router to every other over backbone links (Dijkstra)."""
    known: dict[str, float] = {}
    queue: list[tuple[float, str]] = [(0.0, source)]
    while queue:
        cost, here = heappop(queue)
        if here in known:
            continue
        known[here] = cost
        for _, there, price in _backbone(model, here):
            if there not in known:
                heappush(queue, (cost + price, there))
    return known


def _backbone(model: LabModel, node: str) -> list[tuple[Link, str, float]]:
    """Backbone links of a cloud router: the link, the router at its far end, and the IGP cost outward."""
    found = []
    for link in model.links:
        ends = {end.node: end.interface for end in link.ends}
        if link.purpose is not LinkPurpose.BACKBONE or node not in ends or len(ends) != 2:
            continue
        (far,) = [name for name in ends if name != node]
        if is_cloud(model, far):
            cost = model.node(node).interface(ends[node]).igp_cost
            found.append((link, far, float(cost if cost is not None else 1)))
    return found


def shortest_delay(model: LabModel, source: str, target: str) -> float | None:
    """Emulated delay in ms along the cheapest IGP path; links without a delay count 0. None when there is no path."""
    done: set[str] = set()
    queue: list[tuple[float, float, str]] = [(0.0, 0.0, source)]
    while queue:
        cost, delay, here = heappop(queue)
        if here == target:
            return delay
        if here in done:
            continue
        done.add(here)
        for link, there, price in _backbone(model, here):
            if there not in done:
                heappush(queue, (cost + price, delay + (link.delay_ms or 0.0), there))
    return None


class Potato(msgspec.Struct, frozen=True, kw_only=True):
    """The measures for one prefix over all cloud routers. ``discriminating`` pairs can tell cold from hot."""

    prefix: str
    designated: str
    exits: tuple[Exit, ...]
    without: tuple[str, ...]
    discriminating: tuple[str, ...]

    @property
    def share(self) -> float:
        """CP-share: of the discriminating routers, how many leave at the designated metro."""
        if not self.discriminating:
            return 0.0
        good = sum(e.metro == self.designated for e in self.exits if e.router in self.discriminating)
        return good / len(self.discriminating)

    @property
    def agreement(self) -> float:
        """A(x): the share of routers that leave at the most popular metro."""
        routers = len(self.exits) + len(self.without)
        return max(Counter(e.metro for e in self.exits).values(), default=0) / routers if routers else 0.0

    @property
    def entropy(self) -> float:
        """H(e|x) in bits over the routers' exit metros."""
        counts = Counter(e.metro for e in self.exits).values()
        total = sum(counts)
        return abs(-sum(c / total * log2(c / total) for c in counts)) if total else 0.0


def measure(model: LabModel, taken: Snapshot, prefix: str, designated: str, ways_out: frozenset[str]) -> Potato:
    """Measure a prefix at one moment against its designated metro (the primary location, or the backup's).

    ``ways_out`` are the edges at which a hot potato could leave (``hot_exits``): a router that is nearest to one in
    another metro can tell cold from hot.
    """
    exits, without, telling = [], [], []
    for router in (node.name for node in cloud_routers(model)):
        found = exit_from(model, taken, router, prefix)
        if found is None:
            without.append(router)
        else:
            exits.append(found)
        nearest = nearest_metro(model, router, ways_out)
        if nearest is not None and nearest != designated:
            telling.append(router)
    return Potato(
        prefix=prefix,
        designated=designated,
        exits=tuple(exits),
        without=tuple(without),
        discriminating=tuple(telling),
    )


def hot_exits(model: LabModel, hot: Snapshot, prefix: str) -> frozenset[str]:
    """Edges whose accepted eBGP routes for the prefix have the highest LOCAL_PREF of all in the control run.

    Without the location preference these are equal before the IGP, so the nearest of them is where a hot potato leaves.
    """
    offers: dict[str, int] = {}
    for name, node in hot.nodes.items():
        if not is_cloud(model, name):
            continue
        for session, rib in node.adj_rib_in_post.items():
            for route in rib:
                if route.accepted and route.prefix == prefix and _is_external(model, session):
                    given = route.attributes.local_pref
                    preference = given if given is not None else DEFAULT_PREFERENCE
                    offers[name] = max(preference, offers.get(name, 0))
    best = max(offers.values(), default=0)
    return frozenset(name for name, preference in offers.items() if preference == best)


def _is_external(model: LabModel, session: str) -> bool:
    known = session_or_none(model, session)
    return known is not None and not known.is_internal


def nearest_metro(model: LabModel, router: str, edges: Iterable[str]) -> str | None:
    """Metro of the edge that is nearest by IGP: where a hot potato would leave; None when metros tie or none offers."""
    distances = igp_distances(model, router)
    ranked = sorted((distances.get(edge, inf), model.node(edge).metro or "") for edge in edges)
    if not ranked or ranked[0][0] == inf:
        return None
    nearest = {metro for cost, metro in ranked if cost == ranked[0][0]}
    return nearest.pop() if len(nearest) == 1 else None
