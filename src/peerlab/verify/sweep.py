"""What must hold of every outage (SWP-01 to SWP-06), and which checks of the catalogue an outage can be judged by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.evidence.events import Event, LabConverged, PathTraced
from peerlab.evidence.snapshot import NodeSnapshot, Snapshot
from peerlab.evidence.story import Moment
from peerlab.evidence.trace import Trace
from peerlab.topology.model import LabModel
from peerlab.verify.catalogue import judge_all
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding, Outcome, Severity
from peerlab.verify.forwarding import family_of_trace, hosts, repeated
from peerlab.verify.likeness import differences
from peerlab.verify.outage import Case
from peerlab.verify.packet_walk import End, Kernels, Walk
from peerlab.verify.reading import fact_of
from peerlab.verify.relation_reach import reachable_pairs
from peerlab.verify.survivor import Survivors, hosts_of, survivors

PHASE = "sweep"

SWEPT: dict[str, Moment] = {
    "POL-24": Moment.ALLOWED,
    "VAL-15": Moment.ALLOWED,
    "RTG-03": Moment.ALLOWED,
    "RTG-09": Moment.ACTIVATED,
    "RTG-10": Moment.ALLOWED,
}
"""Checks of the catalogue that need no stimulus, and the moment under which they are shown the settled outage.

All others want something that a sweep does not do: a turn-up watched from its request, an examiner's announcement, a
link test, a stream through the change. They are the rehearsal's.
"""

BEFORE_ACTIVATION = frozenset({"RTG-03"})
"""Swept checks that speak of a lab in which no Peering Service prefix is activated; a sweep's has them activated."""

TITLES = {
    "SWP-01": "Only what lost its ground ends",
    "SWP-02": "No loop",
    "SWP-03": "No black hole",
    "SWP-04": "Nothing beyond policy",
    "SWP-05": "Packets arrive",
    "SWP-06": "Comes back",
}

NO_HOSTS = Judgement(outcome=Outcome.NOT_APPLICABLE, summary="this lab has no two hosts to send packets between")

SHOWN = 8
"""Differences that SWP-06 names; one cause shows at many places."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One case as it was played in a cell.

    ``expected`` are the sessions that existed, ``before`` the lab before the outage, ``settled`` in it, ``restored``
    after it (None when it was not mended), ``baseline`` what it has to be again. ``late`` says what did not happen in
    its time. ``events`` and ``trace`` are those of the lab's turn-up and of this case, other cases' left out.
    """

    case: Case
    model: LabModel
    expected: frozenset[str]
    baseline: Snapshot
    before: Snapshot
    settled: Snapshot
    restored: Snapshot | None
    late: tuple[str, ...]
    paths: tuple[PathTraced, ...]
    events: tuple[Event, ...]
    trace: Trace


def swept(model: LabModel) -> dict[str, Moment]:
    """The swept checks that can be judged in a lab, with their moments."""
    left_out = BEFORE_ACTIVATION if model.services else frozenset()
    return {check: moment for check, moment in SWEPT.items() if check not in left_out}


def left_of(model: LabModel, case: Case) -> Survivors:
    """What a case leaves when it has settled: an order ends with nothing out."""
    return survivors(model, () if case.is_order else case.units)


def traced_pairs(model: LabModel, reachable: frozenset[tuple[str, str, Family]]) -> list[tuple[str, str, Family]]:
    """Pairs through which packets are sent: services and customers, both ways; all where there is no cloud."""
    services = set(hosts(model, cloud=True))
    if not services:
        return sorted(reachable)
    return sorted(pair for pair in reachable if (pair[0] in services) is not (pair[1] in services))


