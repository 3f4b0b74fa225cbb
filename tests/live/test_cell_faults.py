"""What a person breaks on purpose: loss, rate, delay, in one direction of one wire."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cell_row import EAST, LINKS, PROBE, ROUTES, meet, probe, row

from peerlab.runtime.base import Impairment

MEANS = ("netem", "nfqueue")
LATE_MS = 25.0
"""By how much the median of a delay may be late on a machine that others use too."""

pytestmark = pytest.mark.live


def test_silent_loss_is_one_way_and_keeps_the_carrier(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            await meet(runtime)
            for direction, reaches_r2 in (("out", False), ("in", True)):
                await runtime.impair(Impairment("r1", "e1", direction, loss_percent=100))
                watch = await runtime.task(
                    "r2",
                    PROBE + "frames:sniff",
                    {"interface": "e0", "filter": {"direction": "in", "source": "10.1.0.2"}, "with_frames": False},
                )
                await anext(aiter(watch))
                answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], wait=0.2)
                assert answer["received"] == 0  # there or back, something is missing
                seen = await watch.stop()
                assert (seen["matched"] > 0) is reaches_r2 and seen["missed"] == 0
                links = (await runtime.observe()).links
                assert all(end.carrier for link in links for end in (link.a, link.b))
                await runtime.clear("r1", "e1", direction)
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"])
            assert answer["received"] == answer["sent"]

    asyncio.run(story())


def test_partial_loss_and_rate(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            await meet(runtime)
            await runtime.impair(Impairment("r1", "e1", "out", loss_percent=30))
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], count=1000, interval=0.0005)
            assert 20 < answer["loss_percent"] < 40  # seven standard deviations to either side
            # 1000 x 1 kB within half a second do not fit through 64 kbit/s and a queue of 50 ms
            await runtime.impair(Impairment("r1", "e1", "out", rate_kbit=64))
            burst = {"count": 1000, "interval": 0.0005, "size": 1000, "wait": 0.2}
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], **burst)
            assert 0 < answer["received"] < 500
            await runtime.clear("r1", "e1", "out")
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], count=100, interval=0.0005)
            assert answer["received"] == 100

    asyncio.run(story())


def test_a_delay_is_felt_each_way_until_it_is_cleared(tmp_path: Path) -> None:
    """30 ms at the router that receives, 20 ms at the host that answers; in both families, what is passed on included."""

    async def story() -> None:
        async with row(tmp_path) as runtime:
            await meet(runtime)
            there = await runtime.impair(Impairment("r1", "e1", "out", delay_ms=30))
            back = await runtime.impair(Impairment("west", "e0", "in", delay_ms=20))
            assert there.means in MEANS and back.means in MEANS
            assert (await runtime.observe()).impairments == (there, back)
            for destination in EAST.values():
                answer = await probe(runtime, "west", "probe:ping", destination=destination, count=20, interval=0.01)
                assert answer["received"] == answer["sent"]
                assert answer["rtt_min_ms"] >= 50
                assert answer["rtt_median_ms"] <= 50 + LATE_MS
            await runtime.clear("r2", "e0", "in")
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], count=20, interval=0.01)
            assert answer["rtt_min_ms"] >= 20
            assert answer["rtt_median_ms"] <= 20 + LATE_MS
            await runtime.clear("west", "e0", "in")
            assert (await runtime.observe()).impairments == ()
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], count=20, interval=0.01)
            assert answer["rtt_median_ms"] < 20

    asyncio.run(story())


def test_a_new_link_of_an_old_name_is_clean(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            await runtime.impair(Impairment("west", "e0", "out", loss_percent=100))
            await runtime.delete(links=["west-r1"])
            await runtime.create([], [LINKS[0]], [ROUTES[0]])
            answer = await probe(runtime, "west", "probe:ping", destination="10.1.0.1")
            assert answer["received"] == answer["sent"]
            done = await runtime.impair(Impairment("west", "e0", "out", loss_percent=100))
            assert done.loss_percent == 100
            answer = await probe(runtime, "west", "probe:ping", destination="10.1.0.1", wait=0.2)
            assert answer["received"] == 0

    asyncio.run(story())
