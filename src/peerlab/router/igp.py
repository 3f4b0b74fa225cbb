"""A small link-state routing protocol for the routers of one AS, after the model of OSPF (RFC 2328); ExaBGP has none.

Pure: datagrams and times in, datagrams and routes out. Every router floods one advertisement (its adjacencies and its
prefixes); each computes shortest paths over all of them. No areas, no LANs, no equal-cost paths: of equal ones the
neighbour with the lowest router id wins, then the interface's name, so that a lab routes the same way every time.

Hellos every 0.3 s say who is heard and carry a digest of the database; whoever sees another digest sends its whole
database. So a lost datagram costs one hello, and there are no acknowledgements. Times are monotonic seconds.
"""

from __future__ import annotations

import heapq
import ipaddress
import zlib
from collections.abc import Iterable

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.router.next_hops import IgpRoute

HELLO_SECONDS = 0.3
DEAD_SECONDS = 1.2
LSAS_AT_ONCE = 8
"""Advertisements per datagram, so that a datagram fits a small MTU."""


class Lsa(msgspec.Struct, frozen=True, array_like=True):
    """What one router advertises. Of two of the same ``origin`` the higher ``sequence`` is the newer."""

    origin: Address
    sequence: int
    neighbors: tuple[tuple[Address, int], ...]
    prefixes: tuple[tuple[Prefix, int], ...]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """I am here, these I hear on this wire, these are my addresses on it, and this is what I know."""

    router: Address
    heard: tuple[Address, ...]
    v4: Address | None
    v6: Address | None
    digest: int


class Flood(msgspec.Struct, frozen=True, array_like=True, tag="flood"):
    """Advertisements, newest known to the sender."""

    router: Address
    lsas: tuple[Lsa, ...]


class Wire(msgspec.Struct, frozen=True):
    """An interface that the protocol runs on. ``cost`` counts for packets that leave by it."""

    name: str
    cost: int
    v4: Address | None = None
    v6: Address | None = None


class _Heard(msgspec.Struct):
    """The router at the other end of a wire, as last heard. ``mutual``: it hears us too."""

    router: Address
    v4: Address | None
    v6: Address | None
    until: float
    mutual: bool
    digest: int
    datagram: bytes


_decode = msgspec.msgpack.Decoder(Hello | Flood).decode
_encode = msgspec.msgpack.Encoder().encode


