"""Where users' packets enter the cloud (RTG-07): at the location nearest to them, or farther away, and by how much.

Distance is counted outside the cloud only: the emulated delays of the wires, and routers passed where delays are equal
or not emulated. A way counts when relations allow it: packets climb to providers, cross to one peer, then descend
(Gao-Rexford). An edge counts as an entrance when it tells that neighbour of the destination.
"""

from __future__ import annotations

from heapq import heappop, heappush

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.evidence.events import PathTraced
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.topology.model import LabModel, LinkPurpose, Relation
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.forwarding import family_of_trace, hosts, traces
from peerlab.verify.reading import snapshot
from peerlab.verify.relation_reach import address_in
from peerlab.verify.subject import is_cloud, within
from peerlab.verify.survivor import gateway_of

INFLATION_BUDGET = 5.0
"""Milliseconds one way that a user's path to its entrance may be longer than the shortest one. This lab's value."""

ACROSS = frozenset({Relation.PEER, Relation.ROUTE_SERVER})
"""What a neighbour is to an AS whose packets cross to it as between equals: the members behind a route server too."""


class Distance(msgspec.Struct, frozen=True, order=True):
    """How far something is outside the cloud: emulated delay in ms one way, then routers passed."""

    delay_ms: float
    hops: int

    def __str__(self) -> str:
        return f"{self.delay_ms:g} ms, {self.hops} hops"

    def farther(self, delay_ms: float) -> Distance:
        """One wire on."""
        return Distance(self.delay_ms + delay_ms, self.hops + 1)


Steps = dict[tuple[str, str], float]
"""Emulated delay of one wire, or one crossing of a LAN, from node to node."""


def one_entrance(model: LabModel) -> str | None:
    """Why no user has a nearer and a farther location to enter at."""
    if not hosts(model, cloud=True) or not hosts(model, cloud=False):
        return "this lab has no host inside the cloud and another outside it"
    found = (entrances(model, user, family, None, "") for user in hosts(model, cloud=False) for family in Family)
    if any(len(set(metros.values())) > 1 for metros in found):
        return None
    return "no user of this lab is nearer to one location of the cloud than to another"


def entrances(
    model: LabModel, user: str, family: Family, taken: Snapshot | None, destination: str
) -> dict[str, Distance]:
    """Metros at which a user's packets could enter the cloud, each with its distance from the user's own router.

    With a snapshot only where an edge announces a prefix that holds ``destination``; without one everywhere.
    """
    gateway = gateway_of(model, user)
    if gateway is None:
        return {}
    steps, relations = _steps(model), _relations(model, family)
    found: dict[str, Distance] = {}
    done: set[tuple[str, bool]] = set()
    queue: list[tuple[Distance, str, bool]] = [(Distance(0.0, 0), gateway[0], True)]
    while queue:
        distance, here, climbing = heappop(queue)
        if (here, climbing) in done:
            continue
        done.add((here, climbing))
        if is_cloud(model, here):
            metro = model.node(here).metro
            if metro is not None and distance < found.get(metro, Distance(float("inf"), 0)):
                found[metro] = distance
            continue
        for (one, there), delay in steps.items():
            if one != here:
                continue
            relation = relations.get((here, there))
            allowed = relation in (Relation.INTERNAL, Relation.CUSTOMER) or (climbing and relation is not None)
            if not allowed or (is_cloud(model, there) and not _announces(model, taken, there, here, destination)):
                continue
            heappush(queue, (distance.farther(delay), there, climbing and relation in _STILL_CLIMBING))
    return found


_STILL_CLIMBING = (Relation.INTERNAL, Relation.PROVIDER)


def _steps(model: LabModel) -> Steps:
    """Every wire both ways, and every pair of a LAN's members."""
    found: Steps = {}
    for link in model.links:
        one, other = (end.node for end in link.ends)
        if link.purpose is not LinkPurpose.ACCESS:
            found[one, other] = found[other, one] = link.delay_ms or 0.0
    lan = [link for link in model.links if link.purpose is LinkPurpose.LAN]
    for first in lan:
        for second in lan:
            shared = {end.node for end in first.ends} & {end.node for end in second.ends}
            if first is not second and len(shared) == 1:
                (one,), (other,) = ({end.node for end in link.ends} - shared for link in (first, second))
                found.setdefault((one, other), (first.delay_ms or 0.0) + (second.delay_ms or 0.0))
    return found


