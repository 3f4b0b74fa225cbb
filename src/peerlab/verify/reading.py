"""Reading the event log and the snapshots: trials, windows of time, RIBs. No judgement here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec

from peerlab.evidence.events import (
    Event,
    PhaseEnded,
    PhaseStarted,
    PolicyStageChanged,
    StimulusApplied,
    StimulusObserved,
)
from peerlab.evidence.snapshot import NodeSnapshot, RouteFact, SessionFact, Snapshot
from peerlab.evidence.story import Moment, Phase
from peerlab.topology.model import PolicyStage
from peerlab.verify.docket import Docket
from peerlab.verify.evidence import Evidence

E = TypeVar("E", bound=Event)

SECOND = 1_000_000_000
"""Nanoseconds in a second: events and messages are timed in ns."""

FOREVER = 1 << 63
"""A time after every event."""


class Detail:
    """Typed access to the free-form details of a stimulus: a value of another type reads as absent."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def flag(self, key: str) -> bool | None:
        """A true or false."""
        value = self._values.get(key)
        return value if isinstance(value, bool) else None

    def count(self, key: str) -> int | None:
        """A whole number."""
        value = self._values.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """A number."""
        value = self._values.get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, key: str) -> str:
        """A text, '' when absent."""
        value = self._values.get(key)
        return value if isinstance(value, str) else ""

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts."""
        value = self._values.get(key)
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        return None

    def items(self, key: str) -> tuple[object, ...] | None:
        """A list of anything."""
        value = self._values.get(key)
        return tuple(value) if isinstance(value, list | tuple) else None

    def table(self, key: str) -> dict[str, object] | None:
        """A mapping with text keys."""
        value = self._values.get(key)
        return dict(value) if isinstance(value, dict) else None


class Trial(msgspec.Struct, frozen=True):
    """A stimulus that was applied, with what was observed of it; ``observed`` is None when no answer was logged."""

    applied: StimulusApplied
    observed: StimulusObserved | None

    @property
    def at(self) -> int:
        """When the stimulus was applied, ns."""
        return self.applied.at

    @property
    def until(self) -> int:
        """When the answer was logged; the end of time without one."""
        return self.observed.at if self.observed is not None else FOREVER

    @property
    def session(self) -> str:
        """The session it was applied to, '' for none."""
        return self.applied.session or self.did.text("session")

    @property
    def where(self) -> str:
        """Node and session, for people."""
        return f"{self.applied.node} {self.session}".strip()

    @property
    def did(self) -> Detail:
        """Details of the stimulus."""
        return Detail(self.applied.detail)

    @property
    def saw(self) -> Detail:
        """Details of the answer; empty without one."""
        return Detail(self.observed.detail if self.observed is not None else {})


def events(evidence: Evidence, kind: type[E], since: int = 0, until: int = FOREVER) -> tuple[E, ...]:
    """Events of one kind in [since, until], in order."""
    return tuple(e for e in evidence.events if isinstance(e, kind) and since <= e.at <= until)


def trials(evidence: Evidence, stimulus: StrEnum) -> tuple[Trial, ...]:
    """Every trial of a stimulus, in order.

    An answer belongs to the latest unanswered stimulus of that name with the same ``trial``, ``session`` and ``prefix``
    where both name one, and at the same node unless the session says enough. So a stimulus whose answer never came
    keeps none, rather than the next one's.
    """
    found: list[Trial] = []
    for event in evidence.events:
        if isinstance(event, StimulusApplied) and event.stimulus == stimulus:
            found.append(Trial(event, None))
        elif isinstance(event, StimulusObserved) and event.stimulus == stimulus:
            for i in range(len(found) - 1, -1, -1):
                if found[i].observed is None and _belongs(event, found[i]):
                    found[i] = Trial(found[i].applied, event)
                    break
    return tuple(found)


def _belongs(answer: StimulusObserved, trial: Trial) -> bool:
    did, saw = trial.applied.detail, answer.detail
    if did.get("trial") != saw.get("trial"):
        return False
    if any(key in did and key in saw and did[key] != saw[key] for key in ("session", "prefix")):
        return False
    if saw.get("session") and saw["session"] != trial.session:
        return False
    return trial.applied.node == answer.node or bool(saw.get("session"))


def answered(evidence: Evidence, docket: Docket, stimulus: StrEnum, *keys: str) -> Iterator[Trial]:
    """Trials whose answer has every key. A gap is entered when there is no trial, no answer, or a key is missing.

    An answer with ``unsupported`` (text) says that this machine cannot show it: a gap with that reason.
    """
    found = trials(evidence, stimulus)
    if not found:
        docket.lacks(f"the rehearsal did not try {stimulus.value}")
    for trial in found:
        if trial.saw.text("unsupported"):
            docket.lacks(f"{stimulus.value} at {trial.where}: {trial.saw.text('unsupported')}")
        elif trial.observed is None:
            docket.lacks(f"{stimulus.value} at {trial.where}: what came of it was not logged")
        elif absent := [key for key in keys if key not in trial.saw]:
            docket.lacks(f"{stimulus.value} at {trial.where}: the log does not say {', '.join(absent)}")
        else:
            yield trial


def snapshot(evidence: Evidence, docket: Docket, moment: Moment) -> Snapshot | None:
    """The snapshot of a moment; a gap is entered when it was not taken."""
    found = evidence.snapshots.get(moment.value)
    if found is None:
        docket.lacks(f"no snapshot '{moment.value}' was taken")
    return found


def node_at(taken: Snapshot, docket: Docket, node: str) -> NodeSnapshot | None:
    """One node in a snapshot; a gap is entered when it is not in it."""
    found = taken.nodes.get(node)
    if found is None:
        docket.lacks(f"snapshot '{taken.label}' has no node {node}")
    return found


def session_at(taken: Snapshot, docket: Docket, node: str, session: str) -> SessionFact | None:
    """One end of a session in a snapshot; a gap is entered when it is not in it."""
    at_node = node_at(taken, docket, node)
    if at_node is None:
        return None
    found = fact_of(at_node, session)
    if found is None:
        docket.lacks(f"snapshot '{taken.label}': {node} does not report session {session}")
    return found


def fact_of(node: NodeSnapshot, session: str) -> SessionFact | None:
    """A session as the node reports it."""
    return next((fact for fact in node.sessions if fact.session == session), None)


def best_of(node: NodeSnapshot, prefix: str) -> RouteFact | None:
    """The node's best route for exactly this prefix."""
    return next((route for route in node.loc_rib if route.best and route.prefix == prefix), None)


