"""The words of the scene about incidents: hijacks, spoofed sources, and what clients ask of a route server."""

from __future__ import annotations

from enum import StrEnum


class Hijack(StrEnum):
    """What of somebody else's is announced (cases of ``prefix-hijacked``); E1, E5 and E6 are incidents of the table."""

    EXACT = "a registered prefix itself"
    SPECIFIC = "E1: a more-specific of a registered prefix"
    CLOUD = "E5: the cloud's own prefix"
    CLOUD_SPECIFIC = "E5: a more-specific of the cloud's own prefix"
    HALVES = "E6: both halves of a prefix that has a route object"
    OPEN_EXACT = "a customer's prefix, nothing filters it"
    OPEN_SPECIFIC = "a more-specific of a customer's prefix, nothing filters it"


GUARDED = (Hijack.EXACT, Hijack.SPECIFIC, Hijack.CLOUD, Hijack.CLOUD_SPECIFIC, Hijack.HALVES)
"""Announced to an edge under the desk's own import policy."""
OPEN = (Hijack.OPEN_EXACT, Hijack.OPEN_SPECIFIC)
"""Announced where no ROA and no route object is looked at."""


class Spoof(StrEnum):
    """Whose source address a packet has (cases of ``source-spoofed``)."""

    OWN = "a prefix that the peer announces"
    NOBODY = "a prefix that nobody announces"
    OTHER = "a prefix of another AS"
    CLOUD = "a prefix of the cloud itself"
    BOGON = "a bogon"


class Control(StrEnum):
    """What a client asks of a route server (cases of ``client-control``)."""

    PLAIN = "no control community"
    NOT_TO = "not to one client"
    ONLY_TO = "to nobody but one client"
    TO_NOBODY = "to nobody"
    PREPEND = "prepended for one client"
    HIDDEN = "best path withheld from one client"


class IncidentStimulus(StrEnum):
    """What the scene does on purpose."""

    HIJACKED = "prefix-hijacked"
    """A prefix of somebody else is announced. applied: node=announcer, session, trial, case:str, prefix, victim:prefix,
    as_path, guarded:bool (the desk's own policy judges it). observed: accepted:bool, reason:str, at the edge."""
    SPOOFED = "source-spoofed"
    """Packets with a source of that kind are sent into an edge's peering interface, for a host behind it. applied:
    node=peer's router, trial, edge, interface (of the edge), link, case:str, source, destination, sent:int. observed:
    entered:int (seen at the edge's interface), arrived:int (seen at the host)."""
    CLIENT_CONTROL = "client-control"
    """A route with control communities is announced to a route server, and one client is looked at. applied:
    node=announcer, session, trial, case:str, prefix, as_path (as sent), communities:[text], server, client:session,
    client_as:int, expected:as_path that the client is to be told, '' for nothing. observed: told:as_path, '' for
    nothing, communities:[text]."""
