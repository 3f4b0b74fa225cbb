"""Checks of the scene about incidents (catalogue POL-25, SEC-03, SEC-04)."""

from __future__ import annotations

from peerlab.evidence.events import PrefixEventRaised
from peerlab.evidence.story import Phase
from peerlab.evidence.story_incident import GUARDED, OPEN, Control, Hijack, IncidentStimulus, Spoof
from peerlab.topology.model import LabModel, NodeKind
from peerlab.verify.check import CRITICAL, MAJOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.origin import announced, family_of, require
from peerlab.verify.reading import SECOND, Trial, answered, events
from peerlab.verify.session import no_connection
from peerlab.verify.session_trials import seen_trials
from peerlab.verify.subject import connection_sessions, service_prefixes
from peerlab.verify.wire import routes, watched

ALARMED_WITHIN = 5.0
"""Seconds from the UPDATE to the event: the lab's budget of the catalogue's TEL-03."""


def judge_hijacks(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    slowest = 0.0
    for trial in seen_trials(evidence, docket, IncidentStimulus.HIJACKED, "accepted", "reason"):
        case, prefix = trial.did.text("case"), trial.did.text("prefix")
        where = f"{trial.where} ({case})"
        sent = announced(evidence, docket, trial)
        if sent is None:
            continue
        alarm = _alarm(evidence, trial, sent.at)
        accepted, reason = trial.saw.flag("accepted"), trial.saw.text("reason")
        if accepted is None:
            docket.lacks(f"{where}: the edge does not say what it made of {prefix}")
        elif accepted is False and not reason:
            docket.breaks(sent.at, where, f"{prefix} was rejected, but nothing says why", sent.message)
        elif trial.did.flag("guarded") and accepted:
            docket.breaks(sent.at, where, f"{prefix} was accepted by the policy of a peering", sent.message)
        elif accepted and alarm is None:
            what = f"{prefix} was accepted, and no Critical event came within {ALARMED_WITHIN:g} s"
            docket.breaks(sent.at, where, what, sent.message)
        else:
            shown.add((case, family_of(prefix)))
            what = f"{prefix} rejected: {reason}"
            if accepted and alarm is not None:
                after = (alarm.at - sent.at) / SECOND
                slowest = max(slowest, after)
                what = f"{prefix} accepted, {alarm.level} {alarm.kind} {1000 * after:.0f} ms after the UPDATE"
            docket.proves(sent.at, where, what, sent.message)
    require(docket, shown, GUARDED, "the case")
    for case, family in _open_cases(evidence):
        if (case.value, family) not in shown:
            docket.lacks(f"the case '{case}' was not shown for {family}")
    told = f"; what nothing filters was told at the latest {1000 * slowest:.0f} ms later" if slowest else ""
    return docket.close(f"exact and more-specific hijacks of registered and own prefixes were rejected{told}")


def _open_cases(evidence: Evidence) -> list[tuple[Hijack, str]]:
    """The cases without a filter that this lab can show: one customer's prefix of a family is enough."""
    families = {family_of(prefix) for prefix in service_prefixes(evidence.model)}
    return [(case, family) for case in OPEN for family in sorted(families)]


def _alarm(evidence: Evidence, trial: Trial, since: int) -> PrefixEventRaised | None:
    """The Critical event of this announcement, if one came in time."""
    prefix, victim = trial.did.text("prefix"), trial.did.text("victim")
    path = trial.did.text("as_path").split()
    for event in events(evidence, PrefixEventRaised, since=since, until=since + int(ALARMED_WITHIN * SECOND)):
        about = event.session == trial.session and event.prefix == victim and (event.announced or victim) == prefix
        if about and event.level == "Critical" and event.alarm == "hijack" and path[-1:] == [str(event.origin)]:
            return event
    return None


def no_route_server(model: LabModel) -> str | None:
    """Why a lab has no clients of a route server."""
    return None if any(node.route_server for node in model.nodes) else "the lab has no route server"


def judge_control(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str]] = set()
    widths: set[tuple[str, str, bool]] = set()
    for trial in seen_trials(evidence, docket, IncidentStimulus.CLIENT_CONTROL, "told", "communities"):
        case, prefix, client = trial.did.text("case"), trial.did.text("prefix"), trial.did.text("client")
        wanted, told, server = trial.did.text("expected"), trial.saw.text("told"), trial.did.text("server")
        asn = trial.did.count("client_as") or 0
        where = f"{server} {client} ({case})"
        sent = announced(evidence, docket, trial)
        if sent is None or not watched(evidence, docket, client, trial.at, trial.until):
            continue
        last = None
        for route in routes(evidence, client, server, since=trial.at, until=trial.until):
            if route.prefix == prefix:
                last = route
        path = "" if last is None or last.attributes is None else last.attributes.path_text()
        asked = ", ".join(trial.did.texts("communities") or ()) or "nothing"
        left = [one for one in trial.saw.texts("communities") or () if one in (trial.did.texts("communities") or ())]
        if path != told:
            docket.lacks(f"{where}: the wire has path '{path}' for {prefix}, the client '{told}'")
        elif told != wanted:
            what = f"AS{asn} is told {prefix} with path '{told}' instead of '{wanted}'; {asked} was asked"
            docket.breaks(sent.at, where, what.replace("path ''", "no path").replace("of ''", "of nothing"), sent.message)
        elif left:
            docket.breaks(sent.at, where, f"the server passes its own control community {left[0]} on", sent.message)
        else:
            shown.add((case, family_of(prefix)))
            widths.add((case, family_of(prefix), asn > 0xFFFF))
            fate = f"told with path {told}" if told else "not told"
            docket.proves(sent.at, where, f"{prefix}: {asked} asked, AS{asn} is {fate}", sent.message)
    require(docket, shown, Control, "the case")
    for case, family in sorted(shown):
        for wide in (False, True):
            if (case, family, wide) not in widths:
                octets = 4 if wide else 2
                docket.lacks(f"the case '{case}' was not shown for a client with {octets} octets in {family}")
    return docket.close("control communities act per client, of 2 and of 4 octets; no path hides another")


