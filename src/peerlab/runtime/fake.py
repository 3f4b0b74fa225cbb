"""A runtime in memory, for tests of what stands on a runtime. It keeps the promises of the contract suite.

It moves no packets: probes and commands answer what a test has told it to (`tasks`, `commands`), and routers are
whoever a test lets listen (`listen`). What was not told is refused, never made up.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from peerlab.errors import PeerlabError, RefusedError, RuntimeFailure, TimedOut, Unsupported
from peerlab.runtime.base import (
    AddressObservation,
    Completed,
    Direction,
    Family,
    ForkSpec,
    Impairment,
    InterfaceObservation,
    InterfaceSpec,
    KernelRoute,
    LinkObservation,
    LinkSpec,
    NodeObservation,
    NodeSpec,
    ProcessExit,
    ProcessObservation,
    RouteSpec,
    RuntimeState,
    ZygoteSpec,
    check_names,
    derived_mac,
)
from peerlab.runtime.impairment import check

__all__ = ["FakeRuntime", "FakeTask"]

CONNECTED, STATIC = 2, 4

TaskAnswer = Callable[[str, Mapping[str, Any]], dict[str, Any]]
Listener = Callable[[socket.socket], None]


class FakeTask:
    """A probe that has ended already."""

    def __init__(self, outcome: dict[str, Any] | PeerlabError) -> None:
        self._outcome = outcome

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        records: tuple[dict[str, Any], ...] = ()
        for record in records:
            yield record

    async def result(self) -> dict[str, Any]:
        """The answer that the test gave."""
        if isinstance(self._outcome, PeerlabError):
            raise self._outcome
        return self._outcome

    def ask_to_stop(self) -> None:
        """Nothing runs: there is nothing to stop."""

    async def stop(self) -> dict[str, Any]:
        """Same as `result`."""
        return await self.result()

    async def drain(self) -> list[dict[str, Any]]:
        """No records."""
        return []

    def close(self) -> None:
        """Nothing runs."""


class FakeRuntime:
    """`peerlab.runtime.base.Runtime` in memory."""

    def __init__(self, lab: str = "fake") -> None:
        self.lab = lab
        self.tasks: dict[str, TaskAnswer] = {}
        """What a probe answers, by its entry."""
        self.commands: dict[tuple[str, ...], Completed] = {}
        """What a command leaves, by its argv."""
        self.ended = False
        self._nodes: dict[str, NodeSpec] = {}
        self._links: dict[str, LinkSpec] = {}
        self._down: set[tuple[str, str]] = set()
        self._addresses: dict[tuple[str, str], list[str]] = {}
        self._routes: list[RouteSpec] = []
        self._files: dict[tuple[str, str], str] = {}
        self._processes: dict[tuple[str, str], ProcessObservation] = {}
        self._zygotes: dict[str, ZygoteSpec] = {}
        self._impairments: dict[tuple[str, str], Impairment] = {}
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._exits: list[asyncio.Queue[ProcessExit | None]] = []
        self._pids = 1

    # --- for tests -------------------------------------------------------------------------------------

    def listen(self, node: str, path: str, listener: Listener) -> None:
        """Lets ``listener`` have the far end of every connection to ``path`` in ``node``."""
        self._listeners[node, path] = listener

    def finish(self, node: str, name: str, code: int | None = 0, number: int | None = None) -> None:
        """Ends a process, as if by itself or by a signal."""
        ended = self._processes.pop((node, name))
        self._announce(ProcessExit(node, name, ended.pid, time.time_ns(), code, number))

    # --- wiring ----------------------------------------------------------------------------------------

    async def create(
        self, nodes: Sequence[NodeSpec] = (), links: Sequence[LinkSpec] = (), routes: Sequence[RouteSpec] = ()
    ) -> None:
        """Makes nodes, then links, then routes; all or nothing."""
        check_names(nodes, links)
        names = dict(self._nodes)
        for node in nodes:
            if node.name in names:
                raise RefusedError("NodeExists", f"a node {node.name} exists already")
            names[node.name] = node
        identifiers = dict(self._links)
        ends = set(self._ends())
        for link in links:
            if link.id in identifiers:
                raise RefusedError("LinkExists", f"a link {link.id} exists already")
            identifiers[link.id] = link
            for end in (link.a, link.b):
                if end.node not in names:
                    raise RefusedError("UnknownNode", f"link {link.id} ends at {end.node}, which does not exist")
                if (end.node, end.name) in ends:
                    raise RefusedError("InterfaceExists", f"{end.node} has an interface {end.name} already")
                for address in end.addresses:
                    _interface(address)
                ends.add((end.node, end.name))
        before = self._nodes, self._links, dict(self._addresses)
        self._nodes, self._links = names, identifiers
        for node in nodes:
            self._addresses[node.name, "lo"] = list(node.addresses)
        for link in links:
            for end in (link.a, link.b):
                self._addresses[end.node, end.name] = list(end.addresses)
        try:
            await self.set_routes(routes)
        except PeerlabError:
            self._nodes, self._links, self._addresses = before
            raise

    async def delete(self, nodes: Sequence[str] = (), links: Sequence[str] = ()) -> None:
        """Removes nodes with their processes and links, and links."""
        for node in nodes:
            self._node(node)
        for identifier in links:
            if identifier not in self._links:
                raise RefusedError("UnknownLink", f"there is no link {identifier} in this lab")
        gone = [each for each in self._links.values() if each.a.node in nodes or each.b.node in nodes]
        for identifier in {*links, *(each.id for each in gone)}:
            removed = self._links.pop(identifier)
            for end in (removed.a, removed.b):
                self._down.discard((end.node, end.name))
                self._addresses.pop((end.node, end.name), None)
                self._impairments.pop((end.node, end.name), None)
        for node in nodes:
            for held, name in [key for key in self._processes if key[0] == node]:
                self.finish(held, name, None, signal.SIGKILL)
            del self._nodes[node]
            self._routes = [route for route in self._routes if route.node != node]

    async def set_addresses(
        self, node: str, interface: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Changes an interface's addresses; those to remove go first."""
        self._interface(node, interface)
        held = list(self._addresses[node, interface])
        for address in remove:
            if address not in held:
                raise RuntimeFailure(f"remove the address {address} from {node}/{interface}: it is not there")
            held.remove(address)
        for address in add:
            _interface(address)
            if address in held:
                raise RuntimeFailure(f"add the address {address} to {node}/{interface}: it is there already")
            held.append(address)
        self._addresses[node, interface] = held

    async def set_routes(self, add: Sequence[RouteSpec] = (), remove: Sequence[RouteSpec] = ()) -> None:
        """Changes static routes; those to remove go first."""
        routes = list(self._routes)
        for route in remove:
            self._node(route.node)
            if route not in routes:
                raise RuntimeFailure(f"remove the route {route.destination} from {route.node}: it is not there")
            routes.remove(route)
        for route in add:
            self._node(route.node)
            if any((r.node, r.destination, r.metric, r.table) == _key(route) for r in routes):
                raise RuntimeFailure(f"add the route {route.destination} on {route.node}: File exists")
            if route.via is not None and self._towards(route.node, route.via) is None:
                raise RuntimeFailure(f"add the route {route.destination} on {route.node}: Network is unreachable")
            routes.append(route)
        self._routes = routes

    async def put_files(self, node: str, files: Mapping[str, str]) -> None:
        """Keeps texts."""
        self._node(node)
        for name in files:
            if name.startswith("/") or ".." in name.split("/") or not name:
                raise RefusedError("BadPath", f"{name!r} leaves the directory of {node}; give a relative path")
        self._files.update({(node, name): text for name, text in files.items()})

    async def read_file(self, node: str, path: str) -> bytes:
        """A text that was put."""
        self._node(node)
        if (node, path) not in self._files:
            raise RuntimeFailure(f"cannot read {path} in {node}: No such file or directory")
        return self._files[node, path].encode()

    # --- processes -------------------------------------------------------------------------------------

    async def spawn(self, node: str, name: str, argv: Sequence[str], environment: Mapping[str, str] = {}) -> int:
        """Remembers a process; it runs until `signal` or `finish`."""
        if not argv:
            raise RefusedError("NoCommand", f"the command of {name} in {node} is empty")
        return self._start(node, name, "spawn")

    async def run(self, node: str, argv: Sequence[str], within: float, standard_input: bytes = b"") -> Completed:
        """What the test said that the command leaves."""
        self._node(node)
        completed = self.commands.get(tuple(argv))
        if completed is None:
            raise RuntimeFailure(f"{argv[0]} is not a program on this machine: the test has not told what it leaves")
        return completed

    async def prepare(self, zygote: ZygoteSpec) -> None:
        """Remembers a warm parent."""
        if self._zygotes.setdefault(zygote.name, zygote) != zygote:
            raise RefusedError("ZygoteExists", f"a zygote {zygote.name} with another specification runs already")

    async def fork(self, node: str, name: str, zygote: str, argument: bytes) -> int:
        """Remembers a process."""
        if zygote not in self._zygotes:
            raise RefusedError("UnknownZygote", f"no zygote {zygote} runs; prepare it first")
        return self._start(node, name, zygote)

    async def fork_all(self, zygote: str, forks: Sequence[ForkSpec]) -> tuple[int, ...]:
        """Remembers processes and their files, or none of them."""
        before = dict(self._files), dict(self._processes)
        try:
            for each in forks:
                await self.put_files(each.node, each.files)
            return tuple([await self.fork(each.node, each.name, zygote, each.argument) for each in forks])
        except PeerlabError:
            self._files, self._processes = before
            raise

    def _start(self, node: str, name: str, origin: str) -> int:
        self._node(node)
        if (node, name) in self._processes:
            raise RefusedError("ProcessExists", f"a process {name} runs in {node} already; stop it first")
        self._pids += 1
        self._processes[node, name] = ProcessObservation(node, name, self._pids, time.time_ns(), origin)
        return self._pids

    async def signal(self, node: str, name: str, number: int) -> None:
        """Ends the process as a signal with the default action does."""
        if (node, name) not in self._processes:
            raise RefusedError("UnknownProcess", f"no process {name} runs in {node}")
        if number:
            self.finish(node, name, None, int(number))

    async def connect(self, node: str, path: str, within: float = 0.0) -> socket.socket:
        """A connection to whoever `listen` has put there."""
        self._node(node)
        listener = self._listeners.get((node, path))
        if listener is None:
            if within > 0:
                raise TimedOut(f"somebody listening on {path} in {node}", within)
            raise RuntimeFailure(f"cannot connect to {path} in {node}: No such file or directory")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        listener(theirs)
        return ours

    async def task(self, node: str, entry: str, arguments: Mapping[str, Any] = {}) -> FakeTask:
        """A probe that answers what the test has said."""
        self._node(node)
        answer = self.tasks.get(entry)
        if answer is None:
            return FakeTask(Unsupported(f"the fake runtime moves no packets, and the test gave no answer for {entry}"))
        try:
            return FakeTask(answer(node, arguments))
        except PeerlabError as failure:
            return FakeTask(failure)

    def exits(self) -> AsyncIterator[ProcessExit]:
        """Every process exit from now on."""
        queue: asyncio.Queue[ProcessExit | None] = asyncio.Queue()
        self._exits.append(queue)

        async def stream() -> AsyncIterator[ProcessExit]:
            while (ended := await queue.get()) is not None:
                yield ended

        return stream()

    def _announce(self, ended: ProcessExit | None) -> None:
        for queue in self._exits:
            queue.put_nowait(ended)

    # --- observation -----------------------------------------------------------------------------------

    async def observe(self) -> RuntimeState:
        """All that exists."""
        self._alive()
        return RuntimeState(
            tuple(NodeObservation(node.name, node.kind, node.forwarding) for node in self._nodes.values()),
            tuple(
                LinkObservation(link.id, self._look(link.a), self._look(link.b), link.delay_ms)
                for link in self._links.values()
            ),
            tuple(self._processes.values()),
            tuple(self._impairments.values()),
        )

    def _look(self, end: InterfaceSpec) -> InterfaceObservation:
        mac = end.mac or derived_mac(end.node, end.name)
        up = (end.node, end.name) not in self._down
        return InterfaceObservation(end.node, end.name, 0, mac, end.mtu, up, self._carrier(end.node, end.name))

    def _carrier(self, node: str, interface: str) -> bool:
        far = self._far_end(node, interface)
        return not {(node, interface), (far.node, far.name)} & self._down

    async def addresses(self, node: str) -> tuple[AddressObservation, ...]:
        """Every address of a node; the loopback's own are there too."""
        self._node(node)
        own = [AddressObservation("lo", "127.0.0.1/8", "host"), AddressObservation("lo", "::1/128", "host")]
        held = [
            AddressObservation(interface, address)
            for (owner, interface), addresses in self._addresses.items()
            if owner == node
            for address in addresses
        ]
        return (*own, *held)

    async def kernel_routes(self, node: str, family: Family, table: int = 254) -> tuple[KernelRoute, ...]:
        """Connected and static routes."""
        self._node(node)
        version = 6 if family == "ipv6" else 4
        found = []
        for (owner, interface), addresses in self._addresses.items():
            if owner != node or table != 254 or interface == "lo" or (owner, interface) in self._down:
                continue
            for network in {_interface(address).network for address in addresses}:
                if network.version == version:
                    dead = not self._carrier(node, interface)
                    found.append(KernelRoute(str(network), device=interface, protocol=CONNECTED, dead=dead))
        for route in self._routes:
            network = ipaddress.ip_network(route.destination)
            if (route.node, route.table, network.version) != (node, table, version):
                continue
            device = route.device or (self._towards(node, route.via) if route.via else None)
            if route.kind != "unicast" or device is not None:
                found.append(
                    KernelRoute(str(network), route.via, device, route.metric, table, STATIC, route.kind)
                )
        return tuple(found)

    async def route_get(self, node: str, destination: str) -> KernelRoute | None:
        """The longest match, the lowest metric of those."""
        address = ipaddress.ip_address(destination)
        family: Family = "ipv6" if address.version == 6 else "ipv4"
        matches = [
            route
            for route in await self.kernel_routes(node, family)
            if address in ipaddress.ip_network(route.destination)
        ]
        if not matches:
            return None
        best = max(matches, key=lambda r: (ipaddress.ip_network(r.destination).prefixlen, -r.metric))
        return best if best.kind == "unicast" else None

    # --- faults ----------------------------------------------------------------------------------------

    async def set_link(self, node: str, interface: str, up: bool) -> None:
        """Brings one end up or down."""
        self._far_end(node, interface)
        if up:
            self._down.discard((node, interface))
        else:
            self._down.add((node, interface))

    async def impair(self, impairment: Impairment) -> Impairment:
        """Remembers an impairment."""
        check(impairment)
        end = self._sender(impairment.node, impairment.interface, impairment.direction)
        self._impairments.pop(end, None)
        if not (impairment.loss_percent or impairment.delay_ms or impairment.rate_kbit):
            return impairment
        self._impairments[end] = msgspec.structs.replace(impairment, means="fake")
        return self._impairments[end]

    async def clear(self, node: str, interface: str, direction: Direction) -> None:
        """Makes that direction clean."""
        self._impairments.pop(self._sender(node, interface, direction), None)

    # --- the end ---------------------------------------------------------------------------------------

    async def shutdown(self) -> None:
        """Ends the lab."""
        self.ended = True
        self._announce(None)

    async def close(self) -> None:
        """Lets go of the lab."""
        self._announce(None)

    # --- looking up ------------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self.ended:
            raise RuntimeFailure(f"lab {self.lab} is not attached any more")

    def _node(self, name: str) -> NodeSpec:
        self._alive()
        if name not in self._nodes:
            raise RefusedError("UnknownNode", f"there is no node {name} in this lab; ask observe for the names")
        return self._nodes[name]

    def _ends(self) -> list[tuple[str, str]]:
        return [(end.node, end.name) for link in self._links.values() for end in (link.a, link.b)]

    def _interface(self, node: str, interface: str) -> None:
        self._node(node)
        if interface != "lo" and (node, interface) not in self._ends():
            raise RefusedError("UnknownInterface", f"{node} has no interface {interface}")

    def _far_end(self, node: str, interface: str) -> InterfaceSpec:
        self._node(node)
        for link in self._links.values():
            if (link.a.node, link.a.name) == (node, interface):
                return link.b
            if (link.b.node, link.b.name) == (node, interface):
                return link.a
        raise RefusedError("UnknownInterface", f"{node} has no interface {interface}")

    def _sender(self, node: str, interface: str, direction: Direction) -> tuple[str, str]:
        far = self._far_end(node, interface)
        return (node, interface) if direction == "out" else (far.node, far.name)

    def _towards(self, node: str, gateway: str) -> str | None:
        wanted = ipaddress.ip_address(gateway)
        for (owner, interface), addresses in self._addresses.items():
            if owner == node and (owner, interface) not in self._down:
                for address in addresses:
                    if wanted in _interface(address).network:
                        return interface
        return None


def _key(route: RouteSpec) -> tuple[str, str, int, int]:
    return route.node, route.destination, route.metric, route.table


def _interface(address: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    try:
        return ipaddress.ip_interface(address)
    except ValueError as failure:
        raise RefusedError("BadAddress", f"{address!r} is not an address with its prefix length") from failure
