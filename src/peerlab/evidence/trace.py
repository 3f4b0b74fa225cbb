"""The trace: every BGP message of every session of a lab, in order, with one clock, and what is known to be missing."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.wire import MessageType, Update
from peerlab.errors import WireError
from peerlab.evidence.capture import Capture
from peerlab.evidence.message import ConnectionStep, Gap, Garbled, Message
from peerlab.evidence.route_history import RouteHistory, ToldRoute, replay
from peerlab.topology.model import LabModel

__all__ = ["ConnectionStep", "Gap", "Garbled", "Message", "ToldRoute", "Trace", "TraceReader"]

FOREVER = 1 << 63


class Trace:
    """All that was captured up to ``end``. Immutable; queries are cheap and give messages in order of time.

    ``begin`` is when the first node came under watch (or the first frame), ``end`` the time up to which the capture is
    complete: what the reader was told, otherwise the last frame. ``watched`` says since when each node is tapped.
    """

    def __init__(
        self,
        messages: Iterable[Message] = (),
        steps: Iterable[ConnectionStep] = (),
        gaps: Iterable[Gap] = (),
        garbled: Iterable[Garbled] = (),
        *,
        watched: Mapping[str, int] | None = None,
        until: int | None = None,
    ) -> None:
        self.messages = tuple(sorted(messages, key=lambda message: message.at))
        self.steps = tuple(sorted(steps, key=lambda step: step.at))
        self.gaps = tuple(sorted(gaps, key=lambda gap: gap.at))
        self.garbled = tuple(garbled)
        self.watched: dict[str, int] = dict(watched or {})
        seen = [*(m.at for m in self.messages[:1]), *(s.at for s in self.steps[:1])]
        self.begin = min([*(since for since in self.watched.values() if since), *seen], default=0)
        last = max([*(m.at for m in self.messages[-1:]), *(s.at for s in self.steps[-1:])], default=self.begin)
        self.end = last if until is None else max(until, last)
        self._by_session: dict[str | None, list[Message]] = {}
        for message in self.messages:
            self._by_session.setdefault(message.session, []).append(message)
        self._histories: dict[tuple[str, str, tuple[int, ...]], RouteHistory] = {}

    @classmethod
    def from_pcapng(cls, octets: bytes | Iterable[bytes], model: LabModel, until: int | None = None) -> Trace:
        """Read a whole capture. ``until`` is when the tap was flushed, when known.

        Raises CaptureError for octets that are no capture.
        """
        reader = TraceReader(model)
        for portion in (octets,) if isinstance(octets, bytes) else octets:
            reader.feed(portion)
        return reader.trace(until)

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def of_session(self, session: str, since: int = 0, until: int = FOREVER) -> tuple[Message, ...]:
        """Messages of one session, both directions."""
        return _window(self._by_session.get(session, ()), since, until)

    def of_node(self, node: str, since: int = 0, until: int = FOREVER) -> tuple[Message, ...]:
        """Messages that a node sent or was sent."""
        return self.select(node=node, since=since, until=until)

    def select(
        self,
        *,
        node: str | None = None,
        source: str | None = None,
        destination: str | None = None,
        session: str | None = None,
        kind: MessageType | None = None,
        prefix: Prefix | None = None,
        covering: bool = False,
        since: int = 0,
        until: int = FOREVER,
    ) -> tuple[Message, ...]:
        """Messages that meet every condition given, in [since, until].

        ``prefix``: UPDATEs that announce or withdraw exactly it; with ``covering`` also those of a prefix that covers
        it or lies within it. UPDATEs that cannot be read meet no prefix.
        """
        chosen = _window(self.messages if session is None else self._by_session.get(session, ()), since, until)
        return tuple(
            message
            for message in chosen
            if (node is None or node in (message.source, message.destination))
            and (source is None or source == message.source)
            and (destination is None or destination == message.destination)
            and (kind is None or kind == message.kind)
            and (prefix is None or _mentions(message, prefix, covering))
        )

    def gaps_of(self, session: str, source: str | None = None, since: int = 0, until: int = FOREVER) -> tuple[Gap, ...]:
        """What may be missing of a session in [since, until], of one sender when named."""
        return tuple(
            gap
            for gap in self.gaps
            if gap.session in (session, "") and source in (None, gap.source) and gap.overlaps(since, until)
        )

    def history(self, session: str, sender: str, downs: Iterable[int] = ()) -> RouteHistory:
        """Every route that ``sender`` told its peer on a session, with the time during which it stood."""
        key = session, sender, tuple(sorted(downs))
        found = self._histories.get(key)
        if found is None:
            steps = (step for step in self.steps if step.session == session)
            found = self._histories[key] = replay(session, sender, self.of_session(session), steps, key[2])
        return found

    def announced(self, session: str, sender: str, at: int) -> dict[Prefix, ToldRoute]:
        """What ``sender`` had told its peer at a time and not taken back: Adj-RIB-Out according to the wire."""
        return self.history(session, sender).standing(at)


class TraceReader:
    """Builds a trace while the capture grows: ``feed`` portions of the file, ask for the ``trace`` when flushed."""

    def __init__(self, model: LabModel) -> None:
        self._capture = Capture(model)
        self._told = 0

    def feed(self, octets: bytes) -> None:
        """The next portion of the file. Raises CaptureError for what is no capture."""
        self._capture.feed(octets)

    def trace(self, until: int | None = None) -> Trace:
        """Everything so far. All that was sent before ``until`` must have been fed (the tap was flushed)."""
        capture = self._capture
        capture.advance(settled=True)
        return Trace(
            capture.messages,
            capture.steps,
            capture.gaps,
            capture.garbled,
            watched=capture.watched,
            until=until,
        )

    def fresh(self) -> tuple[Message, ...]:
        """Messages that became known since the last call, for who watches a lab live."""
        self._capture.advance(settled=False)
        messages = self._capture.messages[self._told :]
        self._told += len(messages)
        return tuple(messages)


def _window(messages: tuple[Message, ...] | list[Message], since: int, until: int) -> tuple[Message, ...]:
    first = bisect_left(messages, since, key=lambda message: message.at)
    last = bisect_right(messages, until, key=lambda message: message.at)
    return tuple(messages[first:last])


@lru_cache(maxsize=1 << 14)
def _network(prefix: Prefix) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(prefix)


def overlap(one: Prefix, other: Prefix) -> bool:
    """Whether one prefix covers the other, or they are the same."""
    a, b = _network(one), _network(other)
    return a.version == b.version and a.overlaps(b)


def _mentions(message: Message, prefix: Prefix, covering: bool) -> bool:
    if message.kind != MessageType.UPDATE:
        return False
    try:
        update = message.decode()
    except WireError:
        return False
    assert isinstance(update, Update)
    named = (*update.withdrawn, *update.announced)
    return any(overlap(one, prefix) for one in named) if covering else prefix in named
