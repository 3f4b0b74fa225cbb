"""Second pass: every wire of the lab, named, without addresses yet."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.topology.census import Census, is_interconnect_peering
from peerlab.topology.document import SessionWords
from peerlab.topology.mistake import Path
from peerlab.topology.model import LinkPurpose, Relation


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A wire to be. ``ends`` in addressing order: the first end gets the lower address.

    ``owner`` is the AS whose infrastructure the derived addresses come from; None on a LAN port and on hosts' wires.
    ``path`` is where the document speaks of it.
    """

    id: str
    purpose: LinkPurpose
    ends: tuple[str, str]
    path: Path
    owner: str | None = None
    v4: Prefix | None = None
    v6: Prefix | None = None
    costs: tuple[int | None, int | None] = (None, None)
    delay_ms: float | None = None
    bandwidth_mbps: int | None = None
    session: SessionWords | None = None
    connection: str | None = None
    exchange: str | None = None


class _Names:
    """Ids that are taken; a second wire between the same two nodes is ``a--b.2`` (no name holds a dot)."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def take(self, left: str, right: str) -> str:
        base = f"{left}--{right}"
        self._taken[base] = self._taken.get(base, 0) + 1
        return base if self._taken[base] == 1 else f"{base}.{self._taken[base]}"


def wires(census: Census) -> tuple[Wire, ...]:
    """Backbone, interconnects, connections, LAN ports, access, caches, in that order; the document must be checked."""
    names = _Names()
    return (
        *_backbone(census, names),
        *_links(census, names),
        *_connections(census, names),
        *_lan_ports(census, names),
        *_access(census, names),
        *_cache_ports(census, names),
    )


def _backbone(census: Census, names: _Names) -> list[Wire]:
    return [
        Wire(
            id=names.take(words.between[0], words.between[1]),
            purpose=LinkPurpose.BACKBONE,
            ends=(words.between[0], words.between[1]),
            path=("ases", name, "backbone", position),
            owner=name,
            v4=words.v4,
            v6=words.v6,
            costs=(words.cost, words.cost if words.cost_back is None else words.cost_back),
            delay_ms=words.delay_ms,
        )
        for name, asys in census.document.ases.items()
        for position, words in enumerate(asys.backbone)
    ]


def _links(census: Census, names: _Names) -> list[Wire]:
    found = []
    for position, words in enumerate(census.document.links):
        first, second = words.between
        relation = census.relation(census.router_as[first], census.router_as[second])
        ends = (second, first) if relation is Relation.PROVIDER else (first, second)
        found.append(
            Wire(
                id=names.take(first, second),
                purpose=LinkPurpose.INTERCONNECT,
                ends=ends,
                path=("links", position),
                owner=census.router_as[ends[0]],
                v4=words.v4,
                v6=words.v6,
                delay_ms=words.delay_ms,
                bandwidth_mbps=words.bandwidth_mbps,
                session=words.session,
            )
        )
    return found


def _connections(census: Census, names: _Names) -> list[Wire]:
    """Direct connections: the peer's end comes first, so it gets the first address (spec 1.5)."""
    found = []
    for name, peering in census.document.peerings.items():
        if not is_interconnect_peering(peering):
            continue
        for label, words in peering.connections.items():
            first, second = words.between or ("", "")
            edge, peer = (first, second) if census.router_as[first] == census.cloud else (second, first)
            found.append(
                Wire(
                    id=names.take(edge, peer),
                    purpose=LinkPurpose.INTERCONNECT,
                    ends=(peer, edge),
                    path=("peerings", name, "connections", label),
                    owner=peering.peer if words.address_provider == "peer" else census.cloud,
                    v4=words.prefix_v4,
                    v6=words.prefix_v6,
                    delay_ms=words.delay_ms,
                    bandwidth_mbps=words.bandwidth_mbps,
                    session=words.session,
                    connection=f"{name}/{label}",
                )
            )
    return found


def _lan_ports(census: Census, names: _Names) -> list[Wire]:
    return [
        Wire(
            id=names.take(router, name),
            purpose=LinkPurpose.LAN,
            ends=(router, name),
            path=("exchanges", name, "members", router),
            exchange=name,
        )
        for name, exchange in census.document.exchanges.items()
        for router in census.ports(exchange)
    ]


def _access(census: Census, names: _Names) -> list[Wire]:
    return [
        Wire(
            id=names.take(host, words.router),
            purpose=LinkPurpose.ACCESS,
            ends=(host, words.router),
            path=("ases", name, "hosts", host),
        )
        for name, asys in census.document.ases.items()
        for host, words in asys.hosts.items()
    ]


def _cache_ports(census: Census, names: _Names) -> list[Wire]:
    return [
        Wire(
            id=names.take(cache, words.router),
            purpose=LinkPurpose.ACCESS,
            ends=(cache, words.router),
            path=("ases", name, "caches", cache),
            owner=name,
        )
        for name, asys in census.document.ases.items()
        for cache, words in asys.caches.items()
    ]
