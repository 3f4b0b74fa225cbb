"""A router's VRPs: those of its configuration, and those of the most preferred caches that have any (RFC 8210, 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from peerlab.bgp.origin_validation import Vrp, digest
from peerlab.bgp.rtr_config import RtrServer
from peerlab.bgp.rtr_pdu import exact
from peerlab.evidence.snapshot import ValidationFact
from peerlab.router.loop import Loop
from peerlab.router.rtr_port import Complaint, RtrPort


class Validation:
    """Asks every cache and keeps what they told. ``changed`` is called with the VRPs whenever they are others.

    A cache that is lost is believed until its data expire. When no cache has data left nothing is known, so that every
    route becomes not-found and none invalid.
    """

    def __init__(
        self,
        loop: Loop,
        servers: Iterable[RtrServer],
        configured: Iterable[Vrp],
        changed: Callable[[frozenset[Vrp]], None],
        tell: Complaint,
    ) -> None:
        self._loop = loop
        self._configured = frozenset(map(exact, configured))
        self._changed = changed
        self._tell = tell
        self._ports: list[RtrPort] = []
        self.vrps = self._configured
        self.ask(servers)

    def ask(self, servers: Iterable[RtrServer]) -> None:
        """Ask these caches and no others from now on; connections to those that stay are not touched."""
        wanted = tuple(servers)
        kept = {port.server: port for port in self._ports if port.server in wanted}
        for port in self._ports:
            if port.server not in kept:
                port.close()
        self._ports = [kept.get(one) or RtrPort(self._loop, one, self._recount, self._tell) for one in wanted]
        self._recount()

    def close(self) -> None:
        """Let go of every cache."""
        for port in self._ports:
            port.close()
        self._ports = []

    def fact(self) -> ValidationFact:
        """What origins are validated by now, and how the router stands with each cache."""
        used = self._used()
        return ValidationFact(
            vrps=len(self.vrps),
            digest=digest(self.vrps),
            servers=tuple(port.server for port in self._ports),
            caches=tuple(port.fact(port in used) for port in self._ports),
        )

    def _used(self) -> list[RtrPort]:
        """The caches whose data are in use."""
        usable = [port for port in self._ports if port.client.vrps is not None]
        best = min((port.server.preference for port in usable), default=None)
        return [port for port in usable if port.server.preference == best]

    def _recount(self) -> None:
        told = frozenset(vrp for port in self._used() for vrp in port.client.vrps or ())
        vrps = self._configured | told
        if vrps != self.vrps:
            self.vrps = vrps
            self._changed(vrps)
