"""The product as a person meets it, for the live tests of its promises: the command, its labs, and what it leaves.

Every test has a state directory, a home and a directory for temporary files of its own, and lab names that nobody
else on the machine has.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from peerlab.evidence.events import Event, PhaseStarted
from peerlab.evidence.log import EventLog
from peerlab.runtime.cell import connect_to_cell, list_labs
from peerlab.runtime.namespaces import attach

ROOT = Path(__file__).parents[2]
WITHIN = 30.0
"""Seconds in which whatever is waited for here has to happen; nothing is judged by how long it took."""

_numbers = itertools.count(1)
_pause = threading.Event()


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for something that other processes or the kernel do in their own time."""
    for _ in range(int(WITHIN / 0.01)):
        if condition():
            return
        _pause.wait(0.01)
    raise AssertionError(f"{what} did not happen within {WITHIN:g} s")


@dataclass
class Product:
    """The ``peerlab`` command with a place of its own. ``names`` are the labs it may have started."""

    place: Path
    environment: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.place / "state"

    def name(self) -> str:
        """A lab's name that is free."""
        self.names.append(f"robust-{os.getpid()}-{next(_numbers)}")
        return self.names[-1]

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "peerlab.cli.main", *map(str, arguments)]

    def surroundings(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place / "home"),
            "TMPDIR": str(self.place / "tmp"),
            "PEERLAB_STATE": str(self.state),
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            **self.environment,
        }

    def run(self, *arguments: str | Path, within: float = WITHIN) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end. A hang or a traceback is a failure of any test."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.surroundings(),
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    def ok(self, *arguments: str | Path) -> str:
        """What a command that must succeed prints."""
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts a command and lets it run."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def events(self, lab: str) -> tuple[Event, ...]:
        """The lab's event log; empty before there is one."""
        path = self.state / lab / "events.jsonl"
        if not path.exists():
            return ()
        log = EventLog(path)
        try:
            return log.read()
        finally:
            log.close()

    def wait_for(self, lab: str, of: Callable[[Event], bool], what: str, phase: str = "") -> None:
        """Waits for an event, of that phase of a rehearsal when one is named."""

        def seen() -> bool:
            events = self.events(lab)
            if phase:
                starts = [n for n, e in enumerate(events) if isinstance(e, PhaseStarted) and e.phase == phase]
                events = events[starts[0] :] if starts else ()
            return any(of(event) for event in events)

        until(seen, what)

    def left_behind(self) -> list[str]:
        """Files of ours outside the state directory: in the home, among the temporary files, and in the host's /run.

        scapy keeps its cache and settings below ~/.cache and ~/.config; they are the user's and belong to no lab.
        """
        found = [str(path) for path in (self.place / "home").rglob("*") if path.is_file() and "scapy" not in path.parts]
        found += [str(path) for path in (self.place / "tmp").rglob("*")]
        shared = ("/run", "/dev/shm", "/var/tmp")
        return found + [str(path) for place in shared for path in Path(place).glob("*peerlab*")]

    def close(self) -> None:
        """Ends every lab of this test that still runs, by its supervisor."""
        for name in self.names:
            if name in list_labs():
                kill_supervisor(name)


@contextlib.contextmanager
def product(place: Path) -> Iterator[Product]:
    """A command with a place of its own; no lab of it outlives the test."""
    for part in ("home", "tmp"):
        (place / part).mkdir()
    made = Product(place)
    try:
        yield made
    finally:
        made.close()


def supervisor_of(lab: str) -> int:
    """The pid of a running lab's supervisor."""
    connection, pid = connect_to_cell(lab)
    connection.close()
    return pid


def kill_supervisor(lab: str) -> None:
    """kill -9 of a lab's supervisor; returns when it is no longer there."""
    pid = supervisor_of(lab)
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            until(lambda: not is_alive(pid), f"the end of supervisor {pid}")
    finally:
        os.close(handle)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def namespaces_of(lab: str) -> set[str]:
    """Every namespace that a running lab is made of, as /proc names them."""

    async def read() -> set[str]:
        runtime = await attach(lab)
        try:
            held = {f"net:[{node.namespace}]" for node in (await runtime.observe()).nodes}
        finally:
            await runtime.close()
        return held | {str(Path(f"/proc/{runtime.supervisor}/ns/{kind}").readlink()) for kind in ("pid", "mnt")}

    return asyncio.run(read())


def members_of(namespaces: set[str]) -> set[int]:
    """Processes that are in, or hold open, one of these namespaces."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        for link in (*process.glob("ns/*"), *process.glob("fd/*")):
            with contextlib.suppress(OSError):
                if str(link.readlink()) in namespaces:
                    found.add(int(process.name))
    return found


def host() -> dict[str, object]:
    """What the host has of its own: interfaces, routes, mounts."""
    routes = Path("/proc/net/route").read_text() + Path("/proc/net/ipv6_route").read_text()
    return {
        "interfaces": {path.name for path in Path("/sys/class/net").iterdir()},
        "routes": routes,
        "mounts": Path("/proc/self/mounts").read_text(),
    }


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a command that failed: exactly one line."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """The end of a command that was started; never a hang, never a traceback."""
    out, err = process.communicate(timeout=WITHIN)
    assert "Traceback" not in out + err, out + err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def read_json(text: str) -> Sequence[dict[str, object]]:
    """What a command printed with --json: a list of objects."""
    return msgspec.json.decode(text, type=list[dict[str, object]])
