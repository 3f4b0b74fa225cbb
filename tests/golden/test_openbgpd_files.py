"""OpenBGPD's ``bgpd.conf`` in full, for the shipped topologies that have every kind of line between them.

That OpenBGPD accepts such files is shown where OpenBGPD is: tests/daemons.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from golden_file import agree

from peerlab.daemons.openbgpd import CONFIGURATION, render
from peerlab.topology.load import load
from peerlab.topology.model import NodeKind

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
FILES = Path(__file__).parent / "openbgpd"


@pytest.mark.parametrize(
    ("topology", "node"),
    [
        ("minimal", "fab-ams-1"),  # one session of each family
        ("direct", "fab-ams-1"),  # iBGP, an interior protocol, a customer
        ("route-server", "rs-1"),  # a route server: no kernel routes
    ],
)
def test_nothing_in_a_file_changes_unseen(topology: str, node: str) -> None:
    model = load(TOPOLOGIES / f"{topology}.yaml")
    router = msgspec.structs.replace(model.node(node), kind=NodeKind.OPENBGPD)
    sessions = {}
    for session in model.sessions_of(node):
        end = session.end(node)
        sessions[session.id] = (model.policies[end.import_policy], model.policies[end.export_policy])
    agree(FILES / f"{topology}-{node}.conf", render(model, router, sessions)[CONFIGURATION])
