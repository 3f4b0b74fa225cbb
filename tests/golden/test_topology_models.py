"""Every topology that ships, resolved: each derived address, name, session and policy, in full."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from golden_file import agree

from peerlab.topology.load import load
from peerlab.topology.model import LabModel

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
MODELS = Path(__file__).parent / "models"


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_topology_resolves_to_exactly_this(path: Path) -> None:
    model = load(path)
    octets = msgspec.json.encode(model)
    assert msgspec.json.decode(octets, type=LabModel) == model, "the model does not survive its own model.json"
    agree(MODELS / f"{path.stem}.json", msgspec.json.format(octets, indent=1).decode() + "\n")
    assert model.name == path.stem
    assert model.warnings == ()
