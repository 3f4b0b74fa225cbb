"""Why a prefix is routed as it is at a router, for people: the winner first, then who lost and why."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from peerlab.bgp.route_fact import Candidate, Explanation
from peerlab.report.ladder import describe

Paint = Callable[[str, str], str]
"""Colours a text: ``paint(text, colour)``, with a colour of ``green``, ``red`` or ``yellow``."""

_INDENT = " " * 4


def _plain(text: str, colour: str) -> str:
    return text


def explain(told: Explanation, *, width: int = 100, paint: Paint = _plain) -> str:
    """The explanation as text of at most ``width`` columns, colours aside."""
    if not told.candidates:
        return f"{told.node} knows no path to {told.prefix}: nobody announces it to {told.node}"
    count = len(told.candidates)
    lines = [f"{told.prefix} at {told.node}: {count} {'path' if count == 1 else 'paths'}"]
    if not any(candidate.best for candidate in told.candidates):
        lines.append(paint("none of them is used", "red"))
    for candidate in sorted(told.candidates, key=lambda one: (not one.best, not one.accepted)):
        lines.append("")
        lines.extend(_candidate(candidate, width, paint))
    return "\n".join(lines)


def _candidate(candidate: Candidate, width: int, paint: Paint) -> Iterator[str]:
    source = f"from {candidate.peer or candidate.session}" if candidate.session else "originated here"
    session = f" ({candidate.session})" if candidate.session and candidate.peer else ""
    if candidate.best:
        word, why = paint("best", "green"), ""
    elif not candidate.accepted:
        word, why = paint("rejected", "red"), f"by the policy statement “{candidate.rejected_by}”"
    else:
        word, why = paint("lost", "yellow"), f"at the step “{candidate.eliminated_by}”"
    yield f"{word} {source}{session}"
    metric = "" if candidate.igp_metric is None else f", IGP metric {candidate.igp_metric} to the next hop"
    yield from textwrap.wrap(
        describe(candidate.attributes) + metric,
        width,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
    )
    if why:
        yield f"{_INDENT}{why}"
