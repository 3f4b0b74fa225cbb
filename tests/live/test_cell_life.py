"""Processes, zygotes and the supervisor: what lives, what dies with whom, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cell_row import EAST, LAB, LINKS, NODES, PROBE, ROUTES, WITHIN, empty_cell, probe, row, until

from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.runtime.base import CELL, ForkSpec, NodeSpec, ZygoteSpec
from peerlab.runtime.cell import socket_name
from peerlab.runtime.namespaces import attach, list_labs, start_cell

pytestmark = pytest.mark.live


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


COUNT_SIBLINGS = rb"""
zygote=$(awk '/^PPid/ {print $2}' /proc/$PPID/status)
grep -l "^PPid:.$zygote$" /proc/[0-9]*/status 2>/dev/null | wc -l
exec sleep 600
"""


def test_of_a_batch_none_begins_before_the_last_is_born(tmp_path: Path) -> None:
    async def story() -> None:
        async with row(tmp_path) as runtime:
            await runtime.prepare(ZygoteSpec("shell", (), "os:system"))
            places = [(node.name, f"child{number}") for node in NODES for number in range(10)]
            await runtime.fork_all("shell", [ForkSpec(node, name, COUNT_SIBLINGS) for node, name in places])

            async with asyncio.timeout(WITHIN):
                for node, name in places:
                    while not (seen := await runtime.read_file(node, f"{name}.log")):
                        continue
                    assert seen == b"40\n", (node, name)

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
    places = (("/run", "*peerlab*"), ("/run/netns", "*"), ("/tmp", f"*{LAB}*"))
    files = sorted(str(path) for place, pattern in places for path in Path(place).glob(pattern))
    return {"interfaces": interfaces, "routes": routes, "mounts": mounts, "names": names, "files": files}


def members_of(namespaces: set[str]) -> set[int]:
    """Processes that are in, or hold open, one of these namespaces."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        links: list[Path] = []
        with contextlib.suppress(OSError):  # it ended while we looked
            links += [*process.glob("ns/*"), *process.glob("fd/*")]
        for link in links:
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


def test_a_supervisor_killed_in_the_middle_of_a_request_leaves_nothing(tmp_path: Path, before: dict[str, Any]) -> None:
    async def story() -> None:
        runtime = await start_cell(LAB, tmp_path)
        space = str(Path(f"/proc/{runtime.supervisor}/ns/pid").readlink())
        many = [NodeSpec(f"n{number}") for number in range(300)]
        creating = asyncio.create_task(runtime.create(many))
        ready = asyncio.create_task(runtime.observe())  # answered after the creation, so not before the kill
        await asyncio.wait([creating], timeout=0.02)
        os.kill(runtime.supervisor, signal.SIGKILL)
        outcomes = await asyncio.gather(creating, ready, return_exceptions=True)
        assert all(isinstance(outcome, RuntimeFailure) and "is gone" in str(outcome) for outcome in outcomes)
        await until(lambda: not members_of({space}) and host() == before)
        async with empty_cell(tmp_path) as again:  # the name is free at once
            assert (await again.observe()).nodes == ()

    asyncio.run(story())


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


TYPIST = """
import asyncio, sys
from peerlab.runtime.namespaces import attach
from peerlab.runtime.terminal import interact

async def main():
    runtime = await attach(sys.argv[1])
    return await interact(runtime, "r1", "shell", ["sh"], {"PS1": "r1# "})

sys.exit(asyncio.run(main()))
"""


def test_a_shell_has_a_terminal_of_its_own(tmp_path: Path) -> None:
    """With job control: Ctrl-C ends what runs in the foreground, not the shell."""

    async def story() -> None:
        async with row(tmp_path):
            master, slave = os.openpty()
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            shell = await asyncio.create_subprocess_exec(
                sys.executable, "-c", TYPIST, LAB, stdin=slave, stdout=slave, stderr=slave, env=environment
            )
            os.close(slave)
            os.set_blocking(master, False)
            screen = bytearray()

            async def see(words: bytes) -> None:
                def shown() -> bool:
                    with contextlib.suppress(BlockingIOError, OSError):
                        screen.extend(os.read(master, 1 << 16))
                    return words in screen

                try:
                    await until(shown)
                except TimeoutError:
                    raise AssertionError(f"{words!r} did not come; the screen shows {bytes(screen)!r}") from None

            await see(b"r1# ")
            os.write(master, b"grep -c e1: /proc/net/dev; echo answer=$((6*7))\n")
            await see(b"answer=42")
            os.write(master, b"sleep 600; echo ended=$?\n")
            await see(b"sleep 600")
            os.write(master, b"\x03")  # Ctrl-C
            os.write(master, b"echo still=$((1+1)); exit 5\n")
            await see(b"still=2")
            assert await asyncio.wait_for(shell.wait(), WITHIN) == 5
            os.close(master)

    asyncio.run(story())
