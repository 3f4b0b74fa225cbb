"""Reading the trace: what stood on the wire of a session. The one file of the checks that asks the trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from peerlab.bgp.attributes import PathAttributes
from peerlab.bgp.wire import Keepalive, Notification, Open, RouteRefresh, Update
from peerlab.errors import WireError
from peerlab.evidence.events import SessionStateChanged
from peerlab.evidence.message import Message
from peerlab.verify.docket import Docket
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import FOREVER

DOWN = ("Idle", "Active", "Connect")
"""States in which a session holds no routes (RFC 4271 section 8.2.2)."""

M = TypeVar("M", Open, Update, Notification, Keepalive, RouteRefresh)


class WireRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route in an UPDATE on the wire; ``attributes`` None means withdrawn. ``message`` is the UPDATE in hex."""

    at: int
    session: str
    sender: str
    receiver: str
    prefix: str
    attributes: PathAttributes | None
    message: str


def messages(
    evidence: Evidence, session: str, sender: str | None = None, since: int = 0, until: int = FOREVER
) -> Iterator[Message]:
    """Messages of one session in [since, until], of one sender when named, in order."""
    for message in evidence.trace.of_session(session, since, until):
        if sender in (None, message.source):
            yield message


def decoded(
    evidence: Evidence,
    kind: type[M],
    session: str,
    sender: str | None = None,
    since: int = 0,
    until: int = FOREVER,
) -> Iterator[tuple[Message, M]]:
    """Messages of one type with what they say. Malformed ones are left out: ``watched`` reports them."""
    for message in messages(evidence, session, sender, since, until):
        said = _say(message)
        if isinstance(said, kind):
            yield message, said


def routes(
    evidence: Evidence, session: str, sender: str | None = None, since: int = 0, until: int = FOREVER
) -> Iterator[WireRoute]:
    """Every route announced or withdrawn in a session, in order."""
    for message, update in decoded(evidence, Update, session, sender, since, until):
        hexadecimal = hex_of(message)
        pairs: list[tuple[str, PathAttributes | None]] = [(prefix, None) for prefix in update.withdrawn]
        pairs += list(update.routes())
        for prefix, attributes in pairs:
            yield WireRoute(
                at=message.at,
                session=session,
                sender=message.source,
                receiver=message.destination,
                prefix=prefix,
                attributes=attributes,
                message=hexadecimal,
            )


def announcements(
    evidence: Evidence, session: str, sender: str | None = None, since: int = 0, until: int = FOREVER
) -> Iterator[WireRoute]:
    """Every route announced in a session, in order, withdrawals left out."""
    return (r for r in routes(evidence, session, sender, since, until) if r.attributes is not None)


def standing(evidence: Evidence, session: str, sender: str, at: int) -> dict[str, WireRoute]:
    """What a sender had announced and not taken back at a moment, by prefix. A session that went down took all."""
    downs = [
        event.at
        for event in evidence.events
        if isinstance(event, SessionStateChanged) and event.session == session and event.after in DOWN
    ]
    told = evidence.trace.history(session, sender, downs).standing(at)
    return {
        prefix: WireRoute(
            at=route.since,
            session=session,
            sender=route.sender,
            receiver=route.receiver,
            prefix=prefix,
            attributes=route.attributes,
            message=hex_of(route.message),
        )
        for prefix, route in told.items()
    }


def watched(
    evidence: Evidence, docket: Docket, session: str, since: int = 0, until: int = FOREVER, broken: bool = False
) -> bool:
    """Whether the trace can be trusted to show everything of a session in [since, until]; a gap is entered if not.

    It cannot when the capture ends before, when octets were lost or garbled, when a message does not decode, or when
    the session was never seen at all. ``broken``: the session was sent rubbish on purpose, which is no gap.
    """
    trace = evidence.trace
    lost = trace.gaps_of(session, since=since, until=until)
    garbled = [g for g in trace.garbled if g.session == session and since <= g.at <= until]
    reason = ""
    if not trace.of_session(session):
        reason = f"the trace shows nothing of session {session}"
    elif until != FOREVER and trace.end < until:
        reason = f"the trace ends before the moment it has to show of session {session}"
    elif lost:
        reason = f"the trace has a gap in session {session}: {lost[0].why}"
    elif broken:
        return True
    elif garbled:
        reason = f"{garbled[0].source} sent octets on session {session} that are no BGP message"
    elif unread := next((m for m in messages(evidence, session, since=since, until=until) if _say(m) is None), None):
        reason = f"a message of session {session} from {unread.source} cannot be decoded"
    if reason:
        docket.lacks(reason)
    return not reason


def silence_is_seen(evidence: Evidence, session: str, since: int, until: int) -> bool:
    """Whether the capture ran without a gap in [since, until], so that nothing on the trace means nothing was sent."""
    trace = evidence.trace
    covered = bool(trace.messages) and trace.begin <= since and until <= trace.end
    return covered and not trace.gaps_of(session, since=since, until=until)


def established_at(evidence: Evidence, session: str, since: int = 0, until: int = FOREVER) -> int | None:
    """When both ends had sent their first KEEPALIVE after OPEN: the session is Established (RFC 4271 section 8.2.2)."""
    opened: set[str] = set()
    kept: dict[str, int] = {}
    for message in messages(evidence, session, since=since, until=until):
        said = _say(message)
        if isinstance(said, Open):
            opened.add(message.source)
            kept.pop(message.source, None)
        elif isinstance(said, Keepalive) and message.source in opened:
            kept.setdefault(message.source, message.at)
            if len(kept) == 2:
                return max(kept.values())
        elif isinstance(said, Notification):
            opened.clear()
            kept.clear()
    return None


def hex_of(message: Message) -> str:
    """A whole message in hex, for a witness."""
    return message.octets.hex()


def _say(message: Message) -> Open | Update | Notification | Keepalive | RouteRefresh | None:
    try:
        return message.decode()
    except WireError:
        return None