class LinkState:
    """The protocol at one router."""

    def __init__(self, router: Address, wires: Iterable[Wire], sequence: int) -> None:
        """``sequence`` must exceed that of an earlier life of this router: a time since the epoch does."""
        self.router = router
        self.routes: dict[Prefix, IgpRoute] = {}
        """Routes to prefixes of other routers, as of the last ``settle``."""
        self._wires = {wire.name: wire for wire in wires}
        self._up: set[str] = set()
        self._heard: dict[str, _Heard] = {}
        self._prefixes: tuple[tuple[Prefix, int], ...] = ()
        self._database: dict[Address, Lsa] = {}
        self._sequence = sequence
        self._digest = 0
        self._hello_due = 0.0
        self._outbox: list[tuple[str, bytes]] = []
        self._stale = True
        self._advertise()

    # what happens

    def set_prefixes(self, prefixes: Iterable[tuple[Prefix, int]]) -> None:
        """What this router reaches by itself, with the cost from here: its loopbacks and connected networks."""
        wanted = tuple(sorted(set(prefixes)))
        if wanted != self._prefixes:
            self._prefixes = wanted
            self._advertise()

    def set_carrier(self, wire: str, carrier: bool) -> None:
        """The wire came up, or is dead as of now. Unknown wires are ignored."""
        if wire not in self._wires or carrier == (wire in self._up):
            return
        if carrier:
            self._up.add(wire)
            self._hello(wire)
        else:
            self._up.discard(wire)
            self._lose(wire)

    def receive(self, wire: str, datagram: bytes, now: float) -> None:
        """A datagram came in by a wire. One that cannot be read is ignored, like any noise on a wire."""
        if wire not in self._up:
            return
        known = self._heard.get(wire)
        if known is not None and known.datagram == datagram and known.mutual and known.digest == self._digest:
            known.until = now + DEAD_SECONDS
            return
        try:
            message = _decode(datagram)
        except msgspec.DecodeError:
            return
        if message.router == self.router:
            return
        if isinstance(message, Hello):
            self._take_hello(wire, message, datagram, now)
        elif known is not None and known.router == message.router:
            for lsa in message.lsas:
                self._take_lsa(wire, lsa)

    def tick(self, now: float) -> None:
        """Do what is due: hellos, and the loss of neighbours that fell silent."""
        for wire in [wire for wire, heard in self._heard.items() if heard.until <= now]:
            self._lose(wire)
        if now >= self._hello_due:
            self._hello_due = now + HELLO_SECONDS
            for wire in sorted(self._up):
                self._hello(wire)

    def due(self) -> float:
        """When ``tick`` must be called next."""
        return min([self._hello_due, *(heard.until for heard in self._heard.values())])

    # what is to be done

    def take(self) -> list[tuple[str, bytes]]:
        """Datagrams to send, each with the wire to send it on."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def settle(self) -> bool:
        """Compute routes anew if anything changed. True when ``routes`` are others than before."""
        if not self._stale:
            return False
        self._stale = False
        before = self.routes
        self.routes = self._shortest_paths()
        return self.routes != before

    def neighbors(self) -> dict[str, Address]:
        """The router at the other end of each wire with an adjacency."""
        return {wire: heard.router for wire, heard in sorted(self._heard.items()) if heard.mutual}

    # hellos

    def _hello(self, wire: str) -> None:
        own = self._wires[wire]
        heard = self._heard.get(wire)
        message = Hello(self.router, (heard.router,) if heard else (), own.v4, own.v6, self._digest)
        self._outbox.append((wire, _encode(message)))

    def _take_hello(self, wire: str, hello: Hello, datagram: bytes, now: float) -> None:
        known = self._heard.get(wire)
        if known is not None and known.router != hello.router:
            self._lose(wire)
            known = None
        mutual = self.router in hello.heard
        self._heard[wire] = _Heard(hello.router, hello.v4, hello.v6, now + DEAD_SECONDS, mutual, hello.digest, datagram)
        became_mutual = mutual and not (known is not None and known.mutual)
        if mutual != (known is not None and known.mutual):
            self._advertise()
        if known is None or became_mutual:
            self._hello(wire)
        if mutual and (became_mutual or hello.digest != self._digest):
            self._send(wire, self._database.values())
        if known is not None and (known.v4, known.v6) != (hello.v4, hello.v6):
            self._stale = True

    def _lose(self, wire: str) -> None:
        if self._heard.pop(wire, None) is not None:
            self._advertise()

    # flooding

    def _advertise(self) -> None:
        self._sequence += 1
        neighbors = tuple(
            sorted((heard.router, self._wires[wire].cost) for wire, heard in self._heard.items() if heard.mutual)
        )
        self._store(Lsa(self.router, self._sequence, neighbors, self._prefixes))

    def _take_lsa(self, wire: str, lsa: Lsa) -> None:
        known = self._database.get(lsa.origin)
        if lsa.origin == self.router:
            if lsa.sequence > self._sequence or (lsa.sequence == self._sequence and lsa != known):
                self._sequence = lsa.sequence  # an earlier life of ours is still believed: outdo it
                self._advertise()
            return
        if known is not None and known.sequence >= lsa.sequence:
            if known.sequence > lsa.sequence:
                self._send(wire, [known])
            return
        self._store(lsa, came_by=wire)

    def _store(self, lsa: Lsa, came_by: str | None = None) -> None:
        self._database[lsa.origin] = lsa
        versions = sorted((origin, known.sequence) for origin, known in self._database.items())
        self._digest = zlib.crc32(repr(versions).encode())
        self._stale = True
        for wire, heard in sorted(self._heard.items()):
            if heard.mutual and wire != came_by:
                self._send(wire, [lsa])

    def _send(self, wire: str, lsas: Iterable[Lsa]) -> None:
        lot = list(lsas)
        for start in range(0, len(lot), LSAS_AT_ONCE):
            self._outbox.append((wire, _encode(Flood(self.router, tuple(lot[start : start + LSAS_AT_ONCE])))))

    # shortest paths

    def _shortest_paths(self) -> dict[Prefix, IgpRoute]:
        """Dijkstra over links that both ends advertise (RFC 2328 section 16.1)."""
        # Reverse order: of parallel wires to one neighbour the cheapest comes last and counts.
        costs = {origin: dict(sorted(lsa.neighbors, reverse=True)) for origin, lsa in self._database.items()}
        first: dict[Address, tuple[str, _Heard]] = {}
        for wire, heard in self._heard.items():
            best = first.get(heard.router)
            order = (self._wires[wire].cost, wire)
            if heard.mutual and (best is None or order < (self._wires[best[0]].cost, best[0])):
                first[heard.router] = (wire, heard)
        done: dict[Address, tuple[int, Address]] = {}
        queue: list[tuple[int, tuple[int, ...], Address, Address]] = [(0, (), self.router, self.router)]
        while queue:
            distance, _, via, router = heapq.heappop(queue)
            if router in done:
                continue
            done[router] = (distance, via)
            for neighbor, cost in costs.get(router, {}).items():
                if neighbor not in done and router in costs.get(neighbor, {}):
                    hop = neighbor if router == self.router else via
                    heapq.heappush(queue, (distance + cost, _order(hop), hop, neighbor))
        return self._routes_over(done, first)

    def _routes_over(
        self, done: dict[Address, tuple[int, Address]], first: dict[Address, tuple[str, _Heard]]
    ) -> dict[Prefix, IgpRoute]:
        own = {prefix for prefix, _ in self._prefixes}
        chosen: dict[Prefix, tuple[int, tuple[int, ...], IgpRoute]] = {}
        for origin, (distance, via) in done.items():
            if origin == self.router or via not in first:
                continue
            wire, heard = first[via]
            for prefix, cost in self._database[origin].prefixes:
                gateway = heard.v6 if ":" in prefix else heard.v4
                if prefix in own or gateway is None:
                    continue
                entry = (distance + cost, _order(origin), IgpRoute(distance + cost, gateway, wire))
                if prefix not in chosen or entry[:2] < chosen[prefix][:2]:
                    chosen[prefix] = entry
        return {prefix: entry[2] for prefix, entry in sorted(chosen.items())}


def _order(router: Address) -> tuple[int, ...]:
    """Router ids in numeric order."""
    return (int(ipaddress.ip_address(router)),)
