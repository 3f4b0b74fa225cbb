"""Runs connection monitor tests and connectivity probes of a served lab: real packets, at the times they ask for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.controller.lab import Lab
from peerlab.controller.looking_glass import router_at, source_of
from peerlab.controller.probing import PING, TCP_CONNECT, TRACEROUTE
from peerlab.errors import PeerlabError
from peerlab.peering.enums import LookingGlassSource, ProbeProtocol
from peerlab.peering.ledger import Ledger
from peerlab.peering.monitor_request import endpoint_of
from peerlab.topology.model import LabModel, NodeKind

COUNT = 3
"""Echo requests of one test."""

KEPT = 100
"""Results of a probe that its figures are made of."""

PROBED_EVERY = 60.0
"""Seconds between connectivity probes: the finest grain of their metrics."""

SOONEST = 0.5
"""Seconds between two runs of one probe, however fast the clock runs."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent where. ``node`` None: there is no such agent in the lab, so it always fails. ``port`` is for TCP."""

    key: str
    node: str | None
    source: str
    destination: str
    port: int | None
    every: float
    traced: bool = False


class ProbeRecord:
    """The last results of one probe: round trips in ms, None for a failure; and the way it took last."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.results: deque[float | None] = deque(maxlen=KEPT)
        self.path: tuple[str, ...] = ()
        self.due = 0.0

    @property
    def success(self) -> bool | None:
        """Whether the last one succeeded, None before the first."""
        return None if not self.results else self.results[-1] is not None

    @property
    def availability(self) -> float | None:
        """Successful ones in per cent."""
        return 100.0 * len(self._answered) / len(self.results) if self.results else None

    @property
    def latency(self) -> float | None:
        """Mean round trip in ms."""
        return sum(self._answered) / len(self._answered) if self._answered else None

    @property
    def jitter(self) -> float | None:
        """Mean difference of successive round trips in ms."""
        steps = [abs(one - other) for one, other in pairwise(self._answered)]
        return sum(steps) / len(steps) if steps else None

    @property
    def _answered(self) -> list[float]:
        return [rtt for rtt in self.results if rtt is not None]


class ProbeMonitor:
    """``ledger`` says what there is to probe; ``factor`` is how many times faster than life its clock runs."""

    def __init__(self, lab: Lab, ledger: Callable[[], Ledger], factor: float = 1.0) -> None:
        self._lab = lab
        self._ledger = ledger
        self._factor = factor
        self.records: dict[str, ProbeRecord] = {}
        self._changed = asyncio.Event()

    def look_again(self) -> None:
        """The desk has changed: there may be other probes."""
        self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._changed.clear()
            self._take_stock()
            now = time.monotonic()
            await asyncio.gather(*(self._run(record) for record in self.records.values() if record.due <= now))
            due = min((record.due for record in self.records.values()), default=None)
            try:
                wait = None if due is None else max(due - time.monotonic(), 0.0)
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def _take_stock(self) -> None:
        """A probe that has changed begins anew."""
        wanted = {probe.key: probe for probe in probes_of(self._lab.model, self._ledger())}
        self.records = {
            key: known if (known := self.records.get(key)) is not None and known.probe == probe else ProbeRecord(probe)
            for key, probe in wanted.items()
        }

    async def _run(self, record: ProbeRecord) -> None:
        record.due = time.monotonic() + max(record.probe.every / self._factor, SOONEST)
        try:
            record.results.append(await self._once(record))
        except PeerlabError:
            record.results.append(None)

    async def _once(self, record: ProbeRecord) -> float | None:
        probe = record.probe
        if probe.node is None:
            return None
        about: dict[str, Any] = {"destination": probe.destination, "source": probe.source}
        if probe.traced:
            hops = (await (await self._lab.runtime.task(probe.node, TRACEROUTE, about)).result())["hops"]
            record.path = tuple(hop["address"] or "*" for hop in hops)
        if probe.port is not None:
            task = await self._lab.runtime.task(probe.node, TCP_CONNECT, {**about, "port": probe.port})
            answer = await task.result()
            return float(answer["took_ms"]) if answer["outcome"] == "open" else None
        answer = await (await self._lab.runtime.task(probe.node, PING, {**about, "count": COUNT})).result()
        return float(answer["rtt_avg_ms"]) if answer["received"] == answer["sent"] else None


def key_of_test(key: str) -> str:
    """The key of a connection monitor test's probe."""
    return f"test {key}"


def key_of_probe(peering: str, number: int) -> str:
    """The key of a peering's connectivity probe."""
    return f"probe {peering} {number}"


def probes_of(model: LabModel, ledger: Ledger) -> Iterable[Probe]:
    """Every connection monitor test, from the host or router that it calls its agent; every connectivity probe, from
    the first router of its region."""
    names = {node.name.casefold(): node.name for node in model.nodes if node.kind is not NodeKind.SWITCH}
    for key, test in ledger.monitor_tests.items():
        yield Probe(
            key=key_of_test(key),
            node=names.get(test.source_agent.casefold()),
            source="",
            destination=test.destination,
            port=test.destination_port,
            every=float(test.frequency),
            traced=True,
        )
    for peering in ledger.peerings.values():
        for number, asked in enumerate(peering.probes):
            aim = endpoint_of(asked.endpoint or "")
            node = router_at(model, LookingGlassSource.AZURE_REGION, asked.azure_region or "")
            tcp = asked.protocol is ProbeProtocol.TCP
            yield Probe(
                key=key_of_probe(peering.key, number),
                node=node.name,
                source=source_of(model, node, 6 if ":" in aim.address else 4),
                destination=aim.address,
                port=aim.port if tcp else None,
                every=PROBED_EVERY,
            )


def ip_version(endpoint: str) -> int:
    """The version of a connectivity probe's endpoint. Raises RefusedError for what is no endpoint."""
    return 6 if ":" in endpoint_of(endpoint).address else 4


def prefixes_to_accesslist(model: LabModel, region: str, version: int) -> tuple[Prefix, ...]:
    """What a peer has to let in so that a probe from a region is answered: the region's own prefixes of a family."""
    metros = {metro.name for metro in model.metros if metro.region.casefold() == region.casefold()}
    cloud = model.cloud()
    return tuple(
        Prefix(prefix)
        for node in model.nodes
        if cloud is not None and node.as_name == cloud.name and node.metro in metros
        for prefix in node.originates
        if (":" in prefix) is (version == 6)
    )
