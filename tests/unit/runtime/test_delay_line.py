"""When a delayed packet may go: never sooner than asked, never before its predecessor."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from peerlab.runtime.delay_line import Line

MS = 1_000_000


def spread(*values: float) -> Callable[[], float]:
    """What the dice will show, from 0 to 1."""
    return iter(values).__next__


def test_a_packet_goes_when_its_delay_is_over_and_not_before() -> None:
    line = Line(33, 10 * MS)
    assert line.next_due() is None and line.release(0) is None
    assert line.arrive(1, now=0)
    assert not line.arrive(2, now=3 * MS)
    assert line.next_due() == 10 * MS
    assert line.release(10 * MS - 1) is None
    assert line.release(10 * MS) == 1
    assert line.next_due() == 13 * MS
    assert line.release(20 * MS) == 2
    assert line.next_due() is None
    assert line.arrive(3, now=30 * MS)


def test_packets_of_one_moment_go_by_one_verdict() -> None:
    line = Line(33, 10 * MS)
    for number in (1, 2, 3):
        line.arrive(number, now=0)
    assert line.release(10 * MS) == 3


def test_jitter_is_on_both_sides_of_the_delay() -> None:
    line = Line(33, 10 * MS, 4 * MS, spread(0.0, 1.0, 0.5))
    for number, due in ((1, 6), (2, 14), (3, 10)):
        line.arrive(number, now=0)
        assert line.next_due() == due * MS
        assert line.release(due * MS) == number


def test_no_packet_overtakes_another() -> None:
    """The second's own time is earlier; it goes with the first, and so not before it."""
    line = Line(33, 10 * MS, 4 * MS, spread(1.0, 0.0, 1.0))
    line.arrive(1, now=0)
    line.arrive(2, now=1 * MS)
    line.arrive(3, now=2 * MS)
    assert line.release(14 * MS - 1) is None
    assert line.release(14 * MS) == 2
    assert line.release(16 * MS) == 3


def test_an_ended_line_lets_all_of_them_go() -> None:
    line = Line(33, 10 * MS)
    assert line.release_all() is None
    line.arrive(1, now=0)
    line.arrive(2, now=5 * MS)
    assert line.release_all() == 2
    assert line.next_due() is None


@given(
    st.lists(st.tuples(st.integers(0, 20 * MS), st.floats(0, 1)), min_size=1),
    st.integers(0, 10 * MS),
    st.integers(0, 10 * MS),
)
def test_every_packet_goes_in_order_and_within_its_bounds(
    steps: list[tuple[int, float]], more: int, jitter: int
) -> None:
    line = Line(33, jitter + more, jitter, spread(*(throw for _, throw in steps)))
    now, arrivals = 0, []
    for number, (step, _) in enumerate(steps):
        now += step
        arrivals.append(now)
        line.arrive(number, now)
    gone = -1
    while (due := line.next_due()) is not None:
        number = line.release(due)
        assert number is not None and number > gone
        for each in range(gone + 1, number + 1):
            assert due >= arrivals[each] + more
        assert due <= max(arrivals[: number + 1]) + more + 2 * jitter
        gone = number
    assert gone == len(steps) - 1
