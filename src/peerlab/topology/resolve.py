"""From a document to the frozen ``LabModel``, in named passes. Pure: the same document gives the same model.

check → wiring → addressing → nodes → sessions → policies → requests
"""

from __future__ import annotations

import ipaddress

from peerlab import __version__
from peerlab.bgp.attributes import Address, Prefix
from peerlab.bgp.config import OwnConfiguration
from peerlab.topology import addressing, request
from peerlab.topology.addressing import PUBLIC_RANGES, AddressPlan
from peerlab.topology.assignment import Assignment
from peerlab.topology.census import Census
from peerlab.topology.check import check, warnings
from peerlab.topology.document import NO_IMAGE, Document, RouterWords
from peerlab.topology.mistake import Mistakes
from peerlab.topology.model import (
    AutonomousSystem,
    Interface,
    LabModel,
    Link,
    LinkEnd,
    LinkPurpose,
    Metro,
    Node,
    NodeKind,
    RpkiCache,
    RuntimeKind,
)
from peerlab.topology.session import pairings, sessions
from peerlab.topology.wiring import Wire, wires

INTERFACE_NAME_LIMIT = 15
"""Octets the kernel allows an interface name (IFNAMSIZ - 1)."""


def resolve(document: Document) -> LabModel:
    """The lab that a document describes. Raises DocumentError with every mistake of meaning."""
    mistakes = Mistakes()
    census = Census(document)
    check(census, mistakes)
    mistakes.raise_if_any()
    all_wires = wires(census)
    plan = addressing.plan(census, all_wires, mistakes)
    mistakes.raise_if_any()

    interfaces = _interface_names(all_wires)
    nodes = _nodes(census, all_wires, plan, interfaces)
    assignment = Assignment(census, plan)
    found = tuple(
        assignment.assign(session, pair)
        for session, pair in sessions(census, pairings(census, all_wires), plan, interfaces)
    )
    return LabModel(
        name=document.name,
        description=document.description,
        ases=tuple(_as(census, name, plan) for name in document.ases),
        metros=tuple(
            Metro(name=name, peering_location=m.location, region=m.region) for name, m in document.metros.items()
        ),
        nodes=nodes,
        links=tuple(_link(wire, interfaces) for wire in all_wires),
        sessions=found,
        policies=dict(sorted(assignment.policies.items())),
        peerings=request.peerings(census, all_wires, plan, found),
        services=request.services(census),
        registry=request.registry(census),
        caches=_caches(census),
        expectations=request.expectations(census),
        public_ranges=PUBLIC_RANGES if document.public_ranges is None else document.public_ranges,
        warnings=warnings(census),
    )


def _as(census: Census, name: str, plan: AddressPlan) -> AutonomousSystem:
    asys = census.document.ases[name]
    return AutonomousSystem(
        name=name,
        asn=asys.asn,
        role=asys.role,
        prefixes=asys.prefixes,
        infrastructure=tuple(plan.blocks[name, v] for v in (4, 6) if (name, v) in plan.blocks),
    )


def _interface_names(all_wires: tuple[Wire, ...]) -> dict[tuple[str, str], str]:
    """``to-NEIGHBOUR``, cut to what the kernel allows and numbered when taken, by (node, wire id)."""
    found: dict[tuple[str, str], str] = {}
    taken: dict[str, set[str]] = {}
    for wire in all_wires:
        for node, other in (wire.ends, wire.ends[::-1]):
            used = taken.setdefault(node, set())
            wanted = f"to-{other}"
            name, number = wanted[:INTERFACE_NAME_LIMIT], 1
            while name in used:
                number += 1
                suffix = f"-{number}"
                name = wanted[: INTERFACE_NAME_LIMIT - len(suffix)] + suffix
            used.add(name)
            found[node, wire.id] = name
    return found


def _link(wire: Wire, interfaces: dict[tuple[str, str], str]) -> Link:
    first, second = wire.ends
    return Link(
        id=wire.id,
        ends=(LinkEnd(first, interfaces[first, wire.id]), LinkEnd(second, interfaces[second, wire.id])),
        purpose=wire.purpose,
        delay_ms=wire.delay_ms,
        bandwidth_mbps=wire.bandwidth_mbps,
    )


