"""How commands print: tables for people, JSON for machines, colour only on a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from peerlab.errors import InputError, Problem

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the asynchronous part of a command to its end."""
    return asyncio.run(work)


def print_json(value: object) -> None:
    """Print a value of ours as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def save_text(path: Path, text: str) -> None:
    """Write a file that the user named. Raises InputError when it cannot be written."""
    try:
        path.write_text(text)
    except OSError as error:
        raise InputError([Problem(str(path), f"cannot be written ({error.strerror})", "name another file")]) from error


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns, each as wide as its widest cell; the last one is never padded."""
    lines = [tuple(str(cell) for cell in row) for row in rows]
    widths = [max([len(title), *(len(line[i]) for line in lines)]) for i, title in enumerate(header)]
    for line in (tuple(header), *lines):
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        click.echo("  ".join([*cells, line[-1]]).rstrip())
