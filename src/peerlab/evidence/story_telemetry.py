"""Stimuli of the scene ``telemetry`` of the conformance suite."""

from __future__ import annotations

from enum import StrEnum


class TelemetryStimulus(StrEnum):
    """What is done so that Microsoft's telemetry has something to tell, and what it is asked."""

    PREFIX_CHANGED = "prefix-changed"
    """A customer's prefix is withdrawn, announced again, hijacked or leaked on one session.
    applied: node=who says it, session, trial, name:resource key, prefix, change:'announce'|'withdraw', origin:int of
    what is said (of what stood before, for a withdrawal), expected:[event types], alarm:hijack, leak, withdrawal or ''.
    observed: raised:[event types seen in time]."""
    ODD_ROUTES = "odd-routes"
    """A route that no VRP allows and one that no VRP knows are announced, so that a listing has every RPKI state.
    applied: node=who announces, session, prefixes:[...]."""
    RECEIVED_ROUTES = "received-routes"
    """The received routes of a peering are listed, whole and by filters.
    applied: node='', trial, peering, sessions:[ids], filters:{parameter: value}.
    observed: rows:[{session, prefix, next_hop, as_path, origin, rpki}]."""
    LOOKING_GLASS = "looking-glass"
    """The looking glass is asked from an edge site or a region, and its router is asked the same directly.
    applied: node=router that should answer, trial, command, source, location, destination.
    observed: output:str, and of the router itself received:int and sent:int (ping), hops:[address or '']
    (traceroute), or best:{prefix, as_path, next_hop}, empty without a route (BGP route)."""
    DELAYED = "delayed"
    """The wire of a provider's connection is given a delay, and the latency of a prefix is reported before and after.
    applied: node=edge, trial, name:resource key, prefix, link, delay_ms:float (round trip).
    observed: window:str (the shortest), before, after:{window: {median_ms:float, measurements:int}}; or
    unsupported:str."""
