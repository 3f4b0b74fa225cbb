"""Failover: links, locations and sessions lost one after the other, with 1 kHz streams running through each loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.policy import AddCommunities, Policy, SetLocalPref, Statement, Verdict
from peerlab.controller import fault, probing, survivor_load
from peerlab.controller.cast import connections, customer_hosts, service_hosts
from peerlab.controller.lab import ESTABLISH_WITHIN, now_ns
from peerlab.controller.plan import EndIntent
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story import Moment, Stimulus
from peerlab.router.protocol import OpenSession, Originate, ShutSession, WithdrawOrigin
from peerlab.topology.model import ConnectionRequest, Link, NodeKind, PeeringRequest, Session

GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326 section 5."""

SILENCE_MARGIN = 4.0
"""Seconds beyond the hold time in which a silent session has to be down (whole-second timers, RFC 4271 section 10)."""

MAINTENANCE = "peerlab: planned maintenance"


@dataclass(frozen=True)
class Subject:
    """What the failures are measured on: a service, customers, and the connections that carry them, primary first.

    One of the first two customers has the internet as its backup where there is such a one, for FLV-03.
    """

    service: str
    customers: tuple[str, ...]
    primary: tuple[tuple[PeeringRequest, ConnectionRequest], ...]
    backup: tuple[tuple[PeeringRequest, ConnectionRequest], ...]
    to_internet: bool = False
    """Without its primary location the first customer is reached over the internet, whatever else there is."""


def subject_of(rehearsal: Rehearsal) -> Subject | None:
    """The Peering Service connections' locations where there are any, else the first peering's; None without hosts."""
    model = rehearsal.model
    services, customers = service_hosts(rehearsal), customer_hosts(rehearsal)
    every = tuple(connections(rehearsal))
    wired = tuple((p, c) for p, c in every if c.link is not None)
    if not services or not customers or not every:
        return None
    if not model.services or not wired:
        primary = tuple(pair for pair in every if pair[0].metro == every[0][0].metro)
        return Subject(services[0], tuple(customers), primary, tuple(pair for pair in every if pair not in primary))
    provider, metro = model.services[0].provider_as, model.services[0].primary_metro
    owners = {service.customer_as for service in model.services if service.provider_as == provider}
    hosts = [n.name for n in model.nodes if n.kind is NodeKind.HOST and n.as_name in owners]
    kept = {s.customer_as for s in model.services if s.backup_metro is not None}
    hosts[1:] = sorted(hosts[1:], key=lambda name: model.node(name).as_name in kept)
    primary = tuple(pair for pair in wired if pair[0].peer_as == provider and pair[0].metro == metro)
    backup = tuple(pair for pair in wired if pair[0].peer_as == provider and pair[0].metro != metro)
    to_internet = bool(hosts) and model.node(hosts[0]).as_name not in kept
    return Subject(services[0], tuple(hosts or customers), primary, backup, to_internet)


@asynccontextmanager
async def _load(rehearsal: Rehearsal, subject: Subject, moment: Moment, moves: bool) -> AsyncIterator[None]:
    """A load that has to move to other connections runs meanwhile, where there are wires to count it on (FLV-13)."""
    primary, backup = ([c for _, c in pairs] for pairs in (subject.primary, subject.backup))
    if not moves or not rehearsal.model.services or any(c.link is None for c in (*primary, *backup)):
        yield
        return
    async with survivor_load.offered(rehearsal, moment, subject.service, subject.customers[0], primary, backup):
        yield


def links_of(rehearsal: Rehearsal, pairs: Iterable[tuple[PeeringRequest, ConnectionRequest]]) -> list[Link]:
    """The wires that connections run over: their own, or the edges' ports on an exchange."""
    model = rehearsal.model
    ends = {
        (end.node, end.interface)
        for _, connection in pairs
        for session in _session_pair(rehearsal, connection)
        for end in (session.left, session.right)
        if model.node(end.node).asn == model.node(connection.edge).asn
    }
    return [link for link in model.links if any((end.node, end.interface) in ends for end in link.ends)]


async def failover(rehearsal: Rehearsal) -> None:
    """The whole order of failures of spec 3.8, each mended before the next unless it builds on it."""
    subject = subject_of(rehearsal)
    if subject is None:
        return
    primary = links_of(rehearsal, subject.primary)
    backup = links_of(rehearsal, subject.backup)
    if len(primary) > 1:
        async with _load(rehearsal, subject, Moment.LOCAL_LINK_LOST, moves=True):
            await _lose(rehearsal, subject, Moment.LOCAL_LINK_LOST, primary[:1])
        await _mend(rehearsal, subject, Moment.LOCAL_LINK_LOST, primary[:1])
    async with _load(rehearsal, subject, Moment.PRIMARY_LOST, moves=bool(backup) and not subject.to_internet):
        await _lose(rehearsal, subject, Moment.PRIMARY_LOST, primary)
    if backup:
        await _lose(rehearsal, subject, Moment.PRIVATE_LOST, backup)
    else:
        await rehearsal.lab.snapshot(Moment.PRIVATE_LOST)
        await _trace_both_ways(rehearsal, subject, Moment.PRIVATE_LOST)
    await _mend(rehearsal, subject, Moment.RESTORED, [*primary, *backup])
    await rehearsal.lab.snapshot(Moment.RESTORED)
    await _trace_both_ways(rehearsal, subject, Moment.RESTORED)
    await silent_failure(rehearsal, subject)
    await graceful_shutdown(rehearsal, subject)
    await withdrawal(rehearsal, subject)


