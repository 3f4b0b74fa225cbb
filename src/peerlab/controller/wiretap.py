"""The lab's tap as the controller drives it: one process in the cell that captures every node's BGP."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import msgspec

from peerlab.errors import RuntimeFailure, TimedOut
from peerlab.evidence.tap_request import AddNodes, Flush, RemoveNodes, TapConfig
from peerlab.runtime.base import Runtime, ZygoteSpec

TAP_ZYGOTE = ZygoteSpec(name="tap", preload=("peerlab.evidence.tap",), entry="peerlab.evidence.tap:run_forked")
TAP_PROCESS = "tap"
TAP_SOCKET = "/run/peerlab/tap.sock"

ANSWER_WITHIN = 15.0
"""Seconds in which the tap answers; flushing a busy lab's rings takes longest."""

_LENGTH = 4


class Wiretap:
    """Starts the tap with the first nodes it hears of, and tells it of later ones.

    The tap is forked inside one of the nodes only because every process of a cell lives in one; it listens in all.
    """

    def __init__(self, runtime: Runtime, capture: Path, host: str | None = None) -> None:
        self._runtime = runtime
        self._capture = capture
        self._host = host

    async def listen(self, nodes: Collection[str]) -> None:
        """Capture in these nodes from now on; returns once it does."""
        if not nodes:
            return
        state = await self._runtime.observe()
        handles = {node.name: node.handle for node in state.nodes if node.name in nodes}
        if self._host is not None:
            await self._ask(AddNodes(nodes=handles))
            return
        host = sorted(handles)[0]
        config = TapConfig(nodes=handles, output=str(self._capture), control=TAP_SOCKET)
        await self._runtime.prepare(TAP_ZYGOTE)
        await self._runtime.fork(host, TAP_PROCESS, TAP_ZYGOTE.name, msgspec.json.encode(config))
        self._host = host
        await self.flush()

    async def forget(self, nodes: Collection[str]) -> None:
        """Let go of nodes that are about to be deleted; what was captured there stays."""
        if nodes and self._host is not None:
            await self._ask(RemoveNodes(nodes=tuple(nodes)))

    async def flush(self) -> None:
        """Return when everything captured up to now is in the file."""
        await self._ask(Flush())

    async def _ask(self, request: AddNodes | RemoveNodes | Flush) -> None:
        if self._host is None:
            raise RuntimeFailure("the tap does not run: no node was made yet")
        connection = await self._runtime.connect(self._host, TAP_SOCKET, within=ANSWER_WITHIN)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            body = msgspec.json.encode(msgspec.structs.replace(request, id=1))
            writer.write(len(body).to_bytes(_LENGTH, "big") + body)
            size = int.from_bytes(await asyncio.wait_for(reader.readexactly(_LENGTH), ANSWER_WITHIN), "big")
            answer = msgspec.json.decode(await asyncio.wait_for(reader.readexactly(size), ANSWER_WITHIN))
        except TimeoutError as error:
            raise TimedOut(f"the tap's answer to {type(request).__name__}", ANSWER_WITHIN) from error
        except (asyncio.IncompleteReadError, OSError) as error:
            raise RuntimeFailure(f"the tap is gone ({type(error).__name__}): see {TAP_PROCESS}.log") from error
        finally:
            writer.close()
        if "refused" in answer:
            raise RuntimeFailure(f"the tap refused: {answer['refused']}")
