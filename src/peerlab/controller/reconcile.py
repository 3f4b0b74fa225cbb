"""Carries out a plan: the one path for first deploy, change and repair."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Protocol

import msgspec

from peerlab.bgp.config import BfdConfig, PeerConfig
from peerlab.bgp.policy import Policy
from peerlab.bgp.rtr_pdu import PORT
from peerlab.controller.plan import (
    AddSession,
    ChangeBfd,
    ChangeCaches,
    ChangePolicy,
    CreateLink,
    CreateNode,
    DeleteLink,
    DeleteNode,
    DesiredEnd,
    End,
    RemoveSession,
    StartCache,
    StartRouter,
    Step,
)
from peerlab.controller.router_client import RouterClient
from peerlab.controller.wiring import host_routes, link_spec, node_spec
from peerlab.daemons import rpki
from peerlab.daemons.kinds import files_of
from peerlab.daemons.router_config import peer_config, router_config
from peerlab.errors import PeerlabError, RuntimeFailure, TimedOut, Unsupported
from peerlab.router.protocol import AddPeers, AskCaches, RemovePeers, SetBfd, SetPolicy
from peerlab.runtime.base import ForkSpec, Runtime, ZygoteSpec
from peerlab.topology.model import LabModel

ROUTER_ZYGOTE = ZygoteSpec(name="router", preload=("peerlab.router.zygote",), entry="peerlab.router.main:run_forked")
ROUTER_PROCESS = "router"
CACHE_PROCESS = "rpki-cache"
TCP_AWAIT = "peerlab.runtime.transport:tcp_await"

LISTENS_WITHIN = 15.0
"""Seconds in which an RPKI cache has to listen."""

RouterOf = Callable[[str], Awaitable[RouterClient]]


class Listener(Protocol):
    """Whoever must hear of nodes before anything in them speaks: the tap."""

    async def prepare(self) -> None:
        """There will be nodes soon."""

    async def listen(self, nodes: Collection[str]) -> None:
        """These nodes exist now and nothing runs in them yet."""

    async def forget(self, nodes: Collection[str]) -> None:
        """These nodes are about to go."""


async def carry_out(
    steps: Sequence[Step],
    model: LabModel,
    ends: dict[End, DesiredEnd],
    runtime: Runtime,
    router: RouterOf,
    listener: Listener,
    communication: str = "",
) -> None:
    """Carry out the steps in the plan's order, each kind as one batch.

    ``communication`` is the shutdown text (RFC 9003) that goes with removed sessions. Raises RuntimeFailure or
    RefusedError from the runtime or a router; steps already done stay done and a new plan starts from there.
    """
    await _remove_sessions(steps, router, communication)
    gone_links = [step.link for step in steps if isinstance(step, DeleteLink)]
    gone_nodes = [step.node for step in steps if isinstance(step, DeleteNode)]
    if gone_links or gone_nodes:
        await listener.forget(gone_nodes)
        await runtime.delete(nodes=gone_nodes, links=gone_links)
    starting = [step.node for step in steps if isinstance(step, StartRouter)]
    caches = [step.node for step in steps if isinstance(step, StartCache)]
    if starting or caches:
        await runtime.prepare(ROUTER_ZYGOTE)  # it imports while the wires are laid
    forks, _ = await asyncio.gather(
        asyncio.to_thread(_router_forks, starting, model, ends), _create(steps, model, runtime, listener)
    )
    await _start_caches(caches, model, runtime)
    await _change_caches(steps, model, router)
    await _change_policies(steps, ends, router)
    await _change_bfd(steps, ends, router)
    await _add_sessions(steps, model, ends, router)
    if forks:
        await runtime.fork_all(ROUTER_ZYGOTE.name, forks)


async def _remove_sessions(steps: Iterable[Step], router: RouterOf, communication: str) -> None:
    by_node: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        if isinstance(step, RemoveSession):
            by_node[step.node].append(step.session)
    await asyncio.gather(
        *(
            _ask(router, node, RemovePeers(sessions=tuple(sessions), communication=communication))
            for node, sessions in by_node.items()
        )
    )


async def _create(steps: Sequence[Step], model: LabModel, runtime: Runtime, listener: Listener) -> None:
    """Lay wires; the tap listens on them when this returns."""
    new_nodes = [model.node(step.node) for step in steps if isinstance(step, CreateNode)]
    new_links = {step.link for step in steps if isinstance(step, CreateLink)}
    if new_nodes:
        await listener.prepare()
    if new_nodes or new_links:
        await runtime.create(
            nodes=[node_spec(node) for node in new_nodes],
            links=[link_spec(model, link) for link in model.links if link.id in new_links],
            routes=[route for node in new_nodes for route in host_routes(node)],
        )
    if new_nodes:
        await listener.listen([node.name for node in new_nodes])


async def _start_caches(names: Collection[str], model: LabModel, runtime: Runtime) -> None:
    """peerlab's own are forked like routers; StayRTR is a command. One that ran before goes on with what it served.

    Raises Unsupported where StayRTR is not installed, TimedOut when a cache does not listen.
    """
    forks = []
    for cache in model.caches:
        if cache.node not in names:
            continue
        files = {str(path): text for path, text in rpki.files_of(model, cache).items()}
        if await _has_file(runtime, cache.node, str(rpki.VRPS)):
            del files[str(rpki.VRPS)]
        if rpki.is_stayrtr(model, cache):
            await runtime.put_files(cache.node, files)
            try:
                await runtime.spawn(cache.node, CACHE_PROCESS, rpki.stayrtr(cache))
            except RuntimeFailure as failure:
                raise Unsupported(
                    f"RPKI cache {cache.node} is to be StayRTR, which cannot be started here ({failure}); "
                    "install Debian's stayrtr, or leave kind: out"
                ) from failure
        else:
            argument = str(rpki.CONFIGURATION).encode()
            forks.append(ForkSpec(node=cache.node, name=CACHE_PROCESS, argument=argument, files=files))
    if forks:
        await runtime.fork_all(ROUTER_ZYGOTE.name, forks)
    await asyncio.gather(*(_await_cache(runtime, cache.node) for cache in model.caches if cache.node in names))


async def _await_cache(runtime: Runtime, node: str) -> None:
    """A signal that comes before a process is ready for it would end it. Raises TimedOut when it does not listen."""
    arguments = {"destination": "::1", "port": PORT, "within": LISTENS_WITHIN}
    task = await runtime.task(node, TCP_AWAIT, arguments)
    if (await task.result())["outcome"] != "open":
        log = (await runtime.read_file(node, f"{CACHE_PROCESS}.log")).decode(errors="replace").splitlines()
        words = log[-1] if log else "it wrote nothing to its log"
        raise TimedOut(f"RPKI cache {node} listening on TCP/{PORT} ({words})", LISTENS_WITHIN)


async def _has_file(runtime: Runtime, node: str, path: str) -> bool:
    try:
        await runtime.read_file(node, path)
    except PeerlabError:
        return False
    return True


async def _change_caches(steps: Iterable[Step], model: LabModel, router: RouterOf) -> None:
    nodes = [step.node for step in steps if isinstance(step, ChangeCaches)]
    await asyncio.gather(
        *(_ask(router, node, AskCaches(caches=rpki.servers_of(model, model.node(node)))) for node in nodes)
    )


async def _change_policies(steps: Iterable[Step], ends: dict[End, DesiredEnd], router: RouterOf) -> None:
    policies: dict[str, dict[str, Policy]] = defaultdict(dict)
    peers: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for step in steps:
        if isinstance(step, ChangePolicy):
            end = ends[step.node, step.session]
            for policy in (end.import_policy, end.export_policy):
                policies[step.node][policy.name] = policy
            peers[step.node][step.session] = (end.import_policy.name, end.export_policy.name)
    await asyncio.gather(*(_ask(router, node, SetPolicy(policies=policies[node], peers=peers[node])) for node in peers))


async def _change_bfd(steps: Iterable[Step], ends: dict[End, DesiredEnd], router: RouterOf) -> None:
    peers: dict[str, dict[str, BfdConfig | None]] = defaultdict(dict)
    for step in steps:
        if isinstance(step, ChangeBfd):
            peers[step.node][step.session] = ends[step.node, step.session].bfd
    await asyncio.gather(*(_ask(router, node, SetBfd(peers=wanted)) for node, wanted in peers.items()))


async def _add_sessions(steps: Iterable[Step], model: LabModel, ends: dict[End, DesiredEnd], router: RouterOf) -> None:
    """Passive ends first, so that nobody's first connection attempt is refused."""
    for passive in (True, False):
        additions: dict[str, list[str]] = defaultdict(list)
        for step in steps:
            if isinstance(step, AddSession) and model.session(step.session).end(step.node).passive is passive:
                additions[step.node].append(step.session)
        await asyncio.gather(
            *(_ask(router, node, _add_peers(model, ends, node, sessions)) for node, sessions in additions.items())
        )


