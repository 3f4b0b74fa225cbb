"""exec, shell: commands inside a node."""

from __future__ import annotations

import os
import sys

import click

from peerlab.cli.output import run
from peerlab.cli.routing import attached, lab_option
from peerlab.controller.lab import Lab
from peerlab.errors import Unsupported
from peerlab.runtime.namespaces import NamespaceRuntime
from peerlab.runtime.terminal import interact
from peerlab.topology.mistake import no_such

SHELL_FALLBACK = "/bin/sh"
SIGNAL_EXIT_BASE = 128
"""A command ended by signal N ends with 128 + N, as shells have it."""


async def _run_attached(lab: Lab, node: str, argv: tuple[str, ...]) -> int:
    """Run a command in a node on this terminal. Returns its exit code."""
    names = [known.name for known in lab.model.nodes]
    if node not in names:
        raise no_such("node", node, names)
    if not isinstance(lab.runtime, NamespaceRuntime):
        raise Unsupported(f"a terminal inside {node} needs the namespace runtime")
    name = f"exec-{os.getpid()}"
    environment = {"TERM": os.environ.get("TERM", "dumb"), "PS1": f"{node}# ", "PATH": os.environ.get("PATH", "")}
    code = await interact(lab.runtime, node, name, argv, environment)
    return code if code >= 0 else SIGNAL_EXIT_BASE - code


def _enter(lab: str | None, node: str, argv: tuple[str, ...]) -> None:
    async def work() -> int:
        held = await attached(lab)
        try:
            return await _run_attached(held, node, argv)
        finally:
            await held.close()

    sys.exit(run(work()))


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@lab_option
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(node: str, command: tuple[str, ...], lab: str | None) -> None:
    """Run a command inside a node; its exit code is ours.

    Any program of this machine can be run: it sees the node's interfaces, routes and /proc. Pipes work.

    \b
    Example:  peerlab exec ams-edge-1 ip route show
              peerlab exec contoso-pc ping -c 3 198.18.0.2
    """
    _enter(lab, node, command)


@click.command()
@lab_option
@click.argument("node")
def shell(node: str, lab: str | None) -> None:
    """Open a shell inside a node.

    \b
    Example:  peerlab shell ams-edge-1
    """
    _enter(lab, node, (os.environ.get("SHELL", SHELL_FALLBACK),))


COMMANDS = (exec_command, shell)
