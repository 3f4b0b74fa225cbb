"""Where a lab stands: in a cell of namespaces, or in one whose routers may be containers."""

from __future__ import annotations

from peerlab.evidence.store import LabStore
from peerlab.runtime.base import Runtime
from peerlab.runtime.namespaces import attach, start_cell
from peerlab.topology.model import LabModel


def has_containers(model: LabModel) -> bool:
    """Whether any node of the lab is a container."""
    return any(node.image for node in model.nodes)


async def start_runtime(name: str, store: LabStore, model: LabModel) -> Runtime:
    """Start the cell of a new lab. Raises RefusedError when the name is taken, Unsupported, RuntimeFailure."""
    if not has_containers(model):
        return await start_cell(name, store.path)
    from peerlab.runtime.docker import start_docker_cell  # its SDK would cost every command 0.1 s

    return await start_docker_cell(name, store.path)


async def attach_runtime(name: str, store: LabStore, model: LabModel) -> Runtime:
    """Attach to the cell of a lab that runs. Raises RefusedError when there is none, Unsupported without Docker."""
    if not has_containers(model):
        return await attach(name)
    from peerlab.runtime.docker import attach_docker_cell

    return await attach_docker_cell(name, store.path)
