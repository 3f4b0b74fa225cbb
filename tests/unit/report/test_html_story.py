"""The story: phases in order, alike things of one moment told as one, each still there to be read."""

from __future__ import annotations

from typing import get_args

import msgspec
from kit.recorded import again

from peerlab.evidence.events import (
    Event,
    LabCreated,
    PhaseEnded,
    PhaseStarted,
    SessionStateChanged,
    StimulusApplied,
)
from peerlab.report.html_story import SHOWN, chapters

SECOND = 1_000_000_000
NOON = 1_800_014_400 * SECOND


def changed(at: float, before: str, after: str, session: str = "a--b.v4") -> SessionStateChanged:
    return SessionStateChanged(at=NOON + int(at * SECOND), node="a", session=session, before=before, after=after)


def test_phases_have_their_place_in_the_whole() -> None:
    told = chapters(
        (
            LabCreated(at=NOON, lab="x", nodes=3, links=2),
            PhaseStarted(at=NOON + SECOND, phase="build"),
            PhaseEnded(at=NOON + 2 * SECOND, phase="build"),
            PhaseStarted(at=NOON + 2 * SECOND, phase="deny"),
            PhaseEnded(at=NOON + 4 * SECOND, phase="deny", ok=False, why="nobody came"),
        )
    )
    assert [(one.phase, one.seconds, one.left, one.width) for one in told] == [
        ("up", 0.0, 0.0, 3.0),
        ("build", 1.0, 250.0, 250.0),
        ("deny", 2.0, 500.0, 500.0),
    ]
    assert [(one.ok, one.why) for one in told] == [(True, ""), (True, ""), (False, "nobody came")]


def test_only_what_enters_or_leaves_established_is_told_of_sessions() -> None:
    steps = changed(0, "Idle", "Active"), changed(1, "OpenConfirm", "Established"), changed(2, "Active", "Idle")
    (up,) = chapters(steps)
    assert [entry.text for entry in up.entries] == ["a--b.v4 Established at a"]


def test_alike_things_of_one_moment_are_one_entry_with_lines() -> None:
    many = [changed(n / 100, "OpenConfirm", "Established", f"s-{n}") for n in range(SHOWN + 10)]
    late = changed(30, "OpenConfirm", "Established", "late")
    (up,) = chapters((*many, late))
    first, second = up.entries
    assert (first.text, first.count, len(first.lines), first.hidden) == ("50 session ends Established", 50, SHOWN, 10)
    assert (second.text, second.lines) == ("late Established at a", ())
    assert up.digest == "51 session ends Established"


def test_a_stimulus_is_told_with_its_details_cut() -> None:
    detail: dict[str, object] = {"prefixes": list(range(9)), "x": "y" * 500}
    applied = StimulusApplied(at=NOON, stimulus="announced", node="a", detail=detail)
    (up,) = chapters((applied,))
    assert "prefixes 0, 1, 2, 3 and 5 more" in up.entries[0].text and len(up.entries[0].text) < 250


def test_every_kind_of_event_of_a_real_rehearsal_is_told_or_left_out_on_purpose() -> None:
    told = {type(event) for event in again().evidence.events}
    assert told <= set(get_args(Event))
    entries = [entry for chapter in chapters(again().evidence.events) for entry in chapter.entries]
    kinds = {"lab", "azure", "up", "down", "policy", "packets", "stimulus", "observed", "fault", "snapshot", "notice"}
    assert {entry.kind for entry in entries} >= kinds
    assert msgspec.json.encode(chapters(again().evidence.events)).count(b'"text"') > len(entries)
