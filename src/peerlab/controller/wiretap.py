"""The lab's tap as the controller drives it: one process in the cell that captures every node's BGP."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from peerlab.errors import RuntimeFailure
from peerlab.evidence.tap_client import TapClient
from peerlab.evidence.tap_request import Captured, TapConfig
from peerlab.runtime.base import Runtime, ZygoteSpec

TAP_ZYGOTE = ZygoteSpec(name="tap", preload=("peerlab.evidence.tap",), entry="peerlab.evidence.tap:run_forked")
TAP_PROCESS = "tap"
TAP_SOCKET = "/run/peerlab/tap.sock"

LISTEN_WITHIN = 15.0
"""Seconds in which the tap, just forked, opens its control socket."""


class Wiretap:
    """Starts the tap with the first nodes it hears of, and tells it of later ones.

    The tap is forked inside one of the nodes only because every process of a cell lives in one; it listens in all.
    ``host`` is that node when the tap runs already.
    """

    def __init__(self, runtime: Runtime, capture: Path, host: str | None = None) -> None:
        self._runtime = runtime
        self._capture = capture
        self._host = host
        self._client: TapClient | None = None

    async def listen(self, nodes: Collection[str]) -> None:
        """Capture in these nodes from now on; returns once it does."""
        if not nodes:
            return
        state = await self._runtime.observe()
        handles = {node.name: node.handle for node in state.nodes if node.name in nodes}
        if self._host is not None:
            await (await self._connected()).add_nodes(handles)
            return
        config = TapConfig(nodes=handles, output=str(self._capture), control=TAP_SOCKET)
        host = min(handles)
        await self._runtime.prepare(TAP_ZYGOTE)
        await self._runtime.fork(host, TAP_PROCESS, TAP_ZYGOTE.name, msgspec.json.encode(config))
        self._host = host
        await self._connected()

    async def forget(self, nodes: Collection[str]) -> None:
        """Let go of nodes that are about to be deleted; what was captured there stays."""
        if nodes and self._host is not None:
            await (await self._connected()).remove_nodes(nodes)

    async def flush(self) -> Captured:
        """Return when everything captured up to now is in the file."""
        return await (await self._connected()).flush()

    async def _connected(self) -> TapClient:
        if self._host is None:
            raise RuntimeFailure("the tap does not run: this lab was made without one")
        if self._client is None:
            connection = await self._runtime.connect(self._host, TAP_SOCKET, within=LISTEN_WITHIN)
            self._client = await TapClient.over(connection)
        return self._client

    async def close(self) -> None:
        """Let go of the tap; it goes on."""
        if self._client is not None:
            await self._client.close()
            self._client = None
