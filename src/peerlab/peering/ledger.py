"""The desk's memory, and the only code that writes it: ``Ledger.apply``.

A ledger is what its events make of it: replaying the log gives an equal ledger.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from peerlab.evidence.events import ConnectionStateChanged, Event, PrefixEventRaised, ResourceChanged
from peerlab.peering.enums import EventLevel, PrefixEventType
from peerlab.peering.peering_service import PeeringServicePrefixEvent
from peerlab.peering.record import (
    LegacyRecord,
    MonitorTestRecord,
    PeerAsnRecord,
    PeeringRecord,
    PeeringServiceRecord,
    RegisteredAsnRecord,
    RegisteredPrefixRecord,
    ServicePrefixRecord,
    WorkspaceRecord,
)
from peerlab.peering.states import REMOVED, Trigger, step

AGREEMENT = "agreements"
"""Kind of a signed Peering Service agreement in the event log; its name is the ASN."""

LEGACY_KIND = "legacyPeerings"
"""Kind of a peering that was made out of band."""

CREATED, UPDATED, DELETED = "created", "updated", "deleted"
"""Values of ``ResourceChanged.change``."""

EVENTS_KEPT = 1000
"""Events of a prefix that are shown; the event log keeps every one."""

_FAILURES = frozenset(
    {
        Trigger.REJECT,
        Trigger.FAIL,
        Trigger.BLOCK,
        Trigger.VALIDATION_FAILED,
        Trigger.SESSION_LOST,
        Trigger.TYPE_CHANGE_REJECT,
    }
)
"""Triggers whose reason becomes the connection's errorMessage; every other one clears it."""

_RECORD_TYPES: dict[str, type[msgspec.Struct]] = {
    "peerAsns": PeerAsnRecord,
    "peerings": PeeringRecord,
    "registeredPrefixes": RegisteredPrefixRecord,
    "registeredAsns": RegisteredAsnRecord,
    "peeringServices": PeeringServiceRecord,
    "prefixes": ServicePrefixRecord,
    "connectionMonitorTests": MonitorTestRecord,
    "workspaces": WorkspaceRecord,
    LEGACY_KIND: LegacyRecord,
}
_KIND_OF = {record: kind for kind, record in _RECORD_TYPES.items()}


class Stamp(msgspec.Struct, frozen=True):
    """When a resource was made and last changed, in ns (``systemData``)."""

    created: int
    changed: int


def stamp_place(kind: str, key: str) -> str:
    """Under what the times of a resource are kept."""
    return f"{kind} {key}"


class Ledger(msgspec.Struct, kw_only=True):
    """Every record by key, and the times of every resource."""

    peer_asns: dict[str, PeerAsnRecord] = {}
    peerings: dict[str, PeeringRecord] = {}
    registered_prefixes: dict[str, RegisteredPrefixRecord] = {}
    registered_asns: dict[str, RegisteredAsnRecord] = {}
    services: dict[str, PeeringServiceRecord] = {}
    prefixes: dict[str, ServicePrefixRecord] = {}
    monitor_tests: dict[str, MonitorTestRecord] = {}
    workspaces: dict[str, WorkspaceRecord] = {}
    legacy: dict[str, LegacyRecord] = {}
    stamps: dict[str, Stamp] = {}
    agreements: set[int] = set()

    def copy(self) -> Ledger:
        """A ledger that can be changed without changing this one; records are frozen and shared."""
        return Ledger(
            peer_asns=dict(self.peer_asns),
            peerings=dict(self.peerings),
            registered_prefixes=dict(self.registered_prefixes),
            registered_asns=dict(self.registered_asns),
            services=dict(self.services),
            prefixes=dict(self.prefixes),
            monitor_tests=dict(self.monitor_tests),
            workspaces=dict(self.workspaces),
            legacy=dict(self.legacy),
            stamps=dict(self.stamps),
            agreements=set(self.agreements),
        )

    def holder(self, key: str) -> PeeringRecord | LegacyRecord | None:
        """What has connections under this key: a peering, or one that was made out of band."""
        return self.peerings.get(key) or self.legacy.get(key)

    def apply(self, event: Event) -> None:
        """Take in one event; events of other parts of the lab change nothing."""
        if isinstance(event, ResourceChanged):
            self._apply_resource(event)
        elif isinstance(event, ConnectionStateChanged):
            self._apply_step(event)
        elif isinstance(event, PrefixEventRaised):
            self._apply_prefix_event(event)

    def _apply_resource(self, event: ResourceChanged) -> None:
        if event.kind == AGREEMENT:
            self.agreements.add(int(event.name))
            return
        table = self._table(event.kind)
        if table is None:
            return
        place = stamp_place(event.kind, event.name)
        if event.change == DELETED:
            del table[event.name]
            self.stamps.pop(place, None)
        else:
            known = self.stamps.get(place)
            self.stamps[place] = Stamp(known.created if known is not None else event.at, event.at)
            table[event.name] = msgspec.convert(event.body, _RECORD_TYPES[event.kind])

    def _apply_prefix_event(self, event: PrefixEventRaised) -> None:
        record = self.prefixes.get(event.name)
        if record is not None:
            events = (*record.events, _published(event))[-EVENTS_KEPT:]
            self.prefixes[event.name] = msgspec.structs.replace(record, events=events)

    def _table(self, kind: str) -> dict[str, Any] | None:
        tables: dict[str, dict[str, Any]] = {
            "peerAsns": self.peer_asns,
            "peerings": self.peerings,
            "registeredPrefixes": self.registered_prefixes,
            "registeredAsns": self.registered_asns,
            "peeringServices": self.services,
            "prefixes": self.prefixes,
            "connectionMonitorTests": self.monitor_tests,
            "workspaces": self.workspaces,
            LEGACY_KIND: self.legacy,
        }
        return tables.get(kind)

    def _apply_step(self, event: ConnectionStateChanged) -> None:
        peering = self.peerings[event.peering]
        connection = peering.connection(event.connection)
        if connection is None:
            raise KeyError(event.connection)
        trigger = Trigger(event.trigger)
        row = step(peering.kind, event.before, trigger)
        if row.after == REMOVED:
            rest = tuple(c for c in peering.connections if c.identifier != connection.identifier)
            self.peerings[event.peering] = msgspec.structs.replace(peering, connections=rest)
            return
        changes: dict[str, Any] = {
            "state": row.after,
            "stage": row.stage,
            "error": event.reason if trigger in _FAILURES else None,
        }
        if trigger in (Trigger.APPROVE, Trigger.CONVERT):
            changes["approved"] = True
        elif trigger is Trigger.NOTIFY:
            changes["notified"] = True
        elif trigger is Trigger.REQUEST:
            changes.update(approved=False, notified=False, loa=None, link_test=None)
        if trigger in (Trigger.ALLOW, Trigger.CONVERT):
            changes["provisioned_bandwidth"] = connection.bandwidth
        self.peerings[event.peering] = peering.replacing(msgspec.structs.replace(connection, **changes))


def _published(event: PrefixEventRaised) -> PeeringServicePrefixEvent:
    seconds, nanoseconds = divmod(event.at, 1_000_000_000)
    return PeeringServicePrefixEvent(
        event_timestamp=f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds // 100:07d}Z",
        event_type=PrefixEventType(event.kind),
        event_summary=event.summary,
        event_level=EventLevel(event.level),
        event_description=event.description,
    )


def kind_of(record: msgspec.Struct) -> str:
    """The event log's kind of a record."""
    return _KIND_OF[type(record)]
