"""From verdicts to an exit code: one failure fails, one doubt doubts, and nothing judged is never a pass."""

from __future__ import annotations

from itertools import permutations

import pytest
from report_verdict import ABSENT, FAILED, OPEN, PASSED

from peerlab.report.exit_code import exit_code
from peerlab.verify.finding import Finding

CASES = [
    # findings, exit code
    ((PASSED,), 0),
    ((PASSED, ABSENT), 0),
    ((PASSED, FAILED), 1),
    ((FAILED, OPEN), 1),  # a failure outweighs a doubt
    ((PASSED, FAILED, OPEN, ABSENT), 1),
    ((PASSED, OPEN), 2),
    ((OPEN,), 2),
    ((ABSENT,), 2),  # nothing was judged
    ((), 2),
]


@pytest.mark.parametrize(("findings", "code"), CASES)
def test_the_worst_verdict_decides_in_whatever_order(findings: tuple[Finding, ...], code: int) -> None:
    assert {exit_code(order) for order in permutations(findings)} == {code}