def received(node: NodeSnapshot, session: str) -> dict[str, RouteFact]:
    """Adj-RIB-In before policy of one session, by prefix."""
    return {route.prefix: route for route in node.adj_rib_in_pre.get(session, ())}


def judged(node: NodeSnapshot, session: str) -> dict[str, RouteFact]:
    """What import policy made of one session's routes, by prefix, accepted and rejected alike.

    A rejected route stands in Adj-RIB-In before policy only, with the reason.
    """
    rejected = [route for route in node.adj_rib_in_pre.get(session, ()) if not route.accepted]
    return {route.prefix: route for route in (*rejected, *node.adj_rib_in_post.get(session, ()))}


def sent(node: NodeSnapshot, session: str) -> dict[str, RouteFact]:
    """Adj-RIB-Out toward one session, by prefix."""
    return {route.prefix: route for route in node.adj_rib_out.get(session, ())}


def phase_window(evidence: Evidence, phase: Phase) -> tuple[int, int] | None:
    """Start and end of a phase's first run, ns; None when it was not begun. The end of an unfinished one is FOREVER."""
    started = next((e.at for e in events(evidence, PhaseStarted) if e.phase == phase.value), None)
    if started is None:
        return None
    ended = next((e.at for e in events(evidence, PhaseEnded) if e.phase == phase.value and e.at >= started), FOREVER)
    return started, ended


def opening(evidence: Evidence, session: str) -> PolicyStageChanged | None:
    """The first time a session's policy stage became ALLOW. ``at`` is when it was ordered: no route may come before."""
    for event in events(evidence, PolicyStageChanged):
        if event.stage == PolicyStage.ALLOW.value and session in event.sessions:
            return event
    return None
