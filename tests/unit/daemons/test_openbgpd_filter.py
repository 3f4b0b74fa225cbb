"""A policy becomes filter rules: one question at a time, marks between them, and everything else refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.policy import (
    Action,
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    CommunityIn,
    Condition,
    Discard,
    HasOtc,
    LearnedFrom,
    LearnedFromIs,
    NextHopIn,
    OriginAsIn,
    Policy,
    PrefixIn,
    PrefixRange,
    Prepend,
    RemoveCommunities,
    RemovePrivateAses,
    RpkiIs,
    SetLocalPref,
    SetMed,
    Statement,
    Verdict,
)
from peerlab.daemons.openbgpd import refuse
from peerlab.daemons.openbgpd_filter import MARK, Side, refuses_sets, rules
from peerlab.errors import Unsupported

ME = 64500
PEER = Address("192.0.2.1")
IMPORT, EXPORT = Side(PEER, LearnedFrom.EBGP, ME), Side(PEER, None, ME)
PREFIX = PrefixIn((PrefixRange(Prefix("198.18.0.0/16"), le=24), PrefixRange(Prefix("2001:db8::/32"))))


def made(*statements: Statement, side: Side = EXPORT, default: Verdict = Verdict.REJECT) -> list[str]:
    policy = Policy(name="p", statements=statements, default=default)
    return [line for line in rules(policy, Family.IPV4, side) if not line.startswith("#")]


def saying(condition: Condition) -> list[str]:
    """How a condition is asked, alone in a statement that rejects."""
    lines = made(Statement(name="s", match=(condition,), verdict=Verdict.REJECT))[:-1]
    return [line.removeprefix(f"deny quick to {PEER} ") for line in lines]


def doing(action: Action) -> list[str]:
    lines = made(Statement(name="s", actions=(action,)))[:-1]
    return [found[1] for line in lines if (found := re.fullmatch(rf"match to {PEER} set {{ (.*) }}", line))]


def test_one_condition_that_rejects_is_one_rule_and_the_default_denies() -> None:
    assert made(Statement(name="s", match=(PREFIX,), verdict=Verdict.REJECT)) == [
        f"deny quick to {PEER} prefix {{ 198.18.0.0/16 prefixlen 16 - 24 }}",
        f"deny quick to {PEER}",
    ]


def test_every_condition_passes_its_mark_to_the_next_and_an_opposite_takes_it_off() -> None:
    both = Statement(
        name="s",
        match=(CommunityIn(("8075:1", "8075:1:*")), OriginAsIn((AsnRange(64501, 64510),), invert=True)),
        actions=(SetLocalPref(7),),
        verdict=Verdict.ACCEPT,
    )
    one, two = f"large-community {MARK}:1:1", f"large-community {MARK}:1:2"
    assert made(both) == [
        f"match to {PEER} community 8075:1 set {{ {one} }}",
        f"match to {PEER} large-community 8075:1:* set {{ {one} }}",
        f"match to {PEER} {one} set {{ {two} }}",
        f"match to {PEER} {one} source-as {{ 64501 - 64510 }} set {{ large-community delete {MARK}:1:2 }}",
        f"match to {PEER} {two} set {{ localpref 7 }}",
        f"allow quick to {PEER} {two} set {{ large-community delete {MARK}:*:* }}",
        f"match to {PEER} set {{ large-community delete {MARK}:1:* }}",
        f"deny quick to {PEER}",
    ]


def test_what_enters_is_marked_and_loses_preference_when_it_is_about_to_go() -> None:
    assert made(Statement(name="s", verdict=Verdict.ACCEPT), side=IMPORT)[:4] == [
        f"match from {PEER} set {{ large-community delete {MARK}:*:* }}",
        f"match from {PEER} set {{ large-community {MARK}:2:1 }}",
        f"match from {PEER} community 65535:0 set {{ localpref 0 }}",
        f"allow quick from {PEER} set {{ large-community delete {MARK}:1:* }}",
    ]


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        (AsPathContains((AsnRange(1, 1), AsnRange(5, 9))), ["AS { 1, 5 - 9 }"]),
        (NextHopIn((Prefix("192.0.2.7/32"),)), ["nexthop 192.0.2.7"]),
        (LearnedFromIs((LearnedFrom.IBGP, LearnedFrom.LOCAL)),
         [f"large-community {MARK}:2:2", f"large-community {MARK}:2:3"]),
        (PrefixIn((PrefixRange(Prefix("10.0.0.0/8"), ge=24, le=24),)), ["prefix { 10.0.0.0/8 prefixlen = 24 }"]),
        (PrefixIn((PrefixRange(Prefix("2001:db8::/32")),)), []),
    ],
)  # fmt: skip
def test_conditions(condition: Condition, asked: list[str]) -> None:
    assert saying(condition) == asked


@pytest.mark.parametrize(
    ("action", "done"),
    [
        (SetMed(3), ["metric 3", f"large-community {MARK}:4:1"]),
        (AddCommunities(("64500:1", "NO_EXPORT", "64500:1:2")),
         ["community 64500:1", "community 65535:65281", "large-community 64500:1:2"]),
        (RemoveCommunities(("8075:*", "64500:*:*")),
         ["community delete 8075:*", "large-community delete 64500:*:*"]),
        (Prepend(ME, 2), ["prepend-self 2"]),
        (Prepend(ME, 0), []),
        (Discard(), [f"large-community {MARK}:3:1"]),
    ],
)  # fmt: skip
def test_actions(action: Action, done: list[str]) -> None:
    assert doing(action) == done


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (HasOtc(), "no words for a route that carries OTC"),
        (RpkiIs(("valid",)), "no words for origin validation"),
        (AsPathHasSet(), "a path that holds a set"),
        (NextHopIn((Prefix("192.0.2.0/24"),)), "addresses only, not with 192.0.2.0/24"),
        (CommunityIn(("*:1:1",)), "own marks"),
        (CommunityIn((f"{MARK}:1:1",)), "own marks"),
        (SetMed(None), "MED cannot be taken off"),
        (RemovePrivateAses(), "private AS numbers"),
        (Prepend(64501, 1), "only its own AS 64500"),
        (Prepend(ME, 200), "0 to 128 times"),
        (RemoveCommunities(("*:*:*",)), "own marks"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(part: Condition | Action, words: str) -> None:
    actions, match = ((part,), ()) if isinstance(part, Action) else ((), (part,))
    with pytest.raises(Unsupported, match=f"policy p, statement 'odd': .*{re.escape(words)}"):
        made(Statement(name="odd", match=match, actions=actions, verdict=Verdict.ACCEPT))


def imports(*statements: Statement) -> Policy:
    return Policy(name="p", statements=statements)


NO_SETS = Statement(name="no sets", match=(AsPathHasSet(),), verdict=Verdict.REJECT)
NO_OWN = Statement(name="not own", match=(PREFIX,), verdict=Verdict.REJECT)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([NO_SETS], True),
        ([NO_OWN, NO_SETS], True),
        ([Statement(name="all", verdict=Verdict.ACCEPT), NO_SETS], False),
        ([Statement(name="changed", actions=(SetLocalPref(1),)), NO_SETS], False),
        ([NO_OWN], False),
    ],
)
def test_sets_are_refused_by_the_neighbour_where_nothing_was_accepted_before(
    statements: Iterable[Statement], expected: bool
) -> None:
    policy = imports(*statements)
    assert refuses_sets(policy) is expected
    if expected:
        refuse(policy, Family.IPV4)
        assert not any("set }" in line for line in rules(policy, Family.IPV4, IMPORT) if "no sets" in line)
