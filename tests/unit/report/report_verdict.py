"""Findings to report about: one of every outcome."""

from __future__ import annotations

from typing import Any

from peerlab.verify.finding import Exhibit, Finding, Outcome, Severity

NOON = 1_800_014_400_123_456_789
"""2027-01-15 12:00:00.123 UTC, in ns."""


def exhibit(number: int = 1, **more: Any) -> Exhibit:
    return Exhibit(at=NOON, where=f"ams-edge-{number}", what=f"seen {number}", **more)


def finding(check: str, outcome: Outcome, summary: str = "as it should be", **more: Any) -> Finding:
    fields: dict[str, Any] = {"title": f"Title of {check}", "phase": "policy", "severity": Severity.MAJOR} | more
    return Finding(check=check, outcome=outcome, summary=summary, **fields)


PASSED = finding("POL-01", Outcome.PASS, exhibits=(exhibit(1),))
FAILED = finding(
    "POL-02",
    Outcome.FAIL,
    "ams-edge-1 accepted 10.0.0.0/8",
    severity=Severity.CRITICAL,
    witness=exhibit(2, message="ff" * 60),
    exhibits=(exhibit(2, message="ff" * 60), *(exhibit(n) for n in range(3, 10))),
)
OPEN = finding(
    "VAL-01",
    Outcome.INCONCLUSIVE,
    "no snapshot 'allowed' was taken (and 6 more)",
    phase="validation",
    missing=("no snapshot 'allowed' was taken", *(f"missing piece {n}" for n in range(1, 7))),
    exhibits=(exhibit(1),),
)
ABSENT = finding("VAL-02", Outcome.NOT_APPLICABLE, "this lab has no route server", phase="validation")
ALL = (PASSED, FAILED, OPEN, ABSENT)
