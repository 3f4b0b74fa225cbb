"""Checks of prefix events (TEL-02, TEL-03): what Microsoft tells of a customer's prefix, held against the wire."""

from __future__ import annotations

from peerlab.bgp.wire import Notification
from peerlab.evidence.events import PrefixEventRaised, ProcessExited, SessionStateChanged
from peerlab.evidence.story import Phase
from peerlab.evidence.story_telemetry import TelemetryStimulus
from peerlab.topology.model import LabModel
from peerlab.verify.check import CRITICAL, MAJOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import SECOND, Trial, answered, events
from peerlab.verify.subject import service_prefixes
from peerlab.verify.wire import WireRoute, decoded, routes, watched

PHASE = "telemetry"

RAISED_WITHIN = 2.0
"""Seconds from an UPDATE on the wire to the event that it is."""

CAUSED_WITHIN = 1.0
"""Seconds before the time that an event names as its cause, in which the wire must show the cause."""

LEVEL = {
    "PrefixAnnouncementEvent": "Information",
    "PrefixWithdrawalEvent": "Warning",
    "PrefixBackupRouteAnnouncementEvent": "Information",
    "PrefixBackupRouteWithdrawalEvent": "Warning",
    "PrefixActivePath": "Information",
    "PrefixBackupPath": "Information",
    "PrefixOriginAsChangeEvent": "Critical",
    "PrefixBackupRouteOriginAsChangeEvent": "Error",
}
"""The documented types, each with its level."""

PATHS = frozenset({"PrefixActivePath", "PrefixBackupPath"})
OF_A_BACKUP = frozenset(
    {
        "PrefixBackupRouteAnnouncementEvent",
        "PrefixBackupRouteWithdrawalEvent",
        "PrefixBackupPath",
        "PrefixBackupRouteOriginAsChangeEvent",
    }
)
WITHDRAWALS = frozenset({"PrefixWithdrawalEvent", "PrefixBackupRouteWithdrawalEvent"})
ALARMS = ("hijack", "leak", "withdrawal")


def no_service_prefix(model: LabModel) -> str | None:
    """Why a lab has no prefix that Microsoft would tell of."""
    return None if any(True for _ in service_prefixes(model)) else "the lab has no Peering Service prefix"


def judge_prefix_events(evidence: Evidence) -> Judgement:
    docket = Docket()
    told: set[str] = set()
    for trial, update in _updates(evidence, docket):
        for kind in trial.did.texts("expected") or ():
            event = _event_of(evidence, trial, update, kind)
            if event is None:
                what = f"{kind} of {update.prefix} was not raised within {RAISED_WITHIN:g} s of the UPDATE"
                docket.breaks(update.at, trial.where, what, update.message)
                continue
            told.add(kind)
            after = (event.at - update.at) / 1e6
            docket.proves(event.at, trial.where, f"{kind} {after:.0f} ms after the UPDATE", update.message)
    raised = events(evidence, PrefixEventRaised)
    for event in raised:
        if LEVEL.get(event.kind) != event.level:
            what = f"{event.kind} has the level {event.level}, documented is {LEVEL.get(event.kind, 'no such type')}"
            docket.breaks(event.at, f"{event.node} {event.session}", what)
        elif event.kind not in PATHS:
            _check_cause(evidence, docket, event)
    backed = any(service.backup_metro is not None for service in evidence.model.services)
    for kind in LEVEL:
        if kind not in told and (backed or kind not in OF_A_BACKUP):
            docket.lacks(f"no trial led to {kind}")
    return docket.close(f"{len(told)} types of event in time, with their levels; {len(raised)} events, none invented")


def judge_alarms(evidence: Evidence) -> Judgement:
    docket = Docket()
    slowest = 0.0
    seen: set[str] = set()
    for trial, update in _updates(evidence, docket):
        alarm = trial.did.text("alarm")
        if not alarm:
            continue
        seen.add(alarm)
        origin = trial.did.count("origin")
        found = [
            event
            for event in events(evidence, PrefixEventRaised, since=update.at)
            if event.alarm == alarm and event.session == trial.session and event.prefix == update.prefix
        ]
        if not found:
            docket.breaks(update.at, trial.where, f"a {alarm} of {update.prefix} raised no alarm", update.message)
            continue
        after = (found[0].at - update.at) / SECOND
        if found[0].origin != origin:
            what = f"the {alarm} of {update.prefix} is told with origin AS{found[0].origin}, the wire has AS{origin}"
            docket.breaks(found[0].at, trial.where, what, update.message)
        elif after > RAISED_WITHIN:
            what = f"the {alarm} of {update.prefix} is told {after:.1f} s after the UPDATE"
            docket.breaks(found[0].at, trial.where, what, update.message)
        else:
            slowest = max(slowest, after)
            docket.proves(found[0].at, trial.where, f"{alarm} told {1000 * after:.0f} ms after the UPDATE")
    for alarm in ALARMS:
        if alarm not in seen:
            docket.lacks(f"no {alarm} was seen on the wire")
    return docket.close(
        f"{', '.join(sorted(seen))} told with prefix, origin and session, at the latest {1000 * slowest:.0f} ms "
        "after the UPDATE"
    )


