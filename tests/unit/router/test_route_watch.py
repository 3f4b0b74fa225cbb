"""A watched prefix is told of when what a session holds of it changes, and only then."""

from __future__ import annotations

from collections.abc import Sequence

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.route_fact import RouteFact
from peerlab.router.route_watch import RouteWatch

WATCHED, OTHER = Prefix("198.18.33.0/24"), Prefix("198.18.34.0/24")


def peer(session: str, asn: int) -> PeerConfig:
    return PeerConfig(
        session=session, peer="p", family=Family.IPV4, local_address=Address("192.0.2.1"),
        peer_address=Address("192.0.2.2"), local_as=8075, peer_as=asn,
        import_policy="deny-all", export_policy="deny-all",
    )  # fmt: skip


class Ribs:
    """Two sessions, one of them internal."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], RouteFact] = {}
        self.best: str | None = None

    def put(self, session: str, *path: int, prefix: Prefix = WATCHED) -> None:
        attributes = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, path),))
        self.held[session, prefix] = RouteFact(prefix=prefix, session=session, attributes=attributes, received_at=5)

    def adj_rib_in_pre(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        return [route for (at, held), route in self.held.items() if at == session and held == prefix]

    def loc_rib(self, prefix: Prefix | None = None) -> list[RouteFact]:
        routes = (route for (session, held), route in self.held.items() if held == prefix and session == self.best)
        return [RouteFact(prefix=r.prefix, session=r.session, attributes=r.attributes, best=True) for r in routes]

    adj_rib_in_post = adj_rib_in_pre
    adj_rib_out = adj_rib_in_pre

    def explain(self, prefix: Prefix) -> object:
        raise NotImplementedError


def watch(ribs: Ribs, peers: Sequence[PeerConfig] = (peer("a", 64500), peer("i", 8075))) -> RouteWatch:
    return RouteWatch("edge", ribs, lambda: peers)  # type: ignore[arg-type]


def test_nothing_is_looked_at_before_something_is_watched() -> None:
    ribs = Ribs()
    ribs.put("a", 64500)
    assert watch(ribs).look(1) == []


def test_what_is_held_is_told_at_once_and_a_change_when_it_comes() -> None:
    ribs, seen = Ribs(), None
    ribs.put("a", 64500, 64501)
    seen = watch(ribs)
    (held,) = seen.watch((WATCHED,), 1)
    assert (held.as_path, held.origin, held.best, held.received_at) == ("64500 64501", 64501, False, 5)
    assert seen.look(2) == []
    ribs.put("a", 64500, 64499)
    (changed,) = seen.look(3)
    assert (changed.at, changed.origin, changed.held) == (3, 64499, True)
    ribs.best = "a"
    (chosen,) = seen.look(4)
    assert chosen.best
    ribs.held.clear()
    (gone,) = seen.look(5)
    assert (gone.held, gone.session, gone.prefix) == (False, "a", WATCHED)
    assert seen.look(6) == []


def test_other_prefixes_and_internal_sessions_are_not_told() -> None:
    ribs = Ribs()
    seen = watch(ribs)
    assert seen.watch((WATCHED,), 1) == []
    ribs.put("i", 64500)
    ribs.put("a", 64500, prefix=OTHER)
    assert seen.look(2) == []


def test_a_session_that_is_taken_away_takes_its_routes() -> None:
    ribs, peers = Ribs(), [peer("a", 64500)]
    ribs.put("a", 64500)
    seen = watch(ribs, peers)
    seen.watch((WATCHED,), 1)
    peers.clear()
    assert [change.held for change in seen.look(2)] == [False]
