"""Packets through a cell, and what its probes say of them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from cell_row import EAST, LINKS, PROBE, ROUTES, empty_cell, probe, row

from peerlab.runtime.base import Impairment, InterfaceSpec, LinkSpec, NodeSpec, RouteSpec

pytestmark = pytest.mark.live


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_packets_cross_and_every_hop_is_named(tmp_path: Path, family: str) -> None:
    hops = {
        "ipv4": ["10.1.0.1", "10.2.0.2", "10.3.0.2"],
        "ipv6": ["2001:db8:1::1", "2001:db8:2::2", "2001:db8:3::2"],
    }[family]

    async def story() -> None:
        async with row(tmp_path) as runtime:
            answer = await probe(runtime, "west", "probe:ping", destination=EAST[family], count=5)
            assert (answer["sent"], answer["received"]) == (5, 5)
            trace = await probe(runtime, "west", "probe:traceroute", destination=EAST[family])
            assert trace["outcome"] == "reached"
            assert [hop["address"] for hop in trace["hops"]] == hops

    asyncio.run(story())


def test_a_trace_says_how_it_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            # r1 has no route there and says so; west has no route at all once its defaults are gone
            trace = await probe(runtime, "west", "probe:traceroute", destination="203.0.113.1")
            assert (trace["outcome"], trace["hops"][-1]["address"]) == ("unreachable", "10.1.0.1")
            trace = await probe(runtime, "west", "probe:traceroute", destination="2001:db8:ffff::1")
            assert (trace["outcome"], trace["hops"][-1]["address"]) == ("unreachable", "2001:db8:1::1")
            await runtime.impair(Impairment("r1", "e1", "out", loss_percent=100))
            for family in EAST:
                trace = await probe(runtime, "west", "probe:traceroute", destination=EAST[family], max_ttl=4)
                assert trace["outcome"] == "silent" and trace["hops"][-1]["address"] is None
            await runtime.set_routes(remove=ROUTES[:2])
            for family in EAST:
                trace = await probe(runtime, "west", "probe:traceroute", destination=EAST[family])
                assert (trace["outcome"], trace["hops"]) == ("no-route", [])

    asyncio.run(story())


def test_both_ends_of_a_wire_never_have_the_same_index(tmp_path: Path) -> None:
    """Linux reports a change of carrier at once only when they differ; routers watch those reports."""

    async def story() -> None:
        async with row(tmp_path) as runtime:
            ends = [end for link in (await runtime.observe()).links for end in (link.a, link.b)]
            assert len({end.index for end in ends}) == len(ends) == 2 * len(LINKS)

    asyncio.run(story())


def test_a_switch_joins_its_ports_and_has_no_address(tmp_path: Path) -> None:
    async def story() -> None:
        async with empty_cell(tmp_path) as runtime:
            members = [f"m{number}" for number in range(3)]
            await runtime.create(
                [NodeSpec("lan", kind="switch"), *(NodeSpec(name) for name in members)],
                [
                    LinkSpec(
                        f"lan-{name}",
                        InterfaceSpec(name, "e0", addresses=(f"192.0.2.{number}/24", f"2001:db8::{number}/64")),
                        InterfaceSpec("lan", f"p{number}"),
                    )
                    for number, name in enumerate(members, 1)
                ],
            )
            for destination in ("192.0.2.3", "2001:db8::3"):
                answer = await probe(runtime, "m0", "probe:ping", destination=destination)
                assert answer["received"] == answer["sent"]
            assert {each.interface for each in await runtime.addresses("lan")} == {"lo"}
            await runtime.set_link("lan", "p1", up=False)
            carriers = {link.id: link.a.carrier for link in (await runtime.observe()).links}
            assert carriers == {"lan-m0": False, "lan-m1": True, "lan-m2": True}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("drop", "crossed"),
    [
        pytest.param(True, False, id="169.254.0.0/16 is never forwarded"),
        pytest.param(False, True, id="the mutation: Linux forwards it if nobody objects"),
    ],
)
def test_link_local_packets_are_not_forwarded(tmp_path: Path, drop: bool, crossed: bool) -> None:
    """To it and from it, while the router itself can still be reached at such an address."""

    async def story() -> None:
        async with empty_cell(tmp_path) as runtime:
            left = InterfaceSpec("left", "e0", addresses=("10.0.0.2/24", "169.254.1.2/24"))
            near = InterfaceSpec("router", "e0", addresses=("10.0.0.1/24", "169.254.1.1/24"))
            far = InterfaceSpec("router", "e1", addresses=("10.0.1.1/24", "169.254.2.1/24"))
            right = InterfaceSpec("right", "e0", addresses=("10.0.1.2/24", "169.254.2.2/24"))
            await runtime.create(
                [NodeSpec("left"), NodeSpec("router", forwarding=True, drop_link_local=drop), NodeSpec("right")],
                [LinkSpec("l", left, near), LinkSpec("r", far, right)],
                [RouteSpec("left", "0.0.0.0/0", via="10.0.0.1"), RouteSpec("right", "0.0.0.0/0", via="10.0.1.1")],
            )
            watch = await runtime.task(
                "right",
                PROBE + "frames:sniff",
                {"interface": "e0", "filter": {"protocol": "icmp", "direction": "in"}, "with_frames": False},
            )
            await anext(aiter(watch))
            local = await probe(runtime, "left", "probe:ping", destination="169.254.1.1", wait=0.3)
            assert local["received"] == local["sent"]
            for arguments in (
                {"destination": "169.254.2.2"},
                {"destination": "10.0.1.2", "source": "169.254.1.2"},
            ):
                await probe(runtime, "left", "probe:ping", wait=0.3, **arguments)
            seen = await watch.stop()
            assert seen["missed"] == 0
            assert (seen["matched"] > 0) is crossed
            ordinary = await probe(runtime, "left", "probe:ping", destination="10.0.1.2")
            assert ordinary["received"] == ordinary["sent"]

    asyncio.run(story())


def test_link_test_both_ways_and_its_addresses_are_gone_afterwards(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            ends = (("r1", "e1", "169.254.9.1"), ("r2", "e0", "169.254.9.2"))
            for node, interface, address in ends:
                await runtime.set_addresses(node, interface, add=[f"{address}/30"])
            for (node, interface, source), (_, _, destination) in (ends, ends[::-1]):
                arguments = {"interface": interface, "source": source, "destination": destination}
                report = await probe(runtime, node, "linktest:link_test", **arguments)
                assert report["received"] == report["sent"] > 0
                assert 0 < report["rtt_min_ms"] <= report["rtt_avg_ms"] <= report["rtt_max_ms"]
            await runtime.impair(Impairment("r1", "e1", "out", loss_percent=100))
            arguments = {"interface": "e1", "source": "169.254.9.1", "destination": "169.254.9.2", "wait": 0.05}
            report = await probe(runtime, "r1", "linktest:link_test", **arguments)
            assert (report["received"], report["loss_percent"]) == (0, 100.0) and "ARP" in report["error"]
            for node, interface, address in ends:
                await runtime.set_addresses(node, interface, remove=[f"{address}/30"])
                assert not any(each.address.startswith("169.254") for each in await runtime.addresses(node))

    asyncio.run(story())


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_stream_tells_what_was_lost_and_when(tmp_path: Path, family: str) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:

            async def measure(breaks: bool) -> tuple[dict[str, Any], dict[str, Any], tuple[int, int]]:
                receiver = await runtime.task("east", PROBE + "stream:udp_stream_receive", {"port": 4000})
                await anext(aiter(receiver))
                arguments = {"destination": EAST[family], "port": 4000, "rate_hz": 1000.0}
                sender = await runtime.task("west", PROBE + "stream:udp_stream_send", arguments)
                await anext(aiter(sender))
                began = time.time_ns()
                if breaks:
                    await runtime.impair(Impairment("r1", "e1", "out", loss_percent=100))
                    await probe(runtime, "west", "probe:ping", destination=EAST[family], count=1, wait=0.1)
                    await runtime.clear("r1", "e1", "out")
                await probe(runtime, "west", "probe:ping", destination=EAST[family], count=20, interval=0.01)
                return await sender.stop(), await receiver.stop(), (began, time.time_ns())

            sent, received, _ = await measure(breaks=False)
            assert received["received"] == sent["sent"] and received["gaps"] == []  # the control run
            sent, received, (began, ended) = await measure(breaks=True)
            ((before, after, lost),) = received["gaps"]
            assert lost == sent["sent"] - received["received"] > 0
            assert sent["started_ns"] <= before < after <= ended and after > began
            assert received["overflowed"] == received["duplicated"] == received["reordered"] == 0

    asyncio.run(story())


def test_transport_probes_tell_open_from_refused_from_lost(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            server = await runtime.task("east", PROBE + "transport:tcp_serve", {"port": 179})
            await anext(aiter(server))
            for destination in EAST.values():

                async def outcome(entry: str, port: int, destination: str = destination) -> str:
                    report = await probe(runtime, "west", entry, destination=destination, port=port, wait=0.3)
                    return str(report["outcome"])

                assert await outcome("transport:tcp_connect", 179) == "open"
                assert await outcome("transport:tcp_connect", 180) == "refused"
                assert await outcome("transport:udp_probe", 180) == "refused"
                await runtime.impair(Impairment("r1", "e1", "out", loss_percent=100))
                assert await outcome("transport:tcp_connect", 179) == "timed-out"
                await runtime.clear("r1", "e1", "out")
            assert (await server.stop())["sources"] == ["10.1.0.2", "2001:db8:1::2"]

    asyncio.run(story())
