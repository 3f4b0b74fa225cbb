"""Failover in the HTML report: packets lost over time, of the streams that ran through each change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from peerlab.evidence.events import Event, FaultCleared, FaultInjected, StreamMeasured

BINS = 80
"""Intervals of the histogram."""

_MARGIN = 20_000_000
"""Nanoseconds before the first packet from which a fault still belongs to the plot."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a plot: from ``left`` for ``width``, in thousandths of its width. ``tip`` tells what it is."""

    left: float
    width: float
    tip: str


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """One stream: when it ran and when its packets were lost."""

    label: str
    family: str
    ran: Span
    lost: tuple[Span, ...]
    told: str
    is_clean: bool


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """Packets lost in one interval, ``height`` in thousandths of the most."""

    left: float
    width: float
    height: float
    tip: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done meanwhile."""

    left: float
    label: str


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """The streams of one change."""

    name: str
    milliseconds: float
    sent: int
    lost: int
    worst: str
    interval: str
    most: float
    strips: tuple[Strip, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]


class _Loss(msgspec.Struct, frozen=True):
    start: int
    end: int
    packets: int


def plots(events: Iterable[Event]) -> tuple[Plot, ...]:
    """A plot per change (streams are named ``CHANGE:source>destination:family``), in the order in which they ran."""
    told = list(events)
    groups: dict[str, list[StreamMeasured]] = {}
    for event in told:
        if isinstance(event, StreamMeasured) and event.started and event.ended > event.started:
            groups.setdefault(event.name.split(":")[0], []).append(event)
    return tuple(_plot(name, streams, told) for name, streams in groups.items())


def losses(stream: StreamMeasured) -> tuple[_Loss, ...]:
    """When packets of a stream were lost: its gaps, and what was sent after the last one arrived.

    A gap cannot have begun before the stream did. Packets that are missing without a time (no last arrival was
    written down) are in none.
    """
    found = [_Loss(max(start, stream.started), end, packets) for start, end, packets in stream.gaps]
    rest = stream.sent - stream.received - sum(loss.packets for loss in found)
    if rest > 0 and (stream.last or not stream.received):
        found.append(_Loss(max(stream.last, stream.started), stream.ended, rest))
    return tuple(loss for loss in found if loss.end > loss.start)


def _plot(name: str, streams: Sequence[StreamMeasured], events: Iterable[Event]) -> Plot:
    begin, end = min(s.started for s in streams), max(s.ended for s in streams)
    length = end - begin

    def place(at: int) -> float:
        return round(max(0.0, min(1.0, (at - begin) / length)) * 1000, 1)

    strips = []
    bins = [0.0] * BINS
    for stream in streams:
        lost = losses(stream)
        for loss in lost:
            _spread(bins, (loss.start - begin) / length, (loss.end - begin) / length, loss.packets)
        strips.append(_strip(stream, lost, place))
    most = max(bins)
    step = length / BINS
    marks = tuple(
        Mark(left=place(event.at), label=_told(event))
        for event in events
        if isinstance(event, FaultInjected | FaultCleared) and begin - _MARGIN <= event.at <= end
    )
    worst = max(streams, key=lambda s: s.sent - s.received)
    missing = sum(s.sent - s.received for s in streams)
    return Plot(
        name=name,
        milliseconds=round(length / 1e6, 1),
        sent=sum(s.sent for s in streams),
        lost=missing,
        worst=f"{worst.source} → {worst.destination} {worst.family}: {_lost(worst)}" if missing else "",
        interval=f"{step / 1e6:.3g} ms",
        most=round(most, 2),
        strips=tuple(strips),
        bars=tuple(
            Bar(
                left=round(1000 * number / BINS, 1),
                width=round(1000 / BINS, 1),
                height=round(1000 * packets / most, 1),
                tip=f"{packets:.0f} packets lost from {number * step / 1e6:.0f} to {(number + 1) * step / 1e6:.0f} ms",
            )
            for number, packets in enumerate(bins)
            if packets > 0
        ),
        marks=marks,
    )


def _strip(stream: StreamMeasured, lost: Sequence[_Loss], place: Callable[[int], float]) -> Strip:
    def span(start: int, end: int, tip: str) -> Span:
        return Span(left=place(start), width=max(round(place(end) - place(start), 1), 2.0), tip=tip)

    longest = max((loss.end - loss.start for loss in lost), default=0) / 1e6
    told = _lost(stream) + (f", longest {longest:.0f} ms" if lost else "")
    for count, word in ((stream.duplicated, "twice"), (stream.reordered, "out of order"), (stream.stale, "stale")):
        told += f", {count} {word}" if count else ""
    whole = f"{stream.sent} packets in {(stream.ended - stream.started) / 1e6:.0f} ms"
    return Strip(
        label=f"{stream.source} → {stream.destination}",
        family=stream.family,
        ran=span(stream.started, stream.ended, whole),
        lost=tuple(
            span(loss.start, loss.end, f"{loss.packets} packets lost in {(loss.end - loss.start) / 1e6:.1f} ms")
            for loss in lost
        ),
        told=told,
        is_clean=stream.received >= stream.sent > 0,
    )


def _lost(stream: StreamMeasured) -> str:
    return f"{stream.sent - stream.received} of {stream.sent} lost"


def _told(event: FaultInjected | FaultCleared) -> str:
    cleared = " cleared" if isinstance(event, FaultCleared) else ""
    return f"{event.fault}{cleared} {event.target}"


def _spread(bins: list[float], start: float, end: float, packets: int) -> None:
    """Packets lost over a stretch, as many in each interval as it takes of the stretch."""
    first, last = max(start, 0.0) * BINS, min(end, 1.0) * BINS
    for number in range(int(first), min(int(last) + 1, BINS)):
        share = (min(last, number + 1) - max(first, number)) / (last - first) if last > first else 1.0
        bins[number] += packets * max(share, 0.0)
