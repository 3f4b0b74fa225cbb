"""Microsoft's desk wired to the lab: commands become events, events become intent, intent becomes sessions."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.plan import EndIntent, Intent, Step
from peerlab.errors import RefusedError
from peerlab.evidence.events import Event, PolicyStageChanged, StimulusApplied
from peerlab.peering.catalogue import catalogue_of
from peerlab.peering.command import Command
from peerlab.peering.desk import Desk, refused
from peerlab.peering.intent import EdgeEnd, bfd_of, edge_ends
from peerlab.peering.record import ConnectionRecord
from peerlab.topology.model import ConnectionRequest, PeeringRequest

PEER_CONFIGURED = "peer-configured"
"""Stimulus name under which the log keeps that a peer has configured its side of a connection."""

PEER_REMOVED = "peer-removed"
"""The peer has taken its side out again."""


def new_guid() -> str:
    """A fresh GUID, as Microsoft hands out for connections and prefix keys."""
    return str(uuid.uuid4())


@dataclass
class Provisioner:
    """Plays Microsoft's side. ``extra`` are ends that a stimulus wants besides (examiners, changed policies).

    ``keep``, when there is one, stores what a request led to, whole or not at all, before anything comes of it.
    """

    lab: Lab
    desk: Desk
    configured: set[tuple[str, str]] = field(default_factory=set)
    extra: dict[tuple[str, str], EndIntent] = field(default_factory=dict)
    hot_potato: bool = False
    keep: Callable[[str, tuple[Event, ...]], None] | None = None
    _stages: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, lab: Lab) -> Provisioner:
        """The desk as the lab's event log makes it: a new controller carries on from there."""
        events = lab.events
        made = cls(lab=lab, desk=Desk(catalogue_of(lab.model), events))
        for event in events:
            if isinstance(event, StimulusApplied) and event.stimulus == PEER_CONFIGURED:
                made.configured.add((str(event.detail["peering"]), str(event.detail["connection"])))
            elif isinstance(event, StimulusApplied) and event.stimulus == PEER_REMOVED:
                made.configured.discard((str(event.detail["peering"]), str(event.detail["connection"])))
            elif isinstance(event, PolicyStageChanged):
                made._stages.update({(event.node, session): event.stage for session in event.sessions})
        return made

    def command(self, command: Command) -> tuple[Event, ...]:
        """Ask the desk. A refusal is written to the log and raised as RefusedError; nothing has changed then."""
        try:
            events = self.desk.handle(command, now=now_ns(), new_id=new_guid)
        except RefusedError as error:
            self.lab.record(refused(command, error, now=now_ns()))
            raise
        self._write(type(command).__name__, events)
        for event in events:
            self.desk.apply(event)
        return events

    def _write(self, request: str, events: tuple[Event, ...]) -> None:
        if self.keep is not None and events:
            self.keep(request, events)
        for event in events:
            self.lab.record(event)

    def is_refused(self, command: Command) -> bool:
        """Ask the desk for something that it must refuse. True when it did; the log tells either way."""
        try:
            self.command(command)
        except RefusedError:
            return True
        return False

    def connection(self, peering: str, connection: str) -> ConnectionRecord | None:
        """The desk's record of a connection, None when there is none."""
        record = self.desk.ledger.peerings.get(peering)
        return record.connection(connection) if record else None

    def configure_peer(self, peering: PeeringRequest, connection: ConnectionRequest) -> None:
        """The peer configures BGP on its side; ``realise`` makes it so."""
        self.configured.add((peering.name, connection.name))
        self._tell_peer(PEER_CONFIGURED, peering, connection)

    def remove_peer(self, peering: PeeringRequest, connection: ConnectionRequest) -> None:
        """The peer takes its side out of its configuration; ``realise`` makes it so."""
        self.configured.discard((peering.name, connection.name))
        self._tell_peer(PEER_REMOVED, peering, connection)

    def _tell_peer(self, what: str, peering: PeeringRequest, connection: ConnectionRequest) -> None:
        told = StimulusApplied(
            at=now_ns(),
            stimulus=what,
            node=connection.peer,
            detail={"peering": peering.name, "connection": connection.name},
        )
        self._write(what, (told,))

    def intent(self) -> Intent:
        """What the lab should be now, beyond the model's own sessions."""
        ends: dict[tuple[str, str], EndIntent] = {}
        for end in self._peer_ends():
            ends[end.node, end.session] = end
        for edge in self.edges():
            ends[edge.node, edge.session] = EndIntent(
                node=edge.node,
                session=edge.session,
                import_policy=edge.import_policy,
                export_policy=edge.export_policy,
                configuration={"bfd": edge.bfd},
            )
        ends.update(self.extra)
        return Intent(ends=tuple(ends.values()))

    def edges(self) -> tuple[EdgeEnd, ...]:
        """The cloud's ends that the desk wants, each with its stage and policies."""
        return edge_ends(self.lab.model, self.desk.ledger, hot_potato=self.hot_potato)

    def _peer_ends(self) -> Iterable[EndIntent]:
        model = self.lab.model
        for session in model.sessions:
            if session.connection is None:
                continue
            peering, _, connection = session.connection.rpartition("/")
            if (peering, connection) not in self.configured:
                continue
            cloud = model.cloud()
            holder = self.desk.ledger.holder(peering)
            record = holder.connection(connection) if holder else None
            peer_end = session.left if cloud is None or session.left.asn != cloud.asn else session.right
            yield EndIntent(
                node=peer_end.node,
                session=session.id,
                import_policy=model.policies[peer_end.import_policy],
                export_policy=model.policies[peer_end.export_policy],
                configuration={"bfd": bfd_of(session, record) if record else session.bfd},
            )

    async def realise(self, communication: str = "") -> tuple[Step, ...]:
        """Make the lab what the desk says, and write down each policy stage that is now in force.

        A stage event carries the time of the order, not of the answer: what the new policy sends may be on the wire
        before the router's confirmation is read, and nothing of it can be before the order.
        """
        ordered = now_ns()
        steps = await self.lab.reconcile(self.intent(), communication)
        changed: dict[tuple[str, str], list[str]] = {}
        standing: dict[tuple[str, str], str] = {}
        for edge in self.edges():
            if edge.stage is None:
                continue
            standing[edge.node, edge.session] = edge.stage
            if self._stages.get((edge.node, edge.session)) != edge.stage:
                changed.setdefault((edge.node, edge.stage), []).append(edge.session)
        self._stages = standing
        for (node, stage), sessions in changed.items():
            self.lab.record(PolicyStageChanged(at=ordered, node=node, sessions=tuple(sorted(sessions)), stage=stage))
        return steps
