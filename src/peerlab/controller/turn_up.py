"""The turn-up, scene by scene: request, link test, DENY ALL, validation, ALLOW (spec S3, 3.2, 3.3, 3.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.role import otc_on_egress
from peerlab.controller import fault, probing
from peerlab.controller.cast import connections, customer_hosts, service_hosts, sessions_of
from peerlab.controller.early_traffic import offer, watched
from peerlab.controller.lab import ESTABLISH_WITHIN, now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.errors import PeerlabError, RuntimeFailure
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story import Moment, Stimulus
from peerlab.peering import command as ask
from peerlab.peering.enums import ConnectionState
from peerlab.peering.judgement import connection_verdicts
from peerlab.peering.requests import requests_from
from peerlab.router.protocol import Announce, RefreshSession, ShutSession, Withdraw
from peerlab.topology.model import ConnectionRequest, NodeKind, PeeringRequest, Session

SILENCE_WATCHED = 0.75
"""Seconds for which the converged lab is watched before anything else is done to it."""

REBOUND_WITHIN = 20.0
"""Seconds in which a session that was reset has to be back."""


def all_sessions(rehearsal: Rehearsal) -> list[str]:
    """Ids of every session of every connection."""
    return [session_id for _, connection in connections(rehearsal) for session_id in connection.sessions]


async def request(rehearsal: Rehearsal) -> None:
    """PeerAsn, peering, approval: and what must be refused on the way is asked for too."""
    desk = rehearsal.desk
    for wanted in requests_from(rehearsal.model):
        desk.command(wanted.put_peer_asn)
        for put in wanted.put_peerings:
            if not desk.is_refused(put):
                raise RuntimeFailure(f"the desk took {put.name} although its PeerAsn is not approved")
        desk.command(ask.ApprovePeerAsn(peer_asn=wanted.put_peer_asn.name))
        for agreement in wanted.agreements:
            desk.command(agreement)
        for put in wanted.put_peerings:
            desk.command(put)
    for peering, connection in connections(rehearsal):
        loa = f"LOA-{peering.name}-{connection.name}" if connection.link else ""
        desk.command(ask.ApproveConnection(peering=peering.name, connection=connection.name, loa=loa))
    for peering in rehearsal.model.peerings:
        desk.is_refused(ask.DeletePeering(peering=peering.name))
    await desk.realise()


async def deny(rehearsal: Rehearsal) -> None:
    """The peers configure BGP and notify; Microsoft provisions under DENY ALL; nothing may pass, come what may."""
    lab, desk = rehearsal.lab, rehearsal.desk
    for peering, connection in connections(rehearsal):
        desk.configure_peer(peering, connection)
        desk.command(ask.NotifyReady(peering=peering.name, connection=connection.name))
        desk.command(
            ask.ProvisionSessions(
                peering=peering.name,
                connection=connection.name,
                configured=await _configured_neighbors(rehearsal, connection),
            )
        )
    await desk.realise()
    await lab.wait_established(all_sessions(rehearsal), ESTABLISH_WITHIN)
    await lab.wait_quiet()
    await lab.snapshot(Moment.UNDER_DENY)
    await _press_against_deny(rehearsal)
    await _restart_under_deny(rehearsal)
    await _offer_traffic(rehearsal)
    await lab.snapshot(Moment.UNDER_DENY_STIMULATED)


async def _configured_neighbors(
    rehearsal: Rehearsal, connection: ConnectionRequest
) -> tuple[ask.ConfiguredNeighbor, ...]:
    facts = await (await rehearsal.lab.router(connection.edge)).sessions()
    return tuple(ask.ConfiguredNeighbor(fact.peer_address, fact.peer_as) for fact in facts)


async def _press_against_deny(rehearsal: Rehearsal) -> None:
    """A new announcement, a route refresh and a bounce on one session of each family: DENY ALL must be sticky."""
    chosen: dict[Family, tuple[ConnectionRequest, Session]] = {}
    for _, connection in connections(rehearsal):
        for session in sessions_of(rehearsal, connection):
            peer = session.other(connection.edge).node if _is_end(session, connection.edge) else connection.peer
            kinds = {rehearsal.model.node(node).kind for node in (peer, connection.edge)}
            if kinds == {NodeKind.EXABGP} and _is_end(session, connection.edge):
                chosen.setdefault(session.family, (connection, session))
    await asyncio.gather(*(_press(rehearsal, connection.edge, session) for connection, session in chosen.values()))


def _is_end(session: Session, node: str) -> bool:
    return node in (session.left.node, session.right.node)


def spare_prefix(rehearsal: Rehearsal, node: str, family: Family) -> Prefix | None:
    """A more-specific to announce on purpose: of what the node's AS originates, or of any AS but the cloud's where it
    originates nothing (a route server); None when nobody originates anything of the family."""
    known = rehearsal.model.as_of(node)
    cloud = rehearsal.model.cloud()
    others = [one for one in rehearsal.model.ases if one != cloud]
    for holder in ([known] if known is not None and known.prefixes else others):
        for prefix in holder.prefixes:
            address, _, length = prefix.partition("/")
            if (Family.IPV6 if ":" in address else Family.IPV4) is family:
                return Prefix(f"{address}/{int(length) + 1}")
    return None


async def _press(rehearsal: Rehearsal, edge: str, session: Session) -> None:
    lab = rehearsal.lab
    peer_end = session.other(edge)
    peer = await lab.router(peer_end.node)
    edge_router = await lab.router(edge)
    prefix = spare_prefix(rehearsal, peer_end.node, session.family)
    if prefix is not None:
        attributes = PathAttributes(
            as_path=(Segment(SegmentType.AS_SEQUENCE, (peer_end.asn,)),), next_hop=peer_end.address
        )
        if peer_end.role is not None:
            otc = otc_on_egress(peer_end.role, attributes, peer_end.asn)
            attributes = msgspec.structs.replace(attributes, otc=otc)
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=Stimulus.NEW_ANNOUNCEMENT,
                node=peer_end.node,
                session=session.id,
                detail={"session": session.id, "prefix": prefix},
            )
        )
        await peer.ask(Announce(session=session.id, prefixes=(prefix,), attributes=attributes))
        await lab.wait_quiet((peer_end.node, edge))
    before = {fact.session: fact for fact in await edge_router.sessions()}[session.id]
    lab.record(
        StimulusApplied(
            at=now_ns(),
            stimulus=Stimulus.ROUTE_REFRESH,
            node=edge,
            session=session.id,
            detail={"session": session.id},
        )
    )
    await edge_router.ask(RefreshSession(session=session.id))
    await lab.wait_quiet((peer_end.node, edge))
    after = {fact.session: fact for fact in await edge_router.sessions()}[session.id]
    lab.record(
        StimulusObserved(
            at=now_ns(),
            stimulus=Stimulus.ROUTE_REFRESH,
            node=edge,
            detail={"session": session.id, "uptime_kept": before.since == after.since},
        )
    )
    lab.record(
        StimulusApplied(
            at=now_ns(),
            stimulus=Stimulus.BOUNCE,
            node=edge,
            session=session.id,
            detail={"session": session.id},
        )
    )
    await edge_router.ask(ShutSession(session=session.id, reset=True, communication="peerlab: bounce under DENY ALL"))
    await lab.wait_down((session.id,), REBOUND_WITHIN)
    await lab.wait_established((session.id,), REBOUND_WITHIN)
    await lab.wait_quiet((peer_end.node, edge))
    if prefix is not None:
        await peer.ask(Withdraw(session=session.id, prefixes=(prefix,)))
    lab.record(
        StimulusObserved(
            at=now_ns(),
            stimulus=Stimulus.BOUNCE,
            node=edge,
            detail={"session": session.id, "established": True},
        )
    )


async def _restart_under_deny(rehearsal: Rehearsal) -> None:
    """The first connection's edge router is killed and started again: it must come back with DENY ALL in force."""
    first = next(connections(rehearsal), None)
    if first is None:
        return
    lab, connection = rehearsal.lab, first[1]
    edge = rehearsal.model.node(connection.edge)
    mine = [s.id for s in sessions_of(rehearsal, connection) if _is_end(s, edge.name)]
    for session in mine:
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=Stimulus.ROUTER_RESTARTED,
                node=edge.name,
                session=session,
                detail={"session": session},
            )
        )
    await fault.kill_router(lab, edge)
    await fault.restart_router(lab, edge)
    of_edge = [s for s in lab.expected_sessions() if _is_end(rehearsal.model.session(s), edge.name)]
    await lab.wait_established(of_edge, REBOUND_WITHIN)
    await lab.wait_quiet()
    for session in mine:
        lab.record(
            StimulusObserved(
                at=now_ns(),
                stimulus=Stimulus.ROUTER_RESTARTED,
                node=edge.name,
                detail={"session": session, "established": True},
            )
        )


