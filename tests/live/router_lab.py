"""A few routers in a cell of their own, for live tests: wires, router processes, and somebody to ask them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.policy import Policy, Verdict
from peerlab.controller.router_client import RouterClient
from peerlab.daemons.kinds import files_of
from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec, ProcessExit, ZygoteSpec
from peerlab.runtime.namespaces import NamespaceRuntime, start_cell
from peerlab.topology.model import NodeKind

ZYGOTE = ZygoteSpec(name="router", preload=("peerlab.router.zygote",), entry="peerlab.router.main:run_forked")
WITHIN = 10.0
"""Seconds in which anything in these tests must have happened."""

ACCEPT_ALL = Policy(name="accept-all", default=Verdict.ACCEPT)
DENY_ALL = Policy(name="deny-all-of-it", default=Verdict.REJECT)
V4 = ("192.0.2.0", "192.0.2.1")
V6 = ("2001:db8::", "2001:db8::1")


def peers(session: str, family: Family, left: str, right: str, **more: Any) -> tuple[PeerConfig, PeerConfig]:
    """Both ends of a session between two routers, ``left`` active; ``more`` holds for both."""
    addresses = V4 if family is Family.IPV4 else V6
    common: dict[str, Any] = {
        "session": session,
        "family": family,
        "import_policy": ACCEPT_ALL.name,
        "export_policy": ACCEPT_ALL.name,
        "interface": "e0",
    } | more
    asns = {left: 64500, right: 4200000001}
    return (
        PeerConfig(peer=right, local_address=Address(addresses[0]), peer_address=Address(addresses[1]),
                   local_as=asns[left], peer_as=asns[right], **common),
        PeerConfig(peer=left, local_address=Address(addresses[1]), peer_address=Address(addresses[0]),
                   local_as=asns[right], peer_as=asns[left], passive=True, **common),
    )  # fmt: skip


def router(node: str, asn: int, identifier: str, its_peers: Iterable[PeerConfig], **more: Any) -> RouterConfig:
    """A router's configuration."""
    return RouterConfig(
        node=node,
        asn=asn,
        router_id=Address(identifier),
        directory=f"/run/peerlab/{node}",
        peers=tuple(its_peers),
        policies={policy.name: policy for policy in (ACCEPT_ALL, DENY_ALL)},
        **more,
    )


def pair(
    sessions: Iterable[tuple[PeerConfig, PeerConfig]],
    left: dict[str, Any] | None = None,
    right: dict[str, Any] | None = None,
) -> tuple[RouterConfig, RouterConfig]:
    """Two routers, ``a`` in AS64500 and ``b`` in AS4200000001, with these sessions between them."""
    ends = list(sessions)
    return (
        router("a", 64500, "10.0.0.1", [end[0] for end in ends], **(left or {})),
        router("b", 4200000001, "10.0.0.2", [end[1] for end in ends], **(right or {})),
    )


