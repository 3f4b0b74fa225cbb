"""Every test of the command has a state directory of its own, a hundred columns, and no colour of the caller's."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command


@pytest.fixture
def peerlab(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("peerlab.cli.labs.list_labs", lambda: ())
    return Command(capsys)
