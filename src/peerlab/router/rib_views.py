"""What every router can be asked about its routes, whatever speaks BGP in it."""

from __future__ import annotations

from typing import Protocol

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.route_fact import Explanation, RouteFact


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
