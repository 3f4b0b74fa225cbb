"""A recorded rehearsal of ``topologies/minimal.yaml``, and what can be done to its bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from peerlab.evidence.events import Event
from peerlab.report import bundle
from peerlab.report.archive import unpack
from peerlab.report.bundle import EVENTS, MANIFEST, Manifest, entry_of
from peerlab.report.replay import Replay, replay

BUNDLE = Path(__file__).parents[1] / "replay" / "captures" / "minimal.zip"


@cache
def files() -> Mapping[str, bytes]:
    """Every file of the bundle by name. Copy before changing."""
    return unpack(BUNDLE.read_bytes())


@cache
def again() -> Replay:
    """The bundle judged again."""
    return replay(files())


def sealed(changed: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with a manifest that fits them: a forger's work, or somebody's honest edit."""
    manifest = msgspec.json.decode(changed[MANIFEST], type=Manifest)
    others = {name: octets for name, octets in changed.items() if name != MANIFEST}
    entries = {name: entry_of(octets) for name, octets in others.items()}
    return {**others, MANIFEST: msgspec.json.encode(msgspec.structs.replace(manifest, files=entries))}


def without_events(unwanted: Callable[[Event], bool]) -> dict[str, bytes]:
    """The bundle without some of its events, sealed anew."""
    kept = [event for event in bundle.evidence_of(again().manifest, files()).events if not unwanted(event)]
    assert 0 < len(kept) < len(again().evidence.events), "the mutation must take something away"
    return sealed({**files(), EVENTS: b"".join(msgspec.json.encode(event) + b"\n" for event in kept)})
