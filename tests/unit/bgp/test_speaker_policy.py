"""Policy changes on a running speaker: one step, both ways, no reset, nothing stale (spec S3: DENY ALL and ALLOW)."""

from __future__ import annotations

import pytest
from back_to_back import Ear, attributes, best, hear, negotiated, peer_config, speaker, told

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.bgp.effects import Effects
from peerlab.bgp.policy import Policy, PrefixIn, PrefixRange, SetLocalPref, Statement, Verdict
from peerlab.bgp.speaker import BgpSpeaker
from peerlab.errors import InputError

THEIRS, OURS = "203.0.113.0/24", "198.51.100.0/24"
DENIED, ALLOWED = ("deny-all", "deny-all"), ("accept", "accept")
PEER = peer_config("s", 65001, import_policy="deny-all", export_policy="deny-all")
OTHER = peer_config("other", 65002, number=2)


def under_deny() -> tuple[BgpSpeaker, Ear, Ear]:
    """A session under DENY ALL whose peer has announced a route; both peers' ears."""
    made = speaker(PEER, OTHER)
    made.originate(Prefix(OURS), PathAttributes(), 0)
    hear(made, "s", attributes(65001, next_hop="10.0.1.1"), THEIRS)
    ears = Ear(PEER), Ear(OTHER)
    effects = made.take()
    listen(effects, *ears)
    assert [change.prefix for change in effects.fib] == [OURS]
    return made, *ears


def listen(effects: Effects, ear: Ear, other: Ear) -> None:
    ear.listen(effects, "s")
    other.listen(effects, "other")


def test_deny_all_accepts_and_announces_nothing() -> None:
    made, ear, other = under_deny()
    assert ear.routes == {}
    assert set(other.routes) == {OURS}
    counters = made.counters("s")
    assert (counters.received, counters.accepted, counters.advertised) == (1, 0, 0)


def test_allow_needs_no_refresh_and_deny_takes_everything_back() -> None:
    made, ear, other = under_deny()
    made.set_policy({}, {"s": ALLOWED}, 0)
    effects = made.take()
    listen(effects, ear, other)
    assert set(ear.routes) == {OURS}
    assert set(other.routes) == {OURS, THEIRS}
    assert [(change.kind, change.prefix) for change in effects.fib] == [("unicast", THEIRS)]
    assert effects.close == []
    assert best(made, THEIRS) == "s"

    made.set_policy({}, {"s": DENIED}, 0)
    effects = made.take()
    listen(effects, ear, other)
    assert ear.routes == {}
    assert set(other.routes) == {OURS}
    assert [(change.kind, change.prefix) for change in effects.fib] == [("remove", THEIRS)]
    assert made.adj_rib_in_pre("s")[0].reason == "DENY ALL"
    assert made.counters("s").received == 1


def test_deny_allow_deny_in_one_step_is_seen_by_nobody() -> None:
    made, _, _ = under_deny()
    made.set_policy({}, {"s": ALLOWED}, 0)
    made.set_policy({}, {"s": DENIED}, 0)
    effects = made.take()
    assert (effects.send, effects.fib, effects.close, effects.notices) == ({}, [], [], [])


def test_allow_deny_allow_in_one_step_is_seen_by_nobody() -> None:
    made, ear, other = under_deny()
    made.set_policy({}, {"s": ALLOWED}, 0)
    listen(made.take(), ear, other)
    made.set_policy({}, {"s": DENIED}, 0)
    made.set_policy({}, {"s": ALLOWED}, 0)
    effects = made.take()
    assert (effects.send, effects.fib) == ({}, [])


def test_deny_is_sticky() -> None:
    """New announcements, refresh, a bounce: still nothing (spec POL-03)."""
    made, ear, other = under_deny()
    hear(made, "s", attributes(65001, 7, next_hop="10.0.1.1"), THEIRS, "20.0.0.0/8")
    made.route_refresh("s", PEER.family, 0, 0)
    listen(made.take(), ear, other)
    made.peer_down("s", "bounce", 0)
    made.peer_up("s", negotiated(), 0)
    hear(made, "s", attributes(65001, next_hop="10.0.1.1"), THEIRS)
    listen(made.take(), ear, other)
    assert ear.routes == {}
    assert set(other.routes) == {OURS}
    assert [fact.prefix for fact in made.loc_rib()] == [OURS]


def prefer(value: int) -> Policy:
    """A policy of the same name, with another content."""
    return Policy(name="p", statements=(Statement(name="p", actions=(SetLocalPref(value),), verdict=Verdict.ACCEPT),))


def test_a_policy_replaced_under_its_name_is_in_force_for_all_that_name_it() -> None:
    made = speaker(
        peer_config("a", 65001, import_policy="p"),
        peer_config("b", 65002, number=2, import_policy="p"),
        policies={"p": prefer(50)},
    )
    hear(made, "a", attributes(65001, next_hop="10.0.1.1"), THEIRS)
    hear(made, "b", attributes(65002, next_hop="10.0.2.1"), OURS)
    made.set_policy({"p": prefer(70)}, {}, 0)
    assert {fact.attributes.local_pref for fact in made.loc_rib()} == {70}


def test_only_what_changes_is_told() -> None:
    some = Policy(
        name="some",
        statements=(Statement(name="one", match=(PrefixIn((PrefixRange(Prefix(THEIRS)),)),), verdict=Verdict.ACCEPT),),
    )
    made, _, other = under_deny()
    made.set_policy({}, {"s": ALLOWED}, 0)
    other.listen(made.take(), "other")
    made.set_policy({"some": some}, {"other": ("accept", "some")}, 0)
    effects = made.take()
    other.listen(effects, "other")
    assert set(other.routes) == {THEIRS}
    assert (other.announced, other.withdrawn) == (2, 1)
    assert set(effects.send) == {"other"}


def test_a_refused_change_changes_nothing() -> None:
    made, _, _ = under_deny()
    with pytest.raises(InputError, match=r"peers\.s\.export_policy: there is no policy 'typo'"):
        made.set_policy({"p": prefer(1)}, {"other": DENIED, "s": ("accept", "typo")}, 0)
    with pytest.raises(KeyError):
        made.set_policy({}, {"other": DENIED, "nobody": ALLOWED}, 0)
    with pytest.raises(InputError, match="there is no policy 'p'"):
        made.set_policy({}, {"s": ("p", "p")}, 0)
    assert made.take() == Effects(send={}, fib=[], close=[], notices=[])
    assert set(told(made, "other")) == {OURS}


def test_a_peer_that_is_added_and_removed_leaves_nothing() -> None:
    made, _, other = under_deny()
    made.add_peers([peer_config("new", 65003, number=3)], {}, 0)
    made.peer_up("new", negotiated(3), 0)
    hear(made, "new", attributes(65003, next_hop="10.0.3.1"), "20.0.0.0/8")
    other.listen(made.take(), "other")
    assert set(other.routes) == {OURS, "20.0.0.0/8"}
    made.remove_peers(["new"], 0)
    effects = made.take()
    other.listen(effects, "other")
    assert set(other.routes) == {OURS}
    assert set(effects.send) == {"other"}
    with pytest.raises(KeyError):
        made.counters("new")
