"""Two and three speakers back to back: routes spread, carry what each hop adds, and are gone again."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from back_to_back import Room, path, told
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.attributes import BgpRole, Family, PathAttributes, Prefix

P = Prefix("203.0.113.0/24")


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


def test_within_an_as_a_full_mesh_needs_no_reflection_and_a_reflector_needs_no_mesh() -> None:
    """edge and far hear of the route by one iBGP hop, or over the reflector; nobody loops it."""
    client: dict[str, Any] = {"route_reflector_client": True}
    for reflected in (False, True):
        room = Room()
        room.add("outside", 65009)
        for node in ("edge", "core", "far"):
            room.add(node, 65000)
        room.connect("outside", "edge")
        itself = {"next_hop_self": True}
        room.connect("core", "edge", left_is=client if reflected else None, right_is=itself)
        room.connect("core", "far", left_is=client if reflected else None)
        if not reflected:
            room.connect("edge", "far", left_is=itself)
        room.speakers["outside"].originate(P, PathAttributes(), 0)
        room.run()
        (at_far,) = (fact for fact in room.speakers["far"].loc_rib(P) if fact.best)
        assert at_far.attributes.as_path == path(65009)
        assert at_far.attributes.cluster_list == (("10.255.0.3",) if reflected else ())
        assert at_far.attributes.originator_id == ("10.255.0.2" if reflected else None)
        assert len(room.speakers["edge"].loc_rib(P)) == 1  # nothing comes back to where it came from
        room.speakers["outside"].withdraw_origin(P, 0)
        room.run()
        assert all(made.loc_rib() == [] for made in room.speakers.values())


def test_two_reflectors_that_are_each_others_clients_do_not_loop() -> None:
    client: dict[str, Any] = {"route_reflector_client": True}
    room = Room()
    for node in ("r1", "r2", "edge"):
        room.add(node, 65000)
    between = room.connect("r1", "r2", left_is=client, right_is=client)
    to_r1 = room.connect("r1", "edge", left_is=client)
    room.connect("r2", "edge", left_is=client)
    room.speakers["edge"].originate(P, PathAttributes(), 0)
    room.run()
    r1 = room.speakers["r1"]
    assert [(fact.session, fact.reason) for fact in r1.loc_rib(P)] == [(to_r1, ""), (between, "longer CLUSTER_LIST")]
    room.down(to_r1)
    room.run()
    assert [(fact.session, fact.best) for fact in r1.loc_rib(P)] == [(between, True)]
    room.up(to_r1)
    room.run()
    assert [fact.reason for fact in room.speakers["edge"].adj_rib_in_pre(to_r1)] == []
    room.speakers["edge"].withdraw_origin(P, 0)
    room.run()
    assert all(made.loc_rib() == [] for made in room.speakers.values())


def test_roles_keep_a_leak_in_its_valley_over_three_hops() -> None:
    """provider -> customer, who leaks to its other provider by mistake: OTC stops it at the leaker itself."""
    room = Room()
    for node, asn in (("top", 65001), ("leaker", 65002), ("other", 65003)):
        room.add(node, asn)
    down, up = {"local_role": BgpRole.PROVIDER}, {"local_role": BgpRole.CUSTOMER}
    room.connect("top", "leaker", left_is=down, right_is=up)
    session = room.connect("leaker", "other", left_is=up, right_is=down)
    room.speakers["top"].originate(P, PathAttributes(), 0)
    room.run()
    assert [fact.attributes.otc for fact in room.speakers["leaker"].loc_rib(P)] == [65001]
    assert room.speakers["leaker"].withheld(session, P) == "route leak: OTC 65001 is only for customers"
    room.speakers["leaker"].announce_raw(session, [P], room.speakers["leaker"].loc_rib(P)[0].attributes)
    room.run()  # past its own policy: the next one down the line catches it
    (caught,) = room.speakers["other"].adj_rib_in_pre(session)
    assert not caught.accepted
    assert room.speakers["other"].loc_rib() == []


NODES = "abcde"
GRAPHS = st.lists(st.sampled_from(list(combinations(NODES, 2))), min_size=4, max_size=10, unique=True)


def distances(edges: set[tuple[str, str]], start: str) -> dict[str, int]:
    """Hops from ``start`` by breadth-first search."""
    found, frontier = {start: 0}, [start]
    while frontier:
        node = frontier.pop(0)
        for edge in edges:
            if node in edge:
                other = edge[1] if edge[0] == node else edge[0]
                if other not in found:
                    found[other] = found[node] + 1
                    frontier.append(other)
    return found


@settings(max_examples=60, deadline=None)
@given(GRAPHS, st.data())
def test_any_network_of_ases_finds_shortest_paths_and_follows_losses(
    edges: list[tuple[str, str]], data: st.DataObject
) -> None:
    room = Room()
    for number, node in enumerate(NODES, 1):
        room.add(node, 65000 + number)
    sessions = {edge: room.connect(*edge) for edge in edges}
    room.speakers["a"].originate(P, PathAttributes(), 0)
    alive = set(edges)
    for edge in [None, *data.draw(st.lists(st.sampled_from(edges), max_size=4))]:
        if edge in alive:
            alive.discard(edge)
            room.down(sessions[edge])
        elif edge is not None:
            alive.add(edge)
            room.up(sessions[edge])
        room.run()
        reach = distances(alive, "a")
        for node, made in room.speakers.items():
            best = [fact for fact in made.loc_rib(P) if fact.best]
            assert [fact.attributes.path_length() for fact in best] == ([reach[node]] if node in reach else [])
            assert (P in room.fib[node]) is (node in reach)
