"""events: what Microsoft's route monitoring tells of Peering Service prefixes."""

from __future__ import annotations

import time

import click

from peerlab.cli.labs import chosen_lab
from peerlab.cli.output import json_option, print_json
from peerlab.evidence.events import PrefixEventRaised
from peerlab.evidence.store import LabStore

_COLOURS = {"Critical": "red", "Error": "red", "Warning": "yellow"}


@click.command()
@click.argument("prefix", required=False)
@click.option("--lab", help="Which lab; the only one that runs if left out.")
@json_option
def events(prefix: str | None, lab: str | None, as_json: bool) -> None:
    """Events of Peering Service prefixes: paths, losses, hijacks.

    Each is raised by a route that an edge router received or lost. They come while the lab is served or rehearsed.

    \b
    Example:  peerlab events 198.18.33.0/24
    """
    log = LabStore.open(lab or chosen_lab(None)).log().read()
    told = [e for e in log if isinstance(e, PrefixEventRaised) and prefix in (None, e.prefix)]
    if as_json:
        print_json(told)
        return
    if not told:
        click.echo("no events; a prefix has them once it is added to a peering service of a served or rehearsed lab")
    for event in told:
        when = time.strftime("%H:%M:%S", time.localtime(event.at / 1e9)) + f".{event.at // 1_000_000 % 1000:03d}"
        level = click.style(f"{event.level:<11}", fg=_COLOURS.get(event.level))
        click.echo(f"{when}  {level}  {event.kind}\n  {event.summary}\n  {event.description}")


COMMANDS = (events,)
