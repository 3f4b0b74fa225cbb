"""The event log keeps what it was given: through kill -9, torn lines, full disks and other writers."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import LabStopped, PhaseStarted, PolicyStageChanged, SnapshotTaken
from peerlab.evidence.log import EventLog

WITHIN = 20.0
ONE = PhaseStarted(at=1, phase="deny")
TWO = PolicyStageChanged(at=2, node="ams-edge-1", sessions=("s4", "s6"), stage="allow")
THREE = SnapshotTaken(at=3, label="allowed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_what_is_appended_is_read_by_this_and_any_other_reader(path: Path) -> None:
    log = EventLog(path)
    log.append(ONE)
    assert log.read() == (ONE,)
    log.append(TWO)
    assert log.read() == EventLog(path).read() == (ONE, TWO)
    assert len(path.read_text().splitlines()) == 2


def test_what_two_writers_have_heard_of_is_there_once(path: Path) -> None:
    one, other = EventLog(path), EventLog(path)
    one.append(ONE)
    assert one.append_once(TWO) and not other.append_once(TWO) and not one.append_once(TWO)
    assert other.append_once(THREE)
    assert one.read() == other.read() == (ONE, TWO, THREE)


def test_each_line_is_json_with_the_event_s_name(path: Path) -> None:
    EventLog(path).append(ONE)
    assert path.read_text() == '{"event":"phase-started","at":1,"phase":"deny"}\n'


@pytest.mark.parametrize("torn", [b"{", b'{"event":"phase-started","at":1', b"x" * (3 << 20)])
def test_a_torn_last_line_is_passed_over_and_taken_away_by_the_next_append(path: Path, torn: bytes) -> None:
    EventLog(path).append(ONE)
    with path.open("ab") as file:
        file.write(torn)
    assert EventLog(path).read() == (ONE,)
    log = EventLog(path)
    log.append(TWO)
    assert log.read() == (ONE, TWO)


def test_a_log_that_is_torn_in_its_first_line_begins_anew(path: Path) -> None:
    path.write_bytes(b'{"event"')
    log = EventLog(path)
    log.append(ONE)
    assert log.read() == (ONE,)


def test_a_line_that_is_no_event_is_named(path: Path) -> None:
    EventLog(path).append(ONE)
    with path.open("ab") as file:
        file.write(b'{"event":"moon-landing","at":3}\n')
    with pytest.raises(RuntimeFailure, match=r"events\.jsonl:2: is no event"):
        EventLog(path).read()


WRITER = """
import os, sys
from pathlib import Path
from peerlab.evidence.events import PhaseStarted
from peerlab.evidence.log import EventLog
log = EventLog(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    log.append(PhaseStarted(at=number, phase=sys.argv[3]))
    print(number, flush=True)
os.kill(os.getpid(), 9)
"""


def write(path: Path, count: int, name: str) -> subprocess.Popen[str]:
    source = str(Path(__file__).parents[3] / "src")
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(count), name],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )


def test_kill_9_of_the_writer_loses_nothing_that_was_appended(path: Path) -> None:
    writer = write(path, 50, "deny")
    said, _ = writer.communicate(timeout=WITHIN)
    assert writer.returncode == -signal.SIGKILL
    assert EventLog(path).read() == tuple(PhaseStarted(at=int(n), phase="deny") for n in said.split())


def test_two_writers_at_once_do_not_mix_their_lines(path: Path) -> None:
    writers = [write(path, 200, name) for name in ("deny", "allow")]
    for writer in writers:
        writer.communicate(timeout=WITHIN)
    events = EventLog(path).read()
    for name in ("deny", "allow"):
        assert [e.at for e in events if isinstance(e, PhaseStarted) and e.phase == name] == list(range(200))


def test_a_full_disk_is_told_and_takes_nothing_away(path: Path) -> None:
    """RLIMIT_FSIZE stands in for the disk: the kernel takes the first part of the line and refuses the rest."""
    log = EventLog(path)
    log.append(ONE)
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        with pytest.raises(RuntimeFailure, match=r"cannot be written: .*what it held before is kept"):
            log.append(TWO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size == size
    log.append(THREE)
    assert EventLog(path).read() == (ONE, THREE)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="cannot be opened"):
        EventLog(tmp_path / "nowhere" / "events.jsonl")


def follow(path: Path, skip: int, act: Callable[[int], None]) -> list[object]:
    """Follows the log; after each event that comes, ``act`` may write more or remove the file."""

    async def run() -> list[object]:
        seen: list[object] = []
        async for event in EventLog(path).follow(skip):
            seen.append(event)
            act(len(seen))
        return seen

    return asyncio.run(asyncio.wait_for(run(), WITHIN))


def test_who_follows_sees_the_past_then_each_new_event_until_the_log_is_removed(path: Path) -> None:
    log = EventLog(path)
    log.append(ONE)
    script = {1: lambda: log.append(TWO), 2: lambda: log.append(LabStopped(at=9, lab="x")), 3: path.unlink}
    assert follow(path, 0, lambda seen: script[seen]()) == [ONE, TWO, LabStopped(at=9, lab="x")]


def test_who_follows_may_skip_what_is_known(path: Path) -> None:
    log = EventLog(path)
    log.append(ONE)
    log.append(TWO)
    assert follow(path, 1, lambda seen: path.unlink()) == [TWO]
