"""A peer that restarts: its routes are kept, refreshed, purged, or dropped (RFC 4724 section 4.2)."""

from __future__ import annotations

import pytest
from back_to_back import attributes, best, bodies, hear, negotiated, peer_config, speaker, told

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.next_hop import NoNextHops
from peerlab.bgp.speaker import BgpSpeaker
from peerlab.bgp.update import end_of_rib

KEPT, LOST = "203.0.113.0/24", "198.51.100.0/24"
NEIGHBOUR = "10.0.1.1"


def restarting() -> BgpSpeaker:
    """A speaker with two routes of the session ``s``, whose peer has just gone; ``o`` is told of them."""
    made = speaker(peer_config("s", 65001), peer_config("o", 65002, number=2))
    hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), KEPT, LOST)
    made.take()
    assert made.peer_restarts("s", 0) == 2
    return made


def come_back(made: BgpSpeaker, *families: Family) -> None:
    made.peer_up("s", negotiated(kept_forwarding=families), 0)


def finish(made: BgpSpeaker) -> None:
    made.receive("s", bodies([end_of_rib(Family.IPV4)]), 0)


def prefixes(made: BgpSpeaker) -> set[str]:
    return {fact.prefix for fact in made.loc_rib() if fact.best}


def test_routes_of_a_restarting_peer_stay_in_use_and_nobody_is_told() -> None:
    made = restarting()
    effects = made.take()
    assert (effects.send, effects.fib) == ({}, [])
    assert prefixes(made) == {KEPT, LOST} == set(told(made, "o"))
    assert {fact.prefix for fact in made.adj_rib_in_pre("s")} == {KEPT, LOST}


def test_end_of_rib_purges_what_was_not_announced_again() -> None:
    made = restarting()
    come_back(made, Family.IPV4)
    hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), KEPT)
    assert prefixes(made) == {KEPT, LOST}
    finish(made)
    assert prefixes(made) == {KEPT}
    effects = made.take()
    assert [(change.prefix, change.kind) for change in effects.fib] == [(LOST, "remove")]
    (notice,) = [notice for notice in effects.notices if notice.kind == "graceful-restart"]
    assert "1 stale routes purged" in notice.text


@pytest.mark.parametrize("families", [(), (Family.IPV6,)], ids=["no F bit", "another family's F bit"])
def test_without_forwarding_kept_the_routes_go_at_once(families: tuple[Family, ...]) -> None:
    made = restarting()
    come_back(made, *families)
    assert prefixes(made) == set()


def test_a_peer_that_does_not_come_back_in_time_loses_its_routes() -> None:
    made = restarting()
    assert made.drop_stale("s") == 2
    assert prefixes(made) == set()
    assert {change.kind for change in made.take().fib} == {"remove"}
    assert made.drop_stale("s") == 0


def test_a_peer_that_never_finishes_loses_what_it_did_not_announce_again() -> None:
    made = restarting()
    come_back(made, Family.IPV4)
    hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), KEPT)
    assert made.drop_stale("s") == 1
    assert prefixes(made) == {KEPT}
    assert made.drop_stale("s") == 0


def test_a_second_restart_ends_the_first_ones_stale_routes() -> None:
    """RFC 4724 section 4.2: routes that were stale already are deleted."""
    made = restarting()
    come_back(made, Family.IPV4)
    hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), KEPT)
    assert made.peer_restarts("s", 0) == 1
    assert prefixes(made) == {KEPT}


def test_a_stale_route_whose_next_hop_is_lost_is_not_used() -> None:
    made = restarting()
    made.set_next_hops(NoNextHops(), 0)
    assert best(made, KEPT) is None


def test_an_ordinary_end_drops_everything_a_restart_had_kept() -> None:
    made = restarting()
    made.peer_down("s", "", 0)
    assert prefixes(made) == set()


def test_a_changed_attribute_replaces_the_stale_route() -> None:
    made = restarting()
    come_back(made, Family.IPV4)
    hear(made, "s", attributes(65001, 65009, next_hop=NEIGHBOUR), KEPT)
    finish(made)
    (fact,) = made.loc_rib(Prefix(KEPT))
    assert fact.attributes.asns() == (65001, 65009)
    assert fact.attributes.next_hop == Address(NEIGHBOUR)
