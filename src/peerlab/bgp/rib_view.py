"""The speaker's RIBs as facts for people and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peerlab.bgp.attributes import Family, PathAttributes
from peerlab.bgp.counters import SessionCounters
from peerlab.bgp.decision import Path, decide
from peerlab.bgp.nlri import nlri_text
from peerlab.bgp.origin_validation import OriginValidator, route_origin
from peerlab.bgp.peer import Peer
from peerlab.bgp.rib import Rib
from peerlab.bgp.route_fact import Candidate, Explanation, RouteFact


class RibView:
    """Reads RIBs in which every decision is made. Prefixes are raw NLRI; None asks for all."""

    def __init__(
        self, node: str, peers: Mapping[str, Peer], ribs: Mapping[Family, Rib], validator: OriginValidator
    ) -> None:
        self._node = node
        self._peers = peers
        self._ribs = ribs
        self._validator = validator

    def adj_rib_in_pre(self, peer: Peer, raw: bytes | None) -> list[RouteFact]:
        """As received."""
        return self._adj_rib_in(peer, raw, post_policy=False)

    def adj_rib_in_post(self, peer: Peer, raw: bytes | None) -> list[RouteFact]:
        """As accepted."""
        return self._adj_rib_in(peer, raw, post_policy=True)

    def _adj_rib_in(self, peer: Peer, raw: bytes | None, *, post_policy: bool) -> list[RouteFact]:
        adj_rib_in = peer.adj_rib_in
        if adj_rib_in is None:
            return []
        facts = []
        for one in adj_rib_in if raw is None else (raw,):
            route = adj_rib_in.route(one)
            if route is None:
                continue
            admission = adj_rib_in.admission(one)
            path = admission.path
            if post_policy and path is None:
                continue
            facts.append(
                RouteFact(
                    prefix=nlri_text(one, peer.config.family),
                    session=peer.config.session,
                    peer=peer.config.peer,
                    attributes=path.attributes if post_policy and path is not None else route[0],
                    accepted=path is not None,
                    best=path is not None and self._is_best(peer, one),
                    reason=admission.reason,
                    received_at=route[1],
                    rpki=self._state(peer, one, route[0]),
                )
            )
        return facts

    def _state(self, peer: Peer, raw: bytes, attributes: PathAttributes) -> str:
        if not self._validator.vrps:
            return ""
        return self._validator.state(raw, peer.config.family, route_origin(attributes, peer.config.local_as))

    def loc_rib(self, prefix: tuple[bytes, Family] | None) -> list[RouteFact]:
        """Every eligible path, winner first."""
        if prefix is not None:
            return self._decided(prefix[1], (prefix[0],))
        return [fact for family, rib in self._ribs.items() for fact in self._decided(family, rib)]

    def _decided(self, family: Family, raws: Iterable[bytes]) -> list[RouteFact]:
        facts = []
        rib = self._ribs[family]
        for raw in raws:
            paths = rib.paths(raw)
            if not paths:
                continue
            decision = decide(paths, rib.profile)
            ordered = [*([decision.best] if decision.best is not None else []), *decision.eliminated]
            for path in ordered:
                facts.append(
                    RouteFact(
                        prefix=nlri_text(raw, family),
                        session=path.session,
                        peer=self._peer_of(path),
                        attributes=path.attributes,
                        best=path is decision.best,
                        reason="" if path is decision.best else decision.eliminated[path],
                        received_at=self._received_at(raw, path),
                    )
                )
        return facts

    def adj_rib_out(self, peer: Peer, raw: bytes | None) -> list[RouteFact]:
        """As told to the peer."""
        if peer.up is None or peer.up.adj_rib_out is None:
            return []
        adj_rib_out = peer.up.adj_rib_out
        facts = []
        for one in adj_rib_out if raw is None else (raw,):
            attributes = adj_rib_out.route(one)
            if attributes is not None:
                facts.append(
                    RouteFact(
                        prefix=nlri_text(one, peer.config.family),
                        session=peer.config.session,
                        peer=peer.config.peer,
                        attributes=attributes,
                    )
                )
        return facts

    def withheld(self, peer: Peer, raw: bytes) -> str | None:
        """Why a peer is not told of a prefix; None when it is to be told."""
        if peer.up is None or peer.up.adj_rib_out is None:
            return "the session is not Established"
        offer = peer.up.adj_rib_out.offer(raw)
        if offer is None:
            return "there is no best path"
        return None if offer.attributes is not None else offer.reason

    def explain(self, raw: bytes, family: Family) -> Explanation:
        """Every path: the decision's, then the rejected ones."""
        rib = self._ribs[family]
        paths = rib.paths(raw)
        decision = decide(paths, rib.profile)
        candidates = [
            Candidate(
                session=path.session,
                peer=self._peer_of(path),
                attributes=path.attributes,
                accepted=True,
                eliminated_by=decision.eliminated.get(path, ""),
                best=path is decision.best,
                igp_metric=None if path.resolution is None else path.resolution.metric,
            )
            for path in sorted(paths, key=lambda path: path is not decision.best)
        ]
        for peer in self._peers.values():
            held = peer.adj_rib_in
            if held is None or peer.config.family is not family:
                continue
            route = held.route(raw)
            if route is None:
                continue
            admission = held.admission(raw)
            if admission.path is None:
                candidates.append(
                    Candidate(
                        session=peer.config.session,
                        peer=peer.config.peer,
                        attributes=route[0],
                        accepted=False,
                        rejected_by=admission.reason,
                    )
                )
        return Explanation(node=self._node, prefix=nlri_text(raw, family), candidates=tuple(candidates))

    def counters(self, peer: Peer) -> SessionCounters:
        """All zero while the session is down."""
        up = peer.up
        adj_rib_out = None if up is None else up.adj_rib_out
        return SessionCounters(
            received=0 if up is None else len(up.adj_rib_in),
            accepted=0 if up is None else up.adj_rib_in.accepted,
            advertised=0 if adj_rib_out is None else len(adj_rib_out),
            updates_received=0 if up is None else up.updates_received,
            updates_sent=0 if up is None else up.updates_sent,
            treated_as_withdrawn=0 if up is None else up.treated_as_withdrawn,
            end_of_rib_received=up is not None and up.end_of_rib_received,
            end_of_rib_sent=adj_rib_out is not None and adj_rib_out.end_of_rib_sent,
        )

    def _peer_of(self, path: Path) -> str | None:
        peer = self._peers.get(path.session) if path.session is not None else None
        return None if peer is None else peer.config.peer

    def _received_at(self, raw: bytes, path: Path) -> int:
        peer = self._peers.get(path.session) if path.session is not None else None
        route = None if peer is None or peer.adj_rib_in is None else peer.adj_rib_in.route(raw)
        return 0 if route is None else route[1]

    def _is_best(self, peer: Peer, raw: bytes) -> bool:
        best = self._ribs[peer.config.family].best.get(raw)
        return best is not None and best.session == peer.config.session
