"""What one session may do to itself and to no other: silence, too many routes, garbage, no policy, another policy."""

from __future__ import annotations

import asyncio

from peerlab.bgp.attributes import Family
from peerlab.bgp.policy import Policy, PrefixIn, PrefixRange, Statement, Verdict
from peerlab.controller import fault
from peerlab.controller.exam import ANSWERED_WITHIN, EXAM_ACCEPT, Exam, gone
from peerlab.controller.examiner import EXAM_HOLD_TIME
from peerlab.controller.lab import now_ns
from peerlab.evidence.story import Stimulus
from peerlab.router.protocol import OpenSession, SendRaw

SILENT, LIMITED, BROKEN, BARE, EDITED = "silent", "limit", "broken", "bare", "edit"
CASES = (LIMITED, BROKEN, BARE, EDITED)
"""Those that share a router; the silent one needs its own."""

LIMIT = 5
"""Routes that the limited session may bring; a person is warned from four on."""

NO_MARKER = "00" * 16 + "001304"
"""A KEEPALIVE without the marker of ones (RFC 4271 section 6.1)."""

NO_POLICY = Policy(name="none")
"""What an operator has who forgot to write one."""


def prepare(exam: Exam) -> None:
    """Want the sessions of these cases."""
    exam.want(SILENT, takes=EXAM_ACCEPT)
    exam.want(LIMITED, takes=EXAM_ACCEPT, at={"max_prefix": LIMIT})
    exam.want(BROKEN, takes=EXAM_ACCEPT)
    exam.want(BARE, takes=NO_POLICY, tells=NO_POLICY)
    exam.want(EDITED, takes=EXAM_ACCEPT, tells=_cloud_routes(exam))


async def fall_silent(exam: Exam) -> None:
    """The examiner announces something, then its process stops and its kernel still acknowledges (SES-06).

    With its packets lost instead, the NOTIFICATION would never leave: TCP sends nothing new before the old is
    acknowledged. Nothing may make a plan meanwhile, for a plan asks every router.
    """
    examiner, lab = exam[SILENT], exam.rehearsal.lab
    router = await exam.router(examiner.at)
    for family, session in examiner.sessions.items():
        await exam.is_up(examiner, family)
        prefix = exam.prefix(family, SILENT)
        await exam.announce(examiner, family, (prefix,))
        await router.wait("best", ANSWERED_WITHIN, session=session, prefix=prefix)
    silent = fault.find_router(lab, examiner.node)
    began = now_ns()
    for session in examiner.sessions.values():
        exam.applied(Stimulus.HOLD_EXPIRY, examiner.at, session, hold_time=EXAM_HOLD_TIME)
    await fault.freeze_router(lab, silent)

    async def down(session: str) -> None:
        await router.wait("down", EXAM_HOLD_TIME + ANSWERED_WITHIN, session=session)
        seconds = (now_ns() - began) / 1e9
        left = len(await router.rib("adj-rib-in-pre", session))
        left += sum(1 for route in await router.rib("loc-rib") if route.session == session)
        exam.observed(Stimulus.HOLD_EXPIRY, examiner.at, session, seconds=seconds, routes_left=left)

    try:
        await asyncio.gather(*(down(session) for session in examiner.sessions.values()))
    finally:
        await fault.thaw_router(lab, silent)


async def exceed_limit(exam: Exam) -> None:
    """One route under the limit, the limit, one over it; then back with fewer (POL-15)."""
    await asyncio.gather(*(_exceed(exam, family) for family in Family))


async def _exceed(exam: Exam, family: Family) -> None:
    examiner = exam[LIMITED]
    session = examiner.sessions[family]
    router = await exam.router(examiner.at)
    await exam.is_up(examiner, family)
    before = await exam.standing(examiner.at)
    prefixes = [exam.prefix(family, f"{LIMITED}-{number}") for number in range(LIMIT + 1)]
    exam.applied(Stimulus.MAX_PREFIX, examiner.node, session, limit=LIMIT, prefixes=prefixes)
    counts = []
    for upto in (LIMIT - 1, LIMIT):
        await exam.announce(examiner, family, prefixes[:upto])
        await router.wait("best", ANSWERED_WITHIN, session=session, prefix=prefixes[upto - 1])
        fact = await exam.fact(examiner, family)
        counts.append((fact.state, fact.received))
    warned = any(n.session == session and n.kind == "max-prefix-warning" for n in exam.notices)
    await exam.announce(examiner, family, prefixes[LIMIT:])
    down = await router.wait("down", ANSWERED_WITHIN, session=session)
    others = gone(before, await exam.standing(examiner.at))
    await router.ask(OpenSession(session=session))
    recovered = await exam.is_up(examiner, family)
    if recovered:
        far = await exam.router(examiner.node)
        await far.wait("established", ANSWERED_WITHIN, session=session)
        await exam.announce(examiner, family, prefixes[:1])
        recovered = await router.wait("best", ANSWERED_WITHIN, session=session, prefix=prefixes[0])
    exam.observed(
        Stimulus.MAX_PREFIX,
        examiner.node,
        session,
        up_at_limit=counts == [("Established", LIMIT - 1), ("Established", LIMIT)],
        down_after=down,
        warned=warned,
        others_down=others,
        recovered=recovered,
    )


