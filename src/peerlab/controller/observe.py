"""Reads a lab as it is: the plan's view, and whole snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from peerlab.bgp.attributes import Address, Prefix
from peerlab.bgp.rtr_config import RtrServer
from peerlab.controller.plan import View
from peerlab.controller.reconcile import CACHE_PROCESS, ROUTER_PROCESS
from peerlab.controller.router_client import RouterClient
from peerlab.errors import RuntimeFailure
from peerlab.evidence.snapshot import KernelRoute, NodeSnapshot, RouteFact, SessionFact, Snapshot
from peerlab.runtime.base import Runtime, RuntimeState
from peerlab.topology.model import LabModel, Node

RouterOf = Callable[[str], Awaitable[RouterClient]]

_DEAD = "its router process does not run"
_MISSING = "it is not built (its controller was killed?)"


async def read_view(runtime: Runtime, router: RouterOf) -> View:
    """What exists now, as the plan compares it with what is desired."""
    state = await runtime.observe()
    running = sorted(p.node for p in state.processes if p.name == ROUTER_PROCESS)

    async def ends_of(node: str) -> tuple[SessionFact, ...]:
        return await (await router(node)).sessions()

    async def asked_by(node: str) -> tuple[str, tuple[RtrServer, ...]]:
        return node, (await (await router(node)).validation()).servers

    facts = dict(zip(running, await asyncio.gather(*(ends_of(node) for node in running)), strict=True))
    return View(
        nodes=frozenset(node.name for node in state.nodes),
        links=frozenset(link.id for link in state.links),
        routers=frozenset(running),
        caches=frozenset(p.node for p in state.processes if p.name == CACHE_PROCESS),
        asked=dict(await asyncio.gather(*(asked_by(node) for node in running))),
        ends={
            node: {fact.session: (fact.import_policy, fact.export_policy) for fact in found}
            for node, found in facts.items()
        },
        bfd={
            (node, fact.session): fact.bfd.config
            for node, found in facts.items()
            for fact in found
            if fact.bfd is not None
        },
    )


def is_running(state: RuntimeState, node: str) -> bool:
    """Whether the node's router process runs."""
    return any(process.node == node and process.name == ROUTER_PROCESS for process in state.processes)


async def living_router(runtime: Runtime, router: RouterOf, node: str) -> RouterClient | str:
    """The connection to a router, or when its process does not run a word about that.

    A router that runs and does not answer is another matter: raises RuntimeFailure or TimedOut.
    """
    if not is_running(await runtime.observe(), node):
        return _DEAD
    try:
        return await router(node)
    except RuntimeFailure:
        if is_running(await runtime.observe(), node):
            raise
        return _DEAD


async def read_sessions(
    nodes: Iterable[str], runtime: Runtime, router: RouterOf
) -> tuple[tuple[SessionFact, ...], tuple[str, ...]]:
    """Every session as these routers report it, and the routers that are dead and report nothing."""

    async def read(node: str) -> tuple[SessionFact, ...] | None:
        client = await living_router(runtime, router, node)
        return None if isinstance(client, str) else await client.sessions()

    names = tuple(nodes)
    answers = await asyncio.gather(*(read(node) for node in names))
    dead = tuple(node for node, answer in zip(names, answers, strict=True) if answer is None)
    return tuple(fact for answer in answers for fact in answer or ()), dead


async def read_snapshot(label: str, at: int, model: LabModel, runtime: Runtime, router: RouterOf) -> Snapshot:
    """Every node's sessions, RIBs, kernel routes, addresses and carriers, read concurrently."""
    state = await runtime.observe()
    carriers: dict[str, dict[str, bool]] = {}
    for link in state.links:
        for end in (link.a, link.b):
            carriers.setdefault(end.node, {})[end.name] = end.up and end.carrier

    existing = {node.name for node in state.nodes}

    async def read(node: Node) -> NodeSnapshot:
        if node.name not in existing:
            return NodeSnapshot(node=node.name, dead=_MISSING)
        client = await living_router(runtime, router, node.name) if node.is_router else None
        return await _read_node(node, client, runtime, carriers.get(node.name, {}))

    nodes = await asyncio.gather(*(read(node) for node in model.nodes))
    return Snapshot(label=label, at=at, nodes={node.node: node for node in nodes})


async def _read_node(
    node: Node, client: RouterClient | str | None, runtime: Runtime, carrier: dict[str, bool]
) -> NodeSnapshot:
    routes_v4, routes_v6, addresses = await asyncio.gather(
        runtime.kernel_routes(node.name, "ipv4"),
        runtime.kernel_routes(node.name, "ipv6"),
        runtime.addresses(node.name),
    )
    kernel = tuple(
        KernelRoute(
            prefix=Prefix(route.destination),
            gateway=Address(route.via) if route.via else None,
            interface=route.device,
            metric=route.metric,
            protocol=route.protocol,
            kind=route.kind,
        )
        for route in (*routes_v4, *routes_v6)
        if not route.dead
    )
    by_interface: dict[str, list[str]] = {}
    for address in addresses:
        by_interface.setdefault(address.interface, []).append(address.address)
    held = {name: tuple(sorted(found)) for name, found in by_interface.items()}
    if client is None or isinstance(client, str):
        return NodeSnapshot(node=node.name, kernel=kernel, addresses=held, carrier=carrier, dead=client or "")
    sessions = await client.sessions()
    pre: dict[str, tuple[RouteFact, ...]] = {}
    post: dict[str, tuple[RouteFact, ...]] = {}
    out: dict[str, tuple[RouteFact, ...]] = {}
    for fact in sessions:
        pre[fact.session], post[fact.session], out[fact.session] = await asyncio.gather(
            client.rib("adj-rib-in-pre", fact.session),
            client.rib("adj-rib-in-post", fact.session),
            client.rib("adj-rib-out", fact.session),
        )
    return NodeSnapshot(
        node=node.name,
        sessions=sessions,
        adj_rib_in_pre=pre,
        adj_rib_in_post=post,
        loc_rib=await client.rib("loc-rib"),
        adj_rib_out=out,
        kernel=kernel,
        addresses=held,
        carrier=carrier,
    )
