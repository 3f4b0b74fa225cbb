"""How commands print: tables for people, JSON for machines, colour only on a terminal that wants it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from peerlab.errors import InputError, Problem

T = TypeVar("T")

WIDEST = 140
"""Columns beyond which lines are no longer readable, however wide the terminal is."""

PIPED = 100
"""Columns of text that goes to a file or a pipe."""

LAST_COLUMN = 24
"""Columns that the last column of a table has at least."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the asynchronous part of a command to its end. SIGTERM ends it as Ctrl-C does: what it began is undone."""

    async def until_told_to_end() -> T:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(until_told_to_end())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def on_terminal() -> bool:
    """Whether a person reads this."""
    return sys.stdout.isatty()


def wants_colour() -> bool:
    """Colour is for terminals, unless ``NO_COLOR`` is set (no-color.org) or the terminal is a dumb one."""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """Width for text that wraps."""
    return min(shutil.get_terminal_size((PIPED, 40)).columns, WIDEST)


def print_json(value: object) -> None:
    """Print a value of ours as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns, each as wide as its widest cell.

    On a terminal the last column goes on below itself when the line is full; in a pipe a row is one line.
    """
    lines = [tuple(str(cell) for cell in row) for row in rows]
    widths = [max([len(title), *(len(click.unstyle(line[i])) for line in lines)]) for i, title in enumerate(header)]
    lead = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(columns() - lead, LAST_COLUMN) if on_terminal() else sys.maxsize
    for line in (tuple(header), *lines):
        cells = [
            cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(line, widths[:-1], strict=False)
        ]
        pieces = textwrap.wrap(line[-1], room) if len(click.unstyle(line[-1])) > room else [line[-1]]
        click.echo("  ".join([*cells, pieces[0]]).rstrip())
        for piece in pieces[1:]:
            click.echo(" " * lead + piece)


def _padded(cell: str, width: int) -> str:
    """Filled up with blanks; colours take no columns."""
    return cell + " " * (width - len(click.unstyle(cell)))


def check_writable(path: Path | None) -> None:
    """Raises InputError when a file of that name cannot be written, before the work that it is to hold."""
    if path is None:
        return
    if path.is_dir():
        raise InputError([Problem(str(path), "is a directory", "name a file in it")])
    if not path.parent.is_dir():
        raise InputError([Problem(str(path), f"there is no directory {path.parent}", "make it, or name another file")])
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError([Problem(str(path), "cannot be written (Permission denied)", "name another file")])


def save(path: Path, content: str | bytes) -> None:
    """Write a file that the user named. Raises InputError when it cannot be written."""
    octets = content.encode() if isinstance(content, str) else content
    try:
        path.write_bytes(octets)
    except OSError as error:
        raise InputError([Problem(str(path), f"cannot be written ({error.strerror})", "name another file")]) from error


def append(path: Path, text: str) -> None:
    """Add to the end of a file that the user named, made when it is not there. Raises InputError."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError([Problem(str(path), f"cannot be written ({error.strerror})", "name another file")]) from error


def command_word() -> str:
    """How this command is called from here: ``peerlab`` when the shell finds it, else the path it was started by."""
    if shutil.which("peerlab") is not None:
        return "peerlab"
    started = Path(sys.argv[0])
    return str(started) if started.name == "peerlab" else "peerlab"
