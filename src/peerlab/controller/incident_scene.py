"""The scene ``incident``: what networks did to each other on purpose or by mistake, done to this lab."""

from __future__ import annotations

import asyncio

from peerlab.controller import client_control, hijack, spoofing
from peerlab.controller.cast import connections
from peerlab.controller.exam import Exam
from peerlab.controller.peering_service import watch
from peerlab.controller.rehearsal import Rehearsal


async def incidents(rehearsal: Rehearsal) -> None:
    """Play all of it at the first edge and the first route server, and take the examiners away again."""
    edges = [connection.edge for _, connection in connections(rehearsal)]
    if not edges:
        return
    await watch(rehearsal)
    model, server = rehearsal.model, client_control.server_of(rehearsal.model)
    posts = [*hijack.posts(edges[0]), *(client_control.posts(model, server) if server is not None else ())]
    exam = await Exam.begin(rehearsal, posts)
    try:
        programme = hijack.prepare(exam, rehearsal, edges[0])
        acts = [hijack.hijack(exam, rehearsal, edges[0], programme), spoofing.spoof(rehearsal)]
        if server is not None:
            client_control.want(exam, model, server)
            acts.append(client_control.command(exam, rehearsal, server))
        await exam.realise()
        await asyncio.gather(*acts)
    finally:
        await exam.end()
