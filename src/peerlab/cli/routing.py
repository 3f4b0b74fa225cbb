"""sessions, routes, explain: what the routers know."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from ipaddress import ip_network

import click

from peerlab.cli.labs import chosen_lab, lab_argument
from peerlab.cli.output import columns, json_option, print_json, print_table, run
from peerlab.controller.lab import Lab
from peerlab.controller.observe import read_sessions
from peerlab.errors import InputError, Problem
from peerlab.evidence.snapshot import RouteFact, SessionFact
from peerlab.report.explanation import explain as explanation
from peerlab.report.ladder import describe
from peerlab.router.protocol import Explanation
from peerlab.topology.mistake import no_such

ESTABLISHED = "Established"
VIEWS = ("loc-rib", "adj-rib-in-pre", "adj-rib-in-post", "adj-rib-out")

lab_option = click.option("--lab", help="Which lab; the only one that runs if left out.")


async def attached(lab: str | None) -> Lab:
    """The lab a command means, attached."""
    return await Lab.attach(chosen_lab(lab))


def check_router(lab: Lab, node: str) -> None:
    """Raises RefusedError when the lab has no router of that name."""
    routers = [n.name for n in lab.model.nodes if n.is_router]
    if node not in routers:
        raise no_such("router", node, routers)


def canonical_prefix(text: str) -> str:
    """A prefix argument in canonical text; an address means its host route. Raises InputError."""
    try:
        return str(ip_network(text, strict=True))
    except ValueError as error:
        raise InputError([Problem("PREFIX", str(error), "give a network such as 203.0.113.0/24")]) from error


@click.command()
@lab_argument
@click.option("--node", help="Only as this node sees them.")
@json_option
def sessions(lab: str | None, node: str | None, as_json: bool) -> None:
    """Every BGP session, as both of its ends report it now.

    BFD: its state here, `waits` when routes are held back for it, - for a session without. RECV: routes received,
    before policy. ACC: accepted by the import policy. ADV: advertised. --json holds more: timers, capabilities, roles,
    flaps, the last error.

    \b
    Example:  peerlab sessions peering-service --node ams-edge-1
    """

    async def read() -> tuple[tuple[SessionFact, ...], tuple[str, ...]]:
        held = await attached(lab)
        try:
            if node is not None:
                check_router(held, node)
            names = [node] if node else [n.name for n in held.model.nodes if n.is_router]
            return await read_sessions(names, held.runtime, held.router)
        finally:
            await held.close()

    facts, dead = run(read())
    for name in dead:
        click.echo(f"{name}: its router is dead; `peerlab fault restart-router {name}` starts it again", err=True)
    if as_json:
        print_json(facts)
        return
    print_table(
        ("NODE", "SESSION", "STATE", "BFD", "PEER AS", "RECV", "ACC", "ADV", "IMPORT POLICY"),
        [
            (
                f.node, f.session, _state(f.state), _bfd(f), f.peer_as, f.received, f.accepted, f.advertised,
                f.import_policy.split("#")[0],
            )
            for f in facts
        ],
    )  # fmt: skip
    for fact in facts:
        if fact.state != ESTABLISHED and fact.last_error:
            click.echo(
                textwrap.fill(f"{fact.node} {fact.session}: {fact.last_error}", columns(), subsequent_indent="    ")
            )


def _state(state: str) -> str:
    return click.style(state, fg="green" if state == ESTABLISHED else "red")


def _bfd(fact: SessionFact) -> str:
    if fact.bfd is None:
        return "-"
    state = click.style(fact.bfd.state, fg="green" if fact.bfd.state == "Up" else "red")
    return f"{state} (waits)" if fact.bfd.waits else state


@click.command()
@click.argument("node")
@click.option("--view", type=click.Choice(VIEWS), default="loc-rib", show_default=True)
@click.option("--session", help="The session, for the Adj-RIBs; all of the node's if left out.")
@click.option("--prefix", help="Only this prefix.")
@lab_option
@json_option
def routes(node: str, view: str, session: str | None, prefix: str | None, lab: str | None, as_json: bool) -> None:
    """One of a router's four RIBs (RFC 4271 section 3.2).

    `>` marks the best path, `x` one that the import policy rejected; WHY is the decision step or policy statement.

    \b
    Example:  peerlab routes ams-edge-1 --view adj-rib-in-pre --prefix 198.18.33.0/24
    """
    wanted = canonical_prefix(prefix) if prefix else None

    async def read() -> list[RouteFact]:
        held = await attached(lab)
        try:
            check_router(held, node)
            client = await held.router(node)
            if view == "loc-rib":
                return list(await client.rib(view, None, wanted))
            its_own = [fact.session for fact in await client.sessions()]
            if session is not None and session not in its_own:
                raise no_such("session", session, its_own)
            ids = [session] if session else its_own
            return [fact for one in ids for fact in await client.rib(view, one, wanted)]
        finally:
            await held.close()

    facts = run(read())
    if as_json:
        print_json(facts)
        return
    if not facts:
        click.echo(f"{node} has no such route in {view}")
        return
    print_table(
        ("", "PREFIX", "SESSION", "WHY", "ROUTE"),
        [
            (
                ">" if f.best else (" " if f.accepted else "x"),
                f.prefix, f.session or "(own)", f.reason, describe(f.attributes),
            )
            for f in facts
        ],
    )  # fmt: skip


@click.command()
@click.argument("node")
@click.argument("prefix")
@lab_option
@json_option
def explain(node: str, prefix: str, lab: str | None, as_json: bool) -> None:
    """Why a prefix is routed as it is at a router.

    The winner first; then by which step of the decision process every other path lost, or which policy statement
    rejected it. With an address instead of a prefix: the longest prefix that holds it.

    \b
    Example:  peerlab explain sea-core-1 198.18.33.0/24
              peerlab explain sea-core-1 198.18.33.2
    """
    wanted = canonical_prefix(prefix)

    async def read() -> Explanation:
        held = await attached(lab)
        try:
            check_router(held, node)
            client = await held.router(node)
            if "/" in prefix:
                return await client.explain(wanted)
            return await client.explain(_longest(wanted, await client.rib("loc-rib")))
        finally:
            await held.close()

    told = run(read())
    if as_json:
        print_json(told)
    else:
        click.echo(explanation(told, width=columns(), paint=lambda text, colour: click.style(text, fg=colour)))


def _longest(host_route: str, facts: Iterable[RouteFact]) -> str:
    """The longest of the prefixes that holds an address; its host route when none does."""
    wanted = ip_network(host_route)
    holding = [
        net
        for net in {ip_network(fact.prefix) for fact in facts}
        if net.version == wanted.version and wanted.subnet_of(net)  # type: ignore[arg-type]
    ]
    return str(max(holding, key=lambda net: net.prefixlen, default=wanted))


COMMANDS = (sessions, routes, explain)
