"""The conformance catalogue: every check in one literal tuple, and the one way to judge them all."""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.evidence.events import PhaseStarted
from peerlab.verify import (
    deprovision,
    failover,
    incident,
    link,
    origin,
    origin_abuse,
    own_router,
    physical,
    policy,
    routing,
    security,
    session,
    telemetry,
    telemetry_events,
    telemetry_reports,
    validation,
)
from peerlab.verify.check import Check
from peerlab.verify.docket import Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.expectation import judge_expectation
from peerlab.verify.finding import Finding, Outcome

_ROOMS: tuple[Check, ...] = (
    *physical.CHECKS,
    *link.CHECKS,
    *session.CHECKS,
    *policy.CHECKS,
    *origin_abuse.POLICY_CHECKS,
    *origin.CHECKS,
    *validation.CHECKS,
    *routing.CHECKS,
    *failover.CHECKS,
    *security.CHECKS,
    *incident.CHECKS,
    *origin_abuse.SECURITY_CHECKS,
    *telemetry.CHECKS,
    *telemetry_events.CHECKS,
    *telemetry_reports.CHECKS,
    *deprovision.CHECKS,
    *own_router.CHECKS,
)
_PHASES = tuple(dict.fromkeys(check.phase for check in _ROOMS))

CATALOGUE: tuple[Check, ...] = tuple(sorted(_ROOMS, key=lambda check: (_PHASES.index(check.phase), check.id)))
"""Every check, in the order of the phases and of the numbers in each."""

BROKE = "THE CHECK BROKE"
"""How the summary of a finding begins whose check raised: a defect of peerlab, never of the lab under test."""


def check_of(check_id: str) -> Check:
    """The check with this id. Raises KeyError."""
    for check in CATALOGUE:
        if check.id == check_id:
            return check
    raise KeyError(check_id)


def asked_for(evidence: Evidence, catalogue: tuple[Check, ...] = CATALOGUE) -> tuple[Check, ...]:
    """The checks of every rehearsal, and those of the conformance scenes that were played or begun."""
    played = {event.phase for event in evidence.events if isinstance(event, PhaseStarted)}
    return tuple(check for check in catalogue if check.scene is None or check.scene.value in played)


def judge_all(
    evidence: Evidence, only: Iterable[str] | None = None, catalogue: tuple[Check, ...] = CATALOGUE
) -> tuple[Finding, ...]:
    """Judge the evidence by every check, or by those whose id is in ``only``, in catalogue order.

    Without ``only`` a check whose scene was not played is left out, it was not asked for; and the ``expect:`` sentences
    of the topology are judged too, after the checks.

    A check that raises gives an INCONCLUSIVE finding with ``broke`` set, so that one defect does not take all other
    verdicts with it; it never becomes a PASS. Raises KeyError for an id in ``only`` that is no check's.
    """
    chosen = asked_for(evidence, catalogue)
    if only is not None:
        wanted = set(only)
        unknown = wanted - {check.id for check in catalogue}
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        chosen = tuple(check for check in catalogue if check.id in wanted)
    findings = tuple(_judge(check, evidence) for check in chosen)
    if only is not None:
        return findings
    return (*findings, *(judge_expectation(said, evidence) for said in evidence.model.expectations))


def _judge(check: Check, evidence: Evidence) -> Finding:
    try:
        return check.find(evidence)
    except Exception as error:
        what = f"{BROKE}: {type(error).__name__}: {error}; this is a defect of peerlab, please report it"
        return check.finding(Judgement(outcome=Outcome.INCONCLUSIVE, summary=what, missing=(what,)), broke=True)
