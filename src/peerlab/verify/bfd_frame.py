"""BFD on the wire: from a captured Ethernet frame to the control packet in it (RFC 791, 8200, 768, 5880, 5881)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peerlab.bgp.address import address_text
from peerlab.bgp.bfd_packet import ControlPacket, Discarded, decode

_ETHERNET, _IPV4, _IPV6, _UDP = 14, 0x0800, 0x86DD, 17
_IPV6_HEADER, _UDP_HEADER = 40, 8


class BfdFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A UDP datagram in a frame. ``packet`` is None when its payload is no BFD control packet."""

    at: int
    direction: str
    source: str
    destination: str
    hop_limit: int
    source_port: int
    destination_port: int
    packet: ControlPacket | None
    octets: str


def bfd_frames(recorded: Iterable[object] | None) -> tuple[BfdFrame, ...]:
    """The frames of a stimulus's ``frames`` in order of time; what is no UDP datagram is left out."""
    found = (_frame(one) for one in recorded or ())
    return tuple(sorted((frame for frame in found if frame is not None), key=lambda frame: frame.at))


def _frame(recorded: object) -> BfdFrame | None:
    match recorded:
        case [int(at), str(direction), str(text)]:
            pass
        case _:
            return None
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        return None
    kind = int.from_bytes(octets[12:14], "big")
    if kind == _IPV4 and len(octets) > _ETHERNET + 20:
        head = (octets[_ETHERNET] & 15) * 4
        protocol, hops = octets[_ETHERNET + 9], octets[_ETHERNET + 8]
        source, destination = octets[26:30], octets[30:34]
    elif kind == _IPV6 and len(octets) > _ETHERNET + _IPV6_HEADER:
        head = _IPV6_HEADER
        protocol, hops = octets[_ETHERNET + 6], octets[_ETHERNET + 7]
        source, destination = octets[22:38], octets[38:54]
    else:
        return None
    datagram = octets[_ETHERNET + head :]
    if protocol != _UDP or len(datagram) < _UDP_HEADER:
        return None
    length = int.from_bytes(datagram[4:6], "big")
    try:
        packet = decode(datagram[_UDP_HEADER:length])
    except Discarded:
        packet = None
    return BfdFrame(
        at=at,
        direction=direction,
        source=address_text(source),
        destination=address_text(destination),
        hop_limit=hops,
        source_port=int.from_bytes(datagram[0:2], "big"),
        destination_port=int.from_bytes(datagram[2:4], "big"),
        packet=packet,
        octets=text,
    )