class RouterLab:
    """Routers by name, the clients that ask them, and what they told."""

    def __init__(self, runtime: NamespaceRuntime) -> None:
        self.runtime = runtime
        self.clients: dict[str, RouterClient] = {}
        self.notices: dict[str, list[dict[str, Any]]] = {}
        self.incarnations: dict[str, int] = {}
        self.kinds: dict[str, NodeKind] = {}

    async def start(self, config: RouterConfig) -> RouterClient:
        """Write the router's files, fork it, and connect to it."""
        self.kinds[config.node] = NodeKind(config.kind)
        await self.runtime.put_files(config.node, {str(path): text for path, text in files_of(config).items()})
        return await self.restart(config.node)

    async def restart(self, node: str) -> RouterClient:
        """Fork a router whose files are there already."""
        number = self.incarnations[node] = self.incarnations.get(node, 0) + 1
        await self.runtime.fork(node, f"router{number}", ZYGOTE.name, b"router.json")
        client = await self.client(node)
        self.clients[node] = client
        told = self.notices.setdefault(node, [])
        await client.subscribe(lambda facts: None, told.append)
        return client

    async def kill(self, node: str, number: int = signal.SIGKILL) -> ProcessExit:
        """End a router's present life, and wait until it has ended: its socket would take connections until then."""
        name = f"router{self.incarnations[node]}"
        exits = self.runtime.exits()
        await self.runtime.signal(node, name, number)
        async for ended in exits:
            if (ended.node, ended.process) == (node, name):
                return ended
        raise AssertionError(f"nobody told of the end of {name} at {node}")

    async def client(self, node: str) -> RouterClient:
        """One more client of a router."""
        return await RouterClient.over(node, await self.runtime.connect(node, "router.sock", WITHIN))

    async def established(self, node: str, *sessions: str) -> None:
        """Wait until these sessions are up at that node."""
        for session in sessions:
            assert await self.clients[node].wait("established", WITHIN, session=session), (
                f"{session} did not come up at {node}: {await self.clients[node].sessions()}"
            )

    async def session(self, node: str, session: str) -> Any:
        """The session as the router sees it now."""
        return next(fact for fact in await self.clients[node].sessions() if fact.session == session)

    async def kernel(self, node: str, family: Family) -> dict[str, Any]:
        """BGP's routes in the node's kernel, by destination."""
        routes = await self.runtime.kernel_routes(node, family.value)
        return {route.destination: route for route in routes if route.protocol == 186}

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        """Ask the kernel again and again (it has no event for us here) until something holds."""
        deadline = time.monotonic() + WITHIN
        while not await holds():
            assert time.monotonic() < deadline, f"{what} did not happen within {WITHIN} s"

    def changes(self, node: str, session: str) -> list[tuple[str, str, str]]:
        """(before, after, reason) of a session's state changes as told to the subscriber."""
        return [
            (notice["before"], notice["after"], notice.get("reason", ""))
            for notice in self.notices[node]
            if notice["event"] == "session-state-changed" and notice["session"] == session
        ]


@contextlib.asynccontextmanager
async def router_lab(tmp_path: Path, nodes: Iterable[NodeSpec], links: Iterable[LinkSpec]) -> AsyncIterator[RouterLab]:
    """A cell with these nodes and wires, and a zygote for routers; gone afterwards."""
    name = f"t{os.getpid()}-{time.monotonic_ns() % 1_000_000_000}"
    runtime = await start_cell(name, tmp_path / "cell")
    lab = RouterLab(runtime)
    try:
        await runtime.prepare(ZYGOTE)
        await runtime.create(nodes=tuple(nodes), links=tuple(links))
        yield lab
    finally:
        for client in lab.clients.values():
            await client.close()
        await runtime.shutdown()
        await runtime.close()


@contextlib.asynccontextmanager
async def two_routers(
    tmp_path: Path, *configs: RouterConfig, loopbacks: dict[str, tuple[str, ...]] | None = None
) -> AsyncIterator[RouterLab]:
    """Nodes a and b with one wire (e0 to e0, IPv4 and IPv6) and these routers running in them, b (passive) first."""
    nodes = [NodeSpec(name=n, forwarding=True, addresses=(loopbacks or {}).get(n, ())) for n in ("a", "b")]
    ends = [
        InterfaceSpec(node=n, name="e0", addresses=(f"{V4[i]}/31", f"{V6[i]}/127")) for i, n in enumerate(("a", "b"))
    ]
    async with router_lab(tmp_path, nodes, [LinkSpec(id="ab", a=ends[0], b=ends[1])]) as lab:
        for config in reversed(configs):
            await lab.start(config)
        yield lab


def run(test: Any) -> Any:
    """Run a test's coroutine to its end, with a limit on the whole."""
    return asyncio.run(asyncio.wait_for(test, 60))


def prefixes(*texts: str) -> tuple[Prefix, ...]:
    """Prefixes of their texts."""
    return tuple(Prefix(text) for text in texts)


def with_ends(
    ends: tuple[PeerConfig, PeerConfig], left: dict[str, Any], right: dict[str, Any]
) -> tuple[PeerConfig, PeerConfig]:
    """A session whose two ends differ in something."""
    return msgspec.structs.replace(ends[0], **left), msgspec.structs.replace(ends[1], **right)
