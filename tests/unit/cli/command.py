"""The ``peerlab`` command called in this process, with what it prints and its exit code; no lab is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerlab.cli.main import main

ROOT = Path(__file__).parents[3]
DIRECT = ROOT / "topologies" / "direct.yaml"
EVERY_TOPOLOGY = sorted((ROOT / "topologies").glob("*.yaml"))


class Command:
    """Calls the command as the shell does. ``out`` and ``err`` are what the last call printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        """The exit code; never a traceback."""
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.out + self.err
        assert ended.value.code is None or isinstance(ended.value.code, int)
        return ended.value.code or 0