async def _fail_first(rehearsal: Rehearsal) -> None:
    """A peer advertises a default route; validation must fail and DENY ALL stay (HELP/e6abe37c). Then it mends it."""
    for peering, connection in connections(rehearsal):
        sessions = [s for s in sessions_of(rehearsal, connection) if _is_end(s, connection.edge)]
        session = next((s for s in sessions if s.family is Family.IPV4), None)
        if session is None:
            continue
        end = session.other(connection.edge)
        if rehearsal.model.node(end.node).kind is not NodeKind.EXABGP:
            continue
        lab, desk = rehearsal.lab, rehearsal.desk
        peer = await lab.router(end.node)
        path = (Segment(SegmentType.AS_SEQUENCE, (end.asn,)),)
        default = (Prefix("0.0.0.0/0"),)
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=Stimulus.BAD_ADVERTISEMENT,
                node=end.node,
                session=session.id,
                detail={"session": session.id, "prefixes": list(default)},
            )
        )
        await peer.ask(
            Announce(
                session=session.id,
                prefixes=default,
                attributes=PathAttributes(as_path=path, next_hop=end.address),
            )
        )
        await lab.wait_quiet((end.node, connection.edge))
        verdicts = connection_verdicts(rehearsal.model, peering, connection, await lab.look())
        desk.command(ask.JudgeValidation(peering=peering.name, connection=connection.name, verdicts=verdicts))
        await peer.ask(Withdraw(session=session.id, prefixes=default))
        await lab.wait_quiet((end.node, connection.edge))
        if _state(rehearsal, peering, connection) != ConnectionState.VALIDATING:
            raise RuntimeFailure(f"{peering.name}/{connection.name} passed validation with a default route advertised")
        return


