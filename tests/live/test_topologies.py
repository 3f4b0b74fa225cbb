"""Every shipped topology is rehearsed as a person would: the command, its exit code, its verdicts.

What may stay INCONCLUSIVE is named here with its reason; anything else that is not proven fails the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
TOPOLOGIES = sorted((ROOT / "topologies").glob("*.yaml"))

NOT_TO_BE_TOLD: dict[str, dict[str, str]] = {}
"""Topology to check to the reason why this lab cannot tell."""

WITHIN = 180.0
"""Seconds in which a rehearsal ends on a busy machine."""


@pytest.mark.live
@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_a_shipped_topology_rehearses_to_proven_verdicts(topology: Path, tmp_path: Path) -> None:
    name = f"t-{topology.stem}-{os.getpid()}"[:32]
    json_file, junit = tmp_path / "verdicts.json", tmp_path / "verdicts.xml"
    done = subprocess.run(
        [
            sys.executable, "-m", "peerlab.cli.main", "rehearse", str(topology),
            "--name", name, "--json", str(json_file), "--junit", str(junit),
        ],
        env={**os.environ, "PEERLAB_STATE": str(tmp_path / "state"), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert json_file.exists(), told
    findings = json.loads(json_file.read_text())["findings"]
    outcomes = {(finding["check"], finding["title"]): finding["outcome"] for finding in findings}
    excused = NOT_TO_BE_TOLD.get(topology.stem, {})
    failed = sorted(check for (check, _), outcome in outcomes.items() if outcome == "fail")
    untold = sorted(check for (check, _), outcome in outcomes.items() if outcome == "inconclusive")
    assert failed == [], told
    assert set(untold) <= set(excused), told
    assert done.returncode == (2 if untold else 0), told
    passed = [outcome for outcome in outcomes.values() if outcome == "pass"]
    assert len(passed) > len(outcomes) / 2, told
    cases = ElementTree.fromstring(junit.read_text()).findall(".//testcase")
    assert len(cases) == len(findings)
    assert not (tmp_path / "state" / name).exists(), "the lab left its directory behind"