def _streams(subject: Subject, name: str) -> list[probing.StreamPlan]:
    pairs = [pair for c in subject.customers[:2] for pair in ((subject.service, c), (c, subject.service))]
    return probing.stream_plans(name, pairs, (Family.IPV4, Family.IPV6))


def _sessions_over(rehearsal: Rehearsal, links: Sequence[Link]) -> list[str]:
    """Sessions of connections that run over these links."""
    ends = {(end.node, end.interface) for link in links for end in link.ends}
    return [
        session.id
        for _, connection in connections(rehearsal)
        for session in _session_pair(rehearsal, connection)
        if any((end.node, end.interface) in ends for end in (session.left, session.right))
    ]


async def _lose(rehearsal: Rehearsal, subject: Subject, moment: Moment, links: Sequence[Link]) -> None:
    lab = rehearsal.lab
    async with probing.streams(lab, _streams(subject, moment)):
        await asyncio.gather(*(fault.set_link(lab, link, up=False) for link in links))
        await lab.wait_down(_sessions_over(rehearsal, links), ESTABLISH_WITHIN)
        await lab.wait_quiet()
        await _trace_both_ways(rehearsal, subject, moment)
    await lab.snapshot(moment)


async def _mend(rehearsal: Rehearsal, subject: Subject, moment: Moment, links: Sequence[Link]) -> None:
    lab = rehearsal.lab
    async with probing.streams(lab, _streams(subject, f"{moment}-mended")):
        await asyncio.gather(*(fault.set_link(lab, link, up=True) for link in links))
        await lab.wait_established(_sessions_over(rehearsal, links), ESTABLISH_WITHIN)
        await lab.wait_quiet()


async def _trace_both_ways(rehearsal: Rehearsal, subject: Subject, moment: Moment) -> None:
    lab = rehearsal.lab
    works: list[Coroutine[Any, Any, object]] = []
    for customer in subject.customers:
        for family in Family:
            for source, destination in ((subject.service, customer), (customer, subject.service)):
                works.append(probing.trace(lab, moment, source, destination, family))
                works.append(probing.ping(lab, moment, source, destination, family))
    await asyncio.gather(*works)


def _session_pair(rehearsal: Rehearsal, connection: ConnectionRequest) -> list[Session]:
    return [rehearsal.model.session(session_id) for session_id in connection.sessions]


async def silent_failure(rehearsal: Rehearsal, subject: Subject) -> None:
    """A connection loses every packet with its carrier up: the hold time has to find it (FLV-05)."""
    lab = rehearsal.lab
    _, connection = subject.primary[0]
    if connection.link is None:
        return
    link = fault.find_link(lab, connection.link)
    sessions = _session_pair(rehearsal, connection)
    within = max(session.hold_time for session in sessions) + SILENCE_MARGIN
    async with probing.streams(lab, _streams(subject, Stimulus.SILENT_FAILURE)):
        began = now_ns()
        for session in sessions:
            lab.record(
                StimulusApplied(
                    at=began,
                    stimulus=Stimulus.SILENT_FAILURE,
                    node=connection.edge,
                    session=session.id,
                    detail={"session": session.id, "hold_time": session.hold_time, "link": link.id},
                )
            )
        await fault.silence(lab, link)
        edge = await lab.router(connection.edge)

        async def down(session: Session) -> None:
            went = await edge.wait("down", within, session=session.id)
            seconds = (now_ns() - began) / 1e9
            lab.record(
                StimulusObserved(
                    at=now_ns(),
                    stimulus=Stimulus.SILENT_FAILURE,
                    node=connection.edge,
                    detail={"session": session.id, "down": went, "seconds": seconds},
                )
            )

        await asyncio.gather(*(down(session) for session in sessions))
        await lab.wait_quiet(
            [n.name for n in rehearsal.model.nodes if n.is_router and n.asn == sessions[0].end(connection.edge).asn]
        )
        await fault.clear(lab, link)
        await lab.wait_established(connection.sessions, ESTABLISH_WITHIN)
        await lab.wait_quiet()


