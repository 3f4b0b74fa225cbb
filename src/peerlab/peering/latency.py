"""Latency of prefixes from client to edge PoP: medians over the documented windows, ageing by themselves (spec 3.9).

Pure: measurements come with their time, and so does every question. Times are seconds of the rehearsed clock, which
may run faster than life.
"""

from __future__ import annotations

from collections import deque
from ipaddress import ip_network
from statistics import median

import msgspec

HOUR = 3600.0

WINDOWS: dict[str, float] = {"6h": 6 * HOUR, "12h": 12 * HOUR, "1d": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR}
"""The windows of the portal, in seconds."""

EVERY = HOUR
"""Seconds between measurements: reports are updated hourly."""

LONGEST_SHOWN = 24
"""IPv4 prefixes longer than this are reported at it."""


class PrefixLatency(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report: the median round trip in a window, None when nothing was measured in it."""

    prefix: str
    reported_as: str
    window: str
    median_ms: float | None
    measurements: int


def shown_as(prefix: str) -> str:
    """The prefix under which a latency is reported: the /24 around an IPv4 prefix that is longer."""
    network = ip_network(prefix)
    if network.version == 4 and network.prefixlen > LONGEST_SHOWN:
        return str(network.supernet(new_prefix=LONGEST_SHOWN))
    return str(network)


class LatencyBook:
    """Every measurement of the longest window, by prefix."""

    def __init__(self) -> None:
        self._measured: dict[str, deque[tuple[float, float]]] = {}

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Everything that was measured."""
        return tuple(sorted(self._measured))

    def add(self, prefix: str, at: float, rtt_ms: float) -> None:
        """Take in a measurement; what no window holds any more is forgotten."""
        measured = self._measured.setdefault(prefix, deque())
        measured.append((at, rtt_ms))
        while measured[0][0] <= at - max(WINDOWS.values()):
            measured.popleft()

    def forget(self, prefix: str) -> None:
        """A prefix is not watched any more."""
        self._measured.pop(prefix, None)

    def report(self, prefix: str, window: str, now: float) -> PrefixLatency:
        """The median of a window that ends ``now``. Raises KeyError for an unknown window."""
        since = now - WINDOWS[window]
        inside = [rtt for at, rtt in self._measured.get(prefix, ()) if since < at <= now]
        return PrefixLatency(
            prefix=prefix,
            reported_as=shown_as(prefix),
            window=window,
            median_ms=round(median(inside), 3) if inside else None,
            measurements=len(inside),
        )
