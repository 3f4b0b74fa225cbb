"""Checks of incidents (catalogue SEC-04): what is made of a prefix that somebody else announces."""

from __future__ import annotations

from peerlab.evidence.events import PrefixEventRaised
from peerlab.evidence.story import Phase
from peerlab.evidence.story_incident import GUARDED, OPEN, Hijack, IncidentStimulus
from peerlab.verify.check import CRITICAL, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.origin import announced, family_of, require
from peerlab.verify.reading import SECOND, Trial, events
from peerlab.verify.session import no_connection
from peerlab.verify.session_trials import seen_trials
from peerlab.verify.subject import service_prefixes

ALARMED_WITHIN = 5.0
"""Seconds from the UPDATE to the event: the lab's budget of the catalogue's TEL-03."""


def judge_hijacks(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    slowest = 0.0
    for trial in seen_trials(evidence, docket, IncidentStimulus.HIJACKED, "accepted", "reason"):
        case, prefix = trial.did.text("case"), trial.did.text("prefix")
        where = f"{trial.where} ({case})"
        sent = announced(evidence, docket, trial)
        if sent is None:
            continue
        alarm = _alarm(evidence, trial, sent.at)
        accepted, reason = trial.saw.flag("accepted"), trial.saw.text("reason")
        if accepted is None:
            docket.lacks(f"{where}: the edge does not say what it made of {prefix}")
        elif accepted is False and not reason:
            docket.breaks(sent.at, where, f"{prefix} was rejected, but nothing says why", sent.message)
        elif trial.did.flag("guarded") and accepted:
            docket.breaks(sent.at, where, f"{prefix} was accepted by the policy of a peering", sent.message)
        elif accepted and alarm is None:
            what = f"{prefix} was accepted, and no Critical event came within {ALARMED_WITHIN:g} s"
            docket.breaks(sent.at, where, what, sent.message)
        else:
            shown.add((case, family_of(prefix)))
            what = f"{prefix} rejected: {reason}"
            if accepted and alarm is not None:
                after = (alarm.at - sent.at) / SECOND
                slowest = max(slowest, after)
                what = f"{prefix} accepted, {alarm.level} {alarm.kind} {1000 * after:.0f} ms after the UPDATE"
            docket.proves(sent.at, where, what, sent.message)
    require(docket, shown, GUARDED, "the case")
    for case, family in _open_cases(evidence):
        if (case.value, family) not in shown:
            docket.lacks(f"the case '{case}' was not shown for {family}")
    told = f"; what nothing filters was told at the latest {1000 * slowest:.0f} ms later" if slowest else ""
    return docket.close(f"exact and more-specific hijacks of registered and own prefixes were rejected{told}")


def _open_cases(evidence: Evidence) -> list[tuple[Hijack, str]]:
    """The cases without a filter that this lab can show: one customer's prefix of a family is enough."""
    families = {family_of(prefix) for prefix in service_prefixes(evidence.model)}
    return [(case, family) for case in OPEN for family in sorted(families)]


def _alarm(evidence: Evidence, trial: Trial, since: int) -> PrefixEventRaised | None:
    """The Critical event of this announcement, if one came in time."""
    prefix, victim = trial.did.text("prefix"), trial.did.text("victim")
    path = trial.did.text("as_path").split()
    for event in events(evidence, PrefixEventRaised, since=since, until=since + int(ALARMED_WITHIN * SECOND)):
        about = event.session == trial.session and event.prefix == victim and (event.announced or victim) == prefix
        if about and event.level == "Critical" and event.alarm == "hijack" and path[-1:] == [str(event.origin)]:
            return event
    return None


CHECKS: tuple[Check, ...] = (
    Check(
        "SEC-04", "Exact and sub-prefix hijack", "security", CRITICAL,
        "Announcements of E1/E5/E6 are rejected or, without ROA, raise a Critical event.",
        "RFC 6811; incidents E1, E5, E6", "hijacks on the wire, the edge's verdict, prefix events", no_connection,
        judge_hijacks,
        ("trial prefix-hijacked per evidence.story_incident.Hijack and family: accepted, reason",
         "PrefixEventRaised", "trace: the announcement on the trial's session"),
        Phase.INCIDENT,
    ),
)  # fmt: skip
