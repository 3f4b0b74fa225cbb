"""The scene ``incident``: what networks did to each other on purpose or by mistake, done to this lab."""

from __future__ import annotations

from peerlab.controller import hijack
from peerlab.controller.cast import connections
from peerlab.controller.exam import Exam
from peerlab.controller.peering_service import watch
from peerlab.controller.rehearsal import Rehearsal


async def incidents(rehearsal: Rehearsal) -> None:
    """Play all of it at the first edge, and take the examiners away again."""
    edges = [connection.edge for _, connection in connections(rehearsal)]
    if not edges:
        return
    await watch(rehearsal)
    exam = await Exam.begin(rehearsal, hijack.posts(edges[0]))
    try:
        await hijack.hijack(exam, rehearsal, edges[0])
    finally:
        await exam.end()
