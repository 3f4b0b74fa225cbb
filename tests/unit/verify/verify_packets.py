"""Packets of the plain story: paths traced along the snapshots' kernels, probes, streams, links cut and mended."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from verify_model import CLOUD_ROUTERS, CUSTOMER, FAMILIES, ISP, P4, P6, WIRES
from verify_scenario import TIMES, Scenario, ns, path

from peerlab.bgp.attributes import Family
from peerlab.evidence.events import (
    FaultCleared,
    FaultInjected,
    PathTraced,
    ProbeAnswered,
    SnapshotTaken,
    StreamMeasured,
)
from peerlab.evidence.story import Moment
from peerlab.topology.model import Node

TRACED = (
    Moment.ALLOWED,
    Moment.ACTIVATED,
    Moment.HOT_POTATO,
    Moment.MED_SWAPPED,
    Moment.LOCAL_LINK_LOST,
    Moment.PRIMARY_LOST,
    Moment.PRIVATE_LOST,
    Moment.RESTORED,
)
FAULTS = (
    # what, link, when
    (FaultInjected, "w1", 155.0),
    (FaultCleared, "w1", 165.0),
    (FaultInjected, "w1", 175.0),
    (FaultInjected, "w2", 175.0),
    (FaultInjected, "w3", 195.0),
    (FaultCleared, "w1", 210.0),
    (FaultCleared, "w2", 210.0),
    (FaultCleared, "w3", 210.0),
)
STREAMS = (
    # name, packets lost, when it ended
    ("local-link-lost", 40, 161.0),
    ("primary-lost", 300, 181.0),
    ("private-lost", 400, 201.0),
    ("restored-mended", 10, 219.0),
)
SERVICE, CUSTOMER_HOST = "host-svc", "host-cust"


def _host(node: Node, family: Family) -> str:
    port = node.interfaces[0]
    return ((port.v4 if family is Family.IPV4 else port.v6) or "").split("/")[0]


def walk(s: Scenario, moment: Moment, source: str, destination: str, family: Family) -> PathTraced:
    """Follow the kernels of a snapshot from node to node; hops answer with the address on the wire they came by."""
    target = _host(s.model.node(destination), family)
    here, steps = source, []
    while here != destination and len(steps) < 12:
        node = s.snapshots[moment].get(here)
        if node is None:
            (number, one, other, _, _) = next(w for w in WIRES if here in w[1:3])
            there = other if one == here else one
        else:
            held = [k for k in node.kernel if ip_address(target) in ip_network(k.prefix)]
            route = max(held, key=lambda k: ip_network(k.prefix).prefixlen)
            if route.gateway is None:
                there = destination
            else:
                there = next(
                    n.name
                    for n in s.model.nodes
                    for i in n.interfaces
                    if route.gateway in [(t or "").split("/")[0] for t in (i.v4, i.v6)]
                )
            number = next(w[0] for w in WIRES if {here, there} == set(w[1:3]))
        port = s.model.node(there).interface(f"e{number}")
        steps.append((there, ((port.v4 if family is Family.IPV4 else port.v6) or "").split("/")[0]))
        here = there
    return PathTraced(
        at=ns(TIMES[moment] + 1),
        name=moment.value,
        source=source,
        destination=destination,
        hops=tuple(address for _, address in steps),
        nodes=tuple(name for name, _ in steps),
        reached=here == destination,
        family=family.value,
    )


def send_packets(s: Scenario) -> None:
    """Everything that is measured in the plain story."""
    for moment in s.snapshots:
        s.tell(SnapshotTaken(at=ns(TIMES[moment]), label=moment.value))
    for moment in TRACED:
        for family in FAMILIES:
            for source in (*CLOUD_ROUTERS, SERVICE):
                s.tell(walk(s, moment, source, CUSTOMER_HOST, family))
            s.tell(walk(s, moment, CUSTOMER_HOST, SERVICE, family))
    for family in FAMILIES:
        for protocol in ("icmp", "tcp"):
            for source, destination in ((SERVICE, CUSTOMER_HOST), (CUSTOMER_HOST, SERVICE)):
                s.tell(
                    ProbeAnswered(
                        at=ns(41.0),
                        name="allowed",
                        source=source,
                        destination=destination,
                        protocol=f"{protocol}-{family.value}",
                        sent=3,
                        received=3,
                    )
                )
    for what, link, at in FAULTS:
        s.tell(what(at=ns(at), fault="link-down", target=link))
    for name, lost, at in STREAMS:
        stream(s, name, lost, at)
    for session in s.model.sessions:
        for end in (session.left, session.right):
            if session.is_internal and end.node in ("ams1", "ams2"):
                prefix = P4 if session.family is Family.IPV4 else P6
                s.announce(session.id, end.node, [prefix], 211.0, as_path=path(ISP, CUSTOMER), local_pref=300)


def stream(s: Scenario, name: str, lost: int, at: float) -> None:
    """A stream of 10 s from the service to the customer, in both families."""
    for family in FAMILIES:
        s.tell(
            StreamMeasured(
                at=ns(at),
                name=f"{name}:{SERVICE}>{CUSTOMER_HOST}:{family.value}",
                source=SERVICE,
                destination=CUSTOMER_HOST,
                family=family.value,
                rate_hz=1000.0,
                sent=10_000,
                received=10_000 - lost,
                started=ns(at - 10),
                ended=ns(at),
                last=ns(at - 0.001),
                gaps=((ns(at - 5), ns(at - 5 + lost / 1000), lost),) if lost else (),
            )
        )
