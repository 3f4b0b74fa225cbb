"""From nothing to converged: a ring of N routers beside the bare floor and plain exabgp processes, in one run.

``python bench/rings.py [--kind exabgp|bird|frr] [--ipv4-only] [N ...]`` prints a table. Floor: the same namespaces,
wires and addresses and nothing in them. Plain: one unmodified ``exabgp`` process per node with the same rendered
exabgp.conf, until every session is up; it has no RIB and no FIB, so it converges on nothing. peerlab: until every
router has every prefix in its Loc-RIB, tap running. Every link carries an IPv4 and an IPv6 session, so a router has
four; with ``--ipv4-only`` it has two. ``--kind`` makes every router one of that kind; then there is no plain exabgp
beside it. On a machine that others use too, look at the CPU per router and at the ratio to the floor of the same run
rather than at the seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import sys
import tempfile
import time
from pathlib import Path

from ring_model import prefix_of, ring

from peerlab.bgp.attributes import Family
from peerlab.controller.lab import Lab
from peerlab.controller.wiring import link_spec, node_spec
from peerlab.daemons.exabgp import render
from peerlab.runtime.namespaces import NamespaceRuntime, start_cell
from peerlab.topology.model import LabModel, NodeKind

SIZES = (10, 60, 200)
PLAIN_AT_MOST = 60
"""Plain exabgp costs 180 ms of CPU a process: 200 of them say nothing more than 60 do."""

WITHIN = 120.0


async def floor(model: LabModel, directory: Path) -> float:
    """Seconds for the namespaces and wires alone, in a cell that stands already."""
    runtime = await start_cell(model.name, directory)
    try:
        began = time.perf_counter()
        await runtime.create(
            nodes=[node_spec(node) for node in model.nodes], links=[link_spec(model, link) for link in model.links]
        )
        return time.perf_counter() - began
    finally:
        await runtime.shutdown()


async def peerlab(model: LabModel) -> tuple[float, float, float, float]:
    """Seconds to Established, seconds to converged, CPU milliseconds and MiB of PSS per router."""
    began = time.perf_counter()
    lab = await Lab.up(model, "")
    try:
        established = time.perf_counter() - began
        count = len(model.nodes)

        async def has_all(number: int) -> None:
            router = await lab.router(f"r{number}")
            far = [prefix_of((number + count // 2 + step) % count) for step in (-1, 0, 1)]
            for prefix in far:
                if not await router.wait("best", WITHIN, prefix=prefix):
                    raise SystemExit(f"r{number} never learned {prefix}")

        await asyncio.gather(*(has_all(number) for number in range(count)))
        converged = time.perf_counter() - began
        cpu = await cpu_per_router(lab)
        for number in range(count):
            held = sum(route.best for route in await (await lab.router(f"r{number}")).rib("loc-rib"))
            if held != count:
                raise SystemExit(f"r{number} holds {held} of {count} prefixes")
        return established, converged, cpu, await pss_per_router(lab)
    finally:
        await lab.down()


async def of_routers(lab: Lab, file: str) -> list[str]:
    """A file of /proc/PID of every router and of the daemon that it has started, read inside the cell."""
    state = await lab.runtime.observe()
    pids = [str(process.pid) for process in state.processes if process.name == "router"]
    each = f"for one in $pid $(cat /proc/$pid/task/*/children); do cat /proc/$one/{file}; done"
    script = f'for pid in "$@"; do {each}; echo ---; done'
    done = await lab.runtime.run(lab.model.nodes[0].name, ["sh", "-c", script, "sh", *pids], within=30.0)
    return done.stdout.decode().split("---\n")[: len(pids)]


async def cpu_per_router(lab: Lab) -> float:
    """Mean time on a processor of the routers, all their threads, since they were forked, milliseconds.

    From schedstat, in nanoseconds: stat cuts user and system time to ticks of 10 ms each, which loses half of it here.
    """
    routers = await of_routers(lab, "task/*/schedstat")
    return sum(int(line.split()[0]) for text in routers for line in text.splitlines()) / 1e6 / len(routers)


async def pss_per_router(lab: Lab) -> float:
    """Mean proportional set size of the router processes, MiB."""
    rollups = await of_routers(lab, "smaps_rollup")
    total = sum(int(kib) for kib in re.findall(r"^Pss:\s+(\d+) kB", "".join(rollups), re.MULTILINE))
    return total / 1024 / len(rollups)


async def plain(model: LabModel, directory: Path) -> float:
    """Seconds until every session of plain exabgp processes is Established in the kernel's eyes."""
    runtime = await start_cell(model.name, directory)
    try:
        began = time.perf_counter()
        await runtime.create(
            nodes=[node_spec(node) for node in model.nodes], links=[link_spec(model, link) for link in model.links]
        )
        policies = {s.id: (model.policies["all"], model.policies["all"]) for s in model.sessions}
        await asyncio.gather(*(_start_plain(runtime, model, number, policies) for number in range(len(model.nodes))))
        await asyncio.gather(*(_logged_up(runtime, model, number) for number in range(len(model.nodes))))
        return time.perf_counter() - began
    finally:
        await runtime.shutdown()