def judge_run(run: Run, walks: dict[tuple[str, str, Family], Walk] | None = None) -> tuple[Finding, ...]:
    """Every invariant and every check of the catalogue that can be judged from a sweep."""
    alive = left_of(run.model, run.case)
    reachable = reachable_pairs(alive)
    followed = walk_all(alive, run.settled) if walks is None else walks
    judged = {
        "SWP-01": _sessions(run, alive),
        "SWP-02": _loops(run, followed) if followed else NO_HOSTS,
        "SWP-03": _black_holes(run, followed, reachable) if followed else NO_HOSTS,
        "SWP-04": _beyond(run, followed, reachable) if followed else NO_HOSTS,
        "SWP-05": _packets(run, reachable) if followed else NO_HOSTS,
        "SWP-06": _comes_back(run),
    }
    own = tuple(
        Finding(
            check=check,
            title=TITLES[check],
            phase=PHASE,
            severity=Severity.CRITICAL,
            outcome=judgement.outcome,
            summary=judgement.summary,
            exhibits=judgement.exhibits[:SHOWN],
            witness=judgement.witness,
            missing=judgement.missing,
        )
        for check, judgement in judged.items()
    )
    return (*own, *_catalogue(run, alive))


def walk_all(alive: Survivors, taken: Snapshot) -> dict[tuple[str, str, Family], Walk]:
    """A walk between every two hosts, by the kernels of a snapshot."""
    kernels, names = Kernels(alive, taken), hosts_of(alive.model)
    return {(a, b, f): kernels.walk(a, b, f) for a in names for b in names if a != b for f in Family}


def _name(pair: tuple[str, str, Family]) -> str:
    return f"{pair[0]} > {pair[1]} {pair[2].value}"


def _sessions(run: Run, alive: Survivors) -> Judgement:
    docket = Docket()
    kept = gone = 0
    for late in run.late:
        docket.breaks(run.settled.at, "the lab", late)
    for session in run.model.sessions if not run.case.is_order else ():
        if session.id not in run.expected:
            continue
        for end in (session.left, session.right):
            if end.node not in alive.routers:
                continue
            then, now = (fact_of(s.nodes[end.node], session.id) for s in (run.before, run.settled))
            where = f"{end.node} {session.id}"
            if then is None or now is None:
                docket.lacks(f"{where}: not reported {'before' if then is None else 'in the outage'}")
            elif session.id not in alive.sessions:
                gone += 1
                if now.state == "Established":
                    docket.breaks(run.settled.at, where, "still Established although its ground is gone")
            elif now.state != "Established":
                docket.breaks(run.settled.at, where, f"{now.state} although nothing of it is out: {now.last_error}")
            elif now.since != then.since:
                docket.breaks(run.settled.at, where, "went down and came back although nothing of it is out")
            else:
                kept += 1
    if run.case.is_order and not run.late:
        docket.proves(run.settled.at, "the lab", "every session came up in its turn")
    elif kept or gone:
        docket.proves(run.settled.at, "all sessions", f"{kept} ends kept, {gone} ended")
    elif docket.is_clean:
        return Judgement(outcome=Outcome.NOT_APPLICABLE, summary="no end of a session is left to look at")
    return docket.close(f"{gone} ends of sessions ended, {kept} were left alone")


def _loops(run: Run, walks: dict[tuple[str, str, Family], Walk]) -> Judgement:
    docket = Docket()
    for pair, walk in walks.items():
        if walk.end is End.LOOP:
            docket.breaks(run.settled.at, _name(pair), f"loops: {walk.why}")
    for path in run.paths:
        twice = repeated(path)
        if twice is not None:
            docket.breaks(path.at, f"{path.source} > {path.destination}", f"a packet visits {twice} twice")
    docket.proves(run.settled.at, "all kernels", f"{len(walks)} walks, {len(run.paths)} traced packets, no loop")
    return docket.close(f"{len(walks)} walks between hosts, none loops")


def _black_holes(
    run: Run, walks: dict[tuple[str, str, Family], Walk], reachable: frozenset[tuple[str, str, Family]]
) -> Judgement:
    docket = Docket()
    for pair in sorted(reachable):
        walk = walks.get(pair)
        if walk is None:
            docket.lacks(f"{_name(pair)}: no walk")
        elif walk.end is not End.DELIVERED:
            docket.breaks(run.settled.at, _name(pair), f"{walk}, although what is left joins them")
    told = f"{len(reachable)} of {len(walks)} pairs are joined by what is left, all delivered"
    docket.proves(run.settled.at, "all kernels", told)
    return docket.close(f"{len(reachable)} of {len(walks)} pairs joined, all delivered")


