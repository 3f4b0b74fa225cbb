"""Origin validation on a running speaker: VRPs come and go, routes follow both ways, no session is reset."""

from __future__ import annotations

from back_to_back import Ear, attributes, best, hear, peer_config, speaker

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.policy import (
    AddCommunities,
    CommunityIn,
    Discard,
    Policy,
    RemovePrivateAses,
    RpkiIs,
    Statement,
    Verdict,
)
from peerlab.bgp.speaker import BgpSpeaker

ROUTE, MORE, OTHER = "203.0.113.0/24", "203.0.113.0/25", "198.51.100.0/24"
PRIVATE = 64512
NO_EXPORT = "65535:65281"
INVALID_OUT = Statement(name="RPKI Invalid", match=(RpkiIs(("invalid",)),), verdict=Verdict.REJECT)
ALL = Statement(name="all", verdict=Verdict.ACCEPT)
ROV = Policy(name="rov", statements=(INVALID_OUT, ALL))
STRIP = Policy(name="strip", statements=(Statement(name="public", actions=(RemovePrivateAses(),)), INVALID_OUT, ALL))
DROP = Policy(
    name="drop",
    statements=(
        Statement(
            name="blackhole",
            match=(CommunityIn(("65535:666",)),),
            actions=(Discard(), AddCommunities((NO_EXPORT,))),
            verdict=Verdict.ACCEPT,
        ),
        ALL,
    ),
)
POLICIES = {policy.name: policy for policy in (ROV, STRIP, DROP)}
IN = peer_config("in", 64501, 64500, import_policy="rov", number=1)
OUT = peer_config("out", 64502, 64500, number=2)


def vrp(prefix: str, asn: int, longest: int | None = None) -> Vrp:
    return Vrp(Prefix(prefix), asn, longest)


def fact(made: BgpSpeaker, prefix: str, session: str = "in") -> tuple[bool, str, str]:
    (found,) = made.adj_rib_in_pre(session, Prefix(prefix))
    return found.accepted, found.reason, found.rpki


def listening(*configs: object) -> tuple[BgpSpeaker, Ear]:
    made = speaker(*configs, asn=64500, policies=POLICIES)  # type: ignore[arg-type]
    ear = Ear(OUT)
    for prefix in (ROUTE, MORE, OTHER):
        hear(made, "in", attributes(64501, next_hop="10.0.1.1"), prefix)
    ear.listen(made.take(), "out")
    return made, ear


def test_a_roa_that_comes_rejects_and_one_that_goes_accepts_again_and_neighbours_are_told() -> None:
    made, ear = listening(IN, OUT)
    assert set(ear.routes) == {ROUTE, MORE, OTHER}
    assert made.set_vrps([vrp(ROUTE, 64509, 25)], 0) == 2, "the route itself and the more specific, no other"
    effects = made.take()
    ear.listen(effects, "out")
    assert set(ear.routes) == {OTHER}
    assert fact(made, ROUTE) == (False, "RPKI Invalid", "invalid")
    assert fact(made, OTHER) == (True, "all", "not-found")
    assert effects.close == []
    made.set_vrps([vrp(ROUTE, 64509, 25), vrp(ROUTE, 64501)], 0)
    ear.listen(made.take(), "out")
    assert set(ear.routes) == {ROUTE, OTHER}
    assert (fact(made, ROUTE)[2], fact(made, MORE)[2]) == ("valid", "invalid")
    made.set_vrps([], 0)
    ear.listen(made.take(), "out")
    assert set(ear.routes) == {ROUTE, MORE, OTHER}, "without VRPs everything is not-found, nothing invalid"
    assert fact(made, ROUTE) == (True, "all", "")


def test_the_same_payloads_again_judge_nothing() -> None:
    made, _ = listening(IN, OUT)
    made.set_vrps([vrp(ROUTE, 64501)], 0)
    assert made.set_vrps([vrp(ROUTE, 64501)], 0) == 0


def test_a_policy_that_does_not_ask_is_not_touched_but_its_routes_show_their_state() -> None:
    made, ear = listening(peer_config("in", 64501, 64500, number=1), OUT)
    assert made.set_vrps([vrp(ROUTE, 64509)], 0) == 0
    ear.listen(made.take(), "out")
    assert ROUTE in ear.routes
    assert fact(made, ROUTE) == (True, "all welcome", "invalid")


def test_what_this_as_originates_is_validated_with_its_own_number() -> None:
    made = speaker(peer_config("out", 64502, 64500, number=2, export_policy="rov"), asn=64500, policies=POLICIES)
    ear = Ear(OUT)
    made.set_vrps([vrp(ROUTE, 64500), vrp(OTHER, 64509)], 0)
    for prefix in (ROUTE, OTHER):
        made.originate(Prefix(prefix), PathAttributes(), 0)
    ear.listen(made.take(), "out")
    assert set(ear.routes) == {ROUTE}
    assert made.withheld("out", Prefix(OTHER)) == "RPKI Invalid"
    made.set_vrps([vrp(ROUTE, 64509), vrp(OTHER, 64500)], 0)
    ear.listen(made.take(), "out")
    assert set(ear.routes) == {OTHER}


def test_an_export_is_validated_with_the_origin_that_is_left_after_path_edits() -> None:
    """RFC 8893 section 3: not with the private AS that the receiver never sees."""
    made = speaker(IN, peer_config("out", 64502, 64500, number=2, export_policy="strip"), asn=64500, policies=POLICIES)
    ear = Ear(OUT)
    hear(made, "in", attributes(64501, PRIVATE, next_hop="10.0.1.1"), ROUTE, OTHER)
    made.set_vrps([vrp(OTHER, PRIVATE), vrp(OTHER, 1)], 0)
    ear.listen(made.take(), "out")
    assert set(ear.routes) == {ROUTE}, "valid for the private AS, invalid for the one that is left"
    made.set_policy({}, {"in": ("accept", "accept")}, 0)
    made.set_vrps([vrp(OTHER, 64501)], 0)
    ear.listen(made.take(), "out")
    assert set(ear.routes) == {ROUTE, OTHER}, "the other way round"
    assert ear.routes[OTHER].asns() == (64500, 64501)


def test_a_discarded_route_is_dropped_in_the_kernel_and_told_to_no_other_as() -> None:
    made = speaker(peer_config("in", 64501, 64500, import_policy="drop", number=1), OUT, asn=64500, policies=POLICIES)
    ear = Ear(OUT)
    marked = attributes(64501, next_hop="10.0.1.1", communities=("65535:666",))
    hear(made, "in", marked, "203.0.113.7/32")
    hear(made, "in", attributes(64501, next_hop="10.0.1.1"), ROUTE)
    effects = made.take()
    ear.listen(effects, "out")
    assert {change.prefix: change.kind for change in effects.fib} == {"203.0.113.7/32": "blackhole", ROUTE: "unicast"}
    assert set(ear.routes) == {ROUTE}
    assert best(made, "203.0.113.7/32") == "in"
    hear(made, "in", attributes(64501, next_hop="10.0.1.1"), "203.0.113.7/32")
    assert [(change.prefix, change.kind) for change in made.take().fib] == [("203.0.113.7/32", "unicast")]
