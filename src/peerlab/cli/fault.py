"""fault: break the lab on purpose, and mend it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import click

from peerlab.bgp.attributes import Prefix
from peerlab.cli.labs import chosen_lab
from peerlab.cli.output import run
from peerlab.cli.routing import canonical_prefix, lab_option
from peerlab.controller import fault as faults
from peerlab.controller import rpki
from peerlab.controller.attached import attach_desk
from peerlab.controller.lab import Lab


def _with_lab(lab: str | None, act: Callable[[Lab], Coroutine[Any, Any, str]]) -> None:
    async def work() -> str:
        held = (await attach_desk(chosen_lab(lab))).lab
        try:
            return await held.while_it_lasts(act(held))
        finally:
            await held.close()

    click.echo(run(work()))


@click.group()
def fault() -> None:
    """Break the lab on purpose, and mend it.

    Links down and up, one way too; routers and RPKI caches killed; a metro out; packets lost; a hijack or a leak
    announced. Every fault is written to the event log.

    \b
    Example:  peerlab fault link-down ams-edge-1:fab-ams-1
    """


@fault.command("link-down")
@click.argument("link")
@lab_option
def link_down(link: str, lab: str | None) -> None:
    """Take a link down; both ends lose carrier. LINK is an id or NODE:NODE.

    \b
    Example:  peerlab fault link-down ams-edge-1:fab-ams-1
    """

    async def act(held: Lab) -> str:
        found = faults.find_link(held, link)
        await faults.set_link(held, found, up=False)
        return f"{found.id} is down; `peerlab fault link-up {found.id}` puts it up again"

    _with_lab(lab, act)


@fault.command("link-up")
@click.argument("link")
@lab_option
def link_up(link: str, lab: str | None) -> None:
    """Put a link up again.

    \b
    Example:  peerlab fault link-up ams-edge-1:fab-ams-1
    """

    async def act(held: Lab) -> str:
        found = faults.find_link(held, link)
        await faults.set_link(held, found, up=True)
        return f"{found.id} is up"

    _with_lab(lab, act)


@fault.command()
@click.argument("link")
@click.option("--from", "from_node", help="Only what this node sends (one-way failure).")
@lab_option
def silence(link: str, from_node: str | None, lab: str | None) -> None:
    """Lose every packet of a link while its carrier stays up.

    \b
    Example:  peerlab fault silence ams-edge-1:fab-ams-1 --from fab-ams-1
    """

    async def act(held: Lab) -> str:
        found = faults.find_link(held, link)
        await faults.silence(held, found, from_node)
        return f"{found.id} is silent; `peerlab fault clear {found.id}` mends it"

    _with_lab(lab, act)


@fault.command()
@click.argument("link")
@click.option("--loss", type=click.FloatRange(0, 100), default=0.0, help="Percent of the packets lost.")
@click.option("--delay", type=click.FloatRange(0), default=0.0, help="Milliseconds of delay each way.")
@click.option("--jitter", type=click.FloatRange(0), default=0.0, help="Milliseconds by which the delay varies.")
@lab_option
def degrade(link: str, loss: float, delay: float, jitter: float, lab: str | None) -> None:
    """Lose a share of a link's packets, or delay them.

    Both work with and without netem in the kernel; `peerlab doctor` says by which means.

    \b
    Example:  peerlab fault degrade ams-edge-1:fab-ams-1 --loss 5
              peerlab fault degrade ams-edge-1:fab-ams-1 --delay 40 --jitter 5
    """

    async def act(held: Lab) -> str:
        found = faults.find_link(held, link)
        means = await faults.degrade(held, found, loss, delay, jitter)
        varied = f" +- {jitter:g}" if jitter else ""
        return f"{found.id}: loss {loss:g} %, delay {delay:g}{varied} ms (by {means or 'nothing'})"

    _with_lab(lab, act)


@fault.command()
@click.argument("link")
@lab_option
def clear(link: str, lab: str | None) -> None:
    """Undo silence and degrade.

    \b
    Example:  peerlab fault clear ams-edge-1:fab-ams-1
    """

    async def act(held: Lab) -> str:
        found = faults.find_link(held, link)
        await faults.clear(held, found)
        return f"{found.id} carries again"

    _with_lab(lab, act)


@fault.command("kill-router")
@click.argument("node")
@lab_option
def kill_router(node: str, lab: str | None) -> None:
    """Kill a router: its kernel goes on forwarding.

    \b
    Example:  peerlab fault kill-router ams-edge-1
    """

    async def act(held: Lab) -> str:
        await faults.kill_router(held, faults.find_router(held, node))
        return f"{node} is dead; `peerlab fault restart-router {node}` starts it again"

    _with_lab(lab, act)


@fault.command("restart-router")
@click.argument("node")
@lab_option
def restart_router(node: str, lab: str | None) -> None:
    """Start a killed router again.

    \b
    Example:  peerlab fault restart-router ams-edge-1
    """

    async def act(held: Lab) -> str:
        await faults.restart_router(held, faults.find_router(held, node))
        return f"{node} runs"

    _with_lab(lab, act)


@fault.command("kill-cache")
@click.argument("node")
@lab_option
def kill_cache(node: str, lab: str | None) -> None:
    """Kill an RPKI cache: routers believe it until its data expire.

    \b
    Example:  peerlab fault kill-cache rpki-ams
    """

    async def act(held: Lab) -> str:
        (cache,) = rpki.find_caches(held, node)
        await rpki.kill_cache(held, cache)
        return f"{node} is dead; `peerlab fault restart-cache {node}` starts it again"

    _with_lab(lab, act)


@fault.command("restart-cache")
@click.argument("node")
@lab_option
def restart_cache(node: str, lab: str | None) -> None:
    """Start a killed RPKI cache again, with what it served.

    \b
    Example:  peerlab fault restart-cache rpki-ams
    """

    async def act(held: Lab) -> str:
        (cache,) = rpki.find_caches(held, node)
        await rpki.restart_cache(held, cache)
        return f"{node} runs"

    _with_lab(lab, act)


@fault.command("metro-down")
@click.argument("metro")
@lab_option
def metro_down(metro: str, lab: str | None) -> None:
    """Take out a whole metro: every link of its routers.

    \b
    Example:  peerlab fault metro-down amsterdam
    """

    async def act(held: Lab) -> str:
        await faults.set_metro(held, metro, up=False)
        return f"{metro} is out; `peerlab fault metro-up {metro}` brings it back"

    _with_lab(lab, act)


@fault.command("metro-up")
@click.argument("metro")
@lab_option
def metro_up(metro: str, lab: str | None) -> None:
    """Bring a metro back.

    \b
    Example:  peerlab fault metro-up amsterdam
    """

    async def act(held: Lab) -> str:
        await faults.set_metro(held, metro, up=True)
        return f"{metro} is back"

    _with_lab(lab, act)


@fault.command()
@click.argument("node")
@click.argument("prefix")
@click.option("--stop", is_flag=True, help="End the hijack.")
@lab_option
def hijack(node: str, prefix: str, stop: bool, lab: str | None) -> None:
    """Originate somebody else's prefix at a router.

    \b
    Example:  peerlab fault hijack adatum-1 198.18.33.0/24
    """
    wanted = Prefix(canonical_prefix(prefix))

    async def act(held: Lab) -> str:
        router = faults.find_router(held, node)
        if stop:
            await faults.end_hijack(held, router, wanted)
            return f"{node} no longer originates {wanted}"
        await faults.hijack(held, router, wanted)
        return f"{node} originates {wanted}; end it with `peerlab fault hijack {node} {wanted} --stop`"

    _with_lab(lab, act)


@fault.command()
@click.argument("node")
@click.argument("session")
@click.argument("prefix")
@click.option("--stop", is_flag=True, help="Withdraw the leak.")
@lab_option
def leak(node: str, session: str, prefix: str, stop: bool, lab: str | None) -> None:
    """Announce a route where it does not belong.

    A route that the router holds, past its export policy, on the session given (a route leak, RFC 7908).

    \b
    Example:  peerlab fault leak fab-ams-1 fab-ams-1--woodgrove-1.v4 198.18.1.0/24
    """
    wanted = Prefix(canonical_prefix(prefix))

    async def act(held: Lab) -> str:
        router = faults.find_router(held, node)
        if stop:
            await faults.end_leak(held, router, session, wanted)
            return f"{wanted} is withdrawn from {session}"
        await faults.leak(held, router, session, wanted)
        return f"{node} leaks {wanted} on {session}; end it with --stop"

    _with_lab(lab, act)


COMMANDS = (fault,)
