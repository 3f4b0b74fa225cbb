"""A row of four nodes on a real kernel, for the live tests of the cell: west - r1 - r2 - east."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec, RouteSpec
from peerlab.runtime.namespaces import NamespaceRuntime, start_cell

WITHIN = 20.0
PROBE = "peerlab.runtime."
LAB = f"cell-{os.getpid()}"

# west - r1 - r2 - east, both families; the routers know the way by static routes.
NODES = (NodeSpec("west"), NodeSpec("r1", forwarding=True), NodeSpec("r2", forwarding=True), NodeSpec("east"))
LINKS = (
    LinkSpec(
        "west-r1",
        InterfaceSpec("west", "e0", addresses=("10.1.0.2/24", "2001:db8:1::2/64")),
        InterfaceSpec("r1", "e0", addresses=("10.1.0.1/24", "2001:db8:1::1/64")),
    ),
    LinkSpec(
        "r1-r2",
        InterfaceSpec("r1", "e1", addresses=("10.2.0.1/24", "2001:db8:2::1/64")),
        InterfaceSpec("r2", "e0", addresses=("10.2.0.2/24", "2001:db8:2::2/64")),
    ),
    LinkSpec(
        "r2-east",
        InterfaceSpec("r2", "e1", addresses=("10.3.0.1/24", "2001:db8:3::1/64")),
        InterfaceSpec("east", "e0", addresses=("10.3.0.2/24", "2001:db8:3::2/64")),
    ),
)
ROUTES = (
    RouteSpec("west", "0.0.0.0/0", via="10.1.0.1"),
    RouteSpec("west", "::/0", via="2001:db8:1::1"),
    RouteSpec("r1", "10.3.0.0/24", via="10.2.0.2"),
    RouteSpec("r1", "2001:db8:3::/64", via="2001:db8:2::2"),
    RouteSpec("r2", "10.1.0.0/24", via="10.2.0.1"),
    RouteSpec("r2", "2001:db8:1::/64", via="2001:db8:2::1"),
    RouteSpec("east", "0.0.0.0/0", via="10.3.0.1"),
    RouteSpec("east", "::/0", via="2001:db8:3::1"),
)
EAST = {"ipv4": "10.3.0.2", "ipv6": "2001:db8:3::2"}

@asynccontextmanager
async def empty_cell(state: Path, lab: str = LAB) -> AsyncIterator[NamespaceRuntime]:
    runtime = await start_cell(lab, state)
    try:
        yield runtime
    finally:
        await runtime.shutdown()


@asynccontextmanager
async def row(state: Path) -> AsyncIterator[NamespaceRuntime]:
    """The row of four, wired."""
    async with empty_cell(state) as runtime:
        await runtime.create(NODES, LINKS, ROUTES)
        yield runtime


async def meet(runtime: NamespaceRuntime) -> None:
    """Lets every neighbour find the next, so that a loss to come does not hit ARP, which asks once a second."""
    for destination in EAST.values():
        answer = await probe(runtime, "west", "probe:ping", destination=destination)
        assert answer["received"] == answer["sent"]


async def probe(runtime: NamespaceRuntime, node: str, entry: str, **arguments: Any) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN):
        return await (await runtime.task(node, PROBE + entry, arguments)).result()


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that the kernel does in its own time; there is no event for it."""
    async with asyncio.timeout(WITHIN):
        ended = asyncio.Event()
        while not condition():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 0.02)
