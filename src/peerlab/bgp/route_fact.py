"""What a speaker says about its routes when asked: one route of one RIB, and why a prefix is routed as it is."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import PathAttributes, Prefix


class RouteFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One route in one RIB of one node.

    In Adj-RIB-In, ``accepted`` and ``reason`` say what import policy did (statement name). In Loc-RIB ``best`` marks
    the winner and ``reason`` the decision step that eliminated a loser. In Adj-RIB-Out ``session`` is the receiver.
    ``rpki`` is the origin validation state of a route as received, '' where there is nothing to validate against.
    """

    prefix: Prefix
    session: str | None
    peer: str | None = None
    attributes: PathAttributes
    accepted: bool = True
    best: bool = False
    reason: str = ""
    received_at: int = 0
    rpki: str = ""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path that was considered for a prefix. ``eliminated_by`` is a decision step, '' for the winner.

    ``attributes`` are post-policy when the path was accepted, as received when ``rejected_by`` says who threw it out.
    """

    session: str | None
    peer: str | None
    attributes: PathAttributes
    accepted: bool
    rejected_by: str = ""
    eliminated_by: str = ""
    best: bool = False
    igp_metric: int | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a prefix is routed as it is at one node."""

    node: str
    prefix: Prefix
    candidates: tuple[Candidate, ...]
