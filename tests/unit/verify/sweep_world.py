"""A world of two ASes with a host each, in which every kernel and session is as it should be: what sweeps are told.

    h1 - r1 (AS64500, customer of two) ---- r2 (AS64501) - h2
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.evidence.events import PathTraced
from peerlab.evidence.snapshot import KernelRoute, NodeSnapshot, SessionFact, Snapshot
from peerlab.evidence.trace import Trace
from peerlab.topology.load import load_text
from peerlab.topology.model import LabModel
from peerlab.verify.outage import Case, case_of
from peerlab.verify.relation_reach import reachable_pairs
from peerlab.verify.sweep import Run, left_of

TEXT = """
name: two
ases:
  one:
    asn: 64500
    role: customer
    providers: [two]
    prefixes: [198.18.32.0/24, 2001:db8:2000::/48]
    routers: {r1: }
    hosts: {h1: {router: r1}}
  two:
    asn: 64501
    role: isp
    prefixes: [198.18.33.0/24, 2001:db8:2001::/48]
    routers: {r2: }
    hosts: {h2: {router: r2}}
links:
  - between: [r1, r2]
"""
MODEL = load_text(TEXT, "two.yaml")
LINK = "r1--r2"
OTHER = {"r1": "r2", "r2": "r1"}
PREFIXES = {
    "r1": {Family.IPV4: "198.18.32.0/24", Family.IPV6: "2001:db8:2000::/48"},
    "r2": {Family.IPV4: "198.18.33.0/24", Family.IPV6: "2001:db8:2001::/48"},
}


def address(node: str, link: str, family: Family) -> str:
    """A node's address on a wire, with its length."""
    interface = next(i for i in MODEL.node(node).interfaces if i.link == link)
    text = interface.v4 if family is Family.IPV4 else interface.v6
    assert text is not None
    return text


def kernel(node: str, joined: bool) -> tuple[KernelRoute, ...]:
    """Connected routes, the own prefix, and the other's where a session tells it."""
    routes = []
    for interface in MODEL.node(node).interfaces:
        if interface.link == LINK and not joined:
            continue
        for family in Family:
            routes.append(
                KernelRoute(prefix=Prefix(network(address(node, interface.link, family))), interface=interface.name)
            )
    for family in Family:
        routes.append(KernelRoute(prefix=Prefix(PREFIXES[node][family]), kind="blackhole", protocol=186))
        if joined:
            gateway = Address(address(OTHER[node], LINK, family).partition("/")[0])
            to = Prefix(PREFIXES[OTHER[node]][family])
            routes.append(KernelRoute(prefix=to, gateway=gateway, interface=f"to-{OTHER[node]}", protocol=186))
    return tuple(routes)


def network(text: str) -> str:
    """The network of an interface's address."""
    from ipaddress import ip_interface

    return str(ip_interface(text).network)


def node(name: str, joined: bool) -> NodeSnapshot:
    """A router as it should be, with the link or without it."""
    facts = []
    for session in MODEL.sessions_of(name):
        end, other = session.end(name), session.other(name)
        facts.append(
            SessionFact(
                session=session.id,
                node=name,
                peer=other.node,
                family=session.family,
                state="Established" if joined else "Idle",
                since=100,
                local_address=end.address,
                peer_address=other.address,
                local_as=end.asn,
                peer_as=other.asn,
            )
        )
    return NodeSnapshot(node=name, sessions=tuple(facts), kernel=kernel(name, joined))


def look(label: str, at: int, joined: bool = True, **changed: NodeSnapshot) -> Snapshot:
    """The whole lab; ``changed`` replaces nodes."""
    nodes = {name: node(name, joined) for name in OTHER} | {h: NodeSnapshot(node=h) for h in ("h1", "h2")}
    return Snapshot(label=label, at=at, nodes=nodes | changed)


def run(text: str, *, model: LabModel = MODEL, **changed: object) -> Run:
    """A case in which all goes well, but for what is changed."""
    case = case_of(text, model) if text else Case(())
    alive = left_of(model, case)
    paths = tuple(
        PathTraced(at=250, name="allowed", source=a, destination=b, hops=("192.0.2.1",), nodes=(b,), reached=True,
                   family=family.value)
        for a, b, family in sorted(reachable_pairs(alive))
    )  # fmt: skip
    made = Run(
        case=case,
        model=model,
        expected=frozenset(s.id for s in model.sessions),
        baseline=look("baseline", 100),
        before=look("before", 150),
        settled=look("settled", 200, joined=LINK in alive.links),
        restored=look("restored", 300),
        late=(),
        paths=paths,
        events=(),
        trace=Trace(),
    )
    return msgspec.structs.replace(made, **changed)
