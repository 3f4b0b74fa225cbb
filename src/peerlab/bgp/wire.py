"""The front door of the BGP codec: octets to messages and back.

``split`` and ``frame`` handle message headers, ``decode`` any body. ``decode_bulk`` is the speaker's fast path.
What the codec holds is spread over a file per message; import it from here.

>>> decode(MessageType.KEEPALIVE, b"", SessionContext())
Keepalive()
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.bulk import AttributeCache, BulkUpdate, decode_bulk
from peerlab.bgp.framing import (
    EXTENDED_MAXIMUM,
    HEADER_LENGTH,
    MARKER,
    STANDARD_MAXIMUM,
    MessageType,
    frame,
    split,
)
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes, nlri_split, nlri_text
from peerlab.bgp.notification import Notification, decode_notification, encode_notification, shutdown
from peerlab.bgp.open import Open, decode_open, encode_open, make_open, negotiate, roles_agree
from peerlab.bgp.route_refresh import RefreshSubtype, RouteRefresh, decode_route_refresh, encode_route_refresh
from peerlab.bgp.session_context import SessionContext
from peerlab.bgp.update import (
    Update,
    decode_update,
    encode_raw_updates,
    encode_raw_withdrawals,
    encode_updates,
    encode_withdrawals,
    end_of_rib,
)
from peerlab.errors import WireError

__all__ = [
    "EXTENDED_MAXIMUM",
    "HEADER_LENGTH",
    "MARKER",
    "STANDARD_MAXIMUM",
    "AttributeCache",
    "BulkUpdate",
    "Keepalive",
    "Message",
    "MessageType",
    "Notification",
    "Open",
    "RefreshSubtype",
    "RouteRefresh",
    "SessionContext",
    "Update",
    "decode",
    "decode_bulk",
    "decode_notification",
    "decode_open",
    "decode_route_refresh",
    "decode_update",
    "encode_notification",
    "encode_open",
    "encode_raw_updates",
    "encode_raw_withdrawals",
    "encode_route_refresh",
    "encode_updates",
    "encode_withdrawals",
    "end_of_rib",
    "family_of_prefix",
    "frame",
    "make_open",
    "negotiate",
    "nlri_bytes",
    "nlri_split",
    "nlri_text",
    "roles_agree",
    "shutdown",
    "split",
]


class Keepalive(msgspec.Struct, frozen=True):
    """A KEEPALIVE, which says nothing but that (RFC 4271 section 4.4)."""


Message = Open | Update | Notification | Keepalive | RouteRefresh


def decode(kind: int, body: bytes, session: SessionContext) -> Message:
    """Decode the body of a message of this type. Raises WireError when it is malformed or the type unknown."""
    if kind == MessageType.UPDATE:
        return decode_update(body, session)
    if kind == MessageType.KEEPALIVE:
        if body:
            raise WireError(1, 2, (len(body) + HEADER_LENGTH).to_bytes(2, "big"), "a KEEPALIVE with a body")
        return Keepalive()
    if kind == MessageType.OPEN:
        return decode_open(body)
    if kind == MessageType.NOTIFICATION:
        return decode_notification(body)
    if kind == MessageType.ROUTE_REFRESH:
        return decode_route_refresh(body)
    raise WireError(1, 3, bytes([kind & 0xFF]), f"message type {kind} is unknown")
