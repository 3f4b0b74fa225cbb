"""The story in the HTML report: what happened in each phase, alike things of one moment told as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from peerlab.evidence import events as happened
from peerlab.evidence.events import Event, PhaseEnded, PhaseStarted
from peerlab.report.text import clock

TOGETHER = 1_000_000_000
"""Nanoseconds within which alike things are told as one."""

SHOWN = 40
"""Single things shown of those that are told as one."""

_DETAIL_SHOWN = 160
UP = "Established"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    clock: str
    text: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One or several alike things. ``kind`` is its style; ``text`` stands for all of them."""

    clock: str
    offset: str
    kind: str
    text: str
    count: int
    lines: tuple[Line, ...]
    hidden: int = 0


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """A phase. ``left`` and ``width`` are its place in the whole, in thousandths."""

    phase: str
    clock: str
    seconds: float
    ok: bool
    why: str
    left: float
    width: float
    digest: str
    entries: tuple[Entry, ...]


class _Told(msgspec.Struct, frozen=True):
    """How an event is told: its style, what it is alike to, the text for one, and that for several (``{n}``)."""

    kind: str
    key: str
    one: str
    many: str


def chapters(events: Iterable[Event]) -> tuple[Chapter, ...]:
    """The phases in order. What came before the first one is told under ``up``."""
    told = list(events)
    if not told:
        return ()
    parts: list[tuple[str, list[Event]]] = [("up", [])]
    for event in told:
        if isinstance(event, PhaseStarted):
            parts.append((event.phase, []))
        parts[-1][1].append(event)
    begin, end = min(event.at for event in told), max(event.at for event in told)
    length = max(end - begin, 1)
    return tuple(_chapter(phase, members, begin, length) for phase, members in parts if members)


def _chapter(phase: str, members: list[Event], begin: int, length: int) -> Chapter:
    ended = next((event for event in members if isinstance(event, PhaseEnded)), None)
    start, stop = members[0].at, max(event.at for event in members)
    return Chapter(
        phase=phase,
        clock=clock(start),
        seconds=round((stop - start) / 1e9, 2),
        ok=ended is None or ended.ok,
        why=ended.why if ended is not None else "",
        left=round(1000 * (start - begin) / length, 1),
        width=max(round(1000 * (stop - start) / length, 1), 3.0),
        digest=_digest(members),
        entries=_entries(members, start),
    )


_COUNTED = {
    "stimulus": ("stimulus", "stimuli"),
    "up": ("session end Established", "session ends Established"),
    "down": ("session end lost", "session ends lost"),
    "azure": ("step of Microsoft.Peering", "steps of Microsoft.Peering"),
    "policy": ("policy stage", "policy stages"),
    "fault": ("fault", "faults"),
    "packets": ("measurement", "measurements"),
    "snapshot": ("snapshot", "snapshots"),
}
"""What a phase's line counts, by the style of what was told."""


def _digest(members: Iterable[Event]) -> str:
    """What happened most in a phase, in figures."""
    counted = Counter(told.kind for event in members if (told := _tell(event)) is not None)
    said = ((counted[kind], one, many) for kind, (one, many) in _COUNTED.items() if counted[kind])
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in said)


def _entries(members: Iterable[Event], start: int) -> tuple[Entry, ...]:
    groups: list[list[tuple[Event, _Told]]] = []
    open_groups: dict[str, list[tuple[Event, _Told]]] = {}
    for event in members:
        told = _tell(event)
        if told is None:
            continue
        group = open_groups.get(told.key) if told.many else None
        if group is None or event.at - group[-1][0].at > TOGETHER:
            group = open_groups[told.key] = []
            groups.append(group)
        group.append((event, told))
    return tuple(_entry(group, start) for group in groups)


def _entry(group: list[tuple[Event, _Told]], start: int) -> Entry:
    first, told = group[0]
    several = len(group) > 1
    return Entry(
        clock=clock(first.at),
        offset=f"+{(first.at - start) / 1e9:.2f}",
        kind=told.kind,
        text=told.many.replace("{n}", str(len(group))) if several else told.one,
        count=len(group),
        lines=tuple(Line(clock=clock(e.at), text=one.one) for e, one in group[:SHOWN]) if several else (),
        hidden=max(len(group) - SHOWN, 0) if several else 0,
    )


