"""A policy statement in words: no condition and no action of the language is without some."""

from __future__ import annotations

from typing import get_args

import pytest

from peerlab.bgp import policy
from peerlab.bgp.attributes import Prefix
from peerlab.bgp.policy import Action, AsnRange, Condition, PrefixRange, Statement, Verdict
from peerlab.report.statement_text import statement_text

TEXTS = [
    (Statement(name="all", verdict=Verdict.ACCEPT), "if any route then accept"),
    (
        Statement(
            name="bogon prefix",
            match=(policy.PrefixIn(ranges=(PrefixRange(Prefix("10.0.0.0/8"), le=32), PrefixRange(Prefix("::/8")))),),
            verdict=Verdict.REJECT,
        ),
        "if the prefix is in 10.0.0.0/8 le 32, ::/8 then reject",
    ),
    (
        Statement(
            name="tag",
            match=(policy.FirstAsIs(asn=64500, invert=True), policy.HasOtc()),
            actions=(policy.AddCommunities(("8075:8007",)), policy.SetLocalPref(200), policy.SetMed(None)),
        ),
        "if the first AS is not 64500 and it carries Only-to-Customer then add community 8075:8007, "
        "set LOCAL_PREF 200, remove MED, go on",
    ),
]


@pytest.mark.parametrize(("statement", "text"), TEXTS, ids=lambda value: getattr(value, "name", ""))
def test_a_statement_reads_as_a_sentence(statement: Statement, text: str) -> None:
    assert statement_text(statement) == text


def test_long_lists_are_counted() -> None:
    asns = tuple(AsnRange(n, n) for n in range(20))
    told = statement_text(Statement(name="x", match=(policy.AsPathContains(asns),), verdict=Verdict.REJECT))
    assert "and 12 more" in told


VALUES = {
    "ranges": (PrefixRange(Prefix("10.0.0.0/8")),), "asns": (AsnRange(1, 2),), "asn": 1, "limit": 1, "times": 1,
    "communities": ("1:1",), "patterns": ("1:*",), "prefixes": (Prefix("10.0.0.0/8"),), "value": 1,
    "sources": (policy.LearnedFrom.EBGP,), "states": ("valid",),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*get_args(Condition), *get_args(Action)], ids=lambda kind: kind.__name__)
def test_every_condition_and_action_of_the_language_has_words(kind: type) -> None:
    made = kind(**{name: VALUES[name] for name in kind.__struct_fields__ if name in VALUES})
    place = "match" if kind in get_args(Condition) else "actions"
    told = statement_text(Statement(name="x", verdict=Verdict.REJECT, **{place: (made,)}))
    assert "None" not in told and len(told) > len("if any route then reject")
