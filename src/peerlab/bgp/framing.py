"""The BGP message header: cutting a stream of octets into messages and back (RFC 4271 section 4.1)."""

from __future__ import annotations

from enum import IntEnum

from peerlab.errors import WireError

MARKER = b"\xff" * 16
HEADER_LENGTH = 19
STANDARD_MAXIMUM = 4096
"""Longest message without the extended message capability, in octets (RFC 4271 section 4.1)."""
EXTENDED_MAXIMUM = 65535
"""Longest message with it (RFC 8654 section 4)."""


class MessageType(IntEnum):
    """Message types (RFC 4271 section 4.1, RFC 2918 section 3)."""

    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4
    ROUTE_REFRESH = 5


_SHORTEST = (0, 29, 23, 21, 19, 23)
"""Shortest legal message per type (RFC 4271 section 6.1; RFC 2918 section 3)."""

_NEVER_EXTENDED = (MessageType.OPEN, MessageType.KEEPALIVE)
"""Types that keep the 4096 octet limit under RFC 8654 section 3."""


def split(buffer: bytes, maximum: int = STANDARD_MAXIMUM) -> tuple[list[tuple[int, bytes]], int]:
    """Cut ``buffer`` into whole messages: ``([(type, body), ...], octets consumed)``.

    An incomplete message at the end stays unconsumed. ``maximum`` is 65535 once both sides announced extended
    messages. A malformed header raises WireError 1/1, 1/2 or 1/3, but only when it stands first: messages before
    it are handed over, and the next call raises. So nothing that was received in order is lost.
    """
    messages: list[tuple[int, bytes]] = []
    at = 0
    available = len(buffer)
    while available - at >= HEADER_LENGTH:
        length = buffer[at + 16] << 8 | buffer[at + 17]
        kind = buffer[at + 18]
        if (
            not 1 <= kind <= 5
            or not _SHORTEST[kind] <= length <= maximum
            or (kind == 4 and length != HEADER_LENGTH)
            or (kind == 1 and length > STANDARD_MAXIMUM)
            or not buffer.startswith(MARKER, at)
        ):
            if messages:
                break
            raise _header_error(buffer[at : at + HEADER_LENGTH], maximum)
        end = at + length
        if end > available:
            break
        messages.append((kind, buffer[at + HEADER_LENGTH : end]))
        at = end
    return messages, at


def _header_error(header: bytes, maximum: int) -> WireError:
    """Which rule of RFC 4271 section 6.1 this header breaks; marker, then type, then length."""
    if not header.startswith(MARKER):
        return WireError(1, 1, what="the message does not start with a marker of 16 octets of ones")
    length, kind = header[16] << 8 | header[17], header[18]
    if kind not in MessageType._value2member_map_:
        return WireError(1, 3, header[18:19], f"message type {kind} is unknown")
    if kind in _NEVER_EXTENDED:
        maximum = STANDARD_MAXIMUM
    return WireError(
        1,
        2,
        header[16:18],
        f"{MessageType(kind).name} with a length of {length} octets, allowed are {_SHORTEST[kind]} to "
        f"{HEADER_LENGTH if kind == MessageType.KEEPALIVE else maximum}",
    )


def frame(kind: MessageType, body: bytes) -> bytes:
    """A whole message. Raises ValueError when it would be longer than 65535 octets."""
    length = HEADER_LENGTH + len(body)
    if length > EXTENDED_MAXIMUM:
        raise ValueError(f"a {kind.name} of {length} octets does not fit the length field")
    return b"%b%b%c%b" % (MARKER, length.to_bytes(2, "big"), kind, body)
