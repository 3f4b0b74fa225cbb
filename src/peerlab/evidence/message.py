"""What a capture tells about BGP, as frozen facts: messages, steps of connections, and what is not known."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from peerlab.bgp.attributes import Address
from peerlab.bgp.framing import HEADER_LENGTH
from peerlab.bgp.session_context import SessionContext
from peerlab.bgp.wire import Message as BgpMessage
from peerlab.bgp.wire import decode
from peerlab.evidence.connection_fact import Step


@lru_cache(maxsize=1 << 14)
def _decoded(kind: int, body: bytes, context: SessionContext) -> BgpMessage:
    return decode(kind, body, context)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One BGP message as it left its sender. ``at`` is CLOCK_REALTIME in ns of the frame that completed it.

    ``source`` and ``destination`` are node names (an address where no node is known to have it), ``session`` the
    model's id, None when the two addresses belong to none. ``connection`` counts the TCP connections of the capture.
    ``octets`` is the whole message; ``context`` is what the OPENs of this connection say about reading it.
    """

    at: int
    session: str | None
    connection: int
    source: str
    destination: str
    source_address: Address
    destination_address: Address
    octets: bytes
    context: SessionContext

    @property
    def kind(self) -> int:
        """The message type octet; compare it with ``bgp.wire.MessageType``."""
        return self.octets[HEADER_LENGTH - 1]

    @property
    def body(self) -> bytes:
        """The message without its header."""
        return self.octets[HEADER_LENGTH:]

    def decode(self) -> BgpMessage:
        """What it says. Raises WireError when it is malformed."""
        return _decoded(self.kind, self.body, self.context)


class ConnectionStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step in the life of a TCP connection; ``source`` is the node that caused it."""

    at: int
    session: str | None
    connection: int
    step: Step
    source: str
    destination: str


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """From ``at`` to ``end`` something that ``source`` sent on ``session`` may be missing, for the reason ``why``.

    An empty ``session`` means every session of ``source``; an empty ``source`` both directions.
    """

    at: int
    end: int
    session: str
    source: str
    why: str

    def overlaps(self, since: int, until: int) -> bool:
        """Whether it touches [since, until]."""
        return self.at <= until and since <= self.end


class Garbled(msgspec.Struct, frozen=True, kw_only=True):
    """Octets that were sent on a session where a message header had to stand, and are none."""

    at: int
    session: str | None
    source: str
    destination: str
    octets: bytes
