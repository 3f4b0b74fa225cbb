"""Packets through the lab: reachability, traceroutes with named hops, and 1 kHz streams through a change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from peerlab.bgp.attributes import Family
from peerlab.controller.lab import Lab, now_ns
from peerlab.errors import RefusedError
from peerlab.evidence.events import PathTraced, ProbeAnswered, StreamMeasured
from peerlab.runtime.base import Task
from peerlab.topology.model import LabModel, Node

PING = "peerlab.runtime.probe:ping"
TRACEROUTE = "peerlab.runtime.probe:traceroute"
STREAM_SEND = "peerlab.runtime.stream:udp_stream_send"
STREAM_RECEIVE = "peerlab.runtime.stream:udp_stream_receive"
SNIFF = "peerlab.runtime.frames:sniff"
TCP_SERVE = "peerlab.runtime.transport:tcp_serve"
TCP_CONNECT = "peerlab.runtime.transport:tcp_connect"

STREAM_RATE_HZ = 1000.0
STREAM_PORT = 40000
TCP_PORT = 8443
READY_WITHIN = 10.0
"""Seconds in which a listening probe says that it listens."""


def address_of(node: Node, family: Family) -> str:
    """A node's own address of a family: its loopback, or its first interface's. Raises RefusedError without one."""
    loopback = node.loopback_v4 if family is Family.IPV4 else node.loopback_v6
    if loopback:
        return loopback
    for interface in node.interfaces:
        address = interface.v4 if family is Family.IPV4 else interface.v6
        if address:
            return address.partition("/")[0]
    raise RefusedError("NoAddress", f"{node.name} has no {family.value} address")


def node_by_address(model: LabModel) -> dict[str, str]:
    """Which node holds an address."""
    held: dict[str, str] = {}
    for node in model.nodes:
        for loopback in (node.loopback_v4, node.loopback_v6):
            if loopback:
                held[loopback] = node.name
        for interface in node.interfaces:
            for address in (interface.v4, interface.v6):
                if address:
                    held[address.partition("/")[0]] = node.name
    return held


async def ping(lab: Lab, name: str, source: str, destination: str, family: Family, count: int = 3) -> ProbeAnswered:
    """Echo requests from a node to a node, recorded under ``name``."""
    target = address_of(lab.model.node(destination), family)
    task = await lab.runtime.task(source, PING, {"destination": target, "count": count})
    answer = await task.result()
    event = ProbeAnswered(
        at=now_ns(),
        name=name,
        source=source,
        destination=destination,
        protocol=f"icmp-{family.value}",
        sent=answer["sent"],
        received=answer["received"],
        detail=target,
    )
    lab.record(event)
    return event


async def tcp(
    lab: Lab, name: str, source: str, destination: str, family: Family, port: int = TCP_PORT
) -> ProbeAnswered:
    """One TCP connection from a node to a node, recorded under ``name``."""
    target = address_of(lab.model.node(destination), family)
    server = await lab.runtime.task(destination, TCP_SERVE, {"address": target, "port": port})
    try:
        await listening(server)
        client = await lab.runtime.task(source, TCP_CONNECT, {"destination": target, "port": port})
        answer = await client.result()
    finally:
        server.close()
    event = ProbeAnswered(
        at=now_ns(),
        name=name,
        source=source,
        destination=destination,
        protocol=f"tcp-{family.value}",
        sent=1,
        received=1 if answer["outcome"] == "open" else 0,
        detail=answer["outcome"],
    )
    lab.record(event)
    return event


async def listening(task: Task) -> None:
    """Returns at the probe's first record, which it writes once it listens."""
    await asyncio.wait_for(anext(aiter(task)), READY_WITHIN)


async def trace(lab: Lab, name: str, source: str, destination: str, family: Family) -> PathTraced:
    """A traceroute whose hops carry node names, recorded under ``name``."""
    target = address_of(lab.model.node(destination), family)
    task = await lab.runtime.task(source, TRACEROUTE, {"destination": target})
    answer = await task.result()
    holders = node_by_address(lab.model)
    hops = tuple(hop["address"] for hop in answer["hops"])
    event = PathTraced(
        at=now_ns(),
        name=name,
        source=source,
        destination=destination,
        hops=hops,
        nodes=tuple(holders.get(hop) if hop else None for hop in hops),
        reached=answer["outcome"] == "reached",
        rtts_ms=tuple(hop["rtt_ms"] for hop in answer["hops"]),
    )
    lab.record(event)
    return event


async def trace_all(
    lab: Lab, name: str, sources: Iterable[str], destination: str, families: Iterable[Family]
) -> list[PathTraced]:
    """Traceroutes from many nodes to one, all at once."""
    pairs = [(source, family) for source in sources for family in families]
    return list(await asyncio.gather(*(trace(lab, name, s, destination, f) for s, f in pairs)))


@dataclass(frozen=True)
class StreamPlan:
    """A stream to run: name, hosts, family, its own port, and where to if not to the destination's own address."""

    name: str
    source: str
    destination: str
    family: Family
    port: int
    target: str = ""


def stream_plans(name: str, pairs: Sequence[tuple[str, str]], families: Iterable[Family]) -> list[StreamPlan]:
    """One stream per pair and family, both ways are two pairs."""
    plans: list[StreamPlan] = []
    for family in families:
        for source, destination in pairs:
            port = STREAM_PORT + len(plans)
            plans.append(StreamPlan(f"{name}:{source}>{destination}:{family.value}", source, destination, family, port))
    return plans


@asynccontextmanager
async def streams(lab: Lab, plans: Sequence[StreamPlan]) -> AsyncIterator[list[StreamMeasured]]:
    """Run 1 kHz UDP streams while the body runs; the yielded list is filled, and recorded, when it ends."""
    measured: list[StreamMeasured] = []
    receivers: list[Task] = []
    senders: list[Task] = []
    try:
        for plan in plans:
            receivers.append(await lab.runtime.task(plan.destination, STREAM_RECEIVE, {"port": plan.port}))
        await asyncio.gather(*(listening(receiver) for receiver in receivers))
        for plan in plans:
            target = plan.target or address_of(lab.model.node(plan.destination), plan.family)
            arguments = {"destination": target, "port": plan.port, "rate_hz": STREAM_RATE_HZ}
            senders.append(await lab.runtime.task(plan.source, STREAM_SEND, arguments))
        await asyncio.gather(*(listening(sender) for sender in senders))
        yield measured
        sent = await asyncio.gather(*(sender.stop() for sender in senders))
        received = await asyncio.gather(*(receiver.stop() for receiver in receivers))
        for plan, tx, rx in zip(plans, sent, received, strict=True):
            event = StreamMeasured(
                at=now_ns(),
                name=plan.name,
                source=plan.source,
                destination=plan.destination,
                family=plan.family.value,
                rate_hz=STREAM_RATE_HZ,
                sent=tx["sent"],
                received=rx["received"],
                duplicated=rx["duplicated"],
                reordered=rx["reordered"],
                started=tx["started_ns"],
                ended=tx["ended_ns"],
                last=rx["last_ns"],
                stale=rx["stale"],
                gaps=tuple((gap[0], gap[1], gap[2]) for gap in rx["gaps"]),
            )
            measured.append(event)
            lab.record(event)
    finally:
        for task in (*senders, *receivers):
            task.close()
