"""From a captured frame to its TCP segment: Ethernet, IPv4 and IPv6, TCP (RFC 791, RFC 8200, RFC 9293)."""

from __future__ import annotations

import struct

import msgspec

from peerlab.bgp.address import address_text
from peerlab.bgp.attributes import Address
from peerlab.evidence.pcapng import LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, LINKTYPE_RAW, Frame

_IPV4 = 0x0800
_IPV6 = 0x86DD
_VLAN = (0x8100, 0x88A8)
_TCP = 6
_ETHERNET_HEADER = 14
_SLL_HEADER = 16

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A TCP segment. ``length`` is its payload on the wire, ``payload`` what the capture kept of it.

    ``interface`` is the name of the capture's interface where it was seen.
    """

    at: int
    interface: str
    source: Address
    destination: Address
    source_port: int
    destination_port: int
    sequence: int
    acknowledged: int
    flags: int
    payload: bytes
    length: int

    @property
    def flow(self) -> tuple[Address, int, Address, int]:
        """Sender's address and port, receiver's address and port."""
        return self.source, self.source_port, self.destination, self.destination_port


def segment_of(frame: Frame) -> Segment | None:
    """The TCP segment in a frame; None when there is none, or only the later part of a fragmented packet.

    A header that is cut short or contradicts itself is no TCP either. A super-frame of an offloading sender,
    whose IP header has total length 0, is as long as the frame.
    """
    octets = frame.octets
    at, kind = _network_layer(frame.interface.linktype, octets)
    try:
        if kind == _IPV4:
            head = (octets[at] & 0x0F) * 4
            total = int.from_bytes(octets[at + 2 : at + 4], "big") or frame.length - at
            fragment = int.from_bytes(octets[at + 6 : at + 8], "big") & 0x1FFF
            if octets[at] >> 4 != 4 or octets[at + 9] != _TCP or fragment or head < 20:
                return None
            source, destination = octets[at + 12 : at + 16], octets[at + 16 : at + 20]
        elif kind == _IPV6:
            head = 40
            total = (int.from_bytes(octets[at + 4 : at + 6], "big") or frame.length - at - head) + head
            if octets[at] >> 4 != 6 or octets[at + 6] != _TCP:
                return None
            source, destination = octets[at + 8 : at + 24], octets[at + 24 : at + 40]
        else:
            return None
        tcp = at + head
        ports = struct.unpack_from(">HHIIBB", octets, tcp)
    except (IndexError, struct.error):
        return None
    start = tcp + (ports[4] >> 4) * 4
    length = at + total - start
    if start < tcp + 20 or length < 0 or len(source) != len(destination) or len(source) not in (4, 16):
        return None
    return Segment(
        at=frame.at,
        interface=frame.interface.name,
        source=address_text(source),
        destination=address_text(destination),
        source_port=ports[0],
        destination_port=ports[1],
        sequence=ports[2],
        acknowledged=ports[3],
        flags=ports[5],
        payload=octets[start : start + length],
        length=length,
    )


def _network_layer(linktype: int, octets: bytes) -> tuple[int, int]:
    """Where the network layer begins, and its ethertype (0: none)."""
    if linktype == LINKTYPE_ETHERNET:
        at, kind = _ETHERNET_HEADER, int.from_bytes(octets[12:14], "big")
        while kind in _VLAN:
            kind = int.from_bytes(octets[at + 2 : at + 4], "big")
            at += 4
        return at, kind
    if linktype == LINKTYPE_LINUX_SLL:
        return _SLL_HEADER, int.from_bytes(octets[14:16], "big")
    if linktype == LINKTYPE_RAW and octets:
        return 0, _IPV6 if octets[0] >> 4 == 6 else _IPV4
    return 0, 0
