"""Judges of the exit that the cloud chooses: cold potato, its carriage, and its control runs (RTG-03 to 06, 08)."""

from __future__ import annotations

from itertools import pairwise

from peerlab.evidence.events import PathTraced
from peerlab.evidence.story import Moment
from peerlab.topology.model import LabModel, LinkPurpose
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.forwarding import exit_of, hosts, traces
from peerlab.verify.potato import (
    Exit,
    Potato,
    exit_from,
    hot_exits,
    measure,
    nearest_metro,
    shortest_delay,
)
from peerlab.verify.reading import snapshot
from peerlab.verify.subject import (
    cloud_routers,
    connection_sessions,
    connections,
    edge_end,
    is_cloud,
    within,
)
from peerlab.verify.validation_routes import no_service, places, services
from peerlab.verify.wire import announcements

COLD_SHARE = 0.99
CARRIAGE_TOLERANCE = 0.05


def one_metro(model: LabModel) -> str | None:
    """Why cold and hot potato cannot be told apart."""
    if (reason := no_service(model)) is not None:
        return reason
    edges = (edge_end(model, session) for session in connection_sessions(model))
    if len({model.node(edge.node).metro for edge in edges if edge is not None}) > 1:
        return None
    return "every connection of this lab is in one metro, so cold potato looks like hot"


