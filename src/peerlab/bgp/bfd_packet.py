"""The BFD control packet: octets to a value and back (RFC 5880 section 4.1), and its ports (RFC 5881)."""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

PORT = 3784
"""UDP destination port of single-hop control packets (RFC 5881 section 4)."""
SOURCE_PORTS = range(49152, 65536)
"""UDP source ports of control packets (RFC 5881 section 4)."""
HOP_LIMIT = 255
"""TTL or hop limit that is sent, and demanded of what comes (RFC 5881 section 5; GTSM, RFC 5082)."""

_VERSION = 1
_FIXED = struct.Struct("!BBBBIIIII")
_AUTHENTICATED_LEAST = _FIXED.size + 2
_POLL, _FINAL, _INDEPENDENT, _AUTHENTICATED, _DEMAND, _MULTIPOINT = 0x20, 0x10, 0x08, 0x04, 0x02, 0x01


class BfdState(IntEnum):
    """State of a session as its sender sees it (RFC 5880 section 4.1)."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3

    def words(self) -> str:
        """The state under the RFC's name: AdminDown, Down, Init, Up."""
        return "AdminDown" if self is BfdState.ADMIN_DOWN else self.name.capitalize()


class BfdDiagnostic(IntEnum):
    """Why a session changed its state last (RFC 5880 section 4.1)."""

    NONE = 0
    DETECTION_TIME_EXPIRED = 1
    ECHO_FAILED = 2
    NEIGHBOR_SIGNALED_DOWN = 3
    FORWARDING_PLANE_RESET = 4
    PATH_DOWN = 5
    CONCATENATED_PATH_DOWN = 6
    ADMINISTRATIVELY_DOWN = 7
    REVERSE_CONCATENATED_PATH_DOWN = 8


_DIAGNOSTICS = (
    "No Diagnostic",
    "Control Detection Time Expired",
    "Echo Function Failed",
    "Neighbor Signaled Session Down",
    "Forwarding Plane Reset",
    "Path Down",
    "Concatenated Path Down",
    "Administratively Down",
    "Reverse Concatenated Path Down",
)


def diagnostic_words(code: int) -> str:
    """A diagnostic code under the RFC's name."""
    return _DIAGNOSTICS[code] if code < len(_DIAGNOSTICS) else f"diagnostic {code}"


class Discarded(ValueError):
    """A packet that RFC 5880 section 6.8.6 says must be discarded. The text says why."""


class ControlPacket(msgspec.Struct, frozen=True, kw_only=True):
    """One BFD control packet. Intervals are microseconds. ``diagnostic`` may be a code that no RFC names.

    ``authentication`` is the authentication section as it stands on the wire, its type and length octets included.
    """

    state: BfdState
    my_discriminator: int
    your_discriminator: int = 0
    detect_mult: int
    desired_min_tx: int
    required_min_rx: int
    required_min_echo_rx: int = 0
    diagnostic: int = BfdDiagnostic.NONE
    poll: bool = False
    final: bool = False
    control_plane_independent: bool = False
    demand: bool = False
    authentication: bytes = b""


def decode(octets: bytes) -> ControlPacket:
    """The packet in a UDP payload. Raises Discarded for what RFC 5880 section 6.8.6 discards by the packet alone."""
    if len(octets) < _FIXED.size:
        raise Discarded(f"{len(octets)} octets are no BFD control packet, the least is {_FIXED.size}")
    first, second, mult, length, mine, yours, tx, rx, echo = _FIXED.unpack_from(octets)
    if first >> 5 != _VERSION:
        raise Discarded(f"BFD version {first >> 5}, not {_VERSION}")
    authenticated = bool(second & _AUTHENTICATED)
    least = _AUTHENTICATED_LEAST if authenticated else _FIXED.size
    if length < least:
        raise Discarded(f"length {length} is less than the {least} octets that its flags demand")
    if length > len(octets):
        raise Discarded(f"length {length} is more than the {len(octets)} octets that came")
    if not mult:
        raise Discarded("detect mult is zero")
    if second & _MULTIPOINT:
        raise Discarded("the multipoint bit is set")
    if not mine:
        raise Discarded("my discriminator is zero")
    state = BfdState(second >> 6)
    if not yours and state not in (BfdState.DOWN, BfdState.ADMIN_DOWN):
        raise Discarded(f"your discriminator is zero in state {state.words()}")
    return ControlPacket(
        state=state,
        diagnostic=first & 0x1F,
        poll=bool(second & _POLL),
        final=bool(second & _FINAL),
        control_plane_independent=bool(second & _INDEPENDENT),
        demand=bool(second & _DEMAND),
        detect_mult=mult,
        my_discriminator=mine,
        your_discriminator=yours,
        desired_min_tx=tx,
        required_min_rx=rx,
        required_min_echo_rx=echo,
        authentication=bytes(octets[_FIXED.size : length]) if authenticated else b"",
    )


def encode(packet: ControlPacket) -> bytes:
    """The packet as a UDP payload."""
    flags = (
        packet.state << 6
        | (_POLL if packet.poll else 0)
        | (_FINAL if packet.final else 0)
        | (_INDEPENDENT if packet.control_plane_independent else 0)
        | (_AUTHENTICATED if packet.authentication else 0)
        | (_DEMAND if packet.demand else 0)
    )
    fixed = _FIXED.pack(
        _VERSION << 5 | packet.diagnostic,
        flags,
        packet.detect_mult,
        _FIXED.size + len(packet.authentication),
        packet.my_discriminator,
        packet.your_discriminator,
        packet.desired_min_tx,
        packet.required_min_rx,
        packet.required_min_echo_rx,
    )
    return fixed + packet.authentication
