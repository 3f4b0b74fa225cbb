"""Judges of hostile sessions: OPENs, collisions, malformed UPDATEs, a peer that takes nothing (SES-04, 07, 13, 14, 17).

What was sent is looked up on the attacker's session, octet by octet; what the edge made of it on the same TCP
connection, and on the session of a witness to whom the edge passes routes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import pairwise

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes
from peerlab.bgp.malformed_case import CORE, UNPARSEABLE, Handling
from peerlab.bgp.wire import MessageType, Notification, Open, Update
from peerlab.errors import WireError
from peerlab.evidence.connection_fact import Step
from peerlab.evidence.events import SessionStateChanged
from peerlab.evidence.message import Message
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import SECOND, Trial, answered, events
from peerlab.verify.subject import FAMILIES, family_of
from peerlab.verify.wire import WireRoute, announcements, decoded, hex_of, messages, standing, watched

ACCEPTED = "accepted"
OPEN_ANSWERS = {
    "identifier-0": "2/3",
    "hold-time-1": "2/6",
    "hold-time-2": "2/6",
    "unknown-parameter": "2/4",
    "unknown-capability": ACCEPTED,
}
"""What every OPEN has to be answered with (RFC 4271 section 6.2, RFC 5492 section 3)."""
COLLISION = (6, 7)
SEND_HOLD_EXPIRED = 8
UPDATE_ERROR = 3
SLACK = 1.5
"""Seconds after SendHoldTime in which the blocked peer must be gone: the timer begins at the next KEEPALIVE."""


def hostile_trials(
    evidence: Evidence, docket: Docket, stimulus: HostileStimulus, *keys: str
) -> Iterator[tuple[Trial, Message]]:
    """Answered trials with the message that was sent for each, as the trace shows it; gaps are entered.

    What a person asked of any router (``peerlab hostile``) is no part of the scene, and is left out.
    """
    for trial in answered(evidence, docket, stimulus, *keys):
        if trial.did.flag("asked"):
            continue
        where = name_of(trial)
        if not watched(evidence, docket, trial.session, trial.at, trial.until, broken=True):
            continue
        sent = sent_in(evidence, trial)
        if sent is None:
            docket.lacks(f"{where}: what was to be sent is not on the wire of {trial.session}")
        else:
            yield trial, sent


def name_of(trial: Trial) -> str:
    """A trial for people: its case and its session."""
    return f"{trial.did.text('case') or trial.did.text('trial')} on {trial.session}"


def sent_in(evidence: Evidence, trial: Trial) -> Message | None:
    """The message of a trial on the wire of its session."""
    octets = trial.did.text("octets")
    found = messages(evidence, trial.session, trial.applied.node, trial.at, trial.until)
    return next((message for message in found if octets and hex_of(message) == octets), None)


def answers_to(evidence: Evidence, sent: Message, until: int) -> list[Message]:
    """What the other side said on the connection of a message, after it."""
    found = messages(evidence, sent.session or "", sent.destination, sent.at, until)
    return [message for message in found if message.connection == sent.connection]


def notification_in(said: list[Message]) -> tuple[Message, Notification] | None:
    """The first NOTIFICATION among messages."""
    for message in said:
        if message.kind == MessageType.NOTIFICATION:
            try:
                told = message.decode()
            except WireError:
                continue
            if isinstance(told, Notification):
                return message, told
    return None


def judge_bad_opens(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    for trial, sent in hostile_trials(evidence, docket, HostileStimulus.BAD_OPEN, "answered"):
        case = trial.did.text("case")
        expected, where = OPEN_ANSWERS.get(case, ""), name_of(trial)
        # The edge may say its own OPEN before it has read this one.
        said = answers_to(evidence, sent, trial.until)
        refusal = notification_in(said)
        kept = next((message for message in said if message.kind == MessageType.KEEPALIVE), None)
        got = f"{refusal[1].code}/{refusal[1].subcode}" if refusal is not None else ""
        if not expected:
            docket.lacks(f"{where}: no such case is known")
        elif expected == ACCEPTED:
            if refusal is not None:
                docket.breaks(refusal[0].at, where, f"refused with NOTIFICATION {got}", hex_of(refusal[0]))
            elif kept is None:
                docket.breaks(trial.until, where, "the OPEN was not taken: no KEEPALIVE came", hex_of(sent))
            else:
                shown.add((case, trial.session))
                docket.proves(kept.at, where, "taken, the session comes up", hex_of(sent))
        elif kept is not None:
            docket.breaks(kept.at, where, f"the OPEN was taken instead of refused with {expected}", hex_of(sent))
        elif refusal is None:
            docket.breaks(trial.until, where, f"no NOTIFICATION {expected} was sent", hex_of(sent))
        elif got != expected:
            docket.breaks(refusal[0].at, where, f"NOTIFICATION {got} instead of {expected}", hex_of(refusal[0]))
        else:
            shown.add((case, trial.session))
            docket.proves(refusal[0].at, where, f"refused with NOTIFICATION {got}", hex_of(refusal[0]))
    for case in OPEN_ANSWERS:
        if docket.is_clean and sum(1 for one, _ in shown if one == case) < len(FAMILIES):
            docket.lacks(f"{case} was not shown on a session of each family")
    return docket.close("identifier 0, hold times of 1 and 2 s, an unknown parameter refused; a capability ignored")


def judge_collisions(evidence: Evidence) -> Judgement:
    docket = Docket()
    winners: set[tuple[bool, str]] = set()
    for trial in answered(evidence, docket, HostileStimulus.COLLISION, "answered"):
        where = f"{trial.did.text('trial')} on {trial.session}"
        if not watched(evidence, docket, trial.session, trial.at, trial.until):
            continue
        said = list(messages(evidence, trial.session, since=trial.at, until=trial.until))
        attacker = trial.applied.node
        opened = {m.connection: m for m in said if m.source == attacker and m.kind == MessageType.OPEN}
        edges = [told for m in said if m.source != attacker and isinstance(told := _decoded(m), Open)]
        own = _decoded(next(iter(opened.values()))) if opened else None
        if len(opened) < 2 or not edges or not isinstance(own, Open):
            docket.lacks(f"{where}: the trace does not show an OPEN on two connections")
            continue
        initiators = {
            step.connection: step.source
            for step in evidence.trace.steps
            if step.session == trial.session and step.step is Step.ASKED and step.connection in opened
        }
        edge = next(m.source for m in said if m.source != attacker)
        higher = attacker if IPv4Address(own.router_id) > IPv4Address(edges[0].router_id) else edge
        kept = {
            number
            for number in opened
            if {attacker, edge} <= {m.source for m in said if (m.connection, m.kind) == (number, MessageType.KEEPALIVE)}
        }
        dropped = [m for m in said if m.source == edge and _notified(m) == COLLISION and m.connection in opened]
        if len(set(initiators.values())) < 2:
            docket.lacks(f"{where}: the trace does not show one connection opened by each side")
        elif len(kept) != 1:
            docket.breaks(trial.until, where, f"{len(kept)} of two connections became a session", hex_of(said[-1]))
        elif (winner := initiators[min(kept)]) != higher:
            docket.breaks(trial.until, where, f"the connection of {winner} stays, {higher} has the higher identifier")
        elif not dropped:
            docket.breaks(trial.until, where, "the other connection was not ended with NOTIFICATION 6/7")
        else:
            winners.add((higher == attacker, trial.session))
            docket.proves(
                dropped[0].at, where, f"the one session is that of {higher}, the higher identifier", hex_of(dropped[0])
            )
    for wins in (True, False):
        if docket.is_clean and sum(1 for won, _ in winners if won is wins) < len(FAMILIES):
            whose = "examiner" if wins else "edge"
            docket.lacks(f"no collision of each family was shown in which the {whose} has the higher identifier")
    return docket.close(f"{len(winners)} collisions each ended in the one session of the higher identifier")


def _decoded(message: Message) -> object:
    try:
        return message.decode()
    except WireError:
        return None


def _notified(message: Message) -> tuple[int, int] | None:
    told = _decoded(message)
    return (told.code, told.subcode) if isinstance(told, Notification) else None


class Made(msgspec.Struct, frozen=True):
    """What an edge made of a malformed UPDATE: the handling, '' for none that is known, when, and in words."""

    handling: str
    at: int
    what: str
    message: str = ""


UNCLEAR, IGNORED = "", "ignored"
"""Handlings besides those of RFC 7606: nothing can be said; the whole UPDATE was passed over."""


def made_of(evidence: Evidence, trial: Trial, sent: Message) -> Made:
    """What became of the routes of a malformed UPDATE, as the wires of attacker and witness show it."""
    prefix, witness, edge = trial.did.text("prefix"), trial.did.text("witness"), sent.destination
    passed = list(announcements(evidence, witness, edge, trial.at, trial.until))
    before = [route for route in passed if route.prefix == prefix and route.at < sent.at]
    sentinel = next((r for r in passed if r.prefix == trial.did.text("sentinel") and r.at > sent.at), None)
    refusal = notification_in(answers_to(evidence, sent, sentinel.at if sentinel is not None else trial.until))
    if refusal is not None:
        what = f"answered with NOTIFICATION {refusal[1].code}/{refusal[1].subcode}"
        return Made(Handling.RESET, refusal[0].at, what, hex_of(refusal[0]))
    if sentinel is None:
        if _ended_by(evidence, sent, edge, trial.until):
            return Made(Handling.RESET, trial.until, "answered by ending the connection", hex_of(sent))
        return Made(UNCLEAR, trial.until, "the good route behind it was not passed on", hex_of(sent))
    if not before:
        return Made(UNCLEAR, sent.at, f"{prefix} was not passed on even when all was well with it", hex_of(sent))
    now = standing(evidence, witness, edge, passed[-1].at).get(prefix)
    for message, update in decoded(evidence, Update, witness, edge, sent.at, passed[-1].at):
        if update.treat_as_withdraw is not None and prefix in update.withdrawn:
            return Made(Handling.KEEP, message.at, "the route is passed on, malformed as it came", hex_of(message))
    if now is None:
        return Made(Handling.WITHDRAW, sentinel.at, "treated as a withdrawal, the session stays", hex_of(sent))
    if now.at > sent.at and trial.did.text("community") in _communities(now):
        if _without_communities(now) == _without_communities(before[-1]):
            return Made(Handling.DISCARD, now.at, "the attribute was discarded, the route is used", now.message)
        return Made(Handling.KEEP, now.at, "the route is used and passed on with the attribute in it", now.message)
    return Made(IGNORED, sentinel.at, "the route stands as it was before, neither withdrawn nor renewed", hex_of(sent))


def _communities(route: WireRoute) -> tuple[str, ...]:
    return route.attributes.communities if route.attributes is not None else ()


def _without_communities(route: WireRoute) -> PathAttributes | None:
    if route.attributes is None:
        return None
    return msgspec.structs.replace(route.attributes, communities=())


def _ended_by(evidence: Evidence, sent: Message, node: str, until: int) -> bool:
    return any(
        step.connection == sent.connection
        and step.source == node
        and step.step in (Step.FINISHED, Step.RESET)
        and sent.at <= step.at <= until
        for step in evidence.trace.steps
    )


def judge_malformed(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, Family]] = set()
    core = {case.name: case.expect for case in CORE}
    for trial, sent in hostile_trials(evidence, docket, HostileStimulus.MALFORMED_UPDATE, "sent", "stopped"):
        case, where = trial.did.text("case"), name_of(trial)
        if case not in core or not watched(evidence, docket, trial.did.text("witness"), trial.at, trial.until):
            continue
        made = made_of(evidence, trial, sent)
        if made.handling == UNCLEAR:
            docket.lacks(f"{where}: {made.what}")
        elif made.handling != core[case]:
            docket.breaks(made.at, where, f"{made.what}; {core[case].value} is prescribed", made.message)
        else:
            shown.add((case, family_of(trial.did.text("prefix"))))
            docket.proves(made.at, where, made.what, made.message)
    for family in FAMILIES:
        left = [case for case in core if (case, family) not in shown]
        if docket.is_clean and left:
            docket.lacks(f"{len(left)} of {len(core)} cases were not shown in {family.value}, {left[0]} for one")
    return docket.close(f"{len(core)} malformed UPDATEs in each family withdrew or lost an attribute, none a session")


def judge_unparseable(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, Family]] = set()
    for trial, sent in hostile_trials(evidence, docket, HostileStimulus.UNPARSEABLE_UPDATE, "sent"):
        where, prefix, witness = name_of(trial), trial.did.text("prefix"), trial.did.text("witness")
        if not watched(evidence, docket, witness, trial.at, trial.until):
            continue
        refusal = notification_in(answers_to(evidence, sent, trial.until))
        passed = announcements(evidence, witness, sent.destination, sent.at, trial.until)
        wrong = next((route for route in passed if route.prefix == prefix), None)
        if wrong is not None:
            docket.breaks(wrong.at, where, f"{prefix} was made of it and passed on", wrong.message)
        elif refusal is None:
            docket.breaks(trial.until, where, "was not answered with a NOTIFICATION 3/x", hex_of(sent))
        elif refusal[1].code != UPDATE_ERROR:
            what = f"NOTIFICATION {refusal[1].code}/{refusal[1].subcode} instead of 3/x"
            docket.breaks(refusal[0].at, where, what, hex_of(refusal[0]))
        else:
            shown.add((trial.did.text("case"), family_of(prefix)))
            what = f"NOTIFICATION {refusal[1].code}/{refusal[1].subcode}, no route came of it"
            docket.proves(refusal[0].at, where, what, hex_of(refusal[0]))
    for family in FAMILIES:
        left = [case for case in UNPARSEABLE if (case, family) not in shown]
        if docket.is_clean and left:
            docket.lacks(f"{left[0]} was not shown in {family.value}")
    return docket.close(f"{len(shown)} UPDATEs whose routes cannot be told ended their session with NOTIFICATION 3/x")


def judge_send_hold(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[str] = set()
    for trial in answered(evidence, docket, HostileStimulus.SEND_BLOCKED, "stalled_at"):
        session, where = trial.session, f"{trial.applied.node} {trial.session}"
        stalled = trial.saw.count("stalled_at")
        limit, hold = trial.did.number("send_hold"), trial.did.number("hold_time")
        if not limit or not hold or not stalled:
            docket.lacks(f"{where}: the log does not say since when the peer takes nothing, and how long it may")
        elif watched(evidence, docket, session, trial.at, trial.until):
            before = docket.faults
            _judge_blocked(evidence, docket, trial, stalled, limit, hold)
            if docket.faults == before:
                shown.add(session)
        if limit and hold and limit <= hold:
            docket.breaks(trial.at, where, f"a send hold time of {limit:g} s is not above the hold time (RFC 9687 6)")
    if docket.is_clean and len(shown) < len(FAMILIES):
        docket.lacks("a blocked peer was not shown in each family")
    return docket.close(f"{len(shown)} peers with a zero window were dropped within the send hold time, and logged")


def _judge_blocked(
    evidence: Evidence, docket: Docket, trial: Trial, stalled: int, limit: float, hold: float
) -> None:
    edge, session = trial.applied.node, trial.session
    where = f"{edge} {session}"
    ends = [
        step
        for step in evidence.trace.steps
        if step.session == session
        and step.source == edge
        and step.step in (Step.FINISHED, Step.RESET)
        and stalled <= step.at <= trial.until
    ]
    if not ends:
        seconds = (trial.until - stalled) / SECOND
        docket.breaks(trial.until, where, f"still up {seconds:.1f} s after the window closed (limit {limit:g} s)")
        return
    ended = ends[0].at
    seconds = (ended - stalled) / SECOND
    said = list(messages(evidence, session, since=stalled, until=ended))
    refusal = notification_in([message for message in said if message.source == edge])
    alive = [m.at for m in said if m.source != edge and m.kind == MessageType.KEEPALIVE]
    steps = [stalled, *alive, ended]
    silence = max(later - earlier for earlier, later in pairwise(steps)) / SECOND
    logged = [
        e
        for e in events(evidence, SessionStateChanged, stalled, trial.until)
        if e.node == edge and e.session == session and e.before == "Established"
    ]
    if refusal is not None and refusal[1].code != SEND_HOLD_EXPIRED:
        what = f"ended for another reason: NOTIFICATION {refusal[1].code}/{refusal[1].subcode}"
        docket.breaks(refusal[0].at, where, what, hex_of(refusal[0]))
    elif silence >= hold:
        docket.lacks(f"{where}: the peer was silent itself for {silence:.1f} s, the hold timer may have ended it")
    elif seconds > limit + SLACK:
        docket.breaks(ended, where, f"dropped only after {seconds:.1f} s; the send hold time is {limit:g} s")
    elif not logged:
        docket.lacks(f"{where}: the log does not tell of the session's end")
    elif "send hold" not in logged[0].reason.lower():
        docket.breaks(logged[0].at, where, f"dropped, and the log does not say why: {logged[0].reason or 'no reason'}")
    else:
        docket.proves(ended, where, f"dropped {seconds:.1f} s after the window closed; logged: {logged[0].reason}")
