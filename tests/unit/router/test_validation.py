"""A router between several caches: real sockets on the loopback, one loop for routers and caches."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from peerlab.bgp.attributes import Address, Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_config import CacheConfig, RtrServer
from peerlab.bgp.rtr_pdu import Intervals
from peerlab.daemons.rpki import VRPS, vrps_json
from peerlab.router.loop import Loop
from peerlab.router.rpki_cache import RpkiCache
from peerlab.router.validation import Validation

WITHIN = 20.0
"""Seconds in which whatever is waited for has to happen."""
ONE, TWO, THREE = (Vrp(Prefix(f"192.0.2.{n}/32"), 64500, 32) for n in (1, 2, 3))
_ports = itertools.count(42100)


class Place:
    """A loop, caches on ports of their own, and a router's validation."""

    def __init__(self, place: Path) -> None:
        self.loop = Loop()
        self.place = place
        self.told: list[str] = []
        self.changes: list[frozenset[Vrp]] = []

    def cache(self, name: str, *vrps: Vrp, expire: int = 600) -> tuple[RpkiCache, RtrServer]:
        directory = self.place / name
        directory.mkdir(exist_ok=True)
        port = next(_ports)
        config = CacheConfig(node=name, directory=str(directory), port=port, intervals=Intervals(1, 1, expire))
        (directory / VRPS).write_text(vrps_json(vrps))
        (directory / "cache.json").write_bytes(msgspec.json.encode(config))
        return RpkiCache(self.loop, config), RtrServer(name=name, addresses=(Address("127.0.0.1"),), port=port)

    def router(self, *servers: RtrServer, configured: tuple[Vrp, ...] = ()) -> Validation:
        return Validation(self.loop, servers, configured, self.changes.append, lambda kind, _: self.told.append(kind))

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + WITHIN
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            self.loop.turn(0.5)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_router_follows_a_cache_that_changes_its_file(place: Place) -> None:
    cache, server = place.cache("a", ONE)
    router = place.router(server, configured=(THREE,))
    place.until(lambda: router.vrps == {ONE, THREE})
    (place.place / "a" / VRPS).write_text(vrps_json([ONE, TWO]))
    cache.reload()
    place.until(lambda: router.vrps == {ONE, TWO, THREE})
    (place.place / "a" / VRPS).write_text("no json")
    cache.reload()
    fact = router.fact()
    assert (fact.vrps, fact.caches[0].state, fact.caches[0].serial) == (3, "synchronised", 1)
    router.close()
    cache.close()


def test_the_most_preferred_cache_with_data_is_believed_and_equals_together(place: Place) -> None:
    first, one = place.cache("a", ONE, expire=1)
    second, two = place.cache("b", TWO)
    third, three = place.cache("c", THREE)
    low = [msgspec.structs.replace(server, preference=5) for server in (two, three)]
    router = place.router(one, *low)
    place.until(lambda: all(fact.vrps == 1 for fact in router.fact().caches))
    assert router.vrps == {ONE}
    assert [fact.used for fact in router.fact().caches] == [True, False, False]
    first.close()
    place.until(lambda: router.vrps == {TWO, THREE})
    assert {"rpki-cache-lost", "rpki-expired"} <= set(place.told)
    for cache in (second, third):
        cache.close()
    router.close()


def test_without_any_cache_left_nothing_is_known_and_a_new_one_is_asked_at_once(place: Place) -> None:
    cache, server = place.cache("a", ONE, expire=1)
    router = place.router(server)
    place.until(lambda: router.vrps == {ONE})
    cache.close()
    place.until(lambda: router.vrps == frozenset())
    assert router.fact().caches[0].vrps is None
    other, replacement = place.cache("b", TWO)
    router.ask([replacement])
    place.until(lambda: router.vrps == {TWO})
    assert place.changes == [{ONE}, frozenset(), {TWO}]
    assert json.loads(msgspec.json.encode(router.fact()))["servers"][0]["name"] == "b"
    router.close()
    other.close()