async def _offer_traffic(rehearsal: Rehearsal) -> None:
    """Customer packets under DENY ALL; a route refresh on every session gives the sniffers something to see.

    Of the daemons only ExaBGP can be made to ask for one; sniffers that see nothing leave the check INCONCLUSIVE.
    """
    subjects = [watched(rehearsal.model, p, c) for p, c in connections(rehearsal)]

    async def refresh() -> None:
        for _, connection in connections(rehearsal):
            for session in sessions_of(rehearsal, connection):
                cloud = rehearsal.model.cloud()
                edge = session.left if cloud is None or session.left.asn == cloud.asn else session.right
                if rehearsal.model.node(edge.node).kind is NodeKind.EXABGP:
                    await (await rehearsal.lab.router(edge.node)).ask(RefreshSession(session=session.id))
        await rehearsal.lab.wait_quiet()

    await offer(rehearsal, "deny", subjects, refresh)


async def validate(rehearsal: Rehearsal) -> None:
    """End-to-end validation of every connection from what its edge holds in Adj-RIB-In (spec S3, 4.3)."""
    desk = rehearsal.desk
    await _fail_first(rehearsal)
    seen = await rehearsal.lab.look()
    for peering, connection in connections(rehearsal):
        verdicts = connection_verdicts(rehearsal.model, peering, connection, seen)
        desk.command(ask.JudgeValidation(peering=peering.name, connection=connection.name, verdicts=verdicts))
    failed = [
        f"{peering.name}/{connection.name}"
        for peering, connection in connections(rehearsal)
        if _state(rehearsal, peering, connection) != ConnectionState.PROVISIONING_COMPLETED
    ]
    if failed:
        raise RuntimeFailure(f"validation failed for {', '.join(failed)}: the policy stays DENY ALL")
    for peering in rehearsal.model.peerings:
        desk.is_refused(ask.DeletePeering(peering=peering.name))


def _state(rehearsal: Rehearsal, peering: PeeringRequest, connection: ConnectionRequest) -> str:
    record = rehearsal.desk.connection(peering.name, connection.name)
    return record.state if record else "removed"


async def allow(rehearsal: Rehearsal) -> None:
    """DENY ALL is replaced in one step; then packets prove it in both directions and families."""
    lab, desk = rehearsal.lab, rehearsal.desk
    for peering, connection in connections(rehearsal):
        desk.command(ask.OpenPolicy(peering=peering.name, connection=connection.name))
    await desk.realise()
    await lab.wait_quiet()
    await lab.snapshot(Moment.ALLOWED)
    await asyncio.gather(prove_both_ways(rehearsal, Moment.ALLOWED), _watch_silence(rehearsal))


async def _watch_silence(rehearsal: Rehearsal) -> None:
    """Let the converged lab be for a while: a router that has nothing to say must say nothing (RTG-13)."""
    for peering, connection in connections(rehearsal):
        node, interface = watched(rehearsal.model, peering, connection).ends[0]
        arguments = {"interface": interface, "seconds": SILENCE_WATCHED, "with_frames": False}
        await (await rehearsal.lab.runtime.task(node, probing.SNIFF, arguments)).result()
        return


async def prove_both_ways(rehearsal: Rehearsal, name: str) -> None:
    """ICMP, TCP and a traceroute between a service and every customer host, both ways, both families."""
    lab = rehearsal.lab
    services, customers = service_hosts(rehearsal), customer_hosts(rehearsal)
    if not services:
        return
    service = services[0]
    pairs = [pair for customer in customers for pair in ((customer, service), (service, customer))]
    works: list[Coroutine[Any, Any, object]] = []
    for source, destination in pairs:
        for family in Family:
            works.append(probing.ping(lab, name, source, destination, family))
            works.append(probing.trace(lab, name, source, destination, family))
    results = await asyncio.gather(*works, return_exceptions=True)
    problems = [result for result in results if isinstance(result, BaseException)]
    for problem in problems:
        if not isinstance(problem, PeerlabError):
            raise problem
    for port, (source, destination) in enumerate(pairs):
        for family in Family:
            await probing.tcp(lab, name, source, destination, family, port=probing.TCP_PORT + port)
    if problems:
        raise problems[0]
