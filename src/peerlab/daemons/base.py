"""What every daemon can do for the laboratory: pure text in, text out.

A daemon is chosen by a node's kind. It renders the node's files from the model, and says which command checks them.
It touches neither processes nor the clock. The templates lie in ``configs/DAEMON/FILE.j2`` and are logic-free: every
value is computed here before. ``peerlab/configs`` is a link to that folder, so that a wheel carries it too.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from importlib import resources
from pathlib import PurePath
from typing import Protocol

import jinja2

from peerlab.bgp.attributes import Family
from peerlab.bgp.config import RouterConfig
from peerlab.bgp.policy import Policy
from peerlab.daemons.origination import Origination
from peerlab.topology.model import LabModel, Node

Argv = tuple[str, ...]
"""A command with its arguments, run inside the node with the node's directory as working directory."""

Sessions = Mapping[str, tuple[Policy, Policy]]
"""The sessions that are to exist on a node: session id to import and export policy."""


class Daemon(Protocol):
    """One routing daemon."""

    TELLS_END_OF_RIB: bool
    """Whether it sends End-of-RIB to a neighbour that did not announce graceful restart (RFC 4724 section 2)."""

    def render(self, model: LabModel, node: Node, sessions: Sessions) -> Mapping[PurePath, str]:
        """Every file of the node, by path relative to the node's directory."""
        ...

    def files(
        self, config: RouterConfig, shut: Collection[str] = (), originated: Collection[Origination] | None = None
    ) -> Mapping[PurePath, str]:
        """The files from a configuration alone. Raises Unsupported for what the daemon cannot be told.

        Sessions in ``shut`` are administratively down; ``originated`` defaults to the configuration's prefixes.
        """
        ...

    def refuse(self, policy: Policy, family: Family) -> None:
        """Raises Unsupported when the daemon cannot express the policy, naming policy, statement and condition."""
        ...

    def check(self) -> Argv:
        """The daemon's own check of the rendered files; exit code 0 when it accepts them."""
        ...


@functools.cache
def template(path: str) -> jinja2.Template:
    """The template ``configs/PATH``. An undefined value is an error (jinja2.UndefinedError), never an empty string."""
    source = resources.files("peerlab").joinpath("configs", *path.split("/")).read_text("utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(source)
