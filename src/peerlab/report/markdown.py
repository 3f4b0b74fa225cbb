"""The verdicts as Markdown, for a pull request or the summary of a pipeline's step: trouble first, the rest folded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from peerlab.report.text import WORDS, clock
from peerlab.verify.finding import Exhibit, Finding, Outcome

SIGNS = {Outcome.PASS: "✅", Outcome.FAIL: "❌", Outcome.INCONCLUSIVE: "⚠️", Outcome.NOT_APPLICABLE: "➖"}
SHOWN = 5
"""Exhibits and missing pieces shown per finding."""

_LONGEST = 400
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(findings: Sequence[Finding], lab: str) -> str:
    """All findings of a lab."""
    counted = Counter(finding.outcome for finding in findings)
    told = ", ".join(f"{counted[one]} {WORDS[one]}" for one in Outcome if counted[one])
    lines = [f"## {_verdict(counted)} peerlab: {_text(lab)}", "", f"{len(findings)} checks: {told or 'none'}", ""]
    for finding in findings:
        if finding.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
            lines.extend(_trouble(finding))
    lines.extend(("<details><summary>All checks</summary>", ""))
    for phase, group in groupby(findings, key=lambda finding: finding.phase):
        lines.extend((f"**{_text(phase)}**", "", "| check | | verdict | |", "|---|---|---|---|"))
        lines.extend(_row(finding) for finding in group)
        lines.append("")
    lines.append("</details>")
    return "\n".join(lines) + "\n"


def _verdict(counted: Counter[Outcome]) -> str:
    for worst in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        if counted[worst]:
            return SIGNS[worst]
    return SIGNS[Outcome.PASS] if counted[Outcome.PASS] else SIGNS[Outcome.INCONCLUSIVE]


def _row(finding: Finding) -> str:
    word = f"{SIGNS[finding.outcome]} {WORDS[finding.outcome]}"
    return f"| {_text(finding.check)} | {_text(finding.title)} | {word} | {_text(finding.summary)} |"


def _trouble(finding: Finding) -> Iterator[str]:
    yield (
        f"### {SIGNS[finding.outcome]} {_text(finding.check)} {_text(finding.title)} "
        f"({WORDS[finding.outcome]}, {finding.severity.value})"
    )
    yield ""
    yield _text(finding.summary)
    yield ""
    for missing in finding.missing[:SHOWN]:
        yield f"- missing: {_text(missing)}"
    if finding.witness is not None:
        yield f"- **witness** {_told(finding.witness)}"
    failed = finding.outcome is Outcome.FAIL
    others = [exhibit for exhibit in finding.exhibits if failed and exhibit != finding.witness]
    for exhibit in others[:SHOWN]:
        yield f"- {_told(exhibit)}"
    hidden = max(len(finding.missing) - SHOWN, 0) + max(len(others) - SHOWN, 0)
    if hidden:
        yield f"- and {hidden} more"
    yield ""


def _told(exhibit: Exhibit) -> str:
    when = f"{clock(exhibit.at)} " if exhibit.at else ""
    return f"{when}{_text(exhibit.where)}: {_text(exhibit.what)}"


def _text(text: str) -> str:
    """One line of plain words: what a peer said must not become markup."""
    plain = " ".join(text.split())
    return _SPECIAL.sub(r"\\\1", plain[:_LONGEST] + ("…" if len(plain) > _LONGEST else ""))
