"""An engineer's own ``bird.conf`` in a lab: included as it is by a file that makes BIRD tell what the lab must know.

What the lab reads, and cannot have without words in the file itself, is asked for by ``bird_problems``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from peerlab.bgp.config import OwnConfiguration
from peerlab.daemons.base import template
from peerlab.daemons.bird_statement import Statement, statements
from peerlab.errors import Problem
from peerlab.topology.model import LabModel, Node
from peerlab.topology.surround import RouterReading

OWN = PurePath("own.conf")
"""The engineer's file in the node's directory."""

LOGS = "/var/log/"
"""Inside the lab this directory is empty and the lab's own: a configuration may log there."""


def lab_file(node: str, own: OwnConfiguration) -> str:
    """``bird.conf`` around an own configuration."""
    return template("bird/own.conf.j2").render(node=node, file=own.file, own=OWN)


def bird_problems(model: LabModel, node: Node, own: OwnConfiguration, reading: RouterReading) -> Iterator[Problem]:
    """What keeps a lab from running this configuration, or from judging it by more than a guess."""
    addresses = {str(session.other(node.name).address) for session in model.sessions_of(node.name)}
    for one in reading.neighbours:
        if one.address not in addresses:
            continue
        where = f"{own.file}:{one.line}"
        if one.name.startswith("line "):
            yield Problem(where, "a protocol without a name cannot be followed", "name it: `protocol bgp NAME { … }`")
        for family in one.carries:
            if family not in one.keeps:
                yield Problem(
                    where,
                    f"{one.name} does not keep {family.value} routes as they are received, so nothing could be said of "
                    "what its import filter rejects",
                    f"write `import table on;` into its {family.value} channel",
                )
    for statement in statements(own.text, own.file):
        yield from _written_outside(own, statement)


def _written_outside(own: OwnConfiguration, statement: Statement) -> Iterator[Problem]:
    for token in statement.words:
        path = PurePath(token.text)
        writes = statement.starts("log") or statement.starts("mrtdump") or statement.starts("filename")
        if token.quoted and writes and (".." in path.parts or (path.is_absolute() and not token.text.startswith(LOGS))):
            yield Problem(
                f"{own.file}:{token.line}",
                f"would write to {token.text}, outside of the lab",
                f"let it write below {LOGS}, which inside the lab is a directory of its own",
            )
    for inner in statement.block or ():
        yield from _written_outside(own, inner)
