"""The ladder: a session's messages one below the other, with who said what to whom, for people to read.

``rows`` gives the cells, ``render`` the plain text in 100 columns. Colour is the command line's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from peerlab.bgp.attributes import Origin, PathAttributes, Prefix
from peerlab.bgp.capability import CapabilityCode
from peerlab.bgp.communities import community_name
from peerlab.bgp.wire import Keepalive, MessageType, Notification, Open, RouteRefresh, Update
from peerlab.errors import WireError
from peerlab.evidence.connection_fact import Step
from peerlab.evidence.message import ConnectionStep, Gap, Garbled, Message
from peerlab.evidence.trace import FOREVER, Trace

WIDTH = 100
_PREFIXES_SHOWN = 3
_NANOSECONDS = 1_000_000_000

_STEPS = {
    Step.ASKED: "connects",
    Step.OPENED: "accepts the connection",
    Step.REFUSED: "refuses the connection",
    Step.FINISHED: "closes its side",
    Step.RESET: "resets the connection",
    Step.REPLACED: "connects anew; how the old connection ended was not seen",
}
_REFRESH_NAMES = {0: "request", 1: "begin", 2: "end"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ladder. ``at`` is CLOCK_REALTIME in ns. ``kind`` is a message type's name, ``TCP``, ``GAP``, or
    ``GARBLED``; ``session`` is empty where none is known. ``message`` is the message in hex where it is one."""

    at: int
    source: str
    destination: str
    session: str
    kind: str
    summary: str
    message: str = ""


def rows(
    trace: Trace,
    *,
    node: str | None = None,
    session: str | None = None,
    prefix: Prefix | None = None,
    kind: MessageType | None = None,
    keepalives: bool = True,
    since: int = 0,
    until: int = FOREVER,
) -> tuple[Row, ...]:
    """What the trace shows of these, by time. ``prefix`` chooses UPDATEs about it, a covering or a covered prefix.

    With ``kind`` or ``prefix`` only such messages are shown (and gaps, since they may hide one); otherwise the steps
    of the TCP connections too. ``keepalives`` False leaves those out unless asked for by ``kind``.
    """
    chosen = trace.select(node=node, session=session, kind=kind, prefix=prefix, covering=True, since=since, until=until)
    found = [row_of(message) for message in chosen if keepalives or kind or message.kind != MessageType.KEEPALIVE]

    def wanted(at: int, its_session: str | None, *ends: str) -> bool:
        return since <= at <= until and session in (None, its_session) and (node is None or node in ends)

    if kind is None and prefix is None:
        found += [
            _step_row(step) for step in trace.steps if wanted(step.at, step.session, step.source, step.destination)
        ]
        found += [
            _garbled_row(one) for one in trace.garbled if wanted(one.at, one.session, one.source, one.destination)
        ]
    found += [
        _gap_row(gap)
        for gap in trace.gaps
        if gap.overlaps(since, until) and gap.session in (session or gap.session, "") and node in (None, gap.source)
    ]
    return tuple(sorted(found, key=lambda row: row.at))


def row_of(message: Message) -> Row:
    """The line of one message."""
    name = MessageType(message.kind).name if message.kind in set(MessageType) else f"type {message.kind}"
    return Row(
        at=message.at,
        source=message.source,
        destination=message.destination,
        session=message.session or "",
        kind=name.replace("_", "-"),
        summary=summary(message),
        message=message.octets.hex(),
    )


def _step_row(step: ConnectionStep) -> Row:
    return Row(
        at=step.at,
        source=step.source,
        destination=step.destination,
        session=step.session or "",
        kind="TCP",
        summary=_STEPS[step.step],
    )


def _gap_row(gap: Gap) -> Row:
    span = (gap.end - gap.at) / _NANOSECONDS
    lasted = f" for {span:.3f} s" if gap.at and gap.end > gap.at else ""
    return Row(
        at=gap.end, source=gap.source, destination="?", session=gap.session, kind="GAP", summary=gap.why + lasted
    )


def _garbled_row(garbled: Garbled) -> Row:
    return Row(
        at=garbled.at,
        source=garbled.source,
        destination=garbled.destination,
        session=garbled.session or "",
        kind="GARBLED",
        summary=f"{len(garbled.octets)} octets that are no BGP message: {garbled.octets[:20].hex(' ')}",
        message=garbled.octets.hex(),
    )


def summary(message: Message) -> str:
    """What a message says, in one line without its type's name."""
    try:
        said = message.decode()
    except WireError as mistake:
        return f"malformed, NOTIFICATION {mistake.code}/{mistake.subcode}: {mistake}"
    if isinstance(said, Open):
        return _open_summary(said)
    if isinstance(said, Update):
        return _update_summary(said)
    if isinstance(said, Notification):
        return _notification_summary(said)
    if isinstance(said, RouteRefresh):
        family = said.family or f"AFI {said.afi} SAFI {said.safi}"
        return f"{family} {_REFRESH_NAMES.get(said.subtype, f'subtype {said.subtype}')}"
    assert isinstance(said, Keepalive)
    return ""


