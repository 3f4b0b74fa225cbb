"""Where a packet would go by the kernels of a snapshot: hop by hop, to its host, into a loop or into a black hole."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address, ip_network

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.evidence.snapshot import KernelRoute, NodeSnapshot, Snapshot
from peerlab.topology.model import LabModel
from peerlab.verify.relation_reach import address_in
from peerlab.verify.survivor import Survivors, gateway_of


class End(StrEnum):
    """How a walk ends. A black hole is a router that attracts packets and cannot pass them on."""

    DELIVERED = "delivered"
    LOOP = "loop"
    BLACK_HOLE = "black hole"
    NO_ROUTE = "no route"


class Walk(msgspec.Struct, frozen=True):
    """The routers that a packet visits, and how it ends at the last of them."""

    end: End
    steps: tuple[str, ...]
    why: str = ""

    def __str__(self) -> str:
        return f"{self.end} at {self.steps[-1] if self.steps else 'the host'}" + (f" ({self.why})" if self.why else "")


class Kernels:
    """The kernels' routes of a snapshot, made ready for many lookups."""

    def __init__(self, alive: Survivors, taken: Snapshot) -> None:
        self._model = alive.model
        self._alive = alive
        self._taken = taken
        self._tables: dict[tuple[str, int], list[tuple[int, int, int, KernelRoute]]] = {}
        self._owners = _owners(alive.model)
        self._wires = {(e.node, e.interface): link for link in alive.model.links for e in link.ends}

    def walk(self, source: str, target: str, family: Family) -> Walk:
        """Follow a packet from one host to another."""
        here, last = gateway_of(self._model, source), gateway_of(self._model, target)
        text = address_in(self._model, target, family)
        if here is None or last is None or text is None:
            return Walk(End.NO_ROUTE, (), f"a host without {family.value}")
        if here[1] not in self._alive.links:
            return Walk(End.NO_ROUTE, (), f"its wire {here[1]} is out")
        steps: list[str] = []
        node = here[0]
        while True:
            steps.append(node)
            if steps.count(node) > 1:
                return Walk(End.LOOP, tuple(steps), " > ".join(steps[steps.index(node) :]))
            route = self._lookup(node, text)
            stuck = End.NO_ROUTE if len(steps) == 1 else End.BLACK_HOLE
            if route is None:
                return Walk(stuck, tuple(steps), f"{node} has no route to {text}")
            if route.kind != "unicast" or route.interface is None:
                return Walk(stuck, tuple(steps), f"{route.prefix} is {route.kind} there")
            wire = self._wires.get((node, route.interface))
            if wire is None or wire.id not in self._alive.links:
                return Walk(End.BLACK_HOLE, tuple(steps), f"{route.prefix} goes to {route.interface}, which is out")
            if route.gateway is None:
                if node == last[0] and wire.id == last[1]:
                    return Walk(End.DELIVERED, tuple(steps))
                return Walk(End.BLACK_HOLE, tuple(steps), f"{text} is not on {route.interface}")
            owner = self._owners.get(route.gateway) or self._far_end(node, route.interface)
            if owner is None or owner not in self._alive.routers or not self._port_is_up(owner, route.gateway):
                return Walk(End.BLACK_HOLE, tuple(steps), f"{node} sends to {route.gateway}, where nobody is")
            node = owner

    def _lookup(self, node: str, address: str) -> KernelRoute | None:
        target = ip_address(address)
        table = self._table(node, target.version)
        number, bits = int(target), target.max_prefixlen
        for network, length, _, route in table:
            if number >> (bits - length) == network >> (bits - length):
                return route
        return None

    def _table(self, node: str, version: int) -> list[tuple[int, int, int, KernelRoute]]:
        key = node, version
        if key not in self._tables:
            seen = self._taken.nodes.get(node, NodeSnapshot(node=node))
            rows = []
            for route in seen.kernel:
                network = ip_network(route.prefix)
                if network.version == version:
                    rows.append((int(network.network_address), network.prefixlen, route.metric, route))
            rows.sort(key=lambda row: (-row[1], row[2]))
            self._tables[key] = rows
        return self._tables[key]

    def _far_end(self, node: str, interface: str) -> str | None:
        """The router at the other end of a wire: who a link-local gateway is."""
        (far,) = [end.node for end in self._wires[node, interface].ends if end.node != node]
        return far if self._model.node(far).is_router else None

    def _port_is_up(self, owner: str, gateway: str) -> bool:
        """Whether the wire carries on which a neighbour has the gateway's address."""
        for interface in self._model.node(owner).interfaces:
            if gateway in {text.partition("/")[0] for text in (interface.v4, interface.v6) if text}:
                return interface.link in self._alive.links
        return True


def _owners(model: LabModel) -> dict[str, str]:
    return {
        text.partition("/")[0]: node.name
        for node in model.nodes
        for interface in node.interfaces
        for text in (interface.v4, interface.v6)
        if text
    }
