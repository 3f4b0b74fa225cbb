"""What the runtime is told to lay for a lab's wires."""

from __future__ import annotations

from pathlib import Path

from peerlab.controller.wiring import link_spec
from peerlab.topology.load import load_text

DIRECT = (Path(__file__).parents[3] / "topologies" / "direct.yaml").read_text()


def test_a_wire_has_the_delay_that_the_topology_gives_it() -> None:
    """Of every kind that can have one: backbone, links, connections; the others have none."""
    first = load_text(DIRECT, "direct.yaml")
    assert {link_spec(first, link).delay_ms for link in first.links} == {0.0}
    slow = load_text(DIRECT.replace("between: [", "delay-ms: 7.5, between: ["), "direct.yaml")
    delays = {link.id: link_spec(slow, link).delay_ms for link in slow.links}
    assert set(delays.values()) == {0.0, 7.5}
    assert all((link.delay_ms or 0.0) == delays[link.id] for link in slow.links)
