"""Policies written in a file, against the engine that runs them: one row per key of the language."""

from __future__ import annotations

from typing import Any

import pytest

from peerlab.bgp.attributes import PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.policy import LearnedFrom, Policy
from peerlab.bgp.policy_engine import evaluate
from peerlab.topology.load import load_text
from peerlab.topology.schema import json_schema

PREFIX = Prefix("198.18.1.0/24")
ROUTE = PathAttributes(
    as_path=(Segment(SegmentType.AS_SEQUENCE, (64500, 64501)),),
    next_hop="192.0.2.1",  # type: ignore[arg-type]
    communities=("64500:1",),
)


def written(statement: str) -> Policy:
    """The policy that a router of AS64496 gets from one statement in a file."""
    model = load_text(
        f"""
name: lab
ases:
  a: {{asn: 64496, role: isp, peers: [b], routers: {{a-1: }}}}
  b: {{asn: 64497, role: isp, routers: {{b-1: }}}}
links: [{{between: [a-1, b-1], session: {{ends: {{a-1: {{import-policy: mine}}}}}}}}]
policies:
  mine: [{statement}]
""",
        "x.yaml",
    )
    name = model.sessions[0].end("a-1").import_policy
    assert name.partition("@")[0] == "mine"
    return model.policies[name]


MATCHES = [
    # key, what holds of ROUTE, what does not
    ("prefix-in", "[198.18.0.0/16 le 24]", "[198.18.0.0/16 ge 25, 198.18.0.0/16]"),
    ("prefix-not-in", "[198.18.2.0/24]", "[198.18.1.0/24]"),
    ("as-path-contains", "[64501, 1]", "[64502]"),
    ("origin-as-in", "[64501]", "[64500]"),
    ("first-as", "64500", "64501"),
    ("as-path-longer-than", "1", "2"),
    ("community-in", "['64500:*']", "['64501:*']"),
    ("community-not-in", "['64501:*']", "['64500:1']"),
    ("next-hop-in", "[192.0.2.0/31]", "[192.0.2.2/31]"),
    ("learned-from", "[ebgp, local]", "[ibgp]"),
    ("rpki", "[not-found]", "[valid, invalid]"),
]


@pytest.mark.parametrize(("key", "holds", "fails"), MATCHES)
def test_a_condition_holds_or_does_not(key: str, holds: str, fails: str) -> None:
    for value, accepted in ((holds, True), (fails, False)):
        policy = written(f"{{name: it, match: {{{key}: {value}}}, then: accept}}")
        assert evaluate(policy, PREFIX, ROUTE, LearnedFrom.EBGP).accepted is accepted, f"{key}: {value}"


def test_conditions_that_are_true_or_nothing() -> None:
    sets = PathAttributes(as_path=(Segment(SegmentType.AS_SET, (1, 2)),))
    twice = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, (7, 7)),))
    for key, route in (("as-path-has-set", sets), ("as-path-prepended", twice)):
        policy = written(f"{{name: it, match: {{{key}: true}}, then: accept}}")
        assert evaluate(policy, PREFIX, route).accepted
        assert not evaluate(policy, PREFIX, ROUTE).accepted


def test_the_table_has_every_condition_of_the_language() -> None:
    keys = set(json_schema()["$defs"]["Match"]["properties"])
    assert keys == {key for key, _, _ in MATCHES} | {"as-path-has-set", "as-path-prepended"}


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("local-pref: 250", "local_pref", 250),
        ("med: 9", "med", 9),
        ("add-communities: ['1:2']", "communities", ("1:2", "64500:1")),
        ("remove-communities: ['64500:*']", "communities", ()),
    ],
)
def test_an_action_changes_the_route(change: str, field: str, value: Any) -> None:
    policy = written(f"{{name: it, set: {{{change}}}, then: accept}}")
    assert getattr(evaluate(policy, PREFIX, ROUTE).attributes, field) == value


def test_prepending_uses_the_own_as_so_that_each_as_has_its_own_copy() -> None:
    policy = written("{name: it, set: {prepend: 2}, then: accept}")
    assert policy.name == "mine@a"
    assert evaluate(policy, PREFIX, ROUTE).attributes.asns() == (64496, 64496, 64500, 64501)


def test_what_no_statement_decides_is_rejected() -> None:
    """RFC 8212."""
    judged = evaluate(written("{name: it, set: {med: 1}}"), PREFIX, ROUTE)
    assert (judged.accepted, judged.statement) == (False, "default")


def test_the_name_is_the_reason() -> None:
    assert evaluate(written("{name: not today, then: reject}"), PREFIX, ROUTE).statement == "not today"
