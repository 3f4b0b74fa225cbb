"""The link test of a Direct connection in 169.254.0.0/16, and the proof that this range is never forwarded.

Spec S3, RFC 3927 sections 2.1 and 2.7. Linux forwards 169.254/16 like any other range; the lab's routers drop it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from peerlab.controller import probing
from peerlab.controller.cast import connections, customer_hosts, service_hosts
from peerlab.controller.early_traffic import offer, watched
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.errors import RuntimeFailure, Unsupported
from peerlab.evidence.events import AddressesChanged, LinkTested, StimulusApplied, StimulusObserved
from peerlab.evidence.story import Moment, Stimulus
from peerlab.peering import command as ask
from peerlab.runtime.base import Impairment, RouteSpec
from peerlab.runtime.frames import echo_request
from peerlab.topology.model import ConnectionRequest, Interface, Link, LinkPurpose, PeeringKind, PeeringRequest

LINK_TEST = "peerlab.runtime.linktest:link_test"
RAW_SEND = "peerlab.runtime.frames:raw_send"

PROBES = 100
"""Echo requests each way (LNK-02)."""

OUTSIDE_RANGE = "192.0.2.0/24"
"""A range that no link test may use (TEST-NET-1); asking for it must be refused."""

CAPACITY_KBIT = 10_000
LOAD_RATE_HZ = 1000.0
LOAD_SIZE = 1150
FRAME_OVERHEAD = 42
"""Octets of Ethernet, IPv4 and UDP headers around a datagram."""

LOAD_DATAGRAMS = 250
"""A quarter of a second of load; 9.5 of 10 Mbit/s with the headers."""

LOAD_LEAST = 0.92
LOAD_ATTEMPTS = 3
"""A load that a busy machine sent too slowly to tell anything of the link is offered again."""

LOAD_PORT = 40900

FOREIGN_SOURCE = "169.254.77.1"
FOREIGN_DESTINATION = "169.254.78.2"
FRAMES_EACH = 3
CROSSED_WITHIN = 3.0
"""Seconds in which the control frame, sent last, has to arrive on the far side."""


@dataclass(frozen=True)
class Wire:
    """A connection's link as the test needs it."""

    peering: PeeringRequest
    connection: ConnectionRequest
    link: Link
    edge: Interface
    peer: Interface


def wires(rehearsal: Rehearsal) -> list[Wire]:
    """The links that are to be tested: those of Direct connections whose peering asks for it."""
    found = []
    links = {link.id: link for link in rehearsal.model.links}
    for peering, connection in connections(rehearsal):
        if not peering.link_test or peering.kind is not PeeringKind.DIRECT or connection.link is None:
            continue
        if peering.direct_peering_type == "IxRs":
            continue
        link = links[connection.link]
        interfaces = {end.node: rehearsal.model.node(end.node).interface(end.interface) for end in link.ends}
        found.append(Wire(peering, connection, link, interfaces[connection.edge], interfaces[connection.peer]))
    return found


async def link_test(rehearsal: Rehearsal) -> None:
    """Test every link both ways, prove that nothing of the range is forwarded, and take the addresses off again."""
    desk = rehearsal.desk
    tested = wires(rehearsal)
    for wire in tested:
        names = {"peering": wire.peering.name, "connection": wire.connection.name}
        if not desk.is_refused(ask.StartLinkTest(**names, within=OUTSIDE_RANGE)):
            raise RuntimeFailure(f"the desk took {OUTSIDE_RANGE} for a link test of {wire.link.id}")
        desk.command(ask.StartLinkTest(**names))
    await asyncio.gather(*(_address(rehearsal, wire, put=True) for wire in tested))
    results: list[bool] = []

    async def test_all() -> None:
        results.extend(await asyncio.gather(*(_test(rehearsal, wire) for wire in tested)))

    subjects = [watched(rehearsal.model, wire.peering, wire.connection) for wire in tested]
    if not customer_hosts(rehearsal) or not service_hosts(rehearsal):
        await test_all()
    await offer(rehearsal, "link-test", subjects, test_all)
    if tested:
        first_at_edge = {wire.connection.edge: wire for wire in reversed(tested)}
        await asyncio.gather(*(prove_never_forwarded(rehearsal, wire) for wire in first_at_edge.values()))
        await rehearsal.lab.snapshot(Moment.LINK_TEST)
        await asyncio.gather(*(_load(rehearsal, wire) for wire in tested))
    await asyncio.gather(*(_address(rehearsal, wire, put=False) for wire in tested))
    for wire, passed in zip(tested, results, strict=True):
        desk.command(
            ask.FinishLinkTest(
                peering=wire.peering.name,
                connection=wire.connection.name,
                passed=passed,
                detail="" if passed else "packets were lost; see the link-tested events",
            )
        )
    lost = [wire.link.id for wire, passed in zip(tested, results, strict=True) if not passed]
    if lost:
        raise RuntimeFailure(f"the link test lost packets on {', '.join(lost)}: wire it again before BGP")


