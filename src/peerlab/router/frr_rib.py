"""bgpd's tables as the laboratory's RIBs.

Adj-RIB-In before policy is what bgpd tells by BMP, octet for octet, held against the list that its vty shows; after
policy it is bgpd's table. Which statement decided bgpd does not say: its verdict is bgpd's, the statement's name is
what the decision core makes of the same route under the same policy, and where the two disagree the reason says so.
For Adj-RIB-Out bgpd shows what it sent without communities: they are what the export policy makes of its own table's,
and a difference in what it does show is a failure, not an answer.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.communities import is_transitive_extended
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.decision import DEFAULT_LOCAL_PREF, Step
from peerlab.bgp.nlri import family_of_prefix
from peerlab.bgp.policy import LearnedFrom, Policy
from peerlab.bgp.policy_action import prepended
from peerlab.bgp.policy_engine import Judgement, evaluate
from peerlab.bgp.role import otc_on_egress
from peerlab.bgp.route_fact import Explanation, RouteFact
from peerlab.daemons.bmp import as_received
from peerlab.daemons.frr_policy import TAGS
from peerlab.daemons.frr_reply import Brief, FrrRoute, attributes_of_brief, briefs, path_text, routes
from peerlab.errors import InputError, RuntimeFailure
from peerlab.router.bmp_station import Heard
from peerlab.router.companion_driver import Watching
from peerlab.router.rib_views import explained

if TYPE_CHECKING:
    from peerlab.router.frr_driver import FrrDriver

AGREE_WITHIN = 5.0
"""Seconds in which what bgpd tells by BMP must be what its vty shows."""

ASK_AGAIN_AFTER = 0.03
"""Seconds after which bgpd is asked to tell its whole table when what it told is not what it shows."""

DEFAULT_ROUTES = ("0.0.0.0/0", "::/0")
"""bgpd 8.4.4 begins to tell its table after these, so of a rejected one there is only what its vty shows."""

NOT_TAKEN = "refused by FRR's own rules (path loop, role, next hop or originator)"

STEPS = {
    "Weight": Step.LOCAL_ORIGIN.value,
    "Local Pref": Step.LOCAL_PREF.value,
    "AS Path": Step.AS_PATH.value,
    "Origin": Step.ORIGIN.value,
    "MED": Step.MED.value,
    "Peer Type": Step.EBGP.value,
    "IGP Metric": Step.IGP_METRIC.value,
    "Router ID": Step.ROUTER_ID.value,
    "Cluster length": Step.CLUSTER_LIST.value,
    "Neighbor IP": Step.PEER_ADDRESS.value,
}
"""bgpd's words for the step that its best path won by (``selectionReason``), as the step that a rival lost by."""

_FAMILIES = {Family.IPV4: "ipv4 unicast", Family.IPV6: "ipv6 unicast"}
_SOURCES = {tag: source for source, tag in TAGS.items()}


