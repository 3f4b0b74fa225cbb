"""doctor, schema, graph: things that need no running lab."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from peerlab.cli.labs import topology_argument
from peerlab.cli.output import columns, json_option, print_json, save
from peerlab.report.graph import svg
from peerlab.report.mermaid import mermaid
from peerlab.runtime.machine import Fact, examine
from peerlab.topology.load import load
from peerlab.topology.schema import json_schema

MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("??", "yellow")}


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """What this machine can and cannot do for a lab.

    Tries the kernel in namespaces of its own, changes nothing, and says how to mend what is missing. Ends with 4
    when no lab can run here.

    \b
    Example:  peerlab doctor
    """
    facts = examine()
    lacking = [fact.subject for fact in facts if fact.required and fact.ok is False]
    if as_json:
        print_json(facts)
    else:
        for fact in facts:
            _print_fact(fact)
        click.echo()
        if lacking:
            click.echo(f"this machine cannot run a lab yet: {', '.join(lacking)}")
        else:
            click.echo("this machine can run labs; next: peerlab rehearse topologies/minimal.yaml")
    if lacking:
        raise click.exceptions.Exit(4)


def _print_fact(fact: Fact) -> None:
    mark, colour = MARKS[fact.ok]
    if fact.ok is False and not fact.required:
        colour = "yellow"
    click.echo(f"{click.style(mark, fg=colour)}  {fact.subject}: {fact.found}")
    if not fact.ok and fact.how_to_mend:
        indent = " " * 6
        click.echo(textwrap.fill(fact.how_to_mend, columns(), initial_indent=indent, subsequent_indent=indent))


@click.command()
def schema() -> None:
    """The JSON Schema of the topology language.

    An editor that reads JSON Schema completes topologies and marks mistakes with it.

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
        save(output, text)
        click.echo(f"{output}: {len(text)} characters")


COMMANDS = (doctor, schema, graph)
