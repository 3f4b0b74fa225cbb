"""rehearse, check: the whole story, and its verdicts."""

from __future__ import annotations

import time
from pathlib import Path

import click

from peerlab.cli.bundle import content_of_lab, flush, kept_evidence, write_bundle
from peerlab.cli.catalogue import checks_of_phases, phase_option
from peerlab.cli.documents import Documents, document_options
from peerlab.cli.labs import chosen_lab, chosen_topology, lab_argument, runtime_option, topology_argument
from peerlab.cli.output import check_writable, columns, command_word, json_option, run, save, wants_colour
from peerlab.cli.progress import Progress
from peerlab.controller.configuration import keep_configurations
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.resumption import carry_on, take_up
from peerlab.controller.storyline import SCENES
from peerlab.controller.storyline import rehearse as play_story
from peerlab.errors import InputError, Problem
from peerlab.evidence.store import LabStore
from peerlab.evidence.story import Phase
from peerlab.report.bundle import Content
from peerlab.report.exit_code import exit_code
from peerlab.report.json import findings_json
from peerlab.report.text import verdict_table
from peerlab.runtime.namespaces import list_labs
from peerlab.topology.mistake import did_you_mean
from peerlab.verify.catalogue import CATALOGUE, asked_for, judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding

UP = "up"
"""What the progress calls the building of the lab, which comes before the first phase."""


@click.command()
@topology_argument
@click.option("--name", help="Run it under another name than the topology's.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Write all evidence and the verdicts to this zip.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the verdicts as JSON to this file.")
@document_options
@click.option("--keep", is_flag=True, help="Leave the lab up at the end.")
@runtime_option
@click.option("--conformance", is_flag=True, help="Play the conformance scenes too: every check of the catalogue.")
@click.option("--resume", is_flag=True, help="Carry on in the lab that a killed rehearsal has left running.")
@click.option("--verbose", "-v", is_flag=True, help="Show all evidence: of passed checks too, and without cuts.")
def rehearse(
    topology: Path,
    name: str | None,
    bundle: Path | None,
    json_file: Path | None,
    documents: Documents,
    keep: bool,
    runtime: str | None,
    conformance: bool,
    resume: bool,
    verbose: bool,
) -> None:
    """Play the whole turn-up on a fresh lab; end in verdicts.

    Exit code: 0 every check passed, 1 one failed, 2 none failed but some are inconclusive, 3 bad input, 4 the lab
    broke.

    \b
    Example:  peerlab rehearse topologies/peering-service.yaml --bundle evidence.zip --html report.html
              peerlab rehearse topologies/peering-service.yaml --resume --keep
    """
    model, text = chosen_topology(topology, runtime)
    for file in (bundle, json_file):
        check_writable(file)
    documents.check()
    began = time.monotonic()
    titles = {scene.phase.value: scene.title for scene in SCENES}
    progress = Progress(
        titles
        | {UP: f"{len(model.nodes)} nodes, {len(model.links)} links, {len(model.sessions)} sessions to come"}
        | {Phase.VERDICT: "the checks judge the evidence"}
    )

    def tell(text: str) -> None:
        if text not in titles.values():
            progress.note(text)

    async def work() -> tuple[Lab, Content, Evidence, tuple[Finding, ...]]:
        progress.begin(UP)
        try:
            if resume:
                taken = await take_up(name or model.name, tell)
                lab, story = taken.lab, carry_on(taken, conformance)
            else:
                lab = await Lab.up(model, text, name)
                story = play_story(lab, tell, conformance)
        except BaseException:
            progress.end(ok=False)
            raise
        progress.end(ok=True)
        lab.listeners.append(progress.hear)
        try:
            evidence, findings = await story
            kept = await keep_configurations(lab) if keep or bundle or documents.html else {}
            content = content_of_lab(lab, kept)
        except BaseException as failure:
            progress.end(ok=False)
            if not keep:
                await lab.down_after(failure)
            await lab.close()
            raise
        if keep:
            await lab.close()
        else:
            await lab.down()
        return lab, content, evidence, findings

    lab, content, evidence, findings = run(work())
    lab_name = lab.store.name
    click.echo()
    click.echo(verdict_table(findings, width=columns(), colour=wants_colour(), verbose=verbose))
    click.echo(f"{lab_name}: from nothing to the verdict in {time.monotonic() - began:.1f} s")
    if json_file is not None:
        save(json_file, findings_json(findings, lab_name))
        click.echo(f"{json_file} is written")
    documents.write(content, evidence, findings, str(topology))
    if bundle is not None:
        write_bundle(bundle, content, evidence, findings)
    click.echo()
    if keep:
        click.echo(f"The lab is up. Try:  {command_word()} sessions {lab_name}")
        click.echo(f"                     {command_word()} explain {_somebody(evidence)} --lab {lab_name}")
        click.echo(f"                     {command_word()} trace {lab_name} --kind update")
        click.echo(f"                     {command_word()} check {lab_name} --verbose")
        click.echo(f"Take it down:        {command_word()} down {lab_name}")
    else:
        click.echo("The lab is gone. To look around in it, or at its evidence:")
        click.echo(f"    {command_word()} rehearse {topology} --keep")
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
@phase_option
@click.option("--verbose", "-v", is_flag=True, help="Show all evidence: of passed checks too, and without cuts.")
@json_option
def check(
    lab: str | None, ids: tuple[str, ...], phases: tuple[str, ...], verbose: bool, as_json: bool
) -> None:
    """Judge a lab's evidence as it stands, running or not.

    Exit codes as of `rehearse`.

    \b
    Example:  peerlab check peering-service
              peerlab check peering-service --id POL-02 --verbose
              peerlab check peering-service --phase policy
    """
    known = [one.id for one in CATALOGUE]
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise InputError([Problem("--id", f"there is no check {one}", did_you_mean(one, known)) for one in unknown])

    name = lab if lab and LabStore.exists(lab) else chosen_lab(lab)
    until = None
    if name in list_labs():
        until = now_ns()
        run(flush(name))
    evidence = kept_evidence(LabStore.open(name), until)
    asked = {one.id for one in asked_for(evidence)} & {one.id for one in checks_of_phases(phases)}
    findings = judge_all(evidence, asked | set(ids) if phases else ids or None)
    if as_json:
        click.echo(findings_json(findings, name))
    else:
        click.echo(verdict_table(findings, width=columns(), colour=wants_colour(), verbose=verbose))
    raise click.exceptions.Exit(exit_code(findings))


COMMANDS = (rehearse, check)
