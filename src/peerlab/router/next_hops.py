"""Which next hops this router can reach: connected networks with carrier, and the interior protocol's routes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.bgp.next_hop import Resolution
from peerlab.router.link_monitor import InterfaceState


class IgpRoute(msgspec.Struct, frozen=True):
    """An interior route: its cost, and the neighbour's address and the interface that packets leave by."""

    metric: int
    gateway: Address
    interface: str


class ReachableNextHops:
    """A ``NextHopView``: the longest match of connected networks and interior routes at one moment."""

    def __init__(self, interfaces: Iterable[InterfaceState], routes: Mapping[Prefix, IgpRoute]) -> None:
        self._own: set[Address] = set()
        self._tables: dict[tuple[int, int], dict[int, Resolution | str]] = {}
        self._resolved: dict[Address, Resolution | None] = {}
        for prefix, route in routes.items():
            network = ipaddress.ip_network(prefix)
            way = Resolution(route.metric, route.gateway, route.interface)
            self._table(network.version, network.prefixlen)[int(network.network_address)] = way
        for interface in interfaces:
            for text in interface.addresses:
                address = ipaddress.ip_interface(text)
                self._own.add(Address(str(address.ip)))
                if interface.carrier and interface.name != "lo" and not address.ip.is_link_local:
                    table = self._table(address.version, address.network.prefixlen)
                    table[int(address.network.network_address)] = interface.name
        self._lengths = {
            version: sorted((length for v, length in self._tables if v == version), reverse=True) for version in (4, 6)
        }

    def _table(self, version: int, length: int) -> dict[int, Resolution | str]:
        return self._tables.setdefault((version, length), {})

    def resolve(self, next_hop: Address, interface: str | None) -> Resolution | None:
        """See ``NextHopView.resolve``. An address of this router itself is no next hop."""
        if next_hop in self._resolved:
            return self._resolved[next_hop]
        address = ipaddress.ip_address(next_hop)
        if address.is_link_local:
            return None if interface is None else Resolution(0, next_hop, interface)
        resolved = None if next_hop in self._own else self._longest(next_hop, int(address), address.version)
        self._resolved[next_hop] = resolved
        return resolved

    def _longest(self, next_hop: Address, value: int, version: int) -> Resolution | None:
        width = 32 if version == 4 else 128
        for length in self._lengths[version]:
            found = self._tables[version, length].get(value >> (width - length) << (width - length))
            if found is not None:
                return Resolution(0, next_hop, found) if isinstance(found, str) else found
        return None
