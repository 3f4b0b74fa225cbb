"""Test frames written out octet by octet: ARP requests, neighbour solicitations, and ICMP of both families.

Sources: RFC 826, RFC 4861 sections 4.3 and 7.2.2, RFC 792, RFC 4443. Nothing here has checked an address: the
frames are for asking questions that no kernel would ask.
"""

from __future__ import annotations

import socket
import struct

from peerlab.runtime.frames import ETHER_ARP, ETHER_IPV4, ETHER_IPV6
from peerlab.runtime.probe import internet_checksum

__all__ = ["ECHO_REPLY", "ECHO_REQUEST", "arp_request", "echo", "neighbour_solicitation", "question"]

ECHO_REQUEST, ECHO_REPLY = (8, 128), (0, 129)
"""ICMP types of IPv4 and IPv6."""
BROADCAST = "ff:ff:ff:ff:ff:ff"
_HOPS, _ND_HOPS = 64, 255
_ICMP, _ICMPV6 = 1, 58


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ethernet(destination: str, source: str, ether_type: int, body: bytes) -> str:
    return (_mac(destination) + _mac(source) + struct.pack("!H", ether_type) + body).hex()


def arp_request(mac: str, sender: str, target: str) -> str:
    """Who has ``target``, tell ``sender`` at ``mac``: to everybody."""
    body = struct.pack("!HHBBH", 1, ETHER_IPV4, 6, 4, 1)
    body += _mac(mac) + socket.inet_aton(sender) + bytes(6) + socket.inet_aton(target)
    return _ethernet(BROADCAST, mac, ETHER_ARP, body)


def neighbour_solicitation(mac: str, sender: str, target: str) -> str:
    """Who has ``target``, tell ``sender`` at ``mac``: to the target's solicited-node group."""
    wanted = socket.inet_pton(socket.AF_INET6, target)
    group = bytes.fromhex("ff0200000000000000000001ff") + wanted[13:]
    message = struct.pack("!BBHI", 135, 0, 0, 0) + wanted + b"\x01\x01" + _mac(mac)
    packet = _ipv6(socket.inet_pton(socket.AF_INET6, sender), group, message, _ND_HOPS)
    return _ethernet("33:33:" + group[12:].hex(":"), mac, ETHER_IPV6, packet)


def question(mac: str, sender: str, target: str) -> str:
    """ARP or neighbour discovery, as the target's family has it."""
    return neighbour_solicitation(mac, sender, target) if ":" in target else arp_request(mac, sender, target)


def echo(kinds: tuple[int, int], source_mac: str, destination_mac: str, source: str, destination: str) -> str:
    """An ICMP echo request or reply of the destination's family, from and to any address at all."""
    if ":" in destination:
        ends = [socket.inet_pton(socket.AF_INET6, text) for text in (source, destination)]
        packet = _ipv6(ends[0], ends[1], struct.pack("!BBHHH", kinds[1], 0, 0, 0, 0), _HOPS)
        return _ethernet(destination_mac, source_mac, ETHER_IPV6, packet)
    message = struct.pack("!BBHHH", kinds[0], 0, 0, 0, 0)
    message = message[:2] + struct.pack("!H", internet_checksum(message)) + message[4:]
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    fields = (0x45, 0, 20 + len(message), 1, 0, _HOPS, _ICMP)
    header = struct.pack("!BBHHHBBH", *fields, 0) + addresses
    header = struct.pack("!BBHHHBBH", *fields, internet_checksum(header)) + addresses
    return _ethernet(destination_mac, source_mac, ETHER_IPV4, header + message)


def _ipv6(source: bytes, destination: bytes, message: bytes, hops: int) -> bytes:
    """A packet with an ICMPv6 message whose checksum is filled in (RFC 8200 section 8.1)."""
    pseudo = source + destination + struct.pack("!II", len(message), _ICMPV6)
    checksum = internet_checksum(pseudo + message)
    message = message[:2] + struct.pack("!H", checksum) + message[4:]
    return struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, hops) + source + destination + message
