"""The runtime over Linux namespaces: an asynchronous client of a cell's supervisor.

Requests may be made concurrently; each has a number. Route tables are read by the client itself, over a
netlink socket that the supervisor opened inside the node and handed over, so a table of a million routes
does not make the supervisor late.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.runtime import language, rtnetlink
from peerlab.runtime.base import (
    AddressObservation,
    Completed,
    Direction,
    Family,
    ForkSpec,
    Impairment,
    KernelRoute,
    LinkSpec,
    NodeSpec,
    ProcessExit,
    RouteSpec,
    RuntimeState,
    ZygoteSpec,
)
from peerlab.runtime.cell import connect_to_cell, list_labs, start_supervisor
from peerlab.runtime.framing import Channel
from peerlab.runtime.language import Answer, Ask, Call, as_error
from peerlab.runtime.netlink import Netlink, NetlinkRefused
from peerlab.runtime.task import RunningTask

__all__ = ["NamespaceRuntime", "attach", "attach_as", "list_labs", "start_cell"]

CALL_SECONDS = 60.0
SHUTDOWN_SECONDS = 20.0
FAMILIES: Mapping[Family, int] = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}

Value = TypeVar("Value")
Kind = TypeVar("Kind", bound="NamespaceRuntime")


async def start_cell(lab: str, state_directory: Path) -> NamespaceRuntime:
    """Starts a lab's cell and attaches to it.

    Raises `RefusedError` when the name is taken, `RuntimeFailure` when the supervisor does not live that long.
    """
    await start_supervisor(lab, state_directory)
    try:
        return await attach(lab)
    except RefusedError as refusal:
        raise RuntimeFailure(f"the supervisor of lab {lab} ended as soon as it had listened") from refusal


async def attach(lab: str) -> NamespaceRuntime:
    """Attaches to a running lab. Raises `RefusedError` when there is none of that name."""
    return await attach_as(NamespaceRuntime, lab)


async def attach_as(kind: type[Kind], lab: str) -> Kind:
    """Attaches to a running lab as one kind of runtime. Raises `RefusedError` when there is none of that name."""
    connection, pid = connect_to_cell(lab)
    return kind(lab, connection, pid)


class NamespaceRuntime:
    """`peerlab.runtime.base.Runtime` over the supervisor of one cell. Belongs to the running event loop."""

    def __init__(self, lab: str, connection: socket.socket, supervisor: int) -> None:
        self.lab = lab
        self.supervisor = supervisor
        """The supervisor's pid, in the caller's counting."""
        self.gone = asyncio.Event()
        """Set when the supervisor is no longer there."""
        self._supervisor_handle = _pidfd(supervisor)
        connection.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(connection)
        self._open = True
        self._calls = 0
        self._waiting: dict[int, asyncio.Future[tuple[bytes, list[int]]]] = {}
        self._listeners: list[asyncio.Queue[ProcessExit | None]] = []
        self._encode = msgspec.json.Encoder().encode
        self._answers = msgspec.json.Decoder(Answer)
        self._loop.add_reader(self._channel, self._readable)

    # --- the conversation ------------------------------------------------------------------------------

    def _readable(self) -> None:
        frames = self._channel.feed()
        if frames is None:
            self._disconnect(f"the supervisor of lab {self.lab} is gone, and with it the lab")
            return
        for frame in frames:
            answer = self._answers.decode(frame)
            descriptors = self._channel.take_descriptors(answer.descriptors)
            if answer.exit is not None:
                for listener in self._listeners:
                    listener.put_nowait(answer.exit)
                continue
            future = self._waiting.pop(answer.id, None)
            if future is None or future.done():
                for descriptor in descriptors:
                    os.close(descriptor)
            elif answer.fault is not None:
                future.set_exception(as_error(answer.fault))
            else:
                future.set_result((bytes(answer.value), descriptors))

    def _disconnect(self, reason: str) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._channel.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(RuntimeFailure(reason))
        self._waiting.clear()
        for listener in self._listeners:
            listener.put_nowait(None)
        self.gone.set()

    def _writable(self) -> None:
        try:
            if self._channel.flush():
                self._loop.remove_writer(self._channel)
            else:
                self._loop.add_writer(self._channel, self._writable)
        except OSError:
            self._disconnect(f"the supervisor of lab {self.lab} is gone, and with it the lab")

    async def _call(
        self, ask: Ask, descriptors: Sequence[int] = (), answer_within: float = CALL_SECONDS
    ) -> tuple[bytes, list[int]]:
        if not self._open:
            raise RuntimeFailure(f"lab {self.lab} is not attached any more")
        self._calls += 1
        number = self._calls
        future: asyncio.Future[tuple[bytes, list[int]]] = self._loop.create_future()
        self._waiting[number] = future
        self._channel.queue(self._encode(Call(number, ask, len(descriptors))), descriptors)
        self._writable()
        try:
            async with asyncio.timeout(answer_within):
                return await future
        except TimeoutError:
            raise TimedOut(f"the supervisor's answer to {type(ask).__name__}", answer_within) from None
        finally:
            self._waiting.pop(number, None)

    async def _ask(self, ask: Ask, kind: type[Value]) -> Value:
        value, _ = await self._call(ask)
        return msgspec.json.decode(value, type=kind)

    async def _tell(self, ask: Ask) -> None:
        await self._call(ask)

    # --- wiring ----------------------------------------------------------------------------------------

    async def create(
        self, nodes: Sequence[NodeSpec] = (), links: Sequence[LinkSpec] = (), routes: Sequence[RouteSpec] = ()
    ) -> None:
        """Makes nodes, then links, then routes; all or nothing."""
        await self._tell(language.Create(tuple(nodes), tuple(links), tuple(routes)))

    async def delete(self, nodes: Sequence[str] = (), links: Sequence[str] = ()) -> None:
        """Removes nodes with their processes and links, and links."""
        await self._tell(language.Delete(tuple(nodes), tuple(links)))

    async def set_addresses(
        self, node: str, interface: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Changes an interface's addresses; those to remove go first."""
        await self._tell(language.SetAddresses(node, interface, tuple(add), tuple(remove)))

    async def set_routes(self, add: Sequence[RouteSpec] = (), remove: Sequence[RouteSpec] = ()) -> None:
        """Changes static routes; those to remove go first."""
        await self._tell(language.SetRoutes(tuple(add), tuple(remove)))

    async def put_files(self, node: str, files: Mapping[str, str]) -> None:
        """Writes texts below /run/peerlab/NODE inside the cell."""
        await self._tell(language.PutFiles(node, dict(files)))

    async def read_file(self, node: str, path: str) -> bytes:
        """A file as the cell sees it; a relative path starts in the node's directory."""
        _, descriptors = await self._call(language.ReadFile(node, path))
        try:
            with os.fdopen(descriptors[0], "rb") as opened:
                return await asyncio.to_thread(opened.read)
        except OSError as failure:
            raise RuntimeFailure(f"cannot read {path} in {node}: {failure.strerror}") from failure

    # --- processes -------------------------------------------------------------------------------------

    async def spawn(self, node: str, name: str, argv: Sequence[str], environment: Mapping[str, str] = {}) -> int:
        """Starts a command in a node, output to NAME.log; returns its pid inside the cell."""
        return await self._ask(language.Spawn(node, name, tuple(argv), dict(environment)), int)

    async def attached(
        self,
        node: str,
        name: str,
        argv: Sequence[str],
        stdio: tuple[int, int, int],
        environment: Mapping[str, str] = {},
    ) -> int:
        """Starts a command on three descriptors of the caller's (a terminal, a pipe). It dies with the client."""
        ask = language.Spawn(node, name, tuple(argv), dict(environment), stdio=3, owned=True)
        value, _ = await self._call(ask, [os.dup(descriptor) for descriptor in stdio])
        return msgspec.json.decode(value, type=int)

    async def run(self, node: str, argv: Sequence[str], within: float, standard_input: bytes = b"") -> Completed:
        """Runs a command to its end. Raises `TimedOut` after ``within`` seconds, having killed it."""
        self._calls += 1
        name = f"run-{os.getpid()}-{self._calls}"
        exits = self.exits()
        pipes = [os.pipe(), os.pipe(), os.pipe()]
        (in_reader, in_writer), (out_reader, out_writer), (err_reader, err_writer) = pipes
        try:
            await self.attached(node, name, argv, (in_reader, out_writer, err_writer))
        except BaseException:
            for descriptor in (in_writer, out_reader, err_reader):
                os.close(descriptor)
            await exits.aclose()
            raise
        finally:
            for descriptor in (in_reader, out_writer, err_writer):
                os.close(descriptor)
        transfers = [
            asyncio.create_task(_drain(out_reader)),
            asyncio.create_task(_drain(err_reader)),
        ]
        feeding = asyncio.create_task(_pour(in_writer, standard_input))
        try:
            async with asyncio.timeout(within):
                ended = await _exit_of(exits, node, name)
                stdout, stderr = await asyncio.gather(*transfers)
        except TimeoutError:
            with contextlib.suppress(RefusedError):  # it ended this instant
                await self.signal(node, name, signal.SIGKILL)
            raise TimedOut(f"the end of {' '.join(argv)} in {node}", within) from None
        finally:
            for transfer in (*transfers, feeding):
                transfer.cancel()
            await exits.aclose()
        return Completed(ended.code if ended.code is not None else -(ended.signal or 0), stdout, stderr)

    async def prepare(self, zygote: ZygoteSpec) -> None:
        """Starts a warm parent; returns before it has imported."""
        await self._tell(language.Prepare(zygote))

    async def fork(self, node: str, name: str, zygote: str, argument: bytes) -> int:
        """Forks a process into a node from a warm parent; returns its pid inside the cell."""
        return await self._ask(language.Fork(node, name, zygote, argument), int)

    async def fork_all(self, zygote: str, forks: Sequence[ForkSpec]) -> tuple[int, ...]:
        """Forks many processes that begin together; their pids inside the cell, in the same order."""
        return await self._ask(language.ForkAll(zygote, tuple(forks)), tuple[int, ...])

    async def signal(self, node: str, name: str, number: int) -> None:
        """Sends a signal to a process."""
        await self._tell(language.Signal(node, name, int(number)))

    async def connect(self, node: str, path: str, within: float = 0.0) -> socket.socket:
        """A connected, non-blocking Unix socket to ``path`` in the cell.

        A process that has just started may not listen yet: with ``within`` > 0 the supervisor waits for it that
        long, and `TimedOut` is raised after it. The socket belongs to the caller.
        """
        ask = language.UnixConnect(node, path, within)
        _, descriptors = await self._call(ask, answer_within=within + CALL_SECONDS)
        return socket.socket(fileno=descriptors[0])

    async def task(self, node: str, entry: str, arguments: Mapping[str, Any] = {}) -> RunningTask:
        """Starts a probe ("peerlab.runtime.probe:ping") inside a node."""
        _, descriptors = await self._call(language.StartTask(node, entry, dict(arguments)))
        return await RunningTask.over(f"{entry} in {node}", socket.socket(fileno=descriptors[0]))

    def exits(self) -> ExitStream:
        """Every process exit from now on. Ends when the lab does."""
        queue: asyncio.Queue[ProcessExit | None] = asyncio.Queue()
        self._listeners.append(queue)
        if not self._open:
            queue.put_nowait(None)
        return ExitStream(queue, self._listeners)

    # --- observation -----------------------------------------------------------------------------------

    async def observe(self) -> RuntimeState:
        """Nodes, links with carrier and counters, processes, impairments."""
        return await self._ask(language.Observe(), RuntimeState)

    async def _netlink(self, node: str) -> Netlink:
        _, descriptors = await self._call(language.NamespaceSocket(node, socket.NETLINK_ROUTE))
        return Netlink(existing=socket.socket(fileno=descriptors[0]))

    async def addresses(self, node: str) -> tuple[AddressObservation, ...]:
        """Every address of a node, loopback and link-local included."""
        netlink = await self._netlink(node)

        def read() -> tuple[AddressObservation, ...]:
            names = _names(netlink)
            return tuple(rtnetlink.address_fact(body, names) for body in netlink.dump(rtnetlink.addresses_question()))

        return await _reading(netlink, read)

    async def kernel_routes(self, node: str, family: Family, table: int = 254) -> tuple[KernelRoute, ...]:
        """The routes of one table of a node's kernel."""
        netlink = await self._netlink(node)

        def read() -> tuple[KernelRoute, ...]:
            names = _names(netlink)
            try:
                bodies = netlink.dump(rtnetlink.routes_question(FAMILIES[family], table))
            except NetlinkRefused as refusal:
                if refusal.failures[0].errno == _ENOENT:  # a table that nobody has written to
                    return ()
                raise
            return tuple(rtnetlink.route_fact(body, names) for body in bodies)

        return await _reading(netlink, read)

    async def route_get(self, node: str, destination: str) -> KernelRoute | None:
        """The route that a packet of the node's own would take; None when the kernel has none."""
        netlink = await self._netlink(node)

        def read() -> KernelRoute | None:
            try:
                _, body = netlink.ask(rtnetlink.route_question(destination))
            except NetlinkRefused as refusal:
                if refusal.failures[0].errno in _NO_ROUTE:
                    return None
                raise
            route = rtnetlink.route_fact(body, _names(netlink))
            return None if route.kind in _NOWHERE else route

        return await _reading(netlink, read)

    # --- faults ----------------------------------------------------------------------------------------

    async def set_link(self, node: str, interface: str, up: bool) -> None:
        """Brings one end of a link up or down; the other end loses carrier."""
        await self._tell(language.SetLink(node, interface, up))

    async def impair(self, impairment: Impairment) -> Impairment:
        """Puts an impairment in place of what was there; tells by what means."""
        return await self._ask(language.Impair(impairment), Impairment)

    async def clear(self, node: str, interface: str, direction: Direction) -> None:
        """Removes what was wrong with one direction."""
        await self._tell(language.Clear(node, interface, direction))

    # --- the end ---------------------------------------------------------------------------------------

    async def shutdown(self) -> None:
        """Ends the lab and waits until its supervisor is gone, which is when the kernel has killed all of it.

        A supervisor that is gone already is only waited for.
        """
        with contextlib.suppress(RuntimeFailure):  # it may be gone before it has answered
            await self._tell(language.Shutdown())
        handle, self._supervisor_handle = self._supervisor_handle, None
        if handle is None:
            return
        try:
            async with asyncio.timeout(SHUTDOWN_SECONDS):
                await _readable_once(handle)
        except TimeoutError:
            raise TimedOut(f"the end of lab {self.lab} (supervisor {self.supervisor})", SHUTDOWN_SECONDS) from None
        finally:
            os.close(handle)
            self._disconnect(f"lab {self.lab} was shut down")

    async def close(self) -> None:
        """Lets go of the lab; it runs on."""
        self._disconnect(f"lab {self.lab} was let go")
        if self._supervisor_handle is not None:
            os.close(self._supervisor_handle)
            self._supervisor_handle = None


