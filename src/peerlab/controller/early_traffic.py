"""Customer packets offered before they may pass: none of them may cross a connection's wire (LNK-06, POL-04)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

from peerlab.bgp.attributes import Family
from peerlab.controller import probing
from peerlab.controller.cast import customer_hosts, service_hosts
from peerlab.controller.lab import now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story import Stimulus
from peerlab.runtime.base import Task
from peerlab.topology.model import ConnectionRequest, LabModel, PeeringRequest

OFFERED = 5
"""Echo requests of each customer, each way and family."""

ANSWER_WAIT = 0.1
"""Seconds that an offered packet is waited for; nobody needs the answer."""


@dataclass(frozen=True)
class Watched:
    """A connection and the edge interfaces on which its packets would cross."""

    key: str
    link: str
    ends: tuple[tuple[str, str], ...]


def watched(model: LabModel, peering: PeeringRequest, connection: ConnectionRequest) -> Watched:
    """Where a connection's packets would leave or enter the cloud."""
    ends = {
        (end.node, end.interface)
        for session in (model.session(s) for s in connection.sessions)
        for end in (session.left, session.right)
        if end.interface is not None and model.node(end.node).asn == model.node(connection.edge).asn
    }
    return Watched(f"{peering.name}/{connection.name}", connection.link or "", tuple(sorted(ends)))


def _foreign_addresses(model: LabModel, hosts: Sequence[str]) -> frozenset[str]:
    return frozenset(
        str(ip_interface(address).ip)
        for host in hosts
        for interface in model.node(host).interfaces
        for address in (interface.v4, interface.v6)
        if address
    )


@asynccontextmanager
async def _sniffers(rehearsal: Rehearsal, ends: set[tuple[str, str]]) -> AsyncIterator[dict[tuple[str, str], Task]]:
    tasks: dict[tuple[str, str], Task] = {}
    try:
        for node, interface in sorted(ends):
            tasks[node, interface] = await rehearsal.lab.runtime.task(node, probing.SNIFF, {"interface": interface})
        await asyncio.gather(*(probing.listening(task) for task in tasks.values()))
        yield tasks
    finally:
        for task in tasks.values():
            task.close()


async def offer(
    rehearsal: Rehearsal,
    trial: str,
    subjects: Sequence[Watched],
    provoke: Callable[[], Awaitable[Any]],
) -> None:
    """Offer customer packets to services and back while ``provoke`` makes frames that the same sniffers must see."""
    model, lab = rehearsal.model, rehearsal.lab
    customers, services = customer_hosts(rehearsal), service_hosts(rehearsal)
    if not customers or not services or not subjects:
        return
    addresses = _foreign_addresses(model, (*customers, *services))
    pairs = [pair for customer in customers for pair in ((customer, services[0]), (services[0], customer))]
    for subject in subjects:
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=Stimulus.EARLY_TRAFFIC,
                node=subject.ends[0][0],
                detail={
                    "link": subject.link,
                    "connection": subject.key,
                    "sent": OFFERED * len(pairs) * len(Family),
                    "trial": f"{trial} {subject.key}",
                },
            )
        )
    async with _sniffers(rehearsal, {end for subject in subjects for end in subject.ends}) as sniffers:
        await asyncio.gather(
            provoke(),
            *(_offer_one(rehearsal, source, destination, family) for source, destination in pairs for family in Family),
        )
        counts = {end: await _count(task, addresses) for end, task in sniffers.items()}
    for subject in subjects:
        lab.record(
            StimulusObserved(
                at=now_ns(),
                stimulus=Stimulus.EARLY_TRAFFIC,
                node=subject.ends[0][0],
                detail={
                    "crossed": sum(counts[end][0] for end in subject.ends),
                    "control": sum(counts[end][1] for end in subject.ends),
                    "trial": f"{trial} {subject.key}",
                },
            )
        )


async def _offer_one(rehearsal: Rehearsal, source: str, destination: str, family: Family) -> None:
    target = probing.address_of(rehearsal.model.node(destination), family)
    arguments = {"destination": target, "count": OFFERED, "wait": ANSWER_WAIT}
    await (await rehearsal.lab.runtime.task(source, probing.PING, arguments)).result()


async def _count(task: Task, addresses: frozenset[str]) -> tuple[int, int]:
    """(frames from or to a host's address, all other frames) that a sniffer has told."""
    task.ask_to_stop()
    crossed = other = 0
    async for record in task:
        if "hex" not in record:
            continue
        if record["source"] in addresses or record["destination"] in addresses:
            crossed += 1
        else:
            other += 1
    return crossed, other
