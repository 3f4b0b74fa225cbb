"""Traffic of every session of a served lab, from the kernel's counters at the edge's end of its wire.

The kernel counts octets of an interface, and of IPv6 among them; what is left, less the Ethernet headers, is IPv4 (and
the little ARP there is). On a peering LAN the port is counted, whoever the neighbour is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.controller.lab import Lab
from peerlab.runtime.base import InterfaceObservation

OCTETS_OF_IPV6 = "peerlab.runtime.traffic:ipv6_octets"

ETHERNET = 14
"""Octets of an Ethernet header, which interface counters include."""

WINDOW = 60.0
"""Seconds over which a rate is averaged: the finest grain of the metric."""


class Octets(msgspec.Struct, frozen=True, kw_only=True):
    """What has gone over one session's wire in its family so far, seen from the edge; drops are packets."""

    received: int = 0
    sent: int = 0
    dropped: int = 0
    packet: float = 0.0
    """Mean octets of a packet of that interface."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Bits per second over the last minute."""

    ingress: float
    egress: float
    drops: float


Place = tuple[str, str, Family]
"""Edge router, interface, family."""


class TrafficMeter:
    """Remembers what it counted over the last minute."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._samples: deque[tuple[float, dict[Place, Octets]]] = deque()

    async def look(self, places: Iterable[Place]) -> dict[Place, Octets]:
        """Count now, and remember it for the rates. Raises PeerlabError when the lab cannot be asked."""
        wanted = sorted(set(places))
        interfaces: dict[str, list[str]] = {}
        for node, interface, _ in wanted:
            interfaces.setdefault(node, []).append(interface)
        state = await self._lab.runtime.observe()
        ends = {(end.node, end.name): end for link in state.links for end in (link.a, link.b)}
        tasks = {
            node: await self._lab.runtime.task(node, OCTETS_OF_IPV6, {"interfaces": sorted(set(names))})
            for node, names in interfaces.items()
        }
        answers = await asyncio.gather(*(task.result() for task in tasks.values()))
        six = dict(zip(tasks, answers, strict=True))
        counted = {
            place: _of(ends[place[0], place[1]], six[place[0]], place[2])
            for place in wanted
            if (place[0], place[1]) in ends
        }
        now = time.monotonic()
        self._samples.append((now, counted))
        while now - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        return counted

    def rates(self, place: Place) -> Rates | None:
        """Averages from the oldest look that is kept to the newest; None before there are two."""
        known = [(at, counted[place]) for at, counted in self._samples if place in counted]
        if len(known) < 2 or known[-1][0] <= known[0][0]:
            return None
        (began, first), (ended, last) = known[0], known[-1]
        per_second = 8.0 / (ended - began)
        return Rates(
            ingress=(last.received - first.received) * per_second,
            egress=(last.sent - first.sent) * per_second,
            drops=(last.dropped - first.dropped) * last.packet * per_second,
        )


def _of(end: InterfaceObservation, six: dict[str, dict[str, int]], family: Family) -> Octets:
    in_six, out_six = six["received"].get(end.name, 0), six["sent"].get(end.name, 0)
    packets = end.rx_packets + end.tx_packets
    dropped = end.rx_dropped + end.tx_dropped
    packet = (end.rx_bytes + end.tx_bytes) / packets if packets else 0.0
    if family is Family.IPV6:
        return Octets(received=in_six, sent=out_six, dropped=dropped, packet=packet)
    received = end.rx_bytes - in_six - ETHERNET * end.rx_packets
    sent = end.tx_bytes - out_six - ETHERNET * end.tx_packets
    return Octets(received=max(received, 0), sent=max(sent, 0), dropped=dropped, packet=packet)
