"""The ``peerlab`` command: groups together, errors for people, exit codes.

Exit codes: 0 pass, 1 a check failed, 2 inconclusive, 3 bad input or a refusal, 4 the lab broke; of a replay besides:
5 the verdicts differ, 6 the bundle is damaged or none, 7 it has a later format.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from peerlab import __version__
from peerlab.cli import (
    bundle,
    catalogue,
    fault,
    hostile,
    importing,
    inside,
    labs,
    machine,
    operator,
    quarantine,
    rehearse,
    routing,
    rpki,
    serve,
    surround,
    sweep,
    telemetry,
    trace,
)
from peerlab.cli.output import wants_colour
from peerlab.errors import InputError, PeerlabError
from peerlab.topology.mistake import did_you_mean

BAD_INPUT, BROKEN, INTERRUPTED = 3, 4, 130

DEBUG = "PEERLAB_DEBUG"
"""Environment variable that shows where an error of peerlab itself was raised."""

SECTIONS: tuple[tuple[str, tuple[click.Command, ...]], ...] = (
    (
        "The rehearsal",
        (
            *rehearse.COMMANDS,
            *catalogue.COMMANDS,
            *bundle.COMMANDS,
            *sweep.COMMANDS,
        ),
    ),
    ("A lab's life", labs.COMMANDS),
    ("What the routers know", routing.COMMANDS),
    ("Whose routes they are", rpki.COMMANDS),
    ("What was on the wires", (*trace.COMMANDS, *quarantine.COMMANDS)),
    ("Inside a node", inside.COMMANDS),
    ("Breaking things", (*fault.COMMANDS, *hostile.COMMANDS)),
    (
        "Azure's API over a lab",
        (
            *serve.COMMANDS,
            *operator.COMMANDS,
            *telemetry.COMMANDS,
        ),
    ),
    (
        "Without a lab",
        (
            *machine.COMMANDS,
            *importing.COMMANDS,
            *surround.COMMANDS,
        ),
    ),
)
"""The commands in the order in which a person meets them."""


class Sections(click.Group):
    """The group of all commands: its help lists them by section, and a command mistyped is guessed."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every section with a line per command."""
        for title, commands in SECTIONS:
            with formatter.section(title):
                formatter.write_dl([(str(one.name), one.get_short_help_str(80)) for one in commands])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises UsageError with the nearest command when there is none of that name."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(
                f"there is no command {args[0]}; {did_you_mean(args[0], sorted(self.commands))}", ctx
            )
        return super().resolve_command(ctx, args)


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="peerlab")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """The rehearsal room for BGP peering turn-ups.

    \b
    Begin with:
      peerlab doctor                                            what this machine can do
      peerlab rehearse topologies/peering-service.yaml --keep   the whole story, ending in verdicts
      peerlab up topologies/direct.yaml                         only a lab, to look around in

    Every command has an example: `peerlab COMMAND --help`. Exit codes: 0 pass, 1 a check failed, 2 inconclusive,
    3 bad input or a refusal, 4 the lab broke; `replay` has 5, 6 and 7 besides.
    """
    ctx.color = wants_colour()


for _, section in SECTIONS:
    for command in section:
        cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: runs a command and turns errors into text and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        ended = cli.main(
            args=list(arguments) if arguments is not None else None, prog_name="peerlab", standalone_mode=False
        )
    except (click.Abort, KeyboardInterrupt):
        click.echo("peerlab: interrupted; `peerlab ls` shows what still runs", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except InputError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        sys.exit(error.exit_code)
    except PeerlabError as error:
        click.echo(f"peerlab: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _close_quietly()
    except Exception as defect:
        if os.environ.get(DEBUG):
            raise
        click.echo(
            f"peerlab: a defect of peerlab itself: {type(defect).__name__}: {defect}\n"
            f"Please report it, with what `{DEBUG}=1 peerlab ...` prints.",
            err=True,
        )
        sys.exit(BROKEN)
    sys.exit(ended if isinstance(ended, int) else 0)


def _close_quietly() -> None:
    """The reader of our output has gone (``peerlab trace | head``): there is nobody left to write to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


if __name__ == "__main__":
    main()
