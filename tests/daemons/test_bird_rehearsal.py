"""Shipped topologies with BIRD in a role, rehearsed whole: the same checks, real verdicts, none of them a failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from peerlab.daemons.bird import CONFIGURATION, render
from peerlab.router.bird_driver import bird_program
from peerlab.topology.load import load

ROOT = Path(__file__).parents[2]
WITHIN = 240.0
"""Seconds in which a rehearsal ends on a busy machine."""

PROVEN_UNDER_BIRD = {"SES-01", "POL-02", "VAL-08", "VAL-14", "VAL-15", "RTG-11", "FLV-10"}
"""Checks that must not only not fail: sessions, DENY ALL, announcements, packets, RIB = FIB = neighbour's view."""

ROLES = [
    pytest.param("minimal", "fab-ams-1", id="minimal, the ISP"),
    pytest.param("direct", "fab-ams-[12]", id="direct, the ISP with a backbone"),
    pytest.param("direct", "contoso-1", id="direct, the customer"),
    pytest.param("route-server", "rs-[12]", id="route-server, the route servers"),
]


def on_bird(topology: str, routers: str) -> str:
    """The text of a shipped topology with BIRD on these routers (a pattern)."""
    text = (ROOT / "topologies" / f"{topology}.yaml").read_text()
    text, plain = re.subn(rf"^      ({routers}):$", r"      \1: {kind: bird}", text, flags=re.MULTILINE)
    text, stated = re.subn(rf"^      ({routers}): {{metro", r"      \1: {kind: bird, metro", text, flags=re.MULTILINE)
    assert plain + stated, f"no router of {topology} matches {routers}"
    return text


@pytest.mark.live
@pytest.mark.daemons
@pytest.mark.parametrize(("topology", "routers"), ROLES)
def test_a_rehearsal_with_bird_ends_in_verdicts_and_none_is_a_failure(
    topology: str, routers: str, tmp_path: Path
) -> None:
    file, verdicts = tmp_path / f"{topology}.yaml", tmp_path / "verdicts.json"
    file.write_text(on_bird(topology, routers))
    done = subprocess.run(
        [
            sys.executable, "-m", "peerlab.cli.main", "rehearse", str(file),
            "--name", f"daemons-{topology}-{os.getpid()}"[:32], "--json", str(verdicts),
        ],
        env={**os.environ, "PEERLAB_STATE": str(tmp_path / "state"), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert verdicts.exists(), told
    outcomes = {finding["check"]: finding["outcome"] for finding in json.loads(verdicts.read_text())["findings"]}
    assert sorted(check for check, outcome in outcomes.items() if outcome == "fail") == [], told
    judged = {check for check in PROVEN_UNDER_BIRD if outcomes[check] != "not-applicable"}
    assert sorted(check for check in judged if outcomes[check] != "pass") == [], told
    assert done.returncode in (0, 2), told
    assert not re.search(r"did not end well|^✗", told, re.MULTILINE), told


@pytest.mark.daemons
@pytest.mark.parametrize("path", sorted((ROOT / "topologies").glob("*.yaml")), ids=lambda path: path.stem)
def test_bird_accepts_every_router_of_every_shipped_topology(path: Path, tmp_path: Path) -> None:
    model = load(path)
    for node in model.nodes:
        if not node.is_router:
            continue
        sessions = {}
        for session in model.sessions_of(node.name):
            end = session.end(node.name)
            sessions[session.id] = (model.policies[end.import_policy], model.policies[end.export_policy])
        file = tmp_path / f"{node.name}.conf"
        file.write_text(render(model, node, sessions)[CONFIGURATION])
        told = subprocess.run([bird_program(), "-p", "-c", str(file)], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
