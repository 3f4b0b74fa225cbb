"""The controller's end of a router's Unix socket: requests, answers, and notices in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.origin_validation import Vrp, digest
from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.evidence.snapshot import RouteFact, SessionFact, ValidationFact
from peerlab.router.protocol import (
    Explain,
    Explanation,
    ReadRib,
    ReadSessions,
    ReadValidation,
    Request,
    Subscribe,
    WaitFor,
)

T = TypeVar("T")

ANSWER_WITHIN = 10.0
"""Seconds in which a router answers a request that does not itself wait for something."""

_LENGTH = 4


class RouterClient:
    """One connection to one router process. Requests may be in flight at once; answers are matched by id."""

    def __init__(self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.node = node
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next_id = 0
        self._on_notice: Callable[[dict[str, Any]], None] | None = None
        self._on_facts: Callable[[tuple[SessionFact, ...]], None] = _unheard
        self._subscription = -1
        self._pump = asyncio.ensure_future(self._read_frames())
        self._gone: str = ""

    @classmethod
    async def over(cls, node: str, connection: socket.socket) -> RouterClient:
        """Speak over a connected socket; takes ownership of it."""
        connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=1 << 30)
        return cls(node, reader, writer)

    @property
    def is_connected(self) -> bool:
        return not self._gone

    async def _read_frames(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
                frame = msgspec.json.decode(await self._reader.readexactly(size))
                if "notice" in frame:
                    if self._on_notice is not None:
                        self._on_notice(frame["notice"])
                    continue
                if frame["id"] == self._subscription and "answer" in frame:
                    self._on_facts(msgspec.convert(frame["answer"], tuple[SessionFact, ...]))
                future = self._waiting.pop(frame["id"], None)
                if future is None or future.done():
                    continue
                if "refused" in frame:
                    future.set_exception(RefusedError("RouterRefused", f"{self.node}: {frame['refused']}"))
                else:
                    future.set_result(frame.get("answer"))
        except (asyncio.IncompleteReadError, ConnectionError, OSError) as error:
            self._gone = f"router {self.node} closed its control connection ({type(error).__name__})"
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(RuntimeFailure(self._gone))
            self._waiting.clear()

    async def ask(self, request: Request, within: float = ANSWER_WITHIN) -> Any:
        """Send a request and return the raw answer.

        Raises RefusedError when the router refuses it, RuntimeFailure when the router is gone, TimedOut.
        """
        if self._gone:
            raise RuntimeFailure(self._gone)
        self._next_id += 1
        request_id = self._next_id
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        body = msgspec.json.encode(msgspec.structs.replace(request, id=request_id))
        self._writer.write(len(body).to_bytes(_LENGTH, "big") + body)
        try:
            return await asyncio.wait_for(future, within)
        except TimeoutError as error:
            self._waiting.pop(request_id, None)
            name = type(request).__name__
            raise TimedOut(f"the answer of router {self.node} to {name}", within) from error

    async def sessions(self) -> tuple[SessionFact, ...]:
        """Every session as the router sees it now."""
        return msgspec.convert(await self.ask(ReadSessions()), tuple[SessionFact, ...])

    async def rib(self, view: str, session: str | None = None, prefix: str | None = None) -> tuple[RouteFact, ...]:
        """One RIB (``adj-rib-in-pre``, ``adj-rib-in-post``, ``loc-rib``, ``adj-rib-out``)."""
        request = ReadRib(view=view, session=session, prefix=Prefix(prefix) if prefix else None)
        return _decode(await self.ask(request, within=60.0), tuple[RouteFact, ...])

    async def validation(self) -> ValidationFact:
        """What the router validates origins by, and how it stands with its RPKI caches."""
        return _decode(await self.ask(ReadValidation()), ValidationFact)

    async def validates_by(self, vrps: Iterable[Vrp], within: float) -> bool:
        """True as soon as the router validates by exactly these VRPs, False after ``within`` seconds."""
        request = WaitFor(what="vrps", within=within, digest=digest(vrps))
        return bool(await self.ask(request, within=within + ANSWER_WITHIN))

    async def explain(self, prefix: str) -> Explanation:
        """Why a prefix is routed as it is."""
        return _decode(await self.ask(Explain(prefix=Prefix(prefix))), Explanation)

    async def wait(self, what: str, within: float, session: str | None = None, prefix: str | None = None) -> bool:
        """True as soon as the router sees the condition, False after ``within`` seconds."""
        request = WaitFor(what=what, within=within, session=session, prefix=Prefix(prefix) if prefix else None)
        return bool(await self.ask(request, within=within + ANSWER_WITHIN))

    async def subscribe(
        self,
        on_facts: Callable[[tuple[SessionFact, ...]], None],
        on_notice: Callable[[dict[str, Any]], None],
    ) -> None:
        """Call ``on_facts`` once with the sessions as they are, then ``on_notice`` for every change, in order.

        Both are called as the frames are read: an awaited answer would be looked at after notices that came behind it.
        """
        self._on_facts = on_facts
        self._on_notice = on_notice
        self._subscription = self._next_id + 1
        await self.ask(Subscribe())

    async def close(self) -> None:
        """Let go of the connection; the router keeps running."""
        self._pump.cancel()
        self._writer.close()
        await asyncio.gather(self._pump, return_exceptions=True)


def _unheard(_facts: tuple[SessionFact, ...]) -> None:
    """Nobody has subscribed yet."""


def _decode(answer: Any, kind: type[T]) -> T:
    return msgspec.convert(answer, kind, strict=False)


async def ask_all(clients: Sequence[RouterClient], request: Request) -> list[Any]:
    """The same request to many routers at once, answers in the same order."""
    return list(await asyncio.gather(*(client.ask(request) for client in clients)))
