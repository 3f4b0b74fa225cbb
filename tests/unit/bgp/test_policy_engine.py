"""Policy, one row per condition and action."""

from __future__ import annotations

from typing import Any

import pytest
from back_to_back import attributes, path

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.origin_validation import OriginValidator, Vrp
from peerlab.bgp.policy import (
    DENY_ALL,
    Action,
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    AsPathLongerThan,
    AsPathPrepended,
    CommunityIn,
    Condition,
    FirstAsIs,
    HasOtc,
    LearnedFrom,
    LearnedFromIs,
    NextHopIn,
    NextHopSelf,
    OriginAsIn,
    Policy,
    PrefixIn,
    PrefixRange,
    Prepend,
    RemoveCommunities,
    RpkiIs,
    SetLocalPref,
    SetMed,
    Statement,
    Verdict,
)
from peerlab.bgp.policy_action import prepended
from peerlab.bgp.policy_engine import CompiledPolicy, evaluate
from peerlab.errors import InputError

PREFIX = Prefix("203.0.113.0/24")
SET_AT_END = PathAttributes(
    as_path=(Segment(SegmentType.AS_SEQUENCE, (1, 2)), Segment(SegmentType.AS_SET, (3, 4))),
    next_hop=Address("192.0.2.1"),
)


def ranges(*given: tuple[str, int | None, int | None]) -> tuple[PrefixRange, ...]:
    return tuple(PrefixRange(Prefix(prefix), ge, le) for prefix, ge, le in given)


def asns(low: int, high: int | None = None) -> tuple[AsnRange, ...]:
    return (AsnRange(low, low if high is None else high),)


ROUTE = attributes(1, 2, 3, communities=("100:1", "200:2"), large_communities=("100:1:1",))

CONDITIONS: list[tuple[Condition, PathAttributes, bool]] = [
    # condition, attributes of 203.0.113.0/24, matches
    (PrefixIn(ranges(("203.0.113.0/24", None, None))), ROUTE, True),  # exactly
    (PrefixIn(ranges(("203.0.112.0/23", None, None))), ROUTE, False),  # a more specific is not it
    (PrefixIn(ranges(("203.0.112.0/23", None, 24))), ROUTE, True),
    (PrefixIn(ranges(("203.0.112.0/20", 25, 32))), ROUTE, False),
    (PrefixIn(ranges(("10.0.0.0/8", None, 32), ("203.0.0.0/16", 20, None))), ROUTE, True),  # any of the ranges
    (PrefixIn(ranges(("203.0.113.0/24", None, None)), invert=True), ROUTE, False),
    (PrefixIn(ranges(("2001:db8::/32", None, 128)), invert=True), ROUTE, True),  # other family: not in it
    (AsPathContains(asns(2)), ROUTE, True),
    (AsPathContains(asns(4, 9)), ROUTE, False),
    (AsPathContains(asns(3, 9)), ROUTE, True),
    (AsPathContains(asns(4)), SET_AT_END, True),  # members of a set count
    (OriginAsIn(asns(3)), ROUTE, True),
    (OriginAsIn(asns(1)), ROUTE, False),
    (OriginAsIn(asns(1), invert=True), ROUTE, True),
    (OriginAsIn(asns(3, 4)), SET_AT_END, False),  # no origin AS
    (OriginAsIn(asns(3, 4), invert=True), SET_AT_END, True),
    (OriginAsIn(asns(0, 65535)), attributes(), False),
    (FirstAsIs(1), ROUTE, True),
    (FirstAsIs(3), ROUTE, False),
    (FirstAsIs(1, invert=True), ROUTE, False),
    (AsPathLongerThan(2), ROUTE, True),
    (AsPathLongerThan(3), ROUTE, False),  # over, not at
    (AsPathLongerThan(3), SET_AT_END, False),  # a set counts 1
    (AsPathHasSet(), ROUTE, False),
    (AsPathHasSet(), SET_AT_END, True),
    (AsPathPrepended(), ROUTE, False),
    (AsPathPrepended(), attributes(1, 2, 2), True),
    (AsPathPrepended(), attributes(2, 1, 2), False),  # twice, but not in a row
    (CommunityIn(("100:1",)), ROUTE, True),
    (CommunityIn(("100:2",)), ROUTE, False),
    (CommunityIn(("100:*",)), ROUTE, True),
    (CommunityIn(("300:*", "*:2")), ROUTE, True),
    (CommunityIn(("100:1:*",)), ROUTE, True),  # large
    (CommunityIn(("200:*:*",)), ROUTE, False),  # a standard one is not large
    (CommunityIn(("100:1",), invert=True), ROUTE, False),
    (CommunityIn(("100:1",)), attributes(1, large_communities=("100:1:1",)), False),
    (NextHopIn((Prefix("192.0.2.1/32"),)), ROUTE, True),
    (NextHopIn((Prefix("192.0.2.0/24"),)), ROUTE, True),
    (NextHopIn((Prefix("198.51.100.0/24"),)), ROUTE, False),
    (NextHopIn((Prefix("198.51.100.0/24"),), invert=True), ROUTE, True),
    (NextHopIn((Prefix("0.0.0.0/0"),)), attributes(1, next_hop=None), False),
    (LearnedFromIs((LearnedFrom.EBGP,)), ROUTE, True),
    (LearnedFromIs((LearnedFrom.IBGP, LearnedFrom.LOCAL)), ROUTE, False),
    (HasOtc(), ROUTE, False),
    (HasOtc(), attributes(1, otc=7), True),
    (RpkiIs(("valid",)), attributes(1, 64500), True),
    (RpkiIs(("invalid",)), attributes(1, 64501), True),
    (RpkiIs(("valid", "invalid")), attributes(1, 64501), True),
    (RpkiIs(("not-found",)), attributes(1, 64500), False),
]
VRPS = OriginValidator([Vrp(PREFIX, 64500)])


