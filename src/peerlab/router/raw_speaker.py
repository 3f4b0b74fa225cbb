"""A BGP speaker that says what its script says: whole messages, right or wrong, and watches what comes back.

It runs as a probe inside a node (``peerlab.router.raw_speaker:converse``). A script is a set of talks, each on TCP
connections of its own between two addresses; talks run at once, and one may wait for what another has heard. It has
no FSM and no timers but a KEEPALIVE every half second, so it can be as wrong as a case needs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from peerlab.bgp.framing import HEADER_LENGTH, MARKER, MessageType, frame
from peerlab.runtime.probe import family_of
from peerlab.runtime.task import Reporter

__all__ = [
    "Accept",
    "Await",
    "AwaitEnd",
    "AwaitOctets",
    "AwaitOne",
    "AwaitTalk",
    "Beat",
    "Close",
    "Connect",
    "Mark",
    "Send",
    "Stall",
    "Step",
    "Talk",
    "TalkTold",
    "converse",
]

PORT = 179
BEAT_SECONDS = 0.5
AGAIN_SECONDS = 0.05
"""From a refused connection to the next attempt."""
GREETED_WITHIN = 1.0
READ_OCTETS = 64 << 10


class _Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    within: float = 10.0
    """Seconds in which the step must have come true; the talk ends when it has not."""
    soft: bool = False
    """Go on with the next step when it has not come true."""


class Connect(_Step, frozen=True, kw_only=True, tag="connect"):
    """Open a connection, again and again until it stands. ``receive_buffer`` octets, 0 for the kernel's choice.

    ``beside`` keeps the talk's present connection as its other one. ``greeted``: a connection that the other side ends,
    or refuses with a NOTIFICATION, before it says its OPEN does not count; one on which it says nothing for a second
    does, for it may wait for ours.
    """

    receive_buffer: int = 0
    beside: bool = False
    greeted: bool = False


class Accept(_Step, frozen=True, kw_only=True, tag="accept"):
    """Wait for the other side's connection."""


class Send(_Step, frozen=True, kw_only=True, tag="send"):
    """Write octets (hex), ``times`` over. ``on`` is "other" for the connection that was kept aside."""

    octets: str
    times: int = 1
    on: str = ""


class Await(_Step, frozen=True, kw_only=True, tag="await"):
    """Wait for the next message of one of these types; others before it are passed over."""

    kinds: tuple[int, ...]
    on: str = ""


class AwaitEnd(_Step, frozen=True, kw_only=True, tag="await-end"):
    """Wait until the other side has ended the connection."""

    on: str = ""


class AwaitOctets(_Step, frozen=True, kw_only=True, tag="await-octets"):
    """Wait until a talk (this one when empty) has received these octets (hex) since it began."""

    octets: str
    talk: str = ""


class AwaitOne(_Step, frozen=True, kw_only=True, tag="await-one"):
    """Of the talk's two connections wait until one has ended; the one that lives becomes the talk's own."""


class AwaitTalk(_Step, frozen=True, kw_only=True, tag="await-talk"):
    """Wait until another talk has come to a ``Mark`` of this name."""

    talk: str
    mark: str


class Mark(_Step, frozen=True, kw_only=True, tag="mark"):
    """Say that the talk has come this far; told with its time."""

    name: str


class Beat(_Step, frozen=True, kw_only=True, tag="beat"):
    """From now on a KEEPALIVE every half second, for as long as the present connection is the talk's own."""


class Stall(_Step, frozen=True, kw_only=True, tag="stall"):
    """Read nothing any more: the receive buffer fills and the TCP window closes."""


class Close(_Step, frozen=True, kw_only=True, tag="close"):
    """End the connection."""


Step = (
    Connect | Accept | Send | Await | AwaitEnd | AwaitOctets | AwaitOne | AwaitTalk | Mark | Beat | Stall | Close
)


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """A talk between two addresses: its steps in order."""

    name: str
    local: str
    remote: str
    steps: tuple[Step, ...]


class TalkTold(msgspec.Struct, frozen=True, kw_only=True):
    """How a talk went: steps done, marks with their times (ns), NOTIFICATIONs (code, subcode), why it stopped early."""

    done: int
    of: int
    marks: dict[str, int]
    notifications: tuple[tuple[int, int], ...]
    stopped: str = ""
    ended_at: int = 0
    """When the talk's connection was seen ended by the other side, ns; 0 when it was not."""


class _Stopped(Exception):
    """A step did not come true."""


