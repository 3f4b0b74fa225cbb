"""The words that the rehearsal writes and the checks read: phases, moments and stimuli.

The controller emits events under these names and the checks look for them; neither may use a bare string.
"""

from __future__ import annotations

from enum import StrEnum

TAP_PROCESS = "tap"
"""Name of the tap's process in ``ProcessExited``: what was sent after it ended is not captured."""


EXAMINER = "examiner"
"""Name of the AS of the examiners, and first part of ``connection`` of their sessions (``examiner/CASE``)."""


class Phase(StrEnum):
    """Phases of a rehearsal, in order."""

    BUILD = "build"
    REQUEST = "request"
    QUARANTINE = "quarantine"
    LINK_TEST = "link-test"
    DENY = "deny"
    VALIDATE = "validate"
    ALLOW = "allow"
    SESSION = "session"
    HOSTILE = "hostile"
    POLICY = "policy"
    ORIGIN = "origin"
    ROUTING = "routing"
    INCIDENT = "incident"
    LIVENESS = "liveness"
    FAILOVER = "failover"
    RESTART = "restart"
    TELEMETRY = "telemetry"
    DEPROVISION = "deprovision"
    VERDICT = "verdict"


class Moment(StrEnum):
    """Labels of the snapshots of the whole lab that a rehearsal takes."""

    BASELINE = "baseline"
    """Everything runs but no session of a Microsoft.Peering connection exists on an edge."""
    LINK_TEST = "link-test"
    """Test addresses are on the links; the test has just run."""
    UNDER_DENY = "under-deny"
    """Connection sessions are Established under DENY ALL and the peers have announced."""
    UNDER_DENY_STIMULATED = "under-deny-stimulated"
    """Same, after new announcements, route refresh and a bounce."""
    ALLOWED = "allowed"
    """Policy is open; no Peering Service prefix is activated."""
    STIMULATED = "stimulated"
    """Every policy stimulus is announced on the examiner's session and has been judged by the edge."""
    ACTIVATED = "activated"
    """Peering Service prefixes are activated."""
    HOT_POTATO = "hot-potato"
    """Control run: activated, with the location preference taken out."""
    MED_SWAPPED = "med-swapped"
    """Activated, with the peer's MED swapped between its locations."""
    LOCAL_LINK_LOST = "local-link-lost"
    """One of the links of the primary location is down."""
    PRIMARY_LOST = "primary-lost"
    """Every link of the primary location is down."""
    PRIVATE_LOST = "private-lost"
    """Every link of primary and backup location is down."""
    RESTORED = "restored"
    """All is mended and converged again."""
    WITHDRAWN = "withdrawn"
    """The examined prefix was withdrawn by its origin."""
    DEPROVISIONED = "deprovisioned"
    """One peering was deprovisioned and is gone."""
    REPROVISIONED = "reprovisioned"
    """The same peering was turned up again from zero."""


