"""Checks of validation (catalogue VAL): the paper, the routes, and the packets behind an Active connection."""

from __future__ import annotations

from peerlab.topology.model import LabModel
from peerlab.verify.check import CRITICAL, MAJOR, MINOR, Check
from peerlab.verify.session import no_connection
from peerlab.verify.validation_paths import judge_end_to_end, judge_three_ways, no_hosts
from peerlab.verify.validation_record import (
    judge_active_implies_checks,
    judge_approved_asn,
    judge_duplicates,
    judge_prefix_key,
    judge_profile,
    judge_state_order,
)
from peerlab.verify.validation_routes import (
    judge_consistency,
    judge_maps_community,
    judge_not_private,
    judge_on_all_sessions,
    judge_origin,
    judge_paths,
    judge_redundancy,
    no_service,
    several_locations,
)

PHASE = "validation"
_ACTIVATED = "snapshot activated: Adj-RIB-In pre-policy at the provider's sessions"


def _desk(rule: str) -> str:
    return f"ValidationJudged subject=SERVICE/PREFIX rule={rule}"


def nothing_registered(model: LabModel) -> str | None:
    """Why nothing can be registered twice."""
    if any(p.registered_prefixes or p.registered_asns for p in model.peerings) or model.services:
        return None
    return "this lab registers no prefix and no AS"


CHECKS: tuple[Check, ...] = (
    Check(
        "VAL-01", "State order", PHASE, CRITICAL,
        "Connection states follow the allowed graph only; illegal requests are refused.",
        "S3; SDK enums; walkthroughs", "event log", no_connection, judge_state_order,
        ("ConnectionStateChanged from None on", "TransitionRefused with resource PEERING[/CONNECTION]"),
    ),
    Check(
        "VAL-02", "Active implies all checks", PHASE, CRITICAL,
        "No connection becomes Active while a required rule fails or was not judged; a failing one is held back.",
        "S3", "event log", no_connection, judge_active_implies_checks,
        ("ConnectionStateChanged", "ValidationJudged subject=PEERING/CONNECTION, at least one of them passed=False"),
    ),
    Check(
        "VAL-03", "Approved ASN first", PHASE, CRITICAL,
        "Only a PeerAsn that is Approved can request a peering.",
        "S2; policy.md", "event log", no_connection, judge_approved_asn,
        ("ResourceChanged peerAsns: body.asn, body.state", "ConnectionStateChanged PendingApproval",
         "TransitionRefused request=PutPeering resource=PEERING"),
    ),
    Check(
        "VAL-04", "Profile data", PHASE, MINOR,
        "Every peer has a NOC contact with mail and phone; every connection names a facility and prefix limits.",
        "prerequisites.md; policy.md", "event log", no_connection, judge_profile,
        ("ResourceChanged peerAsns: body.contacts[role, email, phone]",
         "ResourceChanged peerings: body.connections[label, facility_id, v4/v6.max_prefixes]"),
    ),
    Check(
        "VAL-05", "Prefix not private", PHASE, CRITICAL, "Service prefixes lie outside special-purpose space.",
        "MAPS requirements", "model and event log", no_service, judge_not_private, ("model.services", _desk("VAL-05")),
    ),
    Check(
        "VAL-06", "Origin in a registry", PHASE, CRITICAL,
        "A route object of the registry names the origin of every service prefix.",
        "MAPS requirements; Google IRR page", "RIBs against the registry", no_service, judge_origin,
        (_ACTIVATED, "model.registry", _desk("VAL-06")),
    ),
    Check(
        "VAL-07", "Prefix key", PHASE, CRITICAL,
        "A service prefix verifies with the key of its registration; a wrong key fails with that reason.",
        "MAPS requirements; S0", "event log", no_service, judge_prefix_key,
        ("ResourceChanged registeredPrefixes/registeredAsns: body.prefix_key",
         "ResourceChanged prefixes: body.prefix_key, body.state", f"{_desk('VAL-07')} passed=False"),
    ),
    Check(
        "VAL-08", "Announced on all sessions", PHASE, CRITICAL,
        "The prefix is received on every primary and backup session; a missing session's address is named.",
        "MAPS requirements", "Adj-RIB-In per session and the wire", no_service, judge_on_all_sessions,
        (_ACTIVATED, "trace: UPDATE of the provider", _desk("VAL-08")),
    ),
    Check(
        "VAL-09", "Community 8075:8007", PHASE, CRITICAL, "Every route of a service prefix carries 8075:8007.",
        "MAPS requirements", "Adj-RIB-In per session", no_service, judge_maps_community, (_ACTIVATED, _desk("VAL-09")),
    ),
    Check(
        "VAL-10", "Path rules", PHASE, CRITICAL, "AS_PATH has at most 3 AS, no private one, no prepending.",
        "MAPS requirements", "Adj-RIB-In per session", no_service, judge_paths, (_ACTIVATED, _desk("VAL-10")),
    ),
    Check(
        "VAL-11", "Redundancy rules", PHASE, CRITICAL,
        "Two routers with a session at the primary location; one session at the backup location if one was chosen.",
        "MAPS requirements; voice walkthrough", "sessions that are up", no_service, judge_redundancy,
        ("snapshot activated: sessions of the edges", _desk("VAL-11")),
    ),
    Check(
        "VAL-12", "Consistency across locations", PHASE, MAJOR,
        "A peer announces the same prefixes, paths and communities at all its locations.",
        "policy.md", "set difference of Adj-RIBs-In", several_locations, judge_consistency,
        ("snapshot allowed: Adj-RIB-In pre-policy of the edges",),
    ),
    Check(
        "VAL-13", "No duplicate registration", PHASE, MAJOR,
        "The same prefix with two providers, or the same AS under two peerings, is refused.",
        "S4; RS walkthrough", "event log", nothing_registered, judge_duplicates,
        ("ResourceChanged registeredPrefixes, registeredAsns, prefixes",
         "TransitionRefused request=PutRegisteredPrefix, PutRegisteredAsn or PutServicePrefix"),
    ),
    Check(
        "VAL-14", "End-to-end both ways", PHASE, CRITICAL,
        "ICMP and TCP succeed both ways between customer and service, v4 and v6, over the connections.",
        "S3 (end-to-end session validation)", "probes and traced paths", no_hosts, judge_end_to_end,
        ("ProbeAnswered name=allowed protocol=icmp|tcp-ipv4|ipv6, both ways per customer host",
         "PathTraced name=allowed, both ways, both families", "snapshot allowed: Adj-RIB-In post-policy of the edges"),
    ),
    Check(
        "VAL-15", "RIB = FIB = neighbour's view", PHASE, CRITICAL,
        "Adj-RIB-Out of one end equals Adj-RIB-In of the other; Loc-RIB best equals the kernel route; packets follow.",
        "RFC 7948 4.7; lab", "three-way difference", no_connection, judge_three_ways,
        ("snapshots allowed (activated, restored): all RIBs and kernels of all routers",
         "PathTraced with the snapshot's label as name"),
    ),
)  # fmt: skip
