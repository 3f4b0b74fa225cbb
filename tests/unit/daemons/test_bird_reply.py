"""BIRD 2.0.12's replies, as it gave them, and what is read from them."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import PathAttributes, RawAttribute, Segment, SegmentType
from peerlab.daemons.bird_reply import (
    BirdLiveness,
    as_path,
    attributes_of,
    is_last,
    lines_of,
    liveness,
    routes,
    sessions,
)

ROUTES = """\
1007-Table master4:
 198.18.1.0/24        blackhole [lo4 1795185271.457116] * (200)
1008-\tType: static univ
1007-198.18.33.0/24       unicast [wire.v4 1795185272.496004] * (100) [AS64501i]
 \tvia 198.19.1.129 on to-ams-edge-1
1008-\tType: BGP univ
1012-\tBGP.origin: IGP
 \tBGP.as_path: 64500 64502 {64503 64504}
 \tBGP.next_hop: 192.0.2.1
 \tBGP.med: 7
 \tBGP.local_pref: 200
 \tBGP.community: (8075,8007) (65535,0)
 \tBGP.ext_community: (rt, 1, 2) (generic, 0x43000000, 0x1)
 \tBGP.large_community: (1, 2, 3)
 \tBGP.otc: 64500
 \tlab_statement: 9
 \tlab_source: 1
1007-                     unreachable [other.v4 1795185272.5 from 10.0.0.9] (100/?) [i]
1008-\tType: BGP univ
1012-\tBGP.origin: Incomplete
 \tBGP.as_path:
 \tBGP.next_hop: 10.0.0.9
 \tBGP.originator_id: 10.0.0.7
 \tBGP.cluster_list: 10.0.0.8 10.0.0.9
0000 """

SESSIONS = """\
2002-Name       Proto      Table      State  Since         Info
1002-kernel4    Kernel     fib4       up     1795185271.442833
1006-  Channel ipv4
     State:          UP

1002-wire.v4    BGP        ---        up     1795185272.252930  Established
1006-  Description:    x
   BGP state:          Established
     Neighbor address: 127.0.0.1
     Neighbor AS:      64500
     Neighbor ID:      1.1.1.1
     Local capabilities
       Multiprotocol
         AF announced: ipv4
       Route refresh
       4-octet AS numbers
       Role: peer
     Neighbor capabilities
       Route refresh
       Role: rs_client
     Session:          external multihop AS4
     Source address:   127.0.0.2
     Hold timer:       5.411/9
     Keepalive timer:  0.672/3
   Channel ipv4
     State:          UP
     Routes:         1 imported, 2 filtered, 3 exported, 1 preferred
     Route change stats:     received   rejected   filtered    ignored   accepted
       Import updates:              2          0          1          0          1

1002-down.v6    BGP        ---        down   1795185275.381354
1006-  Description:    x
     Message:        maintenance
   BGP state:          Down

0000 """


def reply(text: str) -> list[str]:
    """The lines as BIRD sends them; a line that it leaves empty has one space."""
    return [line or " " for line in text.split("\n")]


def test_routes_are_read_with_everything_that_bird_tells_of_them() -> None:
    local, best, other = routes(lines_of(reply(ROUTES)))
    assert (local.prefix, local.protocol, local.kind, local.best, local.attributes) == (
        "198.18.1.0/24", "lo4", "static", True, PathAttributes(),
    )  # fmt: skip
    assert (best.best, best.reachable, best.statement, best.source) == (True, True, 9, 1)
    assert best.learned_at == 1795185272_496004000
    given = best.attributes
    assert given.path_text() == "64500 64502 {64503,64504}"
    assert (given.next_hop, given.med, given.local_pref, given.otc) == ("192.0.2.1", 7, 200, 64500)
    assert given.communities == ("65535:0", "8075:8007")
    assert given.large_communities == ("1:2:3",)
    assert [one.hex() for one in given.extended_communities] == ["0002000100000002", "4300000000000001"]
    # the second path of a prefix does not repeat it
    assert (other.prefix, other.protocol, other.best, other.reachable) == ("198.18.33.0/24", "other.v4", False, False)
    assert other.attributes.originator_id == "10.0.0.7"
    assert other.attributes.cluster_list == ("10.0.0.8", "10.0.0.9")
    assert other.attributes.as_path == ()


def test_sessions_are_read_and_other_protocols_are_none() -> None:
    up, down = sessions(lines_of(reply(SESSIONS)))
    assert (up.name, up.state, up.neighbour_id) == ("wire.v4", "Established", "1.1.1.1")
    assert (up.hold_time, up.keepalive) == (9, 3)
    assert (up.imported, up.filtered, up.exported) == (1, 2, 3)
    assert up.local_capabilities == ("multiprotocol", "route refresh", "four octet as", "bgp role")
    assert up.neighbour_role == "rs-client"
    assert (down.name, down.state, down.last_error) == ("down.v6", "Down", "maintenance")


@pytest.mark.parametrize(
    ("line", "last"),
    [
        ("0000 ", True),
        ("9001 syntax error", True),
        ("1007-Table master4:", False),
        (" 198.18.1.0/24", False),
        ("0003 Reconfigured", True),
    ],
)
def test_the_end_of_a_reply_is_seen(line: str, last: bool) -> None:
    assert is_last(line) is last


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("1 2", (Segment(SegmentType.AS_SEQUENCE, (1, 2)),)),
        ("1 {2} 3", (Segment(SegmentType.AS_SEQUENCE, (1,)), Segment(SegmentType.AS_SET, (2,)),
                     Segment(SegmentType.AS_SEQUENCE, (3,)))),
        ("(1 2) 3", (Segment(SegmentType.AS_CONFED_SEQUENCE, (1, 2)), Segment(SegmentType.AS_SEQUENCE, (3,)))),
        ("({1 2})", (Segment(SegmentType.AS_CONFED_SET, (1, 2)),)),
    ],
)  # fmt: skip
def test_as_paths(text: str, path: tuple[Segment, ...]) -> None:
    assert as_path(text) == path


def test_an_attribute_that_bird_does_not_know_keeps_its_octets() -> None:
    assert attributes_of({"BGP.80 [t]": "de ad"}).unknown == (RawAttribute(0xC0, 0x80, b"\xde\xad"),)


@pytest.mark.parametrize("text", ["1007-gibberish", "8003 No protocols match"])
def test_words_that_are_no_route_are_no_empty_table(text: str) -> None:
    with pytest.raises(ValueError, match="no route"):
        list(routes(lines_of([text])))


@pytest.mark.parametrize(
    "found", [{"BGP.as_path": "1 ?"}, {"BGP.ext_community": "(odd, 1, 2)"}, {"BGP.new_thing": "1"}]
)
def test_an_attribute_that_cannot_be_read_is_told(found: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        attributes_of(found)


def test_bfd_sessions_of_both_families_are_read() -> None:
    told = [
        "1020-liveness:",
        "IP address                Interface  State      Since         Interval  Timeout",
        "192.0.2.0                 e0         Up         1795191181.123  0.400    1.200",
        "2001:db8::                e0         Down       1795191182.456  1.000    0.000",
        "0000 ",
    ]
    assert liveness(lines_of(told)) == {
        "192.0.2.0": BirdLiveness("Up", 400, 1200),
        "2001:db8::": BirdLiveness("Down", 1000, 0),
    }
