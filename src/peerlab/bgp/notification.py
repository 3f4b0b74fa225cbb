"""The NOTIFICATION message: codes in words and the shutdown communication (RFC 4271 section 4.5, RFC 9003)."""

from __future__ import annotations

import msgspec

from peerlab.errors import WireError

CODES = {
    1: "Message Header Error",
    2: "OPEN Message Error",
    3: "UPDATE Message Error",
    4: "Hold Timer Expired",
    5: "Finite State Machine Error",
    6: "Cease",
    7: "ROUTE-REFRESH Message Error",
    8: "Send Hold Timer Expired",
}
"""Error codes (RFC 4271 section 4.5; 7: RFC 7313; 8: RFC 9687)."""

SUBCODES = {
    (1, 1): "Connection Not Synchronized",
    (1, 2): "Bad Message Length",
    (1, 3): "Bad Message Type",
    (2, 1): "Unsupported Version Number",
    (2, 2): "Bad Peer AS",
    (2, 3): "Bad BGP Identifier",
    (2, 4): "Unsupported Optional Parameter",
    (2, 5): "Authentication Failure",
    (2, 6): "Unacceptable Hold Time",
    (2, 7): "Unsupported Capability",
    (2, 11): "Role Mismatch",
    (3, 1): "Malformed Attribute List",
    (3, 2): "Unrecognized Well-known Attribute",
    (3, 3): "Missing Well-known Attribute",
    (3, 4): "Attribute Flags Error",
    (3, 5): "Attribute Length Error",
    (3, 6): "Invalid ORIGIN Attribute",
    (3, 7): "AS Routing Loop",
    (3, 8): "Invalid NEXT_HOP Attribute",
    (3, 9): "Optional Attribute Error",
    (3, 10): "Invalid Network Field",
    (3, 11): "Malformed AS_PATH",
    (5, 1): "Unexpected Message in OpenSent State",
    (5, 2): "Unexpected Message in OpenConfirm State",
    (5, 3): "Unexpected Message in Established State",
    (6, 1): "Maximum Number of Prefixes Reached",
    (6, 2): "Administrative Shutdown",
    (6, 3): "Peer De-configured",
    (6, 4): "Administrative Reset",
    (6, 5): "Connection Rejected",
    (6, 6): "Other Configuration Change",
    (6, 7): "Connection Collision Resolution",
    (6, 8): "Out of Resources",
    (6, 9): "Hard Reset",
    (6, 10): "BFD Down",
    (7, 1): "Invalid Message Length",
}
"""Error subcodes (RFC 4271 section 4.5, 4486, 5492, 6608, 7313, 8538, 9234, 9384)."""

HOLD_TIMER_EXPIRED = 4
CEASE = 6
MAXIMUM_PREFIXES = 1
ADMINISTRATIVE_SHUTDOWN = 2
PEER_DECONFIGURED = 3
ADMINISTRATIVE_RESET = 4
COLLISION = 7
OUT_OF_RESOURCES = 8
HARD_RESET = 9
BFD_DOWN = 10

_COMMUNICATES = (ADMINISTRATIVE_SHUTDOWN, ADMINISTRATIVE_RESET)


class Notification(msgspec.Struct, frozen=True, array_like=True):
    """A NOTIFICATION: after it the session is gone."""

    code: int
    subcode: int
    data: bytes = b""

    def name(self) -> str:
        """Code and subcode in words, ``Cease/Administrative Shutdown``; numbers where no word exists."""
        code = CODES.get(self.code, f"code {self.code}")
        if self.subcode == 0:
            return code
        return f"{code}/{SUBCODES.get((self.code, self.subcode), f'subcode {self.subcode}')}"

    def inner(self) -> Notification | None:
        """What a Cease/Hard Reset carries inside (RFC 8538 section 3); None elsewhere or when it is cut short."""
        if (self.code, self.subcode) != (CEASE, HARD_RESET) or len(self.data) < 2:
            return None
        return Notification(self.data[0], self.data[1], self.data[2:])

    def communication(self) -> str | None:
        """The shutdown communication (RFC 9003), inside a hard reset too.

        None when there is none, when its length contradicts the message, or when it is not UTF-8: such text must
        not be interpreted (section 4).
        """
        inner = self.inner()
        if inner is not None:
            return inner.communication()
        if self.code != CEASE or self.subcode not in _COMMUNICATES or not self.data:
            return None
        length = self.data[0]
        if length == 0 or len(self.data) < 1 + length:
            return None
        try:
            return self.data[1 : 1 + length].decode()
        except UnicodeDecodeError:
            return None


def shutdown(text: str = "", subcode: int = ADMINISTRATIVE_SHUTDOWN) -> Notification:
    """A Cease with a shutdown communication. Raises ValueError over 255 octets of UTF-8 (RFC 9003 section 2)."""
    octets = text.encode()
    if len(octets) > 255:
        raise ValueError(f"a shutdown communication has at most 255 octets, this one {len(octets)}")
    return Notification(CEASE, subcode, bytes([len(octets)]) + octets)


def decode_notification(body: bytes) -> Notification:
    """Decode the body of a NOTIFICATION. Raises WireError 1/2 when it is too short to have a code."""
    if len(body) < 2:
        raise WireError(1, 2, (len(body) + 19).to_bytes(2, "big"), "a NOTIFICATION has at least 21 octets")
    return Notification(body[0], body[1], body[2:])


def encode_notification(message: Notification) -> bytes:
    """The body of a NOTIFICATION."""
    return bytes([message.code, message.subcode]) + message.data
