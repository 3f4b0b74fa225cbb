"""TCP segments back into streams, and streams into BGP messages. Pure: segments in, facts out.

Theory of operation. A connection has two halves, one per direction. A half knows the next sequence number it
waits for; octets beyond it are kept until the hole before them is filled, octets before it were seen already and
are dropped (retransmissions, keepalive probes). The tap sits at the sender, so a hole has two possible causes:

- the segment never left the sender (lost before the tap) and will come again. The hole stays open; nothing was told
  to the peer either.
- the segment left, and the *capture* lost it. Then the peer acknowledges it all the same. An acknowledgement beyond
  the hole is the proof, and only with this proof `settle` gives the hole up: it is reported as `Missing`, and
  reading goes on at the next message that can be recognised behind it.

A connection that was running before the capture began is read from the next recognisable message on, and `Missing`
says that its beginning is not known.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peerlab.bgp.attributes import Address
from peerlab.bgp.framing import EXTENDED_MAXIMUM, HEADER_LENGTH, MARKER
from peerlab.evidence.segment import ACK, FIN, RST, SYN, Segment

BGP_PORT = 179
_MODULUS = 1 << 32
_HALF = 1 << 31
_LOWEST_TYPE, _HIGHEST_TYPE = 1, 5


def _ahead(later: int, earlier: int) -> int:
    """How far ``later`` is ahead of ``earlier`` in sequence space, negative when behind (RFC 9293 section 3.4)."""
    distance = (later - earlier) % _MODULUS
    return distance - _MODULUS if distance >= _HALF else distance


class Step(StrEnum):
    """What happens to a TCP connection."""

    ASKED = "asked"
    """The client sent its first SYN."""
    OPENED = "opened"
    """The server answered with SYN and ACK."""
    REFUSED = "refused"
    """A reset answered before the connection stood."""
    FINISHED = "finished"
    """One side sent FIN: it will say no more."""
    RESET = "reset"
    """One side tore the connection down with RST."""
    REPLACED = "replaced"
    """A new connection uses the same addresses and ports; how the old one ended was not seen."""


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """A step in a connection's life; ``source`` is who caused it. ``connection`` counts connections of a capture."""

    at: int
    connection: int
    step: Step
    source: Address
    destination: Address


class Octets(msgspec.Struct, frozen=True, kw_only=True):
    """One whole BGP message as it was sent, header included; ``at`` is the frame that completed it."""

    at: int
    connection: int
    source: Address
    destination: Address
    octets: bytes


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Something that ``source`` sent between ``start`` and ``end`` is not in the capture."""

    start: int
    end: int
    connection: int
    source: Address
    destination: Address
    why: str


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Octets that were sent where a message header had to stand, and are none (RFC 4271 section 6.1)."""

    at: int
    connection: int
    source: Address
    destination: Address
    octets: bytes


Fact = Lifecycle | Octets | Missing | Unreadable


class _Half:
    """One direction of a connection."""

    def __init__(self, source: Address, destination: Address, number: int) -> None:
        self.source = source
        self.destination = destination
        self.number = number
        self.initial: int | None = None
        self.next: int | None = None
        self.last_at = 0
        self.acknowledged: int | None = None
        self.acknowledged_at = 0
        self.waiting: dict[int, tuple[int, bytes]] = {}
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
        kept = self.waiting.get(sequence)
        if kept is None or len(kept[1]) < len(payload):
            self.waiting[sequence] = (at, payload)
        return facts + self._advance()

    def _advance(self) -> list[Fact]:
        """Move whatever is contiguous now from waiting into the stream, lowest sequence number first."""
        assert self.next is not None
        facts: list[Fact] = []
        while self.waiting:
            next_at = self.next
            sequence = min(self.waiting, key=lambda one: _ahead(one, next_at))
            behind = -_ahead(sequence, next_at)
            if behind < 0:
                break
            at, payload = self.waiting.pop(sequence)
            if behind < len(payload):
                self.stream += payload[behind:]
                self.next = (sequence + len(payload)) % _MODULUS
                self.last_at = max(self.last_at, at)
                facts += self._cut()
        if self.end is not None and self.end == self.next:
            self.next = (self.end + 1) % _MODULUS
        return facts

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
            next_at = self.next
            behind = min(self.waiting, key=lambda one: _ahead(one, next_at), default=self.acknowledged)
            lost = min(_ahead(behind, next_at), _ahead(self.acknowledged, next_at))
            until = self.waiting[behind][0] if behind in self.waiting else self.acknowledged_at
            facts.append(self._missing(self.last_at, max(until, self.last_at), f"the capture lost {lost} octets"))
            self.stream.clear()
            self.lost_sync = True
            self.next = (next_at + lost) % _MODULUS
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


