"""The controller's end of the tap's control socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping

import msgspec

from peerlab.errors import RuntimeFailure, TimedOut
from peerlab.evidence.tap_request import AddNodes, Captured, Flush, RemoveNodes, TapAnswer, TapRequest

ANSWER_WITHIN = 10.0
"""Seconds in which the tap has to answer."""


class TapClient:
    """Asks the tap, one request at a time.

    Every method raises RuntimeFailure when the tap refuses or is gone, TimedOut when it does not answer.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._number = 0

    @classmethod
    async def over(cls, connection: socket.socket) -> TapClient:
        """Speak over a connected Unix socket, which is ours from now on."""
        return cls(*await asyncio.open_unix_connection(sock=connection))

    async def add_nodes(self, namespaces: Mapping[str, str]) -> None:
        """Listen in these nodes too; returns when each is captured. See `TapConfig.nodes` for the values."""
        await self._ask(AddNodes(id=self._next(), nodes=dict(namespaces)))

    async def remove_nodes(self, nodes: Iterable[str]) -> None:
        """Let go of these nodes' namespaces."""
        await self._ask(RemoveNodes(id=self._next(), nodes=tuple(nodes)))

    async def flush(self) -> Captured:
        """Returns when all that any node sent before is in the file."""
        answer = await self._ask(Flush(id=self._next()))
        if not isinstance(answer, Captured):
            raise RuntimeFailure("the tap answered a flush with something else; it is of another version")
        return answer

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _ask(self, request: TapRequest) -> bool | Captured | None:
        octets = msgspec.json.encode(request)
        async with self._turn:
            try:
                self._writer.write(len(octets).to_bytes(4, "big") + octets)
                await self._writer.drain()
                return await asyncio.wait_for(self._answer_to(request.id), ANSWER_WITHIN)
            except TimeoutError as late:
                raise TimedOut(f"an answer of the tap to {type(request).__name__}", ANSWER_WITHIN) from late
            except (asyncio.IncompleteReadError, OSError) as failure:
                raise RuntimeFailure("the tap is gone; what it captured before is kept, see its log") from failure

    async def _answer_to(self, number: int) -> bool | Captured | None:
        while True:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            answer = msgspec.json.decode(await self._reader.readexactly(length), type=TapAnswer)
            if answer.id != number:
                continue
            if answer.refused is not None:
                raise RuntimeFailure(answer.refused)
            return answer.answer

    async def close(self) -> None:
        """Ends the connection; the tap goes on."""
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)