async def break_one(exam: Exam) -> None:
    """One session is broken with octets that are no BGP; what the router's other sessions do is looked at."""
    examiner = exam[BROKEN]
    router = await exam.router(examiner.at)
    far = await exam.router(examiner.node)
    for family in Family:
        await exam.is_up(examiner, family)
    for family in Family:
        session, other = examiner.sessions[family], examiner.sessions[_other(family)]
        sibling = await exam.fact(examiner, _other(family))
        before = await exam.standing(examiner.at)
        await far.wait("established", ANSWERED_WITHIN, session=session)
        exam.applied(Stimulus.ISOLATION, examiner.at, session)
        await far.ask(SendRaw(session=session, message=NO_MARKER))
        down = await router.wait("down", ANSWERED_WITHIN, session=session)
        others = gone(before, await exam.standing(examiner.at))
        if (await exam.fact(examiner, _other(family))).since != sibling.since:
            others.append(other)
        exam.observed(Stimulus.ISOLATION, examiner.at, session, down=down, others_down=others)
        await exam.is_up(examiner, family)


def _other(family: Family) -> Family:
    return Family.IPV6 if family is Family.IPV4 else Family.IPV4


async def go_without_policy(exam: Exam) -> None:
    """Routes are offered to a session without any policy; nothing may be used and nothing sent (POL-01)."""
    examiner = exam[BARE]
    for family, session in examiner.sessions.items():
        up = await exam.is_up(examiner, family)
        offered = [exam.prefix(family, f"{BARE}-{number}") for number in range(2)]
        exam.applied(Stimulus.NO_POLICY, examiner.node, session, offered=offered)
        if up:
            await (await exam.router(examiner.node)).wait("established", ANSWERED_WITHIN, session=session)
            await exam.announce(examiner, family, offered)
            await exam.are_known(examiner, family, offered)
        fact = await exam.fact(examiner, family)
        exam.observed(
            Stimulus.NO_POLICY,
            examiner.node,
            session,
            established=fact.state == "Established",
            received=fact.received,
            accepted=fact.accepted,
            advertised=fact.advertised,
        )


def _cloud_routes(exam: Exam, but: bool = False) -> Policy:
    """Export of the cloud's own prefixes; ``but``: of none of them."""
    cloud = exam.rehearsal.model.cloud()
    ranges = tuple(PrefixRange(p, le=128 if ":" in p else 32) for p in (cloud.prefixes if cloud else ()))
    verdict = Verdict.REJECT if but else Verdict.ACCEPT
    return Policy(
        name="examiner-out", statements=(Statement(name="service", match=(PrefixIn(ranges),), verdict=verdict),)
    )


async def change_policy(exam: Exam) -> None:
    """Both policies of a session with routes are edited and edited back, without a reset (POL-23)."""
    examiner = exam[EDITED]
    before: dict[Family, tuple[int, int, int]] = {}
    for family in Family:
        await exam.is_up(examiner, family)
        prefixes = [exam.prefix(family, f"{EDITED}-{number}") for number in range(3)]
        await (await exam.router(examiner.node)).wait("established", ANSWERED_WITHIN, session=examiner.sessions[family])
        await exam.announce(examiner, family, prefixes)
        await exam.are_known(examiner, family, prefixes)
        before[family] = await _counts(exam, family)
        exam.applied(Stimulus.POLICY_CHANGED, examiner.at, examiner.sessions[family])
    first = tuple(PrefixRange(exam.prefix(family, f"{EDITED}-0")) for family in Family)
    refused = Statement(name="refused for a while", match=(PrefixIn(first),), verdict=Verdict.REJECT)
    narrower = Policy(name="examiner-in", statements=(refused, *EXAM_ACCEPT.statements))
    exam.want(EDITED, takes=narrower, tells=_cloud_routes(exam, but=True))
    await exam.realise()
    await exam.rehearsal.lab.wait_quiet((examiner.at, examiner.node))
    between = {family: await _counts(exam, family) for family in Family}
    exam.want(EDITED, takes=EXAM_ACCEPT, tells=_cloud_routes(exam))
    await exam.realise()
    await exam.rehearsal.lab.wait_quiet((examiner.at, examiner.node))
    for family in Family:
        after = await _counts(exam, family)
        exam.observed(
            Stimulus.POLICY_CHANGED,
            examiner.at,
            examiner.sessions[family],
            accepted_before=before[family][0],
            accepted_between=between[family][0],
            accepted_after=after[0],
            advertised_before=before[family][1],
            advertised_between=between[family][1],
            advertised_after=after[1],
            flaps=after[2] - before[family][2],
        )


async def _counts(exam: Exam, family: Family) -> tuple[int, int, int]:
    """Accepted, advertised and flaps of the edited session at the examined router."""
    fact = await exam.fact(exam[EDITED], family)
    return fact.accepted, fact.advertised, fact.flaps
