"""What every Runtime promises. One suite for the namespaces, for containers (with PEERLAB_DOCKER=1) and for the fake
that other tests stand on.

Run as root it proves the cell without a user namespace; `tests/live/test_cell_rootless.py` runs it once more
as an unprivileged user.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerlab import __version__
from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.runtime.base import (
    ForkSpec,
    Impairment,
    InterfaceSpec,
    LinkSpec,
    NodeSpec,
    ProcessExit,
    RouteSpec,
    Runtime,
    ZygoteSpec,
)
from peerlab.runtime.fake import FakeRuntime
from peerlab.runtime.namespaces import start_cell

WITHIN = 10.0
LATE_MS = 25.0
"""By how much the median of a delay may be late on a machine that others use too."""
DELAY_MEANS = ("netem", "nfqueue", "fake")
NODES = (NodeSpec("left"), NodeSpec("middle", forwarding=True), NodeSpec("right", addresses=("192.0.2.9/32",)))
LINKS = (
    LinkSpec(
        "lm",
        InterfaceSpec("left", "e0", addresses=("198.51.100.0/31", "2001:db8:1::/127")),
        InterfaceSpec("middle", "e0", addresses=("198.51.100.1/31", "2001:db8:1::1/127"), mtu=9000),
    ),
    LinkSpec(
        "mr",
        InterfaceSpec("middle", "e1", addresses=("198.51.100.2/31", "2001:db8:2::/127")),
        InterfaceSpec("right", "e0", mac="02:00:5e:00:53:01", addresses=("198.51.100.3/31", "2001:db8:2::1/127")),
    ),
)
ROUTES = (
    RouteSpec("left", "0.0.0.0/0", via="198.51.100.1"),
    RouteSpec("left", "::/0", via="2001:db8:1::1"),
    RouteSpec("left", "203.0.113.0/24", kind="blackhole"),
)

IMAGE = f"peerlab/exabgp:{__version__}"

Build = Callable[[Path], Awaitable[Runtime]]


async def _fake(_: Path) -> Runtime:
    return FakeRuntime()


async def _namespaces(state: Path) -> Runtime:
    return await start_cell(f"contract-{os.getpid()}", state)


async def _containers(state: Path) -> Runtime:
    """Every node in a container of our own image."""
    from peerlab.runtime.docker import start_docker_cell

    runtime = await start_docker_cell(f"contract-{os.getpid()}", state)
    wired = runtime.create

    async def contained(nodes: Sequence[NodeSpec] = (), links: Any = (), routes: Any = ()) -> None:
        await wired([msgspec.structs.replace(node, image=IMAGE) for node in nodes], links, routes)

    runtime.create = contained  # type: ignore[method-assign]
    return runtime


RUNTIMES = [pytest.param(_fake, id="fake"), pytest.param(_namespaces, id="namespaces", marks=pytest.mark.live)]
if os.environ.get("PEERLAB_DOCKER") == "1":
    RUNTIMES.append(pytest.param(_containers, id="docker", marks=pytest.mark.docker))


@pytest.fixture(params=RUNTIMES)
def build(request: pytest.FixtureRequest) -> Build:
    return request.param  # type: ignore[no-any-return]


@asynccontextmanager
async def small_lab(build: Build, state: Path) -> AsyncIterator[Runtime]:
    """left - middle - right, wired and addressed, ended whatever happens."""
    runtime = await build(state)
    try:
        await runtime.create(NODES, LINKS, ROUTES)
        yield runtime
    finally:
        await runtime.shutdown()


async def exit_of(exits: AsyncIterator[ProcessExit], name: str) -> ProcessExit:
    async with asyncio.timeout(WITHIN):
        async for ended in exits:
            if ended.process == name:
                return ended
    raise AssertionError("the stream of exits ended")


def test_what_was_created_is_observed(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            state = await runtime.observe()
            assert {(node.name, node.forwarding) for node in state.nodes} == {
                ("left", False),
                ("middle", True),
                ("right", False),
            }
            (first, second) = sorted(state.links, key=lambda link: link.id)
            assert (first.id, first.a.node, first.b.node) == ("lm", "left", "middle")
            assert (first.a.mtu, first.b.mtu) == (1500, 9000)
            assert second.b.mac == "02:00:5e:00:53:01"
            assert all(end.up and end.carrier for link in state.links for end in (link.a, link.b))
            assert state.processes == () and state.impairments == ()

    asyncio.run(story())


def test_macs_depend_on_names_alone(build: Build, tmp_path: Path) -> None:
    async def macs(state: Path) -> set[str]:
        async with small_lab(build, state) as runtime:
            return {end.mac for link in (await runtime.observe()).links for end in (link.a, link.b)}

    first, again = asyncio.run(macs(tmp_path)), asyncio.run(macs(tmp_path))
    assert first == again and len(first) == 4


def test_addresses_come_and_go(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:

            async def on(node: str, interface: str) -> set[str]:
                found = await runtime.addresses(node)
                return {each.address for each in found if each.interface == interface and each.scope == "global"}

            assert await on("left", "e0") == {"198.51.100.0/31", "2001:db8:1::/127"}
            assert await on("right", "lo") == {"192.0.2.9/32"}
            await runtime.set_addresses("left", "e0", add=["169.254.7.1/30"], remove=["198.51.100.0/31"])
            assert await on("left", "e0") == {"169.254.7.1/30", "2001:db8:1::/127"}
            with pytest.raises(RuntimeFailure, match=r"198\.51\.100\.0/31.*left/e0"):
                await runtime.set_addresses("left", "e0", remove=["198.51.100.0/31"])
            with pytest.raises(RefusedError, match="BadAddress"):
                await runtime.set_addresses("left", "e0", add=["198.51.100.300/31"])

    asyncio.run(story())


def test_routes_come_and_go(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            routes = {r.destination: r for r in await runtime.kernel_routes("left", "ipv4")}
            assert routes["0.0.0.0/0"].via == "198.51.100.1" and routes["0.0.0.0/0"].device == "e0"
            assert routes["198.51.100.0/31"].device == "e0" and routes["203.0.113.0/24"].kind == "blackhole"
            assert "::/0" in {r.destination for r in await runtime.kernel_routes("left", "ipv6")}
            for destination, via in (("9.9.9.9", "198.51.100.1"), ("2001:db8:ffff::1", "2001:db8:1::1")):
                found = await runtime.route_get("left", destination)
                assert found is not None and found.via == via
            assert await runtime.route_get("left", "203.0.113.1") is None  # the blackhole
            assert await runtime.route_get("right", "9.9.9.9") is None  # no default route there
            await runtime.set_routes(remove=[ROUTES[0]])
            assert await runtime.route_get("left", "9.9.9.9") is None
            assert await runtime.kernel_routes("left", "ipv4", table=1234) == ()

    asyncio.run(story())


def test_a_link_that_is_down_has_no_carrier_at_the_other_end(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:

            async def ends() -> tuple[bool, bool, bool, bool]:
                (link,) = [link for link in (await runtime.observe()).links if link.id == "lm"]
                return link.a.up, link.a.carrier, link.b.up, link.b.carrier

            await runtime.set_link("middle", "e0", up=False)
            assert await ends() == (True, False, False, False)
            await runtime.set_link("left", "e0", up=False)
            await runtime.set_link("left", "e0", up=True)
            await runtime.set_link("middle", "e0", up=True)
            assert await ends() == (True, True, True, True)
            for family in ("ipv4", "ipv6"):  # static routes are back, though the kernel dropped them
                defaults = [r for r in await runtime.kernel_routes("left", family) if r.destination.endswith("/0")]
                assert len(defaults) == 1

    asyncio.run(story())


# What is refused, and under which code. Nothing of a refused batch is done.
REFUSALS = [
    pytest.param(((NodeSpec("../etc"),), (), ()), "BadName", id="a node's name that is a path"),
    pytest.param(
        ((NodeSpec("new"),), (LinkSpec("x", InterfaceSpec("new", "x" * 16), InterfaceSpec("left", "e9")),), ()),
        "BadName",
        id="an interface's name that the kernel does not take",
    ),
    pytest.param(((NodeSpec("new"), NodeSpec("left")), (), ()), "NodeExists", id="a node's name is taken"),
    pytest.param(((NodeSpec("new"),), (LINKS[0],), ()), "LinkExists", id="a link's id is taken"),
    pytest.param(
        ((NodeSpec("new"),), (LinkSpec("x", InterfaceSpec("new", "e0"), InterfaceSpec("nobody", "e0")),), ()),
        "UnknownNode",
        id="a link to nowhere",
    ),
    pytest.param(
        ((NodeSpec("new"),), (LinkSpec("x", InterfaceSpec("new", "e0"), InterfaceSpec("left", "e0")),), ()),
        "InterfaceExists",
        id="two links on one interface",
    ),
    pytest.param(
        (
            (NodeSpec("new"),),
            (LinkSpec("x", InterfaceSpec("new", "e0", addresses=("1.2.3/8",)), InterfaceSpec("left", "e9")),),
            (),
        ),
        "BadAddress",
        id="an address that is none",
    ),
    pytest.param(
        ((NodeSpec("new"),), (), (RouteSpec("left", "192.0.2.0/24", via="192.0.2.254"),)),
        "unreachable",
        id="a gateway that is on no subnet",
    ),
]


@pytest.mark.parametrize(("batch", "words"), REFUSALS)
def test_a_refused_batch_leaves_nothing(build: Build, tmp_path: Path, batch: tuple, words: str) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            with pytest.raises((RefusedError, RuntimeFailure), match=words):
                await runtime.create(*batch)
            state = await runtime.observe()
            assert {node.name for node in state.nodes} == {"left", "middle", "right"}
            assert {link.id for link in state.links} == {"lm", "mr"}

    asyncio.run(story())


def test_a_deleted_node_takes_its_links_and_processes(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            exits = runtime.exits()
            await runtime.spawn("middle", "waits", ["sleep", "600"])
            await runtime.delete(nodes=["middle"])
            assert (await exit_of(exits, "waits")).signal == signal.SIGKILL
            state = await runtime.observe()
            assert {node.name for node in state.nodes} == {"left", "right"} and state.links == ()
            await runtime.create([NODES[1]], LINKS)  # and it can come back under the same names
            assert len((await runtime.observe()).links) == 2
            with pytest.raises(RefusedError, match="UnknownNode"):
                await runtime.delete(nodes=["nobody"])
            with pytest.raises(RefusedError, match="UnknownLink"):
                await runtime.delete(links=["nothing"])

    asyncio.run(story())


def test_files_are_put_and_read(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            await runtime.put_files("left", {"conf/router.json": '{"as": 64496}', "größe": "é"})
            assert await runtime.read_file("left", "conf/router.json") == b'{"as": 64496}'
            assert await runtime.read_file("left", "größe") == "é".encode()
            with pytest.raises(RuntimeFailure, match="nothing-here"):
                await runtime.read_file("left", "nothing-here")
            for path in ("../right/x", "/etc/passwd", ""):
                with pytest.raises(RefusedError, match="BadPath"):
                    await runtime.put_files("left", {path: "x"})

    asyncio.run(story())


def test_a_process_has_one_name_one_pid_and_one_exit(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            exits = runtime.exits()
            pid = await runtime.spawn("left", "waits", ["sleep", "600"])
            (process,) = (await runtime.observe()).processes
            assert (process.node, process.name, process.pid, process.origin) == ("left", "waits", pid, "spawn")
            with pytest.raises(RefusedError, match="ProcessExists"):
                await runtime.spawn("left", "waits", ["sleep", "600"])
            await runtime.spawn("right", "waits", ["sleep", "600"])  # another node, another name
            await runtime.signal("left", "waits", signal.SIGTERM)
            ended = await exit_of(exits, "waits")
            assert (ended.node, ended.pid, ended.code, ended.signal) == ("left", pid, None, signal.SIGTERM)
            assert [each.node for each in (await runtime.observe()).processes] == ["right"]
            with pytest.raises(RefusedError, match="UnknownProcess"):
                await runtime.signal("left", "waits", signal.SIGTERM)

    asyncio.run(story())


def test_forking_needs_a_zygote(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            with pytest.raises(RefusedError, match="UnknownZygote"):
                await runtime.fork("left", "router", "warm", b"")
            warm = ZygoteSpec("warm", ("json",), "signal:sigwait")
            await runtime.prepare(warm)
            await runtime.prepare(warm)  # twice the same is once
            with pytest.raises(RefusedError, match="ZygoteExists"):
                await runtime.prepare(ZygoteSpec("warm", ("json",), "os:getpid"))
            with pytest.raises(RefusedError, match="UnknownNode"):
                await runtime.fork("nobody", "router", "warm", b"")
            exits = runtime.exits()
            pid = await runtime.fork("left", "router", "warm", bytes([signal.SIGUSR2]))  # waits for that signal
            (process,) = [p for p in (await runtime.observe()).processes if p.name == "router"]
            assert (process.pid, process.origin) == (pid, "warm")
            await runtime.signal("left", "router", signal.SIGKILL)
            assert (await exit_of(exits, "router")).signal == signal.SIGKILL

    asyncio.run(story())


WAITS = bytes([signal.SIGUSR2])

REFUSED_BATCHES = [
    # the zygote does not run
    ("UnknownZygote", "cold", [ForkSpec("left", "router", WAITS)]),
    # one node of several does not exist
    ("UnknownNode", "warm", [ForkSpec("left", "router", WAITS), ForkSpec("nobody", "router", WAITS)]),
    # the name is taken in a node
    ("ProcessExists", "warm", [ForkSpec("left", "router", WAITS), ForkSpec("middle", "taken", WAITS)]),
    # the name comes twice in one batch
    ("ProcessExists", "warm", [ForkSpec("left", "router", WAITS), ForkSpec("left", "router", WAITS)]),
    # a file leaves its node's directory
    ("BadPath", "warm", [ForkSpec("left", "router", WAITS), ForkSpec("right", "router", WAITS, {"../x": ""})]),
]


@pytest.mark.parametrize(("code", "zygote", "forks"), REFUSED_BATCHES)
def test_a_batch_of_forks_is_refused_as_a_whole(
    build: Build, tmp_path: Path, code: str, zygote: str, forks: list[ForkSpec]
) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            await runtime.prepare(ZygoteSpec("warm", (), "signal:sigwait"))
            await runtime.fork("middle", "taken", "warm", WAITS)
            with pytest.raises(RefusedError, match=code):
                await runtime.fork_all(zygote, forks)
            assert [each.name for each in (await runtime.observe()).processes] == ["taken"]

    asyncio.run(story())


def test_a_batch_of_forks_brings_its_files(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            await runtime.prepare(ZygoteSpec("warm", (), "signal:sigwait"))
            assert await runtime.fork_all("warm", []) == ()
            nodes = ("left", "middle", "right")
            forks = [ForkSpec(node, "router", WAITS, {"conf/who": node}) for node in nodes]
            pids = await runtime.fork_all("warm", forks)
            born = {each.node: each.pid for each in (await runtime.observe()).processes}
            assert tuple(born[node] for node in nodes) == pids
            for node in nodes:
                assert await runtime.read_file(node, "conf/who") == node.encode()

    asyncio.run(story())


def test_nobody_listens(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            with pytest.raises(RuntimeFailure, match=r"router\.sock in left"):
                await runtime.connect("left", "router.sock")
            with pytest.raises(TimedOut, match=r"router\.sock in left"):
                await runtime.connect("left", "router.sock", within=0.05)

    asyncio.run(story())


def test_a_delay_is_told_and_felt_until_it_is_cleared(build: Build, tmp_path: Path) -> None:
    """In both families, there and back; ``means`` says how."""

    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            there = await runtime.impair(Impairment("left", "e0", "out", delay_ms=20, jitter_ms=5))
            back = await runtime.impair(Impairment("left", "e0", "in", delay_ms=10))
            assert there.means in DELAY_MEANS and back.means in DELAY_MEANS
            assert set((await runtime.observe()).impairments) == {there, back}
            await assert_round_trips(runtime, 25, 30)
            await runtime.clear("middle", "e0", "in")
            assert (await runtime.observe()).impairments == (back,)
            await assert_round_trips(runtime, 10, 10)
            await runtime.clear("left", "e0", "in")
            assert (await runtime.observe()).impairments == ()

    asyncio.run(story())


async def assert_round_trips(runtime: Runtime, least_ms: float, median_ms: float) -> None:
    """Between left and middle: none is sooner, and half of them are within `LATE_MS`. The fake moves no packets."""
    if isinstance(runtime, FakeRuntime):
        return
    for destination in ("198.51.100.1", "2001:db8:1::1"):
        arguments = {"destination": destination, "count": 30, "interval": 0.01}
        answer = await (await runtime.task("left", "peerlab.runtime.probe:ping", arguments)).result()
        assert answer["received"] == answer["sent"]
        assert answer["rtt_min_ms"] >= least_ms
        assert answer["rtt_median_ms"] <= median_ms + LATE_MS


def test_impairments_are_told_until_cleared(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        async with small_lab(build, tmp_path) as runtime:
            done = await runtime.impair(Impairment("left", "e0", "out", loss_percent=100))
            assert done.means
            assert (await runtime.observe()).impairments == (done,)
            # the same direction of the same wire, seen from the other end: it replaces the first
            again = await runtime.impair(Impairment("middle", "e0", "in", loss_percent=50))
            assert (await runtime.observe()).impairments == (again,)
            await runtime.clear("left", "e0", "out")
            assert (await runtime.observe()).impairments == ()
            await runtime.clear("left", "e0", "out")  # clean stays clean
            for bad in (
                Impairment("left", "e0", loss_percent=101),
                Impairment("left", "e0", rate_kbit=-1),
                Impairment("left", "e0", delay_ms=-1),
                Impairment("left", "e0", delay_ms=5, jitter_ms=6),
            ):
                with pytest.raises(RefusedError, match="BadImpairment"):
                    await runtime.impair(bad)
            with pytest.raises(RefusedError, match="UnknownInterface"):
                await runtime.impair(Impairment("left", "e7", loss_percent=1))

    asyncio.run(story())


def test_after_shutdown_everything_fails_clearly(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        runtime = await build(tmp_path)
        exits = runtime.exits()
        await runtime.shutdown()
        with pytest.raises(RuntimeFailure, match="not attached"):
            await runtime.observe()
        assert [ended async for ended in exits] == []

    asyncio.run(story())
