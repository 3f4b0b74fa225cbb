"""Deprovisioning one peering, drained first; then the same peering turned up again from zero (spec 2.1, DEP-01..06)."""

from __future__ import annotations

import asyncio

from peerlab.bgp.attributes import Family
from peerlab.controller import probing
from peerlab.controller.cast import customer_hosts, service_hosts
from peerlab.controller.lab import ESTABLISH_WITHIN, now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story import Moment, Stimulus
from peerlab.peering import command as ask
from peerlab.peering.enums import ConnectionState
from peerlab.peering.judgement import connection_verdicts, judge_registered, judge_service_prefix
from peerlab.peering.requests import registrations_from, requests_from, service_prefixes_from
from peerlab.topology.model import ConnectionRequest, PeeringRequest

DRAINED_WINDOW = 0.2
"""Seconds in which no packet of the streams may cross a drained connection: 200 packets of each."""


def chosen(rehearsal: Rehearsal) -> PeeringRequest | None:
    """The peering to take out: the last one with wires of its own, so that a lab with several has another way."""
    wired = [p for p in rehearsal.model.peerings if all(c.link is not None for c in p.connections)]
    return next(iter(reversed(wired or list(rehearsal.model.peerings))), None)


async def deprovision(rehearsal: Rehearsal) -> None:
    """Refuse the plain delete, drain, close with a reason, prove that nothing is left; then do it all again."""
    peering = chosen(rehearsal)
    if peering is None:
        return
    lab, desk = rehearsal.lab, rehearsal.desk
    desk.is_refused(ask.DeletePeering(peering=peering.name))
    async with probing.streams(lab, _streams(rehearsal, peering)):
        for connection in peering.connections:
            desk.command(ask.Deprovision(peering=peering.name, connection=connection.name))
            for session in connection.sessions:
                lab.record(
                    StimulusApplied(
                        at=now_ns(),
                        stimulus=Stimulus.DRAIN,
                        node=connection.edge,
                        session=session,
                        detail={"session": session, "peering": peering.name, "stream": str(Stimulus.DRAIN)},
                    )
                )
            # One connection at a time: two edges that drain at once point at each other until iBGP has told them.
            await desk.realise()
            await lab.wait_quiet()
        await asyncio.gather(*(_watch_drained(rehearsal, connection) for connection in peering.connections))
        for connection in peering.connections:
            desk.command(ask.CompleteRemoval(peering=peering.name, connection=connection.name))
        await desk.realise(f"peerlab: peering {peering.name} is deprovisioned")
        await lab.wait_quiet()
    for connection in peering.connections:
        desk.remove_peer(peering, connection)
    await desk.realise()
    await lab.wait_quiet()
    await lab.snapshot(Moment.DEPROVISIONED)
    await turn_up_again(rehearsal, peering)


def _streams(rehearsal: Rehearsal, peering: PeeringRequest) -> list[probing.StreamPlan]:
    """From the service next to the peering's edges to the customers behind it, and back."""
    model = rehearsal.model
    services, customers = service_hosts(rehearsal), customer_hosts(rehearsal)
    if not services or not customers:
        return []
    metro = peering.metro
    near = next((s for s in services if _gateway_metro(rehearsal, s) == metro), services[0])
    behind = [c for c in customers if model.node(c).as_name != peering.peer_as][:2] or customers[:1]
    pairs = [pair for customer in behind for pair in ((near, customer), (customer, near))]
    return probing.stream_plans(Stimulus.DRAIN, pairs, Family)


def _gateway_metro(rehearsal: Rehearsal, host: str) -> str | None:
    """The metro of the router that a host hangs on."""
    model = rehearsal.model
    for link in model.links:
        names = [end.node for end in link.ends]
        if host in names:
            other = next(name for name in names if name != host)
            return model.node(other).metro
    return None


async def _watch_drained(rehearsal: Rehearsal, connection: ConnectionRequest) -> None:
    """Count the streams' packets that still cross the edge's interface of a drained connection."""
    lab, model = rehearsal.lab, rehearsal.model
    interfaces = {
        end.interface
        for session in (model.session(s) for s in connection.sessions)
        for end in (session.left, session.right)
        if end.node == connection.edge and end.interface is not None
    }
    crossed = 0
    for interface in sorted(interfaces):
        watcher = await lab.runtime.task(
            connection.edge,
            probing.SNIFF,
            {
                "interface": interface,
                "filter": {"protocol": "udp", "direction": "out"},
                "seconds": DRAINED_WINDOW,
                "with_frames": False,
            },
        )
        crossed += int((await watcher.result())["matched"])
    for session in connection.sessions:
        lab.record(
            StimulusObserved(
                at=now_ns(),
                stimulus=Stimulus.DRAIN,
                node=connection.edge,
                detail={"session": session, "packets_after": crossed, "window": DRAINED_WINDOW},
            )
        )


async def turn_up_again(rehearsal: Rehearsal, peering: PeeringRequest) -> None:
    """The same requests from zero, without the optional link test; everything must come out as before (DEP-06)."""
    lab, desk, model = rehearsal.lab, rehearsal.desk, rehearsal.model
    for wanted in requests_from(model):
        for put in wanted.put_peerings:
            if put.name == peering.name:
                desk.command(put)
    for connection in peering.connections:
        names = {"peering": peering.name, "connection": connection.name}
        loa = f"LOA-{peering.name}-{connection.name}-2" if connection.link else ""
        desk.command(ask.ApproveConnection(**names, loa=loa))
        desk.configure_peer(peering, connection)
        desk.command(ask.NotifyReady(**names))
        desk.command(ask.ProvisionSessions(peering=peering.name, connection=connection.name))
    await desk.realise()
    await lab.wait_established([s for c in peering.connections for s in c.sessions], ESTABLISH_WITHIN)
    await lab.wait_quiet()
    seen = await lab.look()
    for connection in peering.connections:
        verdicts = connection_verdicts(model, peering, connection, seen)
        names = {"peering": peering.name, "connection": connection.name}
        desk.command(ask.JudgeValidation(**names, verdicts=verdicts))
        record = desk.connection(peering.name, connection.name)
        if record is None or record.state != ConnectionState.PROVISIONING_COMPLETED:
            raise RuntimeFailure(f"{peering.name}/{connection.name} does not validate when it is turned up again")
        desk.command(ask.OpenPolicy(**names))
    await desk.realise()
    await lab.wait_quiet()
    await _register_again(rehearsal, peering)
    await desk.realise()
    await lab.wait_quiet()
    await lab.snapshot(Moment.REPROVISIONED)


async def _register_again(rehearsal: Rehearsal, peering: PeeringRequest) -> None:
    """Registrations went with the peering and come back with new keys; prefixes that used them need the new ones."""
    lab, desk, model = rehearsal.lab, rehearsal.desk, rehearsal.model
    mine = [put for put in registrations_from(model) if put.peering == peering.name]
    if not mine:
        return
    for put in mine:
        desk.command(put)
    seen = await lab.look()
    for key in sorted(desk.desk.ledger.registered_prefixes):
        if desk.desk.ledger.registered_prefixes[key].peering == peering.name:
            desk.command(judge_registered(model, desk.desk.ledger, key, seen))
    for wanted in service_prefixes_from(model, desk.desk.ledger):
        key = f"{wanted.service}/{wanted.name}".lower()
        held = desk.desk.ledger.prefixes.get(key)
        if held is not None and held.prefix_key != wanted.prefix_key:
            desk.command(ask.DeleteServicePrefix(prefix=key))
            desk.command(wanted)
            desk.command(judge_service_prefix(model, desk.desk.ledger, key, seen))
