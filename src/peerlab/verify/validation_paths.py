"""Judges of packets against routes: end-to-end reachability and the three-way comparison (VAL-14, VAL-15)."""

from __future__ import annotations

from itertools import pairwise

from peerlab.bgp.attributes import Family
from peerlab.evidence.events import PathTraced, ProbeAnswered
from peerlab.evidence.snapshot import NodeSnapshot, RouteFact, Snapshot
from peerlab.evidence.story import Moment
from peerlab.topology.model import LabModel
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.forwarding import (
    BGP,
    crossing,
    expected_gateway,
    family_of_trace,
    hosts,
    lookup,
    next_node,
    traces,
)
from peerlab.verify.policy_rules import accepted_routes
from peerlab.verify.reading import events, node_at, received, sent, snapshot
from peerlab.verify.subject import FAMILIES, connections, family_of, routers, within

COMPARED = (Moment.ALLOWED, Moment.ACTIVATED, Moment.RESTORED)
"""Quiet moments at which RIBs, kernels and packets have to agree."""


def no_hosts(model: LabModel) -> str | None:
    """Why nobody can send a packet end to end."""
    if not connections(model):
        return "this lab asks for no Microsoft.Peering connection"
    if hosts(model, cloud=True) and hosts(model, cloud=False):
        return None
    return "this lab has no host on both sides to send packets between"


def served_hosts(evidence: Evidence, docket: Docket) -> tuple[str, ...]:
    """Hosts outside the cloud whose AS's prefixes the edges accepted on a connection."""
    accepted = {route.prefix for _, _, route in accepted_routes(evidence, docket, Moment.ALLOWED)}
    found = []
    for host in hosts(evidence.model, cloud=False):
        known = evidence.model.as_of(host)
        if known is not None and any(within(p, a) for p in known.prefixes for a in accepted):
            found.append(host)
    return tuple(found)


