"""What every router can be asked about its routes, whatever speaks BGP in it."""

from __future__ import annotations

from typing import Protocol

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.config import RouterConfig
from peerlab.bgp.nlri import family_of_prefix
from peerlab.bgp.route_fact import Candidate, Explanation, RouteFact


class RibViews(Protocol):
    """Four RIBs and the reasons in them, read when asked. All may raise RuntimeFailure."""

    def loc_rib(self, prefix: Prefix | None = None) -> list[RouteFact]:
        """Every route that passed import policy, and what this router originates."""
        ...

    def adj_rib_in_pre(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer announced."""
        ...

    def adj_rib_in_post(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What import policy made of it."""
        ...

    def adj_rib_out(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer is told."""
        ...

    def explain(self, prefix: Prefix) -> Explanation:
        """Every candidate of a prefix."""
        ...


def explained(ribs: RibViews, config: RouterConfig, prefix: Prefix) -> Explanation:
    """What a daemon's RIBs tell of a prefix: Loc-RIB with its reasons, then all that import policy rejected."""
    peers = [peer for peer in config.peers if peer.family is family_of_prefix(prefix)]
    judged = (fact for peer in peers for fact in ribs.adj_rib_in_post(peer.session, prefix))
    candidates = [
        Candidate(
            session=fact.session,
            peer=fact.peer,
            attributes=fact.attributes,
            accepted=True,
            eliminated_by=fact.reason,
            best=fact.best,
        )
        for fact in ribs.loc_rib(prefix)
    ]
    candidates += [
        Candidate(
            session=fact.session,
            peer=fact.peer,
            attributes=fact.attributes,
            accepted=False,
            rejected_by=fact.reason,
        )
        for fact in judged
        if not fact.accepted
    ]
    return Explanation(node=config.node, prefix=prefix, candidates=tuple(candidates))
