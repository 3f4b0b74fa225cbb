"""Records captures/minimal.zip, the evidence bundle of a rehearsal: ``python tests/replay/record_rehearsal.py``.

Needs no root. To be recorded anew when checks judge other things than they did, so that the stored verdicts are no
longer those of today.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def record() -> int:
    """The exit code of the rehearsal."""
    with tempfile.TemporaryDirectory() as state:
        done = subprocess.run(
            [
                sys.executable, "-m", "peerlab.cli.main", "rehearse", "topologies/minimal.yaml",
                "--name", "recorded-minimal", "--bundle", str(HERE / "captures" / "minimal.zip"),
            ],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": "src", "PEERLAB_STATE": state}, check=False,
        )  # fmt: skip
    return done.returncode


if __name__ == "__main__":
    sys.exit(record())