def judge_end_to_end(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    services, customers = hosts(model, cloud=True), served_hosts(evidence, docket)
    probes = [p for p in events(evidence, ProbeAnswered) if p.name == Moment.ALLOWED.value]
    paths = traces(evidence, Moment.ALLOWED.value)
    wires = [(c.request.edge, c.request.peer) for c in connections(model)]
    if not customers:
        docket.lacks("no customer with a host is behind any connection")
    for customer in customers:
        mine = [p for p in probes if customer in (p.source, p.destination)]
        for family in FAMILIES:
            for protocol in ("icmp", "tcp"):
                for outward in (True, False):
                    chosen = [
                        p
                        for p in mine
                        if p.protocol == f"{protocol}-{family.value}"
                        and (p.source == customer) is outward
                        and (p.destination if outward else p.source) in services
                    ]
                    way = f"{customer} to a service" if outward else f"a service to {customer}"
                    if not chosen:
                        docket.lacks(f"no {protocol} over {family.value} from {way} was tried")
                    for probe in chosen:
                        where = f"{probe.source} > {probe.destination} {probe.protocol}"
                        if not probe.received:
                            docket.breaks(probe.at, where, f"0 of {probe.sent} answered ({probe.detail})")
                        else:
                            docket.proves(probe.at, where, f"{probe.received} of {probe.sent} answered")
            _through_a_connection(docket, customer, family, paths, wires)
    return docket.close(f"ICMP and TCP both ways between services and {len(customers)} customers, over the connections")


def _through_a_connection(
    docket: Docket, customer: str, family: Family, paths: tuple[PathTraced, ...], wires: list[tuple[str, str]]
) -> None:
    mine = [t for t in paths if customer in (t.source, t.destination) and family_of_trace(t) is family]
    if not any(t.source == customer for t in mine) or not any(t.destination == customer for t in mine):
        docket.lacks(f"no path was traced both ways between a service and {customer} over {family.value}")
    for trace in mine:
        where = f"{trace.source} > {trace.destination} {family.value}"
        steps = ", ".join(node or "?" for node in trace.nodes)
        if not trace.reached:
            docket.breaks(trace.at, where, f"the path ends after {steps}")
        elif any(crossing(trace, edge, peer) for edge, peer in wires):
            docket.proves(trace.at, where, f"through {steps}")
        elif None in trace.nodes:
            docket.lacks(f"{where}: silent hops hide whether the path crosses a connection ({steps})")
        elif not _over_a_lan(trace, wires):
            docket.breaks(trace.at, where, f"goes around every connection: {steps}")


def _over_a_lan(trace: PathTraced, wires: list[tuple[str, str]]) -> bool:
    """Whether the path leaves an edge toward a router that no connection names: a member behind a route server."""
    edges, peers = {edge for edge, _ in wires}, {peer for _, peer in wires}
    return bool(edges & set(trace.nodes)) and not peers & set(trace.nodes)


def judge_three_ways(evidence: Evidence) -> Judgement:
    docket = Docket()
    first = snapshot(evidence, docket, Moment.ALLOWED)
    compared = 0
    for moment in COMPARED if first is not None else ():
        taken = evidence.snapshots.get(moment.value)
        if taken is None:
            continue
        compared += 1
        _ribs_agree(evidence, docket, taken)
        for node in routers(evidence.model):
            at_node = node_at(taken, docket, node.name)
            if at_node is not None and not node.route_server:
                _kernel_agrees(docket, taken, at_node)
        _packets_agree(evidence, docket, taken)
    return docket.close(f"Adj-RIBs, Loc-RIBs, kernels and traced packets agree at {compared} moments")


def _ribs_agree(evidence: Evidence, docket: Docket, taken: Snapshot) -> None:
    """Adj-RIB-Out of one end equals Adj-RIB-In of the other, prefix and path, for every session."""
    for session in evidence.model.sessions:
        for end, other in ((session.left, session.right), (session.right, session.left)):
            sender, receiver = taken.nodes.get(end.node), taken.nodes.get(other.node)
            if sender is None or receiver is None:
                docket.lacks(f"snapshot '{taken.label}' lacks an end of {session.id}")
                continue
            if session.id not in sender.adj_rib_out and session.id not in receiver.adj_rib_in_pre:
                continue
            told = {p: r.attributes.path_text() for p, r in sent(sender, session.id).items()}
            heard = {p: r.attributes.path_text() for p, r in received(receiver, session.id).items()}
            where = f"{end.node} > {other.node} {session.id} ({taken.label})"
            different = sorted(p for p in {*told, *heard} if told.get(p) != heard.get(p))
            if different:
                prefix = different[0]
                what = f"{prefix}: told '{told.get(prefix, 'nothing')}', heard '{heard.get(prefix, 'nothing')}'"
                docket.breaks(taken.at, where, what)
            elif told:
                docket.proves(taken.at, where, f"{len(told)} routes told and heard alike")


def _kernel_agrees(docket: Docket, taken: Snapshot, node: NodeSnapshot) -> None:
    """Every best route is in the kernel with the gateway that leads to its next hop, and nothing else is."""
    best = {route.prefix: route for route in node.loc_rib if route.best}
    installed = {route.prefix: route for route in node.kernel if route.protocol in BGP}
    where = f"{node.node} ({taken.label})"
    good = 0
    for prefix, route in best.items():
        if route.session is None:
            continue
        kernel = installed.get(prefix)
        if kernel is None:
            docket.breaks(taken.at, where, f"{prefix} is best, but not in the kernel")
            continue
        allowed = _gateways(node, route)
        if not allowed:
            docket.breaks(taken.at, where, f"the kernel has no way to the next hop {route.attributes.next_hop}")
        elif kernel.gateway not in allowed:
            docket.breaks(taken.at, where, f"{prefix} goes to {kernel.gateway}, its next hop is at {min(allowed)}")
        else:
            good += 1
    for prefix in sorted(set(installed) - set(best)):
        docket.breaks(taken.at, where, f"the kernel has {prefix}, the Loc-RIB has not")
    if good:
        docket.proves(taken.at, where, f"{good} best routes stand in the kernel as they should")


def _gateways(node: NodeSnapshot, route: RouteFact) -> set[str]:
    """Gateways that lead to the route's next hop: the global one, or the link-local one that came with it."""
    attributes = route.attributes
    found = {expected_gateway(node, attributes.next_hop)} if attributes.next_hop else set()
    if attributes.link_local_next_hop:
        found.add(attributes.link_local_next_hop)
    return {gateway for gateway in found if gateway is not None}


def _packets_agree(evidence: Evidence, docket: Docket, taken: Snapshot) -> None:
    """At every router that a traced packet visited, the kernel's route leads to the hop that came next."""
    paths = traces(evidence, taken.label)
    if not paths:
        docket.lacks(f"no path was traced at '{taken.label}'")
    for trace in paths:
        target = next((hop for hop in reversed(trace.hops) if hop), None)
        if not trace.reached or target is None:
            continue
        steps: list[str | None] = [trace.source, *trace.nodes]
        followed = 0
        for here, there in pairwise(steps):
            at_node = taken.nodes.get(here) if here is not None else None
            if at_node is None or here is None or there is None or not at_node.sessions:
                continue
            kernel = lookup(at_node, target)
            chosen = next_node(evidence.model, here, kernel) if kernel is not None else None
            where = f"{trace.source} > {trace.destination} {family_of(target).value} ({taken.label})"
            if kernel is None:
                docket.breaks(
                    trace.at, where, f"{here} has no kernel route to {target}, yet the packet went on to {there}"
                )
            elif chosen is not None and chosen != there:
                docket.breaks(trace.at, where, f"{here}'s kernel says {chosen}, the packet went to {there}")
            else:
                followed += 1
        if followed:
            docket.proves(
                trace.at,
                f"{trace.source} > {trace.destination} ({taken.label})",
                f"followed the kernel at {followed} hops",
            )
