"""The catalogue of checks as a page for people: what each asserts, and what it needs to find in the evidence."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from peerlab.verify.check import Check

HEAD = """# The checks

Every check of the conformance catalogue that peerlab judges, with the evidence each consumes. Generated from
`src/peerlab/verify` (`make golden`); do not edit by hand.

A check passes only on positive evidence, fails on a witness, and is inconclusive when something it consumes is
missing. *trial X* means a `StimulusApplied` named X and its `StimulusObserved` (see `evidence/story.py`); before the
semicolon stand details that are applied, after it those that are observed. *snapshot X* is a snapshot of the whole lab
under that label, *trace* is every BGP message on every wire.
"""


def checks_markdown(catalogue: Iterable[Check]) -> str:
    """The page, Markdown."""
    parts = [HEAD]
    for phase, checks in groupby(catalogue, key=lambda check: check.phase):
        parts.append(f"\n## {phase.capitalize()}\n")
        for check in checks:
            parts.append(f"\n### {check.id} {check.title} ({check.severity.value})\n\n{check.assertion}\n\n")
            parts.append(f"- source: {check.source}\n- observes: {check.observe}\n- consumes:\n")
            parts += [f"  - {item}\n" for item in check.consumes]
    return "".join(parts)
