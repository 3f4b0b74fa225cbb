"""Checks of origin validation (catalogue POL-20 to POL-22): what it rejects, how it follows, and what may leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from peerlab.bgp.origin_validation import INVALID, NOT_FOUND, VALID
from peerlab.bgp.wire import Notification, Open
from peerlab.evidence.story import Phase
from peerlab.evidence.story_origin import Egress, Ingress, OriginStimulus
from peerlab.peering.policy import RPKI_INVALID
from peerlab.verify.check import CRITICAL, MINOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import Detail, Trial
from peerlab.verify.session import no_connection
from peerlab.verify.session_trials import seen_trials
from peerlab.verify.wire import WireRoute, announcements, decoded, standing, watched

PHASE = "policy"
FAMILIES = ("ipv4", "ipv6")
STATES = (INVALID, VALID, NOT_FOUND)


def family_of(prefix: str) -> str:
    """The family of a prefix in text."""
    return FAMILIES[1] if ":" in prefix else FAMILIES[0]


def announced(evidence: Evidence, docket: Docket, trial: Trial) -> WireRoute | None:
    """The trial's announcement on the wire, with the path it says; a gap is entered without."""
    prefix, path = trial.did.text("prefix"), trial.did.text("as_path")
    for route in announcements(evidence, trial.session, trial.applied.node, trial.at, trial.until):
        if route.prefix == prefix and route.attributes is not None and route.attributes.path_text() == path:
            return route
    docket.lacks(f"{trial.where}: {prefix} with path {path or 'empty'} is not on the wire")
    return None


def require(docket: Docket, shown: set[tuple[str, str]], wanted: Iterable[StrEnum | str], what: str) -> None:
    """Enter a gap for every case that was not shown in both families."""
    for case in wanted:
        for family in FAMILIES:
            if (str(case), family) not in shown:
                docket.lacks(f"{what} '{case}' was not shown for {family}")


