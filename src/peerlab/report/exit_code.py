"""From verdicts to the exit code of a command."""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.verify.finding import Finding, Outcome

PASSED, FAILED, UNDECIDED = 0, 1, 2


def exit_code(findings: Iterable[Finding]) -> int:
    """1 when a check failed, else 2 when one is inconclusive or nothing was judged at all, else 0."""
    outcomes = [finding.outcome for finding in findings]
    if Outcome.FAIL in outcomes:
        return FAILED
    if Outcome.INCONCLUSIVE in outcomes or Outcome.PASS not in outcomes:
        return UNDECIDED
    return PASSED
