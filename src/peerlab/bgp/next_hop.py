"""Whether a next hop can be reached, at what interior cost, and through which neighbour (RFC 4271 section 9.1.2.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Protocol

import msgspec

from peerlab.bgp.attributes import Address, Prefix


class Resolution(msgspec.Struct, frozen=True, gc=False):
    """How packets to a next hop leave this router.

    ``metric`` is the interior cost, 0 for a connected next hop. ``gateway`` is the address of the neighbour on
    ``interface``; for a connected next hop it is the next hop itself.
    """

    metric: int
    gateway: Address
    interface: str

    def is_connected(self, next_hop: Address) -> bool:
        """Whether the next hop is on a network that this router is attached to."""
        return self.gateway == next_hop


class NextHopView(Protocol):
    """Connected networks and the IGP's routes at one moment. A view never changes: a change is a new view."""

    def resolve(self, next_hop: Address, interface: str | None) -> Resolution | None:
        """How to reach ``next_hop``; None when it cannot be reached.

        ``interface`` is that of the session the route came on (None for loopback sessions). A link-local next hop
        means nothing without it; other next hops need not look at it.
        """
        ...


class NoNextHops:
    """The view of a router that does not know of any network yet: nothing resolves."""

    def resolve(self, next_hop: Address, interface: str | None) -> Resolution | None:
        """None, always."""
        return None


class StaticNextHops:
    """A view from a table: each prefix either connected on an interface, or reached over a gateway at a cost.

    The longest match counts. ``routes`` are (prefix, metric, gateway or None when connected, interface).
    """

    def __init__(self, routes: Iterable[tuple[Prefix, int, Address | None, str]]) -> None:
        parsed = [(ipaddress.ip_network(prefix), metric, gateway, name) for prefix, metric, gateway, name in routes]
        self._routes = sorted(parsed, key=lambda route: -route[0].prefixlen)

    def resolve(self, next_hop: Address, interface: str | None) -> Resolution | None:
        """The longest match of the table. A link-local next hop is on the session's interface."""
        address = ipaddress.ip_address(next_hop)
        if address.is_link_local:
            return None if interface is None else Resolution(0, next_hop, interface)
        for network, metric, gateway, name in self._routes:
            if address.version == network.version and address in network:
                return Resolution(metric, next_hop if gateway is None else gateway, name)
        return None
