"""Judges of lost links and locations: FLV-01 to FLV-04. Where packets go, and how many were lost on the way there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from peerlab.evidence.events import FaultCleared, FaultInjected, PathTraced, StreamMeasured
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.topology.model import AsRole, LabModel, PeeringServiceRequest
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.forwarding import exit_of, hosts, traces
from peerlab.verify.potato import exit_from
from peerlab.verify.reading import best_of, events, fact_of, node_at, snapshot
from peerlab.verify.subject import (
    addresses_of,
    ases_with_role,
    cloud_routers,
    connections,
    edge_end,
    family_of,
    is_cloud,
    within,
)
from peerlab.verify.validation_routes import no_service, places, services
from peerlab.verify.wire import announcements

LOCAL_BUDGET = 1.0
LOCATION_BUDGET = 2.0
INTERNET_BUDGET = 3.0
RETURN_BUDGET = 1.0
"""Seconds' worth of packets that a stream may lose: to another router of the metro, to the backup location, to the
internet, and on the way back. Stated here because they bound what FLV-01 to FLV-04 call a pass."""
STILL_RUNNING = 0.5
"""Seconds before a stream's end in which its last packet must arrive. A stream that is watched for less time than its
budget could die and stay within it."""


def no_second_link(model: LabModel) -> str | None:
    """Why a local link cannot be lost harmlessly."""
    if (reason := no_service(model)) is not None:
        return reason
    if any(len(_wires(model, service, service.primary_metro)) > 1 for service, _, _ in services(model)):
        return None
    return "no primary location of this lab has two connections with a wire of their own"


def no_wired_primary(model: LabModel) -> str | None:
    """Why no primary location can be cut off and mended."""
    if (reason := no_service(model)) is not None:
        return reason
    if any(_wires(model, service, service.primary_metro) for service, _, _ in services(model)):
        return None
    return "no primary location of this lab has a connection with a wire of its own"


def no_backup(model: LabModel) -> str | None:
    """Why there is no backup location."""
    if (reason := no_service(model)) is not None:
        return reason
    if any(service.backup_metro is not None for service, _, _ in services(model)):
        return None
    return "no Peering Service connection of this lab has a backup location"


def no_internet_backup(model: LabModel) -> str | None:
    """Why nothing falls back to the internet."""
    if (reason := no_service(model)) is not None:
        return reason
    if all(service.backup_metro is not None for service, _, _ in services(model)):
        return "every Peering Service connection of this lab has a backup location"
    return None if ases_with_role(model, AsRole.TRANSIT) else "this lab has no transit provider"


def streams(evidence: Evidence, docket: Docket, name: str) -> Iterator[StreamMeasured]:
    """Streams measured under a name (``NAME:source>destination:family``); a gap is entered when there is none."""
    found = [s for s in events(evidence, StreamMeasured) if s.name.split(":")[0] == name]
    if not found:
        docket.lacks(f"no stream ran through '{name}'")
    yield from found


def within_budget(
    evidence: Evidence,
    docket: Docket,
    name: str,
    budget: float,
    about: Callable[[StreamMeasured], bool] = lambda _: True,
) -> int:
    """Judge the streams of a name: how many lost less than ``budget`` seconds of packets and still ran at their end.

    Only streams that the check is ``about`` are judged.
    """
    good = 0
    for stream in filter(about, streams(evidence, docket, name)):
        lost = stream.sent - stream.received
        seconds = lost / stream.rate_hz if stream.rate_hz else 0.0
        where = f"stream {stream.source} > {stream.destination} {stream.family} ({name})"
        longest = max((end - start for start, end, _ in stream.gaps), default=0) / 1e6
        if not stream.sent:
            docket.lacks(f"{where}: nothing was sent")
        elif not stream.received:
            docket.breaks(stream.at, where, f"0 of {stream.sent} packets arrived")
        elif seconds > budget:
            docket.breaks(
                stream.at, where, f"{lost} of {stream.sent} packets lost, {seconds:.2f} s of them (budget {budget:g} s)"
            )
        elif not stream.last:
            docket.lacks(f"{where}: when its last packet arrived is not written down")
        elif (silent := (stream.ended - stream.last) / 1e9) > STILL_RUNNING:
            docket.breaks(stream.at, where, f"nothing arrives any more in its last {silent:.2f} s")
        else:
            good += 1
            docket.proves(stream.at, where, f"{lost} of {stream.sent} packets lost, longest gap {longest:.0f} ms")
    return good


def _leaves_at(
    evidence: Evidence,
    docket: Docket,
    taken: Snapshot,
    service: PeeringServiceRequest,
    prefix: str,
    metro: str,
) -> None:
    """Every cloud router, and every traced packet, leaves for the prefix at this metro, to the provider."""
    model = evidence.model
    providers = {place.session.id for place in places(model, service, prefix)}
    for router in cloud_routers(model):
        out = exit_from(model, taken, router.name, prefix)
        where = f"{router.name} ({taken.label})"
        if out is None:
            docket.breaks(taken.at, where, f"has no way out for {prefix}")
        elif out.metro != metro or out.session not in providers:
            docket.breaks(
                taken.at, where, f"{prefix} leaves at {out.edge} in {out.metro} on {out.session}, not in {metro}"
            )
        else:
            docket.proves(taken.at, where, f"{prefix} leaves at {out.edge} on {out.session}")
    for trace in _customer_traces(evidence, taken, service, prefix):
        where = f"{trace.source} > {trace.destination} ({taken.label})"
        out_at = exit_of(model, trace)
        steps = ", ".join(node or "?" for node in trace.nodes)
        if not trace.reached:
            docket.breaks(trace.at, where, f"the path ends after {steps}")
        elif out_at is None:
            docket.lacks(f"{where}: silent hops hide the exit ({steps})")
        elif model.node(out_at).metro != metro:
            docket.breaks(trace.at, where, f"leaves at {out_at} in {model.node(out_at).metro}, not in {metro}")
        else:
            docket.proves(trace.at, where, f"leaves at {out_at}: {steps}")


def _customer_traces(
    evidence: Evidence, taken: Snapshot, service: PeeringServiceRequest, prefix: str
) -> list[PathTraced]:
    """Traced paths of a moment, in the prefix's family, from inside the cloud to the service's customer."""
    model = evidence.model
    customers = {h for h in hosts(model, cloud=False) if model.node(h).as_name == service.customer_as}
    found = [t for t in traces(evidence, taken.label, family_of(prefix)) if is_cloud(model, t.source)]
    return [t for t in found if t.destination in customers]


def _some_traced(
    evidence: Evidence, docket: Docket, taken: Snapshot, judged: list[tuple[PeeringServiceRequest, str]]
) -> None:
    """Routes alone carry no packet: a gap is entered unless a path to one of the customers was traced."""
    if judged and not any(_customer_traces(evidence, taken, service, prefix) for service, prefix in judged):
        docket.lacks(f"no path was traced to any customer at '{taken.label}'")


def _is_down(evidence: Evidence, taken: Snapshot, link: str) -> bool:
    last_down = max((e.at for e in events(evidence, FaultInjected, until=taken.at) if e.target == link), default=None)
    last_up = max((e.at for e in events(evidence, FaultCleared, until=taken.at) if e.target == link), default=0)
    return last_down is not None and last_down > last_up


def _wires(model: LabModel, service: PeeringServiceRequest, metro: str) -> set[str]:
    """Links of the provider's connections at a metro."""
    return {
        c.request.link
        for c in connections(model)
        if c.request.link is not None and c.peering.peer_as == service.provider_as and c.peering.metro == metro
    }


