"""Latency by window: the median, what a window still holds, and small prefixes at /24 (spec 3.9)."""

from __future__ import annotations

import pytest

from peerlab.peering.latency import HOUR, WINDOWS, LatencyBook, shown_as

PREFIX = "198.18.33.0/24"


def test_a_window_forgets_what_is_older_than_it_is() -> None:
    book = LatencyBook()
    for hour in range(48):
        book.add(PREFIX, hour * HOUR, 10.0 if hour < 24 else 30.0)
    now = 47 * HOUR
    found = {window: book.report(PREFIX, window, now) for window in WINDOWS}
    assert {w: line.measurements for w, line in found.items()} == {"6h": 6, "12h": 12, "1d": 24, "7d": 48, "30d": 48}
    assert (found["6h"].median_ms, found["1d"].median_ms, found["30d"].median_ms) == (30.0, 30.0, 20.0)


def test_the_median_is_not_moved_by_one_slow_answer() -> None:
    book = LatencyBook()
    for number, rtt in enumerate((10.0, 11.0, 900.0)):
        book.add(PREFIX, number, rtt)
    assert book.report(PREFIX, "6h", 3.0).median_ms == 11.0


def test_no_measurement_is_no_median_and_a_month_is_kept() -> None:
    book = LatencyBook()
    assert book.report(PREFIX, "6h", 0.0).median_ms is None
    book.add(PREFIX, 0.0, 1.0)
    assert book.report(PREFIX, "6h", 6 * HOUR).median_ms is None
    book.add(PREFIX, 721 * HOUR, 2.0)
    assert book.report(PREFIX, "30d", 721 * HOUR).measurements == 1
    book.forget(PREFIX)
    assert book.prefixes == ()


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("198.18.33.64/26", PREFIX),
        (PREFIX, PREFIX),
        ("198.18.0.0/16", "198.18.0.0/16"),
        ("2001:db8::/48", "2001:db8::/48"),
    ],
)
def test_a_small_prefix_is_told_at_24(prefix: str, told: str) -> None:
    assert shown_as(prefix) == told
