"""Breaking a lab on purpose, and mending it: each act is written to the event log when it is done."""

from __future__ import annotations

import asyncio
import signal

from peerlab.bgp.attributes import PathAttributes, Prefix, Segment, SegmentType
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.observe import is_running
from peerlab.controller.reconcile import ROUTER_PROCESS
from peerlab.errors import RefusedError, TimedOut
from peerlab.evidence.events import FaultCleared, FaultInjected
from peerlab.router.protocol import Announce, Originate, Withdraw, WithdrawOrigin
from peerlab.runtime.base import Impairment
from peerlab.topology.mistake import no_such
from peerlab.topology.model import Link, LinkPurpose, Node, Session

GONE_WITHIN = 5.0
"""Seconds in which a killed router's process has to be gone."""

SILENCE = 100.0
"""Percent of packets lost on a wire that keeps its carrier: a silent failure."""


def find_link(lab: Lab, name: str) -> Link:
    """The link of that id, or the one between two nodes given as ``A:B``. Raises RefusedError with what there is."""
    for link in lab.model.links:
        if link.id == name:
            return link
    if ":" in name:
        wanted = set(name.split(":", 1))
        between = [link for link in lab.model.links if {end.node for end in link.ends} == wanted]
        if len(between) == 1:
            return between[0]
        if between:
            raise RefusedError("WhichLink", f"several links between {name}: {', '.join(link.id for link in between)}")
    pairs = [":".join(end.node for end in link.ends) for link in lab.model.links if len(link.ends) == 2]
    raise no_such("link", name, pairs if ":" in name else [link.id for link in lab.model.links])


def find_router(lab: Lab, name: str) -> Node:
    """The router of that name. Raises RefusedError with what there is."""
    for node in lab.model.nodes:
        if node.name == name and node.is_router:
            return node
    raise no_such("router", name, [node.name for node in lab.model.nodes if node.is_router])


def find_session(lab: Lab, node: Node, name: str) -> Session:
    """The node's session of that id. Raises RefusedError with what there is."""
    its_own = [one for one in lab.model.sessions if node.name in (one.left.node, one.right.node)]
    for session in its_own:
        if session.id == name:
            return session
    raise no_such("session", name, [one.id for one in its_own])


async def set_link(lab: Lab, link: Link, up: bool) -> None:
    """Take a link down at its first end (both ends lose carrier), or put it up again."""
    end = link.ends[0]
    await lab.runtime.set_link(end.node, end.interface, up)
    if up:
        lab.record(FaultCleared(at=now_ns(), fault="link-down", target=link.id))
    else:
        lab.record(FaultInjected(at=now_ns(), fault="link-down", target=link.id))


async def silence(lab: Lab, link: Link, from_node: str | None = None) -> None:
    """Lose every packet with the carrier up: both ways, or only what ``from_node`` sends."""
    ends = [end for end in link.ends if from_node is None or end.node == from_node]
    if not ends:
        raise no_such("end", f"{from_node} of {link.id}", [end.node for end in link.ends])
    for end in ends:
        await lab.runtime.impair(
            Impairment(node=end.node, interface=end.interface, direction="out", loss_percent=SILENCE)
        )
    detail = "both ways" if from_node is None else f"what {from_node} sends"
    lab.record(FaultInjected(at=now_ns(), fault="silent-loss", target=link.id, detail=detail))


async def degrade(lab: Lab, link: Link, loss_percent: float, delay_ms: float, jitter_ms: float = 0.0) -> str:
    """Lose a share of the packets or delay them, both ways, on top of the link's own delay.

    Returns by which means. Raises Unsupported, and RefusedError for a jitter larger than the delay.
    """
    means = ""
    for end in link.ends:
        done = await lab.runtime.impair(
            Impairment(
                node=end.node,
                interface=end.interface,
                direction="out",
                loss_percent=loss_percent,
                delay_ms=delay_ms,
                jitter_ms=jitter_ms,
            )
        )
        means = done.means
    detail = f"loss {loss_percent:g} %, delay {delay_ms:g}{f' +- {jitter_ms:g}' if jitter_ms else ''} ms, by {means}"
    lab.record(FaultInjected(at=now_ns(), fault="impairment", target=link.id, detail=detail))
    return means


async def clear(lab: Lab, link: Link) -> None:
    """Undo ``silence`` and ``degrade`` on a link."""
    for end in link.ends:
        await lab.runtime.clear(end.node, end.interface, "out")
    lab.record(FaultCleared(at=now_ns(), fault="impairment", target=link.id))


