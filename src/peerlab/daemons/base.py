"""What every daemon can do for the laboratory: pure text in, text out.

A daemon is chosen by a node's kind. It renders the node's files from the model, says which command to run in the
node, and understands what the daemon answers. It touches neither files nor processes nor the clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Protocol

from peerlab.bgp.attributes import RouteFact, SessionFact
from peerlab.topology.model import LabModel, Node, NodeKind, PolicyStage

Argv = tuple[str, ...]
"""A command and its arguments, to be run inside the node with the node's directory as working directory."""
