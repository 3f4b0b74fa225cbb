"""Route monitoring of Peering Service prefixes: the edge routers tell of route changes, the desk keeps the events.

Every external session of every cloud router is watched for the prefixes that stand on the desk, and for a few
more-specifics of each. What the monitor knows is what the event log says, so a controller that comes back tells nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from peerlab.bgp.attributes import Prefix
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.provision import Provisioner
from peerlab.controller.reconcile import ROUTER_PROCESS
from peerlab.errors import PeerlabError, RefusedError
from peerlab.evidence.events import Event, PrefixEventRaised, ProcessExited, ResourceChanged, RouteChanged
from peerlab.peering.command import RecordPrefixEvents
from peerlab.peering.enums import PrefixEventType, PrefixValidationState
from peerlab.peering.ledger import DELETED
from peerlab.peering.prefix_event import (
    PrefixEvent,
    events_of,
    more_specifics,
    path_event,
    paths_of,
    watched_of,
)
from peerlab.router.protocol import WatchPrefixes

SETTLED = 0.2
"""Seconds after a change in which the edges agree on a path; only then it is told, so that no passing one is."""

ROUTER_ENDED = "its router ended"

_PATHS = (PrefixEventType.ACTIVE_PATH, PrefixEventType.BACKUP_PATH)


class PrefixMonitor:
    """Listens from ``start`` to ``close``; ``follow`` has the routers watch what the desk holds now."""

    def __init__(self, lab: Lab, desk: Provisioner, tell: Callable[[str], None] = lambda text: None) -> None:
        self._lab = lab
        self._desk = desk
        self._tell = tell
        self._held: dict[str, dict[str, RouteChanged]] = {}
        self._paths: dict[tuple[str, PrefixEventType], str] = {}
        self._prefixes: dict[str, str] = {}
        self._watching: dict[str, frozenset[Prefix]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._started = False

    def start(self) -> None:
        """Take up what the event log tells, and listen. Harmless when it listens already."""
        if self._started:
            return
        self._started = True
        for event in self._lab.events:
            if isinstance(event, RouteChanged):
                self._held.setdefault(event.prefix, {})[_place(event)] = event
            elif isinstance(event, PrefixEventRaised):
                self._prefixes[event.name] = event.prefix
                if event.kind in _PATHS:
                    self._paths[event.name, PrefixEventType(event.kind)] = event.session
            elif isinstance(event, ResourceChanged):
                self._note(event)
        self._lab.listeners.append(self._heard)

    def close(self) -> None:
        """Stop listening."""
        if self._started:
            self._started = False
            self._lab.listeners.remove(self._heard)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    @property
    def is_behind(self) -> bool:
        """Whether a router does not watch yet what it should."""
        wanted = self._wanted()
        return any(self._watching.get(node, frozenset()) != wanted for node in self._nodes())

    async def follow(self) -> None:
        """Have every router of the cloud watch the prefixes of the desk. One that cannot is told of, and tried again
        when it is heard of."""
        wanted = self._wanted()
        late = [node for node in self._nodes() if self._watching.get(node, frozenset()) != wanted]
        await asyncio.gather(*(self._watch(node, wanted) for node in late))

    async def _watch(self, node: str, wanted: frozenset[Prefix]) -> None:
        asked = now_ns()
        try:
            client = await self._lab.router(node)
            await client.ask(WatchPrefixes(prefixes=tuple(sorted(wanted))))
        except RefusedError as refused:
            self._watching[node] = wanted
            self._tell(f"{node} does not watch prefixes: {refused}")
            return
        except PeerlabError as failure:
            self._tell(f"{node} cannot be asked to watch prefixes: {failure}")
            return
        self._watching[node] = wanted
        # What the router holds it has told before its answer; what it did not tell it holds no more.
        for route in self._routes(node):
            if route.prefix in wanted and route.held and route.at < asked:
                self._gone(route, "seen on attach")

    def _gone(self, route: RouteChanged, reason: str) -> None:
        self._lab.record(
            RouteChanged(
                at=now_ns(), node=route.node, session=route.session, prefix=route.prefix, held=False, reason=reason
            )
        )

    def _routes(self, node: str) -> list[RouteChanged]:
        return [route for held in self._held.values() for route in held.values() if route.node == node]

    def _wanted(self) -> frozenset[Prefix]:
        invalid = PrefixValidationState.INVALID
        records = self._desk.desk.ledger.prefixes.values()
        whole = {Prefix(record.prefix) for record in records if record.state is not invalid}
        return frozenset(whole.union(*map(more_specifics, whole)))

    def _nodes(self) -> list[str]:
        cloud = self._lab.model.cloud()
        return [n.name for n in self._lab.model.nodes if cloud is not None and n.is_router and n.as_name == cloud.name]

    def _heard(self, event: Event) -> None:
        if isinstance(event, RouteChanged):
            self._take(event)
        elif isinstance(event, ProcessExited) and event.process == ROUTER_PROCESS:
            self._watching.pop(event.node, None)
            for route in self._routes(event.node):
                if route.held:
                    self._gone(route, ROUTER_ENDED)
        elif isinstance(event, ResourceChanged):
            self._note(event)

    def _note(self, event: ResourceChanged) -> None:
        """A prefix that is deleted and made again is a new one: what was told of the old one is told anew."""
        if event.kind != "prefixes":
            return
        if event.change != DELETED:
            self._prefixes[event.name] = str((event.body or {}).get("prefix", ""))
            return
        gone = self._prefixes.pop(event.name, "")
        for prefix in (gone, *more_specifics(Prefix(gone))) if gone else ():
            self._held.pop(prefix, None)
        self._watching.clear()
        for kind in _PATHS:
            self._paths.pop((event.name, kind), None)

    def _take(self, change: RouteChanged) -> None:
        held = self._held.setdefault(change.prefix, {})
        before = held.get(_place(change))
        held[_place(change)] = change
        exact = self._keys(change.prefix)
        for key in exact or self._keys_around(change.prefix):
            watched = watched_of(self._lab.model, self._desk.desk.ledger, key)
            if watched is not None:
                self._record(key, events_of(self._lab.model, watched, before, change))
        if exact and change.prefix not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[change.prefix] = loop.call_later(SETTLED, self._tell_paths, change.prefix, change.at)

    def _tell_paths(self, prefix: str, since: int) -> None:
        self._timers.pop(prefix, None)
        for key in self._keys(prefix):
            watched = watched_of(self._lab.model, self._desk.desk.ledger, key)
            if watched is None:
                continue
            routes = paths_of(self._lab.model, watched, self._held.get(prefix, {}))
            for kind, route in zip(_PATHS, routes, strict=True):
                session = route.session if route is not None else ""
                if self._paths.get((key, kind), "") != session:
                    self._paths[key, kind] = session
                    if route is not None:
                        self._record(key, (path_event(self._lab.model, kind, route, since),))

    def _keys(self, prefix: str) -> list[str]:
        return [key for key, record in self._desk.desk.ledger.prefixes.items() if record.prefix == prefix]

    def _keys_around(self, prefix: str) -> list[str]:
        """The keys of prefixes that this is a more-specific of."""
        ledger = self._desk.desk.ledger
        return [key for key, record in ledger.prefixes.items() if prefix in more_specifics(Prefix(record.prefix))]

    def _record(self, key: str, events: Iterable[PrefixEvent]) -> None:
        found = tuple(events)
        if found:
            self._desk.command(RecordPrefixEvents(prefix=key, events=found))


def _place(change: RouteChanged) -> str:
    return f"{change.node} {change.session}"
