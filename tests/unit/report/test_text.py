"""The verdict table: every check once, by phase; then what failed with its witness, and what could not be told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_verdict import ABSENT, ALL, FAILED, OPEN, PASSED, exhibit, finding

from peerlab.report.text import verdict_table
from peerlab.verify.finding import Finding, Outcome

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def test_the_whole_table() -> None:
    assert verdict_table(ALL, width=100) == "\n".join(
        [
            "policy",
            "  POL-01  Title of POL-01                PASS          as it should be",
            "  POL-02  Title of POL-02                FAIL          ams-edge-1 accepted 10.0.0.0/8",
            "",
            "validation",
            "  VAL-01  Title of VAL-01                INCONCLUSIVE  no snapshot 'allowed' was taken (and 6 more)",
            "  VAL-02  Title of VAL-02                n/a           this lab has no route server",
            "",
            "FAIL POL-02 Title of POL-02 (critical)",
            "    ams-edge-1 accepted 10.0.0.0/8",
            "    witness: 12:00:00.123 ams-edge-2: seen 2",
            "        " + "ff" * 45 + "f…",
            *(f"    evidence: 12:00:00.123 ams-edge-{n}: seen {n}" for n in range(3, 8)),
            "    and 2 more (--verbose shows them)",
            "",
            "INCONCLUSIVE VAL-01 Title of VAL-01 (major)",
            "    missing: no snapshot 'allowed' was taken",
            *(f"    missing: missing piece {n}" for n in range(1, 5)),
            "    and 2 more (--verbose shows them)",
            "",
            "4 checks: 1 PASS, 1 FAIL, 1 INCONCLUSIVE, 1 n/a",
        ]
    )


def test_verbose_leaves_nothing_out() -> None:
    text = verdict_table(ALL, verbose=True)
    assert [f"seen {n}" for n in range(1, 10) if f"seen {n}" not in text] == []
    assert "missing piece 6" in text
    assert "more (--verbose" not in text
    assert text.count("seen 1") == 2, "of the PASS and of the INCONCLUSIVE"


def test_a_passed_check_keeps_its_evidence_to_itself_unless_asked() -> None:
    assert "seen 1" not in verdict_table([PASSED])
    assert "seen 1" in verdict_table([PASSED], verbose=True)


def test_the_summary_is_told_when_the_missing_pieces_do_not_say_it() -> None:
    text = verdict_table([finding("A-1", Outcome.INCONCLUSIVE, "the check itself broke")])
    assert text.count("the check itself broke") == 2


def test_the_time_is_left_out_where_there_is_none() -> None:
    at_no_time = finding("A-1", Outcome.FAIL, witness=exhibit(1).__class__(at=0, where="model", what="says so"))
    assert "    witness: model: says so\n" in verdict_table([at_no_time])


@pytest.mark.parametrize(
    ("one", "code"), [(PASSED, "32"), (FAILED, "31;1"), (OPEN, "33;1"), (ABSENT, "2")], ids=["pass", "fail", "?", "n/a"]
)
def test_colour_only_when_asked_and_it_changes_no_letter(one: Finding, code: str) -> None:
    coloured = verdict_table([one], colour=True)
    assert f"\x1b[{code}m" in coloured
    assert COLOUR.sub("", coloured) == verdict_table([one])


names = st.text("abc-019.:/", min_size=1, max_size=30)
texts = st.lists(names, min_size=1, max_size=30).map(" ".join)


@given(summary=texts, missing=st.lists(texts, max_size=8), width=st.integers(80, 140))
def test_no_line_is_too_wide_and_no_name_is_cut(summary: str, missing: list[str], width: int) -> None:
    text = verdict_table([finding("A-1", Outcome.INCONCLUSIVE, summary, missing=tuple(missing))], width=width)
    assert max(map(len, text.splitlines())) <= width
    shown = set(text.split())
    assert [word for word in summary.split() if len(word) <= 24 and word not in shown] == []
