"""Peering Service: registration, keys, activation; then the proof of cold potato and its control runs (spec B)."""

from __future__ import annotations

import asyncio

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.bgp.policy import Policy, SetMed, Statement, Verdict
from peerlab.controller import probing
from peerlab.controller.cast import connections, customer_hosts, service_hosts
from peerlab.controller.lab import now_ns
from peerlab.controller.plan import EndIntent
from peerlab.controller.rehearsal import Rehearsal
from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import StimulusApplied
from peerlab.evidence.story import Moment
from peerlab.peering import command as ask
from peerlab.peering.enums import PrefixValidationState
from peerlab.peering.judgement import judge_registered, judge_service_prefix
from peerlab.peering.requests import registrations_from, service_prefixes_from, services_from
from peerlab.topology.model import NodeKind, PeeringServiceRequest

WRONG_KEY = "00000000-0000-0000-0000-000000000000"
"""No registration ever gets this key."""

MED_NEAR, MED_FAR = 10, 100
"""What the peer would say with MED if it were heard: the primary location is the worse one."""


async def routing(rehearsal: Rehearsal) -> None:
    """Activate what the topology registers, and look from every router of the WAN where it leaves."""
    await register(rehearsal)
    await activate(rehearsal)
    await look_around(rehearsal, Moment.ACTIVATED)
    if rehearsal.model.services:
        await hot_potato_control(rehearsal)
    await med_control(rehearsal)


async def register(rehearsal: Rehearsal) -> None:
    """The partners register prefixes and ASNs, and cannot register them twice; real routes validate each prefix."""
    desk = rehearsal.desk
    for put in registrations_from(rehearsal.model):
        desk.command(put)
        desk.is_refused(msgspec.structs.replace(put, name=f"{put.name}-again"))
        for other in rehearsal.model.peerings:
            if other.name != put.peering:
                desk.is_refused(msgspec.structs.replace(put, peering=other.name))
    seen = await rehearsal.lab.look()
    for key in sorted(desk.desk.ledger.registered_prefixes):
        desk.command(judge_registered(rehearsal.model, desk.desk.ledger, key, seen))


async def activate(rehearsal: Rehearsal) -> None:
    """The customers create their services and add prefixes; a wrong key is tried first and must fail."""
    desk, lab = rehearsal.desk, rehearsal.lab
    for put_service in services_from(rehearsal.model):
        desk.command(put_service)
    seen = await lab.look()
    failed: list[str] = []
    for put in service_prefixes_from(rehearsal.model, desk.desk.ledger):
        key = f"{put.service}/{put.name}".lower()
        desk.command(msgspec.structs.replace(put, prefix_key=WRONG_KEY))
        desk.command(judge_service_prefix(rehearsal.model, desk.desk.ledger, key, seen))
        if desk.desk.ledger.prefixes[key].state != PrefixValidationState.FAILED:
            raise RuntimeFailure(f"{key} was verified with a key that nobody was given")
        desk.command(ask.DeleteServicePrefix(prefix=key))
        desk.command(put)
        desk.command(judge_service_prefix(rehearsal.model, desk.desk.ledger, key, seen))
        record = desk.desk.ledger.prefixes[key]
        if not record.activated:
            failed.append(f"{key}: {record.error or record.state}")
        _refuse_second_provider(rehearsal, put)
    await desk.realise()
    await lab.wait_quiet()
    await watch(rehearsal)
    if failed:
        raise RuntimeFailure(f"prefixes that were not activated: {'; '.join(failed)}")


async def watch(rehearsal: Rehearsal) -> None:
    """From now on the edge routers tell of every change to the customers' prefixes."""
    rehearsal.monitor.start()
    await rehearsal.monitor.follow()


def _refuse_second_provider(rehearsal: Rehearsal, put: ask.PutServicePrefix) -> None:
    """The same prefix under another provider's service must be refused (spec S4)."""
    services: dict[str, PeeringServiceRequest] = {s.name: s for s in rehearsal.model.services}
    mine = services[put.service]
    for other in services.values():
        if other.provider_as != mine.provider_as:
            rehearsal.desk.is_refused(msgspec.structs.replace(put, service=other.name, name=f"{put.name}-again"))
            return


async def look_around(rehearsal: Rehearsal, moment: Moment) -> None:
    """A snapshot of every router, and traceroutes from every service to every customer, and back.

    Packets start at services and not at routers: the addresses of a WAN's routers are announced to nobody, so nobody
    could answer them.
    """
    lab = rehearsal.lab
    services, customers = service_hosts(rehearsal), customer_hosts(rehearsal)
    await lab.snapshot(moment)
    await asyncio.gather(
        *(
            probing.trace(lab, moment, source, destination, family)
            for customer in customers
            for service in services
            for source, destination in ((service, customer), (customer, service))
            for family in Family
        )
    )


async def hot_potato_control(rehearsal: Rehearsal) -> None:
    """The same lab with the location preference taken out: cold potato must fall, or the proof had no power."""
    rehearsal.desk.hot_potato = True
    try:
        await rehearsal.desk.realise()
        await rehearsal.lab.wait_quiet()
        await look_around(rehearsal, Moment.HOT_POTATO)
    finally:
        rehearsal.desk.hot_potato = False
        await rehearsal.desk.realise()
        await rehearsal.lab.wait_quiet()


async def med_control(rehearsal: Rehearsal) -> None:
    """The peers say with MED that another connection is nearer; Microsoft overwrites it, so nothing may move."""
    desk, lab, model = rehearsal.desk, rehearsal.lab, rehearsal.model
    by_peer: dict[int, str] = {}
    held: list[tuple[str, str]] = []
    for peering, connection in connections(rehearsal):
        for session_id in connection.sessions:
            session = model.session(session_id)
            if connection.edge not in (session.left.node, session.right.node):
                continue
            end = session.other(connection.edge)
            if model.node(end.node).kind is not NodeKind.EXABGP or model.node(end.node).route_server:
                continue
            first = by_peer.setdefault(peering.peer_asn, f"{peering.name}/{connection.name}")
            med = MED_FAR if first == f"{peering.name}/{connection.name}" else MED_NEAR
            policy = model.policies[end.export_policy]
            desk.extra[end.node, session_id] = EndIntent(
                node=end.node,
                session=session_id,
                import_policy=model.policies[end.import_policy],
                export_policy=_with_med(policy, med),
            )
            held.append((end.node, session_id))
            lab.record(
                StimulusApplied(
                    at=now_ns(),
                    stimulus=Moment.MED_SWAPPED,
                    node=end.node,
                    session=session_id,
                    detail={"session": session_id, "med": med},
                )
            )
    try:
        await desk.realise()
        await lab.wait_quiet()
        await look_around(rehearsal, Moment.MED_SWAPPED)
    finally:
        for key in held:
            desk.extra.pop(key, None)
        await desk.realise()
        await lab.wait_quiet()


def _with_med(policy: Policy, med: int) -> Policy:
    """The policy with a MED on everything it lets out."""
    statements = tuple(
        msgspec.structs.replace(s, actions=(*s.actions, SetMed(med))) if s.verdict is Verdict.ACCEPT else s
        for s in policy.statements
    )
    if policy.default is Verdict.ACCEPT:
        statements = (*statements, Statement(name="med", actions=(SetMed(med),), verdict=Verdict.ACCEPT))
    return msgspec.structs.replace(policy, name=f"{policy.name}-med-{med}", statements=statements)
