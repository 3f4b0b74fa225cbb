"""Packets to destinations that nobody announced on a session: none of them may cross its wire (RTG-12)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_network

from peerlab.bgp.attributes import Family
from peerlab.controller import probing
from peerlab.controller.cast import connections, sessions_of
from peerlab.controller.exam import spare_prefixes
from peerlab.controller.lab import now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story import Stimulus
from peerlab.runtime.base import Task
from peerlab.topology.model import NodeKind, Session

PING = "peerlab.runtime.probe:ping"
PACKETS = 3
WAIT = 0.2
"""Seconds that an answer is waited for; whether one comes does not matter, only what crossed the wire."""


@dataclass(frozen=True)
class Door:
    """One end of a session from which packets are sent: to an announced destination and to an unannounced one."""

    session: Session
    sender: str
    interface: str
    announced: str
    unannounced: str


async def knock(rehearsal: Rehearsal) -> None:
    """Send packets both ways to both kinds of destination, and count on the sender's side of the wire what leaves."""
    doors = [door for found in await asyncio.gather(*_doors(rehearsal)) for door in found]
    await asyncio.gather(*(_knock_at(rehearsal, number, door) for number, door in enumerate(doors)))


def _doors(rehearsal: Rehearsal) -> list[asyncio.Task[list[Door]]]:
    sessions = [s for _, connection in connections(rehearsal) for s in sessions_of(rehearsal, connection)]
    return [asyncio.ensure_future(_doors_of(rehearsal, session)) for session in sessions]


async def _doors_of(rehearsal: Rehearsal, session: Session) -> list[Door]:
    """Both ends that send packets over this session: those with a best route learned on it."""
    model = rehearsal.model
    nowhere = next(spare_prefixes(model, session.family), None)
    doors: list[Door] = []
    for end in (session.left, session.right):
        node = model.node(end.node)
        if nowhere is None or end.interface is None or node.kind is not NodeKind.EXABGP or node.route_server:
            continue
        held = await (await rehearsal.lab.router(end.node)).rib("loc-rib")
        best = next((route for route in held if route.best and route.session == session.id), None)
        if best is not None:
            doors.append(Door(session, end.node, end.interface, _inside(best.prefix), _inside(nowhere)))
    return doors


def _inside(prefix: str) -> str:
    """The last but one address of a prefix: nobody's, as a rule, and routed all the same."""
    network = ip_network(prefix)
    return str(network[-2] if network.num_addresses > 1 else network[0])


async def _knock_at(rehearsal: Rehearsal, number: int, door: Door) -> None:
    lab, session = rehearsal.lab, door.session
    trial = f"{door.sender} {number}"
    detail: dict[str, object] = {"session": session.id, "trial": trial}
    lab.record(
        StimulusApplied(
            at=now_ns(),
            stimulus=Stimulus.UNANNOUNCED_DESTINATION,
            node=door.sender,
            session=session.id,
            detail={
                **detail,
                "sent": PACKETS,
                "destination": door.unannounced,
                "announced": door.announced,
                "link": f"{door.sender} {door.interface}",
            },
        )
    )
    ether_type = 0x0800 if session.family is Family.IPV4 else 0x86DD
    watcher: Task = await lab.runtime.task(
        door.sender,
        probing.SNIFF,
        {"interface": door.interface, "filter": {"direction": "out", "ether_type": ether_type}},
    )
    try:
        await probing.listening(watcher)
        await asyncio.gather(*(_send(rehearsal, door.sender, to) for to in (door.announced, door.unannounced)))
        frames = await watcher.drain()
        missed = (await watcher.result())["missed"]
    finally:
        watcher.close()
    crossed = sum(1 for frame in frames if frame["destination"] == door.unannounced)
    control = sum(1 for frame in frames if frame["destination"] == door.announced)
    seen: dict[str, object] = {"crossed": crossed, "control": control} if not missed else {}
    lab.record(
        StimulusObserved(
            at=now_ns(),
            stimulus=Stimulus.UNANNOUNCED_DESTINATION,
            node=door.sender,
            detail={**detail, **seen, "missed": missed},
        )
    )


async def _send(rehearsal: Rehearsal, node: str, destination: str) -> None:
    arguments = {"destination": destination, "count": PACKETS, "wait": WAIT}
    await (await rehearsal.lab.runtime.task(node, PING, arguments)).result()
