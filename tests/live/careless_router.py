"""A router that does wrong what the hostile checks look for. A zygote preloads it in place of the right one.

Each carelessness is one that routers have had: a session reset by a malformed attribute, octets passed over that
cannot be read, any identifier taken, flowspec offered, collisions decided by who came first, no send hold timer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import peerlab.router.zygote  # noqa: F401  (everything that every router has in common)
from peerlab.bgp import reception
from peerlab.bgp.framing import MessageType
from peerlab.bgp.notification import CEASE, COLLISION
from peerlab.errors import WireError
from peerlab.router.engine_protocol import SessionProtocol
from peerlab.router.engine_session import SendHold, SessionPeer
from peerlab.router.main import run_forked

__all__ = ["run_forked"]

FLOWSPEC = bytes([2, 6, 1, 4, 0, 1, 0, 133])
"""An optional parameter with the capability of IPv4 flowspec (RFC 8955 section 4)."""

_decode_bulk, _understand, _enqueue = reception.decode_bulk, SessionProtocol._understand, SessionProtocol.enqueue


def _decode_badly(body: bytes, cache: Any) -> Any:
    try:
        parts = _decode_bulk(body, cache)
    except WireError:
        return []
    for part in parts:
        if part.decoded is not None and part.decoded.treat_as_withdraw is not None:
            raise WireError(3, 1, what="one bad attribute, and the session goes")
    return parts


def _take_any_identifier(self: SessionProtocol, kind: int, body: bytes) -> Any:
    if kind == MessageType.OPEN and body[5:9] == bytes(4):
        body = body[:5] + bytes([10, 9, 8, 7]) + body[9:]
    return _understand(self, kind, body)


def _offer_flowspec(self: SessionProtocol, messages: Iterable[bytes]) -> None:
    said = []
    for octets in messages:
        if octets[18] == MessageType.OPEN:
            length = (len(octets) + len(FLOWSPEC)).to_bytes(2, "big")
            parameters = bytes([octets[28] + len(FLOWSPEC)])
            octets = octets[:16] + length + octets[18:28] + parameters + octets[29:] + FLOWSPEC
        said.append(octets)
    _enqueue(self, said)


def _keep_the_first(self: SessionPeer) -> None:
    if self._rival is not None and self._rival.identifier() is not None:
        self._drop_rival(CEASE, COLLISION)


reception.decode_bulk = _decode_badly
SessionProtocol._understand = _take_any_identifier  # type: ignore[method-assign]
SessionProtocol.enqueue = _offer_flowspec  # type: ignore[method-assign]
SessionPeer.rival_ready = _keep_the_first  # type: ignore[method-assign]
SendHold.expires = lambda self, proto: None  # type: ignore[method-assign]