def _nodes(
    census: Census, all_wires: tuple[Wire, ...], plan: AddressPlan, interfaces: dict[tuple[str, str], str]
) -> tuple[Node, ...]:
    """Routers, hosts and caches AS by AS, then the exchanges' switches. A MAC tells node and interface by number."""
    document = census.document
    order = [*census.router_as, *(h for a in document.ases.values() for h in a.hosts), *document.exchanges]
    order += [cache for a in document.ases.values() for cache in a.caches]
    number = {node: position for position, node in enumerate(order, start=1)}
    ports: dict[str, list[Interface]] = {node: [] for node in order}
    for wire in all_wires:
        for side, node in enumerate(wire.ends):
            v4, v6 = ((plan.ends.get((wire.id, v)) or ("", ""))[side] or None for v in (4, 6))
            ports[node].append(
                Interface(
                    name=interfaces[node, wire.id],
                    link=wire.id,
                    mac=_mac(number[node], len(ports[node]) + 1),
                    v4=v4,
                    v6=v6,
                    igp_cost=wire.costs[side],
                )
            )
    gateways = _gateways(all_wires, plan)
    found: list[Node] = []
    for name, asys in document.ases.items():
        for router, words in asys.routers.items():
            loopback_v4 = plan.loopbacks[router, 4]
            found.append(
                Node(
                    name=router,
                    kind=words.kind,
                    as_name=name,
                    asn=asys.asn,
                    metro=words.metro,
                    router_id=words.router_id or loopback_v4,
                    loopback_v4=loopback_v4,
                    loopback_v6=plan.loopbacks[router, 6],
                    interfaces=tuple(ports[router]),
                    originates=_originates(census, name, router, all_wires, plan),
                    route_server=census.is_route_server(router),
                    image=_image(document, words),
                    own=_own(words),
                )
            )
        for host, host_words in asys.hosts.items():
            found.append(
                Node(
                    name=host,
                    kind=NodeKind.HOST,
                    as_name=name,
                    asn=asys.asn,
                    metro=asys.routers[host_words.router].metro,
                    interfaces=tuple(ports[host]),
                    gateway_v4=gateways.get((host, 4)),
                    gateway_v6=gateways.get((host, 6)),
                )
            )
        for cache, cache_words in asys.caches.items():
            found.append(
                Node(
                    name=cache,
                    kind=cache_words.kind,
                    as_name=name,
                    asn=asys.asn,
                    metro=asys.routers[cache_words.router].metro,
                    interfaces=tuple(ports[cache]),
                    gateway_v4=gateways.get((cache, 4)),
                    gateway_v6=gateways.get((cache, 6)),
                )
            )
    for name, exchange in document.exchanges.items():
        found.append(Node(name=name, kind=NodeKind.SWITCH, metro=exchange.metro, interfaces=tuple(ports[name])))
    return tuple(found)


def _caches(census: Census) -> tuple[RpkiCache, ...]:
    return tuple(
        RpkiCache(
            node=name,
            serves=tuple(asys.routers),
            preference=words.preference,
            refresh=words.refresh,
            retry=words.retry,
            expire=words.expire,
        )
        for asys in census.document.ases.values()
        for name, words in asys.caches.items()
    )


def _gateways(all_wires: tuple[Wire, ...], plan: AddressPlan) -> dict[tuple[str, int], Address]:
    return {
        (wire.ends[0], version): Address(plan.ends[wire.id, version][1].partition("/")[0])
        for wire in all_wires
        if wire.purpose is LinkPurpose.ACCESS
        for version in (4, 6)
        if (wire.id, version) in plan.ends
    }


def _image(document: Document, words: RouterWords) -> str:
    """The image of a router's container: as stated, else its kind's own where the lab runs in containers."""
    if words.image is not None:
        return "" if words.image == NO_IMAGE else words.image
    return f"peerlab/{words.kind.value}:{__version__}" if document.runtime is RuntimeKind.DOCKER else ""


def _own(words: RouterWords) -> OwnConfiguration | None:
    if words.config is None:
        return None
    file, _, text = words.config.partition("\n")
    return OwnConfiguration(file=file, text=text)


def _originates(
    census: Census, name: str, router: str, all_wires: tuple[Wire, ...], plan: AddressPlan
) -> tuple[Prefix, ...]:
    """As stated; else every prefix of the AS, but one with hosts in it only at the routers of these hosts."""
    asys = census.document.ases[name]
    stated = asys.routers[router].originates
    if stated is not None:
        return stated
    found = []
    for prefix in asys.prefixes:
        network = ipaddress.ip_network(prefix)
        homes = {
            wire.ends[1]
            for wire in all_wires
            if wire.purpose is LinkPurpose.ACCESS and wire.ends[0] in asys.hosts
            for version in (4, 6)
            if (wire.id, version) in plan.ends and ipaddress.ip_interface(plan.ends[wire.id, version][0]).ip in network
        }
        if not homes or router in homes:
            found.append(prefix)
    return tuple(found)


def _mac(node: int, interface: int) -> str:
    """A locally administered unicast address (first octet 02)."""
    octets = (0x02, 0, (node >> 8) & 0xFF, node & 0xFF, (interface >> 8) & 0xFF, interface & 0xFF)
    return ":".join(f"{octet:02x}" for octet in octets)
