"""Route messages as octets: what the kernel would read in them."""

from __future__ import annotations

import struct

import pytest

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.effects import FibChange
from peerlab.bgp.nlri import nlri_bytes
from peerlab.router.fib import PROTOCOL_BGP, PROTOCOL_IGP, Fib, FibRefusal, raw_prefix
from peerlab.runtime.netlink import messages_of
from peerlab.runtime.rtnetlink import RTM_DELROUTE, RTM_NEWROUTE, route_fact

NAMES = {7: "e0"}


def change(prefix: str, kind: str, gateway: str | None = None, interface: str | None = None) -> FibChange:
    family = Family.IPV6 if ":" in prefix else Family.IPV4
    return FibChange(family, nlri_bytes(Prefix(prefix)), kind, gateway and Address(gateway), interface)


@pytest.fixture(params=[PROTOCOL_BGP, PROTOCOL_IGP])
def fib(request: pytest.FixtureRequest) -> Fib:
    it = Fib(request.param)
    it.know_interfaces({"e0": 7})
    return it


@pytest.mark.parametrize(
    ("prefix", "gateway"),
    [
        ("203.0.113.0/24", "192.0.2.1"),
        ("0.0.0.0/0", "192.0.2.1"),
        ("10.128.0.0/9", "192.0.2.1"),
        ("10.0.0.1/32", "192.0.2.1"),
        ("2001:db8::/32", "2001:db8::1"),
        ("::/0", "2001:db8::1"),
        ("2001:db8::5/128", "fe80::1"),
        ("203.0.113.0/24", "2001:db8::1"),  # RFC 8950: an IPv4 route over an IPv6 neighbour
    ],
)
def test_a_route_over_a_gateway(fib: Fib, prefix: str, gateway: str) -> None:
    octets = fib._pack(change(prefix, "unicast", gateway, "e0"), 5)
    ((kind, flags, sequence, body),) = messages_of(memoryview(octets))
    route = route_fact(bytes(body), NAMES)
    assert (kind, sequence) == (RTM_NEWROUTE, 5)
    assert flags == 0x1 | 0x100 | 0x400  # request, replace, create
    assert (route.destination, route.via, route.device, route.kind) == (prefix, gateway, "e0", "unicast")
    assert (route.protocol, route.table) == (fib.protocol, 254)
    assert len(octets) == struct.unpack_from("=I", octets)[0] == 16 + len(body)


def test_an_interior_route_beats_bgp_and_both_lose_against_a_connected_network() -> None:
    def metric(protocol: int) -> int:
        octets = Fib(protocol)._pack(change("203.0.113.0/24", "blackhole"), 0)
        return route_fact(octets[16:], {}).metric

    assert 256 < metric(PROTOCOL_IGP) < metric(PROTOCOL_BGP)  # 256: the kernel's own for connected IPv6


@pytest.mark.parametrize("prefix", ["203.0.113.0/24", "2001:db8::/32"])
def test_a_blackhole_and_a_removal_need_no_gateway(fib: Fib, prefix: str) -> None:
    hole = route_fact(fib._pack(change(prefix, "blackhole"), 0)[16:], NAMES)
    assert (hole.destination, hole.kind, hole.via, hole.device) == (prefix, "blackhole", None, None)
    ((kind, flags, _, body),) = messages_of(memoryview(fib._pack(change(prefix, "remove"), 0)))
    assert (kind, flags) == (RTM_DELROUTE, 0x1)
    gone = route_fact(bytes(body), NAMES)
    assert (gone.destination, gone.protocol) == (prefix, fib.protocol)


def test_a_number_that_changes_is_used_at_once(fib: Fib) -> None:
    route = change("203.0.113.0/24", "unicast", "192.0.2.1", "e0")
    fib._pack(route, 0)
    fib.know_interfaces({"e0": 9})
    assert route_fact(fib._pack(route, 0)[16:], {9: "e0"}).device == "e0"


def test_an_interface_that_does_not_exist_is_a_refusal_and_no_crash(fib: Fib) -> None:
    (refusal,) = fib.apply([change("203.0.113.0/24", "unicast", "192.0.2.1", "e9")])
    assert isinstance(refusal, FibRefusal)
    assert str(refusal) == "unicast route 203.0.113.0/24 over 192.0.2.1 on e9: there is no interface e9"


@pytest.mark.parametrize(
    ("address", "length", "raw"),
    [
        (b"\xcb\x00\x71\x00", 24, b"\x18\xcb\x00\x71"),
        (b"\x00\x00\x00\x00", 0, b"\x00"),
        (b"\x0a\x80\x00\x00", 9, b"\x09\x0a\x80"),
        (b"\x0a\x00\x00\x01", 32, b"\x20\x0a\x00\x00\x01"),
    ],
)
def test_a_prefix_from_the_kernel_becomes_nlri(address: bytes, length: int, raw: bytes) -> None:
    assert raw_prefix(address, length) == raw
