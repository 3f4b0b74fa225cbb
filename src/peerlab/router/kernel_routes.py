"""Kernel routes for a daemon that installs none: its best routes, by the ways that this node knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.bgp.effects import FibChange
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.errors import PeerlabError
from peerlab.router.companion_driver import Watching
from peerlab.router.fib import Fib

GATHER = 0.01
"""Seconds in which changes are gathered before the daemon's table is read again."""


class Selected(msgspec.Struct, frozen=True):
    """A best route. ``next_hop`` None: packets for which nothing more specific is known end here."""

    prefix: Prefix
    next_hop: Address | None
    interface: str | None


class KernelRoutes:
    """Keeps the kernel at what ``read`` answers; reads again soon after ``changed``, and at once in ``settle``."""

    def __init__(self, watching: Watching, read: Callable[[], Iterable[Selected]]) -> None:
        self._watching = watching
        self._read = read
        self._fib = Fib()
        self._fib.clear()
        self._installed: dict[Prefix, FibChange] = {}
        self._stale = False
        self._doubtful = False
        self._closed = False
        watching.hear_of_ways(self._ways_changed)

    def changed(self) -> None:
        """The daemon has chosen anew."""
        if not self._stale:
            self._stale = True
            self._watching.after(GATHER, self._soon)

    def _ways_changed(self) -> None:
        # The kernel drops routes over an interface that goes down, by itself and unseen.
        self._doubtful = True
        self.changed()

    def _soon(self) -> None:
        try:
            self.settle()
        except PeerlabError as failure:
            self._watching.notice("trouble", "", f"the kernel's routes stay as they are: {failure}", time.time_ns())

    def settle(self) -> None:
        """Bring the kernel up to date now, if it is not. Raises what reading the daemon's table raises."""
        if not self._stale or self._closed:
            return
        self._stale = False
        ways = self._watching.ways()
        wanted: dict[Prefix, FibChange] = {}
        for one in self._read():
            family, raw = family_of_prefix(one.prefix), nlri_bytes(one.prefix)
            if one.next_hop is None:
                wanted[one.prefix] = FibChange(family, raw, "blackhole")
                continue
            way = ways.resolve(one.next_hop, one.interface)
            if way is not None:
                wanted[one.prefix] = FibChange(family, raw, "unicast", way.gateway, way.interface)
        gone = self._installed.keys() - wanted.keys()
        changes = [FibChange(family_of_prefix(prefix), nlri_bytes(prefix), "remove") for prefix in gone]
        changes += [
            change for prefix, change in wanted.items() if self._doubtful or self._installed.get(prefix) != change
        ]
        self._doubtful = False
        self._fib.know_interfaces(self._watching.interface_numbers())
        self._installed = wanted
        for refusal in self._fib.apply(changes):
            self._installed.pop(refusal.change.prefix, None)
            self._watching.notice("fib-refused", "", str(refusal), time.time_ns())

    def close(self) -> None:
        """Take all of them out."""
        self._closed = True
        self._fib.clear()
        self._fib.close()
