"""What a router tells a monitoring station by BMP (RFC 7854): the routes that its peers announced, before policy.

Pure: octets in, messages out. Only what the companion of a daemon needs is read; the rest is passed over.
"""

from __future__ import annotations

import ipaddress

import msgspec

from peerlab.bgp.attributes import Address, PathAttributes, SegmentType
from peerlab.bgp.framing import HEADER_LENGTH
from peerlab.bgp.session_context import SessionContext
from peerlab.bgp.update import Update, decode_update

COMMON_HEADER = 6
_PEER_HEADER = 42
_VERSION = 3
_ROUTE_MONITORING, _PEER_DOWN, _PEER_UP = 0, 2, 3
_IPV6, _POST_POLICY = 0x80, 0x40
_LONGEST = 1 << 20


class Monitored(msgspec.Struct, frozen=True):
    """A change of what a peer announced: an UPDATE; None when its session came up or went down."""

    peer: Address
    update: Update | None
    at: int = 0


def split(buffer: bytes) -> tuple[list[bytes], int]:
    """Whole messages at the front of a buffer, and how many octets they are. Raises ValueError for no BMP."""
    messages, at = [], 0
    while len(buffer) - at >= COMMON_HEADER:
        length = int.from_bytes(buffer[at + 1 : at + 5], "big")
        if buffer[at] != _VERSION or not COMMON_HEADER <= length <= _LONGEST:
            raise ValueError(f"these octets are no BMP of version 3: {buffer[at : at + COMMON_HEADER].hex()}")
        if len(buffer) - at < length:
            break
        messages.append(buffer[at : at + length])
        at += length
    return messages, at


def monitored(message: bytes) -> Monitored | None:
    """What a message tells of a peer's routes before policy; None for one that tells nothing of them.

    Raises ValueError or WireError for one that cannot be read. UPDATEs have four-octet AS numbers (section 4.2).
    """
    kind = message[5]
    if kind not in (_ROUTE_MONITORING, _PEER_DOWN, _PEER_UP):
        return None
    head = message[COMMON_HEADER : COMMON_HEADER + _PEER_HEADER]
    if len(head) < _PEER_HEADER:
        raise ValueError(f"a BMP message ends within its header: {message.hex()}")
    flags, raw = head[1], head[10:26]
    peer = Address(str(ipaddress.ip_address(raw if flags & _IPV6 else raw[12:])))
    seconds, micros = int.from_bytes(head[34:38], "big"), int.from_bytes(head[38:42], "big")
    at = seconds * 1_000_000_000 + micros * 1000
    if kind != _ROUTE_MONITORING:
        return Monitored(peer, None, at)
    if flags & _POST_POLICY:
        return None
    body = message[COMMON_HEADER + _PEER_HEADER + HEADER_LENGTH :]
    # As from a peer of the own AS, so that LOCAL_PREF is kept; what is malformed has never got this far.
    return Monitored(peer, decode_update(body, SessionContext(ebgp=False, extended_message=True)), at)


def as_received(attributes: PathAttributes, prepended: int | None, cluster: Address | None) -> PathAttributes:
    """FRR's UPDATEs undone: 8.4.4 writes what it monitors as if it sent it back to that peer.

    It puts its own AS in front (``prepended``, for an external peer), and marks routes of an internal peer as
    reflected by its ``cluster``, with an ORIGINATOR_ID where there was none.
    """
    path = attributes.as_path
    if prepended is not None and path and path[0].kind is SegmentType.AS_SEQUENCE and path[0].asns[0] == prepended:
        rest = msgspec.structs.replace(path[0], asns=path[0].asns[1:])
        attributes = msgspec.structs.replace(attributes, as_path=(rest, *path[1:]) if rest.asns else path[1:])
    if cluster is not None and attributes.cluster_list[:1] == (cluster,):
        clusters = attributes.cluster_list[1:]
        origin = attributes.originator_id if clusters else None
        attributes = msgspec.structs.replace(attributes, cluster_list=clusters, originator_id=origin)
    return attributes
