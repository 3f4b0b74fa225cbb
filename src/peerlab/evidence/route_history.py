"""What a speaker has told its peer, replayed from its UPDATEs: Adj-RIB-Out (RFC 4271 section 3.2) on the wire."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.bgp.wire import MessageType, Update
from peerlab.errors import WireError
from peerlab.evidence.connection_fact import Step
from peerlab.evidence.message import ConnectionStep, Gap, Message


class ToldRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route that ``sender`` told ``receiver`` at ``since`` and that stood until ``until`` (None: it still stands).

    ``message`` announced it; ``ended_by`` is the UPDATE that replaced or withdrew it, None when the session ended.
    """

    session: str
    sender: str
    receiver: str
    prefix: Prefix
    attributes: PathAttributes
    since: int
    until: int | None = None
    message: Message
    ended_by: Message | None = None

    def stands_at(self, at: int) -> bool:
        """Whether the peer held it at that time."""
        return self.since <= at and (self.until is None or at < self.until)


class RouteHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Every route told in one direction of one session, by time told.

    ``gaps`` are UPDATEs that nobody can read. After each of ``ends`` nothing stands that was told before it.
    """

    routes: tuple[ToldRoute, ...]
    gaps: tuple[Gap, ...] = ()
    ends: tuple[int, ...] = ()

    def standing(self, at: int) -> dict[Prefix, ToldRoute]:
        """What the peer held at that time."""
        return {route.prefix: route for route in self.routes if route.stands_at(at)}


_ENDS = {Step.FINISHED, Step.RESET, Step.REPLACED}
_Key = tuple[int, int, Prefix]


class _Replay:
    def __init__(self, session: str, sender: str) -> None:
        self.session = session
        self.sender = sender
        self.standing: dict[_Key, ToldRoute] = {}
        self.past: list[ToldRoute] = []
        self.gaps: list[Gap] = []
        self.ends: list[int] = []
        self.established: int | None = None

    def end(self, connections: Iterable[int], at: int) -> None:
        """The session on these connections is over: nothing of it stands any more."""
        over = set(connections)
        for key in [key for key in self.standing if key[0] in over]:
            self._close(key, at, None)

    def end_all(self, at: int, but: int | None = None) -> None:
        """The session as a whole is over, or goes on on one connection only."""
        self.ends.append(at)
        self.end({key[0] for key in self.standing} - {but}, at)

    def _close(self, key: _Key, at: int, by: Message | None) -> None:
        route = self.standing.pop(key, None)
        if route is not None:
            self.past.append(msgspec.structs.replace(route, until=at, ended_by=by))

    def update(self, message: Message) -> None:
        if message.connection != self.established:
            if self.established is not None:
                self.end_all(message.at, but=message.connection)
            self.established = message.connection
        try:
            update = message.decode()
        except WireError as mistake:
            self.gaps.append(
                Gap(
                    at=message.at,
                    end=message.at,
                    session=self.session,
                    source=self.sender,
                    why=f"an UPDATE cannot be read: {mistake}",
                )
            )
            return
        assert isinstance(update, Update)
        for number, prefix in _numbered(update.withdrawn, update.withdrawn_path_ids):
            self._close((message.connection, number, prefix), message.at, message)
        routes = list(update.routes())
        for at, (prefix, attributes) in enumerate(routes):
            number = update.announced_path_ids[at] if update.announced_path_ids else 0
            key = (message.connection, number, prefix)
            self._close(key, message.at, message)
            self.standing[key] = ToldRoute(
                session=self.session,
                sender=message.source,
                receiver=message.destination,
                prefix=prefix,
                attributes=attributes,
                since=message.at,
                message=message,
            )


def _numbered(prefixes: tuple[Prefix, ...], path_ids: tuple[int, ...]) -> Iterable[tuple[int, Prefix]]:
    return zip(path_ids or (0,) * len(prefixes), prefixes, strict=True)


def replay(
    session: str,
    sender: str,
    messages: Iterable[Message],
    steps: Iterable[ConnectionStep],
    downs: Iterable[int] = (),
) -> RouteHistory:
    """Replay one session's messages (of both ends, in order) and connection steps for what ``sender`` told.

    Routes end with their withdrawal or replacement, a NOTIFICATION of either end, the connection's end, an UPDATE on
    another connection (the session stands there now), or one of ``downs``: times at which a router reported the session
    down. (A session that dies because its link was cut shows no end on the wire.)
    """
    run = _Replay(session, sender)
    events: list[tuple[int, int, Message | ConnectionStep | None]] = [(m.at, 1, m) for m in messages]
    events += [(s.at, 2, s) for s in steps if s.step in _ENDS]
    events += [(at, 0, None) for at in downs]
    for at, _, event in sorted(events, key=lambda one: one[:2]):
        if event is None:
            run.end_all(at)
        elif isinstance(event, ConnectionStep) or event.kind == MessageType.NOTIFICATION:
            run.end([event.connection], at)
        elif event.source == sender and event.kind == MessageType.UPDATE:
            run.update(event)
    routes = sorted([*run.past, *run.standing.values()], key=lambda route: (route.since, route.prefix))
    return RouteHistory(routes=tuple(routes), gaps=tuple(run.gaps), ends=tuple(run.ends))
