"""Quantifying over time: never, always, until, eventually within.

>>> never(route(prefix="198.51.100.0/24").sent_to("isp-1"))                                     # doctest: +SKIP
>>> until(Moment.ALLOWED, never(route().sent_to("isp-1")))                                      # doctest: +SKIP
>>> eventually(route(prefix="203.0.113.0/24").at("ams-edge-1").best, within=5, after=Phase.ALLOW)  # doctest: +SKIP

Each is judged on evidence and gives a `Judgement`: it holds, it does not (with a witness), or nobody can tell. A hole
in the capture, a session of which nothing was ever seen, a moment that was not reached, a recording that ends before a
deadline: with any of these in the way, the answer is None and says which. What is watched continuously and what only at
snapshots is told at the head of ``route_statement``. ``expectation`` judges a topology's own sentences.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from peerlab.evidence.events import Event, PhaseStarted, SnapshotTaken
from peerlab.evidence.story import Moment, Phase
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Exhibit
from peerlab.verify.route_reading import Reading, Where
from peerlab.verify.route_statement import RouteStatement, route

__all__ = [
    "Judgement",
    "Statement",
    "after",
    "always",
    "eventually",
    "never",
    "route",
    "until",
    "when",
]

_NANOSECONDS = 1_000_000_000

MomentLike = int | str | Moment | Phase | Callable[[Evidence], int | None]
"""A moment: CLOCK_REALTIME in ns, a snapshot's label, a phase's name (its start), or what `when` makes."""


class Quantifier(StrEnum):
    """How much of a span a statement speaks of."""

    NEVER = "never"
    ALWAYS = "always"
    EVENTUALLY = "eventually"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """``holds`` None: nobody can tell, for the reason in ``why``.

    ``witness`` breaks the statement or, for eventually, fulfils it. ``looked_at`` counts messages and reports that were
    considered, ``span`` is the stretch of time (ns) that was judged.
    """

    holds: bool | None
    witness: Exhibit | None
    looked_at: int
    span: tuple[int, int]
    why: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A quantified statement over a span. `never`, `always` and `eventually` make it, `until` and `after` bound it."""

    quantifier: Quantifier
    about: RouteStatement
    begin: MomentLike | None = None
    end: MomentLike | None = None
    within: float | None = None
    from_first: bool = False

    def judge(self, evidence: Evidence) -> Judgement:
        """What the evidence says of it."""
        reading = self.about.read(evidence)
        begin = evidence.trace.begin if self.begin is None else moment_of(evidence, self.begin)
        end = _recorded_until(evidence, self.about.where) if self.end is None else moment_of(evidence, self.end)
        if begin is None or end is None:
            missing = self.begin if begin is None else self.end
            return _untold(reading, (begin or 0, end or 0), f"the moment {_named(missing)} was not reached")
        if self.within is not None:
            end = begin + round(self.within * _NANOSECONDS)
        if end < begin:
            return _untold(reading, (begin, end), "the span ends before it begins")
        if self.from_first:
            first = next((span.since for span in reading.true if begin <= span.since <= end), None)
            if first is None:
                return _never_so(self, _never(self, reading, begin, end))
            begin = first
        judge = {Quantifier.NEVER: _never, Quantifier.ALWAYS: _always, Quantifier.EVENTUALLY: _eventually}
        return judge[self.quantifier](self, reading, begin, end)

    def __str__(self) -> str:
        words = [self.quantifier.value, str(self.about)]
        if self.within is not None:
            words.append(f"within {self.within:g} s")
        if self.begin is not None:
            words.append(f"after {_named(self.begin)}")
        if self.end is not None:
            words.append(f"until {_named(self.end)}")
        return " ".join(words)


def never(about: RouteStatement) -> Statement:
    """At no time of the span is it true."""
    return Statement(quantifier=Quantifier.NEVER, about=about)


def always(about: RouteStatement, *, from_first: bool = False) -> Statement:
    """At every time of the span it is true; with ``from_first`` from the first time that it is true in the span.

    Bound the span with `after` otherwise: at the start of a lab nothing is announced.
    """
    return Statement(quantifier=Quantifier.ALWAYS, about=about, from_first=from_first)


def eventually(about: RouteStatement, *, within: float, after: MomentLike | None = None) -> Statement:
    """It is true at some time within so many seconds of ``after`` (default: when the lab came under watch)."""
    return Statement(quantifier=Quantifier.EVENTUALLY, about=about, begin=after, within=within)


def until(moment: MomentLike, statement: Statement) -> Statement:
    """The statement, over the time before this moment."""
    return msgspec.structs.replace(statement, end=moment)


def after(moment: MomentLike, statement: Statement) -> Statement:
    """The statement, over the time from this moment on."""
    return msgspec.structs.replace(statement, begin=moment)


def when(kind: type[Event], **fields: Any) -> Callable[[Evidence], int | None]:
    """The moment of the first event of a type with these fields: ``when(PolicyStageChanged, stage="allow")``."""

    def find(evidence: Evidence) -> int | None:
        for event in evidence.events:
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
                return event.at
        return None

    find.__name__ = " ".join([kind.__name__, *(f"{name}={value}" for name, value in fields.items())])
    return find


def moment_of(evidence: Evidence, moment: MomentLike) -> int | None:
    """When a moment was, None when it was not reached. A text is a snapshot's label before it is a phase's name."""
    if isinstance(moment, int):
        return moment
    if not isinstance(moment, str):
        return moment(evidence)
    if not isinstance(moment, Phase):
        if moment in evidence.snapshots:
            return evidence.snapshots[moment].at
        taken = [event.at for event in evidence.events if isinstance(event, SnapshotTaken) and event.label == moment]
        if taken:
            return taken[-1]
    started = (event.at for event in evidence.events if isinstance(event, PhaseStarted) and event.phase == moment)
    return next(started, None)


