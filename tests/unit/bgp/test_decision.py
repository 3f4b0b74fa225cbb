"""The decision process, step by step (RFC 4271 section 9.1.2.2, RFC 4456 section 9)."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from back_to_back import attributes
from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.attributes import Address, Origin, PathAttributes, Segment, SegmentType
from peerlab.bgp.decision import DecisionProfile, Path, Step, choose, decide
from peerlab.bgp.next_hop import Resolution
from peerlab.bgp.policy import LearnedFrom

EBGP, IBGP, LOCAL = LearnedFrom.EBGP, LearnedFrom.IBGP, LearnedFrom.LOCAL


def candidate(
    session: str = "s", *, asns: tuple[int, ...] = (65001, 65009), source: LearnedFrom = EBGP, metric: int | None = 10,
    router_id: str = "10.0.0.5", address: str = "192.0.2.5", **more: Any,
) -> Path:  # fmt: skip
    """A path; without arguments every candidate is equal to every other in every step."""
    return Path(
        attributes(*asns, **more),
        source,
        session,
        Address(router_id),
        Address(address),
        None if metric is None else Resolution(metric, Address("192.0.2.1"), "e0"),
    )


LADDER: list[tuple[Step, dict[str, Any], dict[str, Any]]] = [
    # step, what the better path has, what the worse one has; in the order of the decision process
    (Step.UNRESOLVABLE, {"metric": 10}, {"metric": None}),
    (Step.LOCAL_PREF, {"local_pref": 200}, {"local_pref": 100}),
    (Step.AS_PATH, {"asns": (65001, 65009)}, {"asns": (65001, 65002, 65009)}),
    (Step.ORIGIN, {"origin": Origin.IGP}, {"origin": Origin.INCOMPLETE}),
    (Step.MED, {"med": 10}, {"med": 20}),
    (Step.EBGP, {"source": EBGP}, {"source": IBGP}),
    (Step.IGP_METRIC, {"metric": 5}, {"metric": 50}),
    (Step.ROUTER_ID, {"router_id": "10.0.0.1"}, {"router_id": "10.0.0.9"}),
    (Step.CLUSTER_LIST, {"cluster_list": ()}, {"cluster_list": (Address("1.1.1.1"),)}),
    (Step.PEER_ADDRESS, {"address": "192.0.2.9"}, {"address": "192.0.2.10"}),  # as numbers, not as text
]


@pytest.mark.parametrize("at", range(len(LADDER)), ids=[row[0].name for row in LADDER])
def test_a_step_decides_before_every_later_one(at: int) -> None:
    """Equal up to step n, better at n, worse at every later one that can be set apart: step n decides."""
    step, better, worse = LADDER[at]
    good, bad = dict(better), dict(worse)
    for _, later_better, later_worse in LADDER[at + 1 :]:
        good = {**later_worse, **good}
        bad = {**later_better, **bad}
    winner, loser = candidate("good", **good), candidate("bad", **bad)
    for order in permutations((winner, loser)):
        decision = decide(order)
        assert decision.best is winner
        assert decision.eliminated == {loser: step}
        assert choose(order, DecisionProfile()) is winner


@pytest.mark.parametrize("at", range(len(LADDER)), ids=[row[0].name for row in LADDER])
def test_a_step_alone_decides(at: int) -> None:
    step, better, worse = LADDER[at]
    winner, loser = candidate(**better), candidate(**worse)
    assert decide([loser, winner]).eliminated == {loser: step}


MORE: list[tuple[str, dict[str, Any], dict[str, Any], Step]] = [
    # what, better, worse, step
    ("no LOCAL_PREF is 100", {}, {"local_pref": 99}, Step.LOCAL_PREF),
    ("LOCAL_PREF 101 beats none", {"local_pref": 101}, {}, Step.LOCAL_PREF),
    ("an empty path is shortest", {"asns": ()}, {}, Step.AS_PATH),
    ("IGP before EGP", {"origin": Origin.IGP}, {"origin": Origin.EGP}, Step.ORIGIN),
    ("EGP before INCOMPLETE", {"origin": Origin.EGP}, {"origin": Origin.INCOMPLETE}, Step.ORIGIN),
    ("a missing MED is the lowest", {}, {"med": 1}, Step.MED),
    ("own origination first, whatever LOCAL_PREF", {"source": LOCAL}, {"local_pref": 500}, Step.LOCAL_ORIGIN),
    ("own origination needs no next hop", {"source": LOCAL, "metric": None}, {}, Step.LOCAL_ORIGIN),
    ("ORIGINATOR_ID stands in for the router id", {"router_id": "10.0.0.9", "originator_id": Address("10.0.0.1")},
     {"router_id": "10.0.0.2"}, Step.ROUTER_ID),
    ("router ids are numbers", {"router_id": "9.0.0.0"}, {"router_id": "10.0.0.0"}, Step.ROUTER_ID),
]  # fmt: skip


@pytest.mark.parametrize("what, better, worse, step", MORE, ids=[row[0] for row in MORE])
def test_details(what: str, better: dict[str, Any], worse: dict[str, Any], step: Step) -> None:
    winner, loser = candidate(**better), candidate(**worse)
    assert decide([loser, winner]).eliminated == {loser: step}
    assert choose([loser, winner], DecisionProfile()) is winner


def test_a_set_counts_one_in_the_path() -> None:
    short = Path(
        PathAttributes(
            as_path=(Segment(SegmentType.AS_SEQUENCE, (65001,)), Segment(SegmentType.AS_SET, (1, 2, 3))),
        ),
        EBGP, "set", resolution=Resolution(10, Address("192.0.2.1"), "e0"),
    )  # fmt: skip
    long = candidate("long", asns=(65001, 65002, 65003))
    assert decide([long, short]).eliminated == {long: Step.AS_PATH}


def test_med_is_not_compared_between_neighbouring_ases_unless_told() -> None:
    high = candidate("high", asns=(65001, 65009), med=50, router_id="10.0.0.1")
    low = candidate("low", asns=(65002, 65009), med=10, router_id="10.0.0.2")
    across = DecisionProfile(med_across_ases=True)
    assert decide([high, low]).eliminated == {low: Step.ROUTER_ID}
    assert decide([high, low], across).eliminated == {high: Step.MED}
    for order in permutations((high, low)):
        assert choose(order, DecisionProfile()) is high
        assert choose(order, across) is low


def test_med_makes_better_than_not_transitive_and_every_order_still_gives_one_winner() -> None:
    """B beats A (MED), C beats B (IGP), A beats C (IGP): a fold would answer by order. Elimination always says C."""
    a = candidate("a", asns=(65001, 1), med=10, metric=30, router_id="10.0.0.1")
    b = candidate("b", asns=(65001, 1), med=0, metric=40, router_id="10.0.0.2")
    c = candidate("c", asns=(65002, 1), med=99, metric=35, router_id="10.0.0.3")
    for pair, winner in (((a, b), b), ((b, c), c), ((c, a), a)):
        assert decide(pair).best is winner
    for order in permutations((a, b, c)):
        decision = decide(order)
        assert decision.best is c
        assert decision.eliminated == {a: Step.MED, b: Step.IGP_METRIC}
        assert choose(order, DecisionProfile()) is c


def test_nothing_resolvable_means_no_best_path() -> None:
    lost = [candidate(str(number), metric=None) for number in range(3)]
    assert decide(lost).best is None
    assert set(decide(lost).eliminated.values()) == {Step.UNRESOLVABLE}
    assert choose(lost, DecisionProfile()) is None
    assert choose(lost[:2], DecisionProfile()) is None
    assert choose(lost[:1], DecisionProfile()) is None


def test_no_paths_at_all() -> None:
    assert decide([]).best is None


PATHS = st.builds(
    candidate,
    st.sampled_from("abcdef"),
    asns=st.lists(st.sampled_from((65001, 65002)), max_size=3).map(tuple),
    source=st.sampled_from((EBGP, IBGP, LOCAL)),
    metric=st.sampled_from((None, 1, 2)),
    router_id=st.sampled_from(("10.0.0.1", "10.0.0.2")),
    address=st.sampled_from(("192.0.2.1", "192.0.2.2", "192.0.2.3")),
    local_pref=st.sampled_from((None, 100, 200)),
    med=st.sampled_from((None, 0, 1, 2)),
    origin=st.sampled_from(Origin),
    cluster_list=st.sampled_from(((), (Address("1.1.1.1"),))),
)


@given(
    st.lists(PATHS, min_size=1, max_size=6, unique_by=lambda path: path.session).flatmap(
        lambda paths: st.tuples(st.just(paths), st.permutations(paths))
    ),
    st.booleans(),
)
def test_order_does_not_matter_and_the_fast_reading_agrees(orders: tuple[list[Path], list[Path]], across: bool) -> None:
    paths, shuffled = orders
    profile = DecisionProfile(med_across_ases=across)
    first, second = decide(paths, profile), decide(shuffled, profile)
    assert first.best is second.best
    assert first.eliminated == second.eliminated
    assert choose(paths, profile) is first.best
    assert choose(shuffled, profile) is first.best
    assert set(first.eliminated) | ({first.best} - {None}) == set(paths)
