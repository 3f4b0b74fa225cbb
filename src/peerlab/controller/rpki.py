"""The lab's RPKI caches at run time: what they serve, changing it, losing a cache and having it back."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Collection, Iterable

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_pdu import exact
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.reconcile import CACHE_PROCESS
from peerlab.daemons.rpki import CONFIGURATION, VRPS, files_of, read_vrps, servers_of, vrps_json
from peerlab.errors import InputError, Problem, RefusedError, TimedOut
from peerlab.evidence.events import FaultCleared, FaultInjected, RouterNotice
from peerlab.peering.origin_monitor import OriginAlarm, watch_origins
from peerlab.topology.mistake import no_such
from peerlab.topology.model import RpkiCache

FOLLOWED_WITHIN = 10.0
"""Seconds in which routers validate by what their cache was told."""

GONE_WITHIN = 5.0
"""Seconds in which a killed cache's process has to be gone."""


def make_vrp(prefix: str, asn: int, max_length: int | None = None) -> Vrp:
    """A VRP of what a person wrote. Raises InputError with what is wrong."""
    try:
        network = ipaddress.ip_network(prefix)
    except ValueError as error:
        raise InputError([Problem("PREFIX", str(error), "give a network such as 203.0.113.0/24")]) from error
    longest = network.prefixlen if max_length is None else max_length
    if not network.prefixlen <= longest <= network.max_prefixlen:
        raise InputError(
            [
                Problem(
                    "--max-length",
                    f"{longest} does not suit {network}",
                    f"use {network.prefixlen} to {network.max_prefixlen}",
                )
            ]
        )
    if not 0 <= asn <= 0xFFFFFFFF:
        raise InputError([Problem("ASN", f"{asn} is no AS number", "use 0 to 4294967295; 0 means nobody")])
    return Vrp(Prefix(str(network)), asn, longest)


def find_caches(lab: Lab, name: str | None) -> tuple[RpkiCache, ...]:
    """The cache of that name, or all without a name. Raises RefusedError when there is none."""
    caches = lab.model.caches
    if not caches:
        raise RefusedError(
            "NoCache", f"lab {lab.store.name} has no RPKI cache; add one under caches: of an AS of its topology"
        )
    if name is None:
        return caches
    found = tuple(cache for cache in caches if cache.node == name)
    if not found:
        raise no_such("RPKI cache", name, [cache.node for cache in caches])
    return found


async def vrps_of(lab: Lab, cache: RpkiCache) -> tuple[Vrp, ...]:
    """What a cache serves, or will serve when it runs again."""
    return read_vrps(await lab.runtime.read_file(cache.node, str(VRPS)))


async def is_running(lab: Lab, cache: RpkiCache) -> bool:
    """Whether the cache's process runs."""
    state = await lab.runtime.observe()
    return any(one.node == cache.node and one.name == CACHE_PROCESS for one in state.processes)


async def serve(lab: Lab, cache: RpkiCache, vrps: Iterable[Vrp]) -> None:
    """Have a cache serve these VRPs and no others; a dead one does when it runs again."""
    wanted = frozenset(map(exact, vrps))
    before = frozenset(await vrps_of(lab, cache))
    await lab.runtime.put_files(cache.node, {str(VRPS): vrps_json(wanted)})
    text = "; ".join(
        f"{word} {', '.join(sorted(f'{vrp.prefix} le {vrp.max_length} AS{vrp.asn}' for vrp in which))}"
        for word, which in (("added", wanted - before), ("removed", before - wanted))
        if which
    )
    lab.record(RouterNotice(at=now_ns(), node=cache.node, session="", kind="rpki-changed", text=text or "no change"))
    if await is_running(lab, cache):
        await lab.runtime.signal(cache.node, CACHE_PROCESS, signal.SIGHUP)