def _cut_off(evidence: Evidence, taken: Snapshot, service: PeeringServiceRequest) -> bool:
    """Whether no session with the service's provider, at any location, was Established."""
    for connection in connections(evidence.model):
        mine = connection.peering.peer_as == service.provider_as
        for session in connection.sessions(evidence.model) if mine else ():
            edge = edge_end(evidence.model, session)
            node = taken.nodes.get(edge.node) if edge is not None else None
            fact = fact_of(node, session.id) if node is not None else None
            if node is None or (fact is not None and fact.state == "Established"):
                return False
    return True


def judge_local_link(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.LOCAL_LINK_LOST)
    judged: list[tuple[PeeringServiceRequest, str]] = []
    for service, prefix, _ in services(evidence.model):
        links = _wires(evidence.model, service, service.primary_metro)
        if taken is not None and any(_is_down(evidence, taken, link) for link in links):
            judged.append((service, prefix))
            _leaves_at(evidence, docket, taken, service, prefix, service.primary_metro)
    if taken is not None:
        if not judged:
            docket.lacks("the log does not show a link of any primary location being down")
        _some_traced(evidence, docket, taken, judged)
    good = within_budget(evidence, docket, Moment.LOCAL_LINK_LOST.value, LOCAL_BUDGET)
    return docket.close(
        f"one local link lost: traffic stays in the metro, {good} streams lose less than {LOCAL_BUDGET:g} s"
    )


def judge_primary(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.PRIMARY_LOST)
    judged: list[tuple[PeeringServiceRequest, str]] = []
    for service, prefix, _ in services(evidence.model):
        links = _wires(evidence.model, service, service.primary_metro)
        if taken is None or service.backup_metro is None or not links:
            continue
        down = [link for link in sorted(links) if _is_down(evidence, taken, link)]
        if len(down) == len(links):
            judged.append((service, prefix))
            _leaves_at(evidence, docket, taken, service, prefix, service.backup_metro)
    if taken is not None:
        if not judged:
            docket.lacks("the log does not show all links of any primary location being down")
        _some_traced(evidence, docket, taken, judged)
    good = within_budget(evidence, docket, Moment.PRIMARY_LOST.value, LOCATION_BUDGET)
    return docket.close(f"the backup location takes over, {good} streams lose less than {LOCATION_BUDGET:g} s")


