"""A failed statement shows the routes that came nearest, by what they differ in."""

from __future__ import annotations

from peerlab.bgp.attributes import PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.route_fact import RouteFact
from peerlab.evidence.snapshot import NodeSnapshot, Snapshot
from peerlab.evidence.trace import Trace
from peerlab.pytest_plugin.near_miss import failure_text, near_misses, unmet
from peerlab.topology.model import LabModel, Node, NodeKind
from peerlab.verify.evidence import Evidence
from peerlab.verify.temporal import always, never, route

PREFIX = Prefix("198.18.33.0/24")
MODEL = LabModel(name="x", nodes=(Node(name="r1", kind=NodeKind.EXABGP),))


def attributes(*path: int, **more: object) -> PathAttributes:
    return PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, path),), **more)  # type: ignore[arg-type]


def evidence(*facts: RouteFact) -> Evidence:
    seen = NodeSnapshot(node="r1", loc_rib=facts, adj_rib_in_pre={"s": facts})
    return Evidence(MODEL, (), Trace(), {"now": Snapshot(label="now", at=1, nodes={"r1": seen})})


def fact(prefix: str, found: PathAttributes, **more: object) -> RouteFact:
    return RouteFact(prefix=Prefix(prefix), session="s", attributes=found, **more)  # type: ignore[arg-type]


def test_every_condition_that_is_not_met_is_named_with_both_values() -> None:
    wanted = route(
        prefix=PREFIX, as_path="64500", contains_as=64501, communities=("64500:1",), med=5, local_pref=200, otc=64500
    )
    told = unmet(wanted, Prefix("198.18.34.0/24"), attributes(64502, communities=("64500:2",), med=6))
    assert [line.split(":")[0] for line in told] == [
        "prefix", "as_path", "contains_as", "communities", "med", "local_pref", "otc",
    ]  # fmt: skip
    assert "med: wanted 5, is 6" in told
    assert "otc: wanted 64500, is none" in told
    assert unmet(route(prefix=PREFIX, contains_as=64501), PREFIX, attributes(64500, 64501)) == ()


def test_the_nearest_come_first_and_another_prefix_is_farthest() -> None:
    found = near_misses(
        route(prefix=PREFIX, med=5, local_pref=200).at("r1").best,
        evidence(
            fact("203.0.113.0/24", attributes(64500, med=5, local_pref=200)),
            fact(PREFIX, attributes(64500)),
            fact(PREFIX, attributes(64501, med=5), reason="longer AS_PATH"),
        ),
    )
    assert len(found) == 3
    assert "local_pref: wanted 200, is none" in found[0]
    assert "(not best: longer AS_PATH)" in found[0]
    assert "med: wanted 5, is none; local_pref" in found[1]
    assert "prefix: wanted" in found[2]


def test_a_route_that_policy_rejected_says_so() -> None:
    rejected = fact(PREFIX, attributes(64500), accepted=False, reason="bogon prefix")
    (line,) = near_misses(route(prefix=PREFIX, med=1).at("r1").post_policy, evidence(rejected))
    assert "received by r1 (rejected: bogon prefix)" in line


def test_the_text_holds_the_sentence_the_reason_and_the_place_of_the_evidence() -> None:
    seen = evidence(fact(PREFIX, attributes(64500)))
    wanted, banned = always(route(prefix=PREFIX, med=1).at("r1").best), never(route().sent_to("r1"))
    for statement, near in ((wanted, True), (banned, False)):
        text = failure_text(statement, statement.judge(seen), seen, "/state/lab")
        assert str(statement) in text
        assert ("nearest routes:" in text) is near
        assert "wire: none" in text
        assert text.endswith("evidence: /state/lab")
