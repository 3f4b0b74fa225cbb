"""Who may reach whom by what the ASes are to each other: a second, far simpler BGP, to hold against the real one.

Relations (customer, provider, peer) and path length alone decide, on the sessions that an outage leaves; no policy of
the topology is read. Customers' routes are told to everybody, all others to customers only (Gao-Rexford), and what is
nearest by relation, then by path, is used. What this says must be reachable, a lab has to reach.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.topology.model import LabModel, Relation, Session
from peerlab.verify.survivor import Survivors, gateway_of, hosts_of

RANK = {
    Relation.CUSTOMER: 1,
    Relation.PEER: 2,
    Relation.ROUTE_SERVER: 3,
    Relation.ROUTE_SERVER_CLIENT: 3,
    Relation.PROVIDER: 4,
}
"""How near a route is by the neighbour that told it; 0 is an AS's own."""

EXPORTED_TO_ALL = 1
"""Routes up to this rank are told to peers and providers too."""


class Held(msgspec.Struct, frozen=True, order=True):
    """A router's route in this small BGP; the least one wins."""

    rank: int
    length: int
    internal: bool
    path: tuple[int, ...]
    reflected: bool = False
    """Learned by iBGP from a reflection client (RFC 4456): may be told on inside."""


def holders(alive: Survivors, family: Family, origins: frozenset[str]) -> frozenset[str]:
    """Routers that hold a route to a prefix which these routers originate, by relations alone."""
    model = alive.model
    held = {name: Held(0, 0, False, ()) for name in origins & alive.routers}
    sessions = [s for s in model.sessions if s.family is family and s.id in alive.sessions]
    for _ in range(2 * len(model.nodes) + 2):
        fresh = {name: Held(0, 0, False, ()) for name in origins & alive.routers}
        for session in sessions:
            for sender, receiver in ((session.left.node, session.right.node), (session.right.node, session.left.node)):
                told = _told(model, session, sender, receiver, held.get(sender))
                if told is not None and (receiver not in fresh or told < fresh[receiver]):
                    fresh[receiver] = told
        if fresh == held:
            break
        held = fresh
    return frozenset(held)


def _told(model: LabModel, session: Session, sender: str, receiver: str, best: Held | None) -> Held | None:
    """What the receiver has of the sender's best route, None when it is not told or not taken."""
    if best is None:
        return None
    mine, theirs = session.end(sender), session.end(receiver)
    if session.is_internal:
        if best.internal and not (mine.route_reflector_client or best.reflected):
            return None
        return Held(best.rank, best.length, True, best.path, theirs.route_reflector_client)
    if mine.relation in (Relation.PEER, Relation.PROVIDER, Relation.ROUTE_SERVER) and best.rank > EXPORTED_TO_ALL:
        return None
    path = best.path if model.node(sender).route_server else (mine.asn, *best.path)
    if theirs.asn in path:
        return None
    return Held(RANK[theirs.relation], len(path), False, path)


def reachable_pairs(alive: Survivors) -> frozenset[tuple[str, str, Family]]:
    """Every (source host, destination host, family) that relations let reach each other on what an outage leaves."""
    model = alive.model
    hosts = {h: g for h in hosts_of(model) if (g := gateway_of(model, h)) and g[1] in alive.links}
    found: set[tuple[str, str, Family]] = set()
    for family in Family:
        knowing: dict[frozenset[str], frozenset[str]] = {}
        for target, (last, _) in hosts.items():
            island = alive.islands[last]
            origins = frozenset(o for o in _origins(model, target, family) if alive.islands.get(o) == island)
            if origins not in knowing:
                knowing[origins] = holders(alive, family, origins)
            for source, (first, _) in hosts.items():
                inside = model.node(first).as_name == model.node(last).as_name
                joined = alive.islands[first] == alive.islands[last]
                if source != target and ((inside and joined) or (not inside and first in knowing[origins])):
                    found.add((source, target, family))
    return frozenset(found)


def address_in(model: LabModel, host: str, family: Family) -> str | None:
    """A host's address of a family, without its length."""
    for interface in model.node(host).interfaces:
        text = interface.v4 if family is Family.IPV4 else interface.v6
        if text:
            return text.partition("/")[0]
    return None


def _origins(model: LabModel, host: str, family: Family) -> frozenset[str]:
    """Routers that originate the longest prefix in which a host's address lies."""
    text = address_in(model, host, family)
    if text is None:
        return frozenset()
    address = ip_address(text)
    by_length: dict[int, set[str]] = {}
    for node in model.nodes:
        for prefix in node.originates:
            network = ip_network(prefix)
            if network.version == address.version and address in network:
                by_length.setdefault(network.prefixlen, set()).add(node.name)
    return frozenset(by_length[max(by_length)]) if by_length else frozenset()
