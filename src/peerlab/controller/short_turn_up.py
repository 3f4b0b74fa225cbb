"""Every connection of a lab turned up the short way: the same commands, none of the rehearsal's stimuli.

What a test or a sweep starts from: policy open, registered prefixes activated, converged. Nothing is proven on the way;
`storyline.rehearse` is what proves a turn-up.
"""

from __future__ import annotations

from peerlab.controller.cast import connections
from peerlab.controller.lab import ESTABLISH_WITHIN, Lab
from peerlab.controller.peering_service import activate, register
from peerlab.controller.rehearsal import Rehearsal, Tell
from peerlab.controller.turn_up import all_sessions, request
from peerlab.errors import RuntimeFailure
from peerlab.peering import command as ask
from peerlab.peering.enums import ConnectionState
from peerlab.peering.judgement import connection_verdicts


async def turn_up_all(lab: Lab, tell: Tell) -> Rehearsal:
    """Request, provision, validate and open every connection of the topology, then activate its service prefixes.

    Raises RuntimeFailure when a connection does not validate (its policy stays DENY ALL), TimedOut, LabBroken.
    """
    rehearsal = Rehearsal.of(lab, tell)
    await lab.while_it_lasts(_turn_up(rehearsal))
    return rehearsal


async def _turn_up(rehearsal: Rehearsal) -> None:
    lab, desk, model = rehearsal.lab, rehearsal.desk, rehearsal.model
    if model.peerings:
        await request(rehearsal)
    for peering, connection in connections(rehearsal):
        names = {"peering": peering.name, "connection": connection.name}
        desk.configure_peer(peering, connection)
        desk.command(ask.NotifyReady(**names))
        desk.command(ask.ProvisionSessions(peering=peering.name, connection=connection.name))
    await desk.realise()
    await lab.wait_established(all_sessions(rehearsal), ESTABLISH_WITHIN)
    await lab.wait_quiet()
    seen = await lab.look()
    for peering, connection in connections(rehearsal):
        names = {"peering": peering.name, "connection": connection.name}
        verdicts = connection_verdicts(model, peering, connection, seen)
        desk.command(ask.JudgeValidation(**names, verdicts=verdicts))
        record = desk.connection(peering.name, connection.name)
        if record is None or record.state != ConnectionState.PROVISIONING_COMPLETED:
            failed = "; ".join(f"{one.rule}: {one.message}" for one in verdicts if not one.passed)
            where = f"{peering.name}/{connection.name}"
            raise RuntimeFailure(f"{where} does not validate, its policy stays DENY ALL: {failed}")
        desk.command(ask.OpenPolicy(**names))
    await desk.realise()
    await lab.wait_quiet()
    if model.peerings:
        await register(rehearsal)
        await activate(rehearsal)
