"""The cell's whole proof once more as an unprivileged user, for suites that are started as root.

A suite that an ordinary user starts proves this anyway, and skips here.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from confined import Order, confined

pytestmark = [pytest.mark.live, pytest.mark.root]

NOBODY = 65534
HERE = Path(__file__).parents[2]
SUITES = (
    "tests/contract/test_runtime_contract.py",
    "tests/live/test_cell_packets.py",
    "tests/live/test_cell_faults.py",
    "tests/live/test_cell_life.py",
)


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

        environment = {"PATH": os.environ["PATH"], "HOME": str(place), "PYTHONPATH": str(place / "src")}
        pytest_of_nobody = f"{sys.executable} -m pytest -p no:cacheprovider --basetemp={place}/temporary"
        order = Order(
            commands=(("/bin/sh", "-c", f"cd {place} && {pytest_of_nobody} {' '.join(SUITES)}"),),
            environment=environment,
            user=NOBODY,
            reachable=(sys.prefix, sys.base_prefix),
        )
        (done,) = confined(order, environment)
        assert done.code == 0, done.out + done.err
        assert " passed" in done.out and "skipped" not in done.out
    finally:
        shutil.rmtree(place)