@pytest.mark.parametrize("condition, given, matches", CONDITIONS, ids=[repr(row[0])[:60] for row in CONDITIONS])
def test_condition(condition: Condition, given: PathAttributes, matches: bool) -> None:
    policy = Policy(name="p", statements=(Statement(name="hit", match=(condition,), verdict=Verdict.ACCEPT),))
    judgement = evaluate(policy, PREFIX, given, validator=VRPS)
    assert judgement.accepted is matches
    assert judgement.statement == ("hit" if matches else "default")


ACTIONS: list[tuple[Action, dict[str, Any]]] = [
    # action on ROUTE, what changes
    (SetLocalPref(50), {"local_pref": 50}),
    (SetMed(7), {"med": 7}),
    (SetMed(None), {"med": None}),
    (AddCommunities(("100:1", "65535:0", "1:2:3")),
     {"communities": ("100:1", "200:2", "65535:0"), "large_communities": ("100:1:1", "1:2:3")}),
    (RemoveCommunities(("100:*",)), {"communities": ("200:2",)}),
    (RemoveCommunities(("100:*:*", "200:2")), {"communities": ("100:1",), "large_communities": ()}),
    (RemoveCommunities(("7:7",)), {}),
    (Prepend(9, 2), {"as_path": path(9, 9, 1, 2, 3)}),
    (Prepend(9, 0), {}),
    (NextHopSelf(), {}),
]  # fmt: skip


@pytest.mark.parametrize("action, changes", ACTIONS, ids=[repr(row[0])[:60] for row in ACTIONS])
def test_action(action: Action, changes: dict[str, Any]) -> None:
    policy = Policy(name="p", statements=(Statement(name="do", actions=(action,), verdict=Verdict.ACCEPT),))
    judgement = evaluate(policy, PREFIX, ROUTE)
    for name in PathAttributes.__struct_fields__:
        assert getattr(judgement.attributes, name) == changes.get(name, getattr(ROUTE, name)), name
    assert judgement.next_hop_self is isinstance(action, NextHopSelf)


def test_all_conditions_of_a_statement_are_required() -> None:
    both = Statement(name="both", match=(FirstAsIs(1), OriginAsIn(asns(9))), verdict=Verdict.ACCEPT)
    assert not evaluate(Policy(name="p", statements=(both,)), PREFIX, ROUTE).accepted
    assert evaluate(Policy(name="p", statements=(both,)), PREFIX, attributes(1, 9)).accepted