def judge_ingress(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    for trial in seen_trials(evidence, docket, OriginStimulus.VALIDATED, "state", "accepted", "reason", "vrps"):
        case, prefix, wanted = trial.did.text("case"), trial.did.text("prefix"), trial.did.text("state")
        state, accepted, reason = trial.saw.text("state"), trial.saw.flag("accepted"), trial.saw.text("reason")
        sent = announced(evidence, docket, trial)
        where = f"{trial.where} ({case})"
        if sent is None:
            continue
        if not trial.saw.count("vrps"):
            docket.lacks(f"{where}: the edge validates by no VRPs")
        elif state != wanted:
            docket.breaks(trial.until, where, f"{prefix} is {state}, not {wanted}", sent.message)
        elif accepted is not (trial.did.text("expected") == "accept"):
            fate = "accepted" if accepted else f"rejected ({reason})"
            docket.breaks(trial.until, where, f"{prefix}, {state}, was {fate}", sent.message)
        elif state == INVALID and "{" not in trial.did.text("as_path") and reason != RPKI_INVALID:
            what = f"{prefix}, {state}, was rejected by '{reason}', not by origin validation"
            docket.breaks(trial.until, where, what, sent.message)
        else:
            shown.add((case, family_of(prefix)))
            fate = "accepted" if accepted else f"rejected: {reason}"
            docket.proves(sent.at, where, f"{prefix} is {state}, {fate}", sent.message)
    require(docket, shown, Ingress, "the case")
    return docket.close("Invalid rejected with its reason, Valid and NotFound accepted, AS0 and AS_SET cases right")


def judge_live(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    for trial in seen_trials(evidence, docket, OriginStimulus.VRP_CHANGED, "state", "accepted", "before", "reset"):
        if _flipped(evidence, docket, trial):
            shown.add((trial.did.text("state"), family_of(trial.did.text("prefix"))))
    require(docket, shown, STATES, "a change to")
    lost: set[tuple[str, str]] = set()
    keys = ("held", "held_after", "expired", "back", "vrps", "seconds", "reset")
    for trial in seen_trials(evidence, docket, OriginStimulus.CACHE_LOST, *keys):
        lost |= {("cache", family) for family in _forgotten(evidence, docket, trial)}
    require(docket, lost, ("cache",), "the loss of the only")
    return docket.close("routes follow their ROAs without a reset; without any cache they are NotFound, none Invalid")


def _flipped(evidence: Evidence, docket: Docket, trial: Trial) -> bool:
    """Whether a route that stood announced changed its state and its fate with the ROAs."""
    prefix, state, wanted = trial.did.text("prefix"), trial.saw.text("state"), trial.did.text("state")
    before = Detail(trial.saw.table("before") or {})
    where = f"{trial.where} ({trial.did.text('change')})"
    if _was_reset(evidence, docket, trial, where):
        return False
    if prefix not in standing(evidence, trial.session, trial.applied.node, trial.at):
        docket.lacks(f"{where}: {prefix} did not stand announced")
    elif any(r.prefix == prefix for r in announcements(evidence, trial.session, None, trial.at, trial.until)):
        docket.lacks(f"{where}: {prefix} was announced anew, so its change proves nothing")
    elif before.text("state") == wanted:
        docket.lacks(f"{where}: {prefix} was {wanted} before")
    elif state != wanted:
        docket.breaks(trial.until, where, f"{prefix} is still {state}, not {wanted}")
    elif trial.saw.flag("accepted") is not (trial.did.text("expected") == "accept"):
        fate = "accepted" if trial.saw.flag("accepted") else f"rejected ({trial.saw.text('reason')})"
        docket.breaks(trial.until, where, f"{prefix}, now {state}, is {fate}")
    else:
        docket.proves(trial.until, where, f"{prefix}: {before.text('state')} → {state}, no reset, not announced anew")
        return True
    return False


def _was_reset(evidence: Evidence, docket: Docket, trial: Trial, where: str) -> bool:
    opened = any(True for _ in decoded(evidence, Open, trial.session, None, trial.at, trial.until))
    closed = any(True for _ in decoded(evidence, Notification, trial.session, None, trial.at, trial.until))
    if trial.saw.flag("reset") is not False or opened or closed:
        docket.breaks(trial.until, where, "the session was reset by a change of VRPs")
        return True
    return False


def _forgotten(evidence: Evidence, docket: Docket, trial: Trial) -> Iterator[str]:
    """The family in which a lost cache was believed, then forgotten, then believed again."""
    routes = {str(prefix): str(state) for prefix, state in (trial.did.table("routes") or {}).items()}
    expire, seconds = trial.did.count("expire") or 0, trial.saw.number("seconds") or 0.0
    if _was_reset(evidence, docket, trial, trial.where):
        return
    if not {VALID, INVALID} <= set(routes.values()):
        docket.lacks(f"{trial.where}: no Valid and no Invalid route stood when the cache was lost")
        return
    held, expired, back = (trial.saw.table(key) or {} for key in ("held", "expired", "back"))
    before = docket.faults
    if (trial.saw.number("held_after") or 0.0) >= expire - 1:
        docket.lacks(f"{trial.where}: the edge was looked at too late to see the data held")
    else:
        _same(docket, trial, held, routes, "the cache was just lost, its data had not expired")
    if trial.saw.count("vrps"):
        what = f"{seconds:.1f} s after the loss the edge still validates by {trial.saw.count('vrps')} VRPs"
        docket.breaks(trial.until, trial.where, f"{what}, which expired after {expire} s")
    for prefix in routes:
        fate = Detail(_table(expired.get(prefix)))
        if fate.text("state") != NOT_FOUND or fate.flag("accepted") is not True:
            what = f"without any cache {prefix} is {fate.text('state') or 'gone'}"
            docket.breaks(trial.until, trial.where, f"{what}, {'accepted' if fate.flag('accepted') else 'rejected'}")
    _same(docket, trial, back, routes, "the cache is back")
    if docket.faults == before:
        what = f"{len(routes)} routes NotFound and accepted {seconds:.1f} s after the loss of the cache"
        docket.proves(trial.until, trial.where, f"{what} (expire {expire} s), as before when it was back")
        yield family_of(next(iter(routes)))


def _same(docket: Docket, trial: Trial, fates: dict[str, object], routes: dict[str, str], when: str) -> None:
    for prefix, state in routes.items():
        fate = Detail(_table(fates.get(prefix)))
        if fate.text("state") != state or fate.flag("accepted") is not (state != INVALID):
            what = f"{prefix} is {fate.text('state') or 'gone'} although {when}: it was {state}"
            docket.breaks(trial.until, trial.where, what)
            return


def _table(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def judge_egress(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    for trial in seen_trials(evidence, docket, OriginStimulus.EXPORTED, "held", "announced", "as_path"):
        case, prefix, out = trial.did.text("case"), trial.did.text("prefix"), trial.did.text("out")
        where = f"{trial.where} ({case})"
        heard = announced(evidence, docket, trial)
        if heard is None or not watched(evidence, docket, out, trial.at, trial.until):
            continue
        edge = heard.receiver
        sent = next((r for r in announcements(evidence, out, edge, trial.at, trial.until) if r.prefix == prefix), None)
        leaves = trial.did.text("expected") == "announce"
        if trial.saw.flag("held") is not True:
            docket.lacks(f"{where}: the edge has no best route for {prefix}, so it had nothing to export")
        elif (sent is not None) is not trial.saw.flag("announced"):
            docket.lacks(f"{where}: the wire of {out} and its receiver do not agree on {prefix}")
        elif leaves and sent is None:
            docket.breaks(trial.until, where, f"{edge} withholds {prefix}, which is Valid for its receiver")
        elif not leaves and sent is not None:
            docket.breaks(sent.at, where, f"{edge} announces {prefix}, which is Invalid for its receiver", sent.message)
        elif sent is not None and _origin(sent) != trial.did.count("origin"):
            docket.lacks(f"{where}: {prefix} left with origin AS{_origin(sent)}")
        else:
            shown.add((case, family_of(prefix)))
            fate = "announced" if sent is not None else "withheld"
            at, message = (sent.at, sent.message) if sent is not None else (heard.at, heard.message)
            docket.proves(at, where, f"{prefix} is {fate} on {out}", message)
    require(docket, shown, Egress, "the case")
    return docket.close("exports are validated with the origin that their receiver sees")


def _origin(route: WireRoute) -> int | None:
    return None if route.attributes is None else route.attributes.origin_as()


CHECKS: tuple[Check, ...] = (
    Check(
        "POL-20", "ROV ingress", PHASE, CRITICAL,
        "Invalid rejected, Valid and NotFound accepted; AS0 and AS_SET cases right.",
        "RFC 6811 2-3; MS policy.md", "test ROAs by RTR, routes under each", no_connection, judge_ingress,
        ("trial origin-validated per evidence.story_origin.Ingress and family: state, accepted, reason, vrps",
         "trace: the announcement on the trial's session"),
        Phase.ORIGIN,
    ),
    Check(
        "POL-21", "ROV live and fail-safe", PHASE, CRITICAL,
        "VRP change flips the route without reset; loss of all caches past expire gives NotFound, never mass Invalid.",
        "RFC 6811 4; RFC 8210 6", "ROAs changed under standing routes; the only cache killed", no_connection,
        judge_live,
        ("trial vrp-changed to invalid, valid and not-found per family: state, accepted, before, reset",
         "trial cache-lost per family: held, held_after, expired, back, vrps, seconds, reset",
         "trace: UPDATE, OPEN and NOTIFICATION on the trials' sessions"),
        Phase.ORIGIN,
    ),
    Check(
        "POL-22", "ROV egress", PHASE, MINOR, "Export is validated on the effective origin after path edits.",
        "RFC 8893 3", "the receiver's wire", no_connection, judge_egress,
        ("trial origin-exported per evidence.story_origin.Egress and family: held, announced, as_path",
         "trace: the announcement on the trial's session and on its out session"),
        Phase.ORIGIN,
    ),
)  # fmt: skip