def judge_cold_potato(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken, hot = snapshot(evidence, docket, Moment.ACTIVATED), snapshot(evidence, docket, Moment.HOT_POTATO)
    figures: list[str] = []
    for service, prefix, name in services(evidence.model):
        if taken is None or hot is None:
            continue
        ways_out = hot_exits(evidence.model, hot, prefix)
        potato = measure(evidence.model, taken, prefix, service.primary_metro, ways_out)
        providers = {place.session.id for place in places(evidence.model, service, prefix)}
        if potato.without:
            docket.breaks(taken.at, potato.without[0], f"has no way out for {prefix}")
        for stray in [e for e in potato.exits if e.session not in providers][:1]:
            docket.breaks(taken.at, stray.router, f"{prefix} leaves on {stray.session}, not to its provider")
        if potato.discriminating and potato.share < COLD_SHARE:
            for bad in _wrong(potato):
                what = f"{prefix} leaves at {bad.edge} in {bad.metro}, not {potato.designated}"
                docket.breaks(taken.at, bad.router, what)
        elif potato.agreement < 1 or any(e.metro != potato.designated for e in potato.exits):
            what = f"{prefix} does not leave in {potato.designated} from everywhere: agreement {potato.agreement:.2f}"
            docket.breaks(taken.at, name, what)
        elif potato.discriminating:
            figures.append(f"{prefix} CP-share {potato.share:.2f}, agreement {potato.agreement:.2f}")
            for e in potato.exits:
                told = "tells cold from hot" if e.router in potato.discriminating else "nearest anyway"
                docket.proves(taken.at, e.router, f"{prefix} leaves at {e.edge} in {e.metro} on {e.session} ({told})")
    if not figures:
        docket.lacks("no router is nearer to another exit of any service prefix, so cold potato looks like hot")
    return docket.close("; ".join(figures))


def _wrong(potato: Potato) -> list[Exit]:
    """Discriminating routers that leave elsewhere; those without any way out are told of apart."""
    return [e for e in potato.exits if e.router in potato.discriminating and e.metro != potato.designated]


def judge_carriage(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    judged = 0
    for service, prefix, _ in services(model):
        customers = [h for h in hosts(model, cloud=False) if model.node(h).as_name == service.customer_as]
        paths = [t for t in traces(evidence, Moment.ACTIVATED.value) if t.destination in customers]
        paths = [t for t in paths if _is_for(t, prefix) and is_cloud(model, t.source)]
        if not paths:
            docket.lacks(f"no path was traced from the cloud to a customer in {prefix}")
        for trace in paths:
            where = f"{trace.source} > {trace.destination}"
            steps = ", ".join(node or "?" for node in trace.nodes)
            out = exit_of(model, trace)
            if not trace.reached:
                docket.breaks(trace.at, where, f"the path ends after {steps}")
            elif None in trace.nodes or out is None:
                docket.lacks(f"{where}: silent hops hide the exit ({steps})")
            elif model.node(out).metro != service.primary_metro:
                docket.breaks(trace.at, where, f"leaves at {out} in {model.node(out).metro}: {steps}")
            else:
                judged += _carried(docket, model, trace, out, where)
        if paths:
            _traced_from_afar(evidence, docket, paths, service.primary_metro, prefix)
    return docket.close(f"{judged} traced paths leave at the designated metro, carried by the WAN as modelled")


def _traced_from_afar(
    evidence: Evidence, docket: Docket, paths: list[PathTraced], designated: str, prefix: str
) -> None:
    """Every service was traced from, and one of them is nearer to another exit: else cold potato looks like hot."""
    model = evidence.model
    sources = {trace.source for trace in paths}
    for host in hosts(model, cloud=True):
        if host not in sources:
            docket.lacks(f"no path was traced from {host} to {prefix}")
    hot = evidence.snapshots.get(Moment.HOT_POTATO.value)
    if hot is None:
        docket.lacks("no control run says where a hot potato would leave")
        return
    ways_out = hot_exits(model, hot, prefix)
    if len({model.node(edge).metro for edge in ways_out}) < 2:
        return
    entered = {next((n for n in (t.source, *t.nodes) if n in routers_of_cloud(model)), "") for t in paths}
    if not any(nearest_metro(model, router, ways_out) not in (None, designated) for router in entered if router):
        docket.lacks(f"no path to {prefix} was traced from where another exit is nearer")


def routers_of_cloud(model: LabModel) -> frozenset[str]:
    """Names of the cloud's routers."""
    return frozenset(node.name for node in cloud_routers(model))


def _is_for(trace: PathTraced, prefix: str) -> bool:
    target = next((hop for hop in reversed(trace.hops) if hop), None)
    return target is not None and (not trace.reached or within(target, prefix))


def _carried(docket: Docket, model: LabModel, trace: PathTraced, out: str, where: str) -> int:
    """Compare the carriage ratio of the path taken with that of the cheapest path to the same exit."""
    steps = [trace.source, *(node for node in trace.nodes if node is not None)]
    inside = outside = 0.0
    for here, there in pairwise(steps):
        delay = _delay(model, here, there)
        if delay is None:
            docket.lacks(f"{where}: no wire between {here} and {there}, a hop is missing")
            return 0
        if is_cloud(model, here) and is_cloud(model, there):
            inside += delay
        else:
            outside += delay
    first = next((s for s in steps if any(r.name == s for r in cloud_routers(model))), out)
    best = shortest_delay(model, first, out)
    before = sum(
        d for here, there in pairwise(steps[: steps.index(first) + 1]) if (d := _delay(model, here, there)) is not None
    )
    if best is None:
        docket.lacks(f"{where}: the model has no path from {first} to {out}")
        return 0
    measured, modelled = _ratio(inside, outside), _ratio(best + before, outside)
    if abs(measured - modelled) > CARRIAGE_TOLERANCE:
        what = f"carriage ratio {measured:.2f}, the model's path to {out} has {modelled:.2f}"
        docket.breaks(trace.at, where, what)
        return 0
    docket.proves(trace.at, where, f"leaves at {out}, carriage ratio {measured:.2f} (model {modelled:.2f})")
    return 1


def _ratio(inside: float, outside: float) -> float:
    return inside / (inside + outside) if inside + outside else 1.0


def _delay(model: LabModel, one: str, other: str) -> float | None:
    """Emulated delay of the wire between two nodes in ms; 0 without emulation or over a LAN, None without a wire."""
    found = None
    for link in model.links:
        ends = {end.node for end in link.ends}
        if ends == {one, other}:
            return link.delay_ms or 0.0
    lans = [{e.node for e in link.ends} for link in model.links if link.purpose is LinkPurpose.LAN]
    for switch in {name for ends in lans for name in ends}:
        if {one, switch} in lans and {other, switch} in lans:
            found = 0.0
    return found


def judge_hot_potato(evidence: Evidence) -> Judgement:
    docket = Docket()
    cold, hot = snapshot(evidence, docket, Moment.ACTIVATED), snapshot(evidence, docket, Moment.HOT_POTATO)
    figures: list[str] = []
    for service, prefix, name in services(evidence.model):
        if cold is None or hot is None:
            continue
        ways_out = hot_exits(evidence.model, hot, prefix)
        before = measure(evidence.model, cold, prefix, service.primary_metro, ways_out)
        after = measure(evidence.model, hot, prefix, service.primary_metro, ways_out)
        what = f"{prefix} CP-share {before.share:.2f} → {after.share:.2f}, entropy {after.entropy:.2f} bit"
        if not after.exits or not before.exits:
            docket.lacks(f"{name}: no router has a way out for {prefix} in one of the runs")
        elif not after.discriminating:
            continue
        elif after.share >= before.share:
            docket.breaks(hot.at, prefix, f"CP-share does not fall without the preference: {what}")
        elif after.entropy <= 0:
            docket.breaks(hot.at, prefix, f"routers still agree on one exit without the preference: {what}")
        else:
            figures.append(what)
            docket.proves(hot.at, prefix, what)
    if not figures and docket.is_clean:
        docket.lacks("no router is nearer to another exit of any service prefix, so there is nothing to fall")
    return docket.close("; ".join(figures))


def several_by_one_peer(model: LabModel) -> str | None:
    """Why MED has nothing to choose between."""
    peers = [c.peering.peer_asn for c in connections(model) if c.peering.direct_peering_type != "IxRs"]
    if any(peers.count(peer) > 1 for peer in peers):
        return None
    return "no peer of this lab has two connections for MED to choose between"


def judge_med(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    before, after = snapshot(evidence, docket, Moment.ACTIVATED), snapshot(evidence, docket, Moment.MED_SWAPPED)
    if before is None or after is None:
        return docket.close("")
    told: dict[tuple[int, str], set[int]] = {}
    for session in connection_sessions(model):
        edge = edge_end(model, session)
        if edge is None:
            continue
        peer = session.other(edge.node)
        for route in announcements(evidence, session.id, peer.node, before.at, after.at):
            if route.attributes is not None and route.attributes.med is not None:
                told.setdefault((peer.asn, route.prefix), set()).add(route.attributes.med)
                docket.proves(
                    route.at, f"{peer.node} {session.id}", f"{route.prefix} MED {route.attributes.med}", route.message
                )
    contested = sorted({prefix for (_, prefix), meds in told.items() if len(meds) > 1})
    if not contested:
        docket.lacks("the trace does not show one peer announcing a prefix with different MEDs, so nothing was tempted")
    moved = 0
    for prefix in contested:
        for router in cloud_routers(model):
            then, now = (exit_from(model, taken, router.name, prefix) for taken in (before, after))
            if then is None:
                continue
            moved += 1
            if now is None or now.session != then.session:
                what = f"{prefix} moves from {then.session} to {now.session if now else 'nowhere'} because of MED"
                docket.breaks(after.at, router.name, what)
            else:
                docket.proves(after.at, router.name, f"{prefix} stays on {then.session}")
    return docket.close(f"{len(contested)} prefixes with different MEDs, none of {moved} best routes moved")
