"""``docs/checks.md``: the conformance catalogue for people, generated from the checks themselves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from peerlab.verify.catalogue import CATALOGUE
from peerlab.verify.check import Check

_HEAD = """# The checks

Generated from `peerlab.verify.catalogue`; `make golden` writes it anew. {count} checks, by the phase of the turn-up
that they are about. Each is a pure function over model, event log, trace and snapshots
(`src/peerlab/verify/`), and each has been seen passing, failing and undecided in `tests/unit/verify/`.

- **PASS** is proven: the finding cites what was seen. Without its evidence a check is **INCONCLUSIVE**, never PASS.
- **FAIL** carries a witness: the message, route or packet that breaks the assertion.
- **n/a** says why the lab has no subject for the check.

`peerlab check LAB --id POL-02 --verbose` judges one of them on any lab, running or gone.
"""


def checks_page(catalogue: Sequence[Check] = CATALOGUE) -> str:
    """The page. A golden test holds the file against this text."""
    parts = [_HEAD.format(count=len(catalogue))]
    for phase, group in groupby(catalogue, key=lambda check: check.phase):
        parts.append(f"## {phase[:1].upper()}{phase[1:]}\n")
        parts.extend(_entry(check) for check in group)
    return "\n".join(parts)


def _entry(check: Check) -> str:
    lines = [
        f"### {check.id} {check.title} ({check.severity.value})",
        "",
        check.assertion,
        "",
        f"- Source: {check.source}",
        f"- Looks at: {check.observe}",
        f"- Needs: {'; '.join(check.consumes)}",
        "",
    ]
    return "\n".join(lines)
