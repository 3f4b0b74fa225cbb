"""The words of the scene about route origins: what is done with ROAs, with their cache, and with blackholes."""

from __future__ import annotations

from enum import StrEnum


class Ingress(StrEnum):
    """How a received route and its ROAs stand to each other (cases of ``origin-validated``)."""

    VALID = "valid"
    NOT_FOUND = "not-found"
    WRONG_ORIGIN = "wrong origin"
    AS0 = "AS0"
    AS0_BESIDE = "AS0 beside a ROA that fits"
    SET_COVERED = "AS_SET under a ROA"
    SET_FREE = "AS_SET without a ROA"
    AT_LENGTH = "at maxLength"
    BEYOND_LENGTH = "beyond maxLength"


class Egress(StrEnum):
    """Whose ROA there is for a route that is to be exported (cases of ``origin-exported``)."""

    OWN = "own prefix, ROA for the own AS"
    OWN_FOREIGN = "own prefix, ROA for another AS"
    LEFT = "private AS stripped, ROA for what is left"
    STRIPPED = "private AS stripped, ROA for the private AS"


class Hole(StrEnum):
    """Who asks for which blackhole (cases of ``blackhole``)."""

    AGREED = "agreed and covered"
    UNCOVERED = "agreed, not covered"
    UNMARKED = "agreed, without the community"
    HOST_UNAGREED = "not agreed, a host"
    ORDINARY_UNAGREED = "not agreed, an ordinary prefix"


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
    after the expiry, after the return), held_after:float (s, to the first look), vrps:int (after the expiry),
    seconds:float until then, reset:bool."""
    EXPORTED = "origin-exported"
    """A route is to be exported under test ROAs. applied: node=announcer, session, out:session, prefix, as_path
    (heard), case, origin:int (that the receiver would see), roas:[text], expected:'announce'|'withhold'. observed:
    held:bool (the edge has it as best), announced:bool, as_path:str (as received)."""
    FORGED = "forged-origin"
    """A sub-prefix is announced with the victim's AS as origin, under a loose ROA and then a minimal one. applied:
    node=forger, session, prefix, covering, as_path, victim:int. observed: loose, minimal:fate,
    alarms:[prefixes that monitoring names], covering:fate under the minimal ROA."""
    BLACKHOLE = "blackhole"
    """A prefix is announced with or without 65535:666. applied: node=announcer, session, prefix, marked:bool,
    agreed:bool, covered:bool, case, expected:'discard'|'forward'|'reject'. observed: accepted, reason, state,
    kernel:str (kind of the edge's kernel route, '' for none), communities:[text] (after policy), told:[external
    sessions of the edge that are told of it]."""
