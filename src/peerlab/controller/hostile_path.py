"""Nothing stateful and no policer stands between a peer and the cloud: stray segments pass, and so does a high rate."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import product

from peerlab.bgp.attributes import Family
from peerlab.controller import probing
from peerlab.controller.cast import customer_hosts, service_hosts
from peerlab.controller.lab import now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.errors import RefusedError
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.runtime.flood import tcp_segment
from peerlab.topology.model import Node

SEGMENT_KINDS = {
    "ACK in mid-stream": (0x10, b""),
    "data in mid-stream": (0x18, b"peerlab"),
    "SYN-ACK without its SYN": (0x12, b""),
    "FIN without a connection": (0x11, b""),
}
EACH = 20
FROM_PORT, TO_PORT = 40179, 40443
RATE_HZ, DATAGRAM = 4000.0, 1400
DATAGRAMS = 4000
RATE_PORT = 41000
RATE_TRIES = 3
"""A policer takes its share each time; a busy machine does not."""
ARRIVED_WITHIN = 5.0
FLAGS_AT = {Family.IPV4: 14 + 20 + 13, Family.IPV6: 14 + 40 + 13}
"""Where the TCP flags stand in an Ethernet frame."""
ETHER_TYPES = {Family.IPV4: 0x0800, Family.IPV6: 0x86DD}
ON_THE_WIRE = DATAGRAM + 28 + 14
"""Octets of a datagram with its headers (UDP, IPv4, Ethernet)."""


async def pass_through(rehearsal: Rehearsal) -> None:
    """Both ways between a service and a customer, in both families (SES-18)."""
    services, customers = service_hosts(rehearsal), customer_hosts(rehearsal)
    if not services or not customers:
        return
    pairs = ((services[0], customers[0]), (customers[0], services[0]))
    ways = [(*pair, family, number) for number, (pair, family) in enumerate(product(pairs, Family))]
    await asyncio.gather(*(_stray(rehearsal, *way) for way in ways))
    await asyncio.gather(*(_rate(rehearsal, *way) for way in ways))


async def _stray(rehearsal: Rehearsal, sender: str, receiver: str, family: Family, number: int) -> None:
    """Each way has ports of its own: the receiver's kernel answers with RSTs, which the other way's watcher sees."""
    lab = rehearsal.lab
    from_port, to_port = FROM_PORT + number, TO_PORT + number
    model = lab.model
    source = probing.address_of(model.node(sender), family)
    target = probing.address_of(model.node(receiver), family)
    trial = f"{sender}>{receiver} {family.value}"
    _applied(
        rehearsal, HostileStimulus.MID_STREAM, sender, trial, destination=receiver, kinds=list(SEGMENT_KINDS), each=EACH
    )
    interface, macs = await _first_wire(rehearsal, model.node(sender), family)
    wanted = {"ether_type": ETHER_TYPES[family], "protocol": "tcp", "source": source, "port": to_port}
    count = EACH * len(SEGMENT_KINDS)
    watcher = await lab.runtime.task(
        receiver,
        probing.SNIFF,
        {
            "interface": model.node(receiver).interfaces[0].name,
            "filter": {**wanted, "direction": "in"},
            "count": count,
            "seconds": ARRIVED_WITHIN,
        },
    )
    try:
        await probing.listening(watcher)
        frames = [
            tcp_segment(macs, (source, from_port), (target, to_port), flags, payload).hex()
            for flags, payload in SEGMENT_KINDS.values()
        ]
        arguments = {"interface": interface, "frames": frames * EACH}
        await (await lab.runtime.task(sender, "peerlab.runtime.frames:raw_send", arguments)).result()
        flags = Counter([bytes.fromhex(record["hex"])[FLAGS_AT[family]] async for record in watcher])
        missed = (await watcher.result())["missed"]
    finally:
        watcher.close()
    arrived = {name: flags[octet] for name, (octet, _) in SEGMENT_KINDS.items()}
    _observed(rehearsal, HostileStimulus.MID_STREAM, sender, trial, arrived=arrived, missed=missed)


async def _rate(rehearsal: Rehearsal, sender: str, receiver: str, family: Family, number: int) -> None:
    trial = f"{sender}>{receiver} {family.value}"
    mbps = RATE_HZ * ON_THE_WIRE * 8 / 1e6
    _applied(rehearsal, HostileStimulus.RATE_TEST, sender, trial, destination=receiver, mbps=mbps)
    got: dict[str, int] = {}
    for _ in range(RATE_TRIES):
        got = await _stream(rehearsal, sender, receiver, family, RATE_PORT + number)
        if got["received"] == got["sent"]:
            break
    _observed(rehearsal, HostileStimulus.RATE_TEST, sender, trial, **got)


async def _stream(rehearsal: Rehearsal, sender: str, receiver: str, family: Family, port: int) -> dict[str, int]:
    lab = rehearsal.lab
    receiving = await lab.runtime.task(receiver, probing.STREAM_RECEIVE, {"port": port})
    try:
        await probing.listening(receiving)
        arguments = {
            "destination": probing.address_of(lab.model.node(receiver), family),
            "port": port,
            "rate_hz": RATE_HZ,
            "size": DATAGRAM,
            "count": DATAGRAMS,
        }
        sent = await (await lab.runtime.task(sender, probing.STREAM_SEND, arguments)).result()
        heard = await receiving.stop()
    finally:
        receiving.close()
    return {"sent": sent["sent"], "received": heard["received"], "overflowed": heard["overflowed"]}


async def _first_wire(rehearsal: Rehearsal, host: Node, family: Family) -> tuple[str, tuple[str, str]]:
    """A host's interface towards its gateway, and the hardware addresses of both ends.

    Raises RefusedError when the host has no gateway of that family.
    """
    gateway = host.gateway_v4 if family is Family.IPV4 else host.gateway_v6
    state = await rehearsal.lab.runtime.observe()
    macs = {(end.node, end.name): end.mac for link in state.links for end in (link.a, link.b)}
    own = host.interfaces[0].name
    for node in rehearsal.lab.model.nodes:
        for interface in node.interfaces:
            held = interface.v4 if family is Family.IPV4 else interface.v6
            if held is not None and gateway is not None and held.partition("/")[0] == gateway:
                return own, (macs[host.name, own], macs[node.name, interface.name])
    raise RefusedError("NoGateway", f"{host.name} has no {family.value} gateway")


def _applied(rehearsal: Rehearsal, stimulus: HostileStimulus, node: str, trial: str, **detail: object) -> None:
    rehearsal.lab.record(
        StimulusApplied(at=now_ns(), stimulus=stimulus, node=node, detail={"trial": trial, **detail})
    )


def _observed(rehearsal: Rehearsal, stimulus: HostileStimulus, node: str, trial: str, **detail: object) -> None:
    rehearsal.lab.record(
        StimulusObserved(at=now_ns(), stimulus=stimulus, node=node, detail={"trial": trial, **detail})
    )
