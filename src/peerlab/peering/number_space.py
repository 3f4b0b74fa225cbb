"""Special-purpose prefixes and AS numbers, and the transit-free networks.

Lists from NLNOG's BGP filter guide (github.com/NLNOG/bgpfilterguide, bogon_prefixes, bogon_asns, no_transit_leaks, at
9d0bae7, MIT) with 169.254/16 and fe80::/10 also from RFC 3927 and RFC 6890. Documentation AS numbers are bogons on the
internet and public in a lab, where every AS has one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.policy import AsnRange

BOGONS_V4: tuple[Prefix, ...] = tuple(
    Prefix(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)

BOGONS_V6: tuple[Prefix, ...] = tuple(
    Prefix(text)
    for text in (
        "100::/64",
        "2001:2::/48",
        "2001:10::/28",
        "2001:db8::/32",
        "2002::/16",
        "3ffe::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)

PRIVATE_ASNS: tuple[AsnRange, ...] = (AsnRange(64512, 65534), AsnRange(4_200_000_000, 4_294_967_294))
"""RFC 6996."""

BOGON_ASNS: tuple[AsnRange, ...] = (
    AsnRange(0, 0),
    AsnRange(23456, 23456),
    *PRIVATE_ASNS,
    AsnRange(65535, 65535),
    AsnRange(65552, 131071),
    AsnRange(4_294_967_295, 4_294_967_295),
)
"""AS 0 (RFC 7607), AS_TRANS, private, last (RFC 7300) and IANA-reserved ones; documentation ASNs left out."""

DOCUMENTATION_ASNS: tuple[AsnRange, ...] = (AsnRange(64496, 64511), AsnRange(65536, 65551))
"""RFC 5398. A range is public in a lab that has an AS in it, and a bogon in every other."""

EXPRESSROUTE = 12076
"""Microsoft's ExpressRoute AS; nobody may accept its routes from a peer (spec M9)."""

TRANSIT_FREE: tuple[int, ...] = (
    174, 701, 1299, 2914, 3257, 3320, 3356, 3491, 4134, 5511, 6453, 6461, 6762, 6830, 7018,
)  # fmt: skip
"""Networks without a transit provider: in a path from anyone else they mean a leak (RFC 7908 type 1 to 3)."""


def is_public_asn(asn: int) -> bool:
    """Whether an AS number may appear on the internet; documentation ASNs count as public in the lab."""
    return 0 < asn < 1 << 32 and not in_ranges(asn, BOGON_ASNS)


def in_ranges(asn: int, ranges: Iterable[AsnRange]) -> bool:
    """Whether the AS number lies in one of the ranges."""
    return any(r.low <= asn <= r.high for r in ranges)


def is_special(prefix: Prefix, public_ranges: Iterable[Prefix] = ()) -> bool:
    """Whether the prefix lies in (or covers) special-purpose space, the lab's ``public_ranges`` excepted."""
    net = ipaddress.ip_network(prefix)
    if any(covers(allowed, prefix) for allowed in public_ranges):
        return False
    bogons = BOGONS_V4 if net.version == 4 else BOGONS_V6
    return any(net.overlaps(ipaddress.ip_network(bogon)) for bogon in bogons)


def covers(outer: Prefix, inner: Prefix) -> bool:
    """Whether ``inner`` is ``outer`` or one of its more-specifics; False across families."""
    a, b = ipaddress.ip_network(outer), ipaddress.ip_network(inner)
    if isinstance(a, ipaddress.IPv4Network):
        return isinstance(b, ipaddress.IPv4Network) and b.subnet_of(a)
    return isinstance(b, ipaddress.IPv6Network) and b.subnet_of(a)
