"""An engineer's own ``frr.conf`` in a lab: read as it is, and then told over the vty what the lab must hear.

``told_besides`` says what: lines that make bgpd speak, and change neither policy nor timers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from peerlab.bgp.attributes import Family
from peerlab.bgp.config import OwnConfiguration
from peerlab.daemons.frr import BMP_PORT
from peerlab.errors import Problem
from peerlab.topology.model import LabModel, Node
from peerlab.topology.surround import RouterReading

SPEAK = ("log timestamp precision 6", "debug bgp neighbor-events")
"""What bgpd logs, and how exactly in time."""

LOGS = "/var/log/"
"""Inside the lab this directory is empty and the lab's own: a configuration may log there."""


def told_besides(reading: RouterReading) -> list[str]:
    """What bgpd is told besides its own file: to say what it does, and to keep routes as it receives them."""
    lines = [*SPEAK, f"router bgp {reading.asn}"]
    for one in reading.neighbours:
        for family in one.carries:
            if family not in one.keeps and one.address is not None:
                inbound = f"neighbor {one.address} soft-reconfiguration inbound"
                lines += [f"address-family {family.value} unicast", inbound, "exit-address-family"]
    targets = [f"bmp monitor {family.value} unicast pre-policy" for family in Family]
    connect = f"bmp connect 127.0.0.1 port {BMP_PORT} min-retry 100 max-retry 1000"
    return [*lines, "bmp targets companion", *targets, connect, "exit"]


def frr_problems(model: LabModel, node: Node, own: OwnConfiguration, reading: RouterReading) -> Iterator[Problem]:
    """What keeps a lab from running this configuration."""
    for number, line in enumerate(own.text.splitlines(), start=1):
        words = line.split()
        if words[:2] == ["log", "file"] and len(words) > 2:
            path = PurePath(words[2])
            if ".." in path.parts or not words[2].startswith(LOGS):
                yield Problem(
                    f"{own.file}:{number}",
                    f"would write to {words[2]}, outside of the lab",
                    f"let it write below {LOGS}, which inside the lab is a directory of its own",
                )
