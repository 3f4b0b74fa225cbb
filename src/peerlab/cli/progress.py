"""The progress of a rehearsal: a line per phase, with a tick and its seconds.

On a terminal the line of the phase that runs is drawn again and again with the time it takes; in a pipe each line
comes when its phase has ended.
"""

from __future__ import annotations

import asyncio
import textwrap
import time

import click

from peerlab.cli.output import columns, on_terminal
from peerlab.evidence.events import Event, PhaseEnded, PhaseStarted

REDRAW_EVERY = 0.1
"""Seconds between two drawings of the running phase's line."""

_CLEAR_LINE = "\r\x1b[2K"
_HEAD = 2 + 11 + 9 + 2
"""Columns before the title: tick, name of the phase, seconds."""


class Progress:
    """Prints phases as they begin and end. ``titles`` says what happens in each, by its name."""

    def __init__(self, titles: dict[str, str]) -> None:
        self._titles = titles
        self._live = on_terminal()
        self._phase = ""
        self._began = 0.0
        self._redraw: asyncio.TimerHandle | None = None

    def begin(self, phase: str) -> None:
        """A phase begins; the one before has ended."""
        self._phase = phase
        self._began = time.monotonic()
        if self._live:
            self._draw()

    def end(self, ok: bool, why: str = "") -> None:
        """The phase has ended, ``why`` when not well."""
        if self._redraw is not None:
            self._redraw.cancel()
            self._redraw = None
        if not self._phase:
            return
        tick = click.style("✓", fg="green") if ok else click.style("✗", fg="red", bold=True)
        click.echo((_CLEAR_LINE if self._live else "") + self._line(tick))
        self._phase = ""
        if why:
            indent = " " * _HEAD
            click.echo(textwrap.fill(why, columns(), initial_indent=indent, subsequent_indent=indent))

    def note(self, text: str) -> None:
        """Something that a person should know while the phase goes on."""
        click.echo((_CLEAR_LINE if self._live else "") + " " * _HEAD + text.strip())
        if self._live and self._phase:
            click.echo(self._line("…"), nl=False)

    def hear(self, event: Event) -> None:
        """Listen to a lab's event log."""
        if isinstance(event, PhaseStarted):
            self.begin(event.phase)
        elif isinstance(event, PhaseEnded):
            self.end(event.ok, event.why)

    def _draw(self) -> None:
        click.echo(_CLEAR_LINE + self._line("…"), nl=False)
        self._redraw = asyncio.get_running_loop().call_later(REDRAW_EVERY, self._draw)

    def _line(self, tick: str) -> str:
        seconds = time.monotonic() - self._began
        title = self._titles.get(self._phase, "")
        if self._live:
            title = textwrap.shorten(title, max(columns() - _HEAD, 20), placeholder="…")
        return f"{tick} {click.style(f'{self._phase:<11}', bold=True)} {seconds:6.2f} s  {title}".rstrip()
