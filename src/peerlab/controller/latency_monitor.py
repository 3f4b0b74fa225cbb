"""Keeps the report of prefix latencies up to date: a measurement per prefix and hour of a clock that may run fast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from peerlab.controller.lab import Lab
from peerlab.controller.latency_probe import aim_at, measure
from peerlab.errors import PeerlabError
from peerlab.peering.latency import EVERY, WINDOWS, LatencyBook, PrefixLatency

SOONEST = 1.0
"""Seconds between two measurements of a served lab, so that a fast clock does not keep a machine busy."""


class LatencyMonitor:
    """``wanted`` says which prefixes are measured now, and at which peering location. ``factor`` is how many times
    faster than life the clock runs: with 43200, 12 h are one second. ``soonest`` is the least number of real seconds
    between two measurements, however fast the clock."""

    def __init__(
        self, lab: Lab, wanted: Callable[[], Mapping[str, str]], factor: float = 1.0, soonest: float = SOONEST
    ) -> None:
        self._lab = lab
        self._wanted = wanted
        self._factor = factor
        self._every = max(EVERY / factor, soonest)
        self._book = LatencyBook()
        self._began = time.monotonic()
        self._due = asyncio.Event()
        self._measured = asyncio.Condition()

    def now(self) -> float:
        """Seconds of the rehearsed clock since it began."""
        return (time.monotonic() - self._began) * self._factor

    def measure_soon(self) -> None:
        """Do not wait for the hour: something came to be measured."""
        self._due.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._due.clear()
            await self.measure()
            try:
                await asyncio.wait_for(self._due.wait(), self._every)
            except TimeoutError:
                continue

    async def measure(self) -> None:
        """One measurement of every prefix. What does not answer has none: a loss is not a latency."""
        wanted = self._wanted()
        for known in self._book.prefixes:
            if known not in wanted:
                self._book.forget(known)
        await asyncio.gather(*(self._measure(prefix, location) for prefix, location in wanted.items()))
        async with self._measured:
            self._measured.notify_all()

    async def measured(self) -> None:
        """Returns when everything was measured once more."""
        async with self._measured:
            await self._measured.wait()

    async def _measure(self, prefix: str, location: str) -> None:
        aim = aim_at(self._lab.model, prefix, location)
        if aim is None:
            return
        try:
            answer = await measure(self._lab, aim)
        except PeerlabError:
            return
        if answer["rtt_avg_ms"] is not None:
            self._book.add(prefix, self.now(), float(answer["rtt_avg_ms"]))

    def report(self, prefix: str | None = None) -> list[PrefixLatency]:
        """Every window of one prefix, or of all."""
        now = self.now()
        chosen = self._wanted() if prefix is None else (prefix,)
        return [self._book.report(one, window, now) for one in sorted(chosen) for window in WINDOWS]
