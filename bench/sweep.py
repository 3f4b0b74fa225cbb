"""Two hundred outages of a ten-router lab: seconds, CPU and memory by the number of labs at once.

``python bench/sweep.py [JOBS ...]`` prints a table. The lab is AS8075 with four edges in two metros, a partner with
three routers, two customers and a transit; twenty sessions and more. The cases are all single failures and pairs of
them, every so many-th, so that all kinds are there. Each case is judged whole, as ``peerlab sweep`` does it.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from peerlab.controller.sweep import default_jobs, silence, sweeping
from peerlab.topology.load import load
from peerlab.verify.finding import Outcome
from peerlab.verify.outage import pairs, singles

TOPOLOGY = Path(__file__).with_name("ten-routers.yaml")
COUNT = 200


def cells_cpu(prefix: str) -> float:
    """CPU seconds of all that runs, and has run and ended, in the cells of labs whose name begins so."""
    by_space: dict[str, float] = {}
    ours: set[str] = set()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            space = str((directory / "ns" / "pid").readlink())
            name, _, rest = (directory / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        ticks = sum(int(word) for word in rest.split()[11:15])
        by_space[space] = by_space.get(space, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
        if name.startswith(f"cell {prefix}"[:15]):
            ours.add(space)
    return sum(by_space[space] for space in ours)


async def measure(jobs: int) -> Outcome:
    """One row of the table."""
    model = load(TOPOLOGY)
    single, double = singles(model), pairs(model)
    wanted = COUNT - len(single)
    cases = [*single, *(double[n * len(double) // wanted] for n in range(wanted))]
    waiting = sum(silence(model, case) > 0 for case in cases)
    before = os.times()
    began = time.monotonic()
    async with sweeping(model, TOPOLOGY, TOPOLOGY.read_text(), jobs) as sweep:
        first = await sweep.baseline()
        ready = time.monotonic() - began
        results = await sweep.play(cases, lambda _: None)
        cells = cells_cpu(model.name[:9])
    took = time.monotonic() - began
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    counted = Counter(result.outcome.value for result in results)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    each = sorted(result.seconds for result in results)
    print(
        f"{jobs:>4} {ready:>8.1f} {took:>8.1f} {len(results):>6} {each[len(each) // 2]:>8.2f} {each[-1]:>8.2f} "
        f"{waiting:>8} {spent:>12.1f} {cells:>10.1f} {peak:>11.0f}  {first.outcome.value}; {dict(counted)}"
    )
    for result in results:
        if result.outcome is not Outcome.PASS:
            print(f"     {result.case}: {result.note or sorted(result.failing)}")
    return first.outcome


def main() -> None:
    """Print the table."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(f"machine: {machine}; load before: {os.getloadavg()[0]:.1f}; date: {time.strftime('%Y-%m-%d')}")
    print("jobs  first s  total s  cases median s    max s  waiting  workers' CPU cells' CPU  worker MiB  verdicts")
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("PEERLAB_STATE", directory)
        for jobs in [int(text) for text in sys.argv[1:]] or [default_jobs()]:
            asyncio.run(measure(jobs))


if __name__ == "__main__":
    main()
