"""The runtime in which nodes can be containers: Docker starts them, the cell wires them and ends them.

A container's own first process only waits: it holds the image's file system and the network that the supervisor
wires, and ends when the supervisor does, because that holds the other end of the pipe it reads. Routers, daemons and
commands are started by the supervisor inside the container (`peerlab.runtime.container`); probes and taps need its
network only. So links, taps, impairments and exits are those of `peerlab.runtime.namespaces`, and a lab may mix both.

Needs root, because a container's network belongs to the host's user namespace.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import msgspec
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from peerlab.errors import RefusedError, RuntimeFailure, Unsupported
from peerlab.runtime import language
from peerlab.runtime.base import LinkSpec, NodeSpec, RouteSpec, check_names
from peerlab.runtime.cell import start_supervisor
from peerlab.runtime.container import CAPABILITIES, INSIDE
from peerlab.runtime.namespaces import NamespaceRuntime, attach_as

__all__ = ["LAB_LABEL", "NODE_LABEL", "DockerRuntime", "Engine", "attach_docker_cell", "start_docker_cell"]

LAB_LABEL, NODE_LABEL, OWNER_LABEL = "peerlab.lab", "peerlab.node", "peerlab.user"
"""Labels of every container of ours. Only what carries them is ever removed."""

AT_ONCE = 4
"""Containers started at a time: more buy nothing (design/floor.md, section 6)."""

GONE_SECONDS = 20.0
"""In which an ended lab's containers have to be gone."""

HOLD = ".hold"
"""The pipe in a node's directory that its container's first process reads."""

DIRECTORIES = "containers"
"""Where a lab keeps the directories of its container nodes, below its state directory."""


class Started(msgspec.Struct, frozen=True):
    """A running container: its id, and the pid of its first process as the host counts."""

    identifier: str
    pid: int


class Engine:
    """The Docker engine of this machine, for the containers of one lab. Its methods block."""

    def __init__(self, lab: str) -> None:
        """Raises Unsupported when no engine answers, or when we are not root."""
        if os.geteuid() != 0:
            raise Unsupported("containers need root: run peerlab as root, or leave `runtime: docker` and `image:` out")
        self.lab = lab
        try:
            self._client = docker.from_env()
            self._client.ping()
        except DockerException as failure:
            raise Unsupported(
                f"no Docker engine answers ({failure}); start dockerd, set DOCKER_HOST, or leave `runtime: docker` out"
            ) from failure

    def start(self, node: NodeSpec, directory: Path) -> Started:
        """Starts the container of a node, with nothing but a loopback interface, and waits until it runs.

        Raises Unsupported when the image is not here, RuntimeFailure when the engine refuses.
        """
        inside = f"{INSIDE}/{node.name}"
        try:
            container = self._client.containers.create(
                node.image,
                name=f"peerlab-{self.lab}-{node.name}",
                hostname=node.name,
                labels={LAB_LABEL: self.lab, NODE_LABEL: node.name, OWNER_LABEL: str(os.getuid())},
                entrypoint=["cat"],
                command=[f"{inside}/{HOLD}"],
                network_mode="none",
                cap_drop=["ALL"],
                cap_add=sorted(CAPABILITIES),
                security_opt=["no-new-privileges"],
                volumes={str(directory): {"bind": inside, "mode": "rw"}},
                user="0",
                auto_remove=True,
            )
            container.start()
            container.reload()
            pid = container.attrs["State"]["Pid"]
        except ImageNotFound as failure:
            raise Unsupported(
                f"{node.name}: there is no image {node.image} here; "
                "`make images` builds ours, `docker pull` fetches others"
            ) from failure
        except (APIError, DockerException) as failure:
            raise RuntimeFailure(f"{node.name}: Docker refuses a container of {node.image}: {failure}") from failure
        if not pid:
            raise RuntimeFailure(f"{node.name}: the container of {node.image} ended at once; has the image `cat`?")
        self._check_local(node.name, pid, directory)
        return Started(container.id or "", pid)

    def _check_local(self, node: str, pid: int, directory: Path) -> None:
        """The engine must run on this machine and see its files: else the pid would be somebody else's."""
        seen = Path(f"/proc/{pid}/root{INSIDE}/{node}")
        try:
            same = seen.stat().st_ino == directory.stat().st_ino
        except OSError:
            same = False
        if not same:
            raise Unsupported(f"{node}: the Docker engine is not on this machine, or does not see {directory}")

    def containers(self) -> tuple[str, ...]:
        """The nodes of this lab that have a container, running or not."""
        return tuple(sorted(each.labels[NODE_LABEL] for each in self._marked()))

    def remove(self, nodes: Sequence[str] | None = None) -> None:
        """Removes this lab's containers, or those of some nodes. Those that are gone already are as they should."""
        for container in self._marked():
            if nodes is None or container.labels.get(NODE_LABEL) in nodes:
                try:
                    container.remove(force=True)
                except NotFound:
                    continue
                except APIError as failure:
                    if failure.status_code != 409:  # its removal is under way
                        raise RuntimeFailure(f"cannot remove container {container.name}: {failure}") from failure

    def wait_gone(self, seconds: float, nodes: Sequence[str] | None = None) -> None:
        """Waits for the end of this lab's containers, or of some nodes'. Raises RuntimeFailure when one stays."""
        for container in self._marked():
            if nodes is not None and container.labels.get(NODE_LABEL) not in nodes:
                continue
            try:
                container.wait(condition="removed", timeout=seconds)
            except NotFound:
                continue
            except Exception as failure:
                raise RuntimeFailure(f"container {container.name} does not end: {failure}") from failure

    def _marked(self) -> list[Any]:
        marks = [f"{LAB_LABEL}={self.lab}", f"{OWNER_LABEL}={os.getuid()}"]
        try:
            return list(self._client.containers.list(all=True, filters={"label": marks}, ignore_removed=True))
        except (APIError, DockerException) as failure:
            raise RuntimeFailure(f"cannot list the containers of lab {self.lab}: {failure}") from failure

    def close(self) -> None:
        """Lets go of the engine."""
        self._client.close()


