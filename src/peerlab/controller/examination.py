"""The session phase: examiners come up at an edge, right and wrong, all cases at once, and go away again."""

from __future__ import annotations

import asyncio

from peerlab.controller import exam_limits, exam_port, exam_routes, exam_sessions
from peerlab.controller.cast import connections
from peerlab.controller.exam import Exam, gone
from peerlab.controller.examiner import Post, free_asns
from peerlab.controller.rehearsal import Rehearsal

LOWER, HIGHER, STRANGER, SILENT = "exam-a", "exam-b", "exam-c", "exam-d"
"""The examiners' routers. The first one has the lower router id."""


def posts(rehearsal: Rehearsal, edge: str, edges: list[str], cases: tuple[exam_sessions.Case, ...]) -> list[Post]:
    """Which router stands where, for every case."""
    model = rehearsal.model
    cloud = model.node(edge).asn
    old = next(free_asns(model, two_octets=True))
    at_lower = [case.name for case in cases if case.name != exam_sessions.OLD]
    at_lower += [*exam_limits.CASES, exam_port.NEIGHBOUR, exam_routes.FIRST, exam_routes.FIRST_AGAIN]
    return [
        *(Post(case=case, examiner=LOWER, at=edge) for case in at_lower),
        Post(case=exam_limits.SILENT, examiner=SILENT, at=edge),
        Post(case=exam_sessions.OLD, examiner=LOWER, at=edge, asn=old),
        Post(case=exam_routes.INSIDE, examiner=LOWER, at=edge, asn=cloud),
        Post(case=exam_routes.INSIDE_TOO, examiner=HIGHER, at=edge, asn=cloud),
        *(
            Post(case=case, examiner=HIGHER, at=edge)
            for case in (exam_sessions.THIRD, exam_routes.SECOND, exam_routes.HOP)
        ),
        *(Post(case=exam_port.stranger_at(one), examiner=STRANGER, at=one) for one in edges),
    ]


async def examine(rehearsal: Rehearsal) -> None:
    """Build the examiners, run every case of both families at once, and take the examiners away."""
    edges = list(dict.fromkeys(connection.edge for _, connection in connections(rehearsal)))
    if not edges:
        return
    edge = edges[0]
    wrong = next(free_asns(rehearsal.model))
    cases = exam_sessions.session_cases(wrong)
    exam = await Exam.begin(rehearsal, posts(rehearsal, edge, edges, cases))
    try:
        await exam.realise()
        watches = [await exam_sessions.prepare(exam, case, wrong) for case in cases]
        exam_limits.prepare(exam)
        exam_routes.prepare(exam)
        exam_port.prepare(exam)
        before = await exam.standing(edge)
        await exam.realise()
        await asyncio.gather(
            *(exam_sessions.run(exam, case, watch) for case, watch in zip(cases, watches, strict=True)),
            _edit_then_fall_silent(exam),
            exam_limits.exceed_limit(exam),
            exam_limits.break_one(exam),
            exam_limits.go_without_policy(exam),
            exam_routes.break_ties(exam),
            exam_routes.lose_next_hop(exam),
            exam_port.scan(exam, edges),
        )
        lost = gone(before, await exam.standing(edge))
        if lost:
            rehearsal.tell(f"  sessions of {edge} that did not stay up meanwhile: {', '.join(lost)}")
    finally:
        await exam.end()


async def _edit_then_fall_silent(exam: Exam) -> None:
    """One after the other: an edit is a plan, and a plan asks every router, the silent one too."""
    await exam_limits.change_policy(exam)
    await exam_limits.fall_silent(exam)
