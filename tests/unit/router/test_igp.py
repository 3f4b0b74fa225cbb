"""The interior protocol as a pure machine: routers joined by wires in memory, with a clock that is turned by hand."""

from __future__ import annotations

import heapq
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.attributes import Address, Prefix
from peerlab.router.igp import DEAD_SECONDS, HELLO_SECONDS, LinkState, Wire


class World:
    """Routers 10.0.0.N, each with a loopback prefix, and wires between them."""

    def __init__(self, edges: dict[tuple[int, int], int], lossy: frozenset[tuple[int, int]] = frozenset()) -> None:
        self.now = 0.0
        self.edges = edges
        self.broken: set[tuple[int, int]] = set()
        self.lossy = lossy
        numbers = sorted({n for edge in edges for n in edge})
        self.routers = {n: self.make(n, 1) for n in numbers}
        for n in numbers:
            self.wire_up(n)
        self.run(3 * HELLO_SECONDS)

    def make(self, n: int, sequence: int) -> LinkState:
        wires = [
            Wire(self.name(edge, n), cost, Address(f"172.{edge[0]}.{edge[1]}.{n}"))
            for edge, cost in self.edges.items()
            if n in edge
        ]
        router = LinkState(Address(f"10.0.0.{n}"), wires, sequence)
        router.set_prefixes([(Prefix(f"10.0.0.{n}/32"), 0)])
        return router

    @staticmethod
    def name(edge: tuple[int, int], n: int) -> str:
        return f"to{edge[0] if edge[1] == n else edge[1]}"

    def wire_up(self, n: int) -> None:
        for edge in self.edges:
            if n in edge:
                self.routers[n].set_carrier(self.name(edge, n), True)

    def carry(self) -> None:
        """Deliver everything until nobody has anything to say."""
        busy = True
        while busy:
            busy = False
            for n, router in self.routers.items():
                for wire, datagram in router.take():
                    other = int(wire.removeprefix("to"))
                    edge = (min(n, other), max(n, other))
                    if edge not in self.broken and (n, other) not in self.lossy:
                        busy = True
                        self.routers[other].receive(f"to{n}", datagram, self.now)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self.carry()
            due = min(router.due() for router in self.routers.values())
            if due > end:
                break
            self.now = max(due, self.now)
            for router in self.routers.values():
                router.tick(self.now)
        self.now = end
        for router in self.routers.values():
            router.settle()

    def carrier(self, edge: tuple[int, int], up: bool) -> None:
        for n in edge:
            self.routers[n].set_carrier(self.name(edge, n), up)
        self.carry()
        for router in self.routers.values():
            router.settle()

    def route(self, n: int, to: int) -> tuple[int, str] | None:
        found = self.routers[n].routes.get(Prefix(f"10.0.0.{to}/32"))
        return (found.metric, found.interface) if found is not None else None


TRIANGLE = {(1, 2): 10, (2, 3): 10, (1, 3): 30}


def test_the_cheapest_way_wins() -> None:
    world = World(TRIANGLE)
    assert world.route(1, 3) == (20, "to2")
    assert world.route(1, 2) == (10, "to2")
    assert world.routers[1].routes[Prefix("10.0.0.3/32")].gateway == "172.1.2.2"
    assert world.routers[1].neighbors() == {"to2": "10.0.0.2", "to3": "10.0.0.3"}


def test_a_lost_carrier_is_acted_upon_at_once_and_so_is_its_return() -> None:
    world = World(TRIANGLE)
    world.carrier((2, 3), False)
    assert world.route(1, 3) == (30, "to3")
    assert world.route(2, 3) == (40, "to1")
    world.carrier((2, 3), True)
    assert world.route(1, 3) == (20, "to2")


def test_a_silent_neighbour_is_given_up_after_the_dead_time() -> None:
    world = World(TRIANGLE)
    world.broken.add((2, 3))
    world.run(DEAD_SECONDS - HELLO_SECONDS - 0.1)
    assert world.route(1, 3) == (20, "to2")
    world.run(HELLO_SECONDS + 0.2)
    assert world.route(1, 3) == (30, "to3")
    world.broken.clear()
    world.run(2 * HELLO_SECONDS)
    assert world.route(1, 3) == (20, "to2")


def test_a_wire_that_carries_one_way_only_is_no_adjacency() -> None:
    world = World({(1, 2): 10}, lossy=frozenset({(1, 2)}))
    assert world.routers[2].neighbors() == {}
    assert world.route(2, 1) is world.route(1, 2) is None


