"""What typed policy becomes in BIRD's filter language, and what is refused by name."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.policy import (
    Action,
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    AsPathLongerThan,
    AsPathPrepended,
    CommunityIn,
    Condition,
    Discard,
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
    RemovePrivateAses,
    RpkiIs,
    SetLocalPref,
    SetMed,
    Statement,
    Verdict,
)
from peerlab.daemons.bird_filter import action_lines, condition_text, decided_by, function
from peerlab.errors import Unsupported

V4, V6 = Family.IPV4, Family.IPV6
BLOCK = PrefixRange(Prefix("198.18.0.0/16"), le=24)
EXACT = PrefixRange(Prefix("2001:db8::/32"))


@pytest.mark.parametrize(
    ("condition", "family", "text"),
    [
        (PrefixIn((BLOCK, EXACT)), V4, "(net ~ [ 198.18.0.0/16{16,24} ])"),
        (PrefixIn((BLOCK, EXACT)), V6, "(net ~ [ 2001:db8::/32 ])"),
        (PrefixIn((PrefixRange(Prefix("0.0.0.0/0"), ge=25),)), V4, "(net ~ [ 0.0.0.0/0{25,32} ])"),
        # nothing of this family is in the set, so nothing matches, and everything matches its opposite
        (PrefixIn((BLOCK,)), V6, "(false)"),
        (PrefixIn((BLOCK,), invert=True), V6, "! (false)"),
        (AsPathContains((AsnRange(64512, 65534), AsnRange(0, 0))), V4, "(bgp_path ~ [ 0, 64512..65534 ])"),
        # what overlaps would not be found in BIRD's tree
        (AsPathContains((AsnRange(5, 9), AsnRange(1, 6), AsnRange(7, 7))), V4, "(bgp_path ~ [ 1..9 ])"),
        # 0 is BIRD's word for "no origin AS"
        (OriginAsIn((AsnRange(64500, 64500),)), V4, "(bgp_path.last != 0 && bgp_path.last ~ [ 64500 ])"),
        (FirstAsIs(8075, invert=True), V4, "! (bgp_path.first = 8075)"),
        (AsPathLongerThan(100), V4, "(bgp_path.len > 100)"),
        (AsPathHasSet(), V4, "path_has_set()"),
        (AsPathPrepended(), V4, "path_is_prepended()"),
        (CommunityIn(("8075:8007", "8075:1", "8075:1")), V4, "(bgp_community ~ [ (8075, 8007), (8075, 1) ])"),
        (
            CommunityIn(("8075:*", "8075:1", "*:1")),
            V4,
            "(bgp_community ~ [ (8075, 1) ] || bgp_community ~ [ (8075, *) ] || bgp_community ~ [ (*, 1) ])",
        ),
        (CommunityIn(("GRACEFUL_SHUTDOWN",)), V4, "(bgp_community ~ [ (65535, 0) ])"),
        (
            CommunityIn(("8075:1", "8075:1:*"), invert=True),
            V4,
            "! (bgp_community ~ [ (8075, 1) ] || bgp_large_community ~ [ (8075, 1, *) ])",
        ),
        # an undefined next hop would end the filter with an error
        (
            NextHopIn((Prefix("192.0.2.0/24"), Prefix("2001:db8::/32"))),
            V4,
            "(defined(bgp_next_hop) && (bgp_next_hop ~ 192.0.2.0/24))",
        ),
        (LearnedFromIs((LearnedFrom.LOCAL,)), V4, "(source = RTS_STATIC)"),
        (
            LearnedFromIs((LearnedFrom.EBGP, LearnedFrom.LOCAL)),
            V4,
            "((source = RTS_BGP && lab_source ~ [ 1 ]) || source = RTS_STATIC)",
        ),
        (HasOtc(), V4, "(defined(bgp_otc))"),
        (RpkiIs(("invalid",)), V6, "(roa_check(vrps_v6, net, path_origin()) = ROA_INVALID)"),
    ],
)
def test_a_condition_becomes_an_expression(condition: Condition, family: Family, text: str) -> None:
    assert condition_text(condition, family) == text


@pytest.mark.parametrize(
    ("action", "lines"),
    [
        (SetLocalPref(0), ["bgp_local_pref = 0;"]),
        (SetMed(7), ["bgp_med = 7;"]),
        (SetMed(None), ["unset(bgp_med);"]),
        (AddCommunities(("8075:8007", "64500:1:2")), ["bgp_community.add((8075, 8007));",
                                                      "bgp_large_community.add((64500, 1, 2));"]),
        (RemoveCommunities(("8075:*", "8075:*:*")), ["bgp_community.delete([ (8075, *) ]);",
                                                     "bgp_large_community.delete([ (8075, *, *) ]);"]),
        (RemoveCommunities(("8075:*", "8075:1")), ["bgp_community.delete([ (8075, 1) ]);",
                                                   "bgp_community.delete([ (8075, *) ]);"]),
        (Prepend(64500, 2), ["bgp_path.prepend(64500);", "bgp_path.prepend(64500);"]),
        (Prepend(64500, 0), []),
        (NextHopSelf(), ["bgp_next_hop = own_address;"]),
        (RemovePrivateAses(), ["bgp_path.delete([ 64512..65534, 4200000000..4294967294 ]);"]),
        (Discard(), ["dest = RTD_BLACKHOLE;"]),
    ],
)  # fmt: skip
def test_an_action_becomes_statements(action: Action, lines: list[str]) -> None:
    assert action_lines(action) == lines


@pytest.mark.parametrize(
    ("communities", "words"),
    [
        # BIRD's sets of large communities take wildcards at the end only
        (("64500:*:1",), "64500:\\*:1"),
        (("*:1:1",), "\\*:1:1"),
        # a 4-octet AS fits no standard community
        (("4200000000:*",), "above 65535"),
    ],
)
def test_what_bird_has_no_words_for_is_refused_by_name(communities: tuple[str, ...], words: str) -> None:
    policy = Policy(name="odd", statements=(Statement(name="inner", match=(CommunityIn(communities),)),))
    with pytest.raises(Unsupported, match=f"policy odd, statement 'inner'.*{words}"):
        function(1, policy, V4)


def test_a_malformed_community_is_a_mistake_and_not_a_limit() -> None:
    with pytest.raises(ValueError, match="no community"):
        action_lines(AddCommunities(("1:2:3:4",)))


def test_every_statement_leaves_its_number_and_the_default_rejects() -> None:
    policy = Policy(
        name="p",
        statements=(
            Statement(name="marked", actions=(SetMed(1),)),
            Statement(name="refused", match=(AsPathLongerThan(3), HasOtc()), verdict=Verdict.REJECT),
            Statement(name="welcome", verdict=Verdict.ACCEPT),
        ),
    )
    assert function(4, policy, V6) == [
        "function policy_4_v6(ip own_address; bool enters)",
        "{",
        "  # policy p",
        "  # 1: marked",
        "  if true then {",
        "    bgp_med = 1;",
        "  }",
        "  # 2: refused",
        "  if (bgp_path.len > 3) && (defined(bgp_otc)) then {",
        "    lab_statement = 2;",
        "    reject;",
        "  }",
        "  # 3: welcome",
        "  if true then {",
        "    if enters && (65535, 0) ~ bgp_community then bgp_local_pref = 0;",
        "    lab_statement = 3;",
        "    accept;",
        "  }",
        "  lab_statement = 0;",
        "  reject;",
        "}",
    ]
    assert [decided_by(policy, number) for number in (0, 1, 3, 9)] == ["default", "marked", "welcome", "default"]
