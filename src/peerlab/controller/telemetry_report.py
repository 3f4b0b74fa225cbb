"""Reports of the scene ``telemetry``: received routes, the looking glass, latencies; each beside its own evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from peerlab.bgp.attributes import Family, PathAttributes
from peerlab.bgp.route_fact import RouteFact
from peerlab.controller import fault
from peerlab.controller.cast import connections, customer_hosts, sessions_of
from peerlab.controller.exam import sequence, spare_prefixes
from peerlab.controller.lab import now_ns
from peerlab.controller.latency_monitor import LatencyMonitor
from peerlab.controller.latency_probe import aim_at
from peerlab.controller.looking_glass import look, router_at, source_of
from peerlab.controller.probing import PING, TRACEROUTE, address_of, node_by_address
from peerlab.controller.received_routes import received_routes
from peerlab.controller.rehearsal import Rehearsal
from peerlab.errors import Unsupported
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story_telemetry import TelemetryStimulus
from peerlab.peering.enums import LookingGlassCommand, LookingGlassSource
from peerlab.peering.intent import as_set
from peerlab.peering.latency import EVERY, WINDOWS
from peerlab.peering.prefix_event import ends_of
from peerlab.router.protocol import Announce, Withdraw
from peerlab.topology.model import Link, NodeKind, PeeringRequest

DELAY_MS = 50.0
"""Milliseconds of delay each way."""

FACTOR = 43_200.0
"""How much faster than life latencies are reported here: an hour is 83 ms."""

SHORTEST = "6h"

MEASURED_WITHIN = 10.0
"""Seconds in which an hour of that clock and its measurement are over, on a loaded machine too."""


def _applied(rehearsal: Rehearsal, stimulus: TelemetryStimulus, node: str, **detail: object) -> None:
    rehearsal.lab.record(StimulusApplied(at=now_ns(), stimulus=stimulus, node=node, detail=detail))


def _observed(rehearsal: Rehearsal, stimulus: TelemetryStimulus, node: str, **detail: object) -> None:
    rehearsal.lab.record(StimulusObserved(at=now_ns(), stimulus=stimulus, node=node, detail=detail))


async def list_received_routes(rehearsal: Rehearsal) -> None:
    """The listing of every peering: whole, by a prefix, by a path, and by each state. Meanwhile a peer announces a
    route that no VRP allows, and one that no VRP knows."""
    lab = rehearsal.lab
    odd = _odd_routes(rehearsal)
    if odd is not None:
        session, node, announces = odd
        prefixes = [prefix for one in announces for prefix in one.prefixes]
        _applied(rehearsal, TelemetryStimulus.ODD_ROUTES, node, session=session, prefixes=prefixes)
        router = await lab.router(node)
        await asyncio.gather(*(router.ask(one) for one in announces))
        await lab.wait_quiet()
    for peering in rehearsal.model.peerings:
        whole = await _list(rehearsal, peering, {})
        for filters in _filters(whole):
            await _list(rehearsal, peering, filters)
    if odd is not None:
        await router.ask(Withdraw(session=session, prefixes=tuple(prefixes)))
        await lab.wait_quiet()


def _odd_routes(rehearsal: Rehearsal) -> tuple[str, str, list[Announce]] | None:
    """What to announce where so that a listing has every RPKI state; None when no peer can be made to."""
    model = rehearsal.model
    for _, connection in connections(rehearsal):
        for session in sessions_of(rehearsal, connection):
            _, theirs = ends_of(model, session)
            node = model.node(theirs.node)
            if node.kind is not NodeKind.EXABGP or node.route_server or session.family is not Family.IPV4:
                continue
            mine = as_set(model, theirs.asn)
            known = (e.prefix for e in model.registry if e.max_length is not None and e.origin_asn not in mine)
            wanted = [next((p for p in known if ":" not in p), None), next(spare_prefixes(model, session.family), None)]
            attributes = PathAttributes(as_path=sequence(theirs.asn), next_hop=theirs.address)
            return (
                session.id,
                theirs.node,
                [
                    Announce(session=session.id, prefixes=(prefix,), attributes=attributes)
                    for prefix in wanted
                    if prefix is not None
                ],
            )
    return None


def _filters(rows: list[dict[str, object]]) -> Iterator[dict[str, str]]:
    if rows:
        yield {"prefix": str(rows[0]["prefix"])}
        yield {"asPath": str(rows[-1]["as_path"])}
    yield from ({"rpkiValidationState": state} for state in ("Valid", "Invalid", "Unknown"))
    yield {"originAsValidationState": "Valid"}


async def _list(rehearsal: Rehearsal, peering: PeeringRequest, filters: dict[str, str]) -> list[dict[str, object]]:
    lab, model = rehearsal.lab, rehearsal.model
    sessions = [session for connection in peering.connections for session in sessions_of(rehearsal, connection)]
    edges = [ends_of(model, session)[0].node for session in sessions]
    ids = [session.id for session in sessions]
    trial = f"{peering.name} {filters}"
    stimulus = TelemetryStimulus.RECEIVED_ROUTES
    _applied(rehearsal, stimulus, "", trial=trial, peering=peering.name, sessions=ids, filters=filters)
    rows: list[dict[str, object]] = [
        {
            "session": place[3],
            "prefix": route.prefix,
            "next_hop": route.next_hop,
            "as_path": route.as_path,
            "origin": route.origin_as_validation_state,
            "rpki": route.rpki_validation_state,
        }
        for place, route in await received_routes(lab, list(zip(edges, ids, strict=True)), filters)
    ]
    _observed(rehearsal, stimulus, "", trial=trial, rows=rows)
    return rows


async def ask_looking_glass(rehearsal: Rehearsal) -> None:
    """Every command, from every edge site and region, about a customer's address of each family."""
    customers = customer_hosts(rehearsal)
    if not customers:
        return
    places = [(LookingGlassSource.EDGE_SITE, m.peering_location) for m in rehearsal.model.metros]
    places += [(LookingGlassSource.AZURE_REGION, m.region) for m in rehearsal.model.metros]
    targets = [address_of(rehearsal.model.node(customers[0]), family) for family in Family]
    await asyncio.gather(
        *(
            _ask(rehearsal, command, kind, location, target)
            for command in LookingGlassCommand
            for kind, location in places
            for target in targets
        )
    )


