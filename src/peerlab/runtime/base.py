"""What a runtime is asked for and what it answers: wires, processes, files, probes. No BGP here.

The words are those of a laboratory, not of the kernel: a *node* has its own network stack, a *switch* is a
node that only bridges, a *link* is one wire between two interfaces, a *task* is a short probe that runs inside
a node. `peerlab.runtime.namespaces.NamespaceRuntime` does it with Linux namespaces, `peerlab.runtime.fake`
in memory; `tests/contract/test_runtime_contract.py` holds both to the same promises.

Every method raises `RuntimeFailure` when the kernel or a process refused, `Unsupported` when this machine
cannot do it at all, `RefusedError` when the request itself makes no sense (a name that is taken, a node that
does not exist), and `TimedOut` for an awaited event.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from peerlab.errors import RefusedError

__all__ = [
    "CELL",
    "AddressObservation",
    "Completed",
    "Faults",
    "ForkSpec",
    "Impairment",
    "InterfaceObservation",
    "InterfaceSpec",
    "KernelRoute",
    "LinkObservation",
    "LinkSpec",
    "NodeObservation",
    "NodeSpec",
    "Observation",
    "ProcessExit",
    "ProcessObservation",
    "Processes",
    "RouteSpec",
    "Runtime",
    "RuntimeState",
    "Task",
    "Wiring",
    "ZygoteSpec",
    "check_names",
    "derived_mac",
]

CELL = "@cell"
"""The name of a place that is in the cell but in no node: an empty network of its own, for a tap of all nodes."""

NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
INTERFACE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,14}")

Family = Literal["ipv4", "ipv6"]
Direction = Literal["out", "in"]


def derived_mac(node: str, interface: str) -> str:
    """A locally administered unicast MAC (IEEE 802: first octet 02) that depends on the two names alone."""
    return "02:" + hashlib.sha256(f"{node}/{interface}".encode()).digest()[:5].hex(":")


def check_names(nodes: Sequence[NodeSpec], links: Sequence[LinkSpec]) -> None:
    """Refuses names that the kernel or a file system would not take."""
    for node in nodes:
        if not NODE_NAME.fullmatch(node.name):
            raise RefusedError("BadName", f"{node.name!r} cannot be a node's name; use letters, digits, . _ and -")
    for link in links:
        for end in (link.a, link.b):
            if not INTERFACE_NAME.fullmatch(end.name) or end.name == "lo":
                raise RefusedError(
                    "BadName",
                    f"{end.name!r} cannot be an interface's name on {end.node}; use 1 to 15 letters, digits, . _ and -",
                )


class NodeSpec(msgspec.Struct, frozen=True):
    """One network stack. A ``switch`` bridges every interface that a link gives it and has no addresses.

    ``addresses`` are put on the loopback interface ("192.0.2.1/32"). ``forwarding`` makes it a router of both
    families. ``drop_link_local`` keeps packets from or to 169.254.0.0/16 from being forwarded (RFC 3927
    section 7; Linux forwards them if nobody objects). Interfaces of a router have an fe80:: address, because
    Linux looks for the neighbour of a *forwarded* packet from there only; those of other nodes have one if
    ``link_local_ipv6``. A ``discreet`` router sends no MLD, no router discovery and no ICMPv6 redirects, where the
    kernel has nftables. ``sysctls`` are written last, by path below /proc/sys/net ("ipv4/tcp_rmem").

    With an ``image`` the node is a container of that image: its network is the container's, and what is spawned or
    forked in it runs in the container's file system. Only `peerlab.runtime.docker` makes such nodes.
    """

    name: str
    kind: Literal["node", "switch"] = "node"
    forwarding: bool = False
    drop_link_local: bool = True
    discreet: bool = True
    link_local_ipv6: bool = False
    addresses: tuple[str, ...] = ()
    sysctls: dict[str, str] = {}
    image: str = ""


class InterfaceSpec(msgspec.Struct, frozen=True):
    """One end of a link. ``addresses`` carry their prefix length ("198.51.100.0/31"); ``mtu`` is in bytes.

    An empty ``mac`` lets the runtime derive a locally administered one from the node's and interface's name,
    so that the same lab has the same addresses each time. With ``sources`` (prefixes) the node forwards no packet that
    comes in here and has another source; None lets everything pass. It holds where the kernel has nftables.
    """

    node: str
    name: str
    mac: str = ""
    addresses: tuple[str, ...] = ()
    mtu: int = 1500
    sources: tuple[str, ...] | None = None


class LinkSpec(msgspec.Struct, frozen=True):
    """A wire. When one end is down the other end loses carrier, as on a cable.

    ``delay_ms`` is the wire's own, in each direction. An impairment's delay is added to it, and it comes back when the
    impairment is cleared.
    """

    id: str
    a: InterfaceSpec
    b: InterfaceSpec
    delay_ms: float = 0.0


class RouteSpec(msgspec.Struct, frozen=True):
    """A static route in a node's kernel: by gateway (``via``), by ``device``, or to nowhere (``kind``)."""

    node: str
    destination: str
    via: str | None = None
    device: str | None = None
    metric: int = 0
    table: int = 254
    kind: Literal["unicast", "blackhole", "unreachable"] = "unicast"


