"""What a person breaks on purpose: loss, rate, delay, in one direction of one wire."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cell_row import EAST, LINKS, NODES, PROBE, ROUTES, WITHIN, empty_cell, meet, probe, row

from peerlab.runtime.base import Impairment, InterfaceSpec, LinkSpec, NodeSpec
from peerlab.runtime.namespaces import NamespaceRuntime

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


async def echo(runtime: NamespaceRuntime, destination: str, source: str = "west", count: int = 30) -> dict[str, Any]:
    """Echo requests, of which none was lost."""
    answer = await probe(runtime, source, "probe:ping", destination=destination, count=count, interval=0.01)
    assert answer["received"] == answer["sent"]
    return answer


async def assert_late(runtime: NamespaceRuntime, destination: str, delay_ms: float, source: str = "west") -> None:
    """No answer comes sooner than the delay, and half of them within `LATE_MS` of it."""
    answer = await echo(runtime, destination, source)
    assert answer["rtt_min_ms"] >= delay_ms
    assert answer["rtt_median_ms"] <= delay_ms + LATE_MS


def test_a_delay_is_felt_each_way_until_it_is_cleared(tmp_path: Path) -> None:
    """30 ms at the router that receives, 20 ms at the host that answers; what is passed on is late like the rest."""

    async def story() -> None:
        async with row(tmp_path) as runtime:
            await meet(runtime)
            there = await runtime.impair(Impairment("r1", "e1", "out", delay_ms=30))
            back = await runtime.impair(Impairment("west", "e0", "in", delay_ms=20))
            assert there.means in MEANS and back.means in MEANS
            assert (await runtime.observe()).impairments == (there, back)
            for destination in EAST.values():
                await assert_late(runtime, destination, 50)
            await runtime.clear("r2", "e0", "in")
            await assert_late(runtime, EAST["ipv4"], 20)
            await runtime.clear("west", "e0", "in")
            assert (await runtime.observe()).impairments == ()
            assert (await echo(runtime, EAST["ipv4"]))["rtt_min_ms"] < 20

    asyncio.run(story())


def test_a_delay_may_vary_and_packets_keep_their_order(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            await meet(runtime)
            done = await runtime.impair(Impairment("r1", "e1", "out", delay_ms=30, jitter_ms=20))
            answer = await echo(runtime, EAST["ipv4"], count=50)
            assert answer["rtt_min_ms"] >= 10
            assert answer["rtt_max_ms"] - answer["rtt_min_ms"] > 5
            receiver = await runtime.task("east", PROBE + "stream:udp_stream_receive", {"port": 5000})
            await anext(aiter(receiver))
            sending = {"destination": EAST["ipv4"], "port": 5000, "rate_hz": 1000.0, "count": 500}
            await probe(runtime, "west", "stream:udp_stream_send", **sending)
            await echo(runtime, EAST["ipv4"], count=1)  # comes after the last datagram
            heard = await receiver.stop()
            assert heard["received"] == 500
            if done.means == "nfqueue":
                assert heard["reordered"] == 0

    asyncio.run(story())


def test_delay_loss_and_rate_go_together(tmp_path: Path) -> None:
    """A packet pays for its length at the rate, is lost or not, and comes late."""

    async def story() -> None:
        async with row(tmp_path) as runtime:
            await meet(runtime)
            wanted = Impairment("r1", "e1", "out", loss_percent=30, delay_ms=30, rate_kbit=1000)
            done = await runtime.impair(wanted)
            burst = {"count": 500, "interval": 0.0005, "wait": 1.0}
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], **burst)
            assert answer["loss_percent"] > 10
            assert answer["rtt_min_ms"] >= 30
            burst = {"count": 200, "interval": 0.0005, "size": 1000, "wait": 0.5}
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], **burst)
            assert 0 < answer["received"] < 100  # 1.6 Mbit within 0.1 s do not fit
            assert (await runtime.observe()).impairments == (done,)

    asyncio.run(story())


def test_a_switch_delays_what_its_member_sends(tmp_path: Path) -> None:
    """Both directions of a member's port, address resolution on its way in included."""

    async def story() -> None:
        nodes = (NodeSpec("lan", kind="switch"), NodeSpec("m1"), NodeSpec("m2"))
        links = tuple(
            LinkSpec(
                f"port-{number}",
                InterfaceSpec("lan", f"p{number}"),
                InterfaceSpec(f"m{number}", "e0", addresses=(f"192.0.2.{number}/24", f"2001:db8::{number}/64")),
            )
            for number in (1, 2)
        )
        async with empty_cell(tmp_path) as runtime:
            await runtime.create(nodes, links)
            await runtime.impair(Impairment("m1", "e0", "out", delay_ms=20))
            await runtime.impair(Impairment("m1", "e0", "in", delay_ms=15))
            for destination in ("192.0.2.2", "2001:db8::2"):
                await echo(runtime, destination, source="m1", count=1)
                await assert_late(runtime, destination, 35, source="m1")

    asyncio.run(story())