def _addresses(rehearsal: Rehearsal, wire: Wire) -> tuple[str, str]:
    record = rehearsal.desk.connection(wire.peering.name, wire.connection.name)
    if record is None or record.link_test is None:
        raise RuntimeFailure(f"no link test of {wire.peering.name}/{wire.connection.name} was started")
    return record.link_test.addresses.microsoft, record.link_test.addresses.peer


async def _address(rehearsal: Rehearsal, wire: Wire, put: bool) -> None:
    """Put a pair on, or take it off. A pair is a /31, so that tests on several links of a router stay apart."""
    lab = rehearsal.lab
    microsoft, peer = _addresses(rehearsal, wire)
    for node, interface, address in (
        (wire.connection.edge, wire.edge, microsoft),
        (wire.connection.peer, wire.peer, peer),
    ):
        held = (f"{address}/31",)
        if put:
            await lab.runtime.set_addresses(node, interface.name, add=held)
            lab.record(AddressesChanged(at=now_ns(), node=node, interface=interface.name, added=held))
        else:
            await lab.runtime.set_addresses(node, interface.name, remove=held)
            lab.record(AddressesChanged(at=now_ns(), node=node, interface=interface.name, removed=held))


async def _test(rehearsal: Rehearsal, wire: Wire) -> bool:
    microsoft, peer = _addresses(rehearsal, wire)
    edge, other = wire.connection.edge, wire.connection.peer
    outward = one_way(rehearsal.lab, wire.link.id, edge, wire.edge.name, microsoft, other, peer)
    inward = one_way(rehearsal.lab, wire.link.id, other, wire.peer.name, peer, edge, microsoft)
    both = await asyncio.gather(outward, inward)
    return all(test.received == test.sent for test in both)


async def one_way(
    lab: Lab, link: str, node: str, interface: str, source: str, far: str, destination: str
) -> LinkTested:
    arguments = {"interface": interface, "source": source, "destination": destination, "count": PROBES}
    answer = await (await lab.runtime.task(node, LINK_TEST, arguments)).result()
    event = LinkTested(
        at=now_ns(),
        link=link,
        source_node=node,
        source=source,
        destination_node=far,
        destination=destination,
        sent=answer["sent"],
        received=answer["received"],
        rtt_min_ms=answer["rtt_min_ms"],
        rtt_avg_ms=answer["rtt_avg_ms"],
        rtt_max_ms=answer["rtt_max_ms"],
    )
    lab.record(event)
    return event


async def _load(rehearsal: Rehearsal, wire: Wire) -> None:
    """Nine tenths of a small emulated capacity both ways at once (LNK-03); says so where the kernel cannot shape."""
    runtime = rehearsal.lab.runtime
    microsoft, peer = _addresses(rehearsal, wire)
    ends = (
        (wire.connection.edge, wire.edge.name, microsoft, wire.connection.peer, peer),
        (wire.connection.peer, wire.peer.name, peer, wire.connection.edge, microsoft),
    )
    shaped: list[tuple[str, str]] = []
    try:
        for node, interface, *_ in ends:
            await runtime.impair(Impairment(node=node, interface=interface, direction="out", rate_kbit=CAPACITY_KBIT))
            shaped.append((node, interface))
        await asyncio.gather(*(_load_one_way(rehearsal, wire, *end) for end in ends))
    except Unsupported as reason:
        for node, _, _, far, _ in ends:
            detail = {"link": wire.link.id, "destination_node": far, "trial": f"{wire.link.id} {node}"}
            rehearsal.lab.record(
                StimulusApplied(at=now_ns(), stimulus=Stimulus.LINK_LOAD, node=node, detail=dict(detail))
            )
            detail["unsupported"] = str(reason)
            rehearsal.lab.record(
                StimulusObserved(at=now_ns(), stimulus=Stimulus.LINK_LOAD, node=node, detail=dict(detail))
            )
    finally:
        for node, interface in shaped:
            await runtime.clear(node, interface, "out")


async def _load_one_way(
    rehearsal: Rehearsal, wire: Wire, node: str, interface: str, source: str, far: str, destination: str
) -> None:
    lab = rehearsal.lab
    detail = {"link": wire.link.id, "destination_node": far, "trial": f"{wire.link.id} {node}"}
    lab.record(StimulusApplied(at=now_ns(), stimulus=Stimulus.LINK_LOAD, node=node, detail=dict(detail)))
    for _ in range(LOAD_ATTEMPTS):
        sent, got = await _offer_load(rehearsal, node, source, far, destination)
        seconds = (sent["ended_ns"] - sent["started_ns"]) / 1e9
        offered = sent["sent"] * (LOAD_SIZE + FRAME_OVERHEAD) * 8 / seconds / 1e6
        if offered >= LOAD_LEAST * CAPACITY_KBIT / 1000:
            break
    lab.record(
        StimulusObserved(
            at=now_ns(),
            stimulus=Stimulus.LINK_LOAD,
            node=node,
            detail={
                **detail,
                "sent": sent["sent"],
                "received": got["received"],
                "offered_mbps": round(offered, 3),
                "capacity_mbps": CAPACITY_KBIT / 1000,
                "jitter_ms": round(got["jitter_ms"], 3),
            },
        )
    )


