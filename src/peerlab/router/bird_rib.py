"""BIRD's tables as the laboratory's RIBs.

Adj-RIB-In before policy is BIRD's import table, after policy its table and the routes it keeps as filtered. For
Adj-RIB-Out BIRD says which routes it has sent, and shows them as the export filter leaves them; what its BGP changes
after that (own AS, next hop, reflection marks, OTC) is added here by BIRD's rules, and live tests hold the result
against what the peer received. (It could keep an export table, but then sends no MED that a filter set: 2.0.12.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from peerlab.bgp.attributes import BgpRole, Family, PathAttributes, Prefix
from peerlab.bgp.communities import is_transitive_extended
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.decision import DEFAULT_LOCAL_PREF, Step
from peerlab.bgp.nlri import family_of_prefix
from peerlab.bgp.policy import LearnedFrom
from peerlab.bgp.policy_action import prepended
from peerlab.bgp.role import otc_on_egress
from peerlab.bgp.route_fact import Explanation, RouteFact
from peerlab.daemons.bird_filter import SOURCES, VERSION, decided_by
from peerlab.daemons.bird_reply import BirdRoute, routes
from peerlab.errors import RuntimeFailure
from peerlab.router.bird_caches import BirdCaches
from peerlab.router.companion_driver import Watching
from peerlab.router.rib_views import explained

if TYPE_CHECKING:
    from peerlab.router.bird_driver import BirdDriver

_ORIGINATED = ("BGP", "static")
"""Kinds of routes that are BGP's; tables of an own configuration hold connected networks and the kernel's too."""

_NO_TABLE = re.compile("No import table in channel|is down")
"""What BIRD says of a session that is down: the table stands and falls with it."""

NOT_CHOSEN = "not chosen; BIRD does not say by which step"
NOT_TAKEN = "refused by BIRD before import policy (path loop, first AS, role or next hop)"


class BirdRib:
    """The four RIBs of one BIRD, read when asked."""

    def __init__(self, bird: BirdDriver, companion: Watching, caches: BirdCaches) -> None:
        self._caches = caches
        self._bird = bird
        self._router = companion

    def loc_rib(self, prefix: Prefix | None = None) -> list[RouteFact]:
        """Every route that passed import policy, and what this router originates."""
        families = tuple(Family) if prefix is None else (family_of_prefix(prefix),)
        found = []
        for family in families:
            for route in self._show(f"table master{VERSION[family]}", prefix):
                session = self._bird.session_of(route.protocol)
                if session is None and route.kind not in _ORIGINATED:
                    continue
                reason = "" if route.best else NOT_CHOSEN
                found.append(
                    RouteFact(
                        prefix=route.prefix,
                        session=session,
                        peer=self._router.peer(session).peer if session else None,
                        attributes=route.attributes,
                        best=route.best and route.reachable,
                        reason=reason if route.reachable else Step.UNRESOLVABLE.value,
                        received_at=route.learned_at,
                    )
                )
        return found

    def adj_rib_in_pre(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer announced. A peer's LOCAL_PREF BIRD does not keep over eBGP; the OTC it adds it shows here."""
        peer = self._router.peer(session)
        return self._caches.with_states(self._heard(peer, route) for route in self._import_table(peer, prefix))

    def adj_rib_in_post(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What import policy made of it: accepted routes as changed, rejected ones as received, with the statement."""
        peer = self._router.peer(session)
        own = self._router.config.own
        received = {route.prefix: self._heard(peer, route) for route in self._import_table(peer, prefix)}
        of_session = f"table master{VERSION[peer.family]} protocol '{self._bird.protocol(session)}'"
        decided: dict[Prefix, RouteFact] = {}
        for route in self._show(of_session, prefix):
            decided[route.prefix] = RouteFact(
                prefix=route.prefix,
                session=session,
                peer=peer.peer,
                attributes=route.attributes,
                reason=self._decided(peer.import_policy, route.statement, accepted=True),
                received_at=route.learned_at,
            )
        for route in self._show(f"filtered {of_session}", prefix):
            known = received.get(route.prefix) or self._heard(peer, route)
            reason = self._decided(peer.import_policy, route.statement, accepted=False)
            decided[route.prefix] = msgspec.structs.replace(known, accepted=False, reason=reason)
        for key, fact in received.items():
            reason = NOT_TAKEN if own is None else f"rejected by {own.file}, or {NOT_TAKEN}"
            decided.setdefault(key, msgspec.structs.replace(fact, accepted=False, reason=reason))
        return self._caches.with_states(decided.values())

    def adj_rib_out(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer is told."""
        peer = self._router.peer(session)
        table, name = f"table master{VERSION[peer.family]}", self._bird.protocol(session)
        sent = {(route.prefix, route.protocol) for route in self._show(f"{table} exported '{name}'", prefix)}
        shown = self._show(f"{table} export '{name}'", prefix)
        return [
            RouteFact(
                prefix=route.prefix,
                session=session,
                peer=peer.peer,
                attributes=self._sent(peer, route),
                received_at=route.learned_at,
            )
            for route in shown
            if (route.prefix, route.protocol) in sent
        ]

    def explain(self, prefix: Prefix) -> Explanation:
        """Every candidate of a prefix; BIRD names no decision step."""
        return explained(self, self._router.config, prefix)

    def _decided(self, policy: str, statement: int | None, accepted: bool) -> str:
        """Why: the statement of a rendered policy. An own configuration decides without telling by what."""
        own = self._router.config.own
        if own is not None:
            return "" if accepted else f"rejected by {own.file}"
        return decided_by(self._router.config.policies[policy], statement or 0)

    def _show(self, what: str, prefix: Prefix | None) -> list[BirdRoute]:
        which = f"{prefix} " if prefix is not None else ""
        reply = self._bird.ask(f"show route {which}all {what}", absent=_NO_TABLE)
        try:
            return list(routes(reply))
        except ValueError as error:
            raise RuntimeFailure(f"{self._router.config.node}: {error}") from error

    def _import_table(self, peer: PeerConfig, prefix: Prefix | None) -> list[BirdRoute]:
        return self._show(f"import table '{self._bird.protocol(peer.session)}'.{peer.family.value}", prefix)

    @staticmethod
    def _heard(peer: PeerConfig, route: BirdRoute) -> RouteFact:
        attributes = route.attributes
        if peer.local_as != peer.peer_as:
            attributes = msgspec.structs.replace(attributes, local_pref=None)
        return RouteFact(
            prefix=route.prefix,
            session=peer.session,
            peer=peer.peer,
            attributes=attributes,
            received_at=route.learned_at,
        )

    def _sent(self, peer: PeerConfig, route: BirdRoute) -> PathAttributes:
        """BIRD's changes after the export filter (RFC 4271 section 5.1, 4456, 7947, 9234)."""
        attributes = route.attributes
        learned = self._bird.session_of(route.protocol)
        external = peer.local_as != peer.peer_as
        if not external:
            return self._sent_inside(peer, route, learned)
        role = peer.local_role
        changed = msgspec.structs.replace(
            attributes,
            local_pref=None,
            originator_id=None,
            cluster_list=(),
            otc=attributes.otc if role is None else otc_on_egress(BgpRole(role), attributes, peer.local_as),
        )
        if peer.route_server_client and learned is not None:
            return changed
        return msgspec.structs.replace(
            changed,
            as_path=prepended(attributes.as_path, peer.local_as),
            next_hop=peer.local_address,
            link_local_next_hop=None,
            extended_communities=tuple(filter(is_transitive_extended, attributes.extended_communities)),
        )

    def _sent_inside(self, peer: PeerConfig, route: BirdRoute, learned: str | None) -> PathAttributes:
        attributes = route.attributes
        reflected = route.source == SOURCES[LearnedFrom.IBGP]
        own = learned is None or (peer.next_hop_self and not reflected)
        changed = msgspec.structs.replace(
            attributes,
            local_pref=DEFAULT_LOCAL_PREF if attributes.local_pref is None else attributes.local_pref,
            next_hop=peer.local_address if own else attributes.next_hop,
            link_local_next_hop=None,
        )
        if not reflected:
            return changed
        neighbour = self._bird.protocols()[route.protocol].neighbour_id
        config = self._router.config
        return msgspec.structs.replace(
            changed,
            originator_id=attributes.originator_id or neighbour,
            cluster_list=(config.cluster_id or config.router_id, *attributes.cluster_list),
        )
