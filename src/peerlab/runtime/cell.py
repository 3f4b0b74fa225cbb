"""Starting a cell, finding the cells that run, and their names.

A lab's name is an abstract Unix socket ``\\0peerlab/UID/LAB`` of the host's network namespace: no file, and
gone with the supervisor. Whoever connects checks that the other side is the same user.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import msgspec

from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.runtime.language import Fault, as_error

__all__ = ["LAB_NAME", "connect_to_cell", "list_labs", "socket_name", "start_supervisor"]

LAB_NAME = re.compile(r"[a-z0-9-]{1,32}")
START_SECONDS = 20.0
_ACCEPTING = 0x00010000  # __SO_ACCEPTCON in the flags column of /proc/net/unix
_CREDENTIALS = struct.Struct("=iii")


class _Word(msgspec.Struct):
    pid: int = 0
    ready: bool = False
    fault: Fault | None = None


def socket_name(user: int, lab: str) -> str:
    """The abstract address of a lab of a user. Refuses names that are not [a-z0-9-]{1,32}."""
    if not LAB_NAME.fullmatch(lab):
        raise RefusedError("BadLabName", f"{lab!r} cannot be a lab's name; use 1 to 32 of a-z, 0-9 and -")
    return f"\0peerlab/{user}/{lab}"


def list_labs(table: str | None = None) -> tuple[str, ...]:
    """The names of this user's running labs. ``table`` is the text of /proc/net/unix (read if not given)."""
    prefix = f"@peerlab/{os.getuid()}/"
    names = set()
    for line in (table if table is not None else Path("/proc/net/unix").read_text()).splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and fields[7].startswith(prefix) and int(fields[3], 16) & _ACCEPTING:
            names.add(fields[7].removeprefix(prefix))
    return tuple(sorted(names))


def connect_to_cell(lab: str) -> tuple[socket.socket, int]:
    """A connection to a running lab's supervisor, and the supervisor's pid in the caller's counting."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(socket_name(os.getuid(), lab))
    except OSError as failure:
        connection.close()
        running = ", ".join(list_labs()) or "none"
        raise RefusedError(
            "UnknownLab", f"no lab {lab} runs (running: {running}); start it with `peerlab up`"
        ) from failure
    pid, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        connection.close()
        raise RefusedError("ForeignLab", f"the name of lab {lab} is held by user {user}, not by you; take another name")
    return connection, pid


async def start_supervisor(lab: str, state_directory: Path) -> int:
    """Starts the supervisor of a new lab and waits until it listens; returns its pid.

    It is a daemon: own session, output to ``state_directory``/supervisor.log, and it outlives the caller.
    Raises `RefusedError` when the name is taken, `Unsupported` when this machine does not allow namespaces.
    """
    socket_name(os.getuid(), lab)
    try:
        state_directory.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise RuntimeFailure(f"cannot make the state directory of lab {lab}: {failure}") from failure
    reader, writer = os.pipe()
    source = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    try:
        with (state_directory / "supervisor.log").open("ab") as log:
            starter = subprocess.Popen(
                [sys.executable, "-m", "peerlab.runtime.enclosure", lab, str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, "PYTHONPATH": search},
                pass_fds=(writer,),
                start_new_session=True,
            )
    except OSError as failure:
        os.close(reader)
        raise RuntimeFailure(f"cannot start the supervisor of lab {lab}: {failure}") from failure
    finally:
        os.close(writer)
    try:
        async with asyncio.timeout(START_SECONDS):
            return await _await_ready(lab, reader, state_directory)
    except TimeoutError:
        starter.kill()
        raise TimedOut(f"the supervisor of lab {lab} listening", START_SECONDS) from None
    finally:
        await asyncio.to_thread(starter.wait)


async def _await_ready(lab: str, reader: int, state_directory: Path) -> int:
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reader, "rb", buffering=0)
    )
    pid = 0
    listens = False
    try:
        while not (listens and pid):
            line = await stream.readline()
            if not line:
                raise RuntimeFailure(
                    f"the supervisor of lab {lab} ended before it listened; see {state_directory}/supervisor.log"
                )
            word = msgspec.json.decode(line, type=_Word)
            if word.fault is not None:
                raise as_error(word.fault)
            pid = word.pid or pid
            listens = word.ready or listens
    finally:
        transport.close()
    return pid
