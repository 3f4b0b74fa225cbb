"""All that is measured of a served lab beside its routers: latencies, monitor tests, connectivity probes, traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from peerlab.controller.lab import Lab
from peerlab.controller.latency_monitor import LatencyMonitor
from peerlab.controller.probe_monitor import ProbeMonitor
from peerlab.controller.traffic_meter import TrafficMeter
from peerlab.peering.enums import PrefixValidationState
from peerlab.peering.ledger import Ledger


class Monitoring:
    """``factor`` is how many times faster than life the clock of its schedules runs."""

    def __init__(self, lab: Lab, ledger: Callable[[], Ledger], factor: float) -> None:
        self._ledger = ledger
        self.latency = LatencyMonitor(lab, self._measured, factor)
        self.probes = ProbeMonitor(lab, ledger, factor)
        self.traffic = TrafficMeter(lab)
        self._known: dict[str, str] = {}

    def look_again(self) -> None:
        """The desk has changed: what is new is measured at once."""
        self.probes.look_again()
        if self._measured() != self._known:
            self._known = self._measured()
            self.latency.measure_soon()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.latency.run())
            group.create_task(self.probes.run())

    def _measured(self) -> dict[str, str]:
        """Every usable prefix that a partner registered or a customer added, with the location it is measured at."""
        ledger, invalid = self._ledger(), PrefixValidationState.INVALID
        found = {
            record.prefix: ledger.peerings[record.peering].peering_location
            for record in ledger.registered_prefixes.values()
            if record.state is not invalid
        }
        found |= {
            record.prefix: ledger.services[record.service].primary
            for record in ledger.prefixes.values()
            if record.state is not invalid
        }
        return found