class ExitStream:
    """An endless stream of process exits; `aclose` unsubscribes."""

    def __init__(
        self, queue: asyncio.Queue[ProcessExit | None], listeners: list[asyncio.Queue[ProcessExit | None]]
    ) -> None:
        self._queue = queue
        self._listeners = listeners

    def __aiter__(self) -> AsyncIterator[ProcessExit]:
        return self

    async def __anext__(self) -> ProcessExit:
        ended = await self._queue.get()
        if ended is None:
            self._queue.put_nowait(None)
            raise StopAsyncIteration
        return ended

    async def aclose(self) -> None:
        """Unsubscribes. Safe to call twice."""
        if self._queue in self._listeners:
            self._listeners.remove(self._queue)


_ENOENT = 2
_NO_ROUTE = frozenset({101, 113, 22, 13})  # ENETUNREACH, EHOSTUNREACH, EINVAL (blackhole), EACCES (prohibit)
_NOWHERE = frozenset({"blackhole", "unreachable", "prohibit"})


def _names(netlink: Netlink) -> dict[int, str]:
    facts = (rtnetlink.link_fact(body) for body in netlink.dump(rtnetlink.links_question()))
    return {fact.index: fact.name for fact in facts}


async def _reading(netlink: Netlink, read: Callable[[], Value]) -> Value:
    try:
        return await asyncio.to_thread(read)
    finally:
        netlink.close()


async def _exit_of(exits: ExitStream, node: str, name: str) -> ProcessExit:
    async for ended in exits:
        if (ended.node, ended.process) == (node, name):
            return ended
    raise RuntimeFailure(f"the lab ended before {name} in {node} did")


async def _drain(descriptor: int) -> bytes:
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        return await stream.read()
    finally:
        transport.close()


async def _pour(descriptor: int, text: bytes) -> None:
    """Writes a command's standard input and closes it. A command that does not read it is not our failure."""
    transport, _ = await asyncio.get_running_loop().connect_write_pipe(
        asyncio.Protocol, os.fdopen(descriptor, "wb", buffering=0)
    )
    transport.write(text)
    transport.close()


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


async def _readable_once(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
