"""When a statement about a route was true: read from the trace, and from what nodes report in snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from peerlab.bgp.attributes import Address, PathAttributes, Prefix
from peerlab.bgp.communities import matches
from peerlab.bgp.wire import family_of_prefix
from peerlab.evidence.events import ProcessExited, SessionStateChanged
from peerlab.evidence.message import Gap, Message
from peerlab.evidence.route_history import RouteHistory
from peerlab.evidence.snapshot import NodeSnapshot, RouteFact
from peerlab.evidence.story import TAP_PROCESS
from peerlab.topology.model import Session
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Exhibit

FOREVER = 1 << 63


class Where(StrEnum):
    """Where a route is looked for."""

    SENT = "sent"
    PRE_POLICY = "pre-policy"
    POST_POLICY = "post-policy"
    BEST = "best"


class RouteConditions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which routes are meant; every condition given must hold.

    ``as_path`` is the whole path as text, ``communities`` must all be there (patterns of `bgp.communities.matches`).
    """

    prefix: Prefix | None = None
    as_path: str | None = None
    contains_as: int | None = None
    communities: tuple[str, ...] = ()
    next_hop: Address | None = None
    med: int | None = None
    local_pref: int | None = None
    otc: int | None = None

    def meets(self, prefix: Prefix, attributes: PathAttributes) -> bool:
        """Whether a route is one of those meant."""
        carried = attributes.communities + attributes.large_communities
        return (
            (self.prefix is None or self.prefix == prefix)
            and (self.as_path is None or self.as_path == attributes.path_text())
            and (self.contains_as is None or self.contains_as in attributes.asns())
            and all(any(matches(wanted, one) for one in carried) for wanted in self.communities)
            and self.next_hop in (None, attributes.next_hop)
            and self.med in (None, attributes.med)
            and self.local_pref in (None, attributes.local_pref)
            and self.otc in (None, attributes.otc)
        )

    def __str__(self) -> str:
        words = [self.prefix or "any route"]
        if self.as_path is not None:
            words.append(f"with path {self.as_path or 'empty'}")
        if self.contains_as is not None:
            words.append(f"through AS {self.contains_as}")
        if self.communities:
            words.append(f"with {','.join(self.communities)}")
        for name in ("next_hop", "med", "local_pref", "otc"):
            if (value := getattr(self, name)) is not None:
                words.append(f"with {name} {value}")
        return " ".join(words)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A statement was true from ``since`` to just before ``until``; at one moment only when they are equal.

    ``witness`` shows it, ``ended_by`` shows why it was true no longer.
    """

    since: int
    until: int
    witness: Exhibit
    ended_by: Exhibit | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """All that the evidence says about a statement.

    ``true`` are the spans in which it was true, by time. ``unknown`` are spans in which nobody can tell, with the
    reason. ``moments`` is None for what is watched continuously; otherwise it has the snapshots (label and time) at
    which the answer is known even within ``unknown``. ``looked_at`` counts messages and reported routes considered.
    """

    true: tuple[Span, ...]
    unknown: tuple[tuple[int, int, str], ...]
    looked_at: int
    moments: tuple[tuple[str, int], ...] | None = None


def _directions(
    evidence: Evidence, conditions: RouteConditions, node: str | None, peer: str | None
) -> Iterator[tuple[Session, str]]:
    """Sessions, each with its sender, on which such a route would be told."""
    for session in evidence.model.sessions:
        if conditions.prefix is not None and session.family is not family_of_prefix(conditions.prefix):
            continue
        for sender, receiver in ((session.left.node, session.right.node), (session.right.node, session.left.node)):
            if node in (None, sender) and peer in (None, receiver):
                yield session, sender


def _downs(evidence: Evidence, session: str) -> tuple[int, ...]:
    """When a router reported that the session left Established: the wire does not show that of a cut link."""
    return tuple(
        event.at
        for event in evidence.events
        if isinstance(event, SessionStateChanged) and event.session == session and event.before.lower() == "established"
    )


def _exhibit(message: Message, what: str) -> Exhibit:
    where = f"{message.session or ''} {message.source} → {message.destination}".lstrip()
    return Exhibit(at=message.at, where=where, what=what, message=message.octets.hex())


def read_wire(evidence: Evidence, conditions: RouteConditions, node: str | None, peer: str | None) -> Reading:
    true: list[Span] = []
    unknown: list[tuple[int, int, str]] = []
    looked_at = 0
    found = False
    for session, sender in _directions(evidence, conditions, node, peer):
        found = True
        seen = [message for message in evidence.trace.of_session(session.id) if message.source == sender]
        looked_at += len(seen)
        if not seen:
            unknown.append((0, FOREVER, f"the trace shows no message of {sender} on session {session.id}"))
            continue
        history = evidence.trace.history(session.id, sender, _downs(evidence, session.id))
        gaps = (*evidence.trace.gaps_of(session.id, sender), *history.gaps)
        true += _told(history, conditions, gaps)
        unknown += [(gap.at, _cleared(history, gap.end), f"{session.id}: {gap.why}") for gap in gaps]
    if not found:
        unknown.append((0, FOREVER, "the model has no session on which it could be sent"))
    unknown += [(evidence.trace.end + 1, FOREVER, "the capture ends there"), *_tap_deaths(evidence)]
    true.sort(key=lambda span: span.since)
    return Reading(true=tuple(true), unknown=tuple(unknown), looked_at=looked_at)


def _tap_deaths(evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """From the end of a tap that none followed, nothing is known. (If one followed, the trace has the gap.)"""
    last = max(evidence.trace.watched.values(), default=0)
    for event in evidence.events:
        if isinstance(event, ProcessExited) and event.process == TAP_PROCESS and event.at > last:
            yield event.at, FOREVER, "the tap had ended"


def _cleared(history: RouteHistory, end: int) -> int:
    """What was missed in a gap may stand until the session's next end."""
    return next((at for at in history.ends if at >= end), FOREVER)


