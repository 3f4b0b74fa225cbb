"""A load that runs through a failover, and what interface counters say each connection carries of it (FLV-13).

Links are emulated a thousand times slower than they are named, or slower still so that the whole load stays small.
Nothing holds a link to its bandwidth: what it carries is compared with it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from peerlab.bgp.attributes import Family
from peerlab.controller import probing
from peerlab.controller.lab import now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story import Moment, Stimulus
from peerlab.runtime.base import Task
from peerlab.topology.model import ConnectionRequest

PEAK = 0.4
"""Part of its bandwidth that each primary connection carries at peak: Microsoft's walkthrough plans with that much."""
SCALE = 1000
MOST_MBPS = 10.0
"""Mbit/s of load in all, whatever the bandwidths are: the machine has to make it beside everything else."""
SIZE = 1000
HEADERS = {Family.IPV4: 42, Family.IPV6: 62}
"""Octets of Ethernet, IP and UDP headers of a datagram, which interface counters include."""
PORT = 42000
BEATS, BEATS_HZ = 20, 50.0
"""Datagrams of a slow stream, and how many of it a second: counters are compared over the time that it takes."""


@asynccontextmanager
async def offered(
    rehearsal: Rehearsal,
    moment: Moment,
    service: str,
    customer: str,
    primary: Sequence[ConnectionRequest],
    backup: Sequence[ConnectionRequest],
) -> AsyncIterator[None]:
    """Offer the peak load of all primary connections to one customer; the body is what goes wrong meanwhile.

    Every connection needs a wire of its own.
    """
    lab = rehearsal.lab
    wires = {str(c.link): c for c in (*primary, *backup)}
    peak = PEAK * sum(c.bandwidth_mbps for c in primary)
    scale = max(SCALE, peak / MOST_MBPS)
    families = [f for f in Family if _has(rehearsal, service, f) and _has(rehearsal, customer, f)]
    async with AsyncExitStack() as stack:
        for number, family in enumerate(families):
            rate = peak / scale / len(families) * 1e6 / 8 / (SIZE + HEADERS[family])
            await _send(rehearsal, stack, service, customer, family, PORT + number, rate)
        before = await _carried(rehearsal, wires, service, customer)
        detail = {"trial": moment.value, "customer": customer, "offered_mbps": peak / scale, "scale": scale}
        bandwidths = {link: c.bandwidth_mbps for link, c in wires.items()}
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=Stimulus.SURVIVOR_LOAD,
                node=service,
                detail={**detail, "bandwidth_mbps": bandwidths, "carried_mbps": before},
            )
        )
        yield
        after = await _carried(rehearsal, wires, service, customer)
        lab.record(
            StimulusObserved(
                at=now_ns(),
                stimulus=Stimulus.SURVIVOR_LOAD,
                node=service,
                detail={"trial": moment.value, "carried_mbps": after},
            )
        )


def _has(rehearsal: Rehearsal, host: str, family: Family) -> bool:
    interfaces = rehearsal.model.node(host).interfaces
    return any(i.v4 if family is Family.IPV4 else i.v6 for i in interfaces)


async def _send(
    rehearsal: Rehearsal, stack: AsyncExitStack, service: str, customer: str, family: Family, port: int, rate: float
) -> None:
    runtime = rehearsal.lab.runtime
    target = probing.address_of(rehearsal.model.node(customer), family)
    receiver: Task = await runtime.task(customer, probing.STREAM_RECEIVE, {"port": port, "address": target})
    stack.callback(receiver.close)
    await probing.listening(receiver)
    arguments = {"destination": target, "port": port, "rate_hz": rate, "size": SIZE}
    sender: Task = await runtime.task(service, probing.STREAM_SEND, arguments)
    stack.callback(sender.close)
    await probing.listening(sender)


async def _carried(
    rehearsal: Rehearsal, wires: dict[str, ConnectionRequest], service: str, customer: str
) -> dict[str, float]:
    """Mbit/s that the edge of each connection sends to its peer, as its interface counts them."""
    node = rehearsal.model.node(customer)
    address = probing.address_of(node, Family.IPV4 if _has(rehearsal, customer, Family.IPV4) else Family.IPV6)
    (began, first) = await _sent(rehearsal, wires)
    beat = {"destination": address, "port": PORT, "rate_hz": BEATS_HZ, "count": BEATS}
    await (await rehearsal.lab.runtime.task(service, probing.STREAM_SEND, beat)).result()
    (ended, last) = await _sent(rehearsal, wires)
    return {link: round((last[link] - first[link]) * 8 / 1e6 / (ended - began), 3) for link in wires}


async def _sent(rehearsal: Rehearsal, wires: dict[str, ConnectionRequest]) -> tuple[float, dict[str, int]]:
    state = await rehearsal.lab.runtime.observe()
    at = time.monotonic()
    ends = {(link.id, end.node): end for link in state.links for end in (link.a, link.b)}
    return at, {link: ends[link, c.edge].tx_bytes for link, c in wires.items()}
