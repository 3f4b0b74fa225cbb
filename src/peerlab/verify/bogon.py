"""Prefixes and AS numbers that have no place in the public routing table, for the policy checks to insist on.

Origin: NLNOG bgpfilterguide (bogon_prefixes, bogon_asns, no_transit_leaks at 9d0bae7, MIT licence), with fe80::/10 and
169.254.0.0/16 from RFC 3927 and RFC 6890.
"""

from __future__ import annotations

BOGON_PREFIXES = (
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

BOGON_ASNS = (
    (0, 0, "AS 0 (RFC 7607)"),
    (23456, 23456, "AS_TRANS"),
    (64496, 64511, "documentation (RFC 5398)"),
    (64512, 65534, "private (RFC 6996)"),
    (65535, 65535, "reserved (RFC 7300)"),
    (65536, 65551, "documentation (RFC 5398)"),
    (65552, 131071, "reserved (IANA)"),
    (4200000000, 4294967294, "private (RFC 6996)"),
    (4294967295, 4294967295, "reserved (RFC 7300)"),
)
"""First and last AS number of each range, and what it is."""

TRANSIT_FREE = frozenset((174, 701, 1299, 2914, 3257, 3320, 3356, 3491, 4134, 5511, 6453, 6461, 6762, 6830, 7018))
"""Networks that buy transit from nobody: in a peer's path they mean a leak."""

EXPRESS_ROUTE = 12076
"""Microsoft's ExpressRoute AS, to be filtered from every peer (MS policy.md)."""
