"""The server is killed in the middle of its work, again and again: bench/crash.py with few kills; fifty are its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from product import ROOT, product

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("robust")]

KILLS = 8
WITHIN = 300.0


def test_whatever_was_acknowledged_outlives_the_server(tmp_path: Path) -> None:
    with product(tmp_path) as made:
        done = subprocess.run(
            [sys.executable, str(ROOT / "bench" / "crash.py"), str(KILLS)],
            env=made.surroundings(),
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing lost, nothing by halves" in done.stdout
        assert made.left_behind() == []
