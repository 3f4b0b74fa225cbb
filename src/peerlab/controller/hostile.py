"""The hostile scene: attackers do to an edge what no honest peer would, while its real peers must not notice.

Their routers are examiners' (decision 0009) in which scripts speak instead of routers: octet by octet what a case asks
for. Every session has a wire of its own, and the cases that do not need the same one run at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from peerlab.bgp.attributes import Family
from peerlab.bgp.malformed_case import CORE
from peerlab.controller import hostile_load, hostile_open, hostile_path, hostile_update
from peerlab.controller.cast import connections
from peerlab.controller.exam import Exam, gone
from peerlab.controller.examiner import Post, free_asns
from peerlab.controller.hostile_talk import Prefixes
from peerlab.controller.rehearsal import Rehearsal
from peerlab.errors import RefusedError

ATTACKER = "attacker"
"""The node in which every script speaks."""


def posts(rehearsal: Rehearsal, at: str, cases: Iterable[str]) -> list[Post]:
    """Which wire each case gets; witnesses speak for an AS of their own."""
    witness = next(free_asns(rehearsal.model))
    witnesses = (*hostile_update.WITNESSES, hostile_load.LOAD_WITNESS)
    return [Post(case=case, examiner=ATTACKER, at=at, asn=witness if case in witnesses else None) for case in cases]


async def attack(rehearsal: Rehearsal) -> None:
    """Attack the first edge of a connection in every way. Raises RefusedError when its peers did notice."""
    edges = [connection.edge for _, connection in connections(rehearsal)]
    if not edges:
        return
    cases = (
        *hostile_open.CASES,
        *hostile_update.CASES,
        *hostile_update.WITNESSES,
        *hostile_load.CASES,
        hostile_load.LOAD_WITNESS,
    )
    exam = await Exam.begin(rehearsal, posts(rehearsal, edges[0], cases))
    try:
        await exam.realise()
        for part in (hostile_open, hostile_update, hostile_load):
            part.prepare(exam)
        prefixes = Prefixes(exam)
        before = await exam.standing(edges[0])
        await exam.realise()
        await asyncio.gather(
            *(hostile_open.open_badly(exam, family) for family in Family),
            *(hostile_open.collide(exam, family) for family in Family),
            *(hostile_update.malform(exam, prefixes, family, CORE) for family in Family),
            *(hostile_update.make_unreadable(exam, prefixes, family) for family in Family),
            hostile_load.wear_down(exam, prefixes),
            hostile_path.pass_through(rehearsal),
        )
        await hostile_load.drown(exam)
        lost = gone(before, await exam.standing(edges[0]))
    finally:
        await exam.end()
    if lost:
        raise RefusedError("PeersNoticed", f"sessions of {edges[0]} that did not stay up: {', '.join(lost)}")
