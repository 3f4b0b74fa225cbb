"""The ``expect:`` sentences of a topology, judged like any other statement about time."""

from __future__ import annotations

from peerlab.evidence.events import LabConverged
from peerlab.evidence.story import Phase
from peerlab.topology.model import Expectation
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Exhibit, Finding, Outcome, Severity
from peerlab.verify.route_reading import Where
from peerlab.verify.route_statement import RouteStatement, route
from peerlab.verify.temporal import Quantifier, Statement, always, eventually, never, until, when

_NANOSECONDS = 1_000_000_000


def expectation_statement(expectation: Expectation) -> Statement:
    """An ``expect:`` sentence of a topology as a statement.

    ``never`` speaks of all that was recorded; ``always`` of the time from the first moment that it is true, without
    interruption; ``until`` the same, up to the moment named; ``eventually`` counts its seconds from the moment that the
    lab had converged. Raises ValueError for a quantifier or place that does not exist, an eventually without ``within``
    and an until without its moment.
    """
    pattern = route(
        prefix=expectation.prefix,
        contains_as=expectation.as_path_contains,
        communities=(expectation.community,) if expectation.community else (),
    )
    if expectation.where == Where.SENT:
        about = pattern.sent_by(expectation.node)
        if expectation.peer is not None:
            about = about.sent_to(expectation.peer)
    else:
        where = Where(expectation.where)
        about = RouteStatement(pattern=pattern, where=where, node=expectation.node, peer=expectation.peer)
    if expectation.quantifier == Quantifier.EVENTUALLY:
        if expectation.within is None:
            raise ValueError(f"expectation {expectation.name}: eventually needs `within`")
        return eventually(about, within=expectation.within, after=when(LabConverged))
    if expectation.quantifier == "until":
        if expectation.until is None:
            raise ValueError(f"expectation {expectation.name}: until needs the moment's name")
        return until(expectation.until, always(about, from_first=True))
    if expectation.quantifier == Quantifier.ALWAYS:
        return always(about, from_first=True)
    if expectation.quantifier == Quantifier.NEVER:
        return never(about)
    raise ValueError(f"expectation {expectation.name}: no quantifier {expectation.quantifier!r}")


def judge_expectation(expectation: Expectation, evidence: Evidence) -> Finding:
    """The finding of one ``expect:`` sentence: check ``EXPECT``, titled with the sentence's own name."""
    statement = expectation_statement(expectation)
    judgement = statement.judge(evidence)
    outcome = {True: Outcome.PASS, False: Outcome.FAIL, None: Outcome.INCONCLUSIVE}[judgement.holds]
    begin, end = judgement.span
    seen = Exhibit(
        at=end,
        where=str(statement.about.where),
        what=f"{judgement.looked_at} messages and reports over {max(0, end - begin) / _NANOSECONDS:.3f} s",
    )
    shown = (seen, judgement.witness) if outcome is Outcome.PASS and judgement.witness is not None else (seen,)
    return Finding(
        check="EXPECT",
        title=expectation.name,
        phase=Phase.VERDICT,
        severity=Severity.MAJOR,
        outcome=outcome,
        summary=f"{statement}: {judgement.why}",
        exhibits=shown,
        witness=judgement.witness if outcome is Outcome.FAIL else None,
    )
