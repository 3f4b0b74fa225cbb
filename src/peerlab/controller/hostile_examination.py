"""Hostile cases against any router of a running lab, for whoever wants to know what that router makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from peerlab.bgp.attributes import Family
from peerlab.bgp.malformed_case import MALFORMED, UNPARSEABLE
from peerlab.controller import fault, hostile_open, hostile_update
from peerlab.controller.exam import Exam
from peerlab.controller.hostile import posts
from peerlab.controller.hostile_talk import Prefixes
from peerlab.controller.lab import now_ns
from peerlab.controller.provision import Provisioner
from peerlab.controller.rehearsal import Rehearsal, gather_evidence
from peerlab.verify.case_seen import CaseSeen, cases_seen
from peerlab.verify.session_hostile import OPEN_ANSWERS

CASES = (*OPEN_ANSWERS, *(case.name for case in MALFORMED), *UNPARSEABLE)
"""Every case by name: OPENs, attributes, UPDATEs that cannot be read."""


async def examine(desk: Provisioner, node: str, wanted: Collection[str] = CASES) -> tuple[CaseSeen, ...]:
    """Attack a router with these cases in both families, and tell what it made of them.

    Raises RefusedError when there is no such router or it does not run.
    """
    lab = desk.lab
    fault.find_router(lab, node)
    rehearsal = Rehearsal(lab=lab, desk=desk, tell=lambda _: None, model=lab.model, widest=lab.store.widest())
    began = now_ns()
    cases = (hostile_open.OPENER, *hostile_update.CASES, *hostile_update.WITNESSES)
    exam = await Exam.begin(rehearsal, posts(rehearsal, node, cases))
    exam.also["asked"] = True
    try:
        await exam.realise()
        hostile_open.prepare_opener(exam)
        hostile_update.prepare(exam)
        await exam.realise()
        prefixes = Prefixes(exam)
        malformed = [case for case in MALFORMED if case.name in wanted]
        opens = [name for name in OPEN_ANSWERS if name in wanted]
        unparseable = [name for name in UNPARSEABLE if name in wanted]
        work = []
        for family in Family:
            if opens:
                work.append(hostile_open.open_badly(exam, family, opens, offer=False))
            if malformed:
                work.append(hostile_update.malform(exam, prefixes, family, malformed))
            if unparseable:
                work.append(hostile_update.make_unreadable(exam, prefixes, family, unparseable))
        await asyncio.gather(*work)
        evidence = await gather_evidence(rehearsal)
    finally:
        await exam.end()
    return cases_seen(evidence, began)
