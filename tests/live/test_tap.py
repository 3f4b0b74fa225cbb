"""The tap in a real user namespace: what leaves a node is captured once, at its source, and losses are admitted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from peerlab.evidence.pcapng import Frame, Interface, Loss, Record, read
from peerlab.evidence.reassembly import Octets, Reassembler, Step
from peerlab.evidence.segment import segment_of
from peerlab.evidence.trace import Trace
from peerlab.topology.model import LabModel

pytestmark = pytest.mark.live

SOURCE = Path(__file__).parents[2] / "src"
WITHIN = 60.0


def run(scenario: str, directory: Path) -> tuple[dict[str, Any], tuple[Record, ...]]:
    """What the scenario says, and what the capture holds."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("tap_cell.py")), scenario, str(directory)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), read((directory / "trace.pcapng").read_bytes())


def said(records: tuple[Record, ...]) -> list[Octets]:
    reassembler = Reassembler()
    frames = sorted((one for one in records if isinstance(one, Frame)), key=lambda frame: frame.at)
    segments = [segment for one in frames if (segment := segment_of(one)) is not None]
    return [fact for segment in segments for fact in reassembler.feed(segment) if isinstance(fact, Octets)]


def test_each_segment_is_captured_once_where_it_was_sent(tmp_path: Path) -> None:
    outcome, records = run("talk", tmp_path)
    assert outcome["exit"] == 0
    flushed = outcome["flushed"]["answer"]
    frames = [record for record in records if isinstance(record, Frame)]
    assert flushed["frames"] == len(frames) and flushed["octets"] == outcome["size"] and flushed["lost"] == {}

    by_interface = Counter(frame.interface.name for frame in frames)
    assert set(by_interface) == {"left:to-middle", "middle:to-left", "right:to-middle"}, (
        "middle forwards, and is silent"
    )
    sources = {(frame.interface.name, segment.source) for frame in frames if (segment := segment_of(frame))}
    assert sources == {
        ("left:to-middle", "192.0.2.1"), ("left:to-middle", "2001:db8:1::1"),
        ("middle:to-left", "192.0.2.2"), ("middle:to-left", "2001:db8:1::2"),
        ("right:to-middle", "198.51.100.1"), ("right:to-middle", "2001:db8:2::1"),
    }  # fmt: skip
    repeated = Counter((s.flow, s.sequence, s.acknowledged, s.flags, s.length) for f in frames if (s := segment_of(f)))
    assert max(repeated.values()) == 1

    heard = Counter((fact.source, fact.octets[18]) for fact in said(records))
    assert heard == {
        ("192.0.2.1", 4): 1, ("192.0.2.1", 2): 1, ("192.0.2.2", 4): 2, ("198.51.100.1", 4): 1,
        ("2001:db8:1::1", 4): 1, ("2001:db8:1::1", 2): 1, ("2001:db8:1::2", 4): 2, ("2001:db8:2::1", 4): 1,
    }  # fmt: skip
    trace = Trace.from_pcapng((tmp_path / "trace.pcapng").read_bytes(), LabModel(name="x"))
    assert trace.gaps == () and trace.garbled == ()
    assert Counter(step.step for step in trace.steps) == {Step.ASKED: 4, Step.OPENED: 4, Step.FINISHED: 8}
    assert set(trace.watched) == {"left", "middle", "right"} and 0 < trace.begin <= frames[0].at


def test_nodes_come_and_go_and_wrong_requests_are_refused(tmp_path: Path) -> None:
    outcome, records = run("join", tmp_path)
    assert outcome["added"] == {"id": 1, "answer": True}
    assert "listens there already" in outcome["again"]["refused"]
    assert "node ghost" in outcome["nowhere"]["refused"]
    assert outcome["wrong"]["id"] == 4 and "dance" in outcome["wrong"]["refused"]
    assert outcome["removed"] == {"id": 5, "answer": True}
    late = [f for f in records if isinstance(f, Frame) and (s := segment_of(f)) and s.source == "192.0.2.77"]
    assert late, "an address that came after the tap is the node's own all the same"
    assert {frame.interface.name for frame in late} == {"middle:to-left"}
    assert outcome["exit"] == 0


def test_a_megabyte_at_once_is_captured_whole(tmp_path: Path) -> None:
    outcome, records = run("bulk", tmp_path)
    lost = outcome["flushed"]["answer"]["lost"]
    facts = [fact for fact in said(records) if fact.source == "192.0.2.1"]
    assert lost == {} and len(facts) == 1000
    assert max(len(f.octets) for f in records if isinstance(f, Frame)) > 9000, "an offloading sender's super-frames"


def test_what_the_kernel_dropped_is_written_down_and_found_by_the_reader(tmp_path: Path) -> None:
    outcome, records = run("loss", tmp_path)
    assert outcome["before"]["answer"]["lost"] == {}
    lost = outcome["after"]["answer"]["lost"]
    losses = [record for record in records if isinstance(record, Loss)]
    assert sum(loss.frames for loss in losses if loss.interface.name == "left:lo") == lost["left"] > 0
    assert all(loss.start < loss.end for loss in losses)
    trace = Trace.from_pcapng((tmp_path / "trace.pcapng").read_bytes(), LabModel(name="x"))
    whys = [gap.why for gap in trace.gaps]
    assert any("the tap lost" in why for why in whys), "told by the tap"
    assert any("the capture lost" in why for why in whys), "and proven by the receiver's acknowledgements"


def test_a_killed_tap_leaves_a_whole_file_and_another_goes_on_in_it(tmp_path: Path) -> None:
    outcome, records = run("killed", tmp_path)
    assert outcome["first"]["answer"]["frames"] == outcome["second"]["answer"]["frames"] == 10
    assert sum(isinstance(record, Frame) for record in records) == 20
    assert [record.name for record in records if isinstance(record, Interface)].count("left:lo") == 2
    trace = Trace.from_pcapng((tmp_path / "trace.pcapng").read_bytes(), LabModel(name="x"))
    assert len(trace) == 4
    assert {(gap.source, gap.why) for gap in trace.gaps} == {
        (node, "the tap was not running") for node in ("left", "middle", "right")
    }
    if shutil.which("tcpdump"):
        read_back = subprocess.run(
            ["tcpdump", "-nr", str(tmp_path / "trace.pcapng")], capture_output=True, text=True, timeout=WITHIN
        )
        assert read_back.returncode == 0 and len(read_back.stdout.splitlines()) == 20


def test_a_full_disk_ends_the_tap_and_keeps_what_was_captured(tmp_path: Path) -> None:
    outcome, records = run("full", tmp_path)
    assert outcome["exit"] == 4
    assert any(isinstance(record, Interface) for record in records)