async def change(lab: Lab, caches: Iterable[RpkiCache], add: Iterable[Vrp] = (), remove: Iterable[Vrp] = ()) -> int:
    """Add VRPs to caches and take others out, and wait until the routers follow. Answers with how many routers do.

    Raises RefusedError for a VRP that is to go and is not there, TimedOut when a router does not follow.
    """
    chosen = tuple(caches)
    gone = frozenset(map(exact, remove))
    for cache in chosen:
        served = frozenset(await vrps_of(lab, cache))
        for vrp in sorted(gone - served, key=str):
            here = sorted(f"{one.prefix} AS{one.asn} --max-length {one.max_length}" for one in served)
            raise no_such("VRP", f"{vrp.prefix} AS{vrp.asn} --max-length {vrp.max_length}", here)
        await serve(lab, cache, (served - gone) | frozenset(map(exact, add)))
    return await followed(lab)


async def followed(lab: Lab, within: float = FOLLOWED_WITHIN, nodes: Collection[str] | None = None) -> int:
    """Wait until every router (of ``nodes``) whose caches all run validates by what they serve. Says how many that are.

    Raises TimedOut naming the routers that do not.
    """
    running = {cache.node: await is_running(lab, cache) for cache in lab.model.caches}
    served = {cache.node: await vrps_of(lab, cache) for cache in lab.model.caches}

    async def follows(node: str, vrps: frozenset[Vrp]) -> tuple[str, bool]:
        return node, await (await lab.router(node)).validates_by(vrps, within)

    waits = []
    for node in lab.model.nodes:
        servers = servers_of(lab.model, node)
        chosen = nodes is None or node.name in nodes
        if chosen and node.is_router and servers and all(running[server.name] for server in servers):
            best = min(server.preference for server in servers)
            used = [server.name for server in servers if server.preference == best]
            waits.append(follows(node.name, frozenset(vrp for name in used for vrp in served[name])))
    answers = await asyncio.gather(*waits)
    late = [node for node, follows_it in answers if not follows_it]
    if late:
        raise TimedOut(f"the new VRPs at {', '.join(late)}", within)
    return len(answers)


async def set_intervals(lab: Lab, cache: RpkiCache, refresh: int, retry: int, expire: int) -> None:
    """Have peerlab's own cache tell other intervals (seconds) from its next answer on, until it is started again."""
    told = msgspec.structs.replace(cache, refresh=refresh, retry=retry, expire=expire)
    text = files_of(lab.model, told)[CONFIGURATION]
    await lab.runtime.put_files(cache.node, {str(CONFIGURATION): text})


async def watch(lab: Lab, node: str, vrps: Iterable[Vrp]) -> tuple[OriginAlarm, ...]:
    """Look for forged origins among the routes of a router, and for ROAs that would let one in."""
    router = await lab.router(node)
    outside = {s.id for s in lab.model.sessions_of(node) if not s.is_internal}
    sessions = [fact.session for fact in await router.sessions() if fact.session in outside]
    ribs = await asyncio.gather(*(router.rib("adj-rib-in-post", session) for session in sessions))
    return watch_origins((route for rib in ribs for route in rib), vrps)


async def kill_cache(lab: Lab, cache: RpkiCache) -> None:
    """Kill a cache (SIGKILL); routers believe what it told until that expires. Raises RefusedError when it is dead."""
    if not await is_running(lab, cache):
        raise RefusedError("CacheIsDead", f"{cache.node} does not run; `peerlab fault restart-cache {cache.node}`")
    exits = lab.runtime.exits()
    await lab.runtime.signal(cache.node, CACHE_PROCESS, signal.SIGKILL)

    async def gone() -> None:
        async for ended in exits:
            if ended.node == cache.node and ended.process == CACHE_PROCESS:
                return

    try:
        await asyncio.wait_for(gone(), GONE_WITHIN)
    except TimeoutError as error:
        raise TimedOut(f"the end of cache {cache.node}", GONE_WITHIN) from error
    lab.record(FaultInjected(at=now_ns(), fault="cache-killed", target=cache.node))


async def restart_cache(lab: Lab, cache: RpkiCache) -> None:
    """Start a cache that was killed, with the VRPs that it had; the ordinary plan does it. It has a new session id.

    Raises RefusedError when it runs.
    """
    if await is_running(lab, cache):
        raise RefusedError("CacheRuns", f"{cache.node} runs; `peerlab fault kill-cache {cache.node}` kills it")
    await lab.reconcile()
    lab.record(FaultCleared(at=now_ns(), fault="cache-killed", target=cache.node))
