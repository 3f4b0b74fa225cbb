"""Microsoft looks at a running connection: the partner's requirements (spec 3.4), and traffic that nobody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from peerlab.bgp.attributes import Family
from peerlab.controller.lab import ESTABLISH_WITHIN
from peerlab.controller.office import Office
from peerlab.controller.probing import SNIFF, STREAM_RECEIVE, STREAM_SEND, listening
from peerlab.peering import command as ask
from peerlab.peering.prefix_event import ends_of
from peerlab.peering.record import PeeringRecord
from peerlab.router.protocol import OpenSession, ShutSession
from peerlab.topology.model import LabModel, Session

BARE_SEGMENT = "peerlab.runtime.bare_segment:bare_segment"
CLOSED_PORT = 9
"""TCP's discard service, which no router runs."""

BURST_PORT = 40950
BURST_RATE_HZ = 2000.0
BURST_SIZE = 1150
BURST = 600
"""Datagrams: 19 Mbit/s for 0.3 s, a five hundredth of the smallest connection that Microsoft takes."""

ARRIVING = 0.9
"""Share of a burst that arrives where nothing limits the rate."""

MAINTENANCE = "AS8075: planned maintenance"
WATCHED_FOR = 2.0
"""Seconds for which traffic is watched unless asked otherwise."""

TOLD = 5
"""Destinations that a notice names."""


async def inspect_partner(office: Office, peering_key: str, label: str) -> tuple[str, ...]:
    """Every requirement that the peer's side of a connection breaks; each is told to the peer. Raises RefusedError."""
    peering, _ = office.record(peering_key, label)
    _, wire = office.wire(peering_key, label)
    problems = list(_shared_routers(office, peering, label))
    session = _session_of(office.lab.model, wire.sessions, Family.IPV4)
    if session is not None:
        problems += await _stateful(office, session)
        problems += await _limited(office, session)
    for problem in problems:
        office.ask(ask.FlagPartner(peering=peering_key, connection=label, problem=problem))
    return tuple(problems)


def _shared_routers(office: Office, peering: PeeringRecord, label: str) -> Iterable[str]:
    """Two local connections must not be on one router, at either end."""
    model = office.lab.model
    ends: dict[str, list[str]] = {}
    for connection in peering.connections:
        sessions = [s for c, s, _ in office.sessions_of(peering) if c.identifier == connection.identifier]
        for node in {end.node for s in sessions for end in (model.session(s).left, model.session(s).right)}:
            ends.setdefault(node, []).append(connection.label)
    for node, on in sorted(ends.items()):
        if label in on and len(on) > 1:
            yield f"Connections {' and '.join(on)} are on one router, {node}; a local connection needs its own"


async def _stateful(office: Office, session: Session) -> list[str]:
    """A segment of no connection must be answered like one that opens a connection."""
    ours, theirs = ends_of(office.lab.model, session)
    answered: dict[str, bool] = {}
    for kind in ("syn", "ack"):
        arguments = {"source": ours.address, "destination": theirs.address, "port": CLOSED_PORT, "kind": kind}
        task = await office.lab.runtime.task(ours.node, BARE_SEGMENT, arguments)
        answered[kind] = bool((await task.result())["answered"])
    if answered["syn"] and not answered["ack"]:
        return [f"A stateful firewall is in the path at {theirs.address}: segments of no known connection are dropped"]
    return []


async def _limited(office: Office, session: Session) -> list[str]:
    """A burst far below the connection's bandwidth must arrive, in both directions."""
    ours, theirs = ends_of(office.lab.model, session)
    problems = []
    for way, source, destination in (("towards", ours, theirs), ("from", theirs, ours)):
        receiver = await office.lab.runtime.task(
            destination.node, STREAM_RECEIVE, {"port": BURST_PORT, "address": destination.address}
        )
        try:
            await listening(receiver)
            burst: dict[str, Any] = {
                "destination": destination.address,
                "source": source.address,
                "port": BURST_PORT,
                "rate_hz": BURST_RATE_HZ,
                "size": BURST_SIZE,
                "count": BURST,
            }
            sent = await (await office.lab.runtime.task(source.node, STREAM_SEND, burst)).result()
            got = await receiver.stop()
        finally:
            receiver.close()
        if got["received"] < ARRIVING * sent["sent"]:
            problems.append(
                f"The rate is limited {way} {theirs.address}: {got['received']} of {sent['sent']} datagrams of a burst "
                f"of {BURST_RATE_HZ * BURST_SIZE * 8 / 1e6:.0f} Mbit/s arrived"
            )
    return problems


