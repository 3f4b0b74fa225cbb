"""The ``peerlab`` command: groups together, errors for people, exit codes.

Exit codes: 0 pass, 1 a check failed, 2 inconclusive, 3 bad input or a refusal, 4 the lab broke.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from peerlab import __version__
from peerlab.cli import fault, inside, labs, machine, operator, rehearse, routing, serve, trace
from peerlab.errors import InputError, PeerlabError

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="peerlab")
def cli() -> None:
    """The rehearsal room for BGP peering turn-ups.

    \b
    peerlab rehearse topologies/peering-service.yaml --keep   the whole story, ending in verdicts
    peerlab up topologies/direct.yaml                         only the lab
    peerlab ls                                                what runs
    """


for group in (labs, rehearse, routing, trace, inside, fault, serve, operator, machine):
    for command in group.COMMANDS:
        cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: runs a command and turns intended errors into text and an exit code, never a traceback."""
    try:
        ended = cli.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(3)
    except InputError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        sys.exit(error.exit_code)
    except PeerlabError as error:
        click.echo(f"peerlab: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(ended if isinstance(ended, int) else 0)


if __name__ == "__main__":
    main()
