"""The files by which the routers of a running lab run: read out of its cell, and kept, for they end with it."""

from __future__ import annotations

import asyncio

from peerlab.controller.lab import Lab
from peerlab.daemons.kinds import files_of
from peerlab.daemons.router_config import router_config
from peerlab.errors import RuntimeFailure
from peerlab.topology.model import Node


async def keep_configurations(lab: Lab) -> dict[str, bytes]:
    """Every router's files as they stand (``NODE/FILE``), kept in the lab's directory too.

    A router that never started has none. Raises RuntimeFailure when the lab is gone or its directory does not take
    them.
    """
    await lab.runtime.observe()
    routers = [node for node in lab.model.nodes if node.is_router]
    portions = await asyncio.gather(*(_files(lab, node) for node in routers))
    found = {name: octets for portion in portions for name, octets in portion}
    lab.store.save_configurations(found)
    return found


async def _files(lab: Lab, node: Node) -> list[tuple[str, bytes]]:
    found = []
    for name in files_of(router_config(lab.model, node, {})):
        try:
            found.append((f"{node.name}/{name}", await lab.runtime.read_file(node.name, str(name))))
        except RuntimeFailure:
            continue
    return found