def _recorded_until(evidence: Evidence, where: Where) -> int:
    """Up to when there is a recording of what a statement speaks of: the capture, and reports unless it is the wire."""
    end = evidence.trace.end
    return end if where is Where.SENT else max([end, *(snapshot.at for snapshot in evidence.snapshots.values())])


def _named(moment: MomentLike | None) -> str:
    if isinstance(moment, str):
        return str(moment)
    return getattr(moment, "__name__", str(moment))


def _untold(reading: Reading, span: tuple[int, int], why: str) -> Judgement:
    return Judgement(holds=None, witness=None, looked_at=reading.looked_at, span=span, why=why)


def _moments_in(reading: Reading, begin: int, end: int) -> list[tuple[str, int]]:
    return [(label, at) for label, at in reading.moments or () if begin <= at <= end]


def _doubt(reading: Reading, begin: int, end: int) -> str | None:
    """Why some of [begin, end] is not known, None when all of it is."""
    return next((why for since, until, why in reading.unknown if since <= end and until >= begin), None)


def _true_in(reading: Reading, begin: int, end: int) -> Exhibit | None:
    for span in reading.true:
        if span.since <= end and (span.until > begin or span.since == span.until >= begin):
            return span.witness
    return None


def _never(statement: Statement, reading: Reading, begin: int, end: int) -> Judgement:
    span = begin, end
    witness = _true_in(reading, begin, end)
    if witness is not None:
        return Judgement(holds=False, witness=witness, looked_at=reading.looked_at, span=span, why=witness.what)
    doubt = _doubt(reading, begin, end)
    moments = _moments_in(reading, begin, end)
    if doubt is None:
        why = f"{reading.looked_at} messages and reports looked at, none of them {statement.about}"
    elif moments:
        why = f"not so at the snapshots {', '.join(label for label, _ in moments)}; not judged between them: {doubt}"
    else:
        return _untold(reading, span, doubt)
    return Judgement(holds=True, witness=None, looked_at=reading.looked_at, span=span, why=why)


def _never_so(statement: Statement, never_so: Judgement) -> Judgement:
    """The answer to "always, from the first time" when there was no first time."""
    holds = False if never_so.holds else None
    why = f"{statement.about}: never so" if never_so.holds else never_so.why
    return msgspec.structs.replace(never_so, holds=holds, why=why)


def _always(statement: Statement, reading: Reading, begin: int, end: int) -> Judgement:
    if reading.moments is not None:
        return _always_at_snapshots(statement, reading, begin, end)
    at = begin
    last: Exhibit | None = None
    doubts: list[str] = []
    for span in [*reading.true, None]:
        since = end + 1 if span is None else min(span.since, end + 1)
        if since > at:
            broken, doubt = _first_known(reading, at, since - 1)
            if broken is not None:
                witness = last or Exhibit(
                    at=broken, where=str(statement.about.where), what=f"not so: {statement.about}"
                )
                return Judgement(
                    holds=False, witness=witness, looked_at=reading.looked_at, span=(begin, end), why=witness.what
                )
            doubts += [doubt] if doubt else []
        if span is None:
            break
        if span.until > at:
            at, last = span.until, span.ended_by
        if at > end:
            break
    if doubts:
        return _untold(reading, (begin, end), doubts[0])
    why = f"{statement.about} all along"
    return Judgement(holds=True, witness=None, looked_at=reading.looked_at, span=(begin, end), why=why)


def _first_known(reading: Reading, begin: int, end: int) -> tuple[int | None, str | None]:
    """The first time in [begin, end] outside of every unknown span, and the reason of an unknown span met before."""
    at, doubt = begin, None
    for since, until, why in sorted(reading.unknown):
        if since <= at <= until:
            at, doubt = until + 1, why
    return (at if at <= end else None), doubt


def _always_at_snapshots(statement: Statement, reading: Reading, begin: int, end: int) -> Judgement:
    moments = _moments_in(reading, begin, end)
    if not moments:
        return _untold(reading, (begin, end), f"{statement.about}: no snapshot was taken in that time")
    true = {span.since for span in reading.true}
    for label, at in moments:
        if at not in true:
            where = f"{statement.about.node}, snapshot {label}"
            witness = Exhibit(at=at, where=where, what=f"not so: {statement.about}")
            return Judgement(
                holds=False, witness=witness, looked_at=reading.looked_at, span=(begin, end), why=witness.what
            )
    why = f"{statement.about} at the snapshots {', '.join(label for label, _ in moments)}"
    return Judgement(holds=True, witness=None, looked_at=reading.looked_at, span=(begin, end), why=why)


def _eventually(statement: Statement, reading: Reading, begin: int, end: int) -> Judgement:
    witness = _true_in(reading, begin, end)
    span = begin, end
    if witness is not None:
        late = max(0.0, (witness.at - begin) / _NANOSECONDS)
        why = f"{witness.what} after {late:.3f} s"
        return Judgement(holds=True, witness=witness, looked_at=reading.looked_at, span=span, why=why)
    doubt = _doubt(reading, begin, end)
    if doubt is not None:
        return _untold(reading, span, doubt)
    why = f"not within {(end - begin) / _NANOSECONDS:g} s: {statement.about}"
    return Judgement(holds=False, witness=None, looked_at=reading.looked_at, span=span, why=why)
