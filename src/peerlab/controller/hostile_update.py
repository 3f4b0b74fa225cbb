"""UPDATEs that are malformed on purpose, and a witness beside: what the edge passes on shows what it made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.malformed_case import UNPARSEABLE, MalformedCase, good_update, malformed_update, unparseable_updates
from peerlab.bgp.nlri import nlri_bytes
from peerlab.controller.exam import ACCEPT_ALL, EXAM_ACCEPT, Exam
from peerlab.controller.hostile_talk import (
    Prefixes,
    converse,
    establish,
    let_go,
    open_message,
    sender_of,
    talk,
    want_at,
)
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.router.raw_speaker import AwaitEnd, AwaitOctets, AwaitTalk, Close, Mark, Send, Step, TalkTold

MALFORMED_AT, WITNESS, UNPARSEABLE_AT, SECOND_WITNESS = "malformed", "witness", "unparseable", "witness-too"
CASES = (MALFORMED_AT, UNPARSEABLE_AT)
WITNESSES = (WITNESS, SECOND_WITNESS)
"""Their routers speak for another AS: an edge need not pass routes on to an AS that is in their path already."""
MARK_COMMUNITY = "64999:7606"
"""On each malformed UPDATE: without it, an UPDATE whose attribute is discarded would change nothing that is seen."""
SEEN_WITHIN = 5.0
ENDED_WITHIN = 3.0


@dataclass(frozen=True)
class Attack:
    """A case with the octets that are sent for it, the prefix that stands before, and the route that follows it."""

    case: MalformedCase
    prefix: Prefix
    sentinel: Prefix
    octets: bytes

    @property
    def name(self) -> str:
        """The case's name."""
        return self.case.name


def prepare(exam: Exam) -> None:
    """Want the sessions of these cases."""
    want_at(exam, MALFORMED_AT, takes=EXAM_ACCEPT)
    want_at(exam, UNPARSEABLE_AT, takes=EXAM_ACCEPT)
    for witness in WITNESSES:
        want_at(exam, witness, tells=ACCEPT_ALL)


def attacks(exam: Exam, prefixes: Prefixes, family: Family, cases: Sequence[MalformedCase]) -> list[Attack]:
    """Every case with prefixes of its own."""
    sender = sender_of(exam[MALFORMED_AT], family)
    made = []
    for case in cases:
        prefix, sentinel = prefixes.next(family), prefixes.next(family)
        made.append(Attack(case, prefix, sentinel, malformed_update(case, sender, prefix, MARK_COMMUNITY)))
    return made


async def malform(exam: Exam, prefixes: Prefixes, family: Family, cases: Sequence[MalformedCase]) -> None:
    """Send every case on an Established session. After one that ends it, go on with the next on a new session."""
    left = attacks(exam, prefixes, family, cases)
    while left:
        told = await _send_all(exam, prefixes, family, left)
        done = next((n for n, attack in enumerate(left) if attack.name not in told.marks), len(left))
        stopped = told.stopped if done < len(left) else ""
        for number, attack in enumerate(left):
            sent = number < done or (number == done and "controls" in told.marks)
            _observe(exam, family, attack, sent, stopped if number == done else "")
        if "controls" not in told.marks:
            return
        left = left[done + 1 :]


def _observe(exam: Exam, family: Family, attack: Attack, sent: bool, stopped: str) -> None:
    attacker = exam[MALFORMED_AT]
    exam.observed(
        HostileStimulus.MALFORMED_UPDATE,
        attacker.node,
        attacker.sessions[family],
        trial=f"{attack.name} {attack.prefix}",
        sent=sent,
        stopped=stopped,
    )


async def _send_all(exam: Exam, prefixes: Prefixes, family: Family, todo: Sequence[Attack]) -> TalkTold:
    """One session: every prefix is announced well, then each case is sent, then a last route ends the row."""
    attacker, witness = exam[MALFORMED_AT], exam[WITNESS]
    sender = sender_of(attacker, family)
    last = prefixes.next(family)
    for attack in todo:
        exam.applied(
            HostileStimulus.MALFORMED_UPDATE,
            attacker.node,
            attacker.sessions[family],
            trial=f"{attack.name} {attack.prefix}",
            witness=witness.sessions[family],
            case=attack.name,
            prefix=attack.prefix,
            sentinel=attack.sentinel,
            octets=attack.octets.hex(),
            community=MARK_COMMUNITY,
        )
    steps: list[Step] = [AwaitTalk(talk=WITNESS, mark="up"), *establish(open_message(attacker.asn, family))]
    steps += [Send(octets=b"".join(good_update(sender, attack.prefix) for attack in todo).hex())]
    steps += [_witnessed(attack.prefix) for attack in todo]
    steps.append(Mark(name="controls"))
    for attack in todo:
        steps.append(Send(octets=(attack.octets + good_update(sender, attack.sentinel)).hex()))
        steps += [_witnessed(attack.sentinel), Mark(name=attack.name)]
    steps += [Send(octets=good_update(sender, last).hex()), _witnessed(last)]
    talks = [
        talk(MALFORMED_AT, attacker, family, steps),
        talk(WITNESS, witness, family, [*establish(open_message(witness.asn, family)), Mark(name="up")]),
    ]
    return (await converse(exam, attacker.node, talks))[MALFORMED_AT]


def _witnessed(prefix: Prefix) -> AwaitOctets:
    return AwaitOctets(octets=nlri_bytes(prefix).hex(), talk=WITNESS, within=SEEN_WITHIN)


async def make_unreadable(
    exam: Exam, prefixes: Prefixes, family: Family, names: Sequence[str] = UNPARSEABLE
) -> None:
    """Routes that cannot be told from their octets, each on a session of its own (SES-14)."""
    attacker, witness = exam[UNPARSEABLE_AT], exam[SECOND_WITNESS]
    session = attacker.sessions[family]
    sender = sender_of(attacker, family)
    steps: list[Step] = [AwaitTalk(talk=SECOND_WITNESS, mark="up")]
    opening = establish(open_message(attacker.asn, family))
    for name in names:
        prefix = prefixes.next(family)
        octets = unparseable_updates(sender, prefix)[name]
        exam.applied(
            HostileStimulus.UNPARSEABLE_UPDATE,
            attacker.node,
            session,
            trial=f"{name} {prefix}",
            witness=witness.sessions[family],
            case=name,
            prefix=prefix,
            octets=octets.hex(),
        )
        steps += [*(step for step in opening), Send(octets=octets.hex())]
        steps += [AwaitEnd(within=ENDED_WITHIN, soft=True), Mark(name=f"{name} {prefix}"), *let_go(), Close()]
    talks = [
        talk(UNPARSEABLE_AT, attacker, family, steps),
        talk(SECOND_WITNESS, witness, family, [*establish(open_message(witness.asn, family)), Mark(name="up")]),
    ]
    told = (await converse(exam, attacker.node, talks))[UNPARSEABLE_AT]
    for step in steps:
        if isinstance(step, Mark):
            sent = step.name in told.marks
            exam.observed(HostileStimulus.UNPARSEABLE_UPDATE, attacker.node, session, trial=step.name, sent=sent)



