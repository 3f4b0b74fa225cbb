"""Packets with sources that are not the sender's, sent into every peering interface of the edges (SEC-03)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from peerlab.bgp.attributes import Family
from peerlab.controller import probing
from peerlab.controller.cast import connections, service_hosts, sessions_of
from peerlab.controller.exam import spare_prefixes
from peerlab.controller.lab import now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story_incident import IncidentStimulus, Spoof
from peerlab.peering.intent import as_set
from peerlab.peering.prefix_event import ends_of
from peerlab.peering.source_guard import guarded_sources
from peerlab.runtime.base import Task
from peerlab.runtime.probe_frame import ECHO_REPLY, echo
from peerlab.topology.model import LabModel

RAW_SEND = "peerlab.runtime.frames:raw_send"
SENT_EACH = 3
"""Packets of each source."""
ARRIVES_WITHIN = 5.0
"""Seconds in which a packet that may pass has to be at its host."""
BOGONS = {Family.IPV4: "10.66.0.0/16", Family.IPV6: "fd66::/48"}
"""Private space (RFC 1918, RFC 4193), which no kernel drops by itself."""
HOST = 77
"""Where in a prefix the spoofed addresses begin: no host of a lab has such an address."""


@dataclass(frozen=True)
class Entrance:
    """A peering interface of an edge, who sends into it, and the host behind it."""

    number: int
    peer: str
    peer_interface: str
    peer_asn: int
    edge: str
    interface: str
    host: str
    host_interface: str


@dataclass(frozen=True)
class Packet:
    """One kind of packet at one entrance."""

    entrance: Entrance
    case: Spoof
    source: str
    destination: str

    @property
    def trial(self) -> str:
        """What the log calls it."""
        return f"{self.entrance.edge}/{self.entrance.interface} {self.case} {self.source}"


async def spoof(rehearsal: Rehearsal) -> None:
    """Send every kind of packet into every entrance, the one that may pass last, and count them where they arrive."""
    model, lab = rehearsal.model, rehearsal.lab
    entrances = list(_entrances(rehearsal))
    packets = [packet for entrance in entrances for family in Family for packet in _packets(model, entrance, family)]
    if not packets:
        return
    places = {(e.edge, e.interface) for e in entrances} | {(e.host, e.host_interface) for e in entrances}
    sniffers: dict[tuple[str, str], Task] = {}
    try:
        for node, interface in sorted(places):
            sniffers[node, interface] = await lab.runtime.task(node, probing.SNIFF, {"interface": interface})
        await asyncio.gather(*(probing.listening(task) for task in sniffers.values()))
        for packet in packets:
            _applied(rehearsal, packet)
        for entrance in entrances:
            mine = [packet for packet in packets if packet.entrance is entrance]
            await _send(rehearsal, entrance, mine)
        allowed = {packet for packet in packets if packet.case is Spoof.OWN}
        seen = dict(
            zip(
                sniffers,
                await asyncio.gather(
                    *(_count(task, node, interface, allowed) for (node, interface), task in sniffers.items())
                ),
                strict=True,
            )
        )
    finally:
        for task in sniffers.values():
            task.close()
    for packet in packets:
        key = packet.source, packet.destination
        lab.record(
            StimulusObserved(
                at=now_ns(),
                stimulus=IncidentStimulus.SPOOFED,
                node=packet.entrance.peer,
                detail={
                    "trial": packet.trial,
                    "entered": seen[packet.entrance.edge, packet.entrance.interface][key],
                    "arrived": seen[packet.entrance.host, packet.entrance.host_interface][key],
                },
            )
        )


def _entrances(rehearsal: Rehearsal) -> Iterator[Entrance]:
    model, hosts = rehearsal.model, service_hosts(rehearsal)
    found: set[tuple[str, str]] = set()
    for _, connection in connections(rehearsal):
        for session in sessions_of(rehearsal, connection):
            ours, theirs = ends_of(model, session)
            place = (ours.node, ours.interface or "")
            if not hosts or place in found or ours.interface is None or theirs.interface is None:
                continue
            found.add(place)
            near = [host for host in hosts if model.node(host).metro in (None, model.node(ours.node).metro)]
            yield Entrance(
                number=len(found),
                peer=theirs.node,
                peer_interface=theirs.interface,
                peer_asn=theirs.asn,
                edge=ours.node,
                interface=ours.interface,
                host=(near or hosts)[0],
                host_interface=model.node((near or hosts)[0]).interfaces[0].name,
            )


def _packets(model: LabModel, entrance: Entrance, family: Family) -> Iterator[Packet]:
    """One packet of every kind there is in this lab; the one that may pass comes last."""
    cone, cloud = as_set(model, entrance.peer_asn), model.cloud()
    guarded = guarded_sources(model, entrance.edge, entrance.interface) or ()
    objects = [(e.origin_asn, e.prefix) for e in model.registry if (":" in e.prefix) is (family is Family.IPV6)]
    own = next((prefix for asn, prefix in objects if asn in cone), None)
    if own is None:
        return
    cloud_asn = cloud.asn if cloud is not None else None
    ours = next((p for p in (cloud.prefixes if cloud else ()) if (":" in p) is (family is Family.IPV6)), None)
    other = next((prefix for asn, prefix in objects if asn != cloud_asn and prefix not in guarded), None)
    destination = probing.address_of(model.node(entrance.host), family)
    for case, prefix in (
        (Spoof.NOBODY, next(spare_prefixes(model, family))),
        (Spoof.OTHER, other),
        (Spoof.CLOUD, ours),
        (Spoof.BOGON, BOGONS[family]),
        (Spoof.OWN, own),
    ):
        if prefix is not None:
            address = str(ip_address(int(ip_network(prefix).network_address) + HOST + entrance.number))
            yield Packet(entrance, case, address, destination)


def _applied(rehearsal: Rehearsal, packet: Packet) -> None:
    entrance = packet.entrance
    rehearsal.lab.record(
        StimulusApplied(
            at=now_ns(),
            stimulus=IncidentStimulus.SPOOFED,
            node=entrance.peer,
            detail={
                "trial": packet.trial,
                "edge": entrance.edge,
                "interface": entrance.interface,
                "link": rehearsal.model.node(entrance.edge).interface(entrance.interface).link,
                "case": packet.case,
                "source": packet.source,
                "destination": packet.destination,
                "sent": SENT_EACH,
            },
        )
    )


async def _send(rehearsal: Rehearsal, entrance: Entrance, packets: list[Packet]) -> None:
    model = rehearsal.model
    ours = model.node(entrance.peer).interface(entrance.peer_interface).mac
    theirs = model.node(entrance.edge).interface(entrance.interface).mac
    frames = [echo(ECHO_REPLY, ours, theirs, one.source, one.destination) for one in packets for _ in range(SENT_EACH)]
    arguments = {"interface": entrance.peer_interface, "frames": frames}
    await (await rehearsal.lab.runtime.task(entrance.peer, RAW_SEND, arguments)).result()


async def _count(task: Task, node: str, interface: str, allowed: set[Packet]) -> Counter[tuple[str, str]]:
    """Packets by source and destination, once every packet that may pass has come or can be waited for no longer."""
    missing = Counter(
        {
            (packet.source, packet.destination): SENT_EACH
            for packet in allowed
            if (node, interface)
            in (
                (packet.entrance.edge, packet.entrance.interface),
                (packet.entrance.host, packet.entrance.host_interface),
            )
        }
    )
    counted: Counter[tuple[str, str]] = Counter()

    async def until_all_are_there() -> None:
        async for record in task:
            if record.get("direction") == "in" and "hex" in record:
                counted[record["source"], record["destination"]] += 1
                if all(counted[key] >= many for key, many in missing.items()):
                    return

    try:
        await asyncio.wait_for(until_all_are_there(), ARRIVES_WITHIN)
    except TimeoutError:
        pass
    for record in await task.drain():
        if record.get("direction") == "in" and "hex" in record:
            counted[record["source"], record["destination"]] += 1
    return counted
