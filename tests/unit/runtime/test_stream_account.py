"""From sequence numbers to losses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.runtime.stream import _Account

START = 1_000

# What arrives (number n at time 10 000 + n), and the account: received, duplicated, reordered, gaps.
CASES = [
    pytest.param([], 0, 0, 0, (), id="nothing"),
    pytest.param([0, 1, 2], 3, 0, 0, (), id="everything"),
    pytest.param([0, 1, 4, 5], 4, 0, 0, ((10_001, 10_004, 2),), id="two lost in the middle"),
    pytest.param([3, 4], 2, 0, 0, ((START, 10_003, 3),), id="lost at the beginning: from the sender's start"),
    pytest.param([0, 2, 4], 3, 0, 0, ((10_000, 10_002, 1), (10_002, 10_004, 1)), id="two gaps"),
    pytest.param([0, 2, 1, 3], 4, 0, 1, (), id="late is not lost"),
    pytest.param([0, 4, 2], 3, 0, 1, ((10_000, 10_004, 2),), id="a late one makes its gap smaller"),
    pytest.param([0, 1, 1, 2, 0], 3, 2, 0, (), id="doubles"),
    pytest.param([0, 2, 1, 1], 3, 1, 1, (), id="late, and again"),
]


@pytest.mark.parametrize(("numbers", "received", "duplicated", "reordered", "gaps"), CASES)
def test_the_account(
    numbers: list[int], received: int, duplicated: int, reordered: int, gaps: tuple[tuple[int, int, int], ...]
) -> None:
    account = _Account(4000)
    for number in numbers:
        account.take(number, 10_000 + number, START, 9_000 + number)
    report = account.report()
    assert (report.received, report.duplicated, report.reordered, report.gaps) == (
        received,
        duplicated,
        reordered,
        gaps,
    )


@given(st.lists(st.integers(0, 60), max_size=120))
def test_nothing_is_counted_twice_or_forgotten(numbers: list[int]) -> None:
    account = _Account(4000)
    for at, number in enumerate(numbers, 1):
        account.take(number, at, 0, at)
    report = account.report()
    different = set(numbers)
    assert report.received == len(different)
    assert report.duplicated == len(numbers) - len(different)
    assert sum(lost for _, _, lost in report.gaps) == (max(different, default=-1) + 1) - len(different)


def test_jitter_is_the_smoothed_change_of_transit_time() -> None:
    """RFC 3550 section 6.4.1: a sixteenth of each change of transit time; a steady delay has none."""
    steady, uneven = _Account(1), _Account(1)
    for number in range(4):
        steady.take(number, 5_000_000 + number * 1_000_000, 0, number * 1_000_000)
    for number, transit in enumerate((5_000_000, 7_000_000)):
        uneven.take(number, transit + number * 1_000_000, 0, number * 1_000_000)
    assert steady.report().jitter_ms == 0.0
    assert uneven.report().jitter_ms == 2.0 / 16


def test_what_an_earlier_stream_left_in_a_queue_counts_for_nothing() -> None:
    """A datagram that waited for a neighbour to answer comes seconds later, when the next stream listens."""
    account = _Account(4000, listening=1_000)
    account.take(0, 1_200, 100, 150)
    account.take(0, 1_300, 1_100, 1_250)
    account.take(0, 1_310, 100, 160)
    report = account.report()
    assert (report.stale, report.received, report.duplicated, report.gaps) == (2, 1, 0, ())
