"""The lab's tap as the controller drives it: one process in the cell that captures every node's BGP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Collection
from pathlib import Path

import msgspec

from peerlab.errors import RefusedError, RuntimeFailure
from peerlab.evidence.story import TAP_PROCESS
from peerlab.evidence.tap_client import TapClient
from peerlab.evidence.tap_request import Captured, TapConfig
from peerlab.runtime.base import CELL, Runtime, ZygoteSpec

TAP_ZYGOTE = ZygoteSpec(name="tap", preload=("peerlab.evidence.tap",), entry="peerlab.evidence.tap:run_forked")
TAP_SOCKET = "/run/peerlab/tap.sock"

LISTEN_WITHIN = 15.0
"""Seconds in which the tap, just forked, opens its control socket."""

END_WITHIN = 5.0
"""Seconds that the end of a lab waits for the end of its tap."""


class Wiretap:
    """Starts the tap with the first nodes it hears of, and tells it of later ones.

    The tap lives in no node of its own (``CELL``) and listens in all. ``running`` says that it runs already.
    """

    def __init__(self, runtime: Runtime, capture: Path, *, running: bool = False) -> None:
        self._runtime = runtime
        self._capture = capture
        self._running = running
        self._client: TapClient | None = None

    async def prepare(self) -> None:
        """Nodes will come soon: warm up."""
        if not self._running:
            await self._runtime.prepare(TAP_ZYGOTE)

    async def listen(self, nodes: Collection[str]) -> None:
        """Capture in these nodes from now on; returns once it does."""
        if not nodes:
            return
        state = await self._runtime.observe()
        handles = {node.name: node.handle for node in state.nodes if node.name in nodes}
        if self._running:
            await (await self._connected()).add_nodes(handles)
            return
        config = TapConfig(nodes=handles, output=str(self._capture), control=TAP_SOCKET)
        await self._runtime.prepare(TAP_ZYGOTE)
        await self._runtime.fork(CELL, TAP_PROCESS, TAP_ZYGOTE.name, msgspec.json.encode(config))
        self._running = True
        await self._connected()

    async def forget(self, nodes: Collection[str]) -> None:
        """Let go of nodes that are about to be deleted; what was captured there stays."""
        if nodes and self._running:
            await (await self._connected()).remove_nodes(nodes)

    async def flush(self) -> Captured:
        """Return when everything captured up to now is in the file."""
        return await (await self._connected()).flush()

    async def _connected(self) -> TapClient:
        if not self._running:
            raise RuntimeFailure("the tap does not run: this lab was made without one")
        if self._client is None:
            connection = await self._runtime.connect(CELL, TAP_SOCKET, within=LISTEN_WITHIN)
            self._client = await TapClient.over(connection)
        return self._client

    async def end(self) -> None:
        """End the tap before the lab: it closes its windows together, which the kernel, killing it, does one by one.

        One that is gone already, or does not end in time, is left to the end of the lab.
        """
        await self.close()
        if not self._running:
            return
        self._running = False
        exits = self._runtime.exits()
        with contextlib.suppress(RefusedError, RuntimeFailure, TimeoutError):
            await self._runtime.signal(CELL, TAP_PROCESS, signal.SIGTERM)
            async with asyncio.timeout(END_WITHIN):
                async for ended in exits:
                    if (ended.node, ended.process) == (CELL, TAP_PROCESS):
                        return

    async def close(self) -> None:
        """Let go of the tap; it goes on."""
        if self._client is not None:
            await self._client.close()
            self._client = None
