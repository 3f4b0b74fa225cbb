"""sweep: take away everything that a lab can lose, one by one, two by two, in every order, and judge what is left."""

from __future__ import annotations

import time
from pathlib import Path

import click

from peerlab.cli.labs import topology_argument
from peerlab.cli.output import check_writable, columns, command_word, on_terminal, run, save, wants_colour
from peerlab.controller.sweep import Result, default_jobs, orders, sweeping
from peerlab.report.exit_code import exit_code
from peerlab.report.sweep_page import Row, sweep_json, sweep_page
from peerlab.topology.load import load, read_topology
from peerlab.topology.model import LabModel
from peerlab.verify.finding import Finding, Outcome, Severity
from peerlab.verify.outage import FAILURES, Case, UnitKind, case_of, pairs, singles
from peerlab.verify.sweep import PHASE, SWEPT


@click.command()
@topology_argument
@click.option("--pairs", "two", is_flag=True, help="Every two failures at once too.")
@click.option("--orders", "order_count", type=click.IntRange(0), default=0, help="So many orders of bring-up too.")
@click.option("--seed", type=int, default=1, show_default=True, help="What the orders are drawn by.")
@click.option("--jobs", type=click.IntRange(1), help="Labs at once; three per core when not given.")
@click.option(
    "--only",
    "kinds",
    type=click.Choice([kind.value for kind in FAILURES]),
    multiple=True,
    help="Only failures of this kind; may be given several times.",
)
@click.option("--replay", help="Only this: 'link:a--b,router:c' at once, or the order 'up:a--b,up:b--c'.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every verdict as JSON to this file.")
def sweep(
    topology: Path,
    two: bool,
    order_count: int,
    seed: int,
    jobs: int | None,
    kinds: tuple[str, ...],
    replay: str | None,
    json_file: Path | None,
) -> None:
    """Take away whatever the lab can lose, and judge what is left.

    Every link, router, route server, session and metro fails once, each in a converged lab with every connection
    turned up; the lab has to keep what relations and wires leave it, and to come back to what it was. A failure is
    seen twice and cut down to the shortest sequence that shows it. docs/sweep.md says what is judged and what not.

    Exit code: 0 all passed, 1 something failed, 2 something cannot be told, 3 bad input, 4 the lab cannot be built.

    \b
    Example:  peerlab sweep topologies/direct.yaml --pairs --orders 10
              peerlab sweep topologies/direct.yaml --replay 'link:ams-edge-1--fab-ams-1,router:fab-ams-2'
    """
    model = load(topology)
    check_writable(json_file)
    cases = _cases(model, tuple(UnitKind(kind) for kind in kinds), two, order_count, seed, replay)
    began = time.monotonic()
    count = min(jobs or default_jobs(), max(1, len(cases)))
    done = 0

    def tell(result: Result) -> None:
        nonlocal done
        done += 1
        if on_terminal():
            click.echo(f"\r{done}/{len(cases)} {result.case[: columns() - 16]:<{columns() - 16}}", nl=False, err=True)

    async def work() -> tuple[list[Row], tuple[str, ...]]:
        async with sweeping(model, topology, read_topology(topology), count) as held:
            first = await held.baseline()
            if first.outcome is not Outcome.PASS:
                return [_row(Case(()), first)], ()
            await held.play(cases, tell)
            for case in cases:
                if held.results[str(case)].outcome is Outcome.FAIL:
                    await held.shrink(case)
            return [_row(case, held.results[str(case)]) for case in cases], held.differs

    rows, differs = run(work())
    if on_terminal():
        click.echo("\r" + " " * (columns() - 1) + "\r", nl=False, err=True)
    seconds = time.monotonic() - began
    again = f"{command_word()} sweep {topology} --replay"
    click.echo(sweep_page(rows, again, width=columns(), colour=wants_colour()))
    _remarks(rows, differs)
    click.echo(f"{model.name}: {len(rows)} scenarios over {count} labs in {seconds:.1f} s")
    if json_file is not None:
        save(json_file, sweep_json(rows, model.name, seconds))
        click.echo(f"{json_file} is written")
    verdicts = [_verdict(row) for row in rows]
    raise click.exceptions.Exit(1 if differs else exit_code(verdicts))


def _cases(
    model: LabModel, kinds: tuple[UnitKind, ...], two: bool, order_count: int, seed: int, replay: str | None
) -> tuple[Case, ...]:
    if replay is not None:
        return (case_of(replay, model),)
    chosen = kinds or FAILURES
    found = (*singles(model, chosen), *(pairs(model, chosen) if two else ()), *orders(model, order_count, seed))
    return tuple({str(case): case for case in found}.values())


def _row(case: Case, result: Result) -> Row:
    return Row(
        case=case,
        outcome=result.outcome,
        seconds=result.seconds,
        findings=result.findings,
        shortest=result.shortest,
        note=result.note,
    )


def _verdict(row: Row) -> Finding:
    """A scenario as the exit code counts it."""
    return Finding(
        check=str(row.case),
        title="scenario",
        phase=PHASE,
        severity=Severity.CRITICAL,
        outcome=row.outcome,
        summary=row.note,
    )


def _remarks(rows: list[Row], differs: tuple[str, ...]) -> None:
    """What a reader has to know to weigh the verdicts."""
    if rows and not rows[0].case.units:
        click.echo("The lab fails as it is: nothing was taken away from it.")
    for difference in differs:
        click.echo(f"FAIL two builds of this lab came to different states: {difference}")
    for check in SWEPT:
        untold = [f for row in rows for f in row.findings if f.check == check and f.outcome is Outcome.INCONCLUSIVE]
        if untold:
            click.echo(f"{check} cannot be told in {len(untold)} scenarios, e.g. {untold[0].summary}")


COMMANDS = (sweep,)
