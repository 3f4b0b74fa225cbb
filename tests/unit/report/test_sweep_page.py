"""The matrix of a sweep: a row per failure, a triangle of pairs, one report per cause with its command."""

from __future__ import annotations

import json

from peerlab.report.sweep_page import Row, sweep_json, sweep_page
from peerlab.verify.finding import Finding, Outcome, Severity
from peerlab.verify.outage import Case, Unit, UnitKind

A, B, C = (Unit(UnitKind.LINK, name) for name in "abc")


def finding(outcome: Outcome, check: str = "SWP-03") -> Finding:
    return Finding(
        check=check, title="Reach", phase="sweep", severity=Severity.CRITICAL, outcome=outcome, summary="h1 > h2"
    )


def row(*units: Unit, outcome: Outcome = Outcome.PASS, shortest: str = "", note: str = "") -> Row:
    return Row(
        case=Case(units), outcome=outcome, seconds=1.0, findings=(finding(outcome),), shortest=shortest, note=note
    )


ROWS = [
    row(A),
    row(B, outcome=Outcome.FAIL, shortest="link:b"),
    row(C, outcome=Outcome.INCONCLUSIVE, note="failed once"),
    row(A, B, outcome=Outcome.FAIL, shortest="link:b"),
    row(A, C),
    row(B, C, outcome=Outcome.FAIL, shortest="link:b"),
    row(Unit(UnitKind.UP, "a"), Unit(UnitKind.UP, "b")),
]
PAGE = sweep_page(ROWS, "peerlab sweep x.yaml --replay")


def test_singles_are_rows_and_pairs_a_triangle() -> None:
    lines = PAGE.splitlines()
    assert "link:a    ." in lines
    assert "link:b    F" in lines
    start = lines.index("pairs")
    assert [line.split()[2:] for line in lines[start + 1 : start + 4]] == [[], ["F"], [".F"]]
    assert "orders  ." in lines


def test_a_cause_is_told_once_with_its_command_and_what_it_explains() -> None:
    assert PAGE.count("FAIL link:") == 1
    assert "again: peerlab sweep x.yaml --replay 'link:b'" in PAGE
    assert "explains: link:a,link:b; link:b,link:c" in PAGE
    assert "INCONCLUSIVE link:c\n    failed once" in PAGE
    assert PAGE.endswith("7 scenarios: 3 PASS, 3 FAIL, 1 INCONCLUSIVE")


def test_colour_is_for_terminals_only() -> None:
    assert "\x1b" not in PAGE
    assert "\x1b[31;1mF" in sweep_page(ROWS, "x", colour=True)


def test_pairs_that_do_not_fit_are_a_line() -> None:
    assert "pairs  F.F" in sweep_page(ROWS, "x", width=10)


def test_the_json_has_every_case_with_its_findings() -> None:
    told = json.loads(sweep_json(ROWS, "x", 3.0))
    assert [case["case"] for case in told["scenarios"]][:2] == ["link:a", "link:b"]
    assert told["scenarios"][1]["shortest"] == "link:b"
    assert told["scenarios"][1]["findings"][0]["check"] == "SWP-03"
