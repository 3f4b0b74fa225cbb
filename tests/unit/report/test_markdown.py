"""Markdown for a pull request: trouble first, everything there, nothing that was said taken for markup."""

from __future__ import annotations

import pytest
from report_verdict import ABSENT, ALL, FAILED, OPEN, PASSED, exhibit, finding

from peerlab.report.markdown import markdown
from peerlab.verify.finding import Finding, Outcome


def test_trouble_stands_before_the_table_of_all() -> None:
    text = markdown(ALL, "lab-1")
    head, _, table = text.partition("<details>")
    assert head.startswith("## ❌ peerlab: lab-1\n\n4 checks: 1 PASS, 1 FAIL, 1 INCONCLUSIVE, 1 n/a\n")
    assert "### ❌ POL-02 Title of POL-02 (FAIL, critical)" in head and "- **witness** 12:00:00.123" in head
    assert "### ⚠️ VAL-01" in head and "- missing: no snapshot 'allowed' was taken" in head and "and 2 more" in head
    assert "POL-01" not in head and "VAL-02" not in head
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ") and "-0" in line] == [
        one.check for one in ALL
    ]
    assert text.endswith("</details>\n")


SIGNS = [((PASSED,), "✅"), ((PASSED, OPEN), "⚠️"), ((FAILED, OPEN), "❌"), ((ABSENT,), "⚠️"), ((), "⚠️")]


@pytest.mark.parametrize(("findings", "sign"), SIGNS)
def test_the_worst_verdict_is_the_sign(findings: tuple[Finding, ...], sign: str) -> None:
    assert markdown(findings, "x").startswith(f"## {sign} peerlab")


SAID = ["a | b", "<script>alert(1)</script>", "[x](javascript:1)", "`code`", "# x\n\n- y", "~~z~~"]


@pytest.mark.parametrize("said", SAID)
def test_what_a_peer_said_is_text(said: str) -> None:
    text = markdown((finding("A-1", Outcome.FAIL, said, missing=(said,), witness=exhibit(1)),), said)
    rows = [line for line in text.splitlines() if line.startswith("| A-1")]
    assert len(rows) == 1 and rows[0].replace("\\|", "").count("|") == 5
    assert "<script" not in text.replace("\\<", "") and "](" not in text.replace("\\]\\(", "").replace("\\](", "")
    assert not [line for line in text.splitlines() if line.startswith(("# ", "- y"))]
