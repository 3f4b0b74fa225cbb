"""Next hops from a table."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import Address, Prefix
from peerlab.bgp.next_hop import NoNextHops, Resolution, StaticNextHops

TABLE = StaticNextHops(
    [
        (Prefix("10.0.0.0/8"), 30, Address("192.0.2.1"), "e1"),
        (Prefix("10.1.0.0/16"), 0, None, "e0"),
        (Prefix("10.1.2.0/24"), 20, Address("192.0.2.9"), "e2"),
        (Prefix("2001:db8::/32"), 5, Address("fe80::9"), "e3"),
    ]
)


@pytest.mark.parametrize(
    "next_hop, interface, expected",
    [
        ("10.9.9.9", None, Resolution(30, Address("192.0.2.1"), "e1")),
        ("10.1.9.9", None, Resolution(0, Address("10.1.9.9"), "e0")),  # connected: the gateway is the next hop
        ("10.1.2.9", None, Resolution(20, Address("192.0.2.9"), "e2")),  # the longest match
        ("11.0.0.1", None, None),
        ("2001:db8::1", None, Resolution(5, Address("fe80::9"), "e3")),
        ("fe80::1", "e7", Resolution(0, Address("fe80::1"), "e7")),  # link-local: on the session's own wire
        ("fe80::1", None, None),
    ],
)
def test_resolution(next_hop: str, interface: str | None, expected: Resolution | None) -> None:
    assert TABLE.resolve(Address(next_hop), interface) == expected
    assert expected is None or expected.is_connected(Address(next_hop)) is (expected.metric == 0)


def test_nothing_resolves_for_a_router_that_knows_no_network() -> None:
    assert NoNextHops().resolve(Address("10.0.0.1"), "e0") is None
