"""The cell's whole proof once more as an unprivileged user, for suites that are started as root.

A suite that an ordinary user starts proves this anyway, and skips here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live, pytest.mark.root]

NOBODY = 65534
HERE = Path(__file__).parents[2]
SUITES = (
    "tests/contract/test_runtime_contract.py",
    "tests/live/test_cell_packets.py",
    "tests/live/test_cell_faults.py",
    "tests/live/test_cell_life.py",
)
WITHIN = 300.0


@pytest.mark.skipif(os.getuid() != 0, reason="the suite runs unprivileged already")
def test_the_cell_works_without_root() -> None:
    place = Path(tempfile.mkdtemp(prefix="rootless-"))
    try:
        for name in ("src/peerlab", *SUITES, "tests/live/cell_row.py", "pyproject.toml"):
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            source = HERE / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)

        def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command,
                cwd=place,
                env={"PATH": os.environ["PATH"], "HOME": str(place), "PYTHONPATH": str(place / "src")},
                user=NOBODY,
                group=NOBODY,
                extra_groups=(),
                capture_output=True,
                text=True,
                timeout=WITHIN,
                check=False,
            )

        try:
            as_nobody(sys.executable, "-c", "import msgspec")
        except PermissionError:
            pytest.skip(f"{sys.executable} is in a place that other users cannot reach")
        done = as_nobody(
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={place}/temporary", *SUITES
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout and "skipped" not in done.stdout
    finally:
        shutil.rmtree(place)
