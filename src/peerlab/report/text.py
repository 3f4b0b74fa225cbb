"""The verdict table for people: one line per check, by phase, then what failed and what could not be told."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from peerlab.verify.finding import Exhibit, Finding, Outcome

WORDS = {
    Outcome.PASS: "PASS",
    Outcome.FAIL: "FAIL",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE",
    Outcome.NOT_APPLICABLE: "n/a",
}
_COLOURS = {
    Outcome.PASS: "\x1b[32m",
    Outcome.FAIL: "\x1b[31;1m",
    Outcome.INCONCLUSIVE: "\x1b[33;1m",
    Outcome.NOT_APPLICABLE: "\x1b[2m",
}
_PLAIN = "\x1b[0m"
_BOLD = "\x1b[1m"
_TITLE_WIDTH = 30
_WORD_WIDTH = max(len(word) for word in WORDS.values())
_INDENT = " " * 4
SHOWN = 5
"""Exhibits and missing pieces shown per finding unless verbose."""

_MESSAGE_SHOWN = 96
"""Hex digits of a BGP message shown; the JSON report has all of it."""


def verdict_table(findings: Sequence[Finding], *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
    """All findings as text of at most ``width`` columns, colours aside.

    ``verbose`` shows all evidence: that of passed and undecided checks too, and every line of it.
    """
    shown = sys.maxsize if verbose else SHOWN
    lines: list[str] = []
    phase = ""
    for finding in findings:
        if finding.phase != phase:
            phase = finding.phase
            lines.append(_painted(phase, _BOLD, colour) if not lines else "\n" + _painted(phase, _BOLD, colour))
        lines.extend(_line(finding, width, colour))
        if verbose and finding.outcome is Outcome.PASS:
            lines.extend(_evidence(finding.exhibits, width, shown))
    troubled = [f for f in findings if f.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE)]
    for finding in troubled:
        lines.append("")
        lines.extend(_trouble(finding, width, colour, shown))
    lines.extend(("", _tally(findings, colour)))
    return "\n".join(lines)


def _painted(text: str, code: str, colour: bool) -> str:
    return f"{code}{text}{_PLAIN}" if colour else text


def _wrapped(text: str, width: int, first: str = "", then: str = "") -> list[str]:
    """Folded at blanks only: a node's name, an address or a prefix is never cut at its hyphens."""
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)


def _line(finding: Finding, width: int, colour: bool) -> Iterator[str]:
    word = _painted(f"{WORDS[finding.outcome]:<{_WORD_WIDTH}}", _COLOURS[finding.outcome], colour)
    head = f"  {finding.check:<7} {finding.title[:_TITLE_WIDTH]:<{_TITLE_WIDTH}} "
    indent = len(head) + _WORD_WIDTH + 2
    pieces = _wrapped(finding.summary, max(24, width - indent)) or [""]
    yield f"{head}{word}  {pieces[0]}".rstrip()
    for piece in pieces[1:]:
        yield " " * indent + piece


def _trouble(finding: Finding, width: int, colour: bool, shown: int) -> Iterator[str]:
    word = _painted(WORDS[finding.outcome], _COLOURS[finding.outcome], colour)
    yield f"{word} {finding.check} {finding.title} ({finding.severity.value})"
    if not (finding.missing and finding.summary.startswith(finding.missing[0])):
        yield from _wrapped(finding.summary, width, _INDENT, _INDENT)
    for missing in finding.missing[:shown]:
        yield from _wrapped(missing, width, f"{_INDENT}missing: ", f"{_INDENT}         ")
    yield from _more(len(finding.missing) - shown)
    if finding.witness is not None:
        yield from _evidence((finding.witness,), width, shown, "witness")
    if finding.outcome is Outcome.FAIL or shown > SHOWN:
        yield from _evidence([e for e in finding.exhibits if e != finding.witness], width, shown)


def _evidence(exhibits: Sequence[Exhibit], width: int, shown: int, label: str = "evidence") -> Iterator[str]:
    for exhibit in exhibits[:shown]:
        when = f"{clock(exhibit.at)} " if exhibit.at else ""
        yield from _wrapped(f"{label}: {when}{exhibit.where}: {exhibit.what}", width, _INDENT, _INDENT * 2)
        if exhibit.message:
            room = min(_MESSAGE_SHOWN, width - 2 * len(_INDENT) - 1)
            more = "…" if len(exhibit.message) > room else ""
            yield f"{_INDENT * 2}{exhibit.message[:room]}{more}"
    yield from _more(len(exhibits) - shown)


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"{_INDENT}and {count} more (--verbose shows them)"


def clock(at: int) -> str:
    """Time of day in UTC, to the millisecond, of a CLOCK_REALTIME in nanoseconds."""
    return f"{datetime.fromtimestamp(at / 1e9, UTC):%H:%M:%S.%f}"[:-3]


def _tally(findings: Iterable[Finding], colour: bool) -> str:
    counted = Counter(finding.outcome for finding in findings)
    parts = [
        _painted(f"{counted[outcome]} {WORDS[outcome]}", _COLOURS[outcome], colour and counted[outcome] > 0)
        for outcome in Outcome
    ]
    return f"{sum(counted.values())} checks: {', '.join(parts)}"
