"""checks, explain-check: the conformance catalogue, without a lab."""

from __future__ import annotations

import click
import msgspec

from peerlab.cli.output import columns, json_option, print_json, print_table
from peerlab.errors import InputError, Problem
from peerlab.report.check_page import check_text
from peerlab.topology.mistake import did_you_mean
from peerlab.verify.catalogue import CATALOGUE, check_of
from peerlab.verify.check import Check

PHASES = tuple(dict.fromkeys(check.phase for check in CATALOGUE))
"""The phases of the catalogue, in order."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A check as `peerlab checks --json` lists it. ``scene`` is '' for a check of every rehearsal."""

    id: str
    title: str
    phase: str
    severity: str
    assertion: str
    source: str
    observes: str
    scene: str


def checks_of_phases(phases: tuple[str, ...]) -> tuple[Check, ...]:
    """The checks of these phases, of all when none is named. Raises InputError for a phase that there is not."""
    for phase in phases:
        if phase not in PHASES:
            raise InputError([Problem("--phase", f"there is no phase {phase}", did_you_mean(phase, PHASES))])
    return tuple(check for check in CATALOGUE if not phases or check.phase in phases)


phase_option = click.option(
    "--phase", "phases", multiple=True, help="Only checks of this phase; may be given several times."
)


@click.command()
@phase_option
@json_option
def checks(phases: tuple[str, ...], as_json: bool) -> None:
    """List the checks of the conformance catalogue.

    \b
    Example:  peerlab checks
              peerlab checks --phase policy --json
    """
    chosen = checks_of_phases(phases)
    if as_json:
        print_json([_listed(check) for check in chosen])
        return
    rows = [(check.id, check.phase, check.severity.value, check.scene or "", check.title) for check in chosen]
    print_table(("ID", "PHASE", "SEVERITY", "SCENE", "TITLE"), rows)
    click.echo()
    on_request = sum(check.scene is not None for check in chosen)
    click.echo(
        f"{len(chosen)} checks, {on_request} of them in scenes of `rehearse --conformance`; "
        "`peerlab explain-check ID` tells about one"
    )


def _listed(check: Check) -> Listed:
    return Listed(
        id=check.id,
        title=check.title,
        phase=check.phase,
        severity=check.severity.value,
        assertion=check.assertion,
        source=check.source,
        observes=check.observe,
        scene="" if check.scene is None else check.scene.value,
    )


@click.command("explain-check")
@click.argument("check_id", metavar="ID")
def explain_check(check_id: str) -> None:
    """Tell what one check asserts, and what it looks at.

    \b
    Example:  peerlab explain-check POL-02
    """
    try:
        check = check_of(check_id.upper())
    except KeyError:
        known = [one.id for one in CATALOGUE]
        problem = Problem("ID", f"there is no check {check_id}", did_you_mean(check_id.upper(), known))
        raise InputError([problem]) from None
    click.echo(check_text(check, columns()))


COMMANDS = (checks, explain_check)
