"""One command being worked on: a copy of the ledger that takes in each event at once, and the events so far.

Handlers see the effect of what they have emitted; nothing reaches the desk's own ledger until the caller applies the
events. A handler that raises leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from peerlab.evidence.events import ConnectionStateChanged, Event, ResourceChanged
from peerlab.peering import refusal
from peerlab.peering.catalogue import Catalogue
from peerlab.peering.ledger import CREATED, DELETED, UPDATED, Ledger, kind_of
from peerlab.peering.record import (
    ConnectionRecord,
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
from peerlab.peering.states import Trigger, step

Record = (
    PeerAsnRecord
    | PeeringRecord
    | RegisteredPrefixRecord
    | RegisteredAsnRecord
    | PeeringServiceRecord
    | ServicePrefixRecord
    | MonitorTestRecord
    | WorkspaceRecord
    | LegacyRecord
)
T = TypeVar("T")


class Work:
    """``now`` is nanoseconds since the epoch, ``new_id`` makes GUIDs."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, now: int, new_id: Callable[[], str]) -> None:
        self.ledger = ledger.copy()
        self.catalogue = catalogue
        self.now = now
        self.new_id = new_id
        self.events: list[Event] = []

    def emit(self, *events: Event) -> None:
        """Events that happen now, in this order."""
        for event in events:
            self.ledger.apply(event)
            self.events.append(event)

    def save(self, record: Record, *, created: bool = False) -> None:
        """A record came to be or changed."""
        body = msgspec.to_builtins(record)
        change = CREATED if created else UPDATED
        self.emit(ResourceChanged(at=self.now, kind=kind_of(record), name=record.key, change=change, body=body))

    def drop(self, record: Record) -> None:
        """A record is gone."""
        self.emit(ResourceChanged(at=self.now, kind=kind_of(record), name=record.key, change=DELETED))

    def step(self, peering_key: str, label: str, trigger: Trigger, reason: str = "") -> ConnectionRecord | None:
        """Move a connection along its table; None when it is removed. Raises RefusedError on an unlisted trigger."""
        peering, connection = self.connection(peering_key, label)
        row = step(peering.kind, connection.state, trigger)
        self.emit(
            ConnectionStateChanged(
                at=self.now,
                peering=peering.key,
                connection=connection.label,
                before=row.before,
                after=row.after,
                trigger=trigger,
                actor=row.actor,
                reason=reason,
            )
        )
        return self.ledger.peerings[peering.key].connection(connection.identifier)

    def replace(self, peering_key: str, connection: ConnectionRecord) -> None:
        """A connection's facts other than its state changed."""
        self.save(self.ledger.peerings[peering_key].replacing(connection))

    def peer_asn(self, key: str) -> PeerAsnRecord:
        """Raises RefusedError when there is none."""
        return _found(self.ledger.peer_asns.get(key.lower()), refusal.peer_asn_not_found)

    def peering(self, key: str) -> PeeringRecord:
        """Raises RefusedError when there is none."""
        name, _, group = _name_and_group(key)
        return _found(self.ledger.peerings.get(key.lower()), lambda: refusal.peering_not_found(name, group))

    def connection(self, peering_key: str, name: str) -> tuple[PeeringRecord, ConnectionRecord]:
        """Raises RefusedError when the peering or the connection does not exist."""
        peering = self.peering(peering_key)
        return peering, _found(peering.connection(name), refusal.child_not_found)

    def service(self, key: str) -> PeeringServiceRecord:
        """Raises RefusedError when there is none."""
        name, _, group = _name_and_group(key)
        return _found(self.ledger.services.get(key.lower()), lambda: refusal.service_not_found(name, group))

    def mail_of(self, peering: PeeringRecord) -> str | None:
        """Where notices about a peering go: the mail address of its PeerAsn."""
        record = self.ledger.peer_asns.get(peering.peer_asn)
        return record.mail if record else None


def _found(record: T | None, refuse: Callable[[], Exception]) -> T:
    if record is None:
        raise refuse()
    return record


def _name_and_group(key: str) -> tuple[str, str, str]:
    parts = key.split("/")
    return (parts[-1], parts[0], parts[1]) if len(parts) == 3 else (parts[-1], "lab", "lab")


def labels(connections: Iterable[ConnectionRecord]) -> str:
    """Connections as people read them in a message."""
    return ", ".join(f"{c.label} ({c.state})" for c in connections)
