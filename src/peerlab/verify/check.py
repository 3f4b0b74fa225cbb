"""A check: an assertion with a number, a source, and a pure function that judges the evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peerlab.evidence.story import Phase
from peerlab.topology.model import LabModel
from peerlab.verify.docket import Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding, Outcome, Severity

CRITICAL, MAJOR, MINOR = Severity.CRITICAL, Severity.MAJOR, Severity.MINOR


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the conformance catalogue.

    ``assertion`` is what must hold, ``source`` where it is written, ``observe`` what is looked at. ``absent`` says
    why a lab has no subject for the check, None when it has one. ``judge`` is pure. ``consumes`` names what must be
    in the evidence, one entry per event, moment, stimulus or message. ``scene`` is the scene of the conformance suite
    that brings this evidence, None when every rehearsal does.
    """

    id: str
    title: str
    phase: str
    severity: Severity
    assertion: str
    source: str
    observe: str
    absent: Callable[[LabModel], str | None]
    judge: Callable[[Evidence], Judgement]
    consumes: tuple[str, ...]
    scene: Phase | None = None

    def find(self, evidence: Evidence) -> Finding:
        """Judge the evidence under this check's name. Raises whatever ``judge`` raises."""
        reason = self.absent(evidence.model)
        if reason is not None:
            return self.finding(Judgement(outcome=Outcome.NOT_APPLICABLE, summary=reason))
        return self.finding(self.judge(evidence))

    def finding(self, judgement: Judgement, broke: bool = False) -> Finding:
        """Put a judgement under this check's name."""
        return Finding(
            check=self.id,
            title=self.title,
            phase=self.phase,
            severity=self.severity,
            outcome=judgement.outcome,
            summary=judgement.summary,
            exhibits=judgement.exhibits,
            witness=judgement.witness,
            missing=judgement.missing,
            broke=broke,
        )
