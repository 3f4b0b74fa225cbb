"""OPENs that must be refused, oddities that must not matter, families nobody asked for, and two OPENs at once."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.capability import Capability, CapabilityCode
from peerlab.bgp.framing import HEADER_LENGTH, MessageType, frame
from peerlab.controller.exam import Exam
from peerlab.controller.hostile_talk import KEEPALIVE, converse, let_go, open_message, talk, want_at
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.router.raw_speaker import Accept, Await, AwaitEnd, AwaitOne, Close, Connect, Mark, Send, Step, Talk
from peerlab.verify.session_hostile import ACCEPTED, OPEN_ANSWERS

OPENER, LOWER, HIGHER = "opener", "collide-low", "collide-high"
CASES = (OPENER, LOWER, HIGHER)

UNKNOWN_CAPABILITY = Capability(239, b"\xde\xad\xbe\xef")
"""A code of the private use range (RFC 5492 section 7, as amended by RFC 8810)."""
FOREIGN_FAMILIES = ((1, 4), (2, 4), (1, 128), (2, 128), (25, 70), (1, 133), (2, 133), (1, 134))
"""Labelled unicast, VPN, EVPN and flowspec (AFI, SAFI)."""
REFUSED_WITHIN = 3.0
LOWEST, HIGHEST = Address("0.0.0.1"), Address("255.255.255.254")
"""Identifiers under and over every router's (RFC 6286 section 2.1: any but 0)."""


def prepare_opener(exam: Exam) -> None:
    """Want the sessions on which OPENs are tried."""
    want_at(exam, OPENER)


def prepare(exam: Exam) -> None:
    """Want the sessions of these cases."""
    prepare_opener(exam)
    for case in (LOWER, HIGHER):
        want_at(exam, case, passive=False, listening=True)


def bad_opens(asn: int, family: Family) -> dict[str, bytes]:
    """OPENs by case (``verify.session_hostile.OPEN_ANSWERS`` says what each has to be answered with)."""
    good = open_message(asn, family)
    body = good[HEADER_LENGTH:]

    def with_body(changed: bytes) -> bytes:
        return frame(MessageType.OPEN, changed)

    odd_parameter = body[:9] + bytes([body[9] + 4]) + body[10:] + bytes([9, 2, 0, 0])
    return {
        "identifier-0": with_body(body[:5] + bytes(4) + body[9:]),
        "hold-time-1": with_body(body[:3] + b"\0\1" + body[5:]),
        "hold-time-2": with_body(body[:3] + b"\0\2" + body[5:]),
        "unknown-parameter": with_body(odd_parameter),
        "unknown-capability": open_message(asn, family, extra=(UNKNOWN_CAPABILITY,)),
    }


def foreign_open(asn: int, family: Family) -> bytes:
    """An OPEN that offers families which no peering carries, besides the right one."""
    offered = (
        Capability(CapabilityCode.MULTIPROTOCOL, afi.to_bytes(2, "big") + bytes([0, safi]))
        for afi, safi in FOREIGN_FAMILIES
    )
    return open_message(asn, family, extra=offered)


async def open_badly(
    exam: Exam, family: Family, names: Collection[str] = tuple(OPEN_ANSWERS), offer: bool = True
) -> None:
    """One OPEN after the other, each on a connection of its own (SES-04); ``offer`` foreign families too (SEC-08)."""
    examiner = exam[OPENER]
    session = examiner.sessions[family]
    steps: list[Step] = []
    cases = {name: octets for name, octets in bad_opens(examiner.asn, family).items() if name in names}
    for case, octets in cases.items():
        expected = OPEN_ANSWERS[case]
        exam.applied(
            HostileStimulus.BAD_OPEN,
            examiner.node,
            session,
            trial=f"{case} {family.value}",
            case=case,
            octets=octets.hex(),
            expected=expected,
        )
        steps += [Connect(greeted=True), Send(octets=octets.hex())]
        if expected == ACCEPTED:
            steps += _accepted()
        else:
            steps += [AwaitEnd(within=REFUSED_WITHIN, soft=True)]
        steps += [Mark(name=case), Close()]
    if offer:
        foreign = foreign_open(examiner.asn, family)
        exam.applied(
            HostileStimulus.FAMILIES_OFFERED,
            examiner.node,
            session,
            trial=family.value,
            octets=foreign.hex(),
            families=[f"{afi}/{safi}" for afi, safi in FOREIGN_FAMILIES],
        )
        steps += [Connect(greeted=True), Send(octets=foreign.hex()), *_accepted(), Mark(name="families"), Close()]
    told = (await converse(exam, examiner.node, [talk(OPENER, examiner, family, steps)]))[OPENER]
    for case in cases:
        exam.observed(
            HostileStimulus.BAD_OPEN,
            examiner.node,
            session,
            trial=f"{case} {family.value}",
            answered=case in told.marks,
        )
    if offer:
        exam.observed(
            HostileStimulus.FAMILIES_OFFERED,
            examiner.node,
            session,
            trial=family.value,
            answered="families" in told.marks,
        )


def _accepted() -> tuple[Step, ...]:
    return (
        Await(kinds=(MessageType.OPEN,), within=REFUSED_WITHIN, soft=True),
        Send(octets=KEEPALIVE.hex()),
        Await(kinds=(MessageType.KEEPALIVE,), within=REFUSED_WITHIN, soft=True),
        *let_go(),
    )


async def collide(exam: Exam, family: Family) -> None:
    """Take the edge's connection, open one to it, and send an OPEN on both: one has to end (SES-07)."""
    talks: list[Talk] = []
    for case, identifier in ((LOWER, LOWEST), (HIGHER, HIGHEST)):
        examiner = exam[case]
        other = exam.rehearsal.lab.model.node(examiner.at).router_id
        opening = open_message(examiner.asn, family, identifier)
        exam.applied(
            HostileStimulus.COLLISION,
            examiner.node,
            examiner.sessions[family],
            trial=f"{case} {family.value}",
            identifier=str(ip_address(identifier)),
            other=str(other),
        )
        steps = (
            Accept(),
            Await(kinds=(MessageType.OPEN,)),
            Connect(beside=True),
            Send(octets=opening.hex()),
            Send(octets=opening.hex(), on="other"),
            AwaitOne(within=REFUSED_WITHIN),
            Send(octets=KEEPALIVE.hex()),
            Await(kinds=(MessageType.KEEPALIVE,)),
            Mark(name="up"),
        )
        talks.append(talk(case, examiner, family, steps))
    told = await converse(exam, exam[LOWER].node, talks)
    for case in (LOWER, HIGHER):
        exam.observed(
            HostileStimulus.COLLISION,
            exam[case].node,
            exam[case].sessions[family],
            trial=f"{case} {family.value}",
            answered="up" in told[case].marks,
        )
