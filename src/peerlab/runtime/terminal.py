"""A command on a terminal inside a node: `peerlab shell`, `peerlab exec`.

A process inside the cell cannot take over the caller's terminal, which belongs to another session. It gets a
pseudo-terminal of its own, with job control and Ctrl-C, and this side carries the bytes and the window size.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Mapping, Sequence

from peerlab.errors import RuntimeFailure
from peerlab.runtime.namespaces import ExitStream, NamespaceRuntime

__all__ = ["interact"]

BLOCK = 1 << 16


async def interact(
    runtime: NamespaceRuntime, node: str, name: str, argv: Sequence[str], environment: Mapping[str, str] = {}
) -> int:
    """Runs a command in a node on the caller's standard streams; its exit code, or minus the signal that ended it.

    With a terminal on standard input and output the command gets one too; otherwise it gets the streams as
    they are, so that pipes and redirections work.
    """
    exits = runtime.exits()
    try:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            stdio = (sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno())
            await runtime.attached(node, name, argv, stdio, environment)
            return await _exit_code(exits, node, name)
        return await _on_terminal(runtime, exits, node, name, argv, environment)
    finally:
        await exits.aclose()


async def _exit_code(exits: ExitStream, node: str, name: str) -> int:
    async for ended in exits:
        if (ended.node, ended.process) == (node, name):
            return ended.code if ended.code is not None else -(ended.signal or 0)
    raise RuntimeFailure(f"the lab ended while {name} ran in {node}")


async def _on_terminal(
    runtime: NamespaceRuntime,
    exits: ExitStream,
    node: str,
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
) -> int:
    loop = asyncio.get_running_loop()
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    master, slave = os.openpty()
    os.set_blocking(master, False)

    def resize() -> None:
        fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(keyboard, termios.TIOCGWINSZ, bytes(8)))

    resize()
    try:
        await runtime.attached(node, name, argv, (slave, slave, slave), environment)
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    before = termios.tcgetattr(keyboard)
    drained = asyncio.Event()

    def shown() -> None:
        try:
            block = os.read(master, BLOCK)
        except BlockingIOError:
            return
        except OSError as failure:
            if failure.errno != errno.EIO:  # EIO: the last process let go of the terminal
                raise
            block = b""
        if not block:
            loop.remove_reader(master)
            drained.set()
            return
        _write_all(screen, block)

    def typed() -> None:
        block = os.read(keyboard, BLOCK)
        if not block:
            loop.remove_reader(keyboard)
            return
        _write_all(master, block)

    try:
        tty.setraw(keyboard)
        loop.add_signal_handler(signal.SIGWINCH, resize)
        loop.add_reader(master, shown)
        loop.add_reader(keyboard, typed)
        code = await _exit_code(exits, node, name)
        await drained.wait()
        return code
    finally:
        loop.remove_reader(keyboard)
        loop.remove_reader(master)
        loop.remove_signal_handler(signal.SIGWINCH)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        os.close(master)


def _write_all(descriptor: int, block: bytes) -> None:
    """Writes a block to a terminal; one that is slow makes us wait, as it does any program."""
    writable = select.poll()
    writable.register(descriptor, select.POLLOUT)
    while block:
        writable.poll()
        with contextlib.suppress(BlockingIOError):
            block = block[os.write(descriptor, block) :]
