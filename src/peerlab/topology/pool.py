"""Taking subnets and addresses out of a network one after another, around what is already spoken for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Pool:
    """A network given out from ``start`` upwards (default: its first address), never what overlaps ``avoid``."""

    def __init__(self, network: Network, avoid: Iterable[Network] = (), start: int = 0) -> None:
        self._network = network
        self._avoid = tuple(n for n in avoid if n.version == network.version and n.overlaps(network))
        self._next = int(network.network_address) + start

    def subnet(self, length: int) -> Network | None:
        """The next free subnet of that prefix length; None when the pool is exhausted."""
        size = 1 << (self._network.max_prefixlen - length)
        while True:
            start = -(-self._next // size) * size
            if start + size - 1 > int(self._network.broadcast_address):
                return None
            candidate = _network(self._network.version, start, length)
            blocker = next((n for n in self._avoid if n.overlaps(candidate)), None)
            if blocker is None:
                self._next = start + size
                return candidate
            self._next = max(start + size, int(blocker.broadcast_address) + 1)

    def address(self) -> str | None:
        """The next free single address as text; None when the pool is exhausted."""
        taken = self.subnet(self._network.max_prefixlen)
        return None if taken is None else str(taken.network_address)


def end_addresses(network: Network) -> tuple[str, str]:
    """Addresses with length of the first and second end: +0 and +1 on /31 and /127, else +1 and +2 (spec 1.5)."""
    low = int(network.network_address) + (0 if network.prefixlen >= network.max_prefixlen - 1 else 1)
    kind = type(network.network_address)
    return f"{kind(low)}/{network.prefixlen}", f"{kind(low + 1)}/{network.prefixlen}"


def _network(version: int, start: int, length: int) -> Network:
    if version == 4:
        return ipaddress.IPv4Network((start, length))
    return ipaddress.IPv6Network((start, length))