def _relations(model: LabModel, family: Family) -> dict[tuple[str, str], Relation]:
    """What a router's neighbour is to it, by sessions of the family; two clients of one route server are peers."""
    found: dict[tuple[str, str], Relation] = {}
    clients: dict[str, list[str]] = {}
    for link in model.links:
        one, other = (end.node for end in link.ends)
        if link.purpose is LinkPurpose.BACKBONE:
            found[one, other] = found[other, one] = Relation.INTERNAL
    for session in model.sessions:
        if session.family is not family or session.is_internal:
            continue
        for mine, theirs in ((session.left, session.right), (session.right, session.left)):
            if mine.relation is Relation.ROUTE_SERVER:
                clients.setdefault(theirs.node, []).append(mine.node)
            elif mine.relation is not Relation.ROUTE_SERVER_CLIENT:
                found[mine.node, theirs.node] = mine.relation
    for members in clients.values():
        for one in members:
            for other in members:
                if one != other:
                    found.setdefault((one, other), Relation.PEER)
    return found


def _announces(model: LabModel, taken: Snapshot | None, edge: str, neighbour: str, destination: str) -> bool:
    """Whether an edge tells a neighbour, or a route server that the neighbour is a client of, of the destination."""
    if taken is None:
        return True
    listeners = {neighbour} | {
        session.other(neighbour).node
        for session in model.sessions_of(neighbour)
        if session.end(neighbour).relation is Relation.ROUTE_SERVER
    }
    at_edge = taken.nodes.get(edge)
    for session in model.sessions_of(edge) if at_edge is not None else ():
        told = at_edge.adj_rib_out.get(session.id, ()) if at_edge is not None else ()
        if session.other(edge).node in listeners and any(within(destination, route.prefix) for route in told):
            return True
    return False


def judge_remote_ingress(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    taken = snapshot(evidence, docket, Moment.ACTIVATED)
    users: set[str] = set()
    telling = 0
    for trace in traces(evidence, Moment.ACTIVATED.value) if taken is not None else ():
        if is_cloud(model, trace.source) or not is_cloud(model, trace.destination) or taken is None:
            continue
        users.add(trace.source)
        telling += _entered(evidence, docket, taken, trace)
    for user in hosts(model, cloud=False):
        if taken is not None and user not in users:
            docket.lacks(f"no path was traced from {user} to a service")
    if taken is not None and not telling and docket.is_clean:
        docket.lacks("no path was traced for which one location is nearer than another")
    return docket.close(
        f"{telling} paths of {len(users)} users for which locations differ enter at the nearest one, RI 0"
    )


def _entered(evidence: Evidence, docket: Docket, taken: Snapshot, trace: PathTraced) -> bool:
    """Judge one forward path. Returns whether it proves anything: one location was nearer than another."""
    model = evidence.model
    where = f"{trace.source} > {trace.destination} {family_of_trace(trace).value}"
    steps = ", ".join(node or "?" for node in trace.nodes)
    outside, entrance = _outside(model, trace)
    family = family_of_trace(trace)
    target = address_in(model, trace.destination, family)
    if not trace.reached and entrance is None:
        docket.breaks(trace.at, where, f"the path ends after {steps}")
        return False
    if entrance is None or outside is None or target is None:
        docket.lacks(f"{where}: silent hops hide the entrance ({steps})")
        return False
    ways = entrances(model, trace.source, family, taken, target)
    if not ways:
        docket.lacks(f"{where}: no edge announced {target} to anybody when '{taken.label}' was read")
        return False
    best = min(ways.values())
    nearest = sorted(metro for metro, distance in ways.items() if distance == best)
    metro = model.node(entrance).metro
    inflation = outside.delay_ms - best.delay_ms
    if metro not in nearest:
        what = f"enters at {entrance} in {metro} ({outside}); {', '.join(nearest)} is nearer ({best})"
        docket.breaks(trace.at, where, f"{what}: {steps}")
    elif inflation > INFLATION_BUDGET:
        what = f"enters at {entrance} after {outside.delay_ms:g} ms, {inflation:g} ms more than the shortest way"
        docket.breaks(trace.at, where, f"{what} (budget {INFLATION_BUDGET:g} ms): {steps}")
    elif len(set(ways.values())) > 1:
        docket.proves(trace.at, where, f"enters at {entrance} in {metro}, the nearest ({outside}): {steps}")
        return True
    return False


def _outside(model: LabModel, trace: PathTraced) -> tuple[Distance | None, str | None]:
    """How far a path runs before it enters the cloud, and the router it enters at; None where silent hops hide it."""
    known = _steps(model)
    distance, here = Distance(0.0, 0), trace.nodes[0] if trace.nodes else None
    for there in trace.nodes[1:]:
        if here is None or there is None or (here, there) not in known:
            return None, None
        distance = distance.farther(known[here, there])
        if is_cloud(model, there):
            return distance, there
        here = there
    return None, None
