"""The laboratory's RIBs of a daemon that shows all attributes of every route in all of its tables.

Which statement of a policy decided such daemons do not say: the verdict is the daemon's, the statement's name is what
the decision core makes of the same route under the same policy, and where the two disagree the reason says so.
"""

from __future__ import annotations

import time
from typing import Protocol

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.nlri import family_of_prefix
from peerlab.bgp.policy import LearnedFrom
from peerlab.bgp.policy_engine import Judgement, evaluate
from peerlab.bgp.route_fact import Explanation, RouteFact
from peerlab.daemons.shown_route import ShownRoute
from peerlab.errors import InputError, RuntimeFailure
from peerlab.router.companion_driver import Watching
from peerlab.router.rib_views import explained


class Tables(Protocol):
    """A daemon's tables, read when asked. All may raise RuntimeFailure."""

    title: str

    def chosen(self, family: Family, prefix: Prefix | None) -> list[ShownRoute]:
        """Every route that may be chosen. When this returns, the kernel follows it."""
        ...

    def received(self, peer: PeerConfig, prefix: Prefix | None) -> list[ShownRoute]:
        """What the peer announced; nothing while the session is down."""
        ...

    def sent(self, peer: PeerConfig, prefix: Prefix | None) -> list[ShownRoute]:
        """What the peer was told; nothing while the session is down."""
        ...

    def same(self, shown: PathAttributes, wanted: PathAttributes) -> PathAttributes:
        """What is shown, in the words of ``wanted`` where the daemon shows one and the other alike."""
        ...


class ShownRib:
    """The four RIBs."""

    def __init__(self, tables: Tables, companion: Watching) -> None:
        self._tables = tables
        self._router = companion

    def loc_rib(self, prefix: Prefix | None = None) -> list[RouteFact]:
        """Every route that passed import policy, and what this router originates."""
        families = tuple(Family) if prefix is None else (family_of_prefix(prefix),)
        return [self._fact(route) for family in families for route in self._tables.chosen(family, prefix)]

    def adj_rib_in_pre(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer announced. A peer's LOCAL_PREF means nothing over eBGP."""
        peer = self._router.peer(session)
        return [self._received(peer, route) for route in self._tables.received(peer, prefix)]

    def adj_rib_in_post(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What import policy made of it: accepted routes as changed, rejected ones as received, with the statement."""
        peer = self._router.peer(session)
        taken = {
            route.prefix: route
            for route in self._tables.chosen(peer.family, prefix)
            if route.peer == peer.peer_address
        }
        found = []
        for fact in self.adj_rib_in_pre(session, prefix):
            route, judged = taken.get(fact.prefix), self._judged(peer, fact)
            if route is None:
                found.append(msgspec.structs.replace(fact, accepted=False, reason=self._why(judged, accepted=False)))
                continue
            found.append(
                msgspec.structs.replace(
                    fact,
                    attributes=self._tables.same(route.attributes, judged.attributes),
                    reason=self._why(judged, accepted=True),
                    best=route.best,
                )
            )
        return found

    def adj_rib_out(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer is told."""
        peer = self._router.peer(session)
        return [
            RouteFact(
                prefix=route.prefix,
                session=session,
                peer=peer.peer,
                attributes=self._without_local_pref(peer, route.attributes),
                received_at=_since(route),
            )
            for route in self._tables.sent(peer, prefix)
        ]

    def explain(self, prefix: Prefix) -> Explanation:
        """Every candidate of a prefix. By which step a path lost is not known."""
        return explained(self, self._router.config, prefix)

    def _fact(self, route: ShownRoute) -> RouteFact:
        peer = next((one for one in self._router.config.peers if one.peer_address == route.peer), None)
        return RouteFact(
            prefix=route.prefix,
            session=None if peer is None else peer.session,
            peer=None if peer is None else peer.peer,
            attributes=route.attributes,
            best=route.best,
            reason="" if route.best else f"not chosen; {self._tables.title} does not say by which step",
            received_at=_since(route),
        )

    def _received(self, peer: PeerConfig, route: ShownRoute) -> RouteFact:
        return RouteFact(
            prefix=route.prefix,
            session=peer.session,
            peer=peer.peer,
            attributes=self._without_local_pref(peer, route.attributes),
            received_at=_since(route),
        )

    @staticmethod
    def _without_local_pref(peer: PeerConfig, attributes: PathAttributes) -> PathAttributes:
        if peer.local_as == peer.peer_as:
            return attributes
        return msgspec.structs.replace(attributes, local_pref=None)

    def _judged(self, peer: PeerConfig, fact: RouteFact) -> Judgement:
        source = LearnedFrom.IBGP if peer.local_as == peer.peer_as else LearnedFrom.EBGP
        policy = self._router.config.policies[peer.import_policy]
        try:
            return evaluate(policy, fact.prefix, fact.attributes, source)
        except InputError as error:
            raise RuntimeFailure(f"{self._router.config.node}: policy {policy.name} cannot be read: {error}") from error

    def _why(self, judged: Judgement, *, accepted: bool) -> str:
        if judged.accepted is accepted:
            return judged.statement
        title = self._tables.title
        if accepted:
            return f"{title} accepts it; the decision core would have it rejected by '{judged.statement}'"
        return f"refused by {title}'s own rules (path loop, first AS, role, next hop or originator)"


def _since(route: ShownRoute) -> int:
    return time.time_ns() - route.age * 1_000_000_000