def test_a_wire_has_a_delay_of_its_own(tmp_path: Path) -> None:
    """A fault's delay comes on top of it, a silent wire gets it back, and a new wire of the same name has it too."""

    async def story() -> None:
        slow = msgspec.structs.replace(LINKS[1], delay_ms=15.0)
        async with empty_cell(tmp_path) as runtime:
            await runtime.create(NODES, (LINKS[0], slow, LINKS[2]), ROUTES)
            await meet(runtime)
            state = await runtime.observe()
            assert {link.id: link.delay_ms for link in state.links} == {"west-r1": 0, "r1-r2": 15, "r2-east": 0}
            assert state.impairments == ()
            await assert_late(runtime, EAST["ipv6"], 30)
            await runtime.impair(Impairment("r1", "e1", "out", delay_ms=10))
            await assert_late(runtime, EAST["ipv4"], 40)
            await runtime.impair(Impairment("r1", "e1", "out", loss_percent=100))
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"], wait=0.2)
            assert answer["received"] == 0
            await runtime.clear("r1", "e1", "out")
            await assert_late(runtime, EAST["ipv4"], 30)
            await runtime.delete(links=["r1-r2"])
            await runtime.create([], [slow], ROUTES[2:6])
            await meet(runtime)
            await assert_late(runtime, EAST["ipv4"], 30)

    asyncio.run(story())


def test_a_dead_delay_line_holds_nothing_up_and_is_told(tmp_path: Path) -> None:
    """Packets pass at once, what it delayed is told as gone, the loss beside it stays, and the next delay works."""

    async def story() -> None:
        async with row(tmp_path) as runtime:
            await meet(runtime)
            done = await runtime.impair(Impairment("r1", "e1", "out", delay_ms=30))
            if done.means == "netem":
                return  # there is no such process
            beside = await runtime.impair(Impairment("r2", "e1", "out", loss_percent=0.001, delay_ms=30))
            await assert_late(runtime, EAST["ipv4"], 60)
            [line] = [one for one in (await runtime.observe()).processes if one.name.startswith("delay")]
            exits = runtime.exits()
            await runtime.signal(line.node, line.name, signal.SIGKILL)
            async with asyncio.timeout(WITHIN):
                while (await anext(exits)).process != line.name:
                    continue
            remains = msgspec.structs.replace(beside, delay_ms=0.0, means=beside.means.removesuffix(" and nfqueue"))
            async with asyncio.timeout(WITHIN):
                while (await runtime.observe()).impairments != (remains,):
                    await asyncio.sleep(0.01)
            assert (await echo(runtime, EAST["ipv4"]))["rtt_min_ms"] < 30
            again = await runtime.impair(Impairment("r1", "e1", "out", delay_ms=20))
            assert again.means == "nfqueue"
            await assert_late(runtime, EAST["ipv4"], 20)

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