class Stimulus(StrEnum):
    """What the rehearsal does on purpose so that a check can see an answer.

    Each writes ``StimulusApplied`` and, when the answer was waited for, ``StimulusObserved`` under the same name.
    Details name sessions by id and prefixes in canonical text.
    """

    LINK_LOCAL_INJECTED = "link-local-injected"
    """Frames with a 169.254/16 source and frames with such a destination enter a router to be forwarded.
    applied: node=the router, frames:int, sources:[...], destinations:[...], entered:interface.
    observed: delivered:int (test frames of a forwardable address that did pass, proving the path carries),
    leaked:[{node, interface, frame}]."""
    NEW_ANNOUNCEMENT = "new-announcement"
    """Under DENY the peer announces one more prefix. applied: session, prefix."""
    BAD_ADVERTISEMENT = "bad-advertisement"
    """Before validation the peer advertises what it must not. applied: session, prefixes:[...]."""
    ROUTE_REFRESH = "route-refresh"
    """ROUTE-REFRESH is sent. applied: session. observed: resent:int routes seen on the wire, uptime_kept:bool."""
    BOUNCE = "bounce"
    """The session is reset and comes back. applied: session. observed: established:bool."""
    ANNOUNCED = "announced"
    """Routes are announced on the examiner's session to see the edge's policy judge them.
    applied: node=announcer, session, check:str (catalogue id), case:str, expected:'accept'|'reject', prefixes:[...],
    as_path:str (as PathAttributes.path_text), communities:[...], and where the case is about it next_hop:str,
    local_pref:int, med:int. The answer is the snapshot STIMULATED."""
    WRONG_ASN = "wrong-asn"
    """The examiner opens with an AS that was not agreed. applied: node=the examiner, session, asn:int.
    observed: established:bool."""
    MD5_ON_PEER = "md5-on-peer"
    """MD5 on the peer's side only. observed: established:bool, reported:str (what the controller says)."""
    MD5_EQUAL = "md5-equal"
    """Equal keys at both ends. observed: established:bool."""
    MD5_UNEQUAL = "md5-unequal"
    """Different keys. observed: established:bool, kernel_failures:int (growth of TCPMD5Failure)."""
    TTL_LOWERED = "ttl-lowered"
    """GTSM at the edge, the examiner sends TTL 254 or less. applied: session.
    observed: established:bool, attempts:int (segments that were sent with the low TTL)."""
    TTL_FULL = "ttl-full"
    """GTSM at both ends. observed: established:bool, ttl_seen:int."""
    ROLE_MISMATCH = "role-mismatch"
    """Roles that are no allowed pair. applied: session. observed: established:bool."""
    ROLE_SILENT = "role-silent"
    """A strict edge meets a peer without a role. applied: session. observed: established:bool."""
    ROLE_PAIR = "role-pair"
    """An allowed pair. applied: session. observed: established:bool."""
    HOLD_EXPIRY = "hold-expiry"
    """A peer falls silent (its process stops, its kernel still acknowledges). applied: session, hold_time.
    node is the end that notices. observed: seconds:float until down, routes_left:int."""
    OLD_SPEAKER = "old-speaker"
    """A peer with a 4-octet AS talks to a speaker without capability 65. observed: path_at_third:str."""
    MAX_PREFIX = "max-prefix"
    """limit-1, limit, then limit+1 routes. applied: session, limit.
    node=announcer. observed: up_at_limit:bool, down_after:bool, warned:bool, others_down:[session ids],
    recovered:bool (up again after a restart with fewer routes)."""
    PORT_SCAN = "port-scan"
    """A stranger connects to TCP/179 of routers. node=the stranger. observed: answers:{address: 'open'|'closed'|
    'filtered'}, configured_open:bool (control: a configured neighbour can)."""
    LEAK = "leak"
    """An RFC 7908 leak is announced. applied: node=the leaker, type:int, prefix, session.
    observed: accepted_at:[nodes], passed_on_to:[sessions], reason:str (statement that stopped it)."""
    NEXT_HOP_LOST = "next-hop-lost"
    """The next hop of a route becomes unresolvable, then resolvable. observed: best_without:bool, best_again:bool."""
    TIE_BREAK = "tie-break"
    """A pair of routes equal up to one step of RFC 4271 section 9.1.2.2.
    applied: step:str, expected:session; observed: best:session, reason:str."""
    POLICY_CHANGED = "policy-changed"
    """A policy edit that must re-evaluate existing routes both ways. applied: node=the router, session.
    observed: accepted_before, accepted_between, accepted_after:int, advertised_before, advertised_between,
    advertised_after:int, flaps:int."""
    UNANNOUNCED_DESTINATION = "unannounced-destination"
    """Packets to a destination that was not announced on the session. observed: crossed:int packets on the link."""
    SILENT_FAILURE = "silent-failure"
    """A connection loses every packet with carrier up. applied: session, hold_time. observed: seconds:float."""
    SURVIVOR_LOAD = "survivor-load"
    """The peak load of the primary connections runs to one customer while links are lost. applied: trial:the moment,
    customer, offered_mbps and scale (emulated 1:scale), bandwidth_mbps:{link: as asked for}, carried_mbps:{link: what
    the edge's interface sent before}. observed: trial, carried_mbps:{link: after}."""
    GRACEFUL_SHUTDOWN = "graceful-shutdown"
    """Maintenance by 65535:0 and then shutdown. applied: session. observed: moved:bool, stream:str (its name)."""
    WITHDRAWAL = "withdrawal"
    """The origin withdraws a prefix. applied: prefix. observed: left_at:[nodes]."""
    ISOLATION = "isolation"
    """One session is broken on purpose. applied: session. observed: others_down:[session ids]."""
    DRAIN = "drain"
    """Traffic is drained from a connection before it is closed. applied: session. observed: packets_after:int."""
    LINK_LOAD = "link-load"
    """A UDP load in one direction of a link under test. applied: node=sender, link, destination_node.
    observed: sent:int, received:int, offered_mbps, capacity_mbps, jitter_ms; or unsupported:str."""
    EARLY_TRAFFIC = "early-traffic"
    """Customer and service packets are offered before the policy is open, in the phases link-test and deny.
    applied: link, connection:'PEERING/CONNECTION', sent:int. observed: crossed:int (of them, seen on the link),
    control:int (other frames the same counter did see on the link: link test, BGP)."""
    NO_POLICY = "no-policy"
    """An eBGP session is up with no policy at the edge (empty statements). applied: node=announcer, session,
    offered:[prefixes]. observed: established:bool, accepted:int, advertised:int, at the edge."""
    ROUTER_RESTARTED = "router-restarted"
    """Under DENY the edge's router process is restarted. applied: node=edge, session. observed: established:bool."""
