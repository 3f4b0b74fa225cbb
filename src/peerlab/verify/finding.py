"""A finding: what one check says, and why anyone should believe it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """PASS is proven by evidence; missing evidence is INCONCLUSIVE; NOT_APPLICABLE says the lab has no such subject."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not-applicable"


class Severity(StrEnum):
    """How much a failure matters (catalogue)."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


class Exhibit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of evidence: when, where, and what was seen. ``message`` is the BGP message in hex where there is one."""

    at: int
    where: str
    what: str
    message: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The judgement of one check. ``exhibits`` prove a PASS as much as a FAIL; ``witness`` breaks the assertion.

    ``missing`` lists the evidence that should have been there: all of it for an INCONCLUSIVE, of which the summary
    names the first. ``broke`` says that the check itself raised: a defect of peerlab, not of the lab.
    """

    check: str
    title: str
    phase: str
    severity: Severity
    outcome: Outcome
    summary: str
    exhibits: tuple[Exhibit, ...] = ()
    witness: Exhibit | None = None
    missing: tuple[str, ...] = ()
    broke: bool = False