async def kill_router(lab: Lab, node: Node) -> None:
    """Kill a router's process with SIGKILL: its sessions end without a NOTIFICATION, its kernel goes on forwarding.

    Raises RefusedError when it is dead already.
    """
    if not is_running(await lab.runtime.observe(), node.name):
        raise RefusedError(
            "RouterIsDead", f"{node.name} does not run; `peerlab fault restart-router {node.name}` starts it"
        )
    exits = lab.runtime.exits()
    await lab.runtime.signal(node.name, ROUTER_PROCESS, signal.SIGKILL)

    async def gone() -> None:
        async for ended in exits:
            if ended.node == node.name and ended.process == ROUTER_PROCESS:
                return

    try:
        await asyncio.wait_for(gone(), GONE_WITHIN)
    except TimeoutError as error:
        raise TimedOut(f"the end of router {node.name}", GONE_WITHIN) from error
    lab.record(FaultInjected(at=now_ns(), fault="router-killed", target=node.name))


async def freeze_router(lab: Lab, node: Node) -> None:
    """Stop a router's process where it is: it says nothing more, while its kernel goes on acknowledging and forwarding.

    Until ``thaw_router`` nobody gets an answer from it, the controller neither.
    """
    await lab.runtime.signal(node.name, ROUTER_PROCESS, signal.SIGSTOP)
    lab.record(FaultInjected(at=now_ns(), fault="router-frozen", target=node.name))


async def thaw_router(lab: Lab, node: Node) -> None:
    """Let a frozen router go on."""
    await lab.runtime.signal(node.name, ROUTER_PROCESS, signal.SIGCONT)
    lab.record(FaultCleared(at=now_ns(), fault="router-frozen", target=node.name))


async def restart_router(lab: Lab, node: Node) -> None:
    """Start a router that was killed, with all its sessions; the ordinary plan does it.

    The lab's intent has to be known (``attached.attach_desk``), or the router comes back without its connections'
    sessions. Raises RefusedError when the router runs.
    """
    if is_running(await lab.runtime.observe(), node.name):
        raise RefusedError("RouterRuns", f"{node.name} runs; `peerlab fault kill-router {node.name}` kills it")
    await lab.reconcile()
    lab.record(FaultCleared(at=now_ns(), fault="router-killed", target=node.name))


def metro_links(lab: Lab, metro: str) -> tuple[Link, ...]:
    """Every link that leaves or lies in a metro's cloud routers, access links to hosts left alone."""
    inside = {node.name for node in lab.model.nodes if node.metro == metro and node.is_router}
    if not inside:
        raise no_such("metro", metro, [known.name for known in lab.model.metros])
    return tuple(
        link
        for link in lab.model.links
        if link.purpose is not LinkPurpose.ACCESS and any(end.node in inside for end in link.ends)
    )


async def set_metro(lab: Lab, metro: str, up: bool) -> None:
    """Take every link of a metro's routers down, or put them all up again."""
    for link in metro_links(lab, metro):
        end = link.ends[0]
        await lab.runtime.set_link(end.node, end.interface, up)
    if up:
        lab.record(FaultCleared(at=now_ns(), fault="metro-down", target=metro))
    else:
        lab.record(FaultInjected(at=now_ns(), fault="metro-down", target=metro))


async def hijack(lab: Lab, node: Node, prefix: Prefix) -> None:
    """Originate somebody else's prefix at a router; its own export policies still apply."""
    client = await lab.router(node.name)
    await client.ask(Originate(prefix=prefix, blackhole=False))
    lab.record(FaultInjected(at=now_ns(), fault="hijack", target=node.name, detail=prefix))


async def end_hijack(lab: Lab, node: Node, prefix: Prefix) -> None:
    """Stop a hijack."""
    client = await lab.router(node.name)
    await client.ask(WithdrawOrigin(prefix=prefix))
    lab.record(FaultCleared(at=now_ns(), fault="hijack", target=node.name))


async def leak(lab: Lab, node: Node, session_id: str, prefix: Prefix) -> None:
    """Announce a route that the router holds on a session past all policy (RFC 7908): path and attributes its own.

    Raises RefusedError when the router has no such session or holds no best route for the prefix.
    """
    end = find_session(lab, node, session_id).end(node.name)
    client = await lab.router(node.name)
    best = [route for route in await client.rib("loc-rib", prefix=prefix) if route.best]
    if not best:
        raise RefusedError("NoSuchRoute", f"{node.name} has no route for {prefix} to leak")
    held = best[0].attributes
    path = (Segment(SegmentType.AS_SEQUENCE, (end.asn, *held.asns())),)
    attributes = PathAttributes(
        origin=held.origin,
        as_path=path,
        next_hop=end.address,
        communities=held.communities,
        large_communities=held.large_communities,
        otc=held.otc,
    )
    await client.ask(Announce(session=session_id, prefixes=(prefix,), attributes=attributes))
    lab.record(FaultInjected(at=now_ns(), fault="leak", target=node.name, detail=f"{prefix} on {session_id}"))


async def end_leak(lab: Lab, node: Node, session_id: str, prefix: Prefix) -> None:
    """Withdraw what ``leak`` announced. Raises RefusedError when the router has no such session."""
    find_session(lab, node, session_id)
    client = await lab.router(node.name)
    await client.ask(Withdraw(session=session_id, prefixes=(prefix,)))
    lab.record(FaultCleared(at=now_ns(), fault="leak", target=node.name))
