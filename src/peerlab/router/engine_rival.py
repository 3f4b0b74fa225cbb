"""A second connection of a session, until the peer's OPEN on it tells which one survives (RFC 4271 section 6.8)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from peerlab.bgp import framing
from peerlab.bgp.framing import MessageType
from peerlab.bgp.open import decode_open
from peerlab.errors import WireError

CLOSED = "TCP connection closed by the peer"


class Rival:
    """An incoming connection that waits beside the session's own. Nothing is said on it before it has won."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.octets = b""
        """Everything the peer has said on it."""

    def descriptor(self) -> int:
        """The socket to watch."""
        return int(self.connection.io.fileno())

    def identifier(self) -> int | None:
        """Read, and answer with the identifier in the peer's OPEN; None while it has not come.

        Raises OSError when the connection is lost, WireError for an OPEN that has to be refused.
        """
        try:
            block = self.connection.io.recv(framing.STANDARD_MAXIMUM)
        except (BlockingIOError, InterruptedError):
            return None
        if not block:
            raise OSError(0, CLOSED)
        self.octets += block
        frames, _ = framing.split(self.octets)
        if not frames:
            return None
        kind, body = frames[0]
        if kind != MessageType.OPEN:
            raise WireError(5, 1, what="the peer's first message is no OPEN")
        return int(ip_address(decode_open(body).router_id))
