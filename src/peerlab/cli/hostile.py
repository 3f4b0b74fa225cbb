"""hostile: attack one router of a running lab with malformed OPENs and UPDATEs, and see what it makes of them."""

from __future__ import annotations

import click
import msgspec

from peerlab.cli.labs import chosen_lab
from peerlab.cli.output import json_option, print_table, run
from peerlab.cli.routing import lab_option
from peerlab.controller.attached import attach_desk
from peerlab.controller.hostile_examination import CASES, examine
from peerlab.errors import InputError, Problem
from peerlab.topology.mistake import did_you_mean
from peerlab.verify.case_seen import ALL_CASES, RESET_BY_UPDATE, CaseSeen

AS_PRESCRIBED, OTHERWISE, UNCLEAR = "as prescribed", "otherwise", "unclear"


@click.command()
@click.argument("node", required=False)
@lab_option
@click.option("--case", "cases", multiple=True, help="Only this case; may be given several times.")
@click.option("--list", "listing", is_flag=True, help="Show the cases and what is prescribed, and attack nobody.")
@json_option
def hostile(node: str | None, lab: str | None, cases: tuple[str, ...], listing: bool, as_json: bool) -> None:
    """Attack a router with malformed messages.

    An examiner peers with NODE on wires of its own, IPv4 and IPv6, sends each case, and reads off the wire what became
    of it. Sessions of NODE with others are not touched. Exit code 0 when all is as prescribed, 1 when it is not, 2 when
    something stays unclear.

    \b
    Example:  peerlab hostile ams-edge-1
              peerlab hostile fab-ams-1 --case identifier-0 --case nlri-overrun
              peerlab hostile --list
    """
    unknown = [one for one in cases if one not in CASES]
    if unknown:
        raise InputError([Problem("--case", f"there is no case {one}", did_you_mean(one, CASES)) for one in unknown])
    wanted = cases or CASES
    if listing:
        print_table(("CASE", "PRESCRIBED"), [(case, ALL_CASES.get(case, RESET_BY_UPDATE)) for case in wanted])
        return
    if node is None:
        raise InputError([Problem("NODE", "no router is named", "name one, or ask for --list")])
    name = node

    async def work() -> tuple[CaseSeen, ...]:
        desk = await attach_desk(chosen_lab(lab))
        try:
            return await desk.lab.while_it_lasts(examine(desk, name, wanted))
        finally:
            await desk.lab.close()

    seen = run(work())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(seen)).decode())
    else:
        rows = [(one.case, one.family.value, one.expected, one.seen or "?", _verdict(one), one.what) for one in seen]
        print_table(("CASE", "FAMILY", "EXPECTED", "SEEN", "VERDICT", "WHAT HAPPENED"), rows)
        counts = {word: sum(1 for one in seen if _verdict(one) == word) for word in (AS_PRESCRIBED, OTHERWISE, UNCLEAR)}
        click.echo(f"\n{node}: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    verdicts = {_verdict(one) for one in seen}
    raise click.exceptions.Exit(1 if OTHERWISE in verdicts else 2 if UNCLEAR in verdicts or not seen else 0)


def _verdict(seen: CaseSeen) -> str:
    if seen.conforms:
        return AS_PRESCRIBED
    return OTHERWISE if seen.seen else UNCLEAR


COMMANDS = (hostile,)
"""Commands of this group."""
