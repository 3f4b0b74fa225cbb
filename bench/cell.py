"""How long a ring of N nodes takes: the cell beside `ip -batch` doing the same, and what a fork and a probe cost.

    python bench/cell.py [N ...]

N nodes, N wires, an IPv4 and an IPv6 address at each end, forwarding on. `ip -batch` (iproute2, if it is here)
makes named namespaces and sets fewer options, so the comparison favours it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec, ZygoteSpec
from peerlab.runtime.namespaces import start_cell

SIZES = (10, 100, 200)


def ring(size: int) -> tuple[list[NodeSpec], list[LinkSpec]]:
    """N nodes, each wired to the next."""
    nodes = [NodeSpec(f"n{number}", forwarding=True) for number in range(size)]
    links = []
    for number in range(size):
        v4, v6 = f"10.{number >> 8}.{number & 255}", f"2001:db8:{number:x}"
        links.append(
            LinkSpec(
                f"l{number}",
                InterfaceSpec(f"n{number}", "right", addresses=(f"{v4}.0/31", f"{v6}::/127")),
                InterfaceSpec(f"n{(number + 1) % size}", "left", addresses=(f"{v4}.1/31", f"{v6}::1/127")),
            )
        )
    return nodes, links


async def the_cell(size: int) -> dict[str, float]:
    """Seconds of: start, create, observe, fork of one process per node, one probe, shutdown."""
    times = {}
    with tempfile.TemporaryDirectory() as state:
        begun = time.perf_counter()

        def lap(name: str) -> None:
            nonlocal begun
            now = time.perf_counter()
            times[name] = now - begun
            begun = now

        runtime = await start_cell(f"bench-{os.getpid()}", Path(state))
        try:
            lap("start")
            nodes, links = ring(size)
            await runtime.create(nodes, links)
            lap("create")
            await runtime.observe()
            lap("observe")
            await runtime.prepare(ZygoteSpec("waits", (), "signal:sigwait"))
            await runtime.fork("n0", "first", "waits", bytes([signal.SIGUSR2]))
            begun = time.perf_counter()
            forks = (runtime.fork(node.name, "router", "waits", bytes([signal.SIGUSR2])) for node in nodes)
            await asyncio.gather(*forks)
            lap("fork")
            ping = {"destination": "10.0.0.1", "count": 1}
            await (await runtime.task("n0", "peerlab.runtime.probe:ping", ping)).result()
            lap("probe")
        finally:
            await runtime.shutdown()
        lap("shutdown")
    return times


def by_ip_batch(size: int) -> float | None:
    """Seconds of `ip -batch` for the same ring, inside namespaces of its own; None without iproute2."""
    if shutil.which("ip") is None:
        return None
    nodes, links = ring(size)
    lines = [f"netns add {node.name}" for node in nodes]
    inside: dict[str, list[str]] = {node.name: ["link set lo up"] for node in nodes}
    for link in links:
        lines.append(
            f"link add {link.a.name} netns {link.a.node} type veth peer name {link.b.name} netns {link.b.node}"
        )
        for end in (link.a, link.b):
            inside[end.node] += [f"addr add {address} dev {end.name} nodad" for address in end.addresses]
            inside[end.node].append(f"link set {end.name} up")
    with tempfile.TemporaryDirectory() as place:
        Path(place, "all").write_text("\n".join(lines) + "\n")
        for name, commands in inside.items():
            Path(place, name).write_text("\n".join(commands) + "\n")
        script = (
            "mount --make-rprivate / && mount -t tmpfs none /run && date +%s.%N && ip -batch all"
            " && for n in n*; do ip -n $n -batch $n; done && date +%s.%N"
        )
        shell = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec", script]
        done = subprocess.run(shell, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"ip -batch failed: {done.stderr.strip()}", file=sys.stderr)
        return None
    started, ended = done.stdout.split()
    return float(ended) - float(started)


def main(sizes: tuple[int, ...]) -> None:
    """Prints the table."""
    print(f"{'N':>5} {'start':>8} {'create':>8} {'ms/node':>8} {'ip -batch':>10} {'observe':>8} {'ms/fork':>8} "
          f"{'probe':>8} {'shutdown':>8}")  # fmt: skip
    for size in sizes:
        times = asyncio.run(the_cell(size))
        beside = by_ip_batch(size)
        print(
            f"{size:>5} {times['start']:>8.3f} {times['create']:>8.3f} {times['create'] / size * 1000:>8.2f} "
            f"{f'{beside:.3f}' if beside is not None else '-':>10} {times['observe']:>8.3f} "
            f"{times['fork'] / size * 1000:>8.2f} {times['probe']:>8.3f} {times['shutdown']:>8.3f}"
        )


if __name__ == "__main__":
    main(tuple(int(each) for each in sys.argv[1:]) or SIZES)
