"""Microsoft's office for one lab that is served: the desk, its store, and the lab that does what the desk says.

One asyncio process holds the lab. Requests are decided by the pure desk, kept in SQLite, and answered; the lab is
made to follow behind. What a resource says of its sessions is asked of the edge router at that moment.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterable

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.controller.cabling import cabled, find_connection, free_prefixes, why_no_wire
from peerlab.controller.lab import ESTABLISH_WITHIN, Lab, now_ns
from peerlab.controller.monitoring import Monitoring
from peerlab.controller.observe import read_snapshot
from peerlab.controller.prefix_monitor import PrefixMonitor
from peerlab.controller.provision import PEER_CONFIGURED, PEER_REMOVED, Provisioner, new_guid
from peerlab.controller.store import FILE, AcceptedRequests
from peerlab.errors import PeerlabError, RefusedError, TimedOut
from peerlab.evidence.events import ConnectionStateChanged, Event, SessionStateChanged
from peerlab.evidence.snapshot import SessionFact, Snapshot
from peerlab.evidence.store import LabStore
from peerlab.peering import command as ask
from peerlab.peering.catalogue import Catalogue, ReservedPrefixes
from peerlab.peering.command import Command
from peerlab.peering.enums import (
    ConnectionState,
    PrefixValidationState,
    SessionAddressProvider,
    SessionState,
)
from peerlab.peering.judgement import connection_verdicts, judge_registered, judge_service_prefix
from peerlab.peering.ledger import Ledger
from peerlab.peering.legacy import legacy_of
from peerlab.peering.record import ConnectionRecord, LegacyRecord, PeeringRecord
from peerlab.peering.states import Trigger
from peerlab.peering.verdict import failures
from peerlab.peering.view import SessionStates
from peerlab.router.protocol import ShutSession
from peerlab.topology.model import ConnectionRequest, LabModel, PeeringRequest

LOCK = "serve.lock"
NO_WIRE = "NoWire"
"""Code of a refusal: the lab has no wire for what is asked."""
BFD_DOWN = "BfdDown"
"""Code of a refusal: traffic has to wait for BFD."""
BFD_WITHIN = 3.0
"""Seconds in which BFD that both ends have is Up: a packet a second is sent before."""
RETRY_AFTER = 2.0
"""Seconds after which a lab that could not be made to follow is tried again."""

PEER_STIMULI = frozenset({PEER_CONFIGURED, PEER_REMOVED})

BEFORE_ACTIVE = frozenset({ConnectionState.VALIDATING, ConnectionState.PROVISIONING_COMPLETED})
"""States with a session in which validation begins again when the session is lost (spec 2.1)."""


class Office:
    """Make one with ``open``, run ``keep_up`` beside the server, end it with ``close``; the lab keeps running."""

    def __init__(
        self, lab: Lab, store: AcceptedRequests, lock: int, tell: Callable[[str], None], factor: float = 1.0
    ) -> None:
        self.lab = lab
        self.base: LabModel = lab.model
        self.store = store
        self.desk = Provisioner.of(lab)
        self.desk.keep = store.add
        self.monitor = PrefixMonitor(lab, self.desk, tell)
        self.monitoring = Monitoring(lab, lambda: self.ledger, factor)
        self.watchers: list[asyncio.Event] = []
        self._lock = lock
        self._tell = tell
        self._behind = asyncio.Event()
        self._following = asyncio.Lock()
        self._cable()
        lab.listeners.append(self._heard)
        self.monitor.start()

    @classmethod
    async def open(
        cls, name: str, tell: Callable[[str], None] = lambda text: None, factor: float = 1.0
    ) -> Office:
        """Take hold of a running lab; ``factor`` is how fast the clock of its measurements runs.

        Raises RefusedError when it does not run or is served already."""
        directory = LabStore.open(name).path
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as taken:
            os.close(lock)
            raise RefusedError("ServedAlready", f"lab {name} is served already by another process") from taken
        try:
            lab = await Lab.attach(name)
        except BaseException:
            os.close(lock)
            raise
        store = AcceptedRequests(directory / FILE)
        agree(lab, store)
        office = cls(lab, store, lock, tell, factor)
        office.follow()
        return office

    async def close(self) -> None:
        """Let go of lab and store."""
        self.monitor.close()
        self.lab.listeners.remove(self._heard)
        await self.lab.close()
        self.store.close()
        os.close(self._lock)

    @property
    def ledger(self) -> Ledger:
        return self.desk.desk.ledger

    @property
    def catalogue(self) -> Catalogue:
        return self.desk.desk.catalogue

    def ask(self, command: Command) -> tuple[Event, ...]:
        """Put a command to the desk and keep what came of it. The lab follows behind. Raises RefusedError."""
        events = self.desk.command(command)
        if events:
            self._cable()
            self.follow()
            self.monitoring.look_again()
            for watcher in self.watchers:
                watcher.set()
        return events

    def follow(self) -> None:
        """Have the lab follow what the desk says, soon."""
        self._behind.set()

    async def keep_up(self) -> None:
        """Make the lab follow the desk for as long as this runs, and judge the prefixes that wait for it."""
        while True:
            await self._behind.wait()
            self._behind.clear()
            try:
                await self.realise()
                await self._judge_prefixes()
                await self.monitor.follow()
            except PeerlabError as error:
                self._tell(f"the lab does not follow yet: {error}")
                asyncio.get_running_loop().call_later(RETRY_AFTER, self._behind.set)

    async def realise(self, communication: str = "") -> None:
        """Make the lab what the desk says now. Raises PeerlabError when it cannot be made so."""
        async with self._following:
            await self.desk.realise(communication)

    def wire(self, peering_key: str, label: str) -> tuple[PeeringRequest, ConnectionRequest]:
        """The wire of a connection. Raises RefusedError when the lab has none for it."""
        found = find_connection(self.lab.model, peering_key, label)
        if found is None:
            peering, connection = self.record(peering_key, label)
            raise RefusedError(NO_WIRE, why_no_wire(self.base, peering, connection))
        return found

    def record(self, peering_key: str, label: str) -> tuple[PeeringRecord, ConnectionRecord]:
        """The desk's records. Raises RefusedError when there are none."""
        peering = self.ledger.peerings.get(peering_key.lower())
        connection = peering.connection(label) if peering else None
        if peering is None or connection is None:
            raise RefusedError("NotFound", f"there is no connection {label} of a peering {peering_key}")
        return peering, connection

    async def seed_legacy(self, name: str) -> None:
        """Make a peering of the topology out of band: its sessions run under an open policy, and no resource says so.

        Raises RefusedError when the topology has no such peering or its wires are in use.
        """
        asked = next((p for p in self.base.peerings if p.name == name), None)
        if asked is None:
            there = ", ".join(p.name for p in self.base.peerings) or "none"
            raise RefusedError("NotFound", f"the topology asks for no peering {name!r}; there are: {there}")
        legacy = legacy_of(asked, self.catalogue, new_guid)
        wires = {s for c in asked.connections for s in c.sessions}
        used = {s.id for s in self.lab.model.sessions if self.ledger.holder((s.connection or "").rpartition("/")[0])}
        if wires & used:
            raise RefusedError("WireInUse", f"sessions of peering {name} belong to a connection already")
        self.ask(ask.SeedLegacy(legacy=legacy))
        for connection in legacy.connections:
            self.desk.configure_peer(*self.wire(legacy.key, connection.label))
        await self.realise()
        await self.lab.wait_established(sorted(wires), ESTABLISH_WITHIN)

    def approve(self, peering_key: str, label: str, loa: str = "") -> None:
        """Approve a connection; one with Microsoft-provided addresses gets those of a free wire with it."""
        self._plan_addresses(peering_key, label)
        self.ask(ask.ApproveConnection(peering=peering_key, connection=label, loa=loa))

    def assign_addresses(self, peering_key: str, label: str) -> None:
        """Hand out Microsoft-provided addresses of a free wire. Raises RefusedError when no wire is free."""
        planned = self._plan_addresses(peering_key, label)
        if planned is None:
            raise RefusedError(NO_WIRE, "no wire of this lab is free for Microsoft-provided addresses")
        desk = self.desk.desk
        standing = desk.catalogue
        desk.catalogue = msgspec.structs.replace(standing, pool_v4=planned.v4, pool_v6=planned.v6)
        try:
            self.ask(ask.AssignAddresses(peering=peering_key, connection=label))
        finally:
            desk.catalogue = standing

    def notify(self, peering_key: str, label: str) -> None:
        """The peer configures its router, where it has one, and tells Microsoft."""
        self.ask(ask.NotifyReady(peering=peering_key, connection=label))
        found = find_connection(self.lab.model, peering_key, label)
        if found is not None and (found[0].name, found[1].name) not in self.desk.configured:
            self.desk.configure_peer(*found)

    async def provision(self, peering_key: str, label: str) -> None:
        """Microsoft provisions the sessions under DENY ALL; an address that is another AS's fails the connection.

        Raises RefusedError when nothing fails it and yet there is no wire to provision it on.
        """
        found = find_connection(self.lab.model, peering_key, label)
        edges = self._edges_of(found[1]) if found else self._edges()
        facts = [fact for edge in edges for fact in await self.session_facts(edge)]
        configured = tuple(ask.ConfiguredNeighbor(fact.peer_address, fact.peer_as) for fact in facts)
        command = ask.ProvisionSessions(peering=peering_key, connection=label, configured=configured)
        outcome = self.desk.desk.handle(command, now=now_ns(), new_id=new_guid)
        failing = any(isinstance(e, ConnectionStateChanged) and e.trigger == Trigger.FAIL for e in outcome)
        if found is None and not failing:
            self.wire(peering_key, label)
        self.ask(command)
        await self.realise()

    async def validate(self, peering_key: str, label: str) -> None:
        """End-to-end validation from what the edge router holds; a verdict that changes nothing is not repeated."""
        peering, wire = self.wire(peering_key, label)
        try:
            await self.lab.wait_established(wire.sessions, ESTABLISH_WITHIN)
        except TimedOut as late:
            self._tell(f"{peering_key}/{label}: {late}")
        seen = await self._look(*self._edges_of(wire))
        verdicts = connection_verdicts(self.lab.model, peering, wire, seen)
        _, record = self.record(peering_key, label)
        problems = "; ".join(dict.fromkeys(v.message or f"{v.rule} failed" for v in failures(verdicts)))
        if not problems or problems != record.error:
            self.ask(ask.JudgeValidation(peering=peering_key, connection=label, verdicts=verdicts))

    async def open_policy(self, peering_key: str, label: str) -> None:
        """DENY ALL is replaced by the peering's policy."""
        self.ask(ask.OpenPolicy(peering=peering_key, connection=label))
        await self.realise()

    async def convert(self, peering_key: str, label: str) -> None:
        """Carry out a type change that was approved: new policy, hard BGP restart, traffic again.

        For Voice traffic waits for BFD too. Raises RefusedError while BFD is not Up; the type change stays in progress.
        """
        _, wire = self.wire(peering_key, label)
        await self.realise()
        for session in wire.sessions:
            client = await self.lab.router(self._edge_of(session))
            await client.ask(ShutSession(session=session, reset=True, communication="AS8075: type change"))
        if self.record(peering_key, label)[1].needs_bfd:
            await self._wait_alive(wire.sessions)
        await self.lab.wait_established(wire.sessions, ESTABLISH_WITHIN)
        self.ask(ask.FinishTypeChange(peering=peering_key, connection=label))
        await self.realise()

    async def remove(self, peering_key: str, label: str) -> None:
        """Complete a deprovisioning: sessions close with a reason, the peer takes its side out."""
        found = find_connection(self.lab.model, peering_key, label)
        self.ask(ask.CompleteRemoval(peering=peering_key, connection=label))
        await self.realise(f"AS8075: connection {label} is deprovisioned")
        if found is not None:
            self.desk.remove_peer(*found)
            await self.realise()

    async def session_facts(self, node: str) -> tuple[SessionFact, ...]:
        """What a router says of its sessions now; nothing when it does not answer."""
        try:
            return await (await self.lab.router(node)).sessions()
        except PeerlabError as error:
            self._tell(f"{node} cannot be asked: {error}")
            return ()

    async def session_states(self, peerings: Iterable[PeeringRecord | LegacyRecord]) -> SessionStates:
        """What the edge routers say now of the connections' sessions; the least advanced session of a mesh counts."""
        wires = [
            (connection.identifier, found[1])
            for peering in peerings
            for connection in peering.connections
            if connection.stage is not None
            and (found := find_connection(self.lab.model, peering.key, connection.label)) is not None
        ]
        nodes = sorted({edge for _, wire in wires for edge in self._edges_of(wire)})
        answers = await asyncio.gather(*(self.session_facts(node) for node in nodes))
        facts = {fact.session: fact for answer in answers for fact in answer}
        states: dict[tuple[str, Family], SessionState] = {}
        order = list(SessionState)
        for identifier, wire in wires:
            for name in wire.sessions:
                if (fact := facts.get(name)) is None:
                    continue
                key, state = (identifier, fact.family), SessionState(fact.state)
                states[key] = min(states.get(key, state), state, key=order.index)
        return states

    def sessions_of(self, peering: PeeringRecord) -> list[tuple[ConnectionRecord, str, str]]:
        """Connection, session id and edge node of every session a peering has on the edge."""
        return [
            (connection, name, self._edge_of(name))
            for connection in peering.connections
            if connection.stage is not None
            and (found := find_connection(self.lab.model, peering.key, connection.label)) is not None
            for name in found[1].sessions
        ]

    async def _wait_alive(self, sessions: Iterable[str]) -> None:
        """Return when BFD of every session is Up at the edge. Raises RefusedError naming each that is not."""

        async def is_alive(session: str) -> bool:
            client = await self.lab.router(self._edge_of(session))
            return await client.wait("bfd-up", BFD_WITHIN, session=session)

        names = list(sessions)
        answers = await asyncio.gather(*map(is_alive, names))
        dead = [name for name, alive in zip(names, answers, strict=True) if not alive]
        if dead:
            raise RefusedError(
                BFD_DOWN,
                f"BFD of {', '.join(dead)} is not Up; no traffic is allowed before both BGP and BFD are up: "
                "the peer has to configure BFD",
            )

    def _edges(self) -> list[str]:
        cloud = self.base.cloud()
        return [n.name for n in self.base.nodes if cloud is not None and n.is_router and n.as_name == cloud.name]

    def _edges_of(self, wire: ConnectionRequest) -> list[str]:
        """A route-server mesh ends at more than one edge."""
        return sorted({self._edge_of(session) for session in wire.sessions})

    def _edge_of(self, session_id: str) -> str:
        session, cloud = self.lab.model.session(session_id), self.lab.model.cloud()
        return session.left.node if cloud is not None and session.left.asn == cloud.asn else session.right.node

    def _cable(self) -> None:
        """Name the wires as the desk does now. A peer whose connection went to another resource has its side still."""
        configured, before = self.desk.configured, self.lab.model
        mine = {s for p in before.peerings for c in p.connections if (p.name, c.name) in configured for s in c.sessions}
        self.lab.model = cabled(self.base, self.ledger)
        for peering in self.lab.model.peerings:
            for connection in peering.connections:
                if (peering.name, connection.name) not in configured and mine.intersection(connection.sessions):
                    self.desk.configure_peer(peering, connection)

    def _plan_addresses(self, peering_key: str, label: str) -> ReservedPrefixes | None:
        peering, connection = self.record(peering_key, label)
        addressed = any(s is not None and s.addressed for s in (connection.v4, connection.v6))
        if connection.address_provider is not SessionAddressProvider.MICROSOFT or addressed:
            return None
        catalogue = self.catalogue
        planned = free_prefixes(self.base, self.ledger, peering)
        reserved = dict(catalogue.reserved)
        reserved.pop(f"{peering.key}/{connection.label}", None)
        if planned is not None:
            reserved[f"{peering.key}/{connection.label}"] = planned
        self.desk.desk.catalogue = msgspec.structs.replace(catalogue, reserved=reserved)
        return planned

    async def _look(self, *nodes: str) -> Snapshot:
        seen = tuple(node for node in self.lab.model.nodes if node.name in nodes)
        partial = msgspec.structs.replace(self.lab.model, nodes=seen)
        return await read_snapshot("now", now_ns(), partial, self.lab.runtime, self.lab.router)

    async def _judge_prefixes(self) -> None:
        """Validation of prefixes is queued and needs nobody: it runs as soon as the lab stands (spec 2.5)."""
        waiting = PrefixValidationState.PENDING
        registered = [key for key, r in self.ledger.registered_prefixes.items() if r.state is waiting]
        customers = [key for key, r in self.ledger.prefixes.items() if r.state is waiting]
        if not registered and not customers:
            return
        edges = {node for p in self.ledger.peerings.values() for _, _, node in self.sessions_of(p)}
        await self.lab.wait_quiet(sorted(edges))
        seen = await self._look(*edges)
        for key in registered:
            if key in self.ledger.registered_prefixes:
                self.ask(judge_registered(self.lab.model, self.ledger, key, seen))
        for key in customers:
            if key in self.ledger.prefixes:
                self.ask(judge_service_prefix(self.lab.model, self.ledger, key, seen))

    def _heard(self, event: Event) -> None:
        """A session that goes down before its connection is Active starts validation again (spec 2.1)."""
        if not isinstance(event, SessionStateChanged):
            return
        for watcher in self.watchers:
            watcher.set()
        if self.monitor.is_behind:
            self.follow()
        if event.before != SessionState.ESTABLISHED:
            return
        if event.node != self._edge_of(event.session):
            return
        for peering in self.lab.model.peerings:
            for wire in peering.connections:
                if peering.name not in self.ledger.peerings or event.session not in wire.sessions:
                    continue
                _, record = self.record(peering.name, wire.name)
                if record.state in BEFORE_ACTIVE:
                    reason = f"session {event.session} went down: {event.reason or event.after}"
                    self.ask(ask.ReportSessionLost(peering=peering.name, connection=wire.name, reason=reason))


def agree(lab: Lab, store: AcceptedRequests) -> None:
    """Store and event log hold the same decisions: what one of them lacks after a crash is put in."""
    logged = store.take_in(lab.events, PEER_STIMULI)
    written = set(map(msgspec.json.encode, logged))
    for event in store.events():
        if msgspec.json.encode(event) not in written:
            lab.record(event)
