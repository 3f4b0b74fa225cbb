"""The words of the scene about route origins: what is done with ROAs, with their cache, and with blackholes."""

from __future__ import annotations

from enum import StrEnum


class OriginStimulus(StrEnum):
    """What the scene does on purpose. ``state`` is an origin validation state of RFC 6811 section 2, and a fate is
    {state, accepted, reason} as the edge has it."""

    VALIDATED = "origin-validated"
    """A route is announced under test ROAs. applied: node=announcer, session, prefix, as_path, case:str, roas:[text],
    state:str, expected:'accept'|'reject'. observed: state:str, accepted:bool, reason:str, vrps:int (at the edge)."""
    VRP_CHANGED = "vrp-changed"
    """A ROA comes or goes at the cache while the route stands. applied: node=announcer, session, prefix, change:text,
    state:str, expected. observed: state, accepted, reason, before:fate, reset:bool."""
    CACHE_LOST = "cache-lost"
    """The only cache is killed, its data expire, it comes back. applied: node=announcer, session, expire:int (s),
    routes:{prefix: state while there are ROAs}. observed: held, expired, back:{prefix: fate} (just after the loss,
    after the expiry, after the return), vrps:int (after the expiry), seconds:float until then, reset:bool."""
    EXPORTED = "origin-exported"
    """A route is to be exported under test ROAs. applied: node=announcer, session, out:session, prefix, as_path
    (heard), case, origin:int (that the receiver would see), roas:[text], expected:'announce'|'withhold'. observed: held:bool
    (the edge has it as best), announced:bool, as_path:str (as received)."""
    FORGED = "forged-origin"
    """A sub-prefix is announced with the victim's AS as origin, under a loose ROA and then a minimal one. applied:
    node=forger, session, prefix, covering, as_path, victim:int. observed: loose, minimal:fate,
    alarms:[prefixes that monitoring names], covering:fate under the minimal ROA."""
    BLACKHOLE = "blackhole"
    """A prefix is announced with or without 65535:666. applied: node=announcer, session, prefix, marked:bool,
    agreed:bool, covered:bool, case, expected:'discard'|'forward'|'reject'. observed: accepted, reason, state,
    kernel:str (kind of the edge's kernel route, '' for none), communities:[text] (after policy), told:[external
    sessions of the edge that are told of it]."""
