"""A sweep's verdicts for people: a row per single failure, a triangle of pairs, a line of orders, and what failed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from peerlab.verify.finding import Finding, Outcome
from peerlab.verify.outage import Case, Unit

GLYPHS = {Outcome.PASS: ".", Outcome.FAIL: "F", Outcome.INCONCLUSIVE: "?", Outcome.NOT_APPLICABLE: "-"}
_COLOURS = {Outcome.PASS: "\x1b[32m", Outcome.FAIL: "\x1b[31;1m", Outcome.INCONCLUSIVE: "\x1b[33;1m"}
_PLAIN = "\x1b[0m"
ROW_FAILURES = 3
"""Findings shown of a failed case; the JSON has all."""
EXPLAINED = 6
"""Names shown of cases that the same shortest sequence explains."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One case as the page shows it. ``shortest`` is the least that fails alike, "" for what did not fail."""

    case: Case
    outcome: Outcome
    seconds: float
    findings: tuple[Finding, ...] = ()
    shortest: str = ""
    note: str = ""


def sweep_page(rows: Sequence[Row], replay: str, *, width: int = 100, colour: bool = False) -> str:
    """All of it as text. ``replay`` is the command in front of a sequence that plays it again."""
    singles = [row for row in rows if len(row.case.units) == 1 and not row.case.is_order]
    pairs = [row for row in rows if len(row.case.units) == 2 and not row.case.is_order]
    orders = [row for row in rows if row.case.is_order]
    others = [row for row in rows if len(row.case.units) > 2 and not row.case.is_order]
    lines: list[str] = []
    if singles:
        lines += [*_table(singles, colour), ""]
    if pairs:
        lines += [*_triangle(pairs, width, colour), ""]
    for title, group in (("orders", orders), ("sequences", others)):
        if group:
            marks = "".join(_glyph(row.outcome, colour) for row in group)
            lines += [f"{title}  {marks}", ""]
    lines += _failures(rows, replay, width, colour)
    lines += _undecided(rows, width, colour)
    counted = [sum(row.outcome is outcome for row in rows) for outcome in Outcome]
    told = f"{counted[0]} PASS, {counted[1]} FAIL, {counted[2]} INCONCLUSIVE"
    return "\n".join([*lines, f"{len(rows)} scenarios: {told}"])


def _glyph(outcome: Outcome, colour: bool) -> str:
    glyph = GLYPHS[outcome]
    return f"{_COLOURS[outcome]}{glyph}{_PLAIN}" if colour and outcome in _COLOURS else glyph


def _table(rows: Sequence[Row], colour: bool) -> Iterator[str]:
    """A row per failure, a column per check that was judged in any of them."""
    checks: dict[str, str] = {f.check: f.title for row in rows for f in row.findings}
    checks = {c: t for c, t in checks.items() if any(_of(row, c) not in (None, Outcome.NOT_APPLICABLE) for row in rows)}
    wide = max(len(str(row.case)) for row in rows)
    yield f"{'':<{wide}}  " + " ".join(f"{check.split('-')[0]:>3}" for check in checks)
    yield f"{'':<{wide}}  " + " ".join(f"{check.split('-')[-1]:>3}" for check in checks)
    for row in rows:
        cells = [_of(row, check) for check in checks]
        marks = " ".join("  " + (" " if cell is None else _glyph(cell, colour)) for cell in cells)
        yield f"{row.case!s:<{wide}}  {marks}".rstrip()
    yield ""
    for check, title in checks.items():
        yield f"{check} {title}"
    yield ". pass  F fail  ? cannot be told  - nothing to judge"


def _of(row: Row, check: str) -> Outcome | None:
    return next((f.outcome for f in row.findings if f.check == check), None)


def _triangle(rows: Sequence[Row], width: int, colour: bool) -> Iterator[str]:
    """Each pair's verdict where its second unit's row meets its first unit's column."""
    names: dict[Unit, int] = {}
    for row in rows:
        for unit in row.case.units:
            names.setdefault(unit, len(names))
    names = {unit: number for number, unit in enumerate(sorted(names, key=names.__getitem__))}
    by_place: Mapping[tuple[int, int], Outcome] = {
        (max(place), min(place)): row.outcome for row in rows for place in [[names[u] for u in row.case.units]]
    }
    wide = max(len(str(unit)) for unit in names)
    if wide + len(names) + 6 > width:
        yield f"pairs  {''.join(_glyph(row.outcome, colour) for row in rows)}"
        return
    yield "pairs"
    for unit, row_number in names.items():
        marks = [by_place.get((row_number, column)) for column in range(row_number)]
        drawn = "".join(" " if mark is None else _glyph(mark, colour) for mark in marks)
        yield f"{unit!s:<{wide}} {row_number + 1:>3} {drawn}".rstrip()
    tens = "".join(str((n + 1) // 10) if (n + 1) % 10 == 0 else " " for n in range(len(names)))
    yield f"{'':<{wide}}     {''.join(str((n + 1) % 10) for n in range(len(names)))}"
    if tens.strip():
        yield f"{'':<{wide}}     {tens}".rstrip()


def _failures(rows: Sequence[Row], replay: str, width: int, colour: bool) -> Iterator[str]:
    """What failed, by the shortest sequence that shows it."""
    by_cause: dict[str, list[Row]] = {}
    for row in rows:
        if row.outcome is Outcome.FAIL:
            by_cause.setdefault(row.shortest or str(row.case), []).append(row)
    for cause, group in by_cause.items():
        shown = next((row for row in group if str(row.case) == cause), group[0])
        word = f"{_COLOURS[Outcome.FAIL]}FAIL{_PLAIN}" if colour else "FAIL"
        yield f"{word} {cause or 'the lab as it is, nothing out'}"
        failed = [f for f in shown.findings if f.outcome is Outcome.FAIL]
        for finding in failed[:ROW_FAILURES]:
            yield from textwrap.wrap(
                f"{finding.check} {finding.title}: {finding.summary}",
                width,
                initial_indent="    ",
                subsequent_indent="        ",
                break_on_hyphens=False,
            )
        more = [str(row.case) for row in group if str(row.case) != cause]
        if more:
            rest = f" and {len(more) - EXPLAINED} more" if len(more) > EXPLAINED else ""
            told = f"explains: {'; '.join(more[:EXPLAINED])}{rest}"
            yield from textwrap.wrap(
                told, width, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False
            )
        if cause:
            yield f"    again: {replay} '{cause}'"
        yield ""


def _undecided(rows: Sequence[Row], width: int, colour: bool) -> Iterator[str]:
    for row in rows:
        if row.outcome is Outcome.INCONCLUSIVE:
            word = f"{_COLOURS[row.outcome]}INCONCLUSIVE{_PLAIN}" if colour else "INCONCLUSIVE"
            why = row.note or next((f.summary for f in row.findings if f.outcome is Outcome.INCONCLUSIVE), "")
            yield f"{word} {row.case!s}"
            yield from textwrap.wrap(
                why, width, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False
            )
            yield ""


class _Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    case: str
    outcome: Outcome
    seconds: float
    shortest: str = ""
    note: str = ""
    findings: tuple[Finding, ...] = ()


def sweep_json(rows: Sequence[Row], lab: str, seconds: float) -> str:
    """All of it as JSON: every case with every finding."""
    cases = [
        _Told(
            case=str(row.case),
            outcome=row.outcome,
            seconds=round(row.seconds, 3),
            shortest=row.shortest,
            note=row.note,
            findings=row.findings,
        )
        for row in rows
    ]
    body = {"lab": lab, "seconds": round(seconds, 3), "scenarios": cases}
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode() + "\n"