def _open_summary(said: Open) -> str:
    words = [f"AS {said.asn}", f"hold {said.hold_time}", f"id {said.router_id}"]
    words.append("families " + "+".join(said.families()))
    try:
        if said.role is not None:
            words.append(f"role {said.role}")
    except WireError as mistake:
        words.append(str(mistake))
    shown = {CapabilityCode.MULTIPROTOCOL, CapabilityCode.FOUR_OCTET_AS, CapabilityCode.BGP_ROLE}
    others = dict.fromkeys(capability.name() for capability in said.capabilities if capability.code not in shown)
    if said.four_octet_as is None:
        words.append("two octet AS")
    if others:
        words.append("with " + ", ".join(others))
    return " ".join(words)


def _update_summary(said: Update) -> str:
    parts: list[str] = []
    if said.end_of_rib is not None:
        parts.append(f"End-of-RIB {said.end_of_rib}")
    by_attributes: dict[PathAttributes, list[Prefix]] = {}
    for prefix, attributes in said.routes():
        by_attributes.setdefault(attributes, []).append(prefix)
    parts += [f"announce {_few(prefixes)} {describe(attributes)}" for attributes, prefixes in by_attributes.items()]
    if said.withdrawn:
        parts.append(f"withdraw {_few(said.withdrawn)}")
    if said.treat_as_withdraw:
        parts.append(f"(treated as withdrawn: {said.treat_as_withdraw})")
    if said.discarded:
        parts.append(f"(discarded: {', '.join(said.discarded)})")
    if said.ignored:
        parts.append(f"(ignored: {said.ignored})")
    return "; ".join(parts) or "empty"


def describe(attributes: PathAttributes) -> str:
    """A route's attributes in the order in which a person asks for them."""
    words = [f"path {attributes.path_text() or 'empty'}"]
    if attributes.next_hop is not None:
        words.append(f"via {attributes.next_hop}")
    for name, value in (("med", attributes.med), ("pref", attributes.local_pref), ("otc", attributes.otc)):
        if value is not None:
            words.append(f"{name} {value}")
    if attributes.communities:
        words.append("comm " + ",".join(community_name(one) or one for one in attributes.communities))
    if attributes.large_communities:
        words.append("large " + ",".join(attributes.large_communities))
    if attributes.extended_communities:
        words.append("ext " + ",".join(one.hex() for one in attributes.extended_communities))
    if attributes.originator_id is not None:
        words.append(f"originator {attributes.originator_id}")
    if attributes.cluster_list:
        words.append("cluster " + ",".join(attributes.cluster_list))
    if attributes.atomic_aggregate or attributes.aggregator is not None:
        by = attributes.aggregator
        words.append(f"aggregate by {by.asn} {by.router_id}" if by else "aggregate")
    if attributes.origin is not Origin.IGP:
        words.append(f"origin {attributes.origin.name.lower()}")
    if attributes.unknown:
        words.append("unknown " + ",".join(str(one.type) for one in attributes.unknown))
    return " ".join(words)


def _few(prefixes: Sequence[Prefix]) -> str:
    """The first few prefixes and how many more there are."""
    shown = ", ".join(prefixes[:_PREFIXES_SHOWN])
    more = len(prefixes) - _PREFIXES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _notification_summary(said: Notification) -> str:
    text = f"{said.code}/{said.subcode} {said.name()}"
    inner = said.inner()
    if inner is not None:
        text += f", carrying {inner.code}/{inner.subcode} {inner.name()}"
    communication = said.communication()
    if communication is not None:
        printable = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in communication)
        return f'{text}: "{printable}"'
    return f"{text} {said.data.hex()}".rstrip() if inner is None else text


def render(
    ladder: Iterable[Row], width: int = WIDTH, utc: bool = True, paint: Callable[[Row, str], str] | None = None
) -> str:
    """The ladder as text of at most ``width`` columns; long summaries go on below, indented.

    Times are of the day in UTC to the microsecond; with ``utc`` False seconds since the first row. ``paint`` may
    colour what a row says; it takes no columns.
    """
    every = list(ladder)
    if not every:
        return ""
    begin = every[0].at
    times = [_clock(row.at) if utc else f"{(row.at - begin) / _NANOSECONDS:+.6f}" for row in every]
    ends = [f"{row.source} → {row.destination}" for row in every]
    lead = max(map(len, times))
    middle = min(max(map(len, ends)), max(24, width - lead - 50))
    return "\n".join(
        line
        for row, time, end in zip(every, times, ends, strict=True)
        for line in _lines(f"{time:>{lead}}  {end:<{middle}}  ", row, width, paint)
    )


def _lines(head: str, row: Row, width: int, paint: Callable[[Row, str], str] | None) -> Iterator[str]:
    room = max(width - len(head), 24)
    text = f"{row.kind} {row.summary}".rstrip()
    first = True
    for piece in _fold(text, room):
        said = paint(row, piece) if paint is not None else piece
        yield (head + said if first else " " * (len(head) + 2) + said).rstrip()
        first = False


def _fold(text: str, room: int) -> Iterator[str]:
    """Cut at spaces so that no piece is over ``room``; a word that alone is longer is cut hard."""
    while len(text) > room:
        cut = text.rfind(" ", 1, room + 1)
        cut = room if cut <= 0 else cut
        yield text[:cut]
        text = text[cut:].lstrip()
        room = max(room - 2, 22) if room > 24 else room
    yield text


def _clock(at: int) -> str:
    moment = datetime.fromtimestamp(at // _NANOSECONDS, UTC)
    return f"{moment:%H:%M:%S}.{at % _NANOSECONDS // 1000:06d}"
