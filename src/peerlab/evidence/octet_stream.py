"""One direction of a TCP connection: segments in any order become a stream, the stream becomes BGP messages.

A stream knows the sequence number it waits for. Octets beyond it are kept until the hole before them is filled, octets
before it were seen already and are dropped (retransmissions, keepalive probes).
"""

from __future__ import annotations

from heapq import heappop, heappush

from peerlab.bgp.attributes import Address
from peerlab.bgp.framing import EXTENDED_MAXIMUM, HEADER_LENGTH, MARKER
from peerlab.evidence.connection_fact import Fact, Missing, Octets, Unreadable

_MODULUS = 1 << 32
_HALF = 1 << 31
_LOWEST_TYPE, _HIGHEST_TYPE = 1, 5


def _ahead(later: int, earlier: int) -> int:
    """How far ``later`` is ahead of ``earlier`` in sequence space, negative when behind (RFC 9293 section 3.4)."""
    distance = (later - earlier) % _MODULUS
    return distance - _MODULUS if distance >= _HALF else distance


class OctetStream:
    """What ``source`` says to ``destination`` on connection ``number``."""

    def __init__(self, source: Address, destination: Address, number: int) -> None:
        self.source = source
        self.destination = destination
        self.number = number
        self.initial: int | None = None
        self.next: int | None = None
        self.last_at = 0
        self.acknowledged: int | None = None
        self.acknowledged_at = 0
        self._position = 0
        self._waiting: list[tuple[int, int, bytes]] = []
        self.stream = bytearray()
        self.lost_sync = False
        self.finished = False
        self.end: int | None = None

    def synchronise(self, sequence: int, at: int) -> None:
        self.initial = sequence
        self.next = (sequence + 1) % _MODULUS
        self.last_at = at

    def acknowledge(self, number: int, at: int) -> None:
        """The receiver has everything before ``number``."""
        if self.acknowledged is None or _ahead(number, self.acknowledged) > 0:
            self.acknowledged = number
            self.acknowledged_at = at

    def take(self, sequence: int, payload: bytes, at: int) -> list[Fact]:
        """Payload at a sequence number; gives the messages it completes, here or in what had waited for it."""
        facts: list[Fact] = []
        if self.next is None:
            self.next = sequence
            self.lost_sync = True
            facts.append(self._missing(0, at, "the connection was running before the capture began"))
        heappush(self._waiting, (self._position + _ahead(sequence, self.next), at, payload))
        return facts + self._advance()

    def _advance(self) -> list[Fact]:
        """Move whatever is contiguous now from waiting into the stream, what was sent first first."""
        facts: list[Fact] = []
        while self._waiting and self._waiting[0][0] <= self._position:
            start, at, payload = heappop(self._waiting)
            fresh = payload[self._position - start :]
            if fresh:
                self.stream += fresh
                self._skip(len(fresh))
                self.last_at = max(self.last_at, at)
                facts += self._cut()
        if self.end is not None and self.end == self.next:
            self._skip(1)
        return facts

    def _skip(self, octets: int) -> None:
        """The next octet expected is so many further on."""
        assert self.next is not None
        self.next = (self.next + octets) % _MODULUS
        self._position += octets

    def finish(self, end: int) -> list[Fact]:
        """FIN stands at sequence number ``end`` and takes one number itself."""
        self.finished = True
        self.end = end
        return self._advance() if self.next is not None else []

    def _cut(self) -> list[Fact]:
        """Whole messages off the front of the stream."""
        facts: list[Fact] = []
        stream = self.stream
        at = 0
        while len(stream) - at >= HEADER_LENGTH:
            if not _plausible(stream, at, strict=self.lost_sync):
                if not self.lost_sync:
                    facts.append(self._unreadable(bytes(stream[at:])))
                    self.lost_sync = True
                found = _next_header(stream, at + 1)
                if found is None:
                    at = max(at, len(stream) - HEADER_LENGTH + 1)
                    break
                at = found
            self.lost_sync = False
            length = stream[at + 16] << 8 | stream[at + 17]
            if len(stream) - at < length:
                break
            facts.append(
                Octets(
                    at=self.last_at,
                    connection=self.number,
                    source=self.source,
                    destination=self.destination,
                    octets=bytes(stream[at : at + length]),
                )
            )
            at += length
        del stream[:at]
        return facts

    def settle(self) -> list[Fact]:
        """Give up the holes whose octets the peer acknowledged: the capture lost them."""
        facts: list[Fact] = []
        while self.next is not None and self.acknowledged is not None and _ahead(self.acknowledged, self.next) > 0:
            lost, until = _ahead(self.acknowledged, self.next), self.acknowledged_at
            if self._waiting and self._waiting[0][0] - self._position < lost:
                lost, until = self._waiting[0][0] - self._position, self._waiting[0][1]
            facts.append(self._missing(self.last_at, max(until, self.last_at), f"the capture lost {lost} octets"))
            self.stream.clear()
            self.lost_sync = True
            self._skip(lost)
            facts += self._advance()
        return facts

    def _missing(self, start: int, end: int, why: str) -> Missing:
        return Missing(
            start=start,
            end=end,
            connection=self.number,
            source=self.source,
            destination=self.destination,
            why=why,
        )

    def _unreadable(self, octets: bytes) -> Unreadable:
        return Unreadable(
            at=self.last_at,
            connection=self.number,
            source=self.source,
            destination=self.destination,
            octets=octets,
        )


def _plausible(stream: bytearray, at: int, *, strict: bool) -> bool:
    """Whether a message header stands here: marker, a length that can be; when ``strict`` a type that exists."""
    length = stream[at + 16] << 8 | stream[at + 17]
    return (
        stream.startswith(MARKER, at)
        and HEADER_LENGTH <= length <= EXTENDED_MAXIMUM
        and (not strict or _LOWEST_TYPE <= stream[at + 18] <= _HIGHEST_TYPE)
    )


def _next_header(stream: bytearray, at: int) -> int | None:
    """Where the next plausible header begins; None when none is complete yet."""
    while True:
        at = stream.find(MARKER, at)
        if at < 0 or len(stream) - at < HEADER_LENGTH:
            return None
        if _plausible(stream, at, strict=True):
            return at
        at += 1
