"""The words of trying out an engineer's own configuration: what an edge announces to it, as it never should."""

from __future__ import annotations

from enum import StrEnum


class Misbehaviour(StrEnum):
    """What no neighbour should be let in with (cases of ``edge-misbehaves``)."""

    DEFAULT = "default route"
    BOGON = "bogon"
    OWN = "own prefix"
    LONG = "too long a prefix"


class OwnStimulus(StrEnum):
    """Names of the stimulus. What is applied and observed stands beside it."""

    EDGE_MISBEHAVES = "edge-misbehaves"
    """An edge announces to a router with an own configuration what it must not take. applied: node=edge, session,
    trial, case (``Misbehaviour``), router, prefixes. observed, at the router: accepted:[prefixes], and trial."""