def _beyond(
    run: Run, walks: dict[tuple[str, str, Family], Walk], reachable: frozenset[tuple[str, str, Family]]
) -> Judgement:
    docket = Docket()
    beyond = [pair for pair, walk in walks.items() if walk.end is End.DELIVERED and pair not in reachable]
    for pair in beyond:
        steps = " > ".join(walks[pair].steps)
        docket.breaks(run.settled.at, _name(pair), f"delivered through {steps}, a way that no relation gives")
    docket.proves(run.settled.at, "all kernels", f"{len(walks) - len(reachable)} pairs are not joined")
    return docket.close(f"{len(walks) - len(reachable)} pairs are not joined, none gets through")


def _packets(run: Run, reachable: frozenset[tuple[str, str, Family]]) -> Judgement:
    docket = Docket()
    reached = {(p.source, p.destination, family_of_trace(p)): p for p in run.paths}
    wanted = traced_pairs(run.model, reachable)
    for pair in wanted:
        path = reached.get(pair)
        if path is None:
            docket.lacks(f"{_name(pair)}: no packet was sent")
        elif not path.reached:
            steps = ", ".join(node or "?" for node in path.nodes)
            docket.breaks(path.at, _name(pair), f"no answer; the packet was seen at {steps or 'nobody'}")
    docket.proves(run.settled.at, "the wires", f"{len(wanted)} pairs answered")
    return docket.close(f"{len(wanted)} pairs of service and customer answered")


def _comes_back(run: Run) -> Judgement:
    docket = Docket()
    if run.restored is None:
        docket.lacks("it was not mended")
        return docket.close("")
    for changed in islice(differences(run.baseline, run.restored), SHOWN):
        docket.breaks(run.restored.at, "mended", changed)
    nodes = len(run.restored.nodes)
    docket.proves(run.restored.at, "the whole lab", f"{nodes} nodes are what they were: sessions, RIBs, kernels")
    return docket.close(f"{nodes} nodes are again what they were")


def _catalogue(run: Run, alive: Survivors) -> Iterator[Finding]:
    """The swept checks, each shown the settled lab under the moment that it asks for; a dead router is left out."""
    nodes = {
        name: seen if name in alive.routers or not run.model.node(name).is_router else NodeSnapshot(node=name)
        for name, seen in run.settled.nodes.items()
    }
    for check, moment in swept(run.model).items():
        shown = Snapshot(label=moment, at=run.settled.at, nodes=nodes)
        evidence = Evidence(run.model, (*run.events, *run.paths), run.trace, {moment.value: shown})
        yield from judge_all(evidence, only=(check,))


def window(trace: Trace, begin: int, end: int, events: Iterable[Event]) -> tuple[Trace, tuple[Event, ...]]:
    """The turn-up and one case of a longer trace and log: what lies between was other cases'."""
    log = tuple(events)
    base = next((event.at for event in reversed(log) if isinstance(event, LabConverged) and event.at <= begin), 0)

    def mine(at: int) -> bool:
        return at <= base or begin <= at <= end

    cut = Trace(
        (m for m in trace.messages if mine(m.at)),
        (s for s in trace.steps if mine(s.at)),
        (g for g in trace.gaps if g.at <= base or g.overlaps(begin, end)),
        (g for g in trace.garbled if mine(g.at)),
        watched=trace.watched,
        until=end,
    )
    return cut, tuple(event for event in log if mine(event.at) and not isinstance(event, PathTraced))


def worst(findings: Iterable[Finding]) -> Outcome:
    """A case's verdict: its invariants', and any failure of a check. A check that cannot be told decides nothing."""
    outcomes = {(f.outcome, f.phase == PHASE) for f in findings}
    if any(outcome is Outcome.FAIL for outcome, _ in outcomes):
        return Outcome.FAIL
    if (Outcome.INCONCLUSIVE, True) in outcomes or not outcomes:
        return Outcome.INCONCLUSIVE
    return Outcome.PASS
