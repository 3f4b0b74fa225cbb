"""Every router of every shipped topology: its ``exabgp.conf`` in full, and ExaBGP's own word that it accepts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from golden_file import agree

from peerlab.bgp.config import RouterConfig
from peerlab.daemons.exabgp import CONFIGURATION, render
from peerlab.daemons.router_config import ROUTER
from peerlab.topology.load import load
from peerlab.topology.model import LabModel, NodeKind

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
FILES = Path(__file__).parent / "exabgp"
KEPT = ("minimal", "exchange", "route-server")
"""Topologies whose files are kept as goldens; between them they have every kind of line."""


def rendered(model: LabModel) -> dict[str, dict[str, str]]:
    """Node to file name to text, with all of a node's sessions configured under the policies of the model."""
    nodes = {}
    for node in model.nodes:
        if node.kind is not NodeKind.EXABGP:
            continue
        sessions = {}
        for session in model.sessions_of(node.name):
            end = session.end(node.name)
            sessions[session.id] = (model.policies[end.import_policy], model.policies[end.export_policy])
        nodes[node.name] = {str(path): text for path, text in render(model, node, sessions).items()}
    return nodes


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_exabgp_takes_every_file_and_nothing_changes_unseen(path: Path, tmp_path: Path) -> None:
    nodes = rendered(load(path))
    assert nodes
    if path.stem in KEPT:
        agree(FILES / f"{path.stem}.conf", "\n".join(files[str(CONFIGURATION)] for files in nodes.values()))
    for node, files in nodes.items():
        (tmp_path / f"{node}.conf").write_text(files[str(CONFIGURATION)])
    written = sorted(map(str, tmp_path.glob("*.conf")))
    checked = subprocess.run(
        [sys.executable, "-m", "exabgp", "validate", "--neighbor", *written], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_router_reads_back_what_was_written_for_it(path: Path) -> None:
    model = load(path)
    for name, files in rendered(model).items():
        config = msgspec.json.decode(files[str(ROUTER)], type=RouterConfig)
        node = model.node(name)
        assert (config.node, config.asn, config.router_id) == (name, node.asn, node.router_id)
        assert config.directory == f"/run/peerlab/{name}"
        assert [peer.session for peer in config.peers] == [session.id for session in model.sessions_of(name)]
        assert {peer.import_policy for peer in config.peers} <= config.policies.keys()
        assert config.originate == node.originates
