"""The cell on a real kernel: packets, deaths, and what is left behind (nothing)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from peerlab.errors import RefusedError, RuntimeFailure, TimedOut, Unsupported
from peerlab.runtime.base import CELL, Impairment, InterfaceSpec, LinkSpec, NodeSpec, RouteSpec, ZygoteSpec
from peerlab.runtime.cell import socket_name
from peerlab.runtime.namespaces import NamespaceRuntime, attach, list_labs, start_cell

pytestmark = pytest.mark.live

WITHIN = 20.0
PROBE = "peerlab.runtime."
LAB = f"cell-{os.getpid()}"

# west - r1 - r2 - east, both families; the routers know the way by static routes.
NODES = (NodeSpec("west"), NodeSpec("r1", forwarding=True), NodeSpec("r2", forwarding=True), NodeSpec("east"))
LINKS = (
    LinkSpec(
        "west-r1",
        InterfaceSpec("west", "e0", addresses=("10.1.0.2/24", "2001:db8:1::2/64")),
        InterfaceSpec("r1", "e0", addresses=("10.1.0.1/24", "2001:db8:1::1/64")),
    ),
    LinkSpec(
        "r1-r2",
        InterfaceSpec("r1", "e1", addresses=("10.2.0.1/24", "2001:db8:2::1/64")),
        InterfaceSpec("r2", "e0", addresses=("10.2.0.2/24", "2001:db8:2::2/64")),
    ),
    LinkSpec(
        "r2-east",
        InterfaceSpec("r2", "e1", addresses=("10.3.0.1/24", "2001:db8:3::1/64")),
        InterfaceSpec("east", "e0", addresses=("10.3.0.2/24", "2001:db8:3::2/64")),
    ),
)
ROUTES = (
    RouteSpec("west", "0.0.0.0/0", via="10.1.0.1"),
    RouteSpec("west", "::/0", via="2001:db8:1::1"),
    RouteSpec("r1", "10.3.0.0/24", via="10.2.0.2"),
    RouteSpec("r1", "2001:db8:3::/64", via="2001:db8:2::2"),
    RouteSpec("r2", "10.1.0.0/24", via="10.2.0.1"),
    RouteSpec("r2", "2001:db8:1::/64", via="2001:db8:2::1"),
    RouteSpec("east", "0.0.0.0/0", via="10.3.0.1"),
    RouteSpec("east", "::/0", via="2001:db8:3::1"),
)
EAST = {"ipv4": "10.3.0.2", "ipv6": "2001:db8:3::2"}

Story = Callable[[NamespaceRuntime], Awaitable[None]]


@asynccontextmanager
async def empty_cell(state: Path, lab: str = LAB) -> AsyncIterator[NamespaceRuntime]:
    runtime = await start_cell(lab, state)
    try:
        yield runtime
    finally:
        await runtime.shutdown()


@asynccontextmanager
async def row(state: Path) -> AsyncIterator[NamespaceRuntime]:
    """The row of four, wired."""
    async with empty_cell(state) as runtime:
        await runtime.create(NODES, LINKS, ROUTES)
        yield runtime


async def meet(runtime: NamespaceRuntime) -> None:
    """Lets every neighbour find the next, so that a loss to come does not hit ARP, which asks once a second."""
    for destination in EAST.values():
        answer = await probe(runtime, "west", "probe:ping", destination=destination)
        assert answer["received"] == answer["sent"]


async def probe(runtime: NamespaceRuntime, node: str, entry: str, **arguments: Any) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN):
        return await (await runtime.task(node, PROBE + entry, arguments)).result()


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that the kernel does in its own time; there is no event for it."""
    async with asyncio.timeout(WITHIN):
        ended = asyncio.Event()
        while not condition():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 0.02)


# --- packets -------------------------------------------------------------------------------------------


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


# --- faults --------------------------------------------------------------------------------------------


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


