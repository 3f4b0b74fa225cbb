"""rpki: what the lab's RPKI caches serve, and changing it while the routers run."""

from __future__ import annotations

import re
from typing import Any

import click
import msgspec

from peerlab.bgp.origin_validation import Vrp
from peerlab.cli.output import json_option, print_json, print_table, run
from peerlab.cli.routing import attached, lab_option
from peerlab.controller import rpki as caches
from peerlab.errors import InputError, Problem
from peerlab.evidence.snapshot import ValidationFact

cache_option = click.option("--cache", help="Only this cache; all caches of the lab if left out.")
length_option = click.option("--max-length", type=int, help="maxLength; the prefix's own length if left out.")


class CacheListing(msgspec.Struct, frozen=True, kw_only=True):
    """One cache as ``rpki list --json`` prints it."""

    cache: str
    running: bool
    vrps: tuple[Vrp, ...]


class RouterListing(msgspec.Struct, frozen=True, kw_only=True):
    """One router as ``rpki list --json`` prints it."""

    router: str
    validation: ValidationFact


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What ``rpki list --json`` prints."""

    caches: tuple[CacheListing, ...]
    routers: tuple[RouterListing, ...]


@click.group()
def rpki() -> None:
    """The lab's RPKI caches: list, add and remove what they serve.

    Routers follow by RTR (RFC 8210) and judge the affected routes again; no session is reset.

    \b
    Example:  peerlab rpki add 198.18.33.0/24 AS64502
    """


@rpki.command("list")
@cache_option
@lab_option
@json_option
def list_vrps(cache: str | None, lab: str | None, as_json: bool) -> None:
    """The VRPs of every cache, and how each router stands with it.

    \b
    Example:  peerlab rpki list
    """

    async def read() -> Listing:
        held = await attached(lab)
        try:
            found = caches.find_caches(held, cache)
            served = {node for one in found for node in one.serves}
            return Listing(
                caches=tuple(
                    [
                        CacheListing(
                            cache=one.node,
                            running=await caches.is_running(held, one),
                            vrps=await caches.vrps_of(held, one),
                        )
                        for one in found
                    ]
                ),
                routers=tuple(
                    [
                        RouterListing(router=node.name, validation=await (await held.router(node.name)).validation())
                        for node in held.model.nodes
                        if node.name in served
                    ]
                ),
            )
        finally:
            await held.close()

    listing = run(read())
    if as_json:
        print_json(listing)
        return
    for one in listing.caches:
        click.echo(f"{one.cache}: {len(one.vrps)} VRPs{'' if one.running else ', not running'}")
    rows = [(one.cache, vrp.prefix, vrp.max_length, f"AS{vrp.asn}") for one in listing.caches for vrp in one.vrps]
    print_table(("CACHE", "PREFIX", "MAX-LENGTH", "ORIGIN"), rows)
    click.echo()
    print_table(
        ("ROUTER", "CACHE", "STATE", "VRPS", "USED", "SERIAL", "EXPIRES IN"),
        [
            (
                one.router,
                fact.name,
                fact.state,
                "-" if fact.vrps is None else fact.vrps,
                "yes" if fact.used else "no",
                fact.serial,
                "-" if fact.expires_in is None else f"{fact.expires_in:.0f} s",
            )
            for one in listing.routers
            for fact in one.validation.caches
        ],
    )


@rpki.command()
@click.argument("prefix")
@click.argument("asn")
@length_option
@cache_option
@lab_option
def add(prefix: str, asn: str, max_length: int | None, cache: str | None, lab: str | None) -> None:
    """Add a VRP: this AS may originate the prefix. AS0: nobody may.

    \b
    Example:  peerlab rpki add 198.18.33.0/24 AS64501 --max-length 24
    """
    vrp = caches.make_vrp(prefix, _asn(asn), max_length)
    _change(lab, cache, f"{_text(vrp)} is added", add=(vrp,))


@rpki.command()
@click.argument("prefix")
@click.argument("asn")
@length_option
@cache_option
@lab_option
def remove(prefix: str, asn: str, max_length: int | None, cache: str | None, lab: str | None) -> None:
    """Take a VRP out.

    \b
    Example:  peerlab rpki remove 198.18.33.0/24 AS64501
    """
    vrp = caches.make_vrp(prefix, _asn(asn), max_length)
    _change(lab, cache, f"{_text(vrp)} is removed", remove=(vrp,))


def _change(lab: str | None, cache: str | None, done: str, **vrps: Any) -> None:
    async def work() -> int:
        held = await attached(lab)
        try:
            return await held.while_it_lasts(caches.change(held, caches.find_caches(held, cache), **vrps))
        finally:
            await held.close()

    followers = run(work())
    click.echo(f"{done}; {'1 router validates' if followers == 1 else f'{followers} routers validate'} by it")


def _asn(text: str) -> int:
    """``AS64500`` or ``64500``. Raises InputError."""
    match = re.fullmatch(r"(?:AS)?(\d{1,10})", text.strip(), re.IGNORECASE)
    if match is None:
        raise InputError([Problem("ASN", f"{text!r} is no AS number", "write it like AS64500 or 64500")])
    return int(match[1])


def _text(vrp: Vrp) -> str:
    return f"{vrp.prefix} max-length {vrp.max_length} AS{vrp.asn}"


COMMANDS = (rpki,)
