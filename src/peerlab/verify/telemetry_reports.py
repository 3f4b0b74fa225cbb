"""Checks of Microsoft's reports (TEL-04, TEL-05, TEL-07): latency, received routes, looking glass."""

from __future__ import annotations

import re
from collections.abc import Sequence

from peerlab.evidence.story import Phase
from peerlab.evidence.story_telemetry import TelemetryStimulus
from peerlab.topology.model import LabModel
from peerlab.verify.check import MAJOR, MINOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import Detail, Trial, answered
from peerlab.verify.session import no_connection
from peerlab.verify.subject import edge_end, length_of, within
from peerlab.verify.telemetry_events import no_service_prefix
from peerlab.verify.wire import WireRoute, standing, watched

PHASE = "telemetry"
TOLERANCE = 0.05
"""Share by which a reported latency may differ from the delay that was put on the wire."""
LONGEST = "30d"
COMMANDS = ("Ping", "Traceroute", "BgpRoute")
SOURCES = ("EdgeSite", "AzureRegion")
FILTERS = {
    "prefix": "prefix",
    "asPath": "as_path",
    "originAsValidationState": "origin",
    "rpkiValidationState": "rpki",
}
"""Each query parameter with the column it is about."""

Row = tuple[str, str, str, str, str, str]
"""Session, prefix, next hop, AS path, origin state, RPKI state."""
COLUMNS = ("session", "prefix", "next_hop", "as_path", "origin", "rpki")


def judge_received_routes(evidence: Evidence) -> Judgement:
    docket = Docket()
    listed, states = 0, set()
    for trial in answered(evidence, docket, TelemetryStimulus.RECEIVED_ROUTES, "rows"):
        where = f"{trial.did.text('peering')} {_words(trial)}".strip()
        wanted = _expected(evidence, docket, trial)
        if wanted is None:
            continue
        rows = {tuple(str(Detail(row).text(c)) for c in COLUMNS) for row in _dicts(trial.saw, "rows")}
        if rows != wanted:
            odd = min(rows ^ wanted)
            fault = "is listed, and not what the peer has told" if odd in rows else "was told, and is not listed"
            docket.breaks(trial.at, where, f"{odd[1]} on {odd[0]} ({odd[3] or 'no path'}; {odd[4]}, {odd[5]}) {fault}")
            continue
        states |= {row[5] for row in wanted}
        listed += len(wanted)
        docket.proves(trial.at, where, f"{len(wanted)} routes as the peers told them")
    signed = any(entry.max_length is not None for entry in evidence.model.registry)
    for state in ("Valid", "Invalid", "Unknown") if signed else ("Unknown",):
        if state not in states:
            docket.lacks(f"no listing held a route whose RPKI state is {state}")
    return docket.close(f"{listed} rows equal what was told on the wire, each with its origin and RPKI state")


def _words(trial: Trial) -> str:
    return " ".join(f"{name}={value}" for name, value in (trial.did.table("filters") or {}).items())


def _dicts(detail: Detail, key: str) -> list[dict[str, object]]:
    return [item for item in detail.items(key) or () if isinstance(item, dict)]


def _expected(evidence: Evidence, docket: Docket, trial: Trial) -> set[tuple[str, ...]] | None:
    """What the peers of these sessions had told, filtered as asked; None when the trace cannot say."""
    found: set[tuple[str, ...]] = set()
    for session_id in trial.did.texts("sessions") or ():
        session = next((s for s in evidence.model.sessions if s.id == session_id), None)
        ours = edge_end(evidence.model, session) if session is not None else None
        if session is None or ours is None or not watched(evidence, docket, session_id, until=trial.until):
            return None
        peer = session.other(ours.node).node
        told = standing(evidence, session_id, peer, trial.at)
        if told != standing(evidence, session_id, peer, trial.until):
            docket.lacks(f"{peer} told something else on {session_id} while its routes were listed")
            return None
        found |= {_row(evidence.model, session_id, route) for route in told.values()}
    for name, value in (trial.did.table("filters") or {}).items():
        column = COLUMNS.index(FILTERS[name])
        found = {row for row in found if row[column].casefold() == str(value).casefold()}
    return found


def _row(model: LabModel, session: str, route: WireRoute) -> Row:
    attributes = route.attributes
    assert attributes is not None
    origin = attributes.origin_as()
    objects = [(e.prefix, e.origin_asn, 128) for e in model.registry]
    vrps = [(e.prefix, e.origin_asn, e.max_length) for e in model.registry if e.max_length is not None]
    return (
        session,
        route.prefix,
        str(attributes.next_hop or ""),
        attributes.path_text(),
        _state(route.prefix, origin, objects),
        _state(route.prefix, origin, vrps),
    )


def _state(prefix: str, origin: int | None, known: Sequence[tuple[str, int, int]]) -> str:
    """RFC 6811 section 2."""
    covering = [(asn, longest) for outer, asn, longest in known if within(prefix, outer)]
    if any(asn == origin != 0 and length_of(prefix) <= longest for asn, longest in covering):
        return "Valid"
    return "Invalid" if covering else "Unknown"


