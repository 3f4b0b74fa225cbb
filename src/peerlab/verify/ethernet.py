"""An Ethernet frame taken apart as far as the rules of a peering LAN need it: framing, tag, ARP, IP, ICMP, ports.

Sources: IEEE 802.3 clause 3.2 (length or type), 802.1Q, 802.2 (LLC and SNAP), RFC 826, RFC 791, RFC 8200, RFC 4861.
Whatever is cut short or makes no sense stays empty: a frame is judged by what it shows, never refused.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import msgspec

BROADCAST = "ff:ff:ff:ff:ff:ff"
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
TAGS = frozenset({0x8100, 0x88A8, 0x9100})
"""802.1Q, 802.1ad, and what was used for a second tag before there was a standard."""
LONGEST_LENGTH = 1500
"""A type field up to here is a length: 802.3 with LLC, not Ethernet II."""
SNAP_LLC = (0xAA, 0xAA)
ICMP, IGMP, TCP, UDP, ICMPV6 = 1, 2, 6, 17, 58
REQUEST, REPLY = 1, 2
SOLICITATION, ADVERTISEMENT = 135, 136
"""Neighbour Solicitation and Advertisement (RFC 4861)."""
_EXTENSIONS = frozenset({0, 43, 60})
_FRAGMENT, _AUTHENTICATION = 44, 51
_MOST_EXTENSIONS = 8


class ArpPacket(msgspec.Struct, frozen=True):
    """ARP for IPv4 over Ethernet: who speaks (with the MAC it claims), and the address it speaks about."""

    operation: int
    sender_mac: str
    sender: str
    target: str


class EthernetFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame shows. ``vlan`` is the outermost tag's VID. ``ether_type`` is 0 for 802.3 with LLC; then ``llc`` is
    (DSAP, SSAP) and ``snap`` (OUI, protocol) where SNAP follows. ``target`` is the address of neighbour discovery."""

    source_mac: str = ""
    destination_mac: str = ""
    vlan: int | None = None
    ether_type: int = 0
    llc: tuple[int, int] | None = None
    snap: tuple[int, int] | None = None
    arp: ArpPacket | None = None
    source: str = ""
    destination: str = ""
    protocol: int = -1
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int = -1
    igmp_type: int = -1
    target: str = ""

    @property
    def is_group(self) -> bool:
        """Whether it is addressed to a multicast or the broadcast MAC (IEEE 802: the first octet's lowest bit)."""
        return bool(self.destination_mac) and bool(int(self.destination_mac[:2], 16) & 1)


def dissect(octets: bytes) -> EthernetFrame:
    """Takes a frame apart, from the destination MAC on, without its check sequence."""
    if len(octets) < 14:
        return EthernetFrame()
    found: dict[str, object] = {"destination_mac": octets[:6].hex(":"), "source_mac": octets[6:12].hex(":")}
    at = 12
    while _word(octets, at) in TAGS and len(octets) >= at + 6:
        found.setdefault("vlan", _word(octets, at + 2) & 0x0FFF)
        at += 4
    kind = _word(octets, at)
    body = octets[at + 2 :]
    if kind <= LONGEST_LENGTH:
        found |= _logical_link(body)
    else:
        found["ether_type"] = kind
        if kind == ARP:
            found["arp"] = _arp(body)
        elif kind == IPV4:
            found |= _ipv4(body)
        elif kind == IPV6:
            found |= _ipv6(body)
    return msgspec.convert(found, EthernetFrame)


def _word(octets: bytes, at: int) -> int:
    return int.from_bytes(octets[at : at + 2], "big")


def _logical_link(body: bytes) -> dict[str, object]:
    if len(body) < 3:
        return {"llc": (0, 0)}
    if (body[0], body[1]) == SNAP_LLC and len(body) >= 8:
        return {"llc": SNAP_LLC, "snap": (int.from_bytes(body[3:6], "big"), _word(body, 6))}
    return {"llc": (body[0], body[1])}


def _arp(body: bytes) -> ArpPacket | None:
    if len(body) < 28 or body[:6] != b"\0\x01\x08\0\x06\x04":
        return None
    return ArpPacket(
        operation=_word(body, 6),
        sender_mac=body[8:14].hex(":"),
        sender=str(IPv4Address(body[14:18])),
        target=str(IPv4Address(body[24:28])),
    )


def _ipv4(body: bytes) -> dict[str, object]:
    if len(body) < 20 or body[0] >> 4 != 4:
        return {}
    found: dict[str, object] = {
        "source": str(IPv4Address(body[12:16])),
        "destination": str(IPv4Address(body[16:20])),
        "protocol": body[9],
    }
    if _word(body, 6) & 0x1FFF:  # the transport header is in the first fragment only
        return found
    return found | _transport(body[9], body[(body[0] & 15) * 4 :])


def _ipv6(body: bytes) -> dict[str, object]:
    if len(body) < 40 or body[0] >> 4 != 6:
        return {}
    found: dict[str, object] = {
        "source": str(IPv6Address(body[8:24])),
        "destination": str(IPv6Address(body[24:40])),
    }
    protocol, at = body[6], 40
    for _ in range(_MOST_EXTENSIONS):
        if protocol in _EXTENSIONS and len(body) >= at + 2:
            protocol, at = body[at], at + 8 + body[at + 1] * 8
        elif protocol == _AUTHENTICATION and len(body) >= at + 2:
            protocol, at = body[at], at + 8 + body[at + 1] * 4
        elif protocol == _FRAGMENT and len(body) >= at + 8:
            if _word(body, at + 2) & 0xFFF8:
                return found | {"protocol": body[at]}
            protocol, at = body[at], at + 8
        else:
            break
    return found | {"protocol": protocol} | _transport(protocol, body[at:])


def _transport(protocol: int, body: bytes) -> dict[str, object]:
    if protocol in (TCP, UDP) and len(body) >= 4:
        return {"source_port": _word(body, 0), "destination_port": _word(body, 2)}
    if protocol == ICMP and body:
        return {"icmp_type": body[0]}
    if protocol == IGMP and body:
        return {"igmp_type": body[0]}
    if protocol == ICMPV6 and body:
        kind = body[0]
        if kind in (SOLICITATION, ADVERTISEMENT) and len(body) >= 24:
            return {"icmp_type": kind, "target": str(IPv6Address(body[8:24]))}
        return {"icmp_type": kind}
    return {}
