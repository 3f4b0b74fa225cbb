"""Packets handed to user space: the rules that do it, and the messages about them, octet by octet."""

from __future__ import annotations

import struct

import pytest

from peerlab.runtime import nfqueue
from peerlab.runtime.netlink import HEADER, attributes_of
from peerlab.runtime.nfqueue import Entrance, binding, dropped, packet_number, queue_rules, verdict

# What nft 1.0.6 and iptables-nft 1.8.9 send, taken down with strace:
# nft add rule bridge t c meta iif 1 queue num 33 bypass
NFT_QUEUE = bytes.fromhex(
    "2c0001800a00010071756575650000001c000280060001000021000006000200000100000600030000010000"
)
# iptables-nft -t raw -A PREROUTING -m physdev --physdev-in p12 -j NFQUEUE --queue-num 33 --queue-bypass
IPTABLES_NFQUEUE = bytes.fromhex(
    "340001800b0001007461726765740000240002800c0001004e4651554555450008000200000000030c0003002100010001000000"
)
IPTABLES_PHYSDEV = bytes.fromhex(
    "740001800a0001006d61746368000000640002800c000100706879736465760008000200000000004c000300"
    "70313200000000000000000000000000ffffffff000000000000000000000000" + "00" * 32 + "0001000000000000"
)
PORT = {Entrance(44, "p12"): 33}
NEWTABLE, NEWCHAIN, NEWRULE, DELRULE = (10 << 8 | kind for kind in (0, 3, 6, 8))
IPV4, BRIDGE, IPV6 = 2, 7, 10


def families(rules: list[nfqueue.Request]) -> set[int]:
    return {rule.body[0] for rule in rules}


@pytest.mark.parametrize(
    ("bridged", "means", "wanted", "seen_as"),
    [
        (False, "queue", NFT_QUEUE, {IPV4, IPV6}),
        (False, "target", IPTABLES_NFQUEUE, {IPV4, IPV6}),
        (True, "queue", NFT_QUEUE, {BRIDGE}),
        (True, "target", IPTABLES_PHYSDEV + IPTABLES_NFQUEUE, {IPV4, IPV6}),
    ],
)
def test_rules_are_those_of_nft_and_iptables(
    bridged: bool, means: nfqueue.Means, wanted: bytes, seen_as: set[int]
) -> None:
    rules = queue_rules(PORT, bridged, means, "lan/p12")
    assert families(rules) == seen_as
    made = [rule for rule in rules if rule.kind == NEWRULE]
    assert len(made) == len(seen_as)
    assert all(wanted in rule.body for rule in made)
    by_interface = struct.pack("=I", 44)
    assert all((by_interface in rule.body) is not (bridged and means == "target") for rule in made)


def test_new_rules_are_added_and_only_replacing_takes_others_away() -> None:
    added = queue_rules(PORT, False, "queue", "r1/e0")
    assert [rule.kind for rule in added] == [NEWTABLE, NEWCHAIN, NEWRULE] * 2
    replaced = queue_rules({}, False, "queue", "r1/e0", replace=True)
    assert [rule.kind for rule in replaced] == [NEWTABLE, NEWCHAIN, DELRULE] * 2


def test_the_hook_is_raw_prerouting() -> None:
    chain = attributes_of(queue_rules({}, False, "queue", "r1/e0")[1].body[4:])
    assert {kind: value.hex() for kind, value in attributes_of(chain[4]).items()} == {1: "00000000", 2: "fffffed4"}


def test_a_reader_gets_numbers_only_and_large_packets_whole() -> None:
    message = binding(33, "r1/e0")
    assert message.kind == 3 << 8 | 2 and message.body[:4] == b"\0\0\0\x21"
    found = {kind: value.hex() for kind, value in attributes_of(message.body[4:]).items()}
    assert found == {1: "01000000", 2: "0000000001", 3: f"{nfqueue.QUEUE_PACKETS:08x}", 4: "00000004", 5: "00000004"}


def test_a_verdict_lets_everything_up_to_a_number_go() -> None:
    message = verdict(33, 70_000)
    assert HEADER.unpack_from(message) == (len(message), 3 << 8 | 3, 1, 0, 0)
    assert message[16:20] == b"\0\0\0\x21"
    assert attributes_of(message[20:])[2] == struct.pack("!II", 1, 70_000)


def test_a_packet_is_known_by_its_number() -> None:
    header = nfqueue.shaping.attribute(1, struct.pack("!IHBx", 70_000, 0x0800, 0))
    body = struct.pack("!BBH", 2, 0, 33) + header
    assert packet_number(HEADER.pack(16 + len(body), nfqueue.PACKET, 0, 0, 0) + body) == 70_000
    assert packet_number(HEADER.pack(36, 2, 0, 0, 0) + bytes(20)) is None  # the kernel's complaint


def test_dropped_packets_are_read_from_the_kernels_table() -> None:
    table = "   33  17423     0 1     0     7     2    70000  1\n   34  17424     0 1     0     0     0    3  1\n"
    assert dropped(table) == {33: 9, 34: 0}
    assert dropped("") == {}
