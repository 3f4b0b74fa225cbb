"""The reference rehearsal from cold to its last verdict, split by phase.

``python bench/rehearsal.py [TOPOLOGY]`` runs ``peerlab rehearse`` in a process of its own, as a person does, and reads
the event log that it leaves. Of each phase's seconds it tells apart:

* timer: a protocol's own timer runs out (hold time of a peer that fell silent, of a link that loses everything).
* watch: a session that must not come up is given the time to; a shorter look would prove less.
* own: all the rest. peerlab's overhead, and the daemons' and kernel's work that it waits for.

Time in which both a timer runs and a session is watched counts once, as timer.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from peerlab.controller.exam_sessions import STAYS_DOWN_FOR
from peerlab.evidence.events import Event, LabConverged, LabCreated, PhaseEnded, PhaseStarted, StimulusObserved
from peerlab.evidence.store import LabStore
from peerlab.evidence.story import Stimulus

REFERENCE = Path(__file__).parents[1] / "topologies" / "peering-service.yaml"
TIMED = frozenset({Stimulus.HOLD_EXPIRY, Stimulus.SILENT_FAILURE})
"""Stimuli whose answer is a timer's end. They tell how many seconds it took."""

Interval = tuple[float, float]
"""From and to, in seconds of CLOCK_REALTIME."""


class Row(msgspec.Struct, frozen=True):
    """Where the seconds of one phase went."""

    name: str
    wall: float
    timer: float
    watch: float

    @property
    def own(self) -> float:
        """What is neither a timer nor a look at what must not happen."""
        return self.wall - self.timer - self.watch


def length(intervals: Iterable[Interval]) -> float:
    """Seconds that at least one interval covers."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def clipped(intervals: Iterable[Interval], within: Interval) -> list[Interval]:
    """The parts of intervals that lie within another."""
    parts = [(max(start, within[0]), min(end, within[1])) for start, end in intervals]
    return [(start, end) for start, end in parts if start < end]


def timers(events: Sequence[Event]) -> list[Interval]:
    """When a protocol timer was waited for."""
    return [
        (event.at / 1e9 - float(str(event.detail["seconds"])), event.at / 1e9)
        for event in events
        if isinstance(event, StimulusObserved) and event.stimulus in TIMED
    ]


def watches(events: Sequence[Event]) -> list[Interval]:
    """When a session that must stay down was given the chance to come up."""
    return [
        (event.at / 1e9 - STAYS_DOWN_FOR, event.at / 1e9)
        for event in events
        if isinstance(event, StimulusObserved) and event.detail.get("established") is False
    ]


def rows(events: Sequence[Event], began: float) -> list[Row]:
    """One row for the start of the process, the building of the lab and each phase, in order; the last is the sum."""
    waited, watched = timers(events), watches(events)

    def row(name: str, start: float, end: float) -> Row:
        within = start, end
        timer = length(clipped(waited, within))
        either = length(clipped([*waited, *watched], within))
        return Row(name, end - start, timer, either - timer)

    found: list[Row] = []
    started: dict[str, float] = {}
    reached = began
    for event in events:
        at = event.at / 1e9
        if isinstance(event, LabCreated):
            found.append(row("start and wiring", began, at))
            reached = at
        elif isinstance(event, LabConverged):
            found.append(row("sessions up", reached, at))
            reached = at
        elif isinstance(event, PhaseStarted):
            started[event.phase] = at
        elif isinstance(event, PhaseEnded):
            found.append(row(event.phase if event.ok else f"{event.phase} (broken)", started[event.phase], at))
            reached = at
    return [*found, row("cold to verdict", began, reached)]


def rehearse(topology: Path, lab: str) -> tuple[float, float, int]:
    """Runs the rehearsal and leaves the lab; when it began, its CPU seconds outside the cell, its exit code."""
    before = os.times()
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "peerlab.cli.main", "rehearse", str(topology), "--name", lab, "--keep"],
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    if done.returncode > 2:
        raise SystemExit(f"the rehearsal did not end: {done.stderr or done.stdout}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    print(next(line for line in reversed(done.stdout.splitlines()) if " checks: " in line))
    return began, spent, done.returncode


def measure(topology: Path) -> int:
    """Print the table; answers the rehearsal's exit code."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    load = os.getloadavg()[0]
    lab = f"bench-rehearsal-{os.getpid()}"
    with tempfile.TemporaryDirectory() as directory:
        os.environ["PEERLAB_STATE"] = directory
        try:
            began, spent, code = rehearse(topology, lab)
            found = rows(LabStore.open(lab).log().read(), began)
        finally:
            subprocess.run([sys.executable, "-m", "peerlab.cli.main", "down", lab], capture_output=True, check=False)
    print(f"machine: {machine}; load before: {load:.1f}; date: {time.strftime('%Y-%m-%d')}")
    print(f"command: python bench/rehearsal.py {os.path.relpath(topology)}; controller CPU {spent:.1f} s")
    print(f"{'phase':<18} {'wall s':>7} {'timer s':>8} {'watch s':>8} {'own s':>7}")
    for row in found:
        print(f"{row.name:<18} {row.wall:7.2f} {row.timer:8.2f} {row.watch:8.2f} {row.own:7.2f}")
    return code


if __name__ == "__main__":
    sys.exit(measure(Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE))
