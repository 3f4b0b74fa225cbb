"""Statements about routes, as a person says them, and when each of them was true.

``route(prefix=…, contains_as=…)`` is a pattern. Saying where it is looked for makes it a statement:

- ``.sent_to(peer)``, ``.sent_by(node)``, or both: *on the wire*. True while a matching route stands announced: from
  the UPDATE that told it until its withdrawal, replacement by a route that does not match, or the session's end.
  Judged continuously, from the trace.
- ``.at(node).pre_policy``: in the node's Adj-RIB-In before policy. Judged continuously by what its peers told it on
  the wire; a sighting in what the node itself reports at a snapshot counts as well.
- ``.at(node).post_policy`` and ``.at(node).best``: judged at each snapshot by what the node reports (its Adj-RIB-In
  after policy; its best routes in Loc-RIB). Between snapshots only this much is known: while no peer had told the node
  such a prefix at all, and it originates none itself, it had no such route.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.verify.evidence import Evidence
from peerlab.verify.route_reading import Reading, RouteConditions, Where, read_pre_policy, read_reports, read_wire


class RoutePattern(RouteConditions, frozen=True, kw_only=True, omit_defaults=True):
    """Conditions that can be made a statement. Make one with `route`."""

    def sent_to(self, peer: str) -> RouteStatement:
        """A matching route stands announced to this node."""
        return RouteStatement(pattern=self, where=Where.SENT, peer=peer)

    def sent_by(self, node: str) -> RouteStatement:
        """A matching route stands announced by this node."""
        return RouteStatement(pattern=self, where=Where.SENT, node=node)

    def at(self, node: str) -> RoutePlace:
        """A matching route at this node; say where with ``pre_policy``, ``post_policy`` or ``best``."""
        return RoutePlace(pattern=self, node=node)


def route(
    *,
    prefix: str | None = None,
    as_path: str | None = None,
    contains_as: int | None = None,
    communities: tuple[str, ...] = (),
    next_hop: str | None = None,
    med: int | None = None,
    local_pref: int | None = None,
    otc: int | None = None,
) -> RoutePattern:
    """The pattern of a route, e.g. ``route(prefix="203.0.113.0/24", contains_as=64500).sent_to("isp-1")``."""
    return RoutePattern(
        prefix=None if prefix is None else Prefix(prefix),
        as_path=as_path,
        contains_as=contains_as,
        communities=communities,
        next_hop=None if next_hop is None else Address(next_hop),
        med=med,
        local_pref=local_pref,
        otc=otc,
    )


class RoutePlace(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern at a node, not yet a statement."""

    pattern: RoutePattern
    node: str

    @property
    def pre_policy(self) -> RouteStatement:
        """In its Adj-RIB-In, before import policy."""
        return RouteStatement(pattern=self.pattern, where=Where.PRE_POLICY, node=self.node)

    @property
    def post_policy(self) -> RouteStatement:
        """In its Adj-RIB-In, accepted by import policy."""
        return RouteStatement(pattern=self.pattern, where=Where.POST_POLICY, node=self.node)

    @property
    def best(self) -> RouteStatement:
        """The winner of its decision process."""
        return RouteStatement(pattern=self.pattern, where=Where.BEST, node=self.node)


class RouteStatement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A statement about a route that is true or false at each moment.

    On the wire ``node`` is the sender and ``peer`` the receiver; elsewhere ``node`` has the route, from ``peer`` if
    that is given. None means any.
    """

    pattern: RoutePattern
    where: Where
    node: str | None = None
    peer: str | None = None

    def sent_to(self, peer: str) -> RouteStatement:
        """Narrows a statement about the wire to one receiver."""
        return msgspec.structs.replace(self, peer=peer)

    def sent_by(self, node: str) -> RouteStatement:
        """Narrows a statement about the wire to one sender."""
        return msgspec.structs.replace(self, node=node)

    def from_peer(self, peer: str) -> RouteStatement:
        """Narrows a statement about a node's tables to what this peer told it."""
        return msgspec.structs.replace(self, peer=peer)

    def __str__(self) -> str:
        if self.where is Where.SENT:
            by = f" by {self.node}" if self.node else ""
            to = f" to {self.peer}" if self.peer else ""
            return f"{self.pattern} sent{by}{to}"
        source = f" from {self.peer}" if self.peer else ""
        return f"{self.pattern} {self.where} at {self.node}{source}"

    def read(self, evidence: Evidence) -> Reading:
        """What the evidence says, over its whole length."""
        if self.where is Where.SENT:
            return read_wire(evidence, self.pattern, self.node, self.peer)
        assert self.node is not None
        if self.where is Where.PRE_POLICY:
            return read_pre_policy(evidence, self.pattern, self.node, self.peer)
        return read_reports(evidence, self.pattern, self.node, self.where, self.peer)
