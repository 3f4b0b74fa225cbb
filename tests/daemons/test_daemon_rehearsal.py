"""Shipped topologies with a foreign daemon in a role, rehearsed whole: real verdicts, none of them a failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_kinds import DaemonKind

from peerlab.daemons.kinds import daemon_of
from peerlab.errors import Unsupported
from peerlab.topology.load import load
from peerlab.topology.model import NodeKind

ROOT = Path(__file__).parents[2]
WITHIN = 240.0
"""Seconds in which a rehearsal ends on a busy machine."""

PROVEN = {"SES-01", "POL-02", "VAL-08", "VAL-14", "VAL-15", "RTG-11", "FLV-10"}
"""Checks that must not only not fail: sessions, DENY ALL, announcements, packets, RIB = FIB = neighbour's view."""

ROLES = [
    pytest.param("minimal", "fab-ams-1", id="minimal, the ISP"),
    pytest.param("direct", "fab-ams-[12]", id="direct, the ISP with a backbone"),
    pytest.param("direct", "contoso-1", id="direct, the customer"),
    pytest.param("route-server", "rs-[12]", id="route-server, the route servers"),
]


def on(kind: str, topology: str, routers: str) -> str:
    """The text of a shipped topology with this kind on these routers (a pattern)."""
    text = (ROOT / "topologies" / f"{topology}.yaml").read_text()
    text, plain = re.subn(rf"^      ({routers}):$", rf"      \1: {{kind: {kind}}}", text, flags=re.MULTILINE)
    kind_and_metro = rf"      \1: {{kind: {kind}, metro"
    text, stated = re.subn(rf"^      ({routers}): {{metro", kind_and_metro, text, flags=re.MULTILINE)
    assert plain + stated, f"no router of {topology} matches {routers}"
    return text


@pytest.mark.live
@pytest.mark.daemons
@pytest.mark.parametrize(("topology", "routers"), ROLES)
def test_a_rehearsal_with_it_ends_in_verdicts_and_none_is_a_failure(
    kind: DaemonKind, topology: str, routers: str, tmp_path: Path
) -> None:
    file, verdicts = tmp_path / f"{topology}.yaml", tmp_path / "verdicts.json"
    file.write_text(on(kind.name, topology, routers))
    done = subprocess.run(
        [
            sys.executable, "-m", "peerlab.cli.main", "rehearse", str(file),
            "--name", f"{kind.name}-{topology}-{os.getpid()}"[:32], "--json", str(verdicts),
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
    failed = {check for check, outcome in outcomes.items() if outcome == "fail"}
    assert sorted(failed - kind.may_fail) == [], told
    judged = {check for check in PROVEN if outcomes[check] != "not-applicable"}
    assert sorted(check for check in judged if outcomes[check] != "pass") == [], told
    assert done.returncode in ((0, 1, 2) if failed else (0, 2)), told
    assert not re.search(r"did not end well|^✗", told, re.MULTILINE), told


@pytest.mark.daemons
@pytest.mark.parametrize("path", sorted((ROOT / "topologies").glob("*.yaml")), ids=lambda path: path.stem)
def test_it_accepts_every_router_of_every_shipped_topology(kind: DaemonKind, path: Path, tmp_path: Path) -> None:
    model = load(path)
    for node in model.nodes:
        if not node.is_router:
            continue
        sessions = {}
        for session in model.sessions_of(node.name):
            end = session.end(node.name)
            sessions[session.id] = (model.policies[end.import_policy], model.policies[end.export_policy])
        directory = tmp_path / node.name
        directory.mkdir()
        if not kind.has_caches and any(node.name in cache.serves for cache in model.caches):
            with pytest.raises(Unsupported, match=r"origin validation|validate origins"):
                daemon_of(NodeKind(kind.name)).render(model, node, sessions)
            continue
        rendered = daemon_of(NodeKind(kind.name)).render(model, node, sessions)
        for name, text in rendered.items():
            (directory / name).write_text(text)
        kind.check(directory)
