"""Plays Microsoft's people and the peer's, each after the time they take, divided by a clock factor.

Event-driven: it looks at the desk whenever something changed, does what is due, and waits for the next due moment.
It never signs an agreement, never raises a planned maintenance and never deprovisions: those are a human's decision.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from peerlab.controller.office import NO_WIRE, Office
from peerlab.errors import PeerlabError, RefusedError
from peerlab.peering import command as ask
from peerlab.peering.enums import ConnectionState, Kind, ValidationState
from peerlab.peering.record import ConnectionRecord, PeeringRecord
from peerlab.peering.request_rules import review_problems

HOUR = 3600.0

REVIEW_OF_ASN = 12 * HOUR
"""About 12 h (spec 2.4)."""
REVIEW_OF_REQUEST = 24 * HOUR
"""A working day; no source says how long."""
PEER_CONFIGURES = 24 * HOUR
"""What the peer takes to wire and configure its side; no source says how long."""
MICROSOFT_ACTS = 1 * HOUR
"""Provisioning, validation and opening, once somebody is at it; no source says how long."""
CONVERSION = 48 * HOUR
"""About 2 business days without a change of addresses (spec 3.7)."""
CHANGE_OF_BANDWIDTH = 24 * HOUR
"""A working day; no source says how long."""
REMOVAL = 72 * HOUR
"""Chased after 3 business days (spec 2.1)."""

VALIDATE_AGAIN = 12 * HOUR
"""How long after a failed validation it is tried again when nothing was heard meanwhile."""

Act = Callable[[], Awaitable[None]]


class AutoOperator:
    """``factor`` is how many times faster than life: 43200 makes 12 h one second."""

    def __init__(self, office: Office, factor: float, tell: Callable[[str], None]) -> None:
        self._office = office
        self._factor = factor
        self._tell = tell
        self._changed = asyncio.Event()
        self._since: dict[str, float] = {}
        self._tried: dict[str, float] = {}
        office.watchers.append(self._changed)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            steps = list(self._steps())
            self._since = {name: self._since.get(name, now) for name, _, _ in steps}
            self._tried = {name: until for name, until in self._tried.items() if name in self._since}
            due_at = {
                name: max(self._since[name] + after / self._factor, self._tried.get(name, 0.0))
                for name, after, _ in steps
            }
            due = [(name, act) for name, _, act in steps if due_at[name] <= now]
            for name, act in due:
                await self._do(name, act)
            if due:
                continue
            wait = min(due_at.values(), default=None)
            try:
                await asyncio.wait_for(self._changed.wait(), None if wait is None else max(wait - now, 0.0))
            except TimeoutError:
                continue

    async def _do(self, name: str, act: Act) -> None:
        self._tried[name] = time.monotonic() + VALIDATE_AGAIN / self._factor
        try:
            await act()
        except PeerlabError as error:
            self._tell(f"{name}: {error}")

    def _steps(self) -> Iterator[tuple[str, float, Act]]:
        """What stands open: a name that changes with the state, the time it takes, and the act."""
        ledger = self._office.ledger
        for key, record in ledger.peer_asns.items():
            if record.state is ValidationState.PENDING:
                problems = "; ".join(review_problems(record))
                yield f"review of PeerAsn {key}", REVIEW_OF_ASN, self._reviewing(key, problems)
        for peering in ledger.peerings.values():
            for connection in peering.connections:
                step = self._step_of(peering, connection)
                if step is not None:
                    after, act = step
                    yield f"{peering.key}/{connection.label} {connection.state} {connection.notified}", after, act

    def _step_of(self, peering: PeeringRecord, connection: ConnectionRecord) -> tuple[float, Act] | None:
        office, key, label = self._office, peering.key, connection.label
        waiting = ConnectionState.APPROVED if peering.kind is Kind.EXCHANGE else ConnectionState.PROVISIONING_STARTED
        state = connection.state
        if state == ConnectionState.PENDING_APPROVAL:
            return REVIEW_OF_REQUEST, self._approving(peering, label)
        if state == waiting and not connection.notified:
            return PEER_CONFIGURES, self._notifying(peering, connection)
        if state == waiting:
            return MICROSOFT_ACTS, self._provisioning(peering, connection)
        if state == ConnectionState.VALIDATING:
            return MICROSOFT_ACTS, lambda: office.validate(key, label)
        if state == ConnectionState.PROVISIONING_COMPLETED:
            return MICROSOFT_ACTS, lambda: office.open_policy(key, label)
        if state == ConnectionState.TYPE_CHANGE_REQUESTED:
            busy = any(c.state == ConnectionState.TYPE_CHANGE_IN_PROGRESS for c in peering.connections)
            return None if busy else (CONVERSION, self._starting_conversion(peering, label))
        if state == ConnectionState.TYPE_CHANGE_IN_PROGRESS:
            return MICROSOFT_ACTS, lambda: office.convert(key, label)
        if state == ConnectionState.PENDING_REMOVE:
            return REMOVAL, lambda: office.remove(key, label)
        added = any(s is not None and s.unvalidated for s in (connection.v4, connection.v6))
        if state == ConnectionState.ACTIVE and added:
            return MICROSOFT_ACTS, lambda: office.validate(key, label)
        if state == ConnectionState.ACTIVE and connection.bandwidth != connection.provisioned_bandwidth:
            return CHANGE_OF_BANDWIDTH, self._changing_bandwidth(peering, label)
        return None

    def _reviewing(self, key: str, problems: str) -> Act:
        async def act() -> None:
            if problems:
                self._office.ask(ask.RejectPeerAsn(peer_asn=key, reason=problems))
            else:
                self._office.ask(ask.ApprovePeerAsn(peer_asn=key))

        return act

    def _approving(self, peering: PeeringRecord, label: str) -> Act:
        async def act() -> None:
            loa = f"LOA-{peering.name}-{label}" if peering.kind is Kind.DIRECT else ""
            self._office.approve(peering.key, label, loa)

        return act

    def _notifying(self, peering: PeeringRecord, connection: ConnectionRecord) -> Act:
        async def act() -> None:
            self._office.notify(peering.key, connection.label)

        return act

    def _provisioning(self, peering: PeeringRecord, connection: ConnectionRecord) -> Act:
        async def act() -> None:
            try:
                await self._office.provision(peering.key, connection.label)
            except RefusedError as refused:
                if refused.code != NO_WIRE:
                    raise
                blocker = ask.RaiseBlocker(peering=peering.key, connection=connection.label, reason=refused.message)
                self._office.ask(blocker)

        return act

    def _changing_bandwidth(self, peering: PeeringRecord, label: str) -> Act:
        async def act() -> None:
            self._office.ask(ask.ProvisionBandwidth(peering=peering.key, connection=label))

        return act

    def _starting_conversion(self, peering: PeeringRecord, label: str) -> Act:
        async def act() -> None:
            self._office.ask(ask.ApproveTypeChange(peering=peering.key, connection=label))

        return act