class ZygoteSpec(msgspec.Struct, frozen=True):
    """A warm parent: imports ``preload`` once, then forks children that call ``entry`` ("module:function").

    The function takes the argument bytes and returns the process's exit code.
    """

    name: str
    preload: tuple[str, ...]
    entry: str


class ForkSpec(msgspec.Struct, frozen=True):
    """One process of a batch, and the texts that lie below its node's directory when it starts."""

    node: str
    name: str
    argument: bytes
    files: dict[str, str] = {}


class InterfaceObservation(msgspec.Struct, frozen=True):
    """An interface as the kernel reports it. ``up`` is what was asked, ``carrier`` is what the wire says.

    Counters are those of rtnl_link_stats64: ``rx_length_errors`` counts giants and runts, ``rx_over_errors`` overruns.
    ``carrier_changes`` counts every loss and return of carrier since the interface was made.
    """

    node: str
    name: str
    index: int
    mac: str
    mtu: int
    up: bool
    carrier: bool
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_length_errors: int = 0
    rx_over_errors: int = 0
    rx_crc_errors: int = 0
    carrier_changes: int = 0


class LinkObservation(msgspec.Struct, frozen=True):
    """A wire with both its ends. ``delay_ms`` is its own delay in each direction, 0 when that got lost."""

    id: str
    a: InterfaceObservation
    b: InterfaceObservation
    delay_ms: float = 0.0


class NodeObservation(msgspec.Struct, frozen=True):
    """A node that exists. ``namespace`` is the inode of its network namespace (0 in the fake).

    ``handle`` is a path that opens the namespace for a process inside the cell ("" in the fake). ``image`` is that
    of its container, "" for a plain node.
    """

    name: str
    kind: str
    forwarding: bool
    namespace: int = 0
    handle: str = ""
    image: str = ""


class ProcessObservation(msgspec.Struct, frozen=True):
    """A process that was started in a node and runs. ``pid`` counts inside the cell, ``started_ns`` is
    CLOCK_REALTIME, ``origin`` the zygote's name or "spawn"."""

    node: str
    name: str
    pid: int
    started_ns: int
    origin: str = "spawn"


class Impairment(msgspec.Struct, frozen=True):
    """What is wrong with one direction of a wire. ``out`` is what the node sends, ``in`` what it receives.

    Each packet is late by ``delay_ms`` give or take up to ``jitter_ms``. ``means`` says how it is done ("netem",
    "nft egress", "tbf", "nfqueue") and ``dropped`` how many packets a full "nfqueue" has lost; both are the runtime's.
    """

    node: str
    interface: str
    direction: Direction = "out"
    loss_percent: float = 0.0
    delay_ms: float = 0.0
    rate_kbit: int = 0
    means: str = ""
    jitter_ms: float = 0.0
    dropped: int = 0


class RuntimeState(msgspec.Struct, frozen=True):
    """All that a runtime knows to exist, read from the kernel at the time of asking."""

    nodes: tuple[NodeObservation, ...] = ()
    links: tuple[LinkObservation, ...] = ()
    processes: tuple[ProcessObservation, ...] = ()
    impairments: tuple[Impairment, ...] = ()


class AddressObservation(msgspec.Struct, frozen=True):
    """An address with its prefix length on a named interface."""

    interface: str
    address: str
    scope: Literal["global", "link", "host", "site", "nowhere"] = "global"


class KernelRoute(msgspec.Struct, frozen=True):
    """A route in a node's kernel. ``protocol`` is the number of rtnetlink (2 kernel, 4 static, 186 bgp)."""

    destination: str
    via: str | None = None
    device: str | None = None
    metric: int = 0
    table: int = 254
    protocol: int = 0
    kind: str = "unicast"
    source: str | None = None
    dead: bool = False


class ProcessExit(msgspec.Struct, frozen=True):
    """A process ended: ``code`` when it ended by itself, ``signal`` when it was killed (the other is None)."""

    node: str
    process: str
    pid: int
    at_ns: int
    code: int | None = None
    signal: int | None = None