def _told(history: RouteHistory, conditions: RouteConditions, gaps: tuple[Gap, ...]) -> Iterator[Span]:
    """When routes stood for certain: up to a gap, for in it they may have been withdrawn."""
    for told in history.routes:
        later = (gap.at for gap in gaps if gap.at >= told.since or gap.end > told.since)
        certain = min(later, default=FOREVER)
        if conditions.meets(told.prefix, told.attributes):
            what = f"UPDATE announces {told.prefix} path {told.attributes.path_text() or 'empty'}"
            ended = None
            if told.ended_by is not None:
                ended = _exhibit(told.ended_by, f"UPDATE withdraws or replaces {told.prefix}")
            elif told.until is not None:
                ended = Exhibit(at=told.until, where=told.session, what=f"the session ended, {told.prefix} with it")
            yield Span(
                since=told.since,
                until=max(told.since, min(certain, FOREVER if told.until is None else told.until)),
                witness=_exhibit(told.message, what),
                ended_by=ended,
            )


def read_pre_policy(evidence: Evidence, conditions: RouteConditions, node: str, peer: str | None) -> Reading:
    wire = read_wire(evidence, conditions, peer, node)
    reported = _read_snapshots(evidence, conditions, node, Where.PRE_POLICY, peer)
    true = sorted((*wire.true, *reported.true), key=lambda span: span.since)
    return Reading(true=tuple(true), unknown=wire.unknown, looked_at=wire.looked_at + reported.looked_at)


def read_reports(evidence: Evidence, conditions: RouteConditions, node: str, where: Where, peer: str | None) -> Reading:
    """At the snapshots, and false between them as long as nobody could have told the node such a prefix."""
    reported = _read_snapshots(evidence, conditions, node, where, peer)
    if peer is None and (conditions.prefix is None or conditions.prefix in evidence.model.node(node).originates):
        return msgspec.structs.replace(reported, unknown=((0, FOREVER, f"{node} may have the route from itself"),))
    told = read_wire(evidence, RouteConditions(prefix=conditions.prefix), peer, node)
    possible = [(span.since, span.until, "a peer had told it such a prefix") for span in told.true]
    return msgspec.structs.replace(reported, unknown=(*possible, *told.unknown))


def _read_snapshots(
    evidence: Evidence, conditions: RouteConditions, node: str, where: Where, peer: str | None
) -> Reading:
    true: list[Span] = []
    moments: list[tuple[str, int]] = []
    looked_at = 0
    for snapshot in sorted(evidence.snapshots.values(), key=lambda one: one.at):
        seen = snapshot.nodes.get(node)
        if seen is None:
            continue
        moments.append((snapshot.label, snapshot.at))
        routes = _reported(seen, where)
        looked_at += len(routes)
        for fact in routes:
            giver = _giver(evidence, node, fact)
            if conditions.meets(fact.prefix, fact.attributes) and peer in (None, giver):
                source = f" from {giver}" if giver else ""
                what = f"{where} holds {fact.prefix} path {fact.attributes.path_text() or 'empty'}{source}"
                exhibit = Exhibit(at=snapshot.at, where=f"{node}, snapshot {snapshot.label}", what=what)
                true.append(Span(since=snapshot.at, until=snapshot.at, witness=exhibit))
                break
    return Reading(true=tuple(true), unknown=(), looked_at=looked_at, moments=tuple(moments))


def _giver(evidence: Evidence, node: str, fact: RouteFact) -> str | None:
    """The node that told a route; None for the node's own."""
    session = next((one for one in evidence.model.sessions_of(node) if one.id == fact.session), None)
    return fact.peer if session is None else session.other(node).node


def _reported(seen: NodeSnapshot, where: Where) -> tuple[RouteFact, ...]:
    if where is Where.BEST:
        return tuple(fact for fact in seen.loc_rib if fact.best)
    ribs = seen.adj_rib_in_pre if where is Where.PRE_POLICY else seen.adj_rib_in_post
    return tuple(fact for rib in ribs.values() for fact in rib if where is Where.PRE_POLICY or fact.accepted)
