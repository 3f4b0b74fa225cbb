"""Checks of the sessions themselves (catalogue SES): what they agreed on and who they are between."""

from __future__ import annotations

from peerlab.bgp.attributes import Family
from peerlab.bgp.wire import Open
from peerlab.evidence.story import Moment, Phase
from peerlab.topology.model import ConnectionRequest, LabModel, PeeringKind, Session
from peerlab.verify.check import CRITICAL, MAJOR, MINOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.liveness import judge_gate
from peerlab.verify.reading import session_at, snapshot
from peerlab.verify.session_agreement import judge_capabilities, judge_four_octet_as, judge_timers
from peerlab.verify.session_hostile import (
    judge_bad_opens,
    judge_collisions,
    judge_malformed,
    judge_send_hold,
    judge_unparseable,
)
from peerlab.verify.session_passage import judge_passage, no_hosts
from peerlab.verify.session_trials import (
    judge_gtsm,
    judge_hold_expiry,
    judge_md5,
    judge_roles,
    judge_route_refresh,
    judge_wrong_asn,
)
from peerlab.verify.subject import (
    FAMILIES,
    connection_sessions,
    connections,
    edge_end,
    route_servers,
)
from peerlab.verify.wire import decoded, hex_of, watched

PHASE = "session"


def no_connection(model: LabModel) -> str | None:
    """Why there is no Microsoft.Peering session."""
    return None if connection_sessions(model) else "this lab asks for no Microsoft.Peering connection"


def no_mesh(model: LabModel) -> str | None:
    """Why there is no exchange or route-server peering."""
    if any(p.kind is PeeringKind.EXCHANGE or p.direct_peering_type == "IxRs" for p in model.peerings):
        return None
    return "this lab has no exchange or route-server peering"


def no_four_octet_as(model: LabModel) -> str | None:
    """Why there is no AS number over 65535."""
    if any(known.asn > 0xFFFF for known in model.ases):
        return None
    return "every AS number of this lab fits in two octets"


