"""Everything a check may look at. Checks are pure functions of this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from peerlab.evidence.events import Event
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.trace import Trace
from peerlab.topology.model import LabModel


@dataclass(frozen=True, slots=True)
class Evidence:
    """A lab's model, its event log in order, the trace of every wire, and snapshots by label."""

    model: LabModel
    events: tuple[Event, ...]
    trace: Trace
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