NEVER_ABSENT = (Spoof.NOBODY, Spoof.CLOUD, Spoof.BOGON, Spoof.OWN)
"""Sources that every lab has; of another AS that does not peer here not every lab has one."""


def no_host_behind(model: LabModel) -> str | None:
    """Why no packet can be followed through an edge."""
    none = no_connection(model)
    cloud = model.cloud()
    hosts = [n for n in model.nodes if n.kind is NodeKind.HOST and cloud is not None and n.as_name == cloud.name]
    return none or (None if hosts else "the lab has no host behind its edges that a packet could be meant for")


def judge_spoofing(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[tuple[str, str, str]] = set()
    for trial in answered(evidence, docket, IncidentStimulus.SPOOFED, "entered", "arrived"):
        case, source, place = trial.did.text("case"), trial.did.text("source"), _place(trial)
        sent, entered, arrived = trial.did.count("sent"), trial.saw.count("entered"), trial.saw.count("arrived")
        where = f"{place} ({case})"
        if not sent or entered is None or arrived is None:
            docket.lacks(f"{where}: the log does not say how many packets were sent, came in and arrived")
        elif entered < sent:
            docket.lacks(f"{where}: {entered} of {sent} packets from {source} came in, so the rest proves nothing")
        elif case == Spoof.OWN and arrived < sent:
            what = f"{sent - arrived} of {sent} packets from {source}, which the peer may announce, did not arrive"
            docket.breaks(trial.until, where, what)
        elif case != Spoof.OWN and arrived:
            what = f"{arrived} of {sent} packets from {source} got through to {trial.did.text('destination')}"
            docket.breaks(trial.until, where, what)
        else:
            shown.add((place, case, family_of(source)))
            docket.proves(trial.until, where, f"{arrived} of {sent} packets from {source} got through")
    wanted = {f"{node}/{interface}" for node, interface in _entrances(evidence.model)}
    for place in sorted(wanted | {place for place, _, _ in shown}):
        for case in NEVER_ABSENT:
            for family in ("ipv4", "ipv6"):
                if (place, case.value, family) not in shown:
                    docket.lacks(f"{place}: a source of the kind '{case}' was not shown for {family}")
    return docket.close(
        f"{len(wanted)} peering interfaces let the peer's own sources through and no others: "
        "not the cloud's, not bogons, not what nobody announces"
    )


def _place(trial: Trial) -> str:
    return f"{trial.did.text('edge')}/{trial.did.text('interface')}"


def _entrances(model: LabModel) -> set[tuple[str, str]]:
    """Interfaces of the cloud's edges that sessions of connections stand on."""
    cloud = model.cloud()
    return {
        (end.node, end.interface)
        for session in connection_sessions(model)
        for end in (session.left, session.right)
        if cloud is not None and end.asn == cloud.asn and end.interface is not None
    }


CHECKS: tuple[Check, ...] = (
    Check(
        "POL-25", "Route-server control", "policy", MAJOR,
        "Announce/not-announce/prepend communities act per client incl. 32-bit ASNs; path hiding mitigated.",
        "RFC 7947 2.3; arouteserver communities, path_hiding", "what two clients are told, on the wire",
        no_route_server, judge_control,
        ("trial client-control per evidence.story_incident.Control, family and width of the client's AS: told, "
         "communities", "trace: UPDATE on the announcer's and on the client's session"),
        Phase.INCIDENT,
    ),
    Check(
        "SEC-03", "Anti-spoofing", "security", MAJOR,
        "Packets with sources outside what the peer may announce, or with bogon sources, are dropped; its own pass.",
        "MANRS action 2; BCP 38; RFC 8704 3.7", "crafted packets, at the edge's interface and at the host",
        no_host_behind, judge_spoofing,
        ("trial source-spoofed per peering interface, evidence.story_incident.Spoof and family: entered, arrived",),
        Phase.INCIDENT,
    ),
    Check(
        "SEC-04", "Exact and sub-prefix hijack", "security", CRITICAL,
        "Announcements of E1/E5/E6 are rejected or, without ROA, raise a Critical event.",
        "RFC 6811; incidents E1, E5, E6", "hijacks on the wire, the edge's verdict, prefix events", no_connection,
        judge_hijacks,
        ("trial prefix-hijacked per evidence.story_incident.Hijack and family: accepted, reason",
         "PrefixEventRaised", "trace: the announcement on the trial's session"),
        Phase.INCIDENT,
    ),
)  # fmt: skip