async def audit_traffic(office: Office, peering_key: str, label: str, seconds: float = WATCHED_FOR) -> tuple[str, ...]:
    """Watch what a connection's peer sends for a while: destinations that Microsoft does not announce to it are told to
    the peer, which must not use a static or default route (spec 3.0). Raises RefusedError."""
    _, wire = office.wire(peering_key, label)
    found: set[str] = set()
    for family in Family:
        session = _session_of(office.lab.model, wire.sessions, family)
        if session is not None:
            found |= await _undue(office, session, seconds / 2)
    strangers = tuple(sorted(found))
    if strangers:
        more = f" and {len(strangers) - TOLD} more" if len(strangers) > TOLD else ""
        problem = (
            f"Traffic comes for destinations that are not announced on this connection: {', '.join(strangers[:TOLD])}"
            f"{more}; static, default and last-resort routes towards AS8075 are against the peering policy"
        )
        office.ask(ask.FlagPartner(peering=peering_key, connection=label, problem=problem))
    return strangers


async def _undue(office: Office, session: Session, seconds: float) -> set[str]:
    ours, _ = ends_of(office.lab.model, session)
    if ours.interface is None:
        return set()
    edge = await office.lab.router(ours.node)
    announced = [ip_network(route.prefix) for route in await edge.rib("adj-rib-out", session.id)]
    interfaces = office.lab.model.node(ours.node).interfaces
    wires = [ip_network(text, strict=False) for i in interfaces for text in (i.v4, i.v6) if text]
    ether_type = 0x0800 if session.family is Family.IPV4 else 0x86DD
    wanted = {"interface": ours.interface, "filter": {"direction": "in", "ether_type": ether_type}, "seconds": seconds}
    task = await office.lab.runtime.task(ours.node, SNIFF, wanted)
    frames = await task.drain()
    await task.result()
    strangers: set[str] = set()
    for frame in frames:
        if not frame.get("destination"):
            continue
        address = ip_address(frame["destination"])
        local = address.is_link_local or address.is_multicast
        if not local and not any(address in network for network in (*announced, *wires)):
            strangers.add(str(address))
    return strangers


async def start_maintenance(office: Office, peering_key: str, label: str) -> None:
    """Tell whoever it concerns, and take the connection's sessions down. Raises RefusedError."""
    _, wire = office.wire(peering_key, label)
    office.ask(ask.StartMaintenance(peering=peering_key, connection=label))
    for session in wire.sessions:
        ours, _ = ends_of(office.lab.model, office.lab.model.session(session))
        await (await office.lab.router(ours.node)).ask(ShutSession(session=session, communication=MAINTENANCE))
    await office.lab.wait_down(wire.sessions, ESTABLISH_WITHIN)


async def end_maintenance(office: Office, peering_key: str, label: str) -> None:
    """Bring the sessions back, and tell that it is over. Raises RefusedError, TimedOut."""
    _, wire = office.wire(peering_key, label)

    async def reopen(session: str) -> None:
        ours, _ = ends_of(office.lab.model, office.lab.model.session(session))
        await (await office.lab.router(ours.node)).ask(OpenSession(session=session))

    await asyncio.gather(*map(reopen, wire.sessions))
    await office.lab.wait_established(wire.sessions, ESTABLISH_WITHIN)
    office.ask(ask.EndMaintenance(peering=peering_key, connection=label))


def _session_of(model: LabModel, sessions: Iterable[str], family: Family) -> Session | None:
    return next((s for s in map(model.session, sessions) if s.family is family), None)
