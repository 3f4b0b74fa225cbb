"""Route servers lost one after the other, with 1 kHz streams running through each loss (FLV-11)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from peerlab.bgp.attributes import Family
from peerlab.controller import fault, probing
from peerlab.controller.cast import connections, customer_hosts, service_hosts, sessions_of
from peerlab.controller.lab import ESTABLISH_WITHIN, now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import FaultCleared, StimulusApplied, StimulusObserved
from peerlab.evidence.story_restart import RestartStimulus
from peerlab.topology.model import Node
from peerlab.verify.subject import within

WATCHED = 0.5
"""Seconds that streams run on after the last route has settled, the dead server's session watched meanwhile."""

HOSTS = 2
"""Customers that streams run to and from."""


@dataclass(frozen=True)
class Exchange:
    """The route servers of the cloud's connections, one cloud router that is their client, and who lives behind."""

    servers: tuple[Node, ...]
    edge: str
    service: str
    customers: tuple[str, ...]


async def lose_route_servers(rehearsal: Rehearsal) -> None:
    """Kill one route server after the other, look each time, and start them all again."""
    exchange = await _exchange(rehearsal)
    if exchange is None:
        return
    dead: list[Node] = []
    try:
        for server in exchange.servers:
            dead.append(server)
            await _lose(rehearsal, exchange, server, dead)
    finally:
        await _start(rehearsal, dead)


async def _exchange(rehearsal: Rehearsal) -> Exchange | None:
    """Two route servers and a customer that the cloud reaches by them; None where the lab has no such thing."""
    model = rehearsal.model
    found: dict[str, list[str]] = {}
    for _, connection in connections(rehearsal):
        for session in sessions_of(rehearsal, connection):
            for end in (session.left, session.right):
                if model.node(end.node).route_server:
                    found.setdefault(end.node, []).append(session.other(end.node).node)
    services = service_hosts(rehearsal)
    if len(found) < 2 or not services:
        return None
    edge = next((one for one in next(iter(found.values())) if all(one in edges for edges in found.values())), None)
    if edge is None:
        return None
    by_them = [p for p, session in (await _best(rehearsal, edge)).items() if _is_server(rehearsal, edge, session)]
    behind = [
        host
        for host in customer_hosts(rehearsal)
        if any(within(_address(rehearsal, host, family), p) for family in Family for p in by_them)
    ]
    servers = tuple(model.node(name) for name in found)
    return Exchange(servers, edge, services[0], tuple(behind[:HOSTS])) if behind else None


def _address(rehearsal: Rehearsal, host: str, family: Family) -> str:
    return probing.address_of(rehearsal.model.node(host), family)


def _is_server(rehearsal: Rehearsal, edge: str, session: str) -> bool:
    return rehearsal.model.node(rehearsal.model.session(session).other(edge).node).route_server


async def _best(rehearsal: Rehearsal, edge: str) -> dict[str, str]:
    """Prefixes of the edge with the session that each best route came by; its own are left out."""
    rib = await (await rehearsal.lab.router(edge)).rib("loc-rib")
    return {route.prefix: route.session for route in rib if route.best and route.session is not None}


async def _lose(rehearsal: Rehearsal, exchange: Exchange, server: Node, dead: list[Node]) -> None:
    lab, model = rehearsal.lab, rehearsal.model
    names = [node.name for node in dead]
    stream = f"{RestartStimulus.ROUTE_SERVER_LOST}-{len(dead)}"
    pairs = [p for c in exchange.customers for p in ((exchange.service, c), (c, exchange.service))]
    alive = [node.name for node in model.nodes if node.is_router and node.name not in names]
    before = {
        prefix: session
        for prefix, session in (await _best(rehearsal, exchange.edge)).items()
        if any(within(_address(rehearsal, c, f), prefix) for c in exchange.customers for f in Family)
    }
    watched = await lab.router(exchange.edge)
    lost = next(s.id for s in model.sessions_of(server.name) if s.other(server.name).node == exchange.edge)
    async with probing.streams(lab, probing.stream_plans(stream, pairs, Family)):
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=RestartStimulus.ROUTE_SERVER_LOST,
                node=server.name,
                detail={"servers": names, "edge": exchange.edge, "best": before, "stream": stream},
            )
        )
        await fault.kill_router(lab, server)
        waits = [
            (await lab.router(session.other(server.name).node)).wait("down", ESTABLISH_WITHIN, session=session.id)
            for session in model.sessions_of(server.name)
            if session.other(server.name).node not in names
        ]
        down = all(await asyncio.gather(*waits))
        await lab.wait_quiet(alive)
        after = await _best(rehearsal, exchange.edge)
        await asyncio.gather(*(probing.trace(lab, stream, one, other, f) for one, other in pairs for f in Family))
        down = down and not await watched.wait("established", WATCHED, session=lost)
        lab.record(
            StimulusObserved(
                at=now_ns(),
                stimulus=RestartStimulus.ROUTE_SERVER_LOST,
                node=server.name,
                detail={"down": down, "best": {prefix: after.get(prefix, "") for prefix in before}},
            )
        )


async def _start(rehearsal: Rehearsal, dead: list[Node]) -> None:
    """The ordinary plan starts them again with all their sessions."""
    lab = rehearsal.lab
    await rehearsal.desk.realise()
    for server in dead:
        lab.record(FaultCleared(at=now_ns(), fault="router-killed", target=server.name))
    theirs = {session.id for server in dead for session in rehearsal.model.sessions_of(server.name)}
    await lab.wait_established(sorted(theirs & set(lab.expected_sessions())), ESTABLISH_WITHIN)
    await lab.wait_quiet()
