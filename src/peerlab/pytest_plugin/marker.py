"""Checks of the catalogue as markers: their ids, and the findings that fail a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from peerlab.topology.mistake import did_you_mean
from peerlab.verify.catalogue import CATALOGUE
from peerlab.verify.finding import Finding, Outcome


def refuse_unknown(ids: Iterable[str]) -> None:
    """Raises UsageError for an id that is no check's, with the nearest one."""
    known = [check.id for check in CATALOGUE]
    for check in sorted(set(ids)):
        if check not in known:
            raise pytest.UsageError(f"there is no check {check}; {did_you_mean(check, known)}")


def unproven(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings that a test may not end with: failed ones, and those that nobody can tell."""
    return tuple(f for f in findings if f.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE))