class _Connection:
    def __init__(self, sock: socket.socket, heard: Callable[[], Awaitable[None]]) -> None:
        self.sock = sock
        self.stream = bytearray()
        self.kinds: list[tuple[int, bytes]] = []
        self.cursor = 0
        self.ended_at = 0
        self._framed = 0
        self._heard = heard
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.ended_at:
            try:
                block = await loop.sock_recv(self.sock, READ_OCTETS)
            except OSError:
                block = b""
            if block:
                self.stream += block
                self._frame()
            else:
                self.ended_at = time.time_ns()
            await self._heard()

    def _frame(self) -> None:
        stream, at = self.stream, self._framed
        while len(stream) - at >= HEADER_LENGTH and stream.startswith(MARKER, at):
            length = int.from_bytes(stream[at + 16 : at + 18], "big")
            if length < HEADER_LENGTH or len(stream) - at < length:
                break
            self.kinds.append((stream[at + 18], bytes(stream[at + HEADER_LENGTH : at + length])))
            at += length
        self._framed = at

    async def write(self, octets: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self.sock, octets)
        except OSError:
            if not self.ended_at:
                self.ended_at = time.time_ns()
            await self._heard()

    async def stall(self) -> None:
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)

    def notifications(self) -> list[tuple[int, int]]:
        return [(b[0], b[1]) for kind, b in self.kinds if kind == MessageType.NOTIFICATION and len(b) >= 2]

    async def close(self) -> None:
        await self.stall()
        self.sock.close()


