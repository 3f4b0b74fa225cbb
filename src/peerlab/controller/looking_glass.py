"""``lookingGlass``: Traceroute, Ping and BgpRoute, carried out on an edge router of the lab (spec 1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Any

from peerlab.bgp.route_fact import RouteFact
from peerlab.controller.lab import Lab
from peerlab.controller.probing import PING, TRACEROUTE
from peerlab.peering.enums import LookingGlassCommand, LookingGlassSource
from peerlab.peering.refusal import bad_argument
from peerlab.topology.model import LabModel, Node


async def look(
    lab: Lab, command: LookingGlassCommand, kind: LookingGlassSource, location: str, destination: str
) -> str:
    """What the router printed. Raises RefusedError for an unknown place or address, PeerlabError when it cannot."""
    try:
        address = ip_address(destination)
    except ValueError as wrong:
        raise bad_argument(f"destinationIP '{destination}' is not an IP address") from wrong
    node = router_at(lab.model, kind, location)
    if command is LookingGlassCommand.BGP_ROUTE:
        routes = await (await lab.router(node.name)).rib("loc-rib")
        return _route_text(node.name, address, routes)
    arguments: dict[str, Any] = {"destination": str(address), "source": source_of(lab.model, node, address.version)}
    if command is LookingGlassCommand.PING:
        task = await lab.runtime.task(node.name, PING, {**arguments, "count": 5})
        return _ping_text(node.name, await task.result())
    task = await lab.runtime.task(node.name, TRACEROUTE, arguments)
    return _trace_text(node.name, await task.result())


def router_at(model: LabModel, kind: LookingGlassSource, location: str) -> Node:
    """The first edge router of a peering location, or of the metros of an Azure region."""
    cloud = model.cloud()
    named = {m.name: m.peering_location if kind is LookingGlassSource.EDGE_SITE else m.region for m in model.metros}
    for node in model.nodes:
        ours = cloud is not None and node.is_router and node.as_name == cloud.name
        if ours and node.metro is not None and named[node.metro].casefold() == location.casefold():
            return node
    places = ", ".join(sorted(set(named.values())))
    raise bad_argument(f"sourceLocation '{location}' is no {kind}; there are {places}")


def source_of(model: LabModel, node: Node, version: int) -> str:
    """An address of the router that others have a route to: one out of what its AS announces; any one without it."""
    known = model.as_of(node.name)
    announced = [net for p in (known.prefixes if known else ()) if (net := ip_network(p)).version == version]
    for interface in node.interfaces:
        for text in (interface.v4, interface.v6):
            if text and any(ip_interface(text).ip in net for net in announced):
                return str(ip_interface(text).ip)
    return ""


def _ping_text(node: str, answer: dict[str, Any]) -> str:
    lines = [
        f"{node}> ping {answer['destination']}",
        f"{answer['sent']} packets sent, {answer['received']} received, {answer['loss_percent']:g}% loss",
    ]
    if answer["rtt_avg_ms"] is not None:
        rtt = "/".join(f"{answer[f'rtt_{which}_ms']:.3f}" for which in ("min", "avg", "max"))
        lines.append(f"rtt min/avg/max {rtt} ms")
    lines += [f"{count} x {text}" for text, count in sorted(answer.get("errors", {}).items())]
    return "\n".join(lines)


def _trace_text(node: str, answer: dict[str, Any]) -> str:
    lines = [f"{node}> traceroute {answer['destination']}"]
    for hop in answer["hops"]:
        rtt = "" if hop["rtt_ms"] is None else f"  {hop['rtt_ms']:.3f} ms"
        lines.append(f"{hop['ttl']:>3}  {hop['address'] or '*'}{rtt}")
    return "\n".join([*lines, answer["outcome"]])


def _route_text(node: str, address: IPv4Address | IPv6Address, routes: Sequence[RouteFact]) -> str:
    """Every path of the longest prefix that covers the address, the best one first."""
    covering = [(ip_network(r.prefix).prefixlen, r) for r in routes if address in ip_network(r.prefix)]
    lines = [f"{node}> show bgp {address}"]
    if not covering:
        return "\n".join([*lines, "no route"])
    longest = max(length for length, _ in covering)
    paths = [route for length, route in covering if length == longest]
    lines.append(f"BGP routing table entry for {paths[0].prefix}, {len(paths)} path(s)")
    for route in sorted(paths, key=lambda r: not r.best):
        attributes = route.attributes
        words = [attributes.path_text() or "Local", f"next hop {attributes.next_hop or 'self'}"]
        if attributes.local_pref is not None:
            words.append(f"local preference {attributes.local_pref}")
        if attributes.communities:
            words.append(f"communities {' '.join(attributes.communities)}")
        lines.append(f"{'*>' if route.best else '* '} {', '.join(words)}{f' ({route.reason})' if route.reason else ''}")
    return "\n".join(lines)