def _maintenance(policy: Policy, importing: bool) -> Policy:
    """The policy with RFC 8326's act in front: mark what goes out, hold what comes in least."""
    action = SetLocalPref(0) if importing else AddCommunities((GRACEFUL_SHUTDOWN,))
    last = Statement(name="graceful shutdown", actions=(action,), verdict=Verdict.NEXT)
    if importing:
        closing = tuple(
            msgspec.structs.replace(s, actions=(*s.actions, action)) if s.verdict is Verdict.ACCEPT else s
            for s in policy.statements
        )
        return msgspec.structs.replace(policy, name=f"{policy.name}-maintenance", statements=closing)
    return msgspec.structs.replace(policy, name=f"{policy.name}-maintenance", statements=(last, *policy.statements))


async def graceful_shutdown(rehearsal: Rehearsal, subject: Subject) -> None:
    """The peer takes a connection out by RFC 8326: mark, wait, shut; then back. Needs another connection to move to."""
    lab, desk = rehearsal.lab, rehearsal.desk
    if len(subject.primary) + len(subject.backup) < 2:
        return
    _, connection = subject.primary[0]
    model = rehearsal.model
    sessions = _session_pair(rehearsal, connection)
    stream = str(Stimulus.GRACEFUL_SHUTDOWN)
    async with probing.streams(lab, _streams(subject, stream)):
        for session in sessions:
            end = session.other(connection.edge)
            desk.extra[end.node, session.id] = EndIntent(
                node=end.node,
                session=session.id,
                import_policy=_maintenance(model.policies[end.import_policy], importing=True),
                export_policy=_maintenance(model.policies[end.export_policy], importing=False),
            )
            lab.record(
                StimulusApplied(
                    at=now_ns(),
                    stimulus=Stimulus.GRACEFUL_SHUTDOWN,
                    node=end.node,
                    session=session.id,
                    detail={"session": session.id},
                )
            )
        await desk.realise()
        await lab.wait_quiet()
        edge = await lab.router(connection.edge)
        for session in sessions:
            best = [r for r in await edge.rib("loc-rib") if r.best and r.session == session.id]
            lab.record(
                StimulusObserved(
                    at=now_ns(),
                    stimulus=Stimulus.GRACEFUL_SHUTDOWN,
                    node=connection.edge,
                    detail={
                        "session": session.id,
                        "moved": not best,
                        "stream": stream,
                        "left": [r.prefix for r in best],
                    },
                )
            )
        peer = await lab.router(connection.peer)
        for session in sessions:
            await peer.ask(ShutSession(session=session.id, communication=MAINTENANCE))
        await lab.wait_down(connection.sessions, ESTABLISH_WITHIN)
        await lab.wait_quiet()
        for session in sessions:
            await peer.ask(OpenSession(session=session.id))
            desk.extra.pop((session.other(connection.edge).node, session.id), None)
        await desk.realise()
        await lab.wait_established(connection.sessions, ESTABLISH_WITHIN)
        await lab.wait_quiet()


async def _gone_everywhere(rehearsal: Rehearsal, prefixes: Sequence[Prefix]) -> None:
    """Wait until no router has a route, but not for ever: what is kept is for the check to find.

    That routers are quiet is not enough: a segment that was lost is sent again after TCP's timeout only.
    """
    model, lab = rehearsal.model, rehearsal.lab
    routers = [node.name for node in model.nodes if node.is_router]
    alone = [prefix for prefix in prefixes if sum(prefix in node.originates for node in model.nodes) == 1]
    clients = await asyncio.gather(*(lab.router(name) for name in routers))
    await asyncio.gather(
        *(client.wait("no-best", ESTABLISH_WITHIN, prefix=prefix) for client in clients for prefix in alone)
    )


async def withdrawal(rehearsal: Rehearsal, subject: Subject) -> None:
    """The origin withdraws a prefix; no router may keep it (FLV-10). Then it is announced again."""
    lab = rehearsal.lab
    host = rehearsal.model.node(subject.customers[0])
    origin = next(
        (n for n in rehearsal.model.nodes if n.is_router and n.as_name == host.as_name and n.originates), None
    )
    if origin is None:
        return
    router = await lab.router(origin.name)
    for prefix in origin.originates:
        lab.record(
            StimulusApplied(at=now_ns(), stimulus=Stimulus.WITHDRAWAL, node=origin.name, detail={"prefix": prefix})
        )
        await router.ask(WithdrawOrigin(prefix=prefix))
    await _gone_everywhere(rehearsal, origin.originates)
    await lab.wait_quiet()
    taken = await lab.snapshot(Moment.WITHDRAWN)
    for prefix in origin.originates:
        left = sorted(
            node for node, seen in taken.nodes.items() if any(route.prefix == prefix for route in seen.loc_rib)
        )
        lab.record(
            StimulusObserved(
                at=now_ns(),
                stimulus=Stimulus.WITHDRAWAL,
                node=origin.name,
                detail={"prefix": prefix, "left_at": left},
            )
        )
        await router.ask(Originate(prefix=prefix))
    await lab.wait_quiet()
