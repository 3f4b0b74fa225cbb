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

from peerlab.bgp.attributes import Address
from peerlab.evidence.connection_fact import Fact, Lifecycle, Missing, Octets, Step, Unreadable
from peerlab.evidence.octet_stream import OctetStream
from peerlab.evidence.segment import ACK, FIN, RST, SYN, Segment

__all__ = ["Fact", "Lifecycle", "Missing", "Octets", "Reassembler", "Step", "Unreadable"]

BGP_PORT = 179
_MODULUS = 1 << 32


class _Connection:
    """Both halves, and who is who. The client is the end that does not own port 179."""

    def __init__(self, number: int, segment: Segment) -> None:
        self.number = number
        self.opened = False
        self.closed = False
        self.halves = {
            segment.flow: OctetStream(segment.source, segment.destination, number),
            _reverse(segment.flow): OctetStream(segment.destination, segment.source, number),
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
    def _is_probe(half: OctetStream, segment: Segment) -> bool:
        """A keepalive probe repeats the last octet; before anything is known of a half it must not begin it."""
        return half.next is None and segment.length == 1

    @staticmethod
    def _synchronise(connection: _Connection, half: OctetStream, segment: Segment) -> list[Fact]:
        if half.initial is not None:
            return []
        half.synchronise(segment.sequence, segment.at)
        if segment.flags & ACK:
            connection.opened = True
            return [_step(connection, Step.OPENED, segment)]
        return [_step(connection, Step.ASKED, segment)]

    def _close(self, connection: _Connection, half: OctetStream, segment: Segment) -> list[Fact]:
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