async def _start_plain(runtime: NamespaceRuntime, model: LabModel, number: int, policies: dict) -> None:
    node = model.nodes[number]
    mine = {s.id: policies[s.id] for s in model.sessions_of(node.name)}
    files = render(model, node, mine)
    await runtime.put_files(node.name, {str(path): text for path, text in files.items()})
    environment = {
        "exabgp_daemon_user": "root",
        "exabgp_daemon_daemonize": "false",
        "exabgp_tcp_bind": "",
        "exabgp_log_level": "WARNING",
        "exabgp_api_cli": "false",
        "PATH": os.environ["PATH"],
    }
    await runtime.spawn(
        node.name,
        "exabgp",
        [str(Path(sys.executable).parent / "exabgp"), "server", f"/run/peerlab/{node.name}/exabgp.conf"],
        environment,
    )


async def _logged_up(runtime: NamespaceRuntime, model: LabModel, number: int) -> None:
    """Waits for the processes' TCP sessions as the kernel lists them: established connections to port 179."""
    node = model.nodes[number].name
    established = "cat /proc/self/net/tcp /proc/self/net/tcp6 | grep -c ':00B3 .*:.* 01 \\|:00B3 01 '"
    watch = f"until [ $({established}) -ge {len(model.sessions_of(node))} ]; do sleep 0.05; done"
    await runtime.run(node, ["bash", "-c", watch], within=WITHIN)


async def measure(sizes: list[int], families: tuple[Family, ...], kind: NodeKind) -> None:
    """Print one row per size."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(f"machine: {machine}; date: {time.strftime('%Y-%m-%d')}; command: python bench/rings.py --kind {kind.value}")
    titles = {"N": 4, "sessions": 8, "load": 5, "floor s": 8, "plain s": 8, "up s": 7, "converged s": 11, "x floor": 8}
    titles |= {"CPU ms": 7, "PSS MiB": 8}
    print(" ".join(f"{title:>{width}}" for title, width in titles.items()))
    for count in sizes:
        with tempfile.TemporaryDirectory() as directory:
            os.environ["PEERLAB_STATE"] = directory
            model = ring(count, f"bench-{count}-{os.getpid()}", families, kind)
            place = Path(directory) / "cell"
            place.mkdir()
            load = os.getloadavg()[0]
            bare = await floor(model, place)
            compared = kind is NodeKind.EXABGP and count <= PLAIN_AT_MOST
            stock = f"{await plain(model, place):8.2f}" if compared else f"{'-':>8}"
            up, converged, cpu, pss = await peerlab(model)
            print(
                f"{count:>4} {len(model.sessions):>8} {load:5.1f} {bare:8.3f} {stock} {up:7.2f} {converged:11.2f}"
                f" {converged / bare:8.1f} {cpu:7.1f} {pss:8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("sizes", nargs="*", type=int, metavar="N")
    reader.add_argument("--kind", type=NodeKind, default=NodeKind.EXABGP)
    reader.add_argument("--ipv4-only", action="store_true")
    told = reader.parse_args()
    only = (Family.IPV4,) if told.ipv4_only else tuple(Family)
    asyncio.run(measure(told.sizes or list(SIZES), only, told.kind))