def judge_looking_glass(evidence: Evidence) -> Judgement:
    docket = Docket()
    asked: set[tuple[str, str]] = set()
    for trial in answered(evidence, docket, TelemetryStimulus.LOOKING_GLASS, "output"):
        command, source, output = trial.did.text("command"), trial.did.text("source"), trial.saw.text("output")
        where = f"{source} {trial.did.text('location')}"
        asked.add((command, source))
        node = output.partition(">")[0]
        if node not in _routers_at(evidence.model, source, trial.did.text("location")):
            docket.breaks(trial.at, where, f"{command} was answered by {node or 'nobody'}, which does not stand there")
            continue
        fault = _difference(command, output, trial.saw)
        if fault is None:
            docket.lacks(f"{where}: {node} itself was not asked for {command}")
        elif fault:
            docket.breaks(trial.at, where, f"{command} {trial.did.text('destination')} of {node}: {fault}")
        else:
            docket.proves(trial.at, where, f"{command} {trial.did.text('destination')} says what {node} says")
    for command in COMMANDS:
        for source in SOURCES:
            if (command, source) not in asked:
                docket.lacks(f"{command} was not asked of any {source}")
    return docket.close(f"{', '.join(COMMANDS)} from edge sites and regions: as the routers there say themselves")


def _routers_at(model: LabModel, source: str, location: str) -> set[str]:
    cloud = model.cloud()
    metros = {m.name for m in model.metros if location == (m.peering_location if source == "EdgeSite" else m.region)}
    return {n.name for n in model.nodes if cloud is not None and n.as_name == cloud.name and n.metro in metros}


def _difference(command: str, output: str, own: Detail) -> str | None:
    """How the looking glass and its router differ, '' when they do not; None without the router's own answer."""
    if command == "Ping":
        received, told = own.count("received"), re.search(r"(\d+) received", output)
        if received is None:
            return None
        if told is None or (int(told[1]) > 0) != (received > 0):
            return f"it says {told[0] if told else 'nothing of answers'}, the router had {received}"
        return ""
    if command == "Traceroute":
        hops = own.texts("hops")
        if hops is None:
            return None
        shown = tuple("" if hop == "*" else hop for hop in re.findall(r"^ *\d+  (\S+)", output, re.MULTILINE))
        return "" if shown == hops else f"it shows the hops {' '.join(shown)}, the router {' '.join(hops)}"
    best = own.table("best")
    if best is None:
        return None
    return _route_difference(output, best)


def _route_difference(output: str, best: dict[str, object]) -> str:
    shown = re.search(r"entry for (\S+),.*?^\*> (.*?), next hop (\S+?)(?:,|$| \()", output, re.MULTILINE | re.DOTALL)
    if not best:
        return "" if shown is None and "no route" in output else "it shows a route, the router has none"
    own = (best.get("prefix"), best.get("as_path") or "Local", best.get("next_hop") or "self")
    told = shown.groups() if shown else ()
    if told == own:
        return ""
    return f"it shows {' '.join(told) or 'no best route'}, the router has {' '.join(map(str, own))}"


def judge_latency(evidence: Evidence) -> Judgement:
    docket = Docket()
    worst = 0.0
    for trial in answered(evidence, docket, TelemetryStimulus.DELAYED, "window", "before", "after"):
        window, delay = trial.saw.text("window"), trial.did.number("delay_ms")
        before, after = (_window(trial.saw, when, window) for when in ("before", "after"))
        whole = _window(trial.saw, "after", LONGEST)
        where = f"{trial.applied.node} {trial.did.text('prefix')}"
        if before is None or after is None or whole is None or not delay:
            docket.lacks(f"{where}: the report has no median of {window} before and after the delay")
            continue
        grown = after[0] - before[0]
        share = abs(grown - delay) / delay
        if share > TOLERANCE:
            what = f"{delay:g} ms were put on the wire, and the report of {window} grew by {grown:.2f} ms"
            docket.breaks(trial.at, where, what)
        elif whole[1] <= after[1]:
            docket.breaks(trial.at, where, f"{window} holds {after[1]} measurements, and {LONGEST} no more")
        else:
            worst = max(worst, share)
            docket.proves(trial.at, where, f"+{grown:.2f} ms for {delay:g} ms; {window} forgot what was before")
    return docket.close(f"latencies follow the wire's delay within {100 * worst:.1f} %, and old ones are forgotten")


def _window(saw: Detail, when: str, window: str) -> tuple[float, int] | None:
    """Median and number of measurements of one window of a report."""
    line = Detail(saw.table(when) or {}).table(window)
    median, number = (Detail(line or {}).number("median_ms"), Detail(line or {}).count("measurements"))
    return None if median is None or number is None else (median, number)


CHECKS: tuple[Check, ...] = (
    Check(
        "TEL-04", "Latency report", PHASE, MINOR,
        "The reported latency of a prefix follows the delay of the wire within 5 %, and ages with its window.",
        "connection-telemetry.md", "report before and after a delay", no_service_prefix, judge_latency,
        ("trial delayed: prefix, delay_ms; window, before, after",), Phase.TELEMETRY,
    ),
    Check(
        "TEL-05", "Received routes with validation", PHASE, MAJOR,
        "The list of a peering's received routes is what its peers have told, with AS path, origin and RPKI state, and "
        "every filter picks what it says.",
        "az peering received-route; BMP", "listing against the wire", no_connection, judge_received_routes,
        ("trial received-routes: peering, sessions, filters; rows",
         "trace: UPDATE of every connection session up to then"), Phase.TELEMETRY,
    ),
    Check(
        "TEL-07", "Looking glass", PHASE, MINOR,
        "Ping, traceroute and BGP route from edge and region give the answer of a router that stands there.",
        "SDK LookingGlassCommand; MANRS CDN action 6", "looking glass beside the router itself", no_connection,
        judge_looking_glass,
        ("trial looking-glass: command, source, location, destination; output, received, hops, best",),
        Phase.TELEMETRY,
    ),
)  # fmt: skip
