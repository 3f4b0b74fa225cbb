"""Checks of policy (catalogue POL): nothing without it, nothing under DENY ALL, and what ALLOW lets through."""

from __future__ import annotations

from peerlab.topology.model import LabModel
from peerlab.verify.check import CRITICAL, MAJOR, Check
from peerlab.verify.policy_attributes import (
    judge_communities,
    judge_local_pref_and_med,
    judge_max_prefix,
    judge_transparency,
)
from peerlab.verify.policy_origin import judge_origin_allow_list
from peerlab.verify.policy_rules import (
    judge_allow_list,
    judge_bogon_asns,
    judge_bogon_prefixes,
    judge_default_route,
    judge_first_as,
    judge_forbidden_asns,
    judge_length,
    judge_next_hop,
    judge_own_prefixes,
    judge_paths,
)
from peerlab.verify.policy_stage import (
    judge_deny_all,
    judge_gated_allow,
    judge_no_policy,
    judge_policy_change,
    judge_sticky,
)
from peerlab.verify.session import no_connection
from peerlab.verify.subject import route_servers

PHASE = "policy"
_STIMULATED = "snapshot stimulated: Adj-RIB-In post-policy, Loc-RIB, sessions of the receiving router"
_WIRE = "trace: the announcement on the trial's session (path as described)"


def _announced(check: str, cases: str) -> tuple[str, ...]:
    return (f"trial announced check={check}: {cases}", _WIRE, _STIMULATED)


def no_route_server(model: LabModel) -> str | None:
    """Why there is no route server."""
    return None if route_servers(model) else "this lab has no route server"


