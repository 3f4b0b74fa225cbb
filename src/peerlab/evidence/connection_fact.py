"""What reassembly tells about TCP connections that carry BGP, as frozen facts."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peerlab.bgp.attributes import Address


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
