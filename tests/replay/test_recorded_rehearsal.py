"""A recorded rehearsal judged again on any machine: its verdicts stand, and do not stand without their evidence."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from kit.recorded import BUNDLE, again, files, sealed, without_events

from peerlab.bgp.wire import MessageType, Update
from peerlab.errors import BundleDamaged, BundleTooNew, WireError
from peerlab.evidence.events import SessionStateChanged, SnapshotTaken, StimulusObserved
from peerlab.evidence.message import Message
from peerlab.evidence.pcapng import Frame, read, write
from peerlab.evidence.story import Stimulus
from peerlab.report.archive import pack, unpack
from peerlab.report.bundle import CAPTURE, FINDINGS, MANIFEST, MODEL, SNAPSHOTS
from peerlab.report.replay import ESSENTIAL, Kind, replay
from peerlab.verify.finding import Outcome

LARGEST = 500_000


def verdicts_that_differ(changed: dict[str, bytes]) -> dict[str, str]:
    """The checks that come to another verdict than the stored one, with what is told of it."""
    return {one.check: one.what for one in replay(changed).differences if one.kind is Kind.VERDICT}


def test_the_recording_is_small() -> None:
    assert BUNDLE.stat().st_size < LARGEST


def test_every_stored_verdict_stands() -> None:
    """New checks and better words are no disagreement here: other people write checks while this recording lies."""
    essential = [f"{one.check}: {one.what}" for one in again().differences if one.kind in ESSENTIAL]
    assert essential == [], "if checks judge other things now: python tests/replay/record_rehearsal.py"
    assert sum(finding.outcome is Outcome.PASS for finding in again().stored) > 40


def test_the_same_files_make_the_same_bundle() -> None:
    assert unpack(pack(files())) == files()
    assert pack(files()) == pack(dict(reversed(files().items())))


def test_an_announcement_taken_out_of_the_capture_is_missed() -> None:
    """The frame of one UPDATE: the receiver has acknowledged what is no longer there, and nobody can tell any more."""
    victim = next(message for message in again().evidence.trace if is_announcement(message))
    records = read(files()[CAPTURE])
    kept = [one for one in records if not (isinstance(one, Frame) and one.at == victim.at)]
    assert len(kept) < len(records)
    told = verdicts_that_differ(sealed({**files(), CAPTURE: b"".join(write(kept))}))
    assert told
    assert all("the evidence gives INCONCLUSIVE" in what or "the evidence gives FAIL" in what for what in told.values())


def is_announcement(message: Message) -> bool:
    """An UPDATE of the connection's session that announces something."""
    if message.kind != MessageType.UPDATE or message.session not in {s.id for s in again().evidence.model.sessions}:
        return False
    try:
        said = message.decode()
    except WireError:
        return False
    return isinstance(said, Update) and bool(said.announced)


DROPPED = [
    # what is dropped, a check that cannot stand without it
    (lambda e: isinstance(e, StimulusObserved) and e.stimulus == Stimulus.MAX_PREFIX, "POL-15"),
    (lambda e: isinstance(e, StimulusObserved) and e.stimulus == Stimulus.WRONG_ASN, "SES-03"),
    (lambda e: isinstance(e, SessionStateChanged) and e.after == "Established", "TEL-01"),
]


@pytest.mark.parametrize(("unwanted", "check"), DROPPED, ids=[check for _, check in DROPPED])
def test_an_event_taken_out_of_the_log_is_missed(unwanted, check: str) -> None:  # type: ignore[no-untyped-def]
    assert check in verdicts_that_differ(without_events(unwanted))


def test_a_snapshot_taken_out_is_missed() -> None:
    changed = {name: octets for name, octets in files().items() if name != f"{SNAPSHOTS}allowed.json"}
    assert "SES-01" in verdicts_that_differ(sealed(changed))
    assert any(isinstance(event, SnapshotTaken) and event.label == "allowed" for event in again().evidence.events)


def test_a_verdict_that_was_rewritten_is_found() -> None:
    document = files()[FINDINGS]
    rewritten = document.replace(b'"outcome": "pass"', b'"outcome": "fail"', 1)
    assert rewritten != document
    (one,) = verdicts_that_differ(sealed({**files(), FINDINGS: rewritten})).values()
    assert one.startswith("stored as FAIL") and "the evidence gives PASS" in one


def test_words_that_were_rewritten_are_found() -> None:
    document = files()[FINDINGS]
    summary = again().stored[0].summary.encode()
    told = replay(sealed({**files(), FINDINGS: document.replace(summary, b"all is well", 1)}))
    assert [one.kind for one in told.differences if "all is well" in one.what] == [Kind.WORDS]
    assert not told.agrees


@pytest.mark.parametrize("name", sorted(files()))
def test_a_file_that_was_changed_or_is_missing_is_named(name: str) -> None:
    octets = files()[name]
    without = {other: kept for other, kept in files().items() if other != name}
    with pytest.raises(BundleDamaged, match=name.replace(".", r"\.")):
        replay(without)
    if name != MANIFEST:
        middle = len(octets) // 2
        flipped = octets[:middle] + bytes([octets[middle] ^ 1]) + octets[middle + 1 :]
        with pytest.raises(BundleDamaged, match=r"was changed: its SHA-256"):
            replay({**files(), name: flipped})


def test_no_flipped_byte_of_the_zip_goes_unnoticed() -> None:
    """Whatever byte of the file is flipped: it is refused in words, or nothing of what it holds has changed."""
    octets, chance = BUNDLE.read_bytes(), random.Random(8075)
    refused = 0
    for _ in range(60):
        place = chance.choice([chance.randrange(len(octets)), len(octets) - 1 - chance.randrange(3000)])
        flipped = octets[:place] + bytes([octets[place] ^ (1 << chance.randrange(8))]) + octets[place + 1 :]
        try:
            assert unpack(flipped) == files()
        except BundleDamaged:
            refused += 1
    assert refused > 20


def test_a_future_format_is_said_to_be_one(tmp_path: Path) -> None:
    future = files()[MANIFEST].replace(b'"format": 1', b'"format": 2')
    with pytest.raises(BundleTooNew, match=r"format 2, this peerlab .* knows formats up to 1"):
        replay({**files(), MANIFEST: future})


@pytest.mark.parametrize("name", [MODEL, FINDINGS, "events.jsonl", "versions.json", "snapshots/allowed.json", CAPTURE])
def test_a_file_that_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(BundleDamaged, match=name.split("/")[-1].replace(".", r"\.")):
        replay(sealed({**files(), name: b"\xff{]garbage"}))
