"""``docs/cli.md``: every command's help, generated from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from peerlab.cli.main import SECTIONS

WIDTH = 100

_HEAD = """# The command line

Generated from the commands' own help; `make golden` writes it anew.

Exit codes of every command: **0** done (every check passed), **1** a check failed, **2** none failed but some are
inconclusive, **3** bad input or a refusal, **4** the lab broke, **130** interrupted; of `replay` besides: **5** the
verdicts differ from those stored, **6** the bundle is damaged or none, **7** its format is of a later peerlab. Errors
go to standard error, one line per problem: what is wrong, where, what to do.

A lab may be left out where only one runs. Names mistyped are guessed. Colour is for terminals and respects
`NO_COLOR`. Labs keep their evidence under `$PEERLAB_STATE`, else `$XDG_STATE_HOME/peerlab`, else
`~/.local/state/peerlab`.
"""


def cli_page() -> str:
    """The page. A golden test holds the file against this text."""
    parts = [_HEAD]
    for title, commands in SECTIONS:
        parts.append(f"## {title}\n")
        for command in commands:
            parts.extend(_entries(command, "peerlab"))
    return "\n".join(parts)


def _entries(command: click.Command, before: str) -> Iterator[str]:
    name = f"{before} {command.name}"
    context = click.Context(
        command, info_name=name, terminal_width=WIDTH, help_option_names=["-h", "--help"], color=False
    )
    yield f"### {name}\n\n```text\n{click.unstyle(command.get_help(context))}\n```\n"
    if isinstance(command, click.Group):
        for inner in sorted(command.commands):
            yield from _entries(command.commands[inner], name)
