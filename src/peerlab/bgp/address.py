"""IPv4 and IPv6 addresses between octets and canonical text (RFC 5952 for IPv6)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from peerlab.bgp.attributes import Address


@lru_cache(maxsize=65536)
def address_text(raw: bytes) -> Address:
    """Canonical text of 4 or 16 octets. Raises ValueError for any other length."""
    if len(raw) == 4:
        return Address(f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}")
    return Address(str(ipaddress.IPv6Address(raw)))


@lru_cache(maxsize=65536)
def address_bytes(text: str) -> bytes:
    """The 4 or 16 octets of an address in text. Raises ValueError when it is none, or carries a scope."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text!r} carries a scope, which BGP cannot send")
    return address.packed


def is_martian(raw: bytes) -> bool:
    """Whether these octets cannot be a next hop at all (RFC 4271 section 6.3): unspecified, loopback, multicast.

    IPv4's 0/8, 127/8 and 224/3 are such, and IPv6's ``::``, ``::1`` and ff00::/8.
    """
    if len(raw) == 4:
        return raw[0] == 0 or raw[0] == 127 or raw[0] >= 224
    return raw[0] == 0xFF or (raw[:15] == bytes(15) and raw[15] <= 1)


def is_link_local(raw: bytes) -> bool:
    """Whether these 16 octets lie in fe80::/10 (RFC 4291 section 2.5.6)."""
    return len(raw) == 16 and raw[0] == 0xFE and raw[1] & 0xC0 == 0x80
