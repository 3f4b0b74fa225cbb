"""The words of the hostile scene: what an attacker says to an edge, and what is watched meanwhile."""

from __future__ import annotations

from enum import StrEnum


class HostileStimulus(StrEnum):
    """What the examiner does to the edge that no honest peer would do.

    Every detail has ``trial``; octets are whole BGP messages in hex, to be found again on the wire. ``asked``: true
    where a person did it to some router (``peerlab hostile``) and not the scene to the edge.
    """

    BAD_OPEN = "bad-open"
    """An OPEN that must be refused, or one with an oddity that must not matter. applied: node=the examiner, session,
    case, octets, expected:'2/3', '2/4', '2/6' or 'accepted'. observed: answered:bool (the talk came to its end)."""
    FAMILIES_OFFERED = "families-offered"
    """An OPEN offers flowspec, VPN, EVPN and labelled families besides. applied: node=the examiner, session, octets,
    families:['AFI/SAFI']. observed: answered:bool."""
    COLLISION = "collision"
    """Both ends open a connection at once. applied: node=the examiner, session, identifier (the examiner's), other
    (the edge's). observed: answered:bool."""
    MALFORMED_UPDATE = "malformed-update"
    """An UPDATE with one malformed attribute announces again a prefix that stands. applied: node=the attacker, session,
    witness (the session on which the edge passes routes on), case, prefix, sentinel, octets, community.
    observed: sent:bool, stopped:str (why the attacker could not go on, '' when it could)."""
    UNPARSEABLE_UPDATE = "unparseable-update"
    """An UPDATE whose routes cannot be told from its octets. applied: node=the attacker, session, witness, case,
    prefix, octets. observed: sent:bool."""
    SEND_BLOCKED = "send-blocked"
    """A peer stays alive and reads nothing, so that its TCP window is zero. applied: node=the edge, session,
    send_hold (s), hold_time (s). observed: stalled_at:int (ns)."""
    RESOURCE_ATTACK = "resource-attack"
    """Long paths, many communities, huge attributes, an update storm and flapping routes. applied: node=the attacker,
    session, witness, pieces:{name: first UPDATE in hex}, sentinel. observed: rss_before:int, rss_after:int (KiB of the
    edge's router process), same_process:bool, updates:int."""
    FLOOD = "flood"
    """SYN, ICMP and BGP messages as fast as they can be made. applied: node=the attacker, session (the Established one
    that must stay), edge, hold_time. observed: seconds:float, sent:{kind:int}, received:int (packets that came in at
    the edge's interface), others_down:[session ids]."""
    MID_STREAM = "mid-stream"
    """TCP segments of connections that nobody on the way has seen begin. applied: node=sender, destination,
    kinds:[...], each:int. observed: arrived:{kind:int}, missed:int (frames that the watcher could not see)."""
    RATE_TEST = "rate-test"
    """A UDP stream at a high rate. applied: node=sender, destination, mbps:float. observed: sent:int, received:int,
    overflowed:int (lost in the receiver's own socket)."""
