"""Checks of blackholing and of forged origins (catalogue POL-19, SEC-06)."""

from __future__ import annotations

from peerlab.bgp.origin_validation import INVALID, VALID
from peerlab.evidence.events import RouterNotice
from peerlab.evidence.story import Phase
from peerlab.evidence.story_origin import Hole, OriginStimulus
from peerlab.peering.origin_monitor import OriginAlarmKind
from peerlab.peering.policy import BLACKHOLE, NO_EXPORT, RPKI_INVALID
from peerlab.verify.check import MAJOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.origin import announced, family_of, require
from peerlab.verify.reading import Detail, Trial, events
from peerlab.verify.session import no_connection
from peerlab.verify.session_trials import seen_trials
from peerlab.verify.wire import WireRoute, announcements

DROPPED = "blackhole"
"""The kernel's word for a route to nowhere."""


def judge_blackhole(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    keys = ("accepted", "reason", "state", "kernel", "communities", "told")
    for trial in seen_trials(evidence, docket, OriginStimulus.BLACKHOLE, *keys):
        sent = _sent(evidence, docket, trial)
        if sent is None:
            continue
        before = docket.faults
        expected = trial.did.text("expected")
        if expected == "discard":
            _discarded(evidence, docket, trial, sent)
        elif expected == "reject":
            _rejected(docket, trial, sent)
        else:
            _forwarded(docket, trial, sent)
        if docket.faults == before:
            prefix, kernel = trial.did.text("prefix"), trial.saw.text("kernel") or "no route"
            shown.add((trial.did.text("case"), family_of(prefix)))
            what = f"{prefix}: {trial.saw.text('reason')}; kernel: {kernel}"
            docket.proves(sent.at, f"{trial.where} ({trial.did.text('case')})", what, sent.message)
    require(docket, shown, Hole, "the case")
    return docket.close("65535:666 drops what was agreed on and is covered, stays in the AS, and does nothing else")


def _sent(evidence: Evidence, docket: Docket, trial: Trial) -> WireRoute | None:
    prefix = trial.did.text("prefix")
    for route in announcements(evidence, trial.session, trial.applied.node, trial.at, trial.until):
        carried = route.attributes.communities if route.attributes is not None else ()
        if route.prefix == prefix and (BLACKHOLE in carried) is trial.did.flag("marked"):
            return route
    docket.lacks(f"{trial.where}: {prefix} as described is not on the wire")
    return None


def _discarded(evidence: Evidence, docket: Docket, trial: Trial, sent: WireRoute) -> None:
    prefix, saw = trial.did.text("prefix"), trial.saw
    where = f"{trial.where} ({trial.did.text('case')})"
    onward = _onward(evidence, trial, sent)
    if saw.flag("accepted") is not True:
        docket.breaks(trial.until, where, f"{prefix} was rejected: {saw.text('reason')}", sent.message)
    elif saw.text("kernel") != DROPPED:
        what = f"{prefix} is accepted, but the edge's kernel has {saw.text('kernel') or 'no route'} for it"
        docket.breaks(trial.until, where, what, sent.message)
    elif NO_EXPORT not in (saw.texts("communities") or ()):
        docket.breaks(trial.until, where, f"{prefix} is kept without NO_EXPORT", sent.message)
    elif onward is not None:
        docket.breaks(onward.at, where, f"{onward.sender} tells {prefix} to {onward.receiver}", onward.message)
    elif saw.texts("told") != ():
        told = ", ".join(saw.texts("told") or ("?",))
        docket.breaks(trial.until, where, f"{prefix} was told on {told}", sent.message)
    elif saw.text("state") != INVALID:
        docket.lacks(f"{where}: {prefix} is {saw.text('state')}, so no exception from validation was needed")
    elif DROPPED not in saw.text("reason"):
        docket.breaks(trial.until, where, f"{prefix}, Invalid, was let in by '{saw.text('reason')}'", sent.message)


def _onward(evidence: Evidence, trial: Trial, sent: WireRoute) -> WireRoute | None:
    """The route on its way to another AS, if the wire of any session of the edge shows it."""
    for session in evidence.model.sessions_of(sent.receiver):
        if session.is_internal or session.id == trial.session:
            continue
        for route in announcements(evidence, session.id, sent.receiver, sent.at, trial.until):
            if route.prefix == sent.prefix:
                return route
    return None


def _rejected(docket: Docket, trial: Trial, sent: WireRoute) -> None:
    prefix, where = trial.did.text("prefix"), f"{trial.where} ({trial.did.text('case')})"
    if trial.saw.flag("accepted") is not False:
        docket.breaks(trial.until, where, f"{prefix} was accepted: {trial.saw.text('reason')}", sent.message)
    elif trial.saw.text("kernel"):
        docket.breaks(trial.until, where, f"{prefix} was rejected, yet stands in the edge's kernel", sent.message)
    elif not trial.saw.text("reason"):
        docket.breaks(trial.until, where, f"{prefix} was rejected without a reason", sent.message)


def _forwarded(docket: Docket, trial: Trial, sent: WireRoute) -> None:
    prefix, where = trial.did.text("prefix"), f"{trial.where} ({trial.did.text('case')})"
    if trial.saw.flag("accepted") is not True:
        docket.breaks(trial.until, where, f"{prefix} was rejected: {trial.saw.text('reason')}", sent.message)
    elif trial.saw.text("kernel") != "unicast":
        what = f"nobody agreed on blackholing, yet the edge's kernel has {trial.saw.text('kernel') or 'no route'}"
        docket.breaks(trial.until, where, f"{prefix}: {what}", sent.message)


def judge_forged_origin(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    for trial in seen_trials(evidence, docket, OriginStimulus.FORGED, "loose", "minimal", "alarms", "covering"):
        prefix, covering = trial.did.text("prefix"), trial.did.text("covering")
        loose, minimal, rightful = (Detail(trial.saw.table(key) or {}) for key in ("loose", "minimal", "covering"))
        alarms = trial.saw.texts("alarms") or ()
        sent = announced(evidence, docket, trial)
        if sent is None:
            continue
        told = [
            notice
            for notice in events(evidence, RouterNotice, trial.at, trial.until)
            if notice.kind == OriginAlarmKind.FORGED_ORIGIN.value and notice.text.startswith(f"{prefix} ")
        ]
        if (loose.text("state"), loose.flag("accepted")) != (VALID, True):
            docket.lacks(f"{trial.where}: under the loose ROA {prefix} was {loose.text('state') or 'gone'}, not Valid")
        elif prefix not in alarms:
            docket.breaks(trial.until, trial.where, f"{prefix}, Valid and forged, was not found", sent.message)
        elif not told:
            docket.lacks(f"{trial.where}: no notice of {prefix} was written down")
        elif covering in alarms:
            docket.breaks(trial.until, trial.where, f"the rightful {covering} was taken for forged", sent.message)
        elif (minimal.text("state"), minimal.flag("accepted")) != (INVALID, False):
            what = f"under the minimal ROA {prefix} is {minimal.text('state') or 'gone'}"
            fate = "accepted" if minimal.flag("accepted") else "rejected"
            docket.breaks(trial.until, trial.where, f"{what}, {fate}", sent.message)
        elif minimal.text("reason") != RPKI_INVALID:
            what = f"{prefix} was rejected by '{minimal.text('reason')}'"
            docket.breaks(trial.until, trial.where, what, sent.message)
        elif (rightful.text("state"), rightful.flag("accepted")) != (VALID, True):
            what = f"the minimal ROA makes the rightful {covering} {rightful.text('state') or 'gone'}"
            docket.breaks(trial.until, trial.where, what, sent.message)
        else:
            shown.add(("forgery", family_of(prefix)))
            docket.proves(told[0].at, trial.where, told[0].text, sent.message)
            docket.proves(trial.until, trial.where, f"{prefix} is Invalid under the minimal ROA, {covering} Valid")
    require(docket, shown, ("forgery",), "a")
    return docket.close("a forged sub-prefix that is Valid is found, and a minimal ROA makes it Invalid")


POLICY_CHECKS: tuple[Check, ...] = (
    Check(
        "POL-19", "Blackhole", "policy", MAJOR,
        "65535:666 works only when agreed and covered, /32-/128 allowed, not propagated, ROV exception deliberate.",
        "RFC 7999 3.1-3.3", "RIBs, the edge's kernel, every external wire of the edge", no_connection,
        judge_blackhole,
        ("trial blackhole per story_origin.Hole and family: accepted, reason, state, kernel, communities, told",
         "trace: the announcement on the trial's session; UPDATE of the edge to other ASes"),
        Phase.ORIGIN,
    ),
)  # fmt: skip

SECURITY_CHECKS: tuple[Check, ...] = (
    Check(
        "SEC-06", "Forged origin and loose ROA", "security", MAJOR,
        "Valid-but-forged sub-prefix is found by monitoring; minimal ROA makes it Invalid.",
        "RFC 9319 3, 5; E15", "a forged announcement under a loose and a minimal ROA", no_connection,
        judge_forged_origin,
        ("trial forged-origin per family: loose, minimal, alarms, covering", "RouterNotice forged-origin of the edge",
         "trace: the announcement on the trial's session"),
        Phase.ORIGIN,
    ),
)  # fmt: skip
