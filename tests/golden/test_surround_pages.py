"""Topologies written around configurations: the whole text, what each neighbour was taken for, what was not certain.

The configurations were written for these tests; names, addresses and AS numbers are documentation's.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_file import agree

from peerlab.daemons.bird_reading import read_bird
from peerlab.daemons.frr_reading import read_frr
from peerlab.topology.load import load_text
from peerlab.topology.surround_scene import Wishes
from peerlab.topology.surround_topology import surround

PAGES = Path(__file__).parent / "surround"
READERS = {"bird": read_bird, "frr": read_frr}
WISHES = Wishes(metro="metro", location="Amsterdam", region="westeurope")


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.conf")), ids=lambda path: path.stem)
def test_a_configuration_becomes_exactly_this_lab(path: Path) -> None:
    reading = READERS[path.stem.partition("-")[0]](path.read_text(), path.name)
    found = surround(reading, WISHES)
    agree(path.with_suffix(".yaml"), found.text)
    agree(path.with_suffix(".txt"), "".join(f"{line}\n" for line in (*found.taken, "", *found.untold)))
    model = load_text(found.text, path.stem)
    addresses = {end.address for session in model.sessions for end in (session.left, session.right)}
    assert {one.address for one in reading.neighbours} <= addresses, "every neighbour is there, at its address"