def test_next_goes_on_with_the_changed_route_and_the_first_verdict_ends_it() -> None:
    policy = Policy(
        name="p",
        statements=(
            Statement(name="tag", actions=(AddCommunities(("9:9",)),)),
            Statement(
                name="tagged", match=(CommunityIn(("9:9",)),), actions=(SetLocalPref(9),), verdict=Verdict.ACCEPT
            ),
            Statement(name="too late", verdict=Verdict.REJECT),
        ),
    )
    judgement = evaluate(policy, PREFIX, ROUTE)
    assert (judgement.accepted, judgement.statement, judgement.attributes.local_pref) == (True, "tagged", 9)


@pytest.mark.parametrize(
    "policy, accepted, statement",
    [
        (Policy(name="empty"), False, "default"),  # RFC 8212 in small: nobody said anything
        (Policy(name="open", default=Verdict.ACCEPT), True, "default"),
        (DENY_ALL, False, "DENY ALL"),
    ],
)
def test_what_no_statement_decides(policy: Policy, accepted: bool, statement: str) -> None:
    judgement = evaluate(policy, PREFIX, ROUTE)
    assert (judgement.accepted, judgement.statement) == (accepted, statement)


def test_every_prefix_condition_keeps_its_own_place_in_the_mark() -> None:
    """Several prefix lists and a validation state in one policy do not read each other's answer."""
    policy = Policy(
        name="p",
        statements=(
            Statement(name="one", match=(PrefixIn(ranges(("10.0.0.0/8", None, 32))),), verdict=Verdict.ACCEPT),
            Statement(name="two", match=(PrefixIn(ranges(("20.0.0.0/8", None, 32))),), verdict=Verdict.ACCEPT),
            Statement(name="bad", match=(RpkiIs(("invalid",)),), verdict=Verdict.REJECT),
            Statement(
                name="not 30", match=(PrefixIn(ranges(("30.0.0.0/8", None, 32)), invert=True),), verdict=Verdict.ACCEPT
            ),
            Statement(name="one again", match=(PrefixIn(ranges(("10.0.0.0/8", None, 32))),), verdict=Verdict.ACCEPT),
        ),
    )
    validator = OriginValidator([Vrp(Prefix("40.0.0.0/8"), 1, 24)])
    for prefix, statement in (
        ("10.1.0.0/16", "one"),
        ("20.1.0.0/16", "two"),
        ("30.1.0.0/16", "default"),
        ("40.1.0.0/16", "bad"),
        ("50.0.0.0/8", "not 30"),
    ):
        assert evaluate(policy, Prefix(prefix), ROUTE, validator=validator).statement == statement


@pytest.mark.parametrize(
    "broken, text",
    [
        (CommunityIn(("8075",)), "'8075' is no community"),
        (CommunityIn(("1:*", "x:*")), "'x:*' is no community pattern"),
        (PrefixIn(ranges(("10.0.0.0/8", 4, None))), "lie between 8 and 32"),
        (AsPathContains((AsnRange(9, 1),)), "9-1 is no range of AS numbers"),
        (RpkiIs(("unknown",)), "a validation state is one of"),
    ],
)
def test_a_malformed_condition_is_told_when_the_policy_is_made(broken: Condition, text: str) -> None:
    policy = Policy(name="p", statements=(Statement(name="s", match=(broken,), verdict=Verdict.ACCEPT),))
    with pytest.raises(InputError, match=r"policies\.p\.s") as caught:
        CompiledPolicy(policy, Family.IPV4)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "before, asn, times, after",
    [
        ((), 9, 1, path(9)),
        (path(1), 9, 1, path(9, 1)),
        ((Segment(SegmentType.AS_SET, (1, 2)),), 9, 1, (*path(9), Segment(SegmentType.AS_SET, (1, 2)))),
        (path(*range(1, 256)), 9, 1, (*path(9), *path(*range(1, 256)))),  # a segment holds 255
        (path(*range(1, 255)), 9, 2, (*path(9), Segment(SegmentType.AS_SEQUENCE, (9, *range(1, 255))))),
    ],
)
def test_prepending(before: tuple[Segment, ...], asn: int, times: int, after: tuple[Segment, ...]) -> None:
    assert prepended(before, asn, times) == after