def judge_internet(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken, back = snapshot(evidence, docket, Moment.PRIVATE_LOST), snapshot(evidence, docket, Moment.RESTORED)
    judged: list[tuple[PeeringServiceRequest, str]] = []
    for service, prefix, _ in services(evidence.model):
        if service.backup_metro is not None or taken is None or back is None:
            continue
        if _cut_off(evidence, taken, service):
            judged.append((service, prefix))
            _over_the_internet(evidence, docket, taken, service, prefix)
            _leaves_at(evidence, docket, back, service, prefix, service.primary_metro)
    if taken is not None and back is not None:
        if not judged:
            docket.lacks(f"'{taken.label}': every service with the internet as its backup still had a session up")
        _some_traced(evidence, docket, taken, judged)
        _some_traced(evidence, docket, back, judged)
    name = Moment.PRIVATE_LOST.value
    if not any(s.name.split(":")[0] == name for s in events(evidence, StreamMeasured)):
        name = Moment.PRIMARY_LOST.value
    prefixes = {prefix for _, prefix in judged}
    good = within_budget(
        evidence, docket, name, INTERNET_BUDGET, lambda stream: _is_of(evidence.model, stream, prefixes)
    )
    if prefixes and not good and docket.is_clean:
        docket.lacks(f"no stream ran to {', '.join(sorted(prefixes))} through '{name}'")
    return docket.close(
        f"without private links the internet carries on and hands back, {good} streams to "
        f"{', '.join(sorted(prefixes))} and back kept running"
    )


def _is_of(model: LabModel, stream: StreamMeasured, prefixes: set[str]) -> bool:
    """Whether a stream runs to or from a host outside the cloud that lives in one of the prefixes."""
    customer = stream.source if is_cloud(model, stream.destination) else stream.destination
    held = {a for a in addresses_of(model.node(customer)) if family_of(a).value == stream.family}
    return any(family_of(p).value == stream.family and within(a, p) for a in held for p in prefixes)


def _over_the_internet(
    evidence: Evidence, docket: Docket, taken: Snapshot, service: PeeringServiceRequest, prefix: str
) -> None:
    """Every cloud router's best route, and every traced packet, goes through a transit provider."""
    model = evidence.model
    transit = ases_with_role(model, AsRole.TRANSIT)
    transit_nodes = {node.name for node in model.nodes if node.asn in transit}
    for router in cloud_routers(model):
        node = node_at(taken, docket, router.name)
        best = best_of(node, prefix) if node is not None else None
        where = f"{router.name} ({taken.label})"
        if node is not None and best is None:
            docket.breaks(taken.at, where, f"has no route to {prefix} left")
        elif best is not None and not transit & set(best.attributes.asns()):
            docket.breaks(taken.at, where, f"{prefix} by '{best.attributes.path_text()}', not over the internet")
        elif best is not None:
            docket.proves(taken.at, where, f"{prefix} by '{best.attributes.path_text()}'")
    for trace in _customer_traces(evidence, taken, service, prefix):
        where = f"{trace.source} > {trace.destination} ({taken.label})"
        steps = ", ".join(node or "?" for node in trace.nodes)
        if not trace.reached:
            docket.breaks(trace.at, where, f"the path ends after {steps}")
        elif not transit_nodes & set(trace.nodes):
            docket.breaks(trace.at, where, f"does not go through a transit provider: {steps}")
        else:
            docket.proves(trace.at, where, f"through {steps}")


def judge_fail_back(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.RESTORED)
    until = taken.at if taken is not None else 0
    before = max((e.at for e in events(evidence, FaultInjected, until=until)), default=0)
    mended = events(evidence, FaultCleared, before, until)
    judged: list[tuple[PeeringServiceRequest, str]] = []
    for service, prefix, _ in services(evidence.model):
        links = _wires(evidence.model, service, service.primary_metro)
        back = [e.at for e in mended if e.target in links]
        if taken is not None and back:
            judged.append((service, prefix))
            _leaves_at(evidence, docket, taken, service, prefix, service.primary_metro)
            _returns_once(evidence, docket, taken, prefix, min(back))
    if taken is not None:
        if not judged:
            docket.lacks("the log does not show links of any primary location being mended before 'restored'")
        _some_traced(evidence, docket, taken, judged)
    good = within_budget(evidence, docket, f"{Moment.RESTORED.value}-mended", RETURN_BUDGET)
    return docket.close(f"back at the primary location once, {good} streams lose less than {RETURN_BUDGET:g} s")


def _returns_once(evidence: Evidence, docket: Docket, taken: Snapshot, prefix: str, since: int) -> None:
    """Some edge takes the prefix back over iBGP, and none tells of the same path twice."""
    returned = 0
    for session in evidence.model.sessions:
        for end in (session.left, session.right) if session.is_internal else ():
            told = [r for r in announcements(evidence, session.id, end.node, since, taken.at) if r.prefix == prefix]
            paths = [r.attributes.asns() for r in told if r.attributes is not None]
            returned += bool(told) and is_cloud(evidence.model, end.node)
            if any(paths.count(path) > 1 for path in paths):
                what = f"tells {session.id} of {prefix} more than once by the same path: it flaps"
                docket.breaks(told[-1].at, end.node, what, told[-1].message)
    if not returned:
        docket.lacks(f"the trace does not show any edge taking {prefix} back over iBGP")
