"""Watches a few prefixes in the RIBs of one router: what each external session holds of them, and when that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.nlri import family_of_prefix
from peerlab.evidence.events import RouteChanged
from peerlab.router.rib_views import RibViews


class RouteWatch:
    """Compares what is held with what was held at the last look. ``peers`` are the sessions configured now."""

    def __init__(self, node: str, ribs: RibViews, peers: Callable[[], Iterable[PeerConfig]]) -> None:
        self._node = node
        self._ribs = ribs
        self._peers = peers
        self._prefixes: tuple[Prefix, ...] = ()
        self._held: dict[tuple[str, str], RouteChanged] = {}

    @property
    def is_idle(self) -> bool:
        """Nothing is watched."""
        return not self._prefixes

    def watch(self, prefixes: Iterable[Prefix], now: int) -> list[RouteChanged]:
        """Watch these prefixes and no others. Answers with what is held of them at ``now`` (ns)."""
        self._prefixes = tuple(dict.fromkeys(prefixes))
        self._held = self._read(now)
        return list(self._held.values())

    def look(self, now: int) -> list[RouteChanged]:
        """What changed since the last look, at ``now`` (ns)."""
        if self.is_idle:
            return []
        before, self._held = self._held, self._read(now)
        gone = [
            RouteChanged(at=now, node=self._node, session=session, prefix=prefix, held=False)
            for session, prefix in before.keys() - self._held.keys()
        ]
        fresh = []
        for key, held in self._held.items():
            known = before.get(key)
            if known is not None and msgspec.structs.replace(held, at=known.at) == known:
                self._held[key] = known
            else:
                fresh.append(held)
        return [*sorted(gone, key=lambda one: (one.session, one.prefix)), *fresh]

    def _read(self, now: int) -> dict[tuple[str, str], RouteChanged]:
        found: dict[tuple[str, str], RouteChanged] = {}
        external = [peer for peer in self._peers() if peer.local_as != peer.peer_as]
        for prefix in self._prefixes:
            family = family_of_prefix(prefix)
            best = {route.session for route in self._ribs.loc_rib(prefix) if route.best}
            for peer in external:
                if peer.family is not family:
                    continue
                for route in self._ribs.adj_rib_in_pre(peer.session, prefix):
                    found[peer.session, prefix] = RouteChanged(
                        at=now,
                        node=self._node,
                        session=peer.session,
                        prefix=prefix,
                        held=True,
                        as_path=route.attributes.path_text(),
                        origin=route.attributes.origin_as(),
                        accepted=route.accepted,
                        best=peer.session in best,
                        reason=route.reason,
                        received_at=route.received_at,
                    )
        return found
