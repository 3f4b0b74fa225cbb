"""Where packets go: kernels against Loc-RIBs, traced paths against both. Shared by validation, routing and failover."""

from __future__ import annotations

from itertools import pairwise

from peerlab.bgp.attributes import Family
from peerlab.evidence.events import PathTraced
from peerlab.evidence.snapshot import KernelRoute, NodeSnapshot
from peerlab.topology.model import LabModel, NodeKind
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import events
from peerlab.verify.subject import family_of, host, is_cloud, network, owner_of

BGP = frozenset({186, 12})
"""Kernel protocol numbers of BGP routes: RTPROT_BGP, and RTPROT_BIRD, which BIRD gives to all that it installs."""


def lookup(node: NodeSnapshot, address: str) -> KernelRoute | None:
    """The kernel's route for an address: the longest prefix that holds it."""
    target = host(address)
    best: KernelRoute | None = None
    for route in node.kernel:
        covered = network(route.prefix)
        held = covered.version == target.version and target in covered
        if held and (best is None or covered.prefixlen > network(best.prefix).prefixlen):
            best = route
    return best


def expected_gateway(node: NodeSnapshot, next_hop: str) -> str | None:
    """The neighbour to which packets for a BGP next hop have to go: itself when connected, else the IGP's gateway.

    None when the kernel has no way to the next hop.
    """
    via = lookup(node, next_hop)
    if via is None:
        return next_hop if not node.kernel else None
    return via.gateway or next_hop


def traces(evidence: Evidence, name: str, family: Family | None = None) -> tuple[PathTraced, ...]:
    """Traced paths of that name, of one family when asked; the last of each source and destination counts."""
    last: dict[tuple[str, str, Family], PathTraced] = {}
    for trace in events(evidence, PathTraced):
        if trace.name == name:
            last[trace.source, trace.destination, family_of_trace(trace)] = trace
    return tuple(t for t in last.values() if family in (None, family_of_trace(t)))


def family_of_trace(trace: PathTraced) -> Family:
    """The family a path was traced in: as logged, else by the addresses that answered, IPv4 when none did."""
    if trace.family:
        return Family(trace.family)
    return family_of(next((hop for hop in trace.hops if hop), ""))


def crossing(trace: PathTraced, one: str, other: str) -> bool:
    """Whether the traced path goes from one node straight to the other, in either direction."""
    steps = [trace.source, *(node for node in trace.nodes if node is not None)]
    return any({a, b} == {one, other} for a, b in pairwise(steps))


def exit_of(model: LabModel, trace: PathTraced) -> str | None:
    """The last cloud router of a path that leaves the cloud; None when it never leaves or the exit did not answer."""
    steps: list[str | None] = [trace.source, *trace.nodes]
    for here, there in pairwise(steps):
        if here is not None and is_cloud(model, here) and (there is None or not is_cloud(model, there)):
            return here if there is not None else None
    return None


def hosts(model: LabModel, cloud: bool) -> tuple[str, ...]:
    """Host names inside the cloud, or outside it."""
    return tuple(n.name for n in model.nodes if n.kind is NodeKind.HOST and is_cloud(model, n.name) is cloud)


def repeated(trace: PathTraced) -> str | None:
    """A hop that a path visits twice, None when there is none."""
    seen: set[str] = set()
    for hop in trace.hops:
        if hop is not None and hop in seen:
            return owner_or_address(trace, hop)
        if hop is not None:
            seen.add(hop)
    return None


def owner_or_address(trace: PathTraced, hop: str) -> str:
    """The node's name where the trace knows it."""
    at = trace.hops.index(hop)
    return trace.nodes[at] or hop if at < len(trace.nodes) else hop


def next_node(model: LabModel, node: str, route: KernelRoute) -> str | None:
    """The node that a kernel route of ``node`` leads to: the gateway's owner, else the far end of the wire.

    None where neither says: a LAN without a gateway, or a route that leads nowhere.
    """
    if route.gateway is not None:
        owner = owner_of(model, route.gateway)
        if owner is not None:
            return owner
    for link in model.links:
        ends = {end.node: end.interface for end in link.ends}
        if ends.get(node) == route.interface and route.interface is not None:
            (far,) = [name for name in ends if name != node]
            return None if model.node(far).kind is NodeKind.SWITCH else far
    return None
