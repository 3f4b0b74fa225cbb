"""What reaches the eye: columns in line, lines that fit, colour only where wanted, progress as it happens."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click
import pytest

from peerlab.cli import output, progress
from peerlab.cli.output import check_writable, print_table, save, wants_colour
from peerlab.cli.progress import Progress
from peerlab.errors import InputError
from peerlab.evidence.events import PhaseEnded, PhaseStarted

WISHES = [
    # on a terminal, NO_COLOR, TERM, colour
    (True, None, "xterm", True),
    (True, "", "xterm", True),  # no-color.org: only when not empty
    (True, "1", "xterm", False),
    (True, None, "dumb", False),
    (False, None, "xterm", False),
]


@pytest.mark.parametrize(("terminal", "no_color", "term", "wanted"), WISHES)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str | None, term: str, wanted: bool
) -> None:
    monkeypatch.setattr(output, "on_terminal", lambda: terminal)
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert wants_colour() is wanted


ROWS = [("a", click.style("Established", fg="green"), "short"), ("longer", "Idle", "word " * 20)]


def test_in_a_pipe_a_row_is_a_line_and_columns_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("N", "STATE", "WHY"), ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "N       STATE        WHY",
        "a       Established  short",
        "longer  Idle         " + ("word " * 20).strip(),
    ]


@pytest.mark.parametrize("width", [80, 100])
def test_on_a_terminal_the_last_column_goes_on_below_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(("N", "STATE", "WHY"), ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert [line.index("w") for line in lines[2:]] == [21] * (len(lines) - 2) and len(lines) > 3
    assert "".join(lines[2:]).count("word") == 20


def test_a_file_that_cannot_be_written_is_told_before_and_after(tmp_path: Path) -> None:
    check_writable(None)
    check_writable(tmp_path / "new.json")
    for path, said in ((tmp_path, "is a directory"), (tmp_path / "no" / "v.json", "there is no directory")):
        with pytest.raises(InputError, match=said):
            check_writable(path)
    with pytest.raises(InputError, match="cannot be written"):
        save(tmp_path / "no" / "v.json", "text")
    save(tmp_path / "new.json", "é")
    assert (tmp_path / "new.json").read_bytes() == "é".encode()


def play(told: Progress) -> None:
    told.hear(PhaseStarted(at=1, phase="deny"))
    told.note("  something to know")
    told.hear(PhaseEnded(at=2, phase="deny"))
    told.hear(PhaseStarted(at=3, phase="allow"))
    told.hear(PhaseEnded(at=4, phase="allow", ok=False, why="sessions did not come up"))


def without_times(text: str) -> str:
    return re.sub(r" +\d+\.\d\d s", " T", text)


def test_progress_in_a_pipe_is_a_line_per_phase_when_it_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    play(Progress({"deny": "under DENY ALL"}))
    assert without_times(click.unstyle(capsys.readouterr().out)).splitlines() == [
        " " * 24 + "something to know",
        "✓ deny T  under DENY ALL",
        "✗ allow T",
        " " * 24 + "sessions did not come up",
    ]


def test_progress_on_a_terminal_draws_the_running_phase_over_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: True)

    async def story() -> None:
        play(Progress({"deny": "under DENY ALL"}))

    asyncio.run(story())
    drawn = without_times(click.unstyle(capsys.readouterr().out))
    assert drawn.split("\r")[1] == "… deny T  under DENY ALL"
    last = [line.rpartition("\r")[2] for line in drawn.split("\n")]
    assert [line for line in last if line[:1] in ("✓", "✗")] == ["✓ deny T  under DENY ALL", "✗ allow T"]


def test_the_end_of_nothing_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """An error may come between two phases."""
    told = Progress({})
    play(told)
    capsys.readouterr()
    told.end(ok=False)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("started", "on_path", "said"),
    [
        # the shell finds it: the plain word
        ("/usr/local/bin/peerlab", "/usr/local/bin/peerlab", "peerlab"),
        # `make lab` runs it out of the virtual environment: the words to copy must work from there
        (".venv/bin/peerlab", None, ".venv/bin/peerlab"),
        # started as a module: nothing better to say
        ("/x/src/peerlab/cli/main.py", None, "peerlab"),
    ],
)
def test_what_to_type_next_can_be_typed(
    started: str, on_path: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.shutil, "which", lambda word: on_path)
    monkeypatch.setattr(output.sys, "argv", [started, "rehearse"])
    assert output.command_word() == said