class Completed(msgspec.Struct, frozen=True):
    """What a command left: its exit code (negative: the signal that killed it) and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


class Task(Protocol):
    """A probe that runs inside a node. Iterate for its records, ``result`` for its last word."""

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]: ...
    async def result(self) -> dict[str, Any]:
        """Wait for the end (records on the way are dropped); raises `RuntimeFailure` when the probe failed."""

    def ask_to_stop(self) -> None:
        """Ask a probe to end; its last records and its result can still be read."""

    async def stop(self) -> dict[str, Any]:
        """Ask a probe that runs until told to end, and wait for its result."""

    async def drain(self) -> list[dict[str, Any]]:
        """Ask a probe that runs until told to end, and wait for all of its records that were not read yet."""

    def close(self) -> None:
        """Kill the probe if it still runs. Safe to call twice."""


class Wiring(Protocol):
    """Nodes, links, addresses and routes. Each method is one batch: all of it happens or none of it."""

    async def create(
        self, nodes: Sequence[NodeSpec] = (), links: Sequence[LinkSpec] = (), routes: Sequence[RouteSpec] = ()
    ) -> None: ...
    async def delete(self, nodes: Sequence[str] = (), links: Sequence[str] = ()) -> None:
        """Removes nodes with their processes and links, and links by their id."""

    async def set_addresses(
        self, node: str, interface: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None: ...
    async def set_routes(self, add: Sequence[RouteSpec] = (), remove: Sequence[RouteSpec] = ()) -> None: ...
    async def put_files(self, node: str, files: Mapping[str, str]) -> None:
        """Writes texts below the node's directory, /run/peerlab/NODE, making directories on the way."""

    async def read_file(self, node: str, path: str) -> bytes: ...


class Processes(Protocol):
    """What runs inside nodes."""

    async def spawn(
        self, node: str, name: str, argv: Sequence[str], environment: Mapping[str, str] = {}
    ) -> int:
        """Starts a command, its output to NAME.log in the node's directory; its pid inside the cell."""

    async def run(
        self, node: str, argv: Sequence[str], within: float, standard_input: bytes = b""
    ) -> Completed:
        """Runs a command to its end, or kills it after ``within`` seconds and raises `TimedOut`."""
    async def prepare(self, zygote: ZygoteSpec) -> None:
        """Starts a warm parent. Returns at once; forks wait until it has imported."""

    async def fork(self, node: str, name: str, zygote: str, argument: bytes) -> int: ...
    async def fork_all(self, zygote: str, forks: Sequence[ForkSpec]) -> tuple[int, ...]:
        """Forks many processes as one batch; their pids in the same order.

        None begins before the last is born, so those that come first do not take the processor from the birth of the
        others. A request that makes no sense (an unknown node, a name twice) is refused as a whole; when the kernel
        refuses a birth the others live, and `RuntimeFailure` tells the first reason.
        """

    async def signal(self, node: str, name: str, number: int) -> None: ...
    async def connect(self, node: str, path: str, within: float = 0.0) -> socket.socket:
        """A non-blocking Unix socket connected to ``path`` in the cell (relative to the node's directory).

        With ``within`` > 0, waits that long for somebody to listen there; then `TimedOut`.
        """

    async def task(self, node: str, entry: str, arguments: Mapping[str, Any] = {}) -> Task: ...
    def exits(self) -> AsyncIterator[ProcessExit]:
        """Every process exit from now on (subscribed when called, not when first iterated)."""


class Observation(Protocol):
    """What the kernel says. Nothing is answered from memory that can be asked."""

    async def observe(self) -> RuntimeState: ...
    async def addresses(self, node: str) -> tuple[AddressObservation, ...]: ...
    async def kernel_routes(self, node: str, family: Family, table: int = 254) -> tuple[KernelRoute, ...]: ...
    async def route_get(self, node: str, destination: str) -> KernelRoute | None:
        """The route a packet of this node's own would take now, None when there is none."""


class Faults(Protocol):
    """What a person does to a lab on purpose."""

    async def set_link(self, node: str, interface: str, up: bool) -> None: ...
    async def impair(self, impairment: Impairment) -> Impairment:
        """Replaces what was wrong with that direction; answers with ``means`` filled in."""

    async def clear(self, node: str, interface: str, direction: Direction) -> None: ...


class Runtime(Wiring, Processes, Observation, Faults, Protocol):
    """All of it, and its end."""

    lab: str

    async def shutdown(self) -> None:
        """Ends the lab: every process, namespace and file of it."""

    async def close(self) -> None:
        """Lets go of the lab without ending it."""
