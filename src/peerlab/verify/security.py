"""Checks of security (catalogue SEC): who may open TCP/179, and what becomes of route leaks."""

from __future__ import annotations

from peerlab.evidence.story import Phase, Stimulus
from peerlab.verify.check import CRITICAL, MAJOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import Trial, answered
from peerlab.verify.security_hostile import judge_families, judge_flood, judge_resources
from peerlab.verify.session import no_connection
from peerlab.verify.session_trials import seen_trials
from peerlab.verify.subject import connections, owner_of, session_or_none
from peerlab.verify.wire import WireRoute, announcements, messages, watched

PHASE = "security"
LEAK_TYPES = (1, 2, 3, 4, 5, 6)
"""Types of RFC 7908 section 3."""


def judge_port(evidence: Evidence) -> Judgement:
    docket = Docket()
    edges = {connection.request.edge for connection in connections(evidence.model)}
    scanned: set[str] = set()
    for trial in answered(evidence, docket, Stimulus.PORT_SCAN, "answers", "configured_open"):
        answers = trial.saw.table("answers") or {}
        opened = sorted(address for address, answer in answers.items() if answer == "open")
        unknown = sorted(a for a, answer in answers.items() if answer not in ("open", "closed", "filtered"))
        if opened:
            owner = owner_of(evidence.model, opened[0]) or "?"
            docket.breaks(trial.until, owner, f"{opened[0]} answers a stranger on TCP/179")
        elif unknown:
            docket.lacks(f"{unknown[0]}: the scan does not know what it saw ({answers[unknown[0]]})")
        elif trial.saw.flag("configured_open") is not True:
            docket.lacks("no configured neighbour could open TCP/179, so the silence proves nothing")
        else:
            for address, answer in sorted(answers.items()):
                node = owner_of(evidence.model, address)
                if node is not None:
                    scanned.add(node)
                    docket.proves(trial.until, node, f"{address} is {answer} to a stranger on TCP/179")
    for edge in sorted(edges - scanned):
        docket.lacks(f"no stranger tried TCP/179 of {edge}")
    return docket.close(f"TCP/179 of {', '.join(sorted(edges))} is open to configured neighbours only")


def judge_leaks(evidence: Evidence) -> Judgement:
    docket = Docket()
    stopped: set[int] = set()
    for trial in seen_trials(evidence, docket, Stimulus.LEAK, "accepted_at", "passed_on_to", "reason"):
        kind, prefix = trial.did.count("type"), trial.did.text("prefix")
        passed_on, accepted = trial.saw.items("passed_on_to"), trial.saw.items("accepted_at")
        where = f"{trial.where} (type {kind})"
        if passed_on is None or accepted is None:
            docket.lacks(f"{where}: the log does not say where {prefix} went")
            continue
        sent = next(
            (
                route
                for route in announcements(evidence, trial.session, trial.applied.node, trial.at, trial.until)
                if route.prefix == prefix
            ),
            None,
        )
        if sent is None:
            docket.lacks(f"{where}: the leak of {prefix} is not on the wire")
            continue
        onward = _passed_on(evidence, docket, trial, sent)
        if onward is not None:
            what = f"{onward.sender} passes the leak of {prefix} on in {onward.session}"
            docket.breaks(onward.at, where, what, onward.message)
        elif passed_on:
            docket.breaks(trial.until, where, f"{prefix} was passed on to {passed_on[0]}", sent.message)
        elif accepted and not all(node == sent.receiver for node in accepted):
            docket.breaks(trial.until, where, f"{prefix} got as far as {', '.join(map(str, accepted))}", sent.message)
        elif not trial.saw.text("reason"):
            docket.breaks(trial.until, where, f"{prefix} was stopped, but nothing says why", sent.message)
        elif kind is not None:
            stopped.add(kind)
            at = "egress" if accepted else "ingress"
            docket.proves(sent.at, where, f"{prefix} stopped at {at}: {trial.saw.text('reason')}", sent.message)
    for kind in LEAK_TYPES:
        if kind not in stopped:
            docket.lacks(f"no leak of type {kind} was shown to be stopped")
    return docket.close("leaks of all six RFC 7908 types were stopped, each with its reason")


def _passed_on(evidence: Evidence, docket: Docket, trial: Trial, leak: WireRoute) -> WireRoute | None:
    """An announcement of the leaked path by its receiver on another eBGP session, if the wire shows one."""
    path = leak.attributes.asns() if leak.attributes is not None else ()
    for session in evidence.model.sessions_of(leak.receiver):
        known = session_or_none(evidence.model, session.id)
        if session.id == trial.session or known is None or known.is_internal:
            continue
        if not any(True for _ in messages(evidence, session.id)):
            continue
        watched(evidence, docket, session.id, leak.at, trial.until)
        for route in announcements(evidence, session.id, leak.receiver, leak.at, trial.until):
            asns = route.attributes.asns() if route.attributes is not None else ()
            if route.prefix == leak.prefix and asns[-len(path) :] == path:
                return route
    return None


CHECKS: tuple[Check, ...] = (
    Check(
        "SEC-01", "TCP/179 exposure", PHASE, CRITICAL,
        "Only configured neighbours can open TCP/179 of an edge; others get no SYN-ACK.",
        "RFC 7454 4", "connections by a stranger and by a neighbour", no_connection, judge_port,
        ("trial port-scan: answers (an address of every edge with a connection), configured_open",),
    ),
    Check(
        "SEC-02", "Control-plane protection", PHASE, MAJOR,
        "A flood of SYNs, ICMP and BGP messages, longer than the hold time, drops no Established session.",
        "RFC 7454 4", "sessions with hold time 3 s on the wire, counters", no_connection, judge_flood,
        ("trial flood: node=attacker, session, edge, hold_time, flooded; seconds, sent, received, others_down",
         "trace: KEEPALIVE and NOTIFICATION of both sessions in the trial"),
        scene=Phase.HOSTILE,
    ),
    Check(
        "SEC-05", "Leak types 1-6", PHASE, CRITICAL,
        "A leak of each RFC 7908 type is stopped at ingress or egress, with a reason.",
        "RFC 7908; RFC 9234; E3, E7-E11", "the leak and every onward announcement on the wire", no_connection,
        judge_leaks,
        ("trial leak for types 1 to 6: node=leaker, session, type, prefix, accepted_at, passed_on_to, reason",
         "trace: UPDATE on the leak's session and on every other session of its receiver"),
    ),
    Check(
        "SEC-07", "Resource attacks", PHASE, MAJOR,
        "Paths of 255 and more, 1000 communities, messages over 4096 octets, a storm, flaps: no reset, bounded memory.",
        "NLNOG long paths/many communities; RFC 8654; RFC 7454 7", "the wire, the router's process and memory",
        no_connection, judge_resources,
        ("trial resource-attack: session, witness, pieces, sentinel; rss_before, rss_after, same_process, updates",
         "trace: UPDATE of the attacker, UPDATE to the witness"),
        scene=Phase.HOSTILE,
    ),
    Check(
        "SEC-08", "Address families off by default", PHASE, MAJOR,
        "No OPEN of a peering offers more than unicast; one that offers flowspec, VPN, EVPN is answered without them.",
        "E12; RFC 4760 8", "OPENs", no_connection, judge_families,
        ("trace: OPEN per connection session; where the hostile scene was played, of trial families-offered too",),
    ),
)  # fmt: skip
