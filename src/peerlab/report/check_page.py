"""What a check asserts and how it is judged, for people: as a page of all checks and as a text about one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from peerlab.topology.model import AsRole, AutonomousSystem, LabModel, Node, NodeKind
from peerlab.verify.check import Check

EMPTY_LAB = LabModel(
    name="empty",
    ases=(AutonomousSystem(name="nobody", asn=64500, role=AsRole.OBSERVER),),
    nodes=(Node(name="r1", kind=NodeKind.EXABGP, as_name="nobody", asn=64500),),
)
"""A lab with a subject for hardly any check: why a check does not apply to it is when it does not apply."""

_HEAD = """# The checks

Every check of the conformance catalogue that peerlab judges, with the evidence each consumes. Generated from
`src/peerlab/verify` and the rows of `tests/unit/verify` (`make golden`); do not edit by hand. In a terminal:
`peerlab checks` lists them, `peerlab explain-check ID` tells about one.

A check passes only on positive evidence, fails on a witness, and is inconclusive when something it consumes is
missing. *trial X* means a `StimulusApplied` named X and its `StimulusObserved` (see `evidence/story*.py`); before the
semicolon stand details that are applied, after it those that are observed. *snapshot X* is a snapshot of the whole lab
under that label, *trace* is every BGP message on every wire. *fails when* lists the mutations by which the check has
been seen failing; the test suite runs each of them.

Checks of a *scene* are judged when it is played: `peerlab rehearse TOPOLOGY --conformance`.
"""


def checks_page(catalogue: Sequence[Check], mutations: Mapping[str, Sequence[str]]) -> str:
    """The page of all checks as Markdown. ``mutations`` are the names of what each was seen failing for, by id."""
    parts = [_HEAD, *_table(catalogue)]
    for phase, checks in groupby(catalogue, key=lambda check: check.phase):
        parts.append(f"## {phase.capitalize()}\n")
        for check in checks:
            parts.extend(_entry(check, mutations.get(check.id, ())))
    return "\n".join(parts)


def _table(catalogue: Sequence[Check]) -> Iterator[str]:
    played = [check for check in catalogue if check.scene is not None]
    yield f"{len(catalogue)} checks: {len(catalogue) - len(played)} in every rehearsal"
    for scene, checks in groupby(sorted(played, key=lambda one: str(one.scene)), key=lambda one: one.scene):
        yield f"- `{scene}`: {', '.join(check.id for check in checks)}"
    yield ""


def _entry(check: Check, mutations: Sequence[str]) -> Iterator[str]:
    yield f"### {check.id} {check.title} ({check.severity.value})\n"
    yield f"{check.assertion}\n"
    yield f"- source: {check.source}"
    yield f"- observes: {check.observe}"
    if check.scene is not None:
        yield f"- scene: `{check.scene}`"
    reason = check.absent(EMPTY_LAB)
    if reason:
        yield f"- not applicable when {reason}"
    yield "- consumes:"
    yield from (f"  - {item}" for item in check.consumes)
    if mutations:
        yield "- fails when:"
        yield from (f"  - {name}" for name in mutations)
    yield ""


def check_text(check: Check, width: int = 100) -> str:
    """All about one check as plain text of at most ``width`` columns."""
    lines = [f"{check.id}  {check.title}  ({check.severity.value}, {check.phase})", ""]
    lines += textwrap.wrap(check.assertion, width)
    told = [("source", check.source), ("observes", check.observe)]
    reason = check.absent(EMPTY_LAB)
    if reason:
        told.append(("n/a when", reason))
    if check.scene is not None:
        told.append(("scene", f"{check.scene}; played with `rehearse --conformance`"))
    told += [("consumes" if number == 0 else "", item) for number, item in enumerate(check.consumes)]
    lines.append("")
    for label, text in told:
        lines += textwrap.wrap(
            text, width, initial_indent=f"{label:<10}", subsequent_indent=" " * 10, break_on_hyphens=False
        )
    return "\n".join(lines)