async def start_docker_cell(lab: str, state_directory: Path) -> DockerRuntime:
    """Starts a lab's cell whose nodes may be containers. Errors as of `start_cell`, and Unsupported without Docker."""
    engine = await asyncio.to_thread(Engine, lab)
    try:
        await asyncio.to_thread(engine.remove)  # what a lab of this name left that died with its machine
        await start_supervisor(lab, state_directory)
        return await attach_docker_cell(lab, state_directory, engine)
    except BaseException:
        engine.close()
        raise


async def attach_docker_cell(lab: str, state_directory: Path, engine: Engine | None = None) -> DockerRuntime:
    """Attaches to a running lab whose nodes may be containers. Raises `RefusedError` when there is none."""
    runtime = await attach_as(DockerRuntime, lab)
    runtime.engine = engine if engine is not None else await asyncio.to_thread(Engine, lab)
    runtime.directories = state_directory.resolve() / DIRECTORIES
    return runtime


class DockerRuntime(NamespaceRuntime):
    """`peerlab.runtime.base.Runtime` over a cell and a Docker engine."""

    engine: Engine
    directories: Path

    async def create(
        self, nodes: Sequence[NodeSpec] = (), links: Sequence[LinkSpec] = (), routes: Sequence[RouteSpec] = ()
    ) -> None:
        """Makes containers and nodes, then links, then routes; all or nothing."""
        contained = [node for node in nodes if node.image]
        check_names(nodes, links)
        existing = {node.name for node in (await self.observe()).nodes} if contained else set()
        for node in contained:
            if node.name in existing or sum(each.name == node.name for each in nodes) > 1:
                raise RefusedError("NodeExists", f"a node {node.name} exists already")
        adopted: list[str] = []
        try:
            await self._contain(contained, adopted)
            await super().create([node for node in nodes if not node.image], links, routes)
        except BaseException:
            if adopted:
                await super().delete(adopted)
            await asyncio.to_thread(self.engine.remove, [node.name for node in contained])
            raise

    async def _contain(self, nodes: Sequence[NodeSpec], adopted: list[str]) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="docker") as pool:
            started = await asyncio.gather(
                *(loop.run_in_executor(pool, self._start, node) for node in nodes), return_exceptions=True
            )
        failures = [one for one in started if isinstance(one, BaseException)]
        try:
            for node, found in zip(nodes, started, strict=True):
                if isinstance(found, BaseException) or failures:
                    continue
                directory = str(self.directories / node.name)
                await self._call(language.Adopt(node, directory), [os.dup(each) for each in found])
                adopted.append(node.name)
        finally:
            for found in started:
                if not isinstance(found, BaseException):
                    for descriptor in found:
                        os.close(descriptor)
        if failures:
            raise failures[0]

    def _start(self, node: NodeSpec) -> list[int]:
        """The descriptors of a new container: network, mounts, host name, and the pipe that it waits on."""
        directory = self.directories / node.name
        directory.mkdir(parents=True, exist_ok=True)
        hold = directory / HOLD
        if not hold.exists():
            os.mkfifo(hold, 0o600)
        descriptors = [os.open(hold, os.O_RDWR | os.O_CLOEXEC)]
        try:
            started = self.engine.start(node, directory)
            for kind in ("uts", "mnt", "net"):
                descriptors.insert(0, os.open(f"/proc/{started.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors

    async def delete(self, nodes: Sequence[str] = (), links: Sequence[str] = ()) -> None:
        """Removes nodes with their processes, containers and links, and links."""
        await super().delete(nodes, links)
        if nodes:
            await asyncio.to_thread(self.engine.wait_gone, GONE_SECONDS, list(nodes))

    async def shutdown(self) -> None:
        """Ends the lab; its containers end with the supervisor, and are gone when this returns."""
        await super().shutdown()
        try:
            await asyncio.to_thread(self.engine.wait_gone, GONE_SECONDS)
        finally:
            self.engine.close()

    async def close(self) -> None:
        """Lets go of the lab; it runs on."""
        await super().close()
        self.engine.close()
