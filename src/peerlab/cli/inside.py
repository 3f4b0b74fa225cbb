"""exec, shell: commands inside a node."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import click

from peerlab.cli.output import run
from peerlab.cli.routing import attached, lab_option
from peerlab.controller.lab import Lab
from peerlab.errors import RefusedError, Unsupported
from peerlab.runtime.namespaces import NamespaceRuntime

SHELL_FALLBACK = "/bin/sh"
SIGNAL_EXIT_BASE = 128
"""A command ended by signal N ends with 128 + N, as shells have it."""


async def _run_attached(lab: Lab, node: str, argv: tuple[str, ...]) -> int:
    """Run a command in a node on this terminal. Returns its exit code."""
    names = [known.name for known in lab.model.nodes]
    if node not in names:
        raise RefusedError("NoSuchNode", f"no node {node} in this lab; there are {', '.join(names)}")
    if not isinstance(lab.runtime, NamespaceRuntime):
        raise Unsupported(f"a terminal inside {node} needs the namespace runtime")
    exits = lab.runtime.exits()
    name = f"exec-{os.getpid()}"
    environment = {"TERM": os.environ.get("TERM", "dumb"), "PS1": f"{node}# ", "PATH": os.environ.get("PATH", "")}
    stdio = (sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno())
    await lab.runtime.attached(node, name, argv, stdio, environment)
    async for ended in exits:
        if ended.node == node and ended.process == name:
            return ended.code if ended.code is not None else SIGNAL_EXIT_BASE + (ended.signal or 0)
    raise RefusedError("LabGone", "the lab ended while the command ran")


def _enter(lab: str | None, node: str, argv: tuple[str, ...]) -> None:
    async def work() -> int:
        held = await attached(lab)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        try:
            return await _run_attached(held, node, argv)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            await held.close()

    sys.exit(run(work()))


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@lab_option
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(node: str, command: tuple[str, ...], lab: str | None) -> None:
    """Run a command inside a node; ends with the command's own exit code.

    \b
    Example:  peerlab exec ams-edge-1 ip route show
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
