"""Carrying on with a rehearsal whose controller was killed: what is done stays done, what was begun is finished.

The turn-up (up to ALLOW) is played again from the phase that was interrupted, by a desk that passes over every
command whose effect the event log already holds. A later phase cannot be begun in its middle: what it broke is mended
and the phase counts as not ended well, so that its checks are INCONCLUSIVE and never a false PASS.
"""

from __future__ import annotations

from peerlab.controller.attached import attach_desk
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.link_test import FOREIGN_DESTINATION
from peerlab.controller.provision import Provisioner
from peerlab.controller.rehearsal import Rehearsal, Scene, Tell, gather_evidence, play
from peerlab.controller.storyline import scenes
from peerlab.evidence.events import AddressesChanged, Event, PhaseEnded, PhaseStarted
from peerlab.evidence.story import Phase
from peerlab.peering import command as ask
from peerlab.peering.command import Command
from peerlab.peering.enums import ConnectionState, ValidationState
from peerlab.runtime.base import RouteSpec
from peerlab.topology.load import load
from peerlab.verify.catalogue import judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding

REPEATABLE = frozenset({Phase.BUILD, Phase.REQUEST, Phase.LINK_TEST, Phase.DENY, Phase.VALIDATE, Phase.ALLOW})
"""Phases that a ``Resumed`` desk can play again from their beginning."""

INTERRUPTED = "its controller ended in the middle of it"
LINK_TEST_RANGE = "169.254."

TAKEN_UP_WITHIN = 60.0
"""Seconds in which sessions that a fault had taken down have to be back: a hold time and a connect retry."""


class Resumed(Provisioner):
    """A desk that is asked a second time for what it may have done already, and then does nothing."""

    def command(self, command: Command) -> tuple[Event, ...]:
        """As ``Provisioner.command``; nothing happens when the event log holds the command's effect."""
        return () if self._is_done(command) else super().command(command)

    def is_refused(self, command: Command) -> bool:
        """As ``Provisioner.is_refused``. What was granted later in the same phase had been refused before."""
        return self._is_done(command) or super().is_refused(command)

    def _is_done(self, command: Command) -> bool:
        ledger = self.desk.ledger
        if isinstance(command, ask.ApprovePeerAsn):
            record = ledger.peer_asns.get(command.peer_asn.lower())
            return record is not None and record.state is ValidationState.APPROVED
        if isinstance(command, ask.PutPeering):
            return command.name.lower() in ledger.peerings
        if isinstance(command, ask.ApproveConnection):
            return self._past(command, ConnectionState.PENDING_APPROVAL)
        if isinstance(command, ask.NotifyReady | ask.ProvisionSessions):
            return self._past(command, ConnectionState.PROVISIONING_STARTED, ConnectionState.APPROVED)
        if isinstance(command, ask.JudgeValidation):
            return self._past(command, ConnectionState.VALIDATING)
        if isinstance(command, ask.OpenPolicy):
            return self._past(command, ConnectionState.PROVISIONING_COMPLETED)
        return False

    def _past(
        self,
        command: ask.ApproveConnection | ask.NotifyReady | ask.ProvisionSessions | ask.JudgeValidation | ask.OpenPolicy,
        *states: ConnectionState,
    ) -> bool:
        """Whether the connection has left the states in which the command is for it."""
        record = self.connection(command.peering.lower(), command.connection)
        return record is not None and record.state not in states


async def take_up(name: str, tell: Tell) -> Rehearsal:
    """Take a running lab over, as its desk has it: what a stimulus or a fault had changed is put right first.

    Raises RefusedError when no lab of that name runs, LabBroken, TimedOut when its sessions do not come back.
    """
    lab = (await attach_desk(name)).lab
    try:
        return await lab.while_it_lasts(_put_right(lab, tell))
    except BaseException:
        await lab.close()
        raise


async def _put_right(lab: Lab, tell: Tell) -> Rehearsal:
    widest, model = lab.store.widest(), load(lab.store.path / "topology.yaml")
    if lab.model != model:
        await lab.use_model(model)
    desk = Resumed.of(lab)
    state = await lab.runtime.observe()
    for impairment in state.impairments:
        await lab.runtime.clear(impairment.node, impairment.interface, impairment.direction)
    for link in state.links:
        for end in (link.a, link.b):
            if not end.up:
                await lab.runtime.set_link(end.node, end.name, up=True)
    await _end_link_tests(lab, desk)
    steps = await desk.realise()
    tell(f"lab {lab.store.name} is taken over: {len(steps)} steps to what its desk has decided")
    await lab.wait_established(lab.expected_sessions(), within=TAKEN_UP_WITHIN)
    await lab.wait_quiet()
    return Rehearsal(lab=lab, desk=desk, tell=tell, model=model, widest=widest)


async def carry_on(rehearsal: Rehearsal, conformance: bool = False) -> tuple[Evidence, tuple[Finding, ...]]:
    """Play what is left of the story and judge all of it. Returns the evidence and every finding."""
    await play(rehearsal, remaining(rehearsal, conformance))
    rehearsal.tell("the verdict")
    evidence = await gather_evidence(rehearsal)
    return evidence, judge_all(evidence)


async def _end_link_tests(lab: Lab, desk: Provisioner) -> None:
    """A link test that was running has failed: its addresses and its decoy route go."""
    edges = {c.edge for peering in lab.model.peerings for c in peering.connections}
    nodes = edges | {c.peer for peering in lab.model.peerings for c in peering.connections}
    for node in sorted(nodes & {known.name for known in lab.model.nodes}):
        for held in await lab.runtime.addresses(node):
            if held.address.startswith(LINK_TEST_RANGE):
                gone = (held.address,)
                await lab.runtime.set_addresses(node, held.interface, remove=gone)
                lab.record(AddressesChanged(at=now_ns(), node=node, interface=held.interface, removed=gone))
    for node in sorted(edges):
        for route in await lab.runtime.kernel_routes(node, "ipv4"):
            if route.destination == f"{FOREIGN_DESTINATION}/32":
                decoy = RouteSpec(node=node, destination=route.destination, via=route.via)
                await lab.runtime.set_routes(remove=[decoy])
    for record in list(desk.desk.ledger.peerings.values()):
        for connection in record.connections:
            if connection.link_test is not None and connection.link_test.running:
                desk.command(
                    ask.FinishLinkTest(
                        peering=record.name, connection=connection.label, passed=False, detail=INTERRUPTED
                    )
                )


def remaining(rehearsal: Rehearsal, conformance: bool = False) -> tuple[Scene, ...]:
    """Scenes that are still to be played; those that did not end well are noted as broken, in the log too."""
    ended: dict[str, bool] = {}
    begun: set[str] = set()
    for event in rehearsal.lab.events:
        if isinstance(event, PhaseStarted):
            begun.add(event.phase)
        elif isinstance(event, PhaseEnded):
            ended[event.phase] = event.ok
    remaining = []
    for scene in scenes(conformance):
        if scene.phase in ended:
            if not ended[scene.phase]:
                rehearsal.broken.add(scene.phase)
        elif scene.phase in begun and scene.phase not in REPEATABLE:
            rehearsal.lab.record(PhaseEnded(at=now_ns(), phase=scene.phase, ok=False, why=INTERRUPTED))
            rehearsal.tell(f"{scene.title}: {INTERRUPTED}; it is not played again")
            rehearsal.broken.add(scene.phase)
        else:
            remaining.append(scene)
    return tuple(remaining)
