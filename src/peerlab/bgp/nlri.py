"""Network layer reachability information between octets and text (RFC 4271 section 4.3, RFC 4760 section 5).

On the wire a prefix is one octet of length in bits and as few octets of address as hold it. These octets, with
the meaningless bits of the last one cleared, are the speaker's RIB keys: ``raw`` everywhere below.
"""

from __future__ import annotations

import ipaddress
import re

from peerlab.bgp.attributes import Family, Prefix
from peerlab.errors import WireError

BITS = {Family.IPV4: 32, Family.IPV6: 128}
AFI = {Family.IPV4: 1, Family.IPV6: 2}
"""IANA address family numbers."""
SAFI_UNICAST = 1

INVALID_NETWORK_FIELD = 10
OPTIONAL_ATTRIBUTE_ERROR = 9


def family_of(afi: int, safi: int) -> Family | None:
    """The unicast family of an AFI and SAFI; None for one that this speaker does not carry."""
    if safi != SAFI_UNICAST:
        return None
    return {1: Family.IPV4, 2: Family.IPV6}.get(afi)


def _pattern(common: tuple[int, ...], bits: int) -> re.Pattern[bytes]:
    """One canonical prefix of up to ``bits`` bits. ``common`` lengths are tried first; order decides speed only."""
    alternatives = []
    for length in (*common, *(length for length in range(bits + 1) if length not in common)):
        whole, rest = divmod(length, 8)
        text = re.escape(bytes([length])) + b"." * whole
        if rest:
            legal = bytes(value << (8 - rest) for value in range(1 << rest))
            text += b"[" + b"".join(re.escape(bytes([octet])) for octet in legal) + b"]"
        alternatives.append(text)
    return re.compile(b"|".join(alternatives), re.DOTALL)


_CANONICAL = {
    Family.IPV4: _pattern((24, 22, 23, 20, 21, 19, 16, 18, 17, 32), 32),
    Family.IPV6: _pattern((48, 32, 44, 40, 36, 46, 29, 47, 45, 128), 128),
}
"""A regular expression cuts NLRI in C, several times faster than a loop over octets. It accepts only canonical
prefixes; whatever it cannot account for takes the careful loop."""


def nlri_split(octets: bytes, family: Family, subcode: int = INVALID_NETWORK_FIELD) -> list[bytes]:
    """Cut an NLRI field into raw prefixes (length octet and address octets, bits beyond the length cleared).

    Raises WireError 3/``subcode`` for a length over 32 or 128, or a prefix that runs past the field's end
    (RFC 7606 section 5.3: the session cannot go on).
    """
    prefixes: list[bytes] = _CANONICAL[family].findall(octets)
    if sum(map(len, prefixes)) == len(octets):
        return prefixes
    return [raw for _, raw in _walk(octets, family, subcode, path_ids=False)]


def nlri_split_add_path(octets: bytes, family: Family, subcode: int = INVALID_NETWORK_FIELD) -> list[tuple[int, bytes]]:
    """Cut an ADD-PATH NLRI field into (path identifier, raw prefix) (RFC 7911 section 3). Raises as nlri_split."""
    return _walk(octets, family, subcode, path_ids=True)


def _walk(octets: bytes, family: Family, subcode: int, *, path_ids: bool) -> list[tuple[int, bytes]]:
    prefixes = []
    at, end, most = 0, len(octets), BITS[family]
    while at < end:
        path_id = 0
        if path_ids:
            if at + 5 > end:
                raise WireError(3, subcode, octets[at:], "NLRI ends inside a path identifier")
            path_id = int.from_bytes(octets[at : at + 4], "big")
            at += 4
        length = octets[at]
        if length > most:
            raise WireError(3, subcode, octets[at:], f"NLRI holds a prefix length of {length}, over {most}")
        after = at + 1 + (length + 7 >> 3)
        if after > end:
            raise WireError(3, subcode, octets[at:], f"a /{length} runs past the end of the NLRI field")
        prefixes.append((path_id, _clear(octets[at:after])))
        at = after
    return prefixes


def _clear(raw: bytes) -> bytes:
    """The prefix with the bits beyond its length cleared (RFC 4271 section 4.3: their value is irrelevant)."""
    rest = raw[0] & 7
    if not rest:
        return raw
    return raw[:-1] + bytes([raw[-1] & (0xFF00 >> rest) & 0xFF])


def nlri_text(raw: bytes, family: Family) -> Prefix:
    """Canonical text of one raw prefix."""
    if family is Family.IPV4:
        a, b, c, d = (raw[1:] + b"\0\0\0\0")[:4]
        return Prefix(f"{a}.{b}.{c}.{d}/{raw[0]}")
    address = ipaddress.IPv6Address(raw[1:].ljust(16, b"\0"))
    return Prefix(f"{address}/{raw[0]}")


def nlri_bytes(prefix: Prefix) -> bytes:
    """The raw octets of one prefix in text. Raises ValueError when it is no prefix or has host bits set."""
    network = ipaddress.ip_network(prefix)
    length = network.prefixlen
    return bytes([length]) + network.network_address.packed[: length + 7 >> 3]


def family_of_prefix(prefix: Prefix) -> Family:
    """The family of a prefix in canonical text."""
    return Family.IPV6 if ":" in prefix else Family.IPV4
