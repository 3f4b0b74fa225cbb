"""Addresses of Microsoft.Peering sessions (spec 1.5) and of link tests (spec S3, RFC 3927).

Direct sessions take their two addresses from the session prefix: of a /31 (/127) the first is the peer's and the
second Microsoft's; of a wider prefix the first two usable ones, in that order, as the recordings have it. Exchange
sessions use hosts on the exchange's LAN.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.peering.refusal import bad_argument

LINK_TEST_RANGE = Prefix("169.254.0.0/16")
"""Where link tests take their addresses (spec S3)."""

_LINK_LOCAL = ipaddress.IPv4Network(LINK_TEST_RANGE)
_FIRST = int(ipaddress.IPv4Address("169.254.1.0"))
_LAST = int(ipaddress.IPv4Address("169.254.254.255"))


class SessionAddresses(msgspec.Struct, frozen=True, array_like=True):
    """The two ends of one session."""

    peer: Address
    microsoft: Address


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read a prefix, host bits allowed. Raises RefusedError with PowerShell's text when it is none."""
    try:
        if "/" not in text:
            raise ValueError
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise bad_argument(f"{text} is not in proper IP / CIDR notation.") from None


def session_prefix_v4(text: str) -> Prefix:
    """Canonical session prefix of a Direct IPv4 session. Raises RefusedError (spec 1.6)."""
    prefix = network(text)
    if prefix.version != 4:
        raise bad_argument(f"{text} is not in proper IP / CIDR notation.")
    if prefix.prefixlen not in (30, 31):
        raise bad_argument(f"Invalid Prefix: {text}, must be either /30 or /31")
    return _aligned(text, prefix, point_to_point=31)


def session_prefix_v6(text: str) -> Prefix:
    """Canonical session prefix of a Direct IPv6 session: /64 to /127. Raises RefusedError (spec 1.6)."""
    prefix = network(text)
    if prefix.version != 6:
        raise bad_argument(f"{text} is not in proper IP / CIDR notation.")
    if not 64 <= prefix.prefixlen <= 127:
        raise bad_argument(f"Invalid Prefix: {text}, must be between /64 and /127")
    return _aligned(text, prefix, point_to_point=127)


def _aligned(text: str, prefix: ipaddress.IPv4Network | ipaddress.IPv6Network, point_to_point: int) -> Prefix:
    given = ipaddress.ip_address(text.partition("/")[0])
    if prefix.prefixlen == point_to_point and given != prefix.network_address:
        raise bad_argument(f"Unrecognized routePrefix {text}")
    return Prefix(str(prefix))


def direct_addresses(prefix: Prefix) -> SessionAddresses:
    """Peer's and Microsoft's address in an accepted session prefix [REC]."""
    net = ipaddress.ip_network(prefix)
    first = 0 if net.max_prefixlen - net.prefixlen == 1 else 1
    return SessionAddresses(Address(str(net[first])), Address(str(net[first + 1])))


def host_address(text: str, version: int) -> Address:
    """Canonical host address of an exchange session: bare, /32 or /128. Raises RefusedError (spec 1.6)."""
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise bad_argument(f"{text} is not in proper IP / CIDR notation.") from None
    if interface.version != version or interface.network.prefixlen != interface.max_prefixlen:
        raise bad_argument(f"{text} is not in proper IP / CIDR notation.")
    return Address(str(interface.ip))


def inside(address: str, prefix: str) -> bool:
    """Whether the address lies in the prefix; False across families."""
    ip, net = ipaddress.ip_address(address), ipaddress.ip_network(prefix)
    return ip.version == net.version and ip in net


def next_free_prefix(pool: Prefix, length: int, taken: Collection[Prefix]) -> Prefix | None:
    """Lowest subnet of ``pool`` with this length that overlaps nothing in ``taken``; None when the pool is used up."""
    busy = [ipaddress.ip_network(prefix) for prefix in taken]
    net = ipaddress.ip_network(pool)
    same = [other for other in busy if other.version == net.version]
    step = 1 << (net.max_prefixlen - length)
    position, end = int(net.network_address), int(net.broadcast_address) + 1
    while position + step <= end:
        candidate = ipaddress.ip_network((position, length))
        hit = next((other for other in same if other.overlaps(candidate)), None)
        if hit is None:
            return Prefix(str(candidate))
        after = int(hit.broadcast_address) + 1
        position = max(position + step, -(-after // step) * step)
    return None


def link_test_range(text: str) -> Prefix:
    """The range a peer names for its link test. Raises RefusedError when it is not usable (spec S3, RFC 3927 2.1)."""
    wanted = network(text)
    if wanted.version != 4 or not wanted.subnet_of(_LINK_LOCAL):
        raise bad_argument(
            f"Link test range {text} is outside 169.254.0.0/16; name a range inside it, or none to be given one"
        )
    if not _pairs(wanted):
        raise bad_argument(
            f"Link test range {text} has no two addresses in 169.254.1.0-169.254.254.255 "
            "(RFC 3927 section 2.1 reserves the first and the last /24); name another range"
        )
    return Prefix(str(wanted))


def link_test_addresses(taken: Collection[Address], within: Prefix = LINK_TEST_RANGE) -> SessionAddresses:
    """Lowest free pair (a /31) for one link's test: two addresses that no other link in ``taken`` uses.

    Raises RefusedError when ``within`` is no range for link tests, or when it has no free pair left.
    """
    allowed = ipaddress.ip_network(link_test_range(within))
    busy = {int(ipaddress.IPv4Address(address)) for address in taken}
    for low in _pairs(allowed):
        if low not in busy and low + 1 not in busy:
            return SessionAddresses(
                Address(str(ipaddress.IPv4Address(low))), Address(str(ipaddress.IPv4Address(low + 1)))
            )
    raise bad_argument(f"No free pair of link test addresses is left in {within}; end another link test first")


def _pairs(allowed: ipaddress.IPv4Network | ipaddress.IPv6Network) -> range:
    low = max(int(allowed.network_address), _FIRST)
    high = min(int(allowed.broadcast_address), _LAST)
    return range(low + low % 2, high, 2)
