"""Which next hops resolve, and to what."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import Address, Prefix
from peerlab.bgp.next_hop import Resolution
from peerlab.router.link_monitor import InterfaceState
from peerlab.router.next_hops import IgpRoute, ReachableNextHops

INTERFACES = [
    InterfaceState("e0", 2, True, frozenset({"192.0.2.0/31", "2001:db8::/127"})),
    InterfaceState("lan", 3, True, frozenset({"198.51.100.7/24"})),
    InterfaceState("dead", 4, False, frozenset({"203.0.113.0/31"})),
    InterfaceState("lo", 1, True, frozenset({"127.0.0.1/8", "10.0.0.1/32"})),
]
ROUTES = {
    Prefix("10.0.0.0/8"): IgpRoute(50, Address("192.0.2.1"), "e0"),
    Prefix("10.0.0.2/32"): IgpRoute(10, Address("198.51.100.2"), "lan"),
    Prefix("2001:db8:1::2/128"): IgpRoute(10, Address("2001:db8::1"), "e0"),
}


@pytest.mark.parametrize(
    ("next_hop", "resolution"),
    [
        ("192.0.2.1", Resolution(0, Address("192.0.2.1"), "e0")),  # connected: its own gateway
        ("198.51.100.200", Resolution(0, Address("198.51.100.200"), "lan")),
        ("2001:db8::1", Resolution(0, Address("2001:db8::1"), "e0")),
        ("10.0.0.2", Resolution(10, Address("198.51.100.2"), "lan")),  # the longest match of the interior routes
        ("10.9.9.9", Resolution(50, Address("192.0.2.1"), "e0")),
        ("2001:db8:1::2", Resolution(10, Address("2001:db8::1"), "e0")),
        ("203.0.113.1", None),  # the wire is dead
        ("192.0.2.0", None),  # this router itself
        ("10.0.0.1", None),
        ("127.0.0.9", None),  # the loopback network leads nowhere
        ("8.8.8.8", None),  # nobody knows the way
        ("2001:db8:9::1", None),
    ],
)
def test_a_next_hop_resolves_by_the_longest_match(next_hop: str, resolution: Resolution | None) -> None:
    view = ReachableNextHops(INTERFACES, ROUTES)
    assert view.resolve(Address(next_hop), "e0") == resolution
    assert view.resolve(Address(next_hop), None) == resolution  # and again, from memory


def test_a_link_local_next_hop_is_on_the_wire_of_its_session() -> None:
    view = ReachableNextHops(INTERFACES, ROUTES)
    assert view.resolve(Address("fe80::1"), "e0") == Resolution(0, Address("fe80::1"), "e0")
    assert view.resolve(Address("fe80::1"), "lan") == Resolution(0, Address("fe80::1"), "lan")
    assert view.resolve(Address("fe80::1"), None) is None
