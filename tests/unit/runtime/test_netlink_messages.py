"""Netlink packing, byte for byte, and what the kernel's answers mean."""

from __future__ import annotations

import errno
import struct

import pytest

from peerlab.errors import RefusedError
from peerlab.runtime import rtnetlink, shaping
from peerlab.runtime.netlink import attribute, attributes_of, error_of, messages_of, nested
from peerlab.runtime.rtnetlink import End


def test_attributes_are_padded_but_their_length_is_not() -> None:
    assert attribute(3, b"e0\0") == b"\x07\x00\x03\x00e0\x00\x00"
    assert attribute(4, b"\1\2\3\4") == b"\x08\x00\x04\x00\1\2\3\4"
    assert nested(18, attribute(1, b"x")) == b"\x0c\x00\x12\x80\x05\x00\x01\x00x\x00\x00\x00"


def test_attributes_come_back_without_their_flags() -> None:
    block = attribute(1, b"abc") + nested(2, attribute(7, b"inner")) + attribute(1, b"last wins")
    found = attributes_of(block)
    assert found[1] == b"last wins"
    assert attributes_of(found[2]) == {7: b"inner"}


def test_attributes_that_are_cut_short_do_not_loop() -> None:
    assert attributes_of(b"\x00\x00\x01\x00" * 4) == {}
    assert attributes_of(b"\x09\x00\x01") == {}


def test_messages_of_a_buffer() -> None:
    first = struct.pack("=IHHII", 17, 16, 0, 1, 0) + b"a"
    second = struct.pack("=IHHII", 20, 20, 2, 2, 0) + b"bcde"
    buffer = memoryview(first + b"\0\0\0" + second)
    assert [(kind, flags, sequence, bytes(body)) for kind, flags, sequence, body in messages_of(buffer)] == [
        (16, 0, 1, b"a"),
        (20, 2, 2, b"bcde"),
    ]
    assert list(messages_of(memoryview(struct.pack("=IHHII", 3, 0, 0, 0, 0)))) == []  # a length that cannot be


def test_an_error_is_told_in_the_kernels_words() -> None:
    words = attribute(1, b"Nexthop has invalid gateway\0")
    body = struct.pack("=i", -errno.ENETUNREACH) + bytes(16) + words
    assert error_of(0x100 | 0x200, memoryview(body)) == (errno.ENETUNREACH, "Nexthop has invalid gateway")
    assert error_of(0x100, memoryview(struct.pack("=i", 0) + bytes(16))) == (0, "")  # an acknowledgement


# What the kernel is sent, cut down to the fields that carry the meaning.
def test_a_wire_is_made_with_both_ends_in_place() -> None:
    message = rtnetlink.veth(
        End("e0", "02:00:00:00:00:01", 1500, 33, namespace=7), End("e1", "02:00:00:00:00:02", 9000, 34, namespace=8)
    )
    assert message.kind == 16 and struct.unpack_from("=BxHiII", message.body)[2:] == (33, 1, 1)  # index, up
    near = attributes_of(message.body[16:])
    assert (near[3], near[28], near[4]) == (b"e0\0", struct.pack("=I", 7), struct.pack("=I", 1500))
    info = attributes_of(near[18])
    assert info[1] == b"veth\0"
    peer = attributes_of(info[2])[1]
    assert struct.unpack_from("=BxHiII", peer)[2:] == (34, 0, 0)  # the kernel refuses a far end that is up
    far = attributes_of(peer[16:])
    assert (far[3], far[28], far[1]) == (b"e1\0", struct.pack("=I", 8), bytes.fromhex("020000000002"))


# address, family, prefix length, bytes
ADDRESSES = [
    ("198.51.100.1/31", 2, 31, "c6336401"),
    ("198.51.100.1", 2, 32, "c6336401"),
    ("2001:db8::1/64", 10, 64, "20010db8000000000000000000000001"),
    ("::/0", 10, 0, "00" * 16),
]


@pytest.mark.parametrize(("text", "family", "length", "packed"), ADDRESSES)
def test_addresses_are_read(text: str, family: int, length: int, packed: str) -> None:
    assert rtnetlink.packed(text) == (family, length, bytes.fromhex(packed))