def _add_peers(model: LabModel, ends: dict[End, DesiredEnd], node: str, sessions: Iterable[str]) -> AddPeers:
    policies: dict[str, Policy] = {}
    peers = []
    for session in sessions:
        end = ends[node, session]
        policies[end.import_policy.name] = end.import_policy
        policies[end.export_policy.name] = end.export_policy
        config = peer_config(model, model.session(session), node, end.import_policy.name, end.export_policy.name)
        peers.append(_configured(config, end))
    return AddPeers(peers=tuple(peers), policies=policies)


def _configured(config: PeerConfig, end: DesiredEnd) -> PeerConfig:
    """What the model says of an end, with what is wanted otherwise."""
    return msgspec.structs.replace(config, **{**end.configuration, "bfd": end.bfd})


def _router_forks(names: Collection[str], model: LabModel, ends: dict[End, DesiredEnd]) -> list[ForkSpec]:
    """The routers to be started, each with its files."""
    by_node: dict[str, dict[str, DesiredEnd]] = {name: {} for name in names}
    for (node, session), end in ends.items():
        if node in by_node:
            by_node[node][session] = end
    return [
        ForkSpec(
            node=name,
            name=ROUTER_PROCESS,
            argument=b"router.json",
            files={str(path): text for path, text in _files(model, name, its_ends).items()},
        )
        for name, its_ends in by_node.items()
    ]


def _files(model: LabModel, name: str, ends: Mapping[str, DesiredEnd]) -> Mapping[PurePath, str]:
    policies = {session: (end.import_policy, end.export_policy) for session, end in ends.items()}
    config = router_config(model, model.node(name), policies)
    peers = tuple(_configured(peer, ends[peer.session]) for peer in config.peers)
    return files_of(msgspec.structs.replace(config, peers=peers))


async def _ask(router: RouterOf, node: str, request: AddPeers | AskCaches | RemovePeers | SetBfd | SetPolicy) -> None:
    client = await router(node)
    await client.ask(request)
