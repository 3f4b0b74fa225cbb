"""Judges of lost links and locations: FLV-01 to FLV-04. Where packets go, and how many were lost on the way there."""

from __future__ import annotations

from collections.abc import Iterator

from peerlab.evidence.events import FaultCleared, FaultInjected, PathTraced, StreamMeasured
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.topology.model import AsRole, LabModel, PeeringServiceRequest
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.forwarding import exit_of, hosts, traces
from peerlab.verify.potato import exit_from
from peerlab.verify.reading import best_of, events, node_at, snapshot
from peerlab.verify.subject import ases_with_role, cloud_routers, connections, is_cloud
from peerlab.verify.validation_routes import no_service, places, services
from peerlab.verify.wire import routes

LOCAL_BUDGET = 1.0
LOCATION_BUDGET = 2.0
INTERNET_BUDGET = 3.0
RETURN_BUDGET = 1.0
"""Seconds' worth of packets that a stream may lose: to another router of the metro, to the backup location, to the
internet, and on the way back. Stated here because they bound what FLV-01 to FLV-04 call a pass."""


def no_second_link(model: LabModel) -> str | None:
    """Why a local link cannot be lost harmlessly."""
    if (reason := no_service(model)) is not None:
        return reason
    for service, prefix, _ in services(model):
        if len({p.edge.node for p in places(model, service, prefix) if p.primary}) > 1:
            return None
    return "no primary location of this lab has two connections"


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


def within_budget(evidence: Evidence, docket: Docket, name: str, budget: float) -> int:
    """Judge the streams of a name: how many kept within a loss of ``budget`` seconds of packets and came back."""
    good = 0
    for stream in streams(evidence, docket, name):
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
    for trace in _customer_traces(evidence, docket, taken, service):
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
    evidence: Evidence, docket: Docket, taken: Snapshot, service: PeeringServiceRequest
) -> list[PathTraced]:
    """Traced paths of a moment from inside the cloud to the service's customer."""
    model = evidence.model
    customers = {h for h in hosts(model, cloud=False) if model.node(h).as_name == service.customer_as}
    found = [t for t in traces(evidence, taken.label) if t.destination in customers and is_cloud(model, t.source)]
    if not found:
        docket.lacks(f"no path was traced to the customer at '{taken.label}'")
    return found


def _really_lost(evidence: Evidence, docket: Docket, taken: Snapshot, links: set[str]) -> None:
    """A gap is entered unless the log says that all these links were down when the snapshot was taken."""
    for link in sorted(links):
        if not _is_down(evidence, taken, link):
            docket.lacks(f"'{taken.label}': the log does not show {link} being down")
            return


def _is_down(evidence: Evidence, taken: Snapshot, link: str) -> bool:
    last_down = max((e.at for e in events(evidence, FaultInjected, until=taken.at) if e.target == link), default=None)
    last_up = max((e.at for e in events(evidence, FaultCleared, until=taken.at) if e.target == link), default=0)
    return last_down is not None and last_down > last_up


def _links(evidence: Evidence, service: PeeringServiceRequest, metro: str | None) -> set[str]:
    """Links of the provider's connections at a metro, or at all of them."""
    return {
        c.request.link
        for c in connections(evidence.model)
        if c.request.link is not None and c.peering.peer_as == service.provider_as and metro in (None, c.peering.metro)
    }


def judge_local_link(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.LOCAL_LINK_LOST)
    for service, prefix, _ in services(evidence.model):
        if taken is None:
            continue
        links = _links(evidence, service, service.primary_metro)
        if not any(_is_down(evidence, taken, link) for link in links):
            docket.lacks("the log does not show one of the primary location's links being down")
        _leaves_at(evidence, docket, taken, service, prefix, service.primary_metro)
    good = within_budget(evidence, docket, Moment.LOCAL_LINK_LOST.value, LOCAL_BUDGET)
    return docket.close(
        f"one local link lost: traffic stays in the metro, {good} streams lose less than {LOCAL_BUDGET:g} s"
    )


def judge_primary(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.PRIMARY_LOST)
    for service, prefix, _ in services(evidence.model):
        if taken is None or service.backup_metro is None:
            continue
        _really_lost(evidence, docket, taken, _links(evidence, service, service.primary_metro))
        _leaves_at(evidence, docket, taken, service, prefix, service.backup_metro)
    good = within_budget(evidence, docket, Moment.PRIMARY_LOST.value, LOCATION_BUDGET)
    return docket.close(f"the backup location takes over, {good} streams lose less than {LOCATION_BUDGET:g} s")


def judge_internet(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    taken, back = snapshot(evidence, docket, Moment.PRIVATE_LOST), snapshot(evidence, docket, Moment.RESTORED)
    transit = ases_with_role(model, AsRole.TRANSIT)
    transit_nodes = {node.name for node in model.nodes if node.asn in transit}
    for service, prefix, _ in services(model):
        if service.backup_metro is not None or taken is None or back is None:
            continue
        _really_lost(evidence, docket, taken, _links(evidence, service, None))
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
        for trace in _customer_traces(evidence, docket, taken, service):
            where = f"{trace.source} > {trace.destination} ({taken.label})"
            steps = ", ".join(node or "?" for node in trace.nodes)
            if not trace.reached:
                docket.breaks(trace.at, where, f"the path ends after {steps}")
            elif not transit_nodes & set(trace.nodes):
                docket.breaks(trace.at, where, f"does not go through a transit provider: {steps}")
            else:
                docket.proves(trace.at, where, f"through {steps}")
        _leaves_at(evidence, docket, back, service, prefix, service.primary_metro)
    name = Moment.PRIVATE_LOST.value
    if not any(s.name.split(":")[0] == name for s in events(evidence, StreamMeasured)):
        name = Moment.PRIMARY_LOST.value
    good = within_budget(evidence, docket, name, INTERNET_BUDGET)
    return docket.close(f"without private links the internet carries on and hands back, {good} streams kept running")


def judge_fail_back(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    taken = snapshot(evidence, docket, Moment.RESTORED)
    before = max((e.at for e in events(evidence, FaultInjected, until=taken.at if taken else 0)), default=0)
    mended = [e.at for e in events(evidence, FaultCleared, before, taken.at if taken else 0)]
    if not mended:
        docket.lacks("the log does not show the links being mended before 'restored'")
    for service, prefix, _ in services(model):
        if taken is None or not mended:
            continue
        _leaves_at(evidence, docket, taken, service, prefix, service.primary_metro)
        returned = 0
        for session in model.sessions:
            if not session.is_internal:
                continue
            for end in (session.left, session.right):
                changes = [
                    r for r in routes(evidence, session.id, end.node, min(mended), taken.at) if r.prefix == prefix
                ]
                told = [r for r in changes if r.attributes is not None]
                returned += bool(told)
                paths = [r.attributes.asns() for r in told if r.attributes is not None]
                if any(paths.count(path) > 1 for path in paths):
                    what = f"{end.node} tells {session.id} of {prefix} more than once by the same path: it flaps"
                    docket.breaks(told[-1].at, end.node, what, told[-1].message)
        if not returned:
            docket.lacks(f"the trace does not show any edge taking {prefix} back over iBGP")
    good = within_budget(evidence, docket, f"{Moment.RESTORED.value}-mended", RETURN_BUDGET)
    return docket.close(f"back at the primary location once, {good} streams lose less than {RETURN_BUDGET:g} s")
