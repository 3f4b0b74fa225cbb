"""FRR's regular expressions say of paths and communities what the conditions mean."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.policy import AsnRange
from peerlab.daemons import frr_pattern

ASNS = st.integers(0, 4294967295)


def matches(expressions: list[str], text: str) -> bool:
    """As FRR does: ``_`` is a border, and an expression may be found anywhere."""
    return any(re.search(one.replace("_", r"(^|[,{}() ]|$)"), text) for one in expressions)


@given(low=ASNS, high=ASNS, near=st.integers(-3, 3), of_high=st.booleans(), far=ASNS)
def test_numbers_of_a_range_match_and_no_others(low: int, high: int, near: int, of_high: bool, far: int) -> None:
    low, high = min(low, high), max(low, high)
    whole = re.compile("|".join(frr_pattern.numbers_between(low, high)))
    for number in (low, high, max(0, (high if of_high else low) + near), far):
        assert (whole.fullmatch(str(number)) is not None) is (low <= number <= high), number


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="no AS number"):
        list(frr_pattern.numbers_between(2, 1))


@pytest.mark.parametrize(
    ("path", "contains", "ends"),
    [
        ("64500 64505", True, True),
        ("64505", True, True),
        ("64500 {64505,64506}", True, False),
        ("64505 64500", True, False),
        ("645050 1", False, False),
        ("", False, False),
    ],
)
def test_paths_that_hold_or_end_in_a_number(path: str, contains: bool, ends: bool) -> None:
    ranges = [AsnRange(64505, 64505)]
    assert matches(frr_pattern.contains(ranges), path) is contains
    assert matches(frr_pattern.ends_in(ranges), path) is ends


@pytest.mark.parametrize(
    ("path", "prepended", "has_set", "length"),
    [
        ("64500 64500", True, False, 2),
        ("64501 64500 64500 64502", True, False, 4),
        ("64500 645001", False, False, 2),
        ("64500 {64500,64500}", False, True, 2),
        ("", False, False, 0),
    ],
)
def test_prepending_sets_and_length(path: str, prepended: bool, has_set: bool, length: int) -> None:
    assert matches([frr_pattern.PREPENDED], path) is prepended
    assert matches([frr_pattern.HAS_SET], path) is has_set
    for limit in range(6):
        assert matches([frr_pattern.longer_than(limit)], path) is (length > limit)


@pytest.mark.parametrize(
    ("pattern", "shown", "expected"),
    [
        ("8075:8007", "64500:1 8075:8007", True),
        ("8075:8007", "18075:8007", False),
        ("8075:*", "8075:1 no-export", True),
        ("*:1", "8075:11", False),
        # FRR shows well-known communities by name
        ("65535:0", "graceful-shutdown", True),
        ("65535:*", "64500:1 no-export", True),
        ("*:666", "blackhole", True),
        ("65535:65281", "no-advertise", False),
        ("*:*", "", False),
    ],
)
def test_patterns_of_communities(pattern: str, shown: str, expected: bool) -> None:
    assert matches(frr_pattern.standard(pattern), shown) is expected


def test_no_expression_ends_a_command_line_of_frr() -> None:
    """A blank behind a ``|`` begins a filter of the output there."""
    said = [frr_pattern.PREPENDED, frr_pattern.first_is(1), *frr_pattern.standard("65535:*")]
    said += [*frr_pattern.large("1:*:2"), *frr_pattern.ends_in([AsnRange(1, 70000)])]
    assert [one for one in said if "| " in one] == []
