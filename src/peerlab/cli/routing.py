"""sessions, routes, explain: what the routers know."""

from __future__ import annotations

from ipaddress import ip_network

import click

from peerlab.bgp.attributes import PathAttributes
from peerlab.cli.labs import chosen_lab, lab_argument
from peerlab.cli.output import json_option, print_json, print_table, run
from peerlab.controller.lab import Lab
from peerlab.controller.observe import read_sessions
from peerlab.errors import InputError, Problem, RefusedError
from peerlab.evidence.snapshot import RouteFact, SessionFact
from peerlab.router.protocol import Explanation

VIEWS = ("loc-rib", "adj-rib-in-pre", "adj-rib-in-post", "adj-rib-out")

lab_option = click.option("--lab", help="Which lab; the only one that runs if left out.")


async def attached(lab: str | None) -> Lab:
    """The lab a command means, attached."""
    return await Lab.attach(chosen_lab(lab))


def check_node(lab: Lab, node: str) -> None:
    """Raises RefusedError when the lab has no router of that name."""
    routers = [n.name for n in lab.model.nodes if n.is_router]
    if node not in routers:
        raise RefusedError("NoSuchRouter", f"no router {node} in this lab; there are {', '.join(routers)}")


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

    \b
    Example:  peerlab sessions peering-service --node ams-edge-1
    """

    async def read() -> tuple[tuple[SessionFact, ...], tuple[str, ...]]:
        held = await attached(lab)
        try:
            if node is not None:
                check_node(held, node)
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
        ("NODE", "PEER", "AF", "STATE", "AS", "HOLD", "RECEIVED", "ACCEPTED", "ADVERTISED", "IMPORT", "LAST ERROR"),
        [
            (
                f.node, f.peer, f.family.value, f.state, f.peer_as, f.hold_time, f.received, f.accepted,
                f.advertised, f.import_policy.split("#")[0], f.last_error,
            )
            for f in facts
        ],
    )  # fmt: skip


def _describe(attributes: PathAttributes) -> str:
    parts = [attributes.path_text() or "(local)"]
    if attributes.local_pref is not None:
        parts.append(f"lp {attributes.local_pref}")
    if attributes.med is not None:
        parts.append(f"med {attributes.med}")
    if attributes.communities or attributes.large_communities:
        parts.append("comm " + " ".join((*attributes.communities, *attributes.large_communities)))
    if attributes.otc is not None:
        parts.append(f"otc {attributes.otc}")
    return ", ".join(parts)


@click.command()
@click.argument("node")
@click.option("--view", type=click.Choice(VIEWS), default="loc-rib", show_default=True)
@click.option("--session", help="The session, for the Adj-RIBs; all of the node's if left out.")
@click.option("--prefix", help="Only this prefix.")
@lab_option
@json_option
def routes(node: str, view: str, session: str | None, prefix: str | None, lab: str | None, as_json: bool) -> None:
    """One of a router's four RIBs (RFC 4271 section 3.2).

    \b
    Example:  peerlab routes ams-edge-1 --view adj-rib-in-pre --prefix 203.0.113.0/24
    """
    wanted = canonical_prefix(prefix) if prefix else None

    async def read() -> list[RouteFact]:
        held = await attached(lab)
        try:
            check_node(held, node)
            client = await held.router(node)
            if view == "loc-rib":
                return list(await client.rib(view, None, wanted))
            ids = [session] if session else [fact.session for fact in await client.sessions()]
            return [fact for one in ids for fact in await client.rib(view, one, wanted)]
        finally:
            await held.close()

    facts = run(read())
    if as_json:
        print_json(facts)
        return
    print_table(
        ("", "PREFIX", "SESSION", "NEXT HOP", "PATH AND ATTRIBUTES", "WHY"),
        [
            (
                ">" if f.best else (" " if f.accepted else "x"),
                f.prefix, f.session or "(own)", f.attributes.next_hop or "", _describe(f.attributes), f.reason,
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
    """Why a prefix is routed as it is at a router: the winner, and why every other path lost or was rejected.

    \b
    Example:  peerlab explain sea-core-1 203.0.113.0/24
    """
    wanted = canonical_prefix(prefix)

    async def read() -> Explanation:
        held = await attached(lab)
        try:
            check_node(held, node)
            return await (await held.router(node)).explain(wanted)
        finally:
            await held.close()

    told = run(read())
    if as_json:
        print_json(told)
        return
    if not told.candidates:
        click.echo(f"{node} knows no path to {wanted}: nobody has announced it to {node}")
        return
    for candidate in sorted(told.candidates, key=lambda c: (not c.best, not c.accepted)):
        source = candidate.session or "(own)"
        if candidate.best:
            verdict = click.style("best", fg="green")
        elif not candidate.accepted:
            verdict = click.style(f"rejected by policy statement “{candidate.rejected_by}”", fg="red")
        else:
            verdict = f"lost at: {candidate.eliminated_by}"
        metric = "" if candidate.igp_metric is None else f", igp {candidate.igp_metric}"
        click.echo(f"{source}: {_describe(candidate.attributes)}{metric}")
        click.echo(f"    {verdict}")


COMMANDS = (sessions, routes, explain)