async def _offer_load(
    rehearsal: Rehearsal, node: str, source: str, far: str, destination: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the sender says it sent, and what the receiver says it got."""
    runtime = rehearsal.lab.runtime
    receiver = await runtime.task(far, probing.STREAM_RECEIVE, {"port": LOAD_PORT, "address": destination})
    try:
        await probing.listening(receiver)
        arguments = {
            "destination": destination,
            "port": LOAD_PORT,
            "rate_hz": LOAD_RATE_HZ,
            "size": LOAD_SIZE,
            "source": source,
            "count": LOAD_DATAGRAMS,
        }
        sent = await (await runtime.task(node, probing.STREAM_SEND, arguments)).result()
        return sent, await receiver.stop()
    finally:
        receiver.close()


@dataclass(frozen=True)
class _Exit:
    """A way out of the edge: its own interface there, the neighbour, and an address behind it."""

    interface: Interface
    neighbour: str
    neighbour_interface: Interface
    gateway: str
    target: str


def _exit_of(rehearsal: Rehearsal, edge: str) -> _Exit | None:
    """A backbone or access link of the edge over which something forwardable can leave; None without one."""
    model = rehearsal.model
    for link in model.links:
        ends = {end.node: end.interface for end in link.ends}
        if edge not in ends or link.purpose is LinkPurpose.INTERCONNECT:
            continue
        (neighbour,) = [name for name in ends if name != edge]
        near, far = model.node(edge).interface(ends[edge]), model.node(neighbour).interface(ends[neighbour])
        if far.v4 is None:
            continue
        address = far.v4.split("/")[0]
        return _Exit(near, neighbour, far, address, model.node(neighbour).loopback_v4 or address)
    return None


async def prove_never_forwarded(rehearsal: Rehearsal, wire: Wire) -> None:
    """Frames from and to 169.254/16 enter the edge; only the control frame, which may be forwarded, may come out.

    The edge gets a route for the foreign destination first: without the drop, it would have a way to forward it.
    """
    lab, edge = rehearsal.lab, wire.connection.edge
    way = _exit_of(rehearsal, edge)
    if way is None or wire.peer.v4 is None:
        return
    route = RouteSpec(node=edge, destination=f"{FOREIGN_DESTINATION}/32", via=way.gateway)
    await lab.runtime.set_routes(add=[route])
    watcher = await lab.runtime.task(
        way.neighbour,
        probing.SNIFF,
        {"interface": way.neighbour_interface.name, "filter": {"protocol": "icmp", "direction": "in"}},
    )
    try:
        await probing.listening(watcher)
        records = aiter(watcher)
        frames = _frames(wire, way)
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=Stimulus.LINK_LOCAL_INJECTED,
                node=edge,
                detail={
                    "frames": len(frames) - FRAMES_EACH,
                    "controls": FRAMES_EACH,
                    "entered": wire.edge.name,
                    "sources": [FOREIGN_SOURCE],
                    "destinations": [FOREIGN_DESTINATION],
                },
            )
        )
        sender = await lab.runtime.task(wire.connection.peer, RAW_SEND, {"interface": wire.peer.name, "frames": frames})
        await sender.result()
        delivered, leaked = await _crossings(records, way)
    finally:
        watcher.close()
        await lab.runtime.set_routes(remove=[route])
    lab.record(
        StimulusObserved(
            at=now_ns(),
            stimulus=Stimulus.LINK_LOCAL_INJECTED,
            node=edge,
            detail={"delivered": delivered, "leaked": leaked},
        )
    )


async def _crossings(records: object, way: _Exit) -> tuple[int, list[dict[str, str]]]:
    """Read what comes out until every control frame, which were sent last, has come, or the time is up."""
    delivered = 0
    leaked: list[dict[str, str]] = []

    async def read() -> None:
        nonlocal delivered
        async for record in records:  # type: ignore[attr-defined]
            if record["source"] == FOREIGN_SOURCE or record["destination"] == FOREIGN_DESTINATION:
                place = {"node": way.neighbour, "interface": way.neighbour_interface.name}
                leaked.append({**place, "frame": record["hex"]})
            elif record["destination"] == way.target:
                delivered += 1
                if delivered == FRAMES_EACH:
                    return

    try:
        await asyncio.wait_for(read(), CROSSED_WITHIN)
    except TimeoutError:
        return delivered, leaked
    return delivered, leaked


def _frames(wire: Wire, way: _Exit) -> list[str]:
    """The forbidden frames first, the controls last, as hex."""
    ours = (wire.peer.v4 or "").split("/")[0]
    pairs = [(FOREIGN_SOURCE, way.target), (ours, FOREIGN_DESTINATION), (ours, way.target)]
    return [
        echo_request(wire.peer.mac, wire.edge.mac, source, destination).hex()
        for source, destination in pairs
        for _ in range(FRAMES_EACH)
    ]
