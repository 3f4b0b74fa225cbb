"""doctor, schema, graph: things that need no running lab."""

from __future__ import annotations

from pathlib import Path

import click

from peerlab.cli.labs import topology_argument
from peerlab.cli.output import json_option, print_json, save_text
from peerlab.report.graph import svg
from peerlab.report.mermaid import mermaid
from peerlab.runtime.machine import examine
from peerlab.topology.load import load
from peerlab.topology.schema import json_schema

MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("??", "yellow")}


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say what this machine can and cannot do for a lab, and how to mend it.

    \b
    Example:  peerlab doctor
    """
    facts = examine()
    if as_json:
        print_json(facts)
        return
    for fact in facts:
        mark, colour = MARKS[fact.ok]
        click.echo(f"{click.style(mark, fg=colour)}  {fact.subject}: {fact.found}")
        if not fact.ok and fact.how_to_mend:
            click.echo(f"      {fact.how_to_mend}")
    if any(fact.required and fact.ok is False for fact in facts):
        click.echo("this machine cannot run a lab yet")
        raise click.exceptions.Exit(4)


@click.command()
def schema() -> None:
    """Print the JSON Schema of the topology language, for completion in an editor.

    \b
    Example:  peerlab schema > peerlab.schema.json
    """
    print_json(json_schema())


@click.command()
@topology_argument
@click.option("--format", "form", type=click.Choice(("svg", "mermaid")), default="svg", show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
def graph(topology: Path, form: str, output: Path | None) -> None:
    """Draw a topology as SVG or Mermaid.

    \b
    Example:  peerlab graph topologies/peering-service.yaml -o lab.svg
    """
    model = load(topology)
    text = svg(model) if form == "svg" else mermaid(model)
    if output is None:
        click.echo(text)
    else:
        save_text(output, text)
        click.echo(f"{output}: {len(text)} characters")


COMMANDS = (doctor, schema, graph)
