"""The store of accepted requests: whole or not at all, and there after a kill -9 at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peerlab.controller.store import AcceptedRequests, is_of_the_desk
from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import LabConverged, MailSent, ResourceChanged, StimulusApplied

SRC = Path(__file__).parents[3] / "src"

WRITER = """
import sys
from pathlib import Path
from peerlab.controller.store import AcceptedRequests
from peerlab.evidence.events import ResourceChanged
store = AcceptedRequests(Path(sys.argv[1]))
for number in range(1_000_000):
    halves = [ResourceChanged(at=number, kind="peerings", name=name, change="created") for name in ("a", "b")]
    store.add("PutPeering", halves)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def changed(at: int, name: str = "p") -> ResourceChanged:
    return ResourceChanged(at=at, kind="peerings", name=name, change="created", body={"asn": 64500})


def test_what_was_added_is_there_in_order(tmp_path: Path) -> None:
    store = AcceptedRequests(tmp_path / "s.sqlite")
    store.add("one", [changed(1), changed(2)])
    store.add("two", [changed(3)])
    store.close()
    assert AcceptedRequests(tmp_path / "s.sqlite").events() == (changed(1), changed(2), changed(3))


@pytest.mark.parametrize("acknowledged", [1, 5, 23, 60])
def test_a_killed_writer_loses_nothing_it_acknowledged_and_halves_nothing(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "s.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(acknowledged)]
    writer.send_signal(signal.SIGKILL)
    told += [int(line) for line in writer.communicate()[0].split("\n")[:-1]]
    kept = [event.at for event in AcceptedRequests(path).events()]
    assert kept[: 2 * len(told)] == [at for at in told for _ in range(2)]
    assert len(kept) % 2 == 0 and len(kept) <= 2 * (len(told) + 1)


def test_a_file_that_is_no_store_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_text("not a database" * 100)
    with pytest.raises(RuntimeFailure, match="cannot be opened"):
        AcceptedRequests(tmp_path / "s.sqlite")


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        (changed(1), True),
        (MailSent(at=1, sender="a", to="b", subject="c", text="d"), True),
        (StimulusApplied(at=1, stimulus="peer-configured", node="n"), True),
        # what the lab did by itself, or a test did to it, is evidence and no decision of the desk
        (StimulusApplied(at=1, stimulus="bounce", node="n"), False),
        (LabConverged(at=1, sessions=2), False),
    ],
)
def test_what_belongs_in_the_store(event: ResourceChanged, kept: bool) -> None:
    assert is_of_the_desk(event, frozenset({"peer-configured"})) is kept
