"""Containers beside namespaces: N nodes made, wired in a ring and removed, in the same run.

    python bench/containers.py [N ...]        (default 10 50; needs root, a Docker engine and `make images`)
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from peerlab import __version__
from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec, Runtime
from peerlab.runtime.docker import start_docker_cell
from peerlab.runtime.namespaces import start_cell

IMAGE = f"peerlab/exabgp:{__version__}"
RUNS = 3
Start = Callable[[str, Path], Awaitable[Runtime]]


def ring(count: int, image: str) -> tuple[list[NodeSpec], list[LinkSpec]]:
    """N nodes and the wires between neighbours."""
    nodes = [NodeSpec(f"r{number}", forwarding=True, image=image) for number in range(count)]
    links = [
        LinkSpec(f"l{number}", InterfaceSpec(f"r{number}", "right"), InterfaceSpec(f"r{(number + 1) % count}", "left"))
        for number in range(count)
    ]
    return nodes, links


async def measure(start: Start, name: str, count: int, image: str) -> tuple[float, float]:
    """Seconds to create a ring and to end its lab."""
    with tempfile.TemporaryDirectory() as state:
        runtime = await start(f"bench-{name}-{os.getpid()}", Path(state))
        began = time.perf_counter()
        try:
            await runtime.create(*ring(count, image))
        finally:
            created = time.perf_counter()
            await runtime.shutdown()
        return created - began, time.perf_counter() - created


def main(counts: list[int]) -> None:
    """Print a table: the median of three runs, containers as a ratio to namespaces."""
    print(f"{'N':>4}  {'runtime':<11} {'create s':>9} {'end s':>7} {'per node ms':>12} {'ratio':>6}")
    for count in counts:
        floor = 0.0
        for name, start, image in (("namespaces", start_cell, ""), ("docker", start_docker_cell, IMAGE)):
            runs = sorted(asyncio.run(measure(start, name, count, image)) for _ in range(RUNS))
            created, ended = runs[RUNS // 2]
            floor = floor or created
            print(
                f"{count:>4}  {name:<11} {created:>9.3f} {ended:>7.2f} {created / count * 1000:>12.1f} "
                f"{created / floor:>6.0f}"
            )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [10, 50])
