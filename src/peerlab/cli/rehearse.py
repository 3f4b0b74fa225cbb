"""rehearse, check: the whole story, and its verdicts."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import click

from peerlab.cli.labs import chosen_lab, lab_argument, topology_argument
from peerlab.cli.output import json_option, run, save_text
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.resumption import carry_on, take_up
from peerlab.controller.storyline import rehearse as play_story
from peerlab.errors import InputError, Problem
from peerlab.evidence.store import LabStore
from peerlab.evidence.trace import Trace
from peerlab.report.exit_code import exit_code
from peerlab.report.json import findings_json
from peerlab.report.junit import junit_xml
from peerlab.report.text import verdict_table
from peerlab.runtime.namespaces import list_labs
from peerlab.topology.load import load
from peerlab.verify.catalogue import CATALOGUE, judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding


def _width() -> int:
    """Columns of the terminal, never more than is readable."""
    return min(shutil.get_terminal_size((100, 40)).columns, 140)


@click.command()
@topology_argument
@click.option("--name", help="Run it under another name than the topology's.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write the verdicts as JUnit XML to this file.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the verdicts as JSON to this file.")
@click.option("--keep", is_flag=True, help="Leave the lab up at the end.")
@click.option("--resume", is_flag=True, help="Carry on in the lab that a killed rehearsal has left running.")
@click.option("--verbose", "-v", is_flag=True, help="Show the evidence of passed checks too.")
def rehearse(
    topology: Path,
    name: str | None,
    junit: Path | None,
    json_file: Path | None,
    keep: bool,
    resume: bool,
    verbose: bool,
) -> None:
    """Play the whole turn-up on a fresh lab and end in a table of verdicts.

    Exit code: 0 every check passed, 1 one failed, 2 none failed but some are inconclusive, 3 bad input, 4 the lab
    broke.

    \b
    Example:  peerlab rehearse topologies/peering-service.yaml --junit verdicts.xml
              peerlab rehearse topologies/peering-service.yaml --resume --keep
    """
    model = load(topology)
    began = time.monotonic()

    def tell(text: str) -> None:
        click.echo(f"{time.monotonic() - began:6.2f} s  {text}")

    async def work() -> tuple[Lab, Evidence, tuple[Finding, ...]]:
        if resume:
            taken = await take_up(name or model.name, tell)
            lab, story = taken.lab, carry_on(taken)
        else:
            lab = await Lab.up(model, topology.read_text(), name)
            tell(f"lab {lab.store.name}: {len(model.nodes)} nodes, {len(lab.expected_sessions())} sessions Established")
            story = play_story(lab, tell)
        try:
            evidence, findings = await story
        except BaseException as failure:
            if not keep:
                await lab.down_after(failure)
            await lab.close()
            raise
        if keep:
            await lab.close()
        else:
            await lab.down()
        return lab, evidence, findings

    lab, evidence, findings = run(work())
    click.echo()
    click.echo(verdict_table(findings, width=_width(), colour=sys.stdout.isatty(), verbose=verbose))
    if junit is not None:
        save_text(junit, junit_xml(findings, lab.store.name))
    if json_file is not None:
        save_text(json_file, findings_json(findings, lab.store.name))
    if keep:
        lab_name = lab.store.name
        click.echo()
        click.echo(f"the lab is up. Try:  peerlab sessions {lab_name}")
        click.echo(f"                     peerlab explain {_somebody(evidence)} --lab {lab_name}")
        click.echo(f"                     peerlab trace {lab_name} --kind update")
        click.echo(f"take it down:        peerlab down {lab_name}")
    raise click.exceptions.Exit(exit_code(findings))


def _somebody(evidence: Evidence) -> str:
    """A router and a prefix worth explaining: the first edge of a connection and what its peer's AS originates."""
    for peering in evidence.model.peerings:
        for connection in peering.connections:
            for service in evidence.model.services:
                return f"{connection.edge} {service.prefixes[0].prefix}"
            for known in evidence.model.ases:
                if known.name == peering.peer_as and known.prefixes:
                    return f"{connection.edge} {known.prefixes[0]}"
    return "NODE PREFIX"


@click.command()
@lab_argument
@click.option("--id", "ids", multiple=True, help="Only this check; may be given several times.")
@click.option("--verbose", "-v", is_flag=True, help="Show the evidence of passed checks too.")
@json_option
def check(lab: str | None, ids: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """Judge what a lab's evidence shows so far, running or not.

    \b
    Example:  peerlab check peering-service --id POL-02
    """
    known = {one.id for one in CATALOGUE}
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise InputError(
            [Problem("--id", f"no check {one}", f"there are {', '.join(sorted(known))}") for one in unknown]
        )

    async def flushed(name: str) -> None:
        held = await Lab.attach(name)
        try:
            await held.tap.flush()
        finally:
            await held.close()

    name = lab if lab and LabStore.exists(lab) else chosen_lab(lab)
    until = None
    if name in list_labs():
        until = now_ns()
        run(flushed(name))
    findings = judge_all(_kept(LabStore.open(name), until), ids or None)
    if as_json:
        click.echo(findings_json(findings, name))
    else:
        click.echo(verdict_table(findings, width=_width(), colour=sys.stdout.isatty(), verbose=verbose))
    raise click.exceptions.Exit(exit_code(findings))


def _kept(store: LabStore, until: int | None) -> Evidence:
    """What a lab has shown, as it stands in its directory; the capture is complete up to ``until``, when known."""
    model = store.model()
    captured = store.trace_path.read_bytes() if store.trace_path.exists() else b""
    trace = Trace.from_pcapng(captured, model, until) if captured else Trace()
    return Evidence(model=model, events=store.log().read(), trace=trace, snapshots=store.snapshots())


COMMANDS = (rehearse, check)