def judge_established(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    for connection in connections(model):
        families = {session.family for session in connection.sessions(model)}
        for family in FAMILIES:
            if family not in families:
                docket.lacks(f"{connection.key} has no {family.value} session; both families are expected (policy M6)")
    for session in connection_sessions(model):
        if taken is None:
            continue
        for end, other in ((session.left, session.right), (session.right, session.left)):
            fact = session_at(taken, docket, end.node, session.id)
            if fact is None:
                continue
            where = f"{end.node} {session.id}"
            if fact.state != "Established":
                docket.breaks(taken.at, where, f"is {fact.state}, not Established ({fact.last_error or 'no error'})")
            elif (fact.local_as, fact.peer_as) != (end.asn, other.asn):
                docket.breaks(
                    taken.at, where, f"AS {fact.local_as} to {fact.peer_as}; agreed was {end.asn} to {other.asn}"
                )
            else:
                docket.proves(taken.at, where, f"Established, AS {fact.local_as} to {fact.peer_as}")
        _opens_say_agreed_as(evidence, docket, session)
    return docket.close(f"{len(connection_sessions(model))} sessions Established at both ends with the agreed ASNs")


def _opens_say_agreed_as(evidence: Evidence, docket: Docket, session: Session) -> None:
    if not watched(evidence, docket, session.id):
        return
    for end in (session.left, session.right):
        opens = list(decoded(evidence, Open, session.id, end.node))
        if not opens:
            docket.lacks(f"the trace has no OPEN of {end.node} in {session.id}")
        for message, said in opens[:1]:
            where = f"{end.node} {session.id}"
            if said.asn != end.asn:
                docket.breaks(message.at, where, f"OPEN says AS {said.asn}, agreed was {end.asn}", hex_of(message))
            else:
                docket.proves(message.at, where, f"OPEN says AS {said.asn}", hex_of(message))


def judge_mesh(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    made = sessions_made = 0
    for connection in connections(model):
        if connection.peering.kind is not PeeringKind.EXCHANGE and connection.peering.direct_peering_type != "IxRs":
            continue
        made += 1
        sessions = connection.sessions(model)
        expected = {connection.request.peer}
        if connection.peering.direct_peering_type == "IxRs":
            ixp = model.node(connection.request.peer).as_name
            expected = {node.name for node in route_servers(model) if node.as_name == ixp}
        ends = [edge_end(model, session) for session in sessions]
        edges = {connection.request.edge} | {end.node for end in ends if end is not None}
        families = _families_asked(connection.request)
        wanted = {(edge, family, peer) for edge in edges for family in families for peer in expected}
        have = {(e.node, s.family, s.other(e.node).node) for s, e in zip(sessions, ends, strict=True) if e is not None}
        for edge, family, peer in sorted(wanted - have):
            docket.breaks(0, connection.key, f"the mesh has no {family.value} session between {edge} and {peer}")
        for session in sessions:
            sessions_made += 1
            if taken is None:
                continue
            for end in (session.left, session.right):
                fact = session_at(taken, docket, end.node, session.id)
                if fact is not None and fact.state != "Established":
                    docket.breaks(taken.at, f"{end.node} {session.id}", f"is {fact.state}, not Established")
                elif fact is not None:
                    docket.proves(taken.at, f"{end.node} {session.id}", "Established")
    return docket.close(f"{made} connections make {sessions_made} sessions, every expected one Established")


def _families_asked(request: ConnectionRequest) -> tuple[Family, ...]:
    asked = ((Family.IPV4, request.peer_v4), (Family.IPV6, request.peer_v6))
    return tuple(family for family, address in asked if address is not None)


CHECKS: tuple[Check, ...] = (
    Check(
        "SES-01", "Established per AF", PHASE, CRITICAL,
        "IPv4 and IPv6 sessions of every connection are Established at both ends with the agreed ASNs.",
        "MS policy.md; RFC 4271 8", "session state at both ends, OPENs on the wire", no_connection, judge_established,
        ("snapshot allowed: sessions at both ends", "trace: OPEN both ways per connection session"),
    ),
    Check(
        "SES-02", "Full session mesh", PHASE, MAJOR,
        "Every session of an exchange or route-server mesh exists; connections and sessions are counted apart.",
        "MS RS walkthrough note", "session state at both ends", no_mesh, judge_mesh,
        ("snapshot allowed: sessions at both ends",),
    ),
    Check(
        "SES-03", "Wrong ASN refused", PHASE, CRITICAL,
        "An OPEN with another AS gives NOTIFICATION 2/2 and no route is exchanged.",
        "RFC 4271 6.2", "the wire during the trial", no_connection, judge_wrong_asn,
        ("trial wrong-asn: node=examiner, session, asn, established", "trace: OPEN, NOTIFICATION, UPDATE in the trial"),
    ),
    Check(
        "SES-04", "Identifier and parameter errors", PHASE, MAJOR,
        "Identifier 0 gives 2/3, hold times of 1 and 2 s 2/6, an unknown parameter 2/4; an unknown capability nothing.",
        "RFC 4271 6.2; RFC 5492", "OPENs made by hand and their answers on the wire", no_connection, judge_bad_opens,
        ("trial bad-open: node=attacker, session, case, octets; answered", "trace: OPEN, NOTIFICATION, KEEPALIVE"),
        scene=Phase.HOSTILE,
    ),
    Check(
        "SES-05", "Timers negotiated", PHASE, MAJOR,
        "Hold time is the least of both offers, keepalive a third of it and never faster than one a second.",
        "RFC 4271 4.2, 4.4, 10", "OPENs, session facts, KEEPALIVE spacing", no_connection, judge_timers,
        ("snapshot allowed: hold_time, keepalive at both ends", "trace: OPEN and KEEPALIVE per connection session"),
    ),
    Check(
        "SES-06", "Hold expiry", PHASE, CRITICAL,
        "A silent peer gets NOTIFICATION 4/0 within the hold time + 1 s, and its routes are gone.",
        "RFC 4271 6.5", "the wire during the trial", no_connection, judge_hold_expiry,
        ("trial hold-expiry: node=the end that notices, session, hold_time, seconds, routes_left",
         "trace: last message of the silent peer, NOTIFICATION"),
    ),
    Check(
        "SES-07", "Collision handling", PHASE, MINOR,
        "Two connections opened at once end in one session, that of the higher identifier; the other gets 6/7.",
        "RFC 4271 6.8", "both connections on the wire", no_connection, judge_collisions,
        ("trial collision: node=attacker, session; answered", "trace: SYN, OPEN, KEEPALIVE, NOTIFICATION"),
        scene=Phase.HOSTILE,
    ),
    Check(
        "SES-08", "Capabilities", PHASE, MAJOR,
        "The session's family, 4-octet AS and route refresh are offered by both; nothing un-negotiated is used.",
        "RFC 4760 8; RFC 6793; RFC 2918", "OPENs and UPDATEs", no_connection, judge_capabilities,
        ("trace: OPEN, UPDATE, ROUTE-REFRESH per connection session",),
    ),
    Check(
        "SES-09", "4-octet AS and AS_TRANS", PHASE, MAJOR,
        "AS numbers over 65535 work with NEW and OLD speakers; no 23456 is left in a NEW speaker's paths.",
        "RFC 6793 4", "paths at a third node, every Loc-RIB, OPENs", no_four_octet_as, judge_four_octet_as,
        ("trial old-speaker: path_at_third", "snapshot allowed: Loc-RIB of every router",
         "trace: OPEN of every end with a 4-octet AS"),
    ),
    Check(
        "SES-10", "MD5 policy", PHASE, CRITICAL,
        "MD5 on the peer's side alone keeps the session down and is reported; equal keys come up, unequal stay down.",
        "MS policy.md; RFC 2385", "three trials, kernel counters", no_connection, judge_md5,
        ("trial md5-on-peer: established, reported", "trial md5-equal: established",
         "trial md5-unequal: established, kernel_failures"),
    ),
    Check(
        "SES-11", "GTSM", PHASE, MAJOR,
        "TTL 255 is sent; segments with a lower TTL never reach BGP; the single-hop session is unaffected.",
        "RFC 5082 3; RFC 7454 5.2", "two trials, the wire", no_connection, judge_gtsm,
        ("trial ttl-full: established, ttl_seen", "trial ttl-lowered: session, established, attempts",
         "trace: no message in the lowered trial"),
    ),
    Check(
        "SES-12", "BFD gate", PHASE, CRITICAL,
        "Where BFD is required no route is exchanged until BFD is Up; intervals as agreed; "
        "AdminDown does not kill BGP.",
        "MS voice FAQ; RFC 5880-5882", "BFD and BGP on the wire of an examiner's session", no_connection, judge_gate,
        ("trial bfd-gate: session, peer, addresses, interval_ms, multiplier; established, held_received, "
         "held_advertised, bfd_up, received, frames",
         "trial bfd-admin-down: likewise; state, uptime_kept, frames",
         "trace: UPDATEs of both ends before and after BFD is Up, no NOTIFICATION after AdminDown"),
        scene=Phase.LIVENESS,
    ),
    Check(
        "SES-13", "Malformed UPDATE tolerated", PHASE, CRITICAL,
        "Each of 39 malformed attributes withdraws its route or is discarded, as prescribed; the session never ends.",
        "RFC 7606 3, 7; RFC 7607; RFC 9234 5", "each UPDATE, the route behind it, and what a witness is told",
        no_connection, judge_malformed,
        ("trial malformed-update: node=attacker, session, witness, case, prefix, sentinel, octets; sent, stopped",
         "trace: UPDATE and NOTIFICATION on both sessions"),
        scene=Phase.HOSTILE,
    ),
    Check(
        "SES-14", "Unparseable NLRI resets", PHASE, MAJOR,
        "NLRI that overruns and impossible MP next hops give NOTIFICATION 3/x, and no route is made of them.",
        "RFC 7606 5.3, 7.11", "each UPDATE, its answer, and what a witness is told", no_connection, judge_unparseable,
        ("trial unparseable-update: node=attacker, session, witness, case, prefix, octets; sent",
         "trace: UPDATE and NOTIFICATION on both sessions"),
        scene=Phase.HOSTILE,
    ),
    Check(
        "SES-15", "Route refresh", PHASE, MAJOR,
        "A ROUTE-REFRESH makes the peer send again everything that it had announced, without a reset.",
        "RFC 2918 4; RFC 7313 4", "the wire during the trial", no_connection, judge_route_refresh,
        ("trial route-refresh: node=the end that asks, session, uptime_kept",
         "trace: UPDATE before, ROUTE-REFRESH and UPDATE in the trial"),
    ),
    Check(
        "SES-16", "Roles", PHASE, MAJOR,
        "Configured roles form an allowed pair; a mismatch gives 2/11; strict mode rejects silence with 2/11.",
        "RFC 9234 4.2", "three trials, OPENs and NOTIFICATIONs", no_connection, judge_roles,
        ("trials role-pair, role-mismatch, role-silent: session, established", "trace: OPEN, NOTIFICATION in each"),
    ),
    Check(
        "SES-17", "Send-hold and blocked peer", PHASE, MINOR,
        "A peer that stays alive and reads nothing is dropped within the send hold time, and the log says why.",
        "RFC 9687 4-6", "the wire and the event log", no_connection, judge_send_hold,
        ("trial send-blocked: node=edge, session, send_hold, hold_time; stalled_at", "SessionStateChanged with reason",
         "trace: KEEPALIVE of the peer, end of the TCP connection"),
        scene=Phase.HOSTILE,
    ),
    Check(
        "SES-18", "No stateful device, no policer", PHASE, MAJOR,
        "Stray TCP segments and one-way flows pass between service and customer, at any rate.",
        "MS voice/RS walkthrough", "crafted segments and a stream, both ways", no_hosts, judge_passage,
        ("trial mid-stream: kinds, each; arrived, missed", "trial rate-test: mbps; sent, received, overflowed"),
        scene=Phase.HOSTILE,
    ),
)  # fmt: skip
