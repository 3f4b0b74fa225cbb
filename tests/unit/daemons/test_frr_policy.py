"""A policy becomes a route-map: what one entry can ask stands in it, the rest guards it."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.policy import (
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    CommunityIn,
    HasOtc,
    LearnedFrom,
    LearnedFromIs,
    NextHopSelf,
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
from peerlab.daemons.frr_policy import EXPORT, Direction, RouteMap, prefix_range
from peerlab.errors import Unsupported

IMPORT = Direction(LearnedFrom.EBGP)
PREFIX = PrefixIn((PrefixRange(Prefix("198.18.0.0/16"), le=24),))


def lines(*statements: Statement, direction: Direction = IMPORT, default: Verdict = Verdict.REJECT) -> list[str]:
    policy = Policy(name="one policy", statements=statements, default=default)
    made = RouteMap(policy, Family.IPV4, direction)
    return [line.replace(made.definition.name, "MAP") for line in made.definition.lines if "description" not in line]


def test_a_statement_of_one_condition_is_one_entry_and_the_accepted_are_marked() -> None:
    assert [line.split(" prefixes-")[0] for line in lines(
        Statement(name="good", match=(PREFIX,), actions=(SetLocalPref(200),), verdict=Verdict.ACCEPT)
    )] == [
        "route-map MAP permit 5", " match ip address prefix-list", " set local-preference 200", " on-match goto 15",
        "exit", "route-map MAP deny 10", "exit", "route-map MAP permit 15", " set tag 1", "exit",
    ]  # fmt: skip


def test_a_second_condition_of_a_kind_guards_the_entry_with_its_opposite() -> None:
    both = Statement(name="both", match=(AsPathHasSet(), AsPathContains((AsnRange(64500, 64500),))),
                     verdict=Verdict.REJECT)  # fmt: skip
    made = RouteMap(Policy(name="p", statements=(both,)), Family.IPV4, IMPORT)
    guard = next(line for line in made.definition.lines if "match as-path" in line).split()[-1]
    text = [line for one in made.definitions for line in one.lines if f" {guard} " in line]
    assert [line.split(" seq ")[1] for line in text] == ["5 deny _64500_", "10 permit .*"]
    assert made.definition.lines[:4][-1].strip() == "on-match goto 15"


def test_a_list_of_two_sorts_of_communities_needs_a_guard_that_neither_passes() -> None:
    said = lines(Statement(name="s", match=(CommunityIn(("1:2", "1:2:3")),), verdict=Verdict.ACCEPT))
    assert [line.split()[1] for line in said if line.startswith(" match")] == ["community", "large-community"]


def test_actions_of_one_kind_stand_in_entries_of_their_own_in_order() -> None:
    actions = (RemoveCommunities(("1:*",)), AddCommunities(("1:2",)), Prepend(64500, 2), SetMed(3), SetMed(4))
    said = lines(Statement(name="s", actions=actions, verdict=Verdict.ACCEPT), direction=EXPORT)
    kinds = [line.split()[1] + (line.split()[2] if line.split()[1] == "metric" else "") for line in said
             if line.startswith(" set")]  # fmt: skip
    assert kinds == ["comm-list", "community", "as-path", "metric3", "metric4"]
    assert said.count(" on-match next") == 2


def test_how_a_route_was_learned_is_known_on_import_and_asked_by_tag_on_export() -> None:
    inside = Statement(name="s", match=(LearnedFromIs((LearnedFrom.IBGP,)),), verdict=Verdict.ACCEPT)
    assert not any("permit 5" in line and "tag" in line for line in lines(inside))
    assert " match tag 2" in lines(inside, direction=EXPORT)
    own_and_theirs = Statement(
        name="s", match=(LearnedFromIs((LearnedFrom.LOCAL, LearnedFrom.EBGP)),), verdict=Verdict.ACCEPT
    )
    assert [line for line in lines(own_and_theirs, direction=EXPORT) if "tag" in line] == [" match tag 2"]


def test_another_policy_has_another_name_and_the_same_one_the_same() -> None:
    def name(value: int) -> str:
        statement = Statement(name="s", actions=(SetLocalPref(value),), verdict=Verdict.ACCEPT)
        return RouteMap(Policy(name="p", statements=(statement,)), Family.IPV4, IMPORT).definition.name

    assert name(1) == name(1) != name(2)


@pytest.mark.parametrize(
    ("statement", "direction", "why"),
    [
        (Statement(name="otc", match=(HasOtc(),)), EXPORT, "cannot ask for OTC"),
        (Statement(name="rov", match=(RpkiIs(("invalid",)),)), IMPORT, "bgpd_rpki"),
        (Statement(name="med", actions=(SetMed(None),)), EXPORT, "cannot take MED away"),
        (Statement(name="hop", actions=(NextHopSelf(),)), IMPORT, "no word for the own address"),
    ],
)
def test_what_frr_has_no_words_for_is_refused_by_name(statement: Statement, direction: Direction, why: str) -> None:
    with pytest.raises(Unsupported, match=f"policy p, statement '{statement.name}'.*{why}"):
        RouteMap(Policy(name="p", statements=(statement,)), Family.IPV4, direction)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (PrefixRange(Prefix("198.18.0.0/16")), "198.18.0.0/16"),
        (PrefixRange(Prefix("198.18.0.0/16"), ge=16, le=24), "198.18.0.0/16 le 24"),
        (PrefixRange(Prefix("0.0.0.0/0"), ge=25), "0.0.0.0/0 ge 25 le 32"),
    ],
)
def test_prefix_ranges(given: PrefixRange, expected: str) -> None:
    assert prefix_range(given) == expected