CHECKS: tuple[Check, ...] = (
    Check(
        "POL-01", "No policy, no routes", PHASE, CRITICAL,
        "An eBGP session without import and export policy uses and sends nothing, per address family.",
        "RFC 8212 3", "the wire and the edge's counters in the trial", no_connection, judge_no_policy,
        ("trial no-policy per family: session, established, accepted, advertised",
         "trace: UPDATE both ways in the trial"),
    ),
    Check(
        "POL-02", "DENY ALL at provisioning", PHASE, CRITICAL,
        "A session is Established while the edge accepts nothing of what is offered and announces nothing, v4 and v6.",
        "S3; MS walkthroughs", "counters and RIBs at both ends, every UPDATE until ALLOW", no_connection,
        judge_deny_all,
        ("snapshot under-deny: both ends", "PolicyStageChanged allow (at = when it was ordered)",
         "trace: UPDATE both ways until then"),
    ),
    Check(
        "POL-03", "DENY ALL is sticky", PHASE, CRITICAL,
        "Still nothing after new announcements, a route refresh and a bounce (and a router restart where rehearsed).",
        "lab; RFC 8212", "the wire from first to last message under DENY", no_connection, judge_sticky,
        ("trials new-announcement, route-refresh, bounce (router-restarted) under DENY, per family, real sessions",
         "snapshot under-deny-stimulated: both ends", "trace: UPDATE, ROUTE-REFRESH, OPEN",
         "behind a route server: new-announcement by a member, on the member's session"),
    ),
    Check(
        "POL-04", "Allow is gated and atomic", PHASE, CRITICAL,
        "All sessions of a connection open in one step, after its last validation passed; no packet or route before.",
        "S3", "ordered times of events and messages", no_connection, judge_gated_allow,
        ("PolicyStageChanged allow (one per connection)", "ValidationJudged subject=PEERING/CONNECTION",
         "ConnectionStateChanged Active", "trial early-traffic: connection, sent, crossed, control",
         "trace: UPDATE of the edge"),
    ),
    Check(
        "POL-05", "Prefix allow-list", PHASE, CRITICAL,
        "Only registered prefixes are accepted; every other one is rejected with a reason.",
        "MANRS CDN action 1; RFC 7454 6.2", "RIB against registry", no_connection, judge_allow_list,
        (*_announced("POL-05", "unregistered (reject) and registered (accept), per family"),
         "snapshot allowed: Adj-RIB-In post-policy of the edges", "model.registry"),
    ),
    Check(
        "POL-06", "Origin/AS allow-list", PHASE, CRITICAL,
        "The origin of every accepted route is registered and in the peer's as-set; through a route-server partner "
        "only registered customer ASNs get Peering Service.",
        "MS M14, M17; Google IRR page; arouteserver", "RIB against registry and relations", no_connection,
        judge_origin_allow_list,
        (*_announced("POL-06", "origin outside the as-set (reject), registered origin (accept), per family"),
         "snapshots allowed, with a route-server partner activated: Adj-RIB-In post-policy of the edges",
         "model.registry, model.sessions: relations"),
    ),
    Check(
        "POL-07", "Bogon prefixes", PHASE, CRITICAL,
        "No special-purpose prefix is accepted or sent, the lab's public_ranges excepted.",
        "RFC 6890; RFC 7454 6.1.1", "every bogon announced; every UPDATE of the cloud", no_connection,
        judge_bogon_prefixes,
        (*_announced("POL-07", "one prefix inside every range of verify.bogon.BOGON_PREFIXES (reject)"),
         "trace: UPDATE of the cloud's eBGP sessions"),
    ),
    Check(
        "POL-08", "Bogon ASNs", PHASE, CRITICAL,
        "AS 0, 23456, documentation, private and reserved AS numbers anywhere in the path are rejected.",
        "RFC 7607; NLNOG guide; MS M14", "one path per range announced", no_connection, judge_bogon_asns,
        _announced("POL-08", "one as_path per range of verify.bogon.BOGON_ASNS that the lab does not use (reject)"),
    ),
    Check(
        "POL-09", "Prefix length", PHASE, MAJOR,
        "Longer than /24 and /48 is rejected unless registered; shorter than /8 and /19 is rejected.",
        "RFC 7454 6.1.3; MS FAQ; NLNOG", "prefixes of odd lengths announced", no_connection, judge_length,
        _announced("POL-09", "IPv4 longer than /24, shorter than /8; IPv6 longer than /48, shorter than /19 (reject)"),
    ),
    Check(
        "POL-10", "Default route", PHASE, CRITICAL, "0.0.0.0/0 and ::/0 are neither accepted nor sent.",
        "RFC 7454 6.1.6; Namex twin", "both announced; every UPDATE of the cloud", no_connection, judge_default_route,
        (*_announced("POL-10", "0.0.0.0/0 and ::/0 (reject)"), "trace: UPDATE of the cloud's eBGP sessions"),
    ),
    Check(
        "POL-11", "Own and IXP-LAN prefixes", PHASE, CRITICAL,
        "The cloud's own prefixes and IXP LANs, more-specifics included, are rejected from a peer.",
        "RFC 7454 6.1.4-6.1.5; NLNOG", "both announced", no_connection, judge_own_prefixes,
        _announced("POL-11", "inside the cloud's prefixes and, with an IXP, inside its infrastructure (reject)"),
    ),
    Check(
        "POL-12", "AS12076 and transit-free ASNs", PHASE, CRITICAL,
        "Paths with AS 12076, or with a transit-free AS from a peer that is no transit, are rejected.",
        "MS policy.md; NLNOG; arouteserver reason 8", "both announced", no_connection, judge_forbidden_asns,
        _announced("POL-12", "as_path with 12076, as_path with one of verify.bogon.TRANSIT_FREE (reject), per family"),
    ),
    Check(
        "POL-13", "First AS", PHASE, MAJOR,
        "The left-most AS is the peer's on bilateral sessions; the rule is off only toward route servers.",
        "RFC 4271 6.3; RFC 7947 2.2.2.2", "a foreign first AS announced; routes through route servers", no_connection,
        judge_first_as,
        (*_announced("POL-13", "as_path that begins with another AS than the peer's (reject), per family"),
         "snapshot allowed: routes accepted from route servers"),
    ),
    Check(
        "POL-14", "Path length and sets", PHASE, MAJOR,
        "Paths over 100 AS and AS_SETs are rejected; 255 AS and more do no harm.",
        "NLNOG; MS M14; BCP 172", "such paths announced", no_connection, judge_paths,
        _announced("POL-14", "more than 100 AS, 255 AS or more, an AS_SET (reject), per family"),
    ),
    Check(
        "POL-15", "Max-prefix", PHASE, CRITICAL,
        "The limit itself passes, one more gives Cease 6/1 on that session only; a warning comes before, a restart "
        "recovers, and every limit in use has headroom of half.",
        "RFC 4486; RFC 7454 8; RT-1.5; E17", "the trial and the sessions' counters", no_connection, judge_max_prefix,
        ("trial max-prefix: node=announcer, session, limit, up_at_limit, down_after, warned, others_down, recovered",
         "trace: UPDATE, NOTIFICATION in the trial", "snapshot allowed: received of connection sessions"),
    ),
    Check(
        "POL-16", "NEXT_HOP", PHASE, CRITICAL,
        "The next hop lies on the session's subnet; foreign, own and martian ones are rejected.",
        "RFC 4271 6.3; RFC 7948 4.8; arouteserver reason 5", "such next hops announced; accepted routes", no_connection,
        judge_next_hop,
        (*_announced("POL-16", "next_hop off the subnet, the edge's own, a martian (reject), per family"),
         "snapshot allowed: routes accepted by the edges"),
    ),
    Check(
        "POL-17", "Communities", PHASE, MAJOR,
        "The cloud's own communities are scrubbed from what peers send, others kept; NO_EXPORT, NO_ADVERTISE obeyed.",
        "RFC 1997; RFC 4360 6; RFC 7454 11", "RIBs of the edge and of another router", no_connection, judge_communities,
        _announced("POL-17", "communities 8075:x and a foreign one, NO_EXPORT, NO_ADVERTISE (all accept), per family"),
    ),
    Check(
        "POL-18", "LOCAL_PREF and MED handling", PHASE, MAJOR,
        "LOCAL_PREF of another AS is ignored, MED overwritten (Microsoft profile) and not passed to a third AS.",
        "RFC 4271 5.1.4-5.1.5; MS policy.md", "RIB of the edge; onward announcements of a peer", no_connection,
        judge_local_pref_and_med,
        (*_announced("POL-18", "local_pref and med at an edge, med at an AS that passes it on (accept), per family"),
         "trace: onward announcements of that AS"),
    ),
    Check(
        "POL-23", "Policy change without reset", PHASE, MAJOR,
        "An edit re-evaluates existing routes both ways and undoing it restores them; the session is not reset.",
        "RFC 2918; FRR bgp_update_on_policy_change", "the trial", no_connection, judge_policy_change,
        ("trial policy-changed: session, accepted_*, advertised_*, flaps",
         "trace: no OPEN or NOTIFICATION in the trial"),
    ),
    Check(
        "POL-24", "Route-server transparency", PHASE, CRITICAL,
        "AS_PATH, NEXT_HOP, MED and foreign communities pass a route server unchanged; its AS is not in the path.",
        "RFC 7947 2.2", "Adj-RIB-In of the clients against the server's", no_route_server, judge_transparency,
        ("snapshot allowed: Adj-RIB-In pre-policy of route servers and their clients",),
    ),
)  # fmt: skip