def test_of_equal_ways_the_lowest_neighbour_is_taken_every_time() -> None:
    square = {(1, 3): 5, (1, 2): 5, (3, 4): 5, (2, 4): 5}
    for order in itertools.permutations(square.items()):
        assert World(dict(order)).route(1, 4) == (10, "to2")


def test_a_lost_datagram_costs_no_more_than_a_hello() -> None:
    world = World(TRIANGLE)
    world.routers[3].set_prefixes([(Prefix("10.0.0.3/32"), 0), (Prefix("203.0.113.0/24"), 0)])
    world.routers[3].take()  # the flood never arrives
    world.run(0.0)
    assert Prefix("203.0.113.0/24") not in world.routers[1].routes
    world.run(2 * HELLO_SECONDS)
    assert world.routers[1].routes[Prefix("203.0.113.0/24")].metric == 20


def test_a_router_born_again_outdoes_its_earlier_life() -> None:
    world = World(TRIANGLE)
    world.routers[3] = world.make(3, 1)  # as if its clock had been set back
    world.routers[3].set_prefixes([(Prefix("198.51.100.0/24"), 0)])
    world.wire_up(3)
    world.run(2 * DEAD_SECONDS)
    assert Prefix("198.51.100.0/24") in world.routers[1].routes
    assert world.route(1, 3) is None


def test_prefixes_of_a_router_that_is_gone_are_gone() -> None:
    world = World({(1, 2): 10, (2, 3): 10})
    world.carrier((2, 3), False)
    assert world.route(1, 3) is None


def test_a_prefix_at_two_routers_is_reached_at_the_nearer_one() -> None:
    world = World({(1, 2): 10, (1, 3): 20})
    for n, cost in ((2, 15), (3, 0)):
        world.routers[n].set_prefixes([(Prefix("203.0.113.0/24"), cost)])
    world.run(HELLO_SECONDS)
    route = world.routers[1].routes[Prefix("203.0.113.0/24")]
    assert (route.metric, route.interface) == (20, "to3")


def test_own_prefixes_need_no_route() -> None:
    world = World({(1, 2): 10})
    world.routers[2].set_prefixes([(Prefix("10.0.0.1/32"), 0)])
    world.run(HELLO_SECONDS)
    assert world.route(1, 1) is None


@pytest.mark.parametrize("noise", [b"", b"\x00", b"\x93\xa5hello", b"\xff" * 40])
def test_noise_is_ignored(noise: bytes) -> None:
    world = World(TRIANGLE)
    world.routers[1].receive("to2", noise, world.now)
    world.routers[1].receive("nowhere", noise, world.now)
    world.run(HELLO_SECONDS)
    assert world.route(1, 3) == (20, "to2")


def distances(edges: dict[tuple[int, int], int], start: int) -> dict[int, int]:
    """Dijkstra by the book, as the judge."""
    done: dict[int, int] = {}
    queue = [(0, start)]
    while queue:
        distance, n = heapq.heappop(queue)
        if n in done:
            continue
        done[n] = distance
        for (a, b), cost in edges.items():
            if n in (a, b):
                heapq.heappush(queue, (distance + cost, b if n == a else a))
    return done


@st.composite
def graphs(draw: st.DrawFn) -> dict[tuple[int, int], int]:
    size = draw(st.integers(2, 6))
    pairs = list(itertools.combinations(range(1, size + 1), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    return {pair: draw(st.integers(1, 20)) for pair in chosen}


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_every_router_knows_the_true_distances_and_following_gateways_arrives(
    edges: dict[tuple[int, int], int],
) -> None:
    world = World(edges)
    for start in world.routers:
        truth = distances(edges, start)
        for to in world.routers:
            if to == start:
                continue
            route = world.route(start, to)
            assert (route[0] if route else None) == truth.get(to)
            hops, here = 0, start
            while route is not None and here != to:
                step = world.route(here, to)
                assert step is not None
                here, hops = int(step[1].removeprefix("to")), hops + 1
                assert hops <= len(world.routers), "packets go round in circles"


@settings(max_examples=30, deadline=None)
@given(graphs(), st.data())
def test_after_any_break_and_repair_the_distances_are_true_again(
    edges: dict[tuple[int, int], int], data: st.DataObject
) -> None:
    world = World(edges)
    cut = data.draw(st.sampled_from(sorted(edges)))
    world.carrier(cut, False)
    left = {edge: cost for edge, cost in edges.items() if edge != cut}
    for start in world.routers:
        truth = distances(left, start)
        for to in world.routers.keys() - {start}:
            route = world.route(start, to)
            assert (route[0] if route else None) == truth.get(to)
    world.carrier(cut, True)
    for start in world.routers:
        for to, distance in distances(edges, start).items():
            if to != start:
                assert (world.route(start, to) or (None,))[0] == distance