class _Talker:
    def __init__(self, talk: Talk, company: _Company) -> None:
        self.talk = talk
        self.company = company
        self.now: _Connection | None = None
        self.other: _Connection | None = None
        self.past: list[_Connection] = []
        self.marks: dict[str, int] = {}
        self.done = 0
        self.stopped = ""
        self._beating: asyncio.Future[None] | None = None

    @property
    def connections(self) -> list[_Connection]:
        return [*self.past, *(one for one in (self.other, self.now) if one is not None)]

    async def run(self) -> None:
        try:
            for step in self.talk.steps:
                try:
                    await self._take(step)
                except _Stopped:
                    if not step.soft:
                        raise
                self.done += 1
        except _Stopped as why:
            self.stopped = str(why)
        await self.company.heard()

    async def close(self) -> None:
        await self._rest()
        for one in self.connections:
            await one.close()

    def _on(self, which: str) -> _Connection:
        found = self.other if which == "other" else self.now
        if found is None:
            raise _Stopped("there is no connection")
        return found

    async def _take(self, step: Step) -> None:
        match step:
            case Connect():
                await self._connect(step)
            case Accept():
                await self._accept(step)
            case Send():
                await self._on(step.on).write(bytes.fromhex(step.octets) * step.times)
            case Await():
                await self._await_kind(step)
            case AwaitEnd():
                one = self._on(step.on)
                await self.company.until(lambda: bool(one.ended_at), step.within, "the end of the connection")
            case AwaitOctets():
                await self._await_octets(step)
            case AwaitOne():
                await self._await_one(step)
            case AwaitTalk():
                await self._await_talk(step)
            case Mark():
                self.marks[step.name] = time.time_ns()
                self.company.tell({"talk": self.talk.name, "mark": step.name})
                await self.company.heard()
            case Beat():
                await self._rest()
                self._beating = asyncio.ensure_future(self._beat(self._on("")))
            case Stall():
                await self._on("").stall()
            case Close():
                await self._rest()
                one = self._on("")
                self.past.append(one)
                self.now = None
                await one.close()

    async def _connect(self, step: Connect) -> None:
        deadline = time.monotonic() + step.within
        loop = asyncio.get_running_loop()
        while True:
            sock = socket.socket(family_of(self.talk.local), socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if step.receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, step.receive_buffer)
            try:
                sock.bind((self.talk.local, 0))
                left = max(0.01, deadline - time.monotonic())
                await asyncio.wait_for(loop.sock_connect(sock, (self.talk.remote, PORT)), min(left, 1.0))
            except (OSError, TimeoutError) as error:
                sock.close()
                if time.monotonic() > deadline:
                    words = getattr(error, "strerror", None) or "no answer"
                    raise _Stopped(f"no connection to {self.talk.remote}: {words}") from error
                await self.company.pause(AGAIN_SECONDS)
            else:
                self._have(sock, step.beside)
                if not step.greeted or await self._is_greeted():
                    return
                if time.monotonic() > deadline:
                    raise _Stopped(f"{self.talk.remote} takes no connection{self._said(self._on(''))}")
                await self._take(Close())
                await self.company.pause(AGAIN_SECONDS)

    async def _is_greeted(self) -> bool:
        """Whether the other side means to talk on the connection."""
        one = self._on("")
        with contextlib.suppress(_Stopped):
            await self.company.until(lambda: bool(one.kinds or one.ended_at), GREETED_WITHIN, "greeting")
        refused = bool(one.kinds) and one.kinds[0][0] == MessageType.NOTIFICATION
        return not refused and (bool(one.kinds) or not one.ended_at)

    async def _accept(self, step: Accept) -> None:
        queue = self.company.listener(self.talk.local)
        try:
            sock = await asyncio.wait_for(queue.get(), step.within)
        except TimeoutError as error:
            raise _Stopped(f"nobody connected to {self.talk.local}") from error
        self._have(sock, False)

    def _have(self, sock: socket.socket, beside: bool) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.now is not None:
            if beside:
                self.other = self.now
            else:
                self.past.append(self.now)
        self.now = _Connection(sock, self.company.heard)

    async def _await_kind(self, step: Await) -> None:
        one = self._on(step.on)

        def came() -> bool:
            while one.cursor < len(one.kinds):
                one.cursor += 1
                if one.kinds[one.cursor - 1][0] in step.kinds:
                    return True
            return False

        found = False

        def decided() -> bool:
            nonlocal found
            found = found or came()
            return found or bool(one.ended_at)

        names = " or ".join(MessageType(kind).name for kind in step.kinds)
        await self.company.until(decided, step.within, names)
        if not found:
            raise _Stopped(f"the connection ended before {names}{self._said(one)}")

    def _said(self, one: _Connection) -> str:
        said = one.notifications()
        return f": NOTIFICATION {said[-1][0]}/{said[-1][1]}" if said else ""

    async def _await_octets(self, step: AwaitOctets) -> None:
        wanted = bytes.fromhex(step.octets)
        teller = self.company.talkers[step.talk or self.talk.name]

        def decided() -> bool:
            return any(wanted in one.stream for one in teller.connections) or bool(self.now and self.now.ended_at)

        await self.company.until(decided, step.within, f"octets {step.octets} at {teller.talk.name}")
        if not any(wanted in one.stream for one in teller.connections):
            assert self.now is not None
            raise _Stopped(f"the connection ended{self._said(self.now)}")

    async def _await_one(self, step: AwaitOne) -> None:
        one, other = self._on(""), self._on("other")
        await self.company.until(lambda: bool(one.ended_at or other.ended_at), step.within, "one connection's end")
        if one.ended_at:
            self.now, self.other = other, one

    async def _await_talk(self, step: AwaitTalk) -> None:
        other = self.company.talkers[step.talk]
        await self.company.until(lambda: step.mark in other.marks or bool(other.stopped), step.within, step.mark)
        if step.mark not in other.marks:
            raise _Stopped(f"talk {step.talk} stopped: {other.stopped}")

    async def _beat(self, one: _Connection) -> None:
        while True:
            await self.company.pause(BEAT_SECONDS)
            if one is not self.now or one.ended_at:
                return
            await one.write(frame(MessageType.KEEPALIVE, b""))

    async def _rest(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    def told(self) -> TalkTold:
        said = [one for connection in self.connections for one in connection.notifications()]
        ended = [connection.ended_at for connection in self.connections if connection.ended_at]
        return TalkTold(
            done=self.done,
            of=len(self.talk.steps),
            marks=self.marks,
            notifications=tuple(said),
            stopped=self.stopped,
            ended_at=max(ended, default=0),
        )


class _Company:
    """The talks of a script, and what wakes those that wait."""

    def __init__(self, talks: list[Talk], tell: Callable[[object], None]) -> None:
        self.tell = tell
        self.changed = asyncio.Condition()
        self.talkers = {talk.name: _Talker(talk, self) for talk in talks}
        self._queues: dict[str, asyncio.Queue[socket.socket]] = {}
        self._never = asyncio.Event()
        self._listening: list[asyncio.Future[None]] = []
        self._sockets: list[socket.socket] = []

    async def heard(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, holds: Callable[[], bool], within: float, what: str) -> None:
        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(holds), within)
            except TimeoutError as error:
                raise _Stopped(f"no {what} within {within:g} s") from error

    async def pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._never.wait(), seconds)

    def listener(self, address: str) -> asyncio.Queue[socket.socket]:
        return self._queues[address]

    def listen(self, address: str) -> None:
        listening = socket.socket(family_of(address), socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, PORT))
        listening.listen(8)
        listening.setblocking(False)
        self._sockets.append(listening)
        queue = self._queues[address] = asyncio.Queue()

        async def accept() -> None:
            while True:
                sock, _ = await asyncio.get_running_loop().sock_accept(listening)
                sock.setblocking(False)
                queue.put_nowait(sock)

        self._listening.append(asyncio.ensure_future(accept()))

    async def run(self) -> dict[str, TalkTold]:
        for talker in self.talkers.values():
            address = talker.talk.local
            if address not in self._queues and any(isinstance(step, Accept) for step in talker.talk.steps):
                self.listen(address)
        await asyncio.gather(*(talker.run() for talker in self.talkers.values()))
        told = {name: talker.told() for name, talker in self.talkers.items()}
        for talker in self.talkers.values():
            await talker.close()
        for waiting in self._listening:
            waiting.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        for sock in self._sockets:
            sock.close()
        return told


def converse(reporter: Reporter, talks: list[dict[str, Any]]) -> dict[str, TalkTold]:
    """Hold every talk to its end. The result is how each went, by name; every mark is told when it is reached."""

    async def held() -> dict[str, TalkTold]:
        return await _Company([msgspec.convert(talk, Talk) for talk in talks], reporter.emit).run()

    return asyncio.run(held())
