"""Two and three speakers back to back: routes spread, carry what each hop adds, and are gone again."""

from __future__ import annotations

import pytest
from back_to_back import Room, path, told

from peerlab.bgp.attributes import Family, PathAttributes, Prefix


@pytest.mark.parametrize("family, prefix", [(Family.IPV4, "203.0.113.0/24"), (Family.IPV6, "2001:db8:f::/48")])
def test_a_route_spreads_along_a_chain_and_is_withdrawn_completely(family: Family, prefix: str) -> None:
    room = Room()
    for node, asn in (("a", 65001), ("b", 65002), ("c", 65003)):
        room.add(node, asn)
    ab = room.connect("a", "b", family=family)
    bc = room.connect("b", "c", family=family)
    room.speakers["a"].originate(Prefix(prefix), PathAttributes(), 0)
    room.run()

    assert room.fib["a"][prefix].kind == "blackhole"
    assert room.fib["b"][prefix].gateway == ("10.1.1.1" if family is Family.IPV4 else "2001:db8:1::1")
    (at_c,) = room.speakers["c"].loc_rib(Prefix(prefix))
    assert at_c.attributes.as_path == path(65002, 65001)
    assert at_c.attributes.next_hop == ("10.1.2.1" if family is Family.IPV4 else "2001:db8:2::1")
    assert told(room.speakers["b"], ab) == {}  # split horizon
    assert set(told(room.speakers["b"], bc)) == {prefix}
    assert room.speakers["c"].counters(bc).end_of_rib_received

    room.speakers["a"].withdraw_origin(Prefix(prefix), 0)
    room.run()
    for made in room.speakers.values():
        assert made.loc_rib() == []
    assert room.fib == {"a": {}, "b": {}, "c": {}}
    assert told(room.speakers["b"], bc) == {}


def test_a_lost_session_moves_traffic_to_the_other_way_and_back() -> None:
    room = Room()
    for node, asn in (("a", 65001), ("b", 65002), ("c", 65003)):
        room.add(node, asn)
    direct = room.connect("a", "c")
    room.connect("a", "b")
    around = room.connect("b", "c")
    room.speakers["a"].originate(Prefix("203.0.113.0/24"), PathAttributes(), 0)
    room.run()
    c = room.speakers["c"]
    assert [fact.session for fact in c.loc_rib() if fact.best] == [direct]
    room.down(direct)
    room.run()
    assert [fact.session for fact in c.loc_rib() if fact.best] == [around]
    assert room.fib["c"]["203.0.113.0/24"].gateway == "10.1.3.1"
    room.up(direct)
    room.run()
    assert [fact.session for fact in c.loc_rib() if fact.best] == [direct]
    assert room.fib["c"]["203.0.113.0/24"].gateway == "10.1.1.1"
