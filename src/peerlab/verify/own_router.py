"""Checks of a router that runs an engineer's own configuration: will it survive? (BYO-01 to BYO-05.)

What the catalogue asks of Microsoft's edge, these ask of the other end. A router that the lab configured has no need
of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from peerlab.evidence.story import Moment
from peerlab.evidence.story_own import Misbehaviour, OwnStimulus
from peerlab.peering.intent import as_set
from peerlab.peering.policy import MAPS_COMMUNITY
from peerlab.topology.model import LabModel, Session, SessionEnd
from peerlab.verify.bogon import BOGON_PREFIXES
from peerlab.verify.check import CRITICAL, MAJOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.policy_rules import DEFAULT_ROUTES
from peerlab.verify.reading import answered, session_at, snapshot
from peerlab.verify.subject import connection_sessions, family_of, overlaps, within
from peerlab.verify.wire import announcements, watched


def own_ends(model: LabModel) -> Iterator[tuple[Session, SessionEnd, str]]:
    """Connection sessions of routers with an own configuration: the session, its end there, and the file."""
    own = {node.name: node.own.file for node in model.nodes if node.own is not None}
    for session in connection_sessions(model):
        for end in (session.left, session.right):
            if end.node in own:
                yield session, end, own[end.node]


def no_own(model: LabModel) -> str | None:
    """Why there is nothing to judge."""
    return None if any(True for _ in own_ends(model)) else "no router with a connection runs a configuration of its own"


def judge_exports(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    told = 0
    for session, end, file in own_ends(model):
        watched(evidence, docket, session.id)
        mine = set(as_set(model, end.asn))
        registered = [entry.prefix for entry in model.registry if entry.origin_asn in mine]
        before, seen = docket.faults, set()
        for route in announcements(evidence, session.id, end.node):
            seen.add(route.prefix)
            where = f"{end.node} {session.id}"
            if route.prefix in DEFAULT_ROUTES.values():
                docket.breaks(route.at, where, f"{file} announces the default route {route.prefix}", route.message)
            elif not any(within(route.prefix, known) for known in registered):
                path = route.attributes.path_text() if route.attributes is not None else "?"
                what = f"{file} announces {route.prefix} (AS path {path}), neither its own nor a customer's"
                docket.breaks(route.at, where, what, route.message)
        if not seen:
            docket.lacks(f"{end.node} announced nothing on {session.id}")
        elif docket.faults == before:
            told += len(seen)
            docket.proves(0, f"{end.node} {session.id}", f"announces {', '.join(sorted(seen))}")
    return docket.close(f"{told} prefixes announced to Microsoft, all of them the AS's own or its customers'")


def judge_imports(evidence: Evidence) -> Judgement:
    docket = Docket()
    files = {session.id: file for session, _, file in own_ends(evidence.model)}
    shown: dict[str, set[str]] = {session: set() for session in files}
    for trial in answered(evidence, docket, OwnStimulus.EDGE_MISBEHAVES, "accepted"):
        if trial.session not in files:
            continue
        case, router = trial.did.text("case"), trial.did.text("router")
        prefixes = trial.did.texts("prefixes") or ()
        sent = {route.prefix: route for route in announcements(evidence, trial.session, trial.applied.node, trial.at)}
        if missing := [prefix for prefix in prefixes if prefix not in sent]:
            docket.lacks(f"{trial.where}: {', '.join(missing)} ({case}) is not on the wire")
            continue
        taken = [prefix for prefix in trial.saw.texts("accepted") or () if prefix in sent]
        for prefix in taken:
            what = f"{files[trial.session]} accepts {prefix} from Microsoft ({case})"
            docket.breaks(trial.until, f"{router} {trial.session}", what, sent[prefix].message)
        if prefixes and not taken:
            shown[trial.session].add(case)
            docket.proves(trial.until, f"{router} {trial.session}", f"{case}: {len(prefixes)} refused")
    for session in shown:
        tried = {t for t in Misbehaviour if t.value in shown[session]}
        if docket.is_clean and {Misbehaviour.DEFAULT, Misbehaviour.BOGON, Misbehaviour.LONG} - tried:
            docket.lacks(f"{session}: not every case was tried")
    return docket.close("a default route, bogons, own and too long prefixes are refused although Microsoft sent them")


def judge_limits(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    for session, end, file in own_ends(evidence.model):
        where = f"{end.node} {session.id}"
        fact = session_at(taken, docket, end.node, session.id) if taken is not None else None
        if end.max_prefix is None:
            at = taken.at if taken is not None else 0
            docket.breaks(at, where, f"{file} has no limit for the {session.family.value} prefixes of Microsoft")
        elif fact is None or fact.state != "Established":
            docket.lacks(f"{where} was not Established when the limit could be compared with what is received")
        elif fact.received >= end.max_prefix:
            docket.breaks(fact.since, where, f"{file} takes {end.max_prefix} and receives {fact.received} already")
        else:
            docket.proves(fact.since, where, f"at most {end.max_prefix}, receives {fact.received}")
    return docket.close("every session with Microsoft has a limit of prefixes above what is received")


def judge_service_routes(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    own = {session.id: (end, file) for session, end, file in own_ends(model)}
    for peering in model.peerings:
        registered = [prefix for _, prefix in peering.registered_prefixes]
        for connection in peering.connections:
            for session in connection.sessions if connection.use_for_peering_service else ():
                if session not in own:
                    continue
                end, file = own[session]
                family = model.session(session).family
                for prefix in registered:
                    if family_of(prefix) is family:
                        _service_route(evidence, docket, session, end.node, file, prefix)
    return docket.close("every announcement of a registered prefix carries 8075:8007 and is not prepended")


def _service_route(
    evidence: Evidence, docket: Docket, session: str, node: str, file: str, prefix: str
) -> None:
    watched(evidence, docket, session)
    where, before, seen = f"{node} {session}", docket.faults, 0
    for route in announcements(evidence, session, node):
        if route.prefix != prefix or route.attributes is None:
            continue
        seen += 1
        asns = route.attributes.asns()
        if MAPS_COMMUNITY not in route.attributes.communities:
            docket.breaks(route.at, where, f"{file} announces {prefix} without {MAPS_COMMUNITY}", route.message)
        if any(one == other for one, other in pairwise(asns)):
            what = f"{file} announces {prefix} prepended (AS path {route.attributes.path_text()})"
            docket.breaks(route.at, where, what, route.message)
    if not seen:
        docket.lacks(f"{node} did not announce {prefix} on {session}")
    elif docket.faults == before:
        docket.proves(0, where, f"{prefix}: {seen} announcements with {MAPS_COMMUNITY}, not prepended")


def no_service(model: LabModel) -> str | None:
    """Why there is no registered prefix to look for."""
    own = {session.id for session, _, _ in own_ends(model)}
    for peering in model.peerings:
        for connection in peering.connections:
            if connection.use_for_peering_service and peering.registered_prefixes and own & set(connection.sessions):
                return None
    return "no router with a configuration of its own has a Peering Service connection with registered prefixes"


def judge_bogon_exports(evidence: Evidence) -> Judgement:
    docket = Docket()
    public = evidence.model.public_ranges
    bogons = [bogon for bogon in BOGON_PREFIXES if not any(overlaps(bogon, known) for known in public)]
    looked = 0
    for session, end, file in own_ends(evidence.model):
        watched(evidence, docket, session.id)
        before, seen = docket.faults, 0
        for route in announcements(evidence, session.id, end.node):
            seen += 1
            where = f"{end.node} {session.id}"
            length = int(route.prefix.partition("/")[2])
            if any(within(route.prefix, bogon) for bogon in bogons):
                docket.breaks(route.at, where, f"{file} announces the bogon {route.prefix}", route.message)
            elif length > (48 if ":" in route.prefix else 24):
                docket.breaks(route.at, where, f"{file} announces {route.prefix}, too long a prefix", route.message)
        looked += seen
        if not seen:
            docket.lacks(f"{end.node} announced nothing on {session.id}")
        elif docket.faults == before:
            docket.proves(0, f"{end.node} {session.id}", f"{seen} announcements looked at")
    return docket.close(f"no bogon and nothing longer than /24 or /48 among {looked} announcements")


CHECKS = (
    Check(
        id="BYO-01",
        title="Own and customers' routes only",
        phase="your router",
        severity=CRITICAL,
        assertion="Your configuration announces to Microsoft what its AS and its customers originate, nothing else.",
        source="RFC 7908; RFC 9234 section 1; MANRS action 1",
        observe="wire: every announcement of the router on its connection sessions",
        absent=no_own,
        judge=judge_exports,
        consumes=("trace: announcements of the router with an own configuration",),
    ),
    Check(
        id="BYO-02",
        title="No bogons, nothing too long",
        phase="your router",
        severity=MAJOR,
        assertion="Your configuration announces to Microsoft no bogon and nothing longer than /24 or /48.",
        source="RFC 7454 sections 6.1.1 and 6.1.3",
        observe="wire: every announcement of the router on its connection sessions",
        absent=no_own,
        judge=judge_bogon_exports,
        consumes=("trace: announcements of the router with an own configuration",),
    ),
    Check(
        id="BYO-03",
        title="Refuses what it must not take",
        phase="your router",
        severity=CRITICAL,
        assertion=(
            "Your configuration refuses a default route, bogons, its AS's own prefixes and prefixes longer than /24 or "
            "/48, although Microsoft's edge announces them."
        ),
        source="RFC 7454 sections 6.1 to 6.3",
        observe="wire: the edge's announcement; management: Adj-RIB-In of the router",
        absent=no_own,
        judge=judge_imports,
        consumes=("trial edge-misbehaves: accepted", "trace: the edge's announcements"),
    ),
    Check(
        id="BYO-04",
        title="Limit of prefixes",
        phase="your router",
        severity=MAJOR,
        assertion="Your configuration limits how many prefixes it takes of Microsoft, above what it receives.",
        source="RFC 7454 section 8; RFC 4486",
        observe="the configuration itself; management: count of received routes",
        absent=no_own,
        judge=judge_limits,
        consumes=("snapshot allowed: sessions of the router with an own configuration",),
    ),
    Check(
        id="BYO-05",
        title="Peering Service routes as agreed",
        phase="your router",
        severity=CRITICAL,
        assertion="Your configuration announces every registered prefix with 8075:8007, and does not prepend.",
        source="Microsoft Learn, Peering Service partner walkthrough and validation",
        observe="wire: announcements of registered prefixes on Peering Service connections",
        absent=no_service,
        judge=judge_service_routes,
        consumes=("trace: announcements of the router with an own configuration",),
    ),
)