async def _ask(
    rehearsal: Rehearsal, command: LookingGlassCommand, kind: LookingGlassSource, location: str, target: str
) -> None:
    lab, stimulus = rehearsal.lab, TelemetryStimulus.LOOKING_GLASS
    node = router_at(rehearsal.model, kind, location)
    about: dict[str, object] = {"command": command, "source": kind, "location": location, "destination": target}
    trial = f"{command} {kind} {location} {target}"
    _applied(rehearsal, stimulus, node.name, trial=trial, **about)
    output = await look(lab, command, kind, location, target)
    own: dict[str, object]
    if command is LookingGlassCommand.BGP_ROUTE:
        own = await _own_route(rehearsal, node.name, target)
    else:
        version = ip_address(target).version
        arguments: dict[str, Any] = {"destination": target, "source": source_of(rehearsal.model, node, version)}
        task = await lab.runtime.task(node.name, PING if command is LookingGlassCommand.PING else TRACEROUTE, arguments)
        answer = await task.result()
        if command is LookingGlassCommand.PING:
            own = {"received": answer["received"], "sent": answer["sent"]}
        else:
            own = {"hops": [hop["address"] or "" for hop in answer["hops"]]}
    _observed(rehearsal, stimulus, node.name, trial=trial, output=output, **own)


async def _own_route(rehearsal: Rehearsal, node: str, target: str) -> dict[str, object]:
    """The best route of the longest prefix at the router itself; empty when it has none."""
    lab, address = rehearsal.lab, ip_address(target)
    routes = await (await lab.router(node)).rib("loc-rib")
    covering = [route for route in routes if route.best and address in ip_network(route.prefix)]
    best: RouteFact | None = max(covering, key=lambda route: ip_network(route.prefix).prefixlen, default=None)
    if best is None:
        return {"best": {}}
    told = best.attributes
    return {"best": {"prefix": best.prefix, "as_path": told.path_text(), "next_hop": told.next_hop or ""}}


async def delay_latency(rehearsal: Rehearsal, key: str) -> None:
    """A customer's access gets slower by a known delay: the report must follow, and forget what it was before."""
    lab, ledger = rehearsal.lab, rehearsal.desk.desk.ledger
    record = ledger.prefixes[key]
    location = ledger.services[record.service].primary
    aim = aim_at(rehearsal.model, record.prefix, location)
    link = _access_of(rehearsal, aim.target) if aim is not None else None
    if aim is None or link is None:
        return
    about = {"trial": key, "name": key, "prefix": record.prefix}
    _applied(rehearsal, TelemetryStimulus.DELAYED, aim.edge, **about, delay_ms=2 * DELAY_MS, link=link.id)
    monitor = LatencyMonitor(lab, lambda: {record.prefix: location}, FACTOR, soonest=0.0)
    running = asyncio.ensure_future(monitor.run())
    try:
        before = await _fresh_report(monitor, record.prefix)
        try:
            await fault.degrade(lab, link, 0.0, DELAY_MS)
        except Unsupported as missing:
            _observed(rehearsal, TelemetryStimulus.DELAYED, aim.edge, **about, unsupported=str(missing))
            return
        try:
            after = await _fresh_report(monitor, record.prefix)
        finally:
            await fault.clear(lab, link)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    _observed(rehearsal, TelemetryStimulus.DELAYED, aim.edge, **about, window=SHORTEST, before=before, after=after)


async def _fresh_report(monitor: LatencyMonitor, prefix: str) -> dict[str, object]:
    """The report once the shortest window holds nothing that was measured before now. Windows without a median are
    left out."""
    since = monitor.now()
    while monitor.now() < since + WINDOWS[SHORTEST] + EVERY:
        await asyncio.wait_for(monitor.measured(), MEASURED_WITHIN)
    found = {line.window: line for line in monitor.report(prefix)}
    return {
        window: {"median_ms": line.median_ms, "measurements": line.measurements}
        for window, line in found.items()
        if line.median_ms is not None
    }


def _access_of(rehearsal: Rehearsal, address: str) -> Link | None:
    """The only wire of the node that holds an address; None when it has more than one."""
    model = rehearsal.model
    holder = node_by_address(model)[address]
    wires = [link for link in model.links if any(end.node == holder for end in link.ends)]
    return wires[0] if len(wires) == 1 else None
