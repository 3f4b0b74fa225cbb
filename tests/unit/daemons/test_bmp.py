"""What bgpd 8.4.4 told by BMP, octets recorded from it."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import Address, PathAttributes, Segment, SegmentType
from peerlab.daemons.bmp import as_received, monitored, split

INITIATION = bytes.fromhex("030000001f040001000f4652526f7574696e6720382e342e3400020002766d")
PRE_POLICY = bytes.fromhex(
    "030000008d0000000000000000000000000000000000000000000000c00002020000fbf5020202026b0074a400050046ffffffffffffffffffff"
    "ffffffffffff005d0200000042400101005002001202040000fbf40000fbf50001000e0001000f400304c000020280040400000000c00808fbf4"
    "0001ffff029ac0200c00000001000000020000000318cb0071"
)
POST_POLICY = PRE_POLICY[:7] + bytes([0x40]) + PRE_POLICY[8:]
WITHDRAWAL = bytes.fromhex(
    "030000004b0000000000000000000000000000000000000000000000c00002000000fbf40a0000016b007e9800050045ffffffffffffffffffff"
    "ffffffffffff001b02000418c633640000"
)
PEER_DOWN = bytes.fromhex(
    "03000000330200000000000000000000000000000000000000000000c00002020000fbf5000000006b0044fa00050046020000"
)


def test_messages_are_split_and_a_half_one_is_waited_for() -> None:
    stream = INITIATION + PRE_POLICY + WITHDRAWAL[:20]
    assert split(stream) == ([INITIATION, PRE_POLICY], len(INITIATION) + len(PRE_POLICY))


@pytest.mark.parametrize("octets", [b"\2" + INITIATION[1:], b"\3\0\0\0\5\4", b"\3\xff\xff\xff\xff\4"])
def test_what_is_no_bmp_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match="no BMP"):
        split(octets)


def test_a_route_before_policy_as_its_peer_sent_it() -> None:
    told = monitored(PRE_POLICY)
    assert told is not None and told.update is not None
    assert told.peer == "192.0.2.2"
    ((prefix, attributes),) = told.update.routes()
    assert (prefix, attributes.communities, attributes.large_communities, attributes.med) == (
        "203.0.113.0/24", ("64500:1", "65535:666"), ("1:2:3",), 0,
    )  # fmt: skip
    # bgpd puts its own AS 64500 in front
    assert as_received(attributes, 64500, None).asns() == (64501, 65550, 65551)


def test_withdrawals_and_ends_of_sessions() -> None:
    withdrawn = monitored(WITHDRAWAL)
    assert withdrawn is not None and withdrawn.update is not None
    assert withdrawn.update.withdrawn == ("198.51.100.0/24",)
    down = monitored(PEER_DOWN)
    assert down is not None and (down.peer, down.update) == ("192.0.2.2", None)


@pytest.mark.parametrize("message", [INITIATION, POST_POLICY], ids=["initiation", "after policy"])
def test_the_rest_is_passed_over(message: bytes) -> None:
    assert monitored(message) is None


def test_a_message_that_ends_in_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match="ends within its header"):
        monitored(PRE_POLICY[:30])


@pytest.mark.parametrize(
    ("told", "clusters", "originator"),
    [
        # bgpd adds its own cluster to what an internal peer sent, and an ORIGINATOR_ID where there is none
        (("10.0.0.9",), (), None),
        (("10.0.0.9", "10.0.0.7"), ("10.0.0.7",), "10.0.0.5"),
        ((), (), "10.0.0.5"),
    ],
)
def test_reflection_marks_are_undone(told: tuple[str, ...], clusters: tuple[str, ...], originator: str | None) -> None:
    given = PathAttributes(
        as_path=(Segment(SegmentType.AS_SEQUENCE, (64501,)),),
        originator_id=Address("10.0.0.5"),
        cluster_list=tuple(map(Address, told)),
    )
    undone = as_received(given, None, Address("10.0.0.9"))
    assert (undone.cluster_list, undone.originator_id) == (clusters, originator)
