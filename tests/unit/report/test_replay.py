"""What counts as disagreement between the findings of a bundle and those made again."""

from __future__ import annotations

import msgspec
import pytest
from report_verdict import ABSENT, ALL, FAILED, OPEN, PASSED, finding

from peerlab.report.replay import Difference, Kind, compare
from peerlab.verify.finding import Finding, Outcome


def kinds(stored: tuple[Finding, ...], again: tuple[Finding, ...]) -> list[tuple[Kind, str]]:
    return [(one.kind, one.check) for one in compare(stored, again)]


def test_the_same_findings_agree() -> None:
    assert compare(ALL, ALL) == ()


def changed(one: Finding, **fields: object) -> Finding:
    return msgspec.structs.replace(one, **fields)


DIFFERENT = [
    # stored, made again, what is said
    ((PASSED,), (changed(PASSED, outcome=Outcome.FAIL),), [(Kind.VERDICT, "POL-01")]),
    ((PASSED,), (changed(PASSED, outcome=Outcome.INCONCLUSIVE),), [(Kind.VERDICT, "POL-01")]),
    ((PASSED, FAILED), (PASSED,), [(Kind.GONE, "POL-02")]),
    ((PASSED,), (PASSED, OPEN), [(Kind.NEW, "VAL-01")]),
    ((PASSED,), (changed(PASSED, summary="other words"),), [(Kind.WORDS, "POL-01")]),
    ((PASSED,), (changed(PASSED, exhibits=()),), [(Kind.WORDS, "POL-01")]),
    ((FAILED,), (changed(FAILED, witness=None),), [(Kind.WORDS, "POL-02")]),
    ((ABSENT, FAILED), (FAILED, ABSENT), []),
]


@pytest.mark.parametrize(("stored", "again", "told"), DIFFERENT)
def test_a_difference_is_named(
    stored: tuple[Finding, ...], again: tuple[Finding, ...], told: list[tuple[Kind, str]]
) -> None:
    assert kinds(stored, again) == told


def test_expectations_share_an_id_and_are_told_apart_by_title_and_place() -> None:
    first = finding("EXPECT", Outcome.PASS, title="never this")
    second = finding("EXPECT", Outcome.PASS, title="always that")
    failed = changed(second, outcome=Outcome.FAIL)
    (one,) = compare((first, second, second), (first, failed, second))
    assert one.kind is Kind.VERDICT
    assert kinds((first, second), (second, first)) == []


def test_a_difference_tells_both_sides() -> None:
    (one,) = compare((PASSED,), (changed(PASSED, outcome=Outcome.FAIL, summary="it leaks"),))
    assert one == Difference(
        kind=Kind.VERDICT,
        check="POL-01",
        what="stored as PASS (as it should be); the evidence gives FAIL (it leaks)",
    )