def _updates(evidence: Evidence, docket: Docket) -> list[tuple[Trial, WireRoute]]:
    """Every trial with the UPDATE that it put on the wire; a gap is entered for one that the trace does not show."""
    found = []
    for trial in answered(evidence, docket, TelemetryStimulus.PREFIX_CHANGED, "raised"):
        prefix, origin = trial.did.text("prefix"), trial.did.count("origin")
        withdrawn = trial.did.text("change") == "withdraw"
        for route in routes(evidence, trial.session, trial.applied.node, since=trial.at, until=trial.until):
            said = None if route.attributes is None else route.attributes.origin_as()
            if route.prefix == prefix and (route.attributes is None if withdrawn else said == origin):
                found.append((trial, route))
                break
        else:
            docket.lacks(f"the trace does not show what {trial.where} was made to say of {prefix}")
    return found


def _event_of(evidence: Evidence, trial: Trial, update: WireRoute, kind: str) -> PrefixEventRaised | None:
    """The first event of that type in time: of that session, or of the prefix for a path."""
    until = update.at + int(RAISED_WITHIN * SECOND)
    for event in events(evidence, PrefixEventRaised, since=update.at, until=until):
        mine = event.kind in PATHS or event.session == trial.session
        if event.kind == kind and event.prefix == update.prefix and not event.announced and mine:
            return event
    return None


def _check_cause(evidence: Evidence, docket: Docket, event: PrefixEventRaised) -> None:
    """An event that nothing on the wire and no session's end led to is invented."""
    since, until = event.caused_at - int(CAUSED_WITHIN * SECOND), event.caused_at
    for route in routes(evidence, event.session, since=since, until=until):
        said = None if route.attributes is None else route.attributes.origin_as()
        if route.prefix == (event.announced or event.prefix) and (event.kind in WITHDRAWALS or said == event.origin):
            return
    if event.kind in WITHDRAWALS and _ended(evidence, event, since, until):
        return
    if watched(evidence, docket, event.session, since=since, until=until, broken=True):
        what = f"{event.kind} of {event.prefix}, and neither the wire nor the session's end led to it"
        docket.breaks(event.at, f"{event.node} {event.session}", what)


def _ended(evidence: Evidence, event: PrefixEventRaised, since: int, until: int) -> bool:
    """Whether the session, or its router, ended then."""
    down = any(
        e.session == event.session and e.before == "Established"
        for e in events(evidence, SessionStateChanged, since=since, until=until)
    )
    dead = any(e.node == event.node for e in events(evidence, ProcessExited, since=since, until=until))
    closed = any(True for _ in decoded(evidence, Notification, event.session, since=since, until=until))
    return down or dead or closed


_CONSUMES = (
    "trial prefix-changed: name, prefix, change, origin, expected, alarm; raised",
    "PrefixEventRaised",
    "trace: UPDATE of every session that a trial or an event names",
)

CHECKS: tuple[Check, ...] = (
    Check(
        "TEL-02", "Prefix events and severity", PHASE, MAJOR,
        "Announcement, withdrawal, path and origin change of active and backup route carry the documented types and "
        "levels, in time, and every event has a cause on the wire.",
        "prefix-telemetry.md", "event log against the wire", no_service_prefix, judge_prefix_events, _CONSUMES,
        Phase.TELEMETRY,
    ),
    Check(
        "TEL-03", "Hijack/leak/withdrawal alarm", PHASE, CRITICAL,
        "A hijack, a leak and a withdrawal of a customer's prefix are told in time with prefix, origin and session.",
        "connection-telemetry.md; incidents", "event log against the wire", no_service_prefix, judge_alarms, _CONSUMES,
        Phase.TELEMETRY,
    ),
)  # fmt: skip
