"""An engineer's own ``frr.conf`` in a lab: what keeps the lab from running it."""

from __future__ import annotations

from collections.abc import Iterator

from peerlab.bgp.config import OwnConfiguration
from peerlab.errors import Problem
from peerlab.topology.model import LabModel, Node
from peerlab.topology.surround import RouterReading


def frr_problems(model: LabModel, node: Node, own: OwnConfiguration, reading: RouterReading) -> Iterator[Problem]:
    """Own configurations of FRR are not run yet."""
    yield Problem(own.file, "own configurations of FRR are not run yet", "run a BIRD there")
