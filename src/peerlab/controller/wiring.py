"""From the model's nodes and links to the runtime's specs."""

from __future__ import annotations

from peerlab.peering.source_guard import guarded_sources
from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec, RouteSpec
from peerlab.topology.model import LabModel, Link, LinkEnd, Node, NodeKind


def node_spec(node: Node) -> NodeSpec:
    """A node as the runtime must make it: loopback addresses, forwarding for routers, a bridge for a switch."""
    if node.kind is NodeKind.SWITCH:
        return NodeSpec(name=node.name, kind="switch")
    loopbacks = []
    if node.loopback_v4:
        loopbacks.append(f"{node.loopback_v4}/32")
    if node.loopback_v6:
        loopbacks.append(f"{node.loopback_v6}/128")
    return NodeSpec(name=node.name, forwarding=node.is_router, addresses=tuple(loopbacks), image=node.image)


def link_spec(model: LabModel, link: Link) -> LinkSpec:
    """A link with both ends' names, MACs and addresses, and its delay."""
    a, b = (_interface_spec(model, end) for end in link.ends)
    return LinkSpec(id=link.id, a=a, b=b, delay_ms=link.delay_ms or 0.0)


def _interface_spec(model: LabModel, end: LinkEnd) -> InterfaceSpec:
    interface = model.node(end.node).interface(end.interface)
    return InterfaceSpec(
        node=end.node,
        name=interface.name,
        mac=interface.mac,
        addresses=tuple(address for address in (interface.v4, interface.v6) if address),
        mtu=interface.mtu,
        sources=guarded_sources(model, end.node, end.interface),
    )


def host_routes(node: Node) -> tuple[RouteSpec, ...]:
    """A host's default routes; routers get theirs from BGP and the IGP only."""
    routes = []
    if node.gateway_v4:
        routes.append(RouteSpec(node=node.name, destination="0.0.0.0/0", via=node.gateway_v4))
    if node.gateway_v6:
        routes.append(RouteSpec(node=node.name, destination="::/0", via=node.gateway_v6))
    return tuple(routes)