def _tell(event: Event) -> _Told | None:
    """How an event is told; None for what is told elsewhere, or says little by itself."""
    match event:
        case happened.LabCreated(nodes=nodes, links=links):
            return _Told("lab", "", f"{nodes} nodes and {links} links stand", "")
        case happened.LabConverged(sessions=sessions):
            return _Told("lab", "", f"{sessions} sessions Established, every End-of-RIB has come", "")
        case happened.LabStopped():
            return _Told("lab", "", "the lab was taken down", "")
        case happened.ConnectionStateChanged():
            by = f"{event.trigger} by {event.actor}"
            text = f"{event.peering}/{event.connection}: {event.before or 'none'} → {event.after} ({by})"
            key = f"connection {event.after} {event.trigger}"
            return _Told("azure", key, text, f"{{n}} connections → {event.after} ({by})")
        case happened.TransitionRefused():
            text = f"refused: {event.request} on {event.resource}: {event.code}: {event.message}"
            return _Told("azure", "refused", text, "{n} requests refused")
        case happened.ResourceChanged():
            text = f"{event.kind} {event.name} {event.change}"
            return _Told("azure", f"resource {event.kind}", text, f"{{n}} changes of {event.kind}")
        case happened.MailSent():
            return _Told("azure", "mail", f"mail of {event.sender} to {event.to}: {event.subject}", "{n} mails")
        case happened.SessionStateChanged():
            return _tell_session(event)
        case happened.PolicyStageChanged():
            text = f"{event.node}: {event.stage.upper()} on {', '.join(event.sessions)}"
            return _Told("policy", f"stage {event.stage}", text, f"{event.stage.upper()} at {{n}} places")
        case happened.ValidationJudged():
            word = "passed" if event.passed else "failed"
            text = f"{event.subject}: {event.rule} {word}{': ' if event.message else ''}{event.message}"
            return _Told("azure", f"validation {word}", text, f"{{n}} rules of validation {word}")
        case _:
            return _tell_packets(event) or _tell_story(event)


def _tell_session(event: happened.SessionStateChanged) -> _Told | None:
    if event.after == UP:
        return _Told("up", "up", f"{event.session} Established at {event.node}", "{n} session ends Established")
    if event.before == UP:
        why = f": {event.reason}" if event.reason else ""
        return _Told("down", "down", f"{event.session} left Established at {event.node}{why}", "{n} session ends lost")
    return None


def _tell_packets(event: Event) -> _Told | None:
    match event:
        case happened.LinkTested():
            text = f"{event.source} → {event.destination}: {event.received} of {event.sent} answered"
            return _Told("packets", "link-test", text, "{n} link tests")
        case happened.StreamMeasured():
            text = f"{event.name}: {event.sent - event.received} of {event.sent} lost"
            return _Told("packets", f"stream {event.name.split(':')[0]}", text, "{n} streams measured")
        case happened.PathTraced():
            text = f"{event.source} → {event.destination}: {', '.join(node or '?' for node in event.nodes)}"
            missed = "" if event.reached else ", destination not reached"
            return _Told("packets", f"path {event.reached}", text, "{n} paths traced" + missed)
        case happened.ProbeAnswered():
            text = f"{event.protocol} {event.source} → {event.destination}: {event.received} of {event.sent} answered"
            return _Told("packets", f"probe {event.name}", text, "{n} probes")
        case _:
            return None


def _tell_story(event: Event) -> _Told | None:
    match event:
        case happened.StimulusApplied():
            text = f"{event.stimulus} at {event.node}{_details(event.detail)}"
            return _Told("stimulus", f"applied {event.stimulus}", text, f"{event.stimulus}, {{n}} times")
        case happened.StimulusObserved():
            text = f"{event.stimulus} at {event.node}: seen{_details(event.detail)}"
            return _Told("observed", f"seen {event.stimulus}", text, f"{event.stimulus}: {{n}} answers seen")
        case happened.FaultInjected():
            return _Told("fault", "fault", f"{event.fault} {event.target} {event.detail}".rstrip(), "{n} faults")
        case happened.FaultCleared():
            return _Told("mended", "cleared", f"{event.fault} {event.target} mended", "{n} faults mended")
        case happened.SnapshotTaken():
            return _Told("snapshot", "", f"snapshot “{event.label}” of the whole lab", "")
        case happened.AddressesChanged():
            signs = [*(f"+{one}" for one in event.added), *(f"−{one}" for one in event.removed)]
            text = f"{event.node} {event.interface}: {' '.join(signs)}"
            return _Told("lab", "addresses", text, "addresses changed on {n} interfaces")
        case happened.ProcessExited():
            how = f"signal {event.signal}" if event.signal is not None else f"code {event.code}"
            return _Told("fault", "exit", f"{event.process} of {event.node} ended ({how})", "{n} processes ended")
        case happened.RouterNotice():
            text = f"{event.node} {event.session}: {event.kind}: {event.text}"
            return _Told("notice", "notice", text, "{n} notices of routers")
        case _:
            return None


def _details(detail: dict[str, object]) -> str:
    """The first details of a stimulus; its session is in most of them."""
    told = "; ".join(f"{key} {_value(value)}" for key, value in detail.items())
    return f" ({told[:_DETAIL_SHOWN]}{'…' if len(told) > _DETAIL_SHOWN else ''})" if told else ""


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value[:4])) + (f" and {len(value) - 4} more" if len(value) > 4 else "") or "none"
    return str(value)

