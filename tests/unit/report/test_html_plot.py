"""Loss over time: what the gaps say, what was lost at the end, and nothing that nobody knows the time of."""

from __future__ import annotations

from typing import Any

import pytest

from peerlab.evidence.events import FaultCleared, FaultInjected, StreamMeasured
from peerlab.report.html_plot import BINS, losses, plots

MS = 1_000_000
BEGIN = 1_800_014_400_000_000_000


def stream(name: str = "primary-lost:a>b:ipv4", **fields: Any) -> StreamMeasured:
    given: dict[str, Any] = {
        "at": BEGIN + 200 * MS, "source": "a", "destination": "b", "family": "ipv4", "rate_hz": 1000.0, "sent": 100,
        "received": 100, "started": BEGIN, "ended": BEGIN + 100 * MS, "last": BEGIN + 100 * MS,
    }  # fmt: skip
    return StreamMeasured(name=name, **(given | fields))


def gap(start: int, end: int, lost: int) -> tuple[int, int, int]:
    return (BEGIN + start * MS, BEGIN + end * MS, lost)


LOST = [
    # fields, (from ms, to ms, packets)
    ({}, []),
    ({"received": 90, "gaps": (gap(20, 30, 10),)}, [(20, 30, 10)]),
    # the end is in no gap
    ({"received": 60, "last": BEGIN + 60 * MS}, [(60, 100, 40)]),
    ({"received": 50, "gaps": (gap(20, 30, 10),), "last": BEGIN + 60 * MS}, [(20, 30, 10), (60, 100, 40)]),
    # nothing arrived at all
    ({"received": 0, "last": 0}, [(0, 100, 100)]),
    # recorded before arrivals had times: nobody knows when
    ({"received": 60, "last": 0}, []),
    # a gap that began in an earlier stream
    ({"received": 85, "gaps": (gap(-2000, 15, 15),)}, [(0, 15, 15)]),
]


@pytest.mark.parametrize(("fields", "lost"), LOST)
def test_when_packets_were_lost(fields: dict[str, Any], lost: list[tuple[int, int, int]]) -> None:
    found = [((one.start - BEGIN) / MS, (one.end - BEGIN) / MS, one.packets) for one in losses(stream(**fields))]
    assert found == lost


def test_streams_of_one_change_are_one_plot_with_its_faults() -> None:
    told = (
        FaultInjected(at=BEGIN - 500 * MS, fault="link-down", target="before"),
        FaultInjected(at=BEGIN + 25 * MS, fault="link-down", target="ams-1"),
        FaultCleared(at=BEGIN + 75 * MS, fault="link-down", target="ams-1"),
        stream(received=90, gaps=(gap(20, 30, 10),)),
        stream("primary-lost:b>a:ipv6", source="b", destination="a", family="ipv6"),
        stream("drain:a>b:ipv4"),
        stream("never-began:a>b:ipv4", started=0),
    )
    lost, drain = plots(told)
    assert (lost.name, lost.sent, lost.lost, lost.milliseconds) == ("primary-lost", 200, 10, 100.0)
    assert [(mark.left, mark.label) for mark in lost.marks] == [
        (250.0, "link-down ams-1"),
        (750.0, "link-down cleared ams-1"),
    ]
    assert [strip.is_clean for strip in lost.strips] == [False, True]
    (span,) = lost.strips[0].lost
    assert (span.left, span.width) == (200.0, 100.0)
    assert (drain.name, drain.lost, drain.bars) == ("drain", 0, ())


def test_the_intervals_add_up_to_what_was_lost() -> None:
    (plot,) = plots((stream(received=63, gaps=(gap(3, 4, 1), gap(20, 31, 11)), last=BEGIN + 75 * MS),))
    assert plot.most > 0 and all(0 < bar.height <= 1000 for bar in plot.bars)
    assert sum(bar.height / 1000 * plot.most for bar in plot.bars) == pytest.approx(37, rel=0.02)
    assert {round(bar.left * BINS / 1000) for bar in plot.bars} >= {16, 24, 60, BINS - 1}
