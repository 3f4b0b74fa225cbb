"""Judges of the trials that would break a real session, done on an examiner's (SES-03, 06, 10, 11, 15, 16)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from peerlab.bgp.attributes import BgpRole
from peerlab.bgp.capability import CapabilityCode
from peerlab.bgp.wire import Notification, Open, RouteRefresh
from peerlab.evidence.story import Stimulus
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import SECOND, Trial, answered
from peerlab.verify.subject import connection_sessions
from peerlab.verify.wire import announcements, decoded, hex_of, messages, silence_is_seen, standing, watched

BAD_PEER_AS = (2, 2)
HOLD_TIMER_EXPIRED = (4, 0)
ROLE_MISMATCH = (2, 11)
ROLE_OCTETS = {
    BgpRole.PROVIDER: 0,
    BgpRole.RS: 1,
    BgpRole.RS_CLIENT: 2,
    BgpRole.CUSTOMER: 3,
    BgpRole.PEER: 4,
}
"""Values of the BGP Role capability (RFC 9234 section 4.1)."""
ALLOWED_PAIRS = {
    frozenset({BgpRole.PROVIDER, BgpRole.CUSTOMER}),
    frozenset({BgpRole.RS, BgpRole.RS_CLIENT}),
    frozenset({BgpRole.PEER}),
}
"""Roles that may face each other (RFC 9234 section 4.2), again: the judge does not ask the judged."""


def seen_trials(evidence: Evidence, docket: Docket, stimulus: StrEnum, *keys: str) -> Iterator[Trial]:
    """Answered trials that name a session which the trace shows without a gap; gaps are entered."""
    for trial in answered(evidence, docket, stimulus, *keys):
        if not trial.session:
            docket.lacks(f"{stimulus.value} at {trial.where}: the log does not say on which session")
        elif watched(evidence, docket, trial.session, trial.at, trial.until):
            yield trial


def refused_with(
    evidence: Evidence, docket: Docket, trial: Trial, code: tuple[int, int], sender: str | None = None
) -> bool:
    """Whether a NOTIFICATION of that code stands on the wire in the trial; entered as proof, or as a breach."""
    said = list(decoded(evidence, Notification, trial.session, sender, trial.at, trial.until))
    for message, notification in said:
        if (notification.code, notification.subcode) == code:
            what = f"NOTIFICATION {code[0]}/{code[1]} from {message.source}"
            docket.proves(message.at, trial.where, what, hex_of(message))
            return True
    if said:
        message, notification = said[0]
        what = f"NOTIFICATION {notification.code}/{notification.subcode}, not {code[0]}/{code[1]}"
        docket.breaks(message.at, trial.where, what, hex_of(message))
    else:
        docket.breaks(trial.until, trial.where, f"no NOTIFICATION {code[0]}/{code[1]} was sent")
    return False


def judge_wrong_asn(evidence: Evidence) -> Judgement:
    docket = Docket()
    for trial in seen_trials(evidence, docket, Stimulus.WRONG_ASN, "established"):
        opens = list(decoded(evidence, Open, trial.session, trial.applied.node, trial.at, trial.until))
        wrong = trial.did.count("asn")
        if trial.saw.flag("established") is not False:
            docket.breaks(trial.until, trial.where, "the session came up with an AS that was not agreed")
        elif not any(said.asn == wrong for _, said in opens):
            docket.lacks(f"{trial.where}: the trace has no OPEN with AS {wrong}, so nothing wrong was refused")
        elif refused_with(evidence, docket, trial, BAD_PEER_AS):
            for route in announcements(evidence, trial.session, since=trial.at, until=trial.until):
                what = f"{route.sender} announces {route.prefix} in spite of the wrong AS"
                docket.breaks(route.at, trial.where, what, route.message)
    return docket.close("an OPEN with another AS was answered with NOTIFICATION 2/2, no route was exchanged")


def judge_hold_expiry(evidence: Evidence) -> Judgement:
    docket = Docket()
    for trial in seen_trials(evidence, docket, Stimulus.HOLD_EXPIRY, "seconds", "routes_left"):
        hold, left = trial.did.number("hold_time"), trial.saw.count("routes_left")
        if not hold or left is None:
            docket.lacks(f"{trial.where}: hold time or routes left are not logged")
            continue
        if not refused_with(evidence, docket, trial, HOLD_TIMER_EXPIRED, trial.applied.node):
            continue
        ended = next(
            m.at
            for m, said in decoded(evidence, Notification, trial.session, trial.applied.node, trial.at)
            if (said.code, said.subcode) == HOLD_TIMER_EXPIRED
        )
        heard = [m.at for m in messages(evidence, trial.session, until=trial.at) if m.source != trial.applied.node]
        if not heard:
            docket.lacks(f"{trial.where}: the trace has no message of the peer before it fell silent")
            continue
        silence = (ended - heard[-1]) / SECOND
        if silence > hold + 1:
            docket.breaks(ended, trial.where, f"noticed after {silence:.2f} s of silence, hold time is {hold:g} s")
        elif left:
            docket.breaks(trial.until, trial.where, f"{left} routes of the silent peer are still there")
        else:
            docket.proves(
                ended, trial.where, f"ended after {silence:.2f} s of silence (hold {hold:g} s), no route left"
            )
    return docket.close("a silent peer was dropped by the hold timer in time, with all its routes")


def judge_md5(evidence: Evidence) -> Judgement:
    docket = Docket()
    for trial in answered(evidence, docket, Stimulus.MD5_ON_PEER, "established", "reported"):
        if trial.saw.flag("established") is not False:
            docket.breaks(trial.until, trial.where, "came up although only the peer has an MD5 key")
        elif not trial.saw.text("reported"):
            docket.breaks(trial.until, trial.where, "stays down, but nobody says that MD5 is the reason")
        else:
            docket.proves(trial.until, trial.where, f"stays down; reported: {trial.saw.text('reported')}")
    for trial in answered(evidence, docket, Stimulus.MD5_EQUAL, "established"):
        if trial.saw.flag("established") is not True:
            docket.breaks(trial.until, trial.where, "does not come up with equal keys")
        else:
            docket.proves(trial.until, trial.where, "comes up with equal keys")
    for trial in answered(evidence, docket, Stimulus.MD5_UNEQUAL, "established", "kernel_failures"):
        failures = trial.saw.count("kernel_failures")
        if trial.saw.flag("established") is not False:
            docket.breaks(trial.until, trial.where, "came up with different keys")
        elif not failures:
            docket.lacks(f"{trial.where}: TCPMD5Failure did not grow, so the key may not be what kept it down")
        else:
            docket.proves(trial.until, trial.where, f"stays down with different keys; TCPMD5Failure grew by {failures}")
    return docket.close("MD5 on the peer's side alone is refused and reported; equal keys come up, unequal stay down")


def judge_gtsm(evidence: Evidence) -> Judgement:
    docket = Docket()
    for trial in answered(evidence, docket, Stimulus.TTL_FULL, "established", "ttl_seen"):
        ttl = trial.saw.count("ttl_seen")
        if trial.saw.flag("established") is not True:
            docket.breaks(trial.until, trial.where, "does not come up with GTSM at both ends")
        elif ttl != 255:
            docket.breaks(trial.until, trial.where, f"sends TTL {ttl}, not 255")
        else:
            docket.proves(trial.until, trial.where, "up with GTSM at both ends, TTL 255 on the wire")
    for trial in answered(evidence, docket, Stimulus.TTL_LOWERED, "established", "attempts"):
        reached = next(messages(evidence, trial.session, since=trial.at, until=trial.until), None)
        if trial.saw.flag("established") is not False:
            docket.breaks(trial.until, trial.where, "came up although the peer's TTL is under 255")
        elif reached is not None:
            docket.breaks(reached.at, trial.where, "a BGP message passed in spite of the low TTL", hex_of(reached))
        elif not silence_is_seen(evidence, trial.session, trial.at, trial.until):
            docket.lacks(f"{trial.where}: the capture does not cover the trial, so its silence proves nothing")
        elif not trial.saw.count("attempts"):
            docket.lacks(f"{trial.where}: no segment with a low TTL was sent")
        else:
            docket.proves(trial.until, trial.where, f"{trial.saw.count('attempts')} segments with a low TTL, no BGP")
    return docket.close("GTSM sends TTL 255, lets the neighbour in and keeps lower TTLs out of BGP")


def judge_route_refresh(evidence: Evidence) -> Judgement:
    docket = Docket()
    told: list[Trial] = []
    for trial in seen_trials(evidence, docket, Stimulus.ROUTE_REFRESH, "uptime_kept"):
        asker = trial.applied.node
        asked = [m for m, _ in decoded(evidence, RouteRefresh, trial.session, asker, trial.at, trial.until)]
        if not asked:
            docket.lacks(f"{trial.where}: the trace has no ROUTE-REFRESH of {asker}")
            continue
        peers = {m.source for m in messages(evidence, trial.session)} - {asker}
        peer = min(peers, default="")
        before = standing(evidence, trial.session, peer, asked[0].at)
        if not before:
            continue
        told.append(trial)
        again = {r.prefix for r in announcements(evidence, trial.session, peer, asked[0].at, trial.until)}
        resets = [m for m, _ in decoded(evidence, Open, trial.session, since=trial.at, until=trial.until)]
        resets += [m for m, _ in decoded(evidence, Notification, trial.session, since=trial.at, until=trial.until)]
        missing = sorted(set(before) - again)
        if resets:
            docket.breaks(resets[0].at, trial.where, "the session was reset instead", hex_of(resets[0]))
        elif trial.saw.flag("uptime_kept") is not True:
            docket.breaks(trial.until, trial.where, "the session did not keep its uptime")
        elif missing:
            what = f"{peer} did not send {missing[0]} again ({len(missing)} of {len(before)} missing)"
            docket.breaks(trial.until, trial.where, what, hex_of(asked[0]))
        else:
            what = f"{peer} sent all {len(before)} routes again, session untouched"
            docket.proves(asked[0].at, trial.where, what, hex_of(asked[0]))
    if not told:
        docket.lacks("no route refresh was asked of a peer that had announced something")
    return docket.close(f"{len(told)} refreshes brought every route again without a reset")


def judge_roles(evidence: Evidence) -> Judgement:
    docket = Docket()
    for trial in seen_trials(evidence, docket, Stimulus.ROLE_PAIR, "established"):
        if trial.saw.flag("established") is not True:
            docket.breaks(trial.until, trial.where, "an allowed pair of roles does not come up")
        else:
            docket.proves(trial.until, trial.where, "an allowed pair of roles comes up")
    for stimulus, what in ((Stimulus.ROLE_MISMATCH, "a role mismatch"), (Stimulus.ROLE_SILENT, "silence")):
        for trial in seen_trials(evidence, docket, stimulus, "established"):
            if trial.saw.flag("established") is not False:
                docket.breaks(trial.until, trial.where, f"comes up in spite of {what}")
            else:
                refused_with(evidence, docket, trial, ROLE_MISMATCH)
    for session in connection_sessions(evidence.model):
        left, right = session.left.role, session.right.role
        if left is not None and right is not None and frozenset({left, right}) not in ALLOWED_PAIRS:
            docket.breaks(0, session.id, f"is configured with roles {left.value} and {right.value}, no allowed pair")
        for end in (session.left, session.right):
            wanted = () if end.role is None else (bytes([ROLE_OCTETS[end.role]]),)
            for message, said in list(decoded(evidence, Open, session.id, end.node))[:1]:
                if said.values(CapabilityCode.BGP_ROLE) != wanted:
                    what = f"the OPEN's role is not the configured {end.role.value if end.role else 'none'}"
                    docket.breaks(message.at, f"{end.node} {session.id}", what, hex_of(message))
    return docket.close("allowed roles come up; a mismatch and a silent peer of a strict end get NOTIFICATION 2/11")
