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
        account.take(number, 10_000 + number, START)
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
        account.take(number, at, 0)
    report = account.report()
    different = set(numbers)
    assert report.received == len(different)
    assert report.duplicated == len(numbers) - len(different)
    assert sum(lost for _, _, lost in report.gaps) == (max(different, default=-1) + 1) - len(different)