@pytest.mark.parametrize("text", ["", "10.0.0.300/24", "10.0.0.1/33", "::1/129", "10.0.0.1/-1", "10.0.0.1/x", "e0"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="BadAddress"):
        rtnetlink.packed(text)


# Each change of a route, as the dump of the same bytes tells it.
ROUTES = [
    ("10.0.0.0/8", "192.0.2.1", None, 0, 254, "unicast"),
    ("10.0.0.0/8", "2001:db8::1", 3, 0, 254, "unicast"),  # IPv4 by an IPv6 gateway (RFC 8950)
    ("2001:db8::/32", "2001:db8:1::1", 3, 50, 254, "unicast"),
    ("0.0.0.0/0", None, 3, 0, 1000, "unicast"),  # a table beyond 255
    ("203.0.113.0/24", None, None, 7, 254, "blackhole"),
    ("::/0", None, None, 0, 254, "unreachable"),
]


@pytest.mark.parametrize(("destination", "via", "index", "metric", "table", "kind"), ROUTES)
def test_a_route_is_read_as_it_was_written(
    destination: str, via: str | None, index: int | None, metric: int, table: int, kind: str
) -> None:
    change = rtnetlink.route_change(destination, via, index, metric, table, kind, True, "r1")
    route = rtnetlink.route_fact(change.body, {3: "e0"})
    assert (route.destination, route.via, route.metric, route.table, route.kind, route.protocol) == (
        destination,
        via,
        metric,
        table,
        kind,
        4,
    )
    assert route.device == ("e0" if index else None)
    inverse = rtnetlink.route_inverse(change)
    assert (inverse.kind, inverse.body) == (25, change.body)
    assert rtnetlink.route_inverse(inverse).kind == change.kind


def test_host_bits_of_a_destination_do_not_reach_the_kernel() -> None:
    change = rtnetlink.route_change("10.1.2.3/8", None, 3, 0, 254, "unicast", True, "r1")
    assert rtnetlink.route_fact(change.body, {}).destination == "10.0.0.0/8"


def test_of_several_next_hops_the_first_is_told() -> None:
    hops = b"".join(
        struct.pack("=HBBi", 16, 0, 0, index) + attribute(5, gateway)
        for index, gateway in ((3, b"\xc0\0\2\1"), (4, b"\xc0\0\2\2"))
    )
    body = struct.pack("=BBBBBBBBI", 2, 8, 0, 0, 254, 4, 0, 1, 0) + attribute(1, b"\x0a\0\0\0") + attribute(9, hops)
    route = rtnetlink.route_fact(body, {3: "e0", 4: "e1"})
    assert (route.via, route.device) == ("192.0.2.1", "e0")


def test_a_rule_without_a_table_drops() -> None:
    drop = rtnetlink.rule(101, to="169.254.0.0/16")
    family, to_length, from_length, _, _, _, _, action, _ = struct.unpack_from("=BBBBBBBBI", drop.body)
    assert (family, to_length, from_length, action) == (2, 16, 0, 6)  # FR_ACT_BLACKHOLE
    look_up = rtnetlink.rule(100, iif="lo", table=254)
    assert struct.unpack_from("=BBBBBBBBI", look_up.body)[7] == 1  # FR_ACT_TO_TBL
    assert attributes_of(look_up.body[12:])[3] == b"lo\0"


def test_loss_is_what_nft_itself_would_send() -> None:
    """`nft add rule ... numgen random mod 1000000 < 100000 drop`, as strace shows it for nftables 1.0.6."""
    rule = shaping.loss_rules("t", "e0", shaping.HOOK_EGRESS, 10, "r1/e0")[2]
    expressions = attributes_of(rule.body[4:])[4]
    names = []
    offset = 0
    while offset < len(expressions):
        (length,) = struct.unpack_from("=H", expressions, offset)
        inside = attributes_of(expressions[offset + 4 : offset + length])
        names.append((inside[1].rstrip(b"\0").decode(), {k: v.hex() for k, v in attributes_of(inside[2]).items()}))
        offset += length
    assert names == [
        ("numgen", {1: "00000001", 2: "000f4240", 3: "00000001", 4: "00000000"}),  # reg 1 = random mod 1000000
        ("byteorder", {1: "00000001", 2: "00000001", 3: "00000001", 4: "00000004", 5: "00000004"}),  # hton
        ("cmp", {1: "00000001", 2: "00000002", 3: "08000100000186a0"}),  # reg 1 < 100000
        ("immediate", {1: "00000000", 2: "0c0002800800010000000000"}),  # verdict register = drop
    ]


def test_a_loss_of_everything_asks_no_dice() -> None:
    rule = shaping.loss_rules("t", "e0", shaping.HOOK_INGRESS, 100, "r1/e0")[2]
    assert b"immediate" in rule.body and b"numgen" not in rule.body


def test_netem_has_loss_delay_and_rate() -> None:
    message = shaping.netem(33, loss_percent=50, delay_ms=12.5, rate_kbit=1000, where="r1/e0")
    found = attributes_of(message.body[20:])
    assert found[1] == b"netem\0"
    _, limit, loss, *_ = struct.unpack_from("=IIIIII", found[2])
    assert limit == shaping.NETEM_QUEUE_PACKETS and loss == round(0.5 * 0xFFFFFFFF)
    options = attributes_of(found[2][24:])
    assert struct.unpack("=q", options[10]) == (12_500_000,)  # nanoseconds
    assert struct.unpack_from("=I", options[6]) == (125_000,)  # octets per second


def test_a_token_bucket_is_never_smaller_than_two_packets() -> None:
    found = attributes_of(shaping.tbf(33, rate_kbit=8, mtu=9000, where="r1/e0").body[20:])
    options = attributes_of(found[2])
    assert struct.unpack("=I", options[6]) == (18_000,)
    assert struct.unpack_from("=I", options[1], 8) == (1_000,)  # octets per second


def test_netem_may_vary_its_delay() -> None:
    message = shaping.netem(33, loss_percent=0, delay_ms=10, rate_kbit=0, where="r1/e0", jitter_ms=2.5)
    options = attributes_of(attributes_of(message.body[20:])[2][24:])
    assert struct.unpack("=q", options[11]) == (2_500_000,)  # nanoseconds
