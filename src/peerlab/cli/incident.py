"""incident: what networks once did to each other, played on a running lab."""

from __future__ import annotations

import click

from peerlab.cli.labs import chosen_lab
from peerlab.cli.output import json_option, print_json, print_table, run
from peerlab.controller.attached import attach_desk
from peerlab.controller.incident import Played, play_incident
from peerlab.peering.incident import INCIDENTS, Incident, incident_of
from peerlab.report.exit_code import FAILED, PASSED, UNDECIDED
from peerlab.topology.mistake import no_such
from peerlab.verify.finding import Outcome

_COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.INCONCLUSIVE: "yellow"}
SHOWN = 3


@click.command()
@click.argument("identifier", required=False, metavar="ID")
@click.argument("lab", required=False)
@click.option("--list", "listing", is_flag=True, help="Every incident, and why those that are not staged are not.")
@json_option
def incident(identifier: str | None, lab: str | None, listing: bool, as_json: bool) -> int:
    """Play an incident of the past on a running lab.

    Who announced what, what stops it here, what is told of it, and how soon.
    E1 to E16 are incidents, L1 to L6 the leak types of RFC 7908. The lab's own ASes play the roles with the lab's own
    prefixes. Everything is taken back. Exit codes: 0 it was stopped and told, 1 it was not, 2 nothing could be said.

    \b
    Example:  peerlab incident E9 peering-service
    """
    if listing or identifier is None:
        _print_list(as_json)
        return PASSED
    try:
        chosen = incident_of(identifier)
    except KeyError:
        raise no_such("incident", identifier, [one.id for one in INCIDENTS]) from None

    async def work() -> Played:
        desk = await attach_desk(chosen_lab(lab))
        try:
            return await desk.lab.while_it_lasts(play_incident(desk, chosen))
        finally:
            await desk.lab.close()

    played = run(work())
    if as_json:
        print_json(played)
    else:
        _print_played(played)
    outcomes = {verdict.outcome for verdict in played.verdicts}
    if Outcome.FAIL in outcomes:
        return FAILED
    return UNDECIDED if Outcome.INCONCLUSIVE in outcomes else PASSED


def _print_list(as_json: bool) -> None:
    if as_json:
        print_json(INCIDENTS)
        return
    print_table(
        ("ID", "DATE", "RFC 7908", "INCIDENT", "WHAT THE LAB DOES"),
        [(one.id, one.date or "-", one.rfc7908 or "-", one.title, in_a_lab(one)) for one in INCIDENTS],
    )


def in_a_lab(one: Incident) -> str:
    """Who does what in a lab, or why nobody does."""
    if one.deed is None:
        return f"not staged: {one.why_not}"
    return f"{_article(' or '.join(one.roles))} {one.deed}"


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _print_played(played: Played) -> None:
    one = played.incident
    click.echo(f"{one.id}  {one.title}{f', {one.date}' if one.date else ''}: {one.what}")
    prefixes = ", ".join(played.prefixes[:SHOWN])
    more = len(played.prefixes) - SHOWN
    path = f" with path {played.as_path}" if played.as_path else ""
    click.echo(
        f"here: {played.actor}, {_article(played.role)}, on {played.session}: "
        f"{prefixes}{f' and {more} more' if more > 0 else ''}{path}\n"
    )
    print_table(
        ("VERDICT", "EXPECTED", "WHERE", "BY WHAT"),
        [
            (click.style(v.outcome.value.upper(), fg=_COLOURS.get(v.outcome)), v.expectation, v.where, v.why)
            for v in played.verdicts
        ],
    )
    if played.believed_by:
        click.echo(f"\nbelieved meanwhile by {', '.join(played.believed_by)}")
    click.echo("\neverything is taken back")


COMMANDS = (incident,)
