"""The Mermaid of every topology that ships, and the picture that the README shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_file import agree

from peerlab.report.graph import svg
from peerlab.report.mermaid import mermaid
from peerlab.topology.load import load

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
GRAPHS = Path(__file__).parent / "graphs"


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_topology_is_drawn_as_this_mermaid(path: Path) -> None:
    agree(GRAPHS / f"{path.stem}.mmd", mermaid(load(path)))


def test_the_picture_in_the_documentation_is_of_the_reference_lab() -> None:
    agree(TOPOLOGIES.parent / "docs" / "peering-service.svg", svg(load(TOPOLOGIES / "peering-service.yaml")))