def test_delay_works_or_is_clearly_unsupported(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            try:
                done = await runtime.impair(Impairment("r1", "e1", "out", delay_ms=30))
            except Unsupported as refusal:
                assert "netem" in str(refusal) and "modprobe" in str(refusal)
                assert (await runtime.observe()).impairments == ()
                return
            assert done.means == "netem"
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv4"])
            assert answer["rtt_min_ms"] >= 30

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


# --- processes -----------------------------------------------------------------------------------------


def test_commands_run_inside_their_node(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            done = await runtime.run("r1", ["cat", "/proc/net/dev"], WITHIN)
            assert done.code == 0 and b"e1:" in done.stdout
            done = await runtime.run("r1", ["sh", "-c", "cat; echo oops >&2; exit 3"], WITHIN, b"in" * 100_000)
            assert (done.code, done.stdout, done.stderr) == (3, b"in" * 100_000, b"oops\n")
            with pytest.raises(TimedOut, match="sleep 600 in r1"):
                await runtime.run("r1", ["sleep", "600"], 0.1)
            with pytest.raises(RuntimeFailure, match="no-such-program is not a program"):
                await runtime.run("r1", ["no-such-program"], WITHIN)
            exits = runtime.exits()
            await runtime.spawn("r1", "speaks", ["sh", "-c", "pwd; echo $WORD; exit 7"], {"WORD": "hello"})
            ended = await asyncio.wait_for(anext(exits), WITHIN)
            while ended.process != "speaks":
                ended = await asyncio.wait_for(anext(exits), WITHIN)
            assert ended.code == 7
            assert await runtime.read_file("r1", "speaks.log") == b"/run/peerlab/r1\nhello\n"
            assert not Path("/run/peerlab/r1").exists()  # the cell's /run is its own

    asyncio.run(story())


def test_a_tap_finds_every_namespace_from_a_place_that_is_no_node(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            for node in (await runtime.observe()).nodes:
                done = await runtime.run(CELL, ["readlink", "-f", node.handle], WITHIN)
                assert f"net:[{node.namespace}]".encode() in done.stdout
            done = await runtime.run(CELL, ["cat", "/proc/net/dev"], WITHIN)
            assert b"e0:" not in done.stdout and b"lo:" in done.stdout

    asyncio.run(story())


def test_a_zygote_may_fail_or_die_and_its_children_live_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            await runtime.prepare(ZygoteSpec("broken", ("no_such_module",), "os:getpid"))
            with pytest.raises(RuntimeFailure, match="no_such_module"):
                await runtime.fork("r1", "router", "broken", b"")
            warm = ZygoteSpec("warm", (), "signal:sigwait")
            await runtime.prepare(warm)
            exits = runtime.exits()
            await runtime.fork("r1", "router", "warm", bytes([signal.SIGUSR2]))
            script = "kill -9 $(grep -l '^zygote warm' /proc/[0-9]*/comm | cut -d/ -f3)"
            killed = await runtime.run(CELL, ["sh", "-c", script], WITHIN)
            assert killed.code == 0, killed.stderr
            with pytest.raises((RuntimeFailure, RefusedError), match="warm"):
                while True:  # until the supervisor has heard of the death; a fork before that may still be refused
                    await runtime.fork("r2", "router", "warm", bytes([signal.SIGUSR2]))
            await runtime.prepare(warm)
            await runtime.fork("r2", "again", "warm", bytes([signal.SIGUSR2]))
            await runtime.signal("r1", "router", signal.SIGKILL)  # it survived, and its end is still told
            async with asyncio.timeout(WITHIN):
                async for ended in exits:
                    if (ended.node, ended.process) == ("r1", "router"):
                        assert ended.signal == signal.SIGKILL
                        break

    asyncio.run(story())


def test_a_probe_dies_with_whoever_asked(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            task = await runtime.task("west", PROBE + "probe:ping", {"destination": EAST["ipv4"], "count": 10**6})
            assert [p.name for p in (await runtime.observe()).processes] == ["task-1"]
            task.close()
            async with asyncio.timeout(WITHIN):
                while (await runtime.observe()).processes:
                    await asyncio.wait_for(asyncio.to_thread(os.sched_yield), WITHIN)

    asyncio.run(story())


# Probes that cannot be carried out say why.
BAD_PROBES = [
    pytest.param("nowhere:ping", {}, "nowhere", id="no such module"),
    pytest.param("probe:pong", {}, "pong", id="no such probe"),
    pytest.param("probe:ping", {"colour": "red"}, "colour", id="no such argument"),
    pytest.param("frames:raw_send", {"interface": "e7", "frames": []}, "No such device", id="no such interface"),
    pytest.param("frames:raw_send", {"interface": "e0", "frames": ["zz"]}, "hexadecimal", id="no frame"),
    pytest.param("frames:sniff", {"interface": "e0", "filter": {"protocol": "ipx"}}, "ipx", id="no such protocol"),
    pytest.param(
        "linktest:link_test",
        {"interface": "e0", "source": "::1", "destination": "::2"},
        r"169\.254",
        id="link test by IPv6",
    ),
]


@pytest.mark.parametrize(("entry", "arguments", "words"), BAD_PROBES)
def test_a_probe_that_cannot_be_says_why(tmp_path: Path, entry: str, arguments: dict[str, Any], words: str) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            with pytest.raises((RuntimeFailure, RefusedError), match=words):
                await probe(runtime, "west", entry, **arguments)

    asyncio.run(story())


# --- the supervisor's life -----------------------------------------------------------------------------


def test_a_lab_outlives_its_controller(tmp_path: Path) -> None:
    async def first() -> None:
        runtime = await start_cell(LAB, tmp_path)
        await runtime.create(NODES, LINKS, ROUTES)
        await runtime.spawn("r1", "waits", ["sleep", "600"])
        await runtime.attached("r1", "mine", ["sleep", "600"], (0, 1, 2))
        await runtime.close()

    async def second() -> None:
        assert LAB in list_labs()
        runtime = await attach(LAB)
        try:
            async with asyncio.timeout(WITHIN):
                while {p.name for p in (await runtime.observe()).processes} != {"waits"}:
                    await asyncio.to_thread(os.sched_yield)  # "mine" belonged to the client and dies with it
            answer = await probe(runtime, "west", "probe:ping", destination=EAST["ipv6"])
            assert answer["received"] == answer["sent"]
        finally:
            await runtime.shutdown()
        assert LAB not in list_labs()

    asyncio.run(first())
    asyncio.run(second())


def test_names_of_labs(tmp_path: Path) -> None:
    async def story() -> None:
        async with empty_cell(tmp_path / "1") as one:
            with pytest.raises(RefusedError, match=r"LabExists.*peerlab down"):
                await start_cell(LAB, tmp_path / "2")
            async with empty_cell(tmp_path / "3", f"{LAB}-b") as other:  # another name: side by side
                await one.create(NODES[:1])
                await other.create(NODES[:1])
                assert {LAB, f"{LAB}-b"} <= set(list_labs())
            assert (await one.observe()).nodes[0].name == "west"
        for bad in ("", "a/b", "Ä", "x" * 33):
            with pytest.raises(RefusedError, match="BadLabName"):
                await start_cell(bad, tmp_path / "4")
        with pytest.raises(RefusedError, match=r"UnknownLab.*peerlab up"):
            await attach(LAB)

    asyncio.run(story())


def test_the_supervisor_survives_its_clients(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            open_before = len(os.listdir(f"/proc/{runtime.supervisor}/fd"))  # noqa: PTH208
            rubbish = (
                b"\0\0\0\5hello",  # a frame that is no JSON
                struct.pack("!I", 1 << 31),  # a frame that will never end
                b"\0\0\0\2{}",  # JSON that asks for nothing
                b'\0\0\0\x1b{"id":7,"ask":{"type":"xx"}}',  # an unknown request
                b'\0\0\1\0{"id":8,"ask":{"type":"obs',  # half a frame, then gone
            )
            for block in rubbish:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    client.settimeout(WITHIN)
                    client.connect(socket_name(os.getuid(), LAB))
                    client.sendall(block)
            other = await attach(LAB)
            pending = asyncio.gather(*(other.observe() for _ in range(50)), return_exceptions=True)
            await asyncio.wait_for(other.observe(), WITHIN)
            await other.close()  # in the middle of requests
            await pending
            assert len((await runtime.observe()).nodes) == len(NODES)
            await until(lambda: len(os.listdir(f"/proc/{runtime.supervisor}/fd")) <= open_before)  # noqa: PTH208

    asyncio.run(story())


def test_a_full_disk_does_not_stop_a_lab(tmp_path: Path) -> None:
    (tmp_path / "supervisor.log").symlink_to("/dev/full")

    async def story() -> None:
        async with row(tmp_path) as runtime:
            assert len((await runtime.observe()).nodes) == len(NODES)

    asyncio.run(story())


@pytest.fixture
def before() -> Iterator[dict[str, Any]]:
    """What the host has, to be compared with what it has afterwards."""
    yield host()


def host() -> dict[str, Any]:
    interfaces = {path.name for path in Path("/sys/class/net").iterdir()}
    routes = Path("/proc/net/route").read_text() + Path("/proc/net/ipv6_route").read_text()
    mounts = Path("/proc/self/mounts").read_text()
    names = sorted(line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if f"/{LAB}" in line)
    files = sorted(str(path) for place in ("/run", "/run/netns", "/tmp") for path in Path(place).glob("*peerlab*"))
    return {"interfaces": interfaces, "routes": routes, "mounts": mounts, "names": names, "files": files}


def members_of(namespaces: set[str]) -> set[int]:
    """Processes that are in, or hold open, one of these namespaces."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        for link in (*process.glob("ns/*"), *process.glob("fd/*")):
            with contextlib.suppress(OSError):
                if str(link.readlink()) in namespaces:
                    found.add(int(process.name))
    return found


@pytest.mark.parametrize("end", ["kill -9", "shutdown", "SIGTERM"])
def test_nothing_is_left_of_a_lab(tmp_path: Path, before: dict[str, Any], end: str) -> None:
    async def story() -> None:
        runtime = await start_cell(LAB, tmp_path)
        await runtime.create(NODES, LINKS, ROUTES)
        await runtime.put_files("r1", {"router.json": "{}"})
        await runtime.spawn("r1", "waits", ["sleep", "600"])
        await runtime.prepare(ZygoteSpec("warm", (), "signal:sigwait"))
        await runtime.fork("r2", "router", "warm", bytes([signal.SIGUSR2]))
        await runtime.task("west", PROBE + "probe:ping", {"destination": EAST["ipv4"], "count": 10**6})
        during = host()
        assert during["names"] != before["names"]
        assert during | {"names": before["names"]} == before
        held = {f"net:[{node.namespace}]" for node in (await runtime.observe()).nodes}
        held |= {str(Path(f"/proc/{runtime.supervisor}/ns/{kind}").readlink()) for kind in ("pid", "mnt")}
        inside = members_of(held)
        assert len(held) == len(NODES) + 2 and len(inside) >= 6  # supervisor, two zygotes, sleep, router, probe
        handle = os.pidfd_open(runtime.supervisor)
        try:
            if end == "shutdown":
                await runtime.shutdown()
            else:
                os.kill(runtime.supervisor, signal.SIGKILL if end == "kill -9" else signal.SIGTERM)
                await asyncio.wait_for(runtime.gone.wait(), WITHIN)
                with pytest.raises(RuntimeFailure, match="not attached"):
                    await runtime.observe()
        finally:
            os.close(handle)
        await until(lambda: not members_of(held))
        await until(lambda: not any(_is_alive(process) for process in inside))
        await until(lambda: host() == before)

    asyncio.run(story())


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