class _Connection:
    """Both halves, and who is who. The client is the end that does not own port 179."""

    def __init__(self, number: int, segment: Segment) -> None:
        self.number = number
        self.opened = False
        self.closed = False
        self.halves = {
            segment.flow: _Half(segment.source, segment.destination, number),
            _reverse(segment.flow): _Half(segment.destination, segment.source, number),
        }


Flow = tuple[Address, int, Address, int]


def _reverse(flow: Flow) -> Flow:
    return flow[2], flow[3], flow[0], flow[1]


class Reassembler:
    """Every BGP connection of a capture. Segments go in as they were captured, facts come out as they are known."""

    def __init__(self) -> None:
        self._connections: dict[Flow, _Connection] = {}
        self._count = 0

    def feed(self, segment: Segment) -> list[Fact]:
        """What this segment tells: lifecycle steps and the messages that it completes."""
        if BGP_PORT not in (segment.source_port, segment.destination_port):
            return []
        facts: list[Fact] = []
        connection = self._connections.get(segment.flow)
        if connection is not None and self._starts_anew(connection, segment):
            facts += self._end(connection)
            if not connection.closed:
                facts.append(_step(connection, Step.REPLACED, segment))
            connection = None
        if connection is None:
            connection = self._begin(segment)
        half, other = connection.halves[segment.flow], connection.halves[_reverse(segment.flow)]
        if segment.flags & ACK and not segment.flags & RST:
            other.acknowledge(segment.acknowledged, segment.at)
        if segment.flags & SYN:
            facts += self._synchronise(connection, half, segment)
        start = segment.sequence + 1 if segment.flags & SYN else segment.sequence
        if segment.payload and not segment.flags & RST and not self._is_probe(half, segment):
            facts += half.take(start % _MODULUS, segment.payload, segment.at)
        if segment.flags & (FIN | RST):
            facts += self._close(connection, half, segment)
        return facts

    def settle(self) -> list[Fact]:
        """Call when every frame captured so far was fed: reports what the capture has certainly lost."""
        facts: list[Fact] = []
        for connection in self._unique():
            for half in connection.halves.values():
                facts += half.settle()
        return facts

    def _unique(self) -> list[_Connection]:
        return list({connection.number: connection for connection in self._connections.values()}.values())

    def _begin(self, segment: Segment) -> _Connection:
        connection = _Connection(self._count, segment)
        self._count += 1
        for flow in connection.halves:
            self._connections[flow] = connection
        return connection

    @staticmethod
    def _starts_anew(connection: _Connection, segment: Segment) -> bool:
        """A SYN with another initial sequence number is another connection; with the same it is a retransmission."""
        if not segment.flags & SYN:
            return False
        half = connection.halves[segment.flow]
        if half.initial is not None:
            return half.initial != segment.sequence
        return half.next is not None or (connection.closed and not segment.flags & ACK)

    @staticmethod
    def _is_probe(half: _Half, segment: Segment) -> bool:
        """A keepalive probe repeats the last octet; before anything is known of a half it must not begin it."""
        return half.next is None and segment.length == 1

    @staticmethod
    def _synchronise(connection: _Connection, half: _Half, segment: Segment) -> list[Fact]:
        if half.initial is not None:
            return []
        half.synchronise(segment.sequence, segment.at)
        if segment.flags & ACK:
            connection.opened = True
            return [_step(connection, Step.OPENED, segment)]
        return [_step(connection, Step.ASKED, segment)]

    def _close(self, connection: _Connection, half: _Half, segment: Segment) -> list[Fact]:
        if connection.closed:
            return []
        if segment.flags & RST:
            connection.closed = True
            running = any(one.initial is None and one.next is not None for one in connection.halves.values())
            return [_step(connection, Step.RESET if connection.opened or running else Step.REFUSED, segment)]
        if half.finished:
            return []
        facts: list[Fact] = list(half.finish((segment.sequence + segment.length) % _MODULUS))
        connection.closed = all(one.finished for one in connection.halves.values())
        return [*facts, _step(connection, Step.FINISHED, segment)]

    @staticmethod
    def _end(connection: _Connection) -> list[Fact]:
        facts: list[Fact] = []
        for half in connection.halves.values():
            facts += half.settle()
        return facts


def _step(connection: _Connection, step: Step, segment: Segment) -> Lifecycle:
    return Lifecycle(
        at=segment.at,
        connection=connection.number,
        step=step,
        source=segment.source,
        destination=segment.destination,
    )