class FrrRib:
    """The four RIBs of one bgpd, read when asked."""

    def __init__(self, frr: FrrDriver, companion: Watching) -> None:
        self._frr = frr
        self._router = companion

    def loc_rib(self, prefix: Prefix | None = None) -> list[RouteFact]:
        """Every route that passed import policy, and what this router originates."""
        families = tuple(Family) if prefix is None else (family_of_prefix(prefix),)
        found = []
        for family in families:
            table = self._table(family, prefix)
            paths = Counter(route.prefix for route in table)
            found += [self._fact(route, alone=paths[route.prefix] == 2) for route in table]
        return found

    def adj_rib_in_pre(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer announced. A peer's LOCAL_PREF bgpd does not keep over eBGP."""
        peer = self._router.peer(session)
        heard = self._heard(peer)
        return [self._received(peer, key, one) for key, one in heard.items() if prefix in (None, key)]

    def adj_rib_in_post(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What import policy made of it: accepted routes as changed, rejected ones as received, with the statement."""
        peer = self._router.peer(session)
        own = self._router.config.own
        taken = {route.prefix: route for route in self._table(peer.family, prefix) if route.peer == peer.peer_address}
        found = []
        for fact in self.adj_rib_in_pre(session, prefix):
            route = taken.get(fact.prefix)
            if own is not None:
                why = f"rejected by {own.file}, or {NOT_TAKEN}" if route is None else ""
            else:
                judged = self._judged(
                    self._policy(peer.import_policy), fact.prefix, fact.attributes, _source(peer)
                )
                why = _why(judged, route is not None)
            if route is not None:
                found.append(
                    msgspec.structs.replace(fact, attributes=self._complete(route, fact.attributes), reason=why)
                )
            else:
                found.append(msgspec.structs.replace(fact, accepted=False, reason=why))
        return found

    def adj_rib_out(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer is told. Raises RuntimeFailure when that cannot be told from what bgpd shows."""
        peer = self._router.peer(session)
        shown = self._briefs(peer, "advertised-routes")
        best = {route.prefix: route for route in self._table(peer.family, prefix) if route.best}
        found = []
        for brief in shown:
            if prefix not in (None, brief.prefix):
                continue
            route = best.get(brief.prefix)
            if route is None:
                raise self._doubt(peer, brief, "it is not in its table")
            found.append(
                RouteFact(
                    prefix=brief.prefix,
                    session=session,
                    peer=peer.peer,
                    attributes=self._sent(peer, route, brief),
                    received_at=route.learned_at,
                )
            )
        return found

    def explain(self, prefix: Prefix) -> Explanation:
        """Every candidate of a prefix; for losers the step by which bgpd says that the best one won."""
        return explained(self, self._router.config, prefix)

    # bgpd's words

    def _table(self, family: Family, prefix: Prefix | None) -> list[FrrRoute]:
        which = "json detail" if prefix is None else f"{prefix} json"
        try:
            return routes(self._frr.ask(f"show bgp {_FAMILIES[family]} {which}"))
        except ValueError as error:
            raise RuntimeFailure(f"{self._router.config.node}: {error}") from error

    def _briefs(self, peer: PeerConfig, what: str) -> list[Brief]:
        command = f"show bgp {_FAMILIES[peer.family]} neighbors {peer.peer_address} {what} json"
        try:
            return briefs(self._frr.ask(command))
        except ValueError as error:
            raise RuntimeFailure(f"{self._router.config.node}: {error}") from error

    def _heard(self, peer: PeerConfig) -> dict[Prefix, Heard]:
        """What bgpd has told by BMP, once it is what its vty shows."""
        station = self._frr.station
        limit = time.monotonic() + AGREE_WITHIN
        ask_again_at = time.monotonic() + ASK_AGAIN_AFTER
        while True:
            station.read()
            heard = self._received_by(peer)
            shown = self._briefs(peer, "received-routes")
            for one in shown:
                if one.prefix in DEFAULT_ROUTES and one.prefix not in heard:
                    heard[one.prefix] = Heard(attributes_of_brief(one), 0)
            wrong = [one for one in shown if not self._is_shown_as(peer, heard.get(one.prefix), one)]
            if not wrong:
                # bgpd 8.4.4 does not tell by BMP that a route is withdrawn which it had rejected.
                return {one.prefix: heard[one.prefix] for one in shown}
            if time.monotonic() > limit:
                one = wrong[0]
                raise RuntimeFailure(
                    f"{self._router.config.node}: FRR's vty shows {one.prefix} of {peer.session} with path "
                    f"{one.as_path!r} and MED {one.med}; by BMP it told {heard.get(one.prefix) or 'nothing of it'}"
                )
            if time.monotonic() > ask_again_at:
                # And of one that it rejects at once it tells only with the whole table, at a new connection.
                station.hang_up()
                ask_again_at = time.monotonic() + AGREE_WITHIN / 3
            station.wait(ASK_AGAIN_AFTER)

    def _is_shown_as(self, peer: PeerConfig, heard: Heard | None, brief: Brief) -> bool:
        """What bgpd shows as received is what its import route-map has made of it, also of a route that it denies."""
        if heard is None:
            return False
        if self._router.config.own is not None:
            return True  # what its own policy makes of the path nobody else can say
        after = self._judged(
            self._policy(peer.import_policy), brief.prefix, heard.attributes, _source(peer)
        ).attributes
        return path_text(after) == brief.as_path and after.med == brief.med

    def _received_by(self, peer: PeerConfig) -> dict[Prefix, Heard]:
        """What bgpd has told so far."""
        external = peer.local_as != peer.peer_as
        added = peer.local_as if external and not peer.route_server_client else None
        cluster = None if external else self._router.config.cluster_id or self._router.config.router_id
        return {
            key: msgspec.structs.replace(one, attributes=as_received(one.attributes, added, cluster))
            for key, one in self._frr.station.table(peer.peer_address).items()
        }

    @staticmethod
    def _received(peer: PeerConfig, prefix: Prefix, heard: Heard) -> RouteFact:
        attributes = heard.attributes
        if peer.local_as != peer.peer_as:
            attributes = msgspec.structs.replace(attributes, local_pref=None)
        return RouteFact(
            prefix=prefix, session=peer.session, peer=peer.peer, attributes=attributes, received_at=heard.at
        )

    def _fact(self, route: FrrRoute, alone: bool = False) -> RouteFact:
        """``alone``: the best path has one rival, so bgpd's reason for the best is why the other lost."""
        session = self._frr.session_of(route.peer) if route.peer else None
        heard = self._received_by(self._router.peer(session)).get(route.prefix) if session else None
        step = STEPS.get(route.best_by) if alone else None
        reason = "" if route.best else step or f"not chosen; FRR says of the best: {route.best_by or 'nothing'}"
        return RouteFact(
            prefix=route.prefix,
            session=session,
            peer=self._router.peer(session).peer if session else None,
            attributes=self._complete(route, heard.attributes if heard else None),
            best=route.best and route.reachable,
            reason=reason if route.reachable else Step.UNRESOLVABLE.value,
            received_at=heard.at if heard else route.learned_at,
        )

    @staticmethod
    def _complete(route: FrrRoute, heard: PathAttributes | None) -> PathAttributes:
        """With what bgpd's JSON leaves out, and no policy of this laboratory changes."""
        if heard is None:
            return route.attributes
        return msgspec.structs.replace(
            route.attributes, extended_communities=heard.extended_communities, unknown=heard.unknown
        )

    # what the decision core makes of it

    def _policy(self, name: str) -> Policy:
        return self._router.config.policies[name]

    def _judged(
        self, policy: Policy, prefix: Prefix, attributes: PathAttributes, source: LearnedFrom
    ) -> Judgement:
        try:
            return evaluate(policy, prefix, attributes, source)
        except InputError as error:
            raise RuntimeFailure(f"{self._router.config.node}: policy {policy.name} cannot be read: {error}") from error

    def _exported(
        self, peer: PeerConfig, route: FrrRoute, brief: Brief, before: PathAttributes, source: LearnedFrom
    ) -> PathAttributes:
        """What a rendered export policy makes of a route. Raises RuntimeFailure when bgpd shows something else."""
        judged = self._judged(self._policy(peer.export_policy), route.prefix, before, source)
        if not judged.accepted:
            raise self._doubt(peer, brief, f"statement '{judged.statement}' of its export policy rejects it")
        after = judged.attributes
        if path_text(after) != brief.as_path or after.med != brief.med:
            raise self._doubt(peer, brief, f"path {path_text(after)!r} and MED {after.med} were expected")
        return after

    def _sent(self, peer: PeerConfig, route: FrrRoute, brief: Brief) -> PathAttributes:
        """FRR's changes around the export policy (RFC 4271 section 5.1, 4456, 7947, 9234)."""
        fact = self._fact(route)
        source = _SOURCES.get(route.tag, LearnedFrom.LOCAL)
        external = peer.local_as != peer.peer_as
        before = fact.attributes
        if external and not peer.route_server_client and source is not LearnedFrom.LOCAL:
            before = msgspec.structs.replace(before, med=None)
        if self._router.config.own is not None:
            # Communities that its own policy adds or takes away bgpd does not show.
            shown = attributes_of_brief(brief)
            after = msgspec.structs.replace(before, as_path=shown.as_path, med=shown.med)
        else:
            after = self._exported(peer, route, brief, before, source)
        if not external:
            return self._sent_inside(peer, route, after, source)
        role = peer.local_role
        changed = msgspec.structs.replace(
            after,
            local_pref=None,
            originator_id=None,
            cluster_list=(),
            otc=after.otc if role is None else otc_on_egress(role, after, peer.local_as),
        )
        if peer.route_server_client and source is not LearnedFrom.LOCAL:
            return changed
        return msgspec.structs.replace(
            changed,
            as_path=prepended(after.as_path, peer.local_as),
            next_hop=peer.local_address,
            link_local_next_hop=None,
            extended_communities=tuple(filter(is_transitive_extended, after.extended_communities)),
        )

    def _sent_inside(
        self, peer: PeerConfig, route: FrrRoute, after: PathAttributes, source: LearnedFrom
    ) -> PathAttributes:
        reflected = source is LearnedFrom.IBGP
        own = source is LearnedFrom.LOCAL or (peer.next_hop_self and not reflected)
        changed = msgspec.structs.replace(
            after,
            local_pref=DEFAULT_LOCAL_PREF if after.local_pref is None else after.local_pref,
            next_hop=peer.local_address if own else after.next_hop,
            link_local_next_hop=None,
        )
        if not reflected:
            return changed
        config = self._router.config
        heard_from = next((one.remote_id for one in self._frr.neighbours() if one.address == route.peer), None)
        return msgspec.structs.replace(
            changed,
            originator_id=after.originator_id or heard_from,
            cluster_list=(config.cluster_id or config.router_id, *after.cluster_list),
        )

    def _doubt(self, peer: PeerConfig, brief: Brief, why: str) -> RuntimeFailure:
        return RuntimeFailure(
            f"{self._router.config.node}: FRR shows {brief.prefix} as told to {peer.peer} with path "
            f"{brief.as_path!r} and MED {brief.med}, but {why}"
        )


def _source(peer: PeerConfig) -> LearnedFrom:
    return LearnedFrom.IBGP if peer.local_as == peer.peer_as else LearnedFrom.EBGP


def _why(judged: Judgement, accepted: bool) -> str:
    if judged.accepted is accepted:
        return judged.statement
    if accepted:
        return f"FRR accepts it; the decision core would have it rejected by '{judged.statement}'"
    return NOT_TAKEN
