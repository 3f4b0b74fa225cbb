"""A sweep: many cases over a few cells at once, every failure seen twice, and cut down to what is needed for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import msgspec

from peerlab.controller.sweep_worker import LINE_LIMIT, Answer, Built, Played, Setup, Task
from peerlab.errors import RuntimeFailure
from peerlab.topology.model import LabModel
from peerlab.verify.finding import Finding, Outcome
from peerlab.verify.outage import Case, Unit, UnitKind, smaller, units, without
from peerlab.verify.sweep import left_of, worst

CELLS_PER_CORE = 3
"""Much of a case is waiting, for a hold time or a TCP retransmission: there are more cells than cores."""

ENDS_WITHIN = 30.0
"""Seconds in which a worker takes its lab down when its input ends."""

SHRINK_TRIALS = 60
"""Cases played at most to find the shortest sequence of one failure."""

LAB_NAME = 20
"""Letters of the topology's name in the name of a cell."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A case's verdict. ``shortest`` is the least part of it that fails alike; ``note`` says what is odd about it."""

    case: str
    outcome: Outcome
    seconds: float
    findings: tuple[Finding, ...] = ()
    shortest: str = ""
    note: str = ""

    @property
    def failing(self) -> frozenset[str]:
        """Ids of what failed."""
        return frozenset(f.check for f in self.findings if f.outcome is Outcome.FAIL)


Tell = Callable[[Result], None]


class WorkerProcess:
    """A worker as the sweep talks to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, setup: Setup) -> tuple[WorkerProcess, Built]:
        """A new worker and its first lab. Raises RuntimeFailure when it could not build one."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "peerlab.controller.sweep_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
        )
        worker = cls(process)
        try:
            built = await worker._ask(setup)
        except BaseException:
            await worker.end()
            raise
        if not isinstance(built, Built) or built.broke:
            await worker.end()
            raise RuntimeFailure(getattr(built, "broke", "") or "the sweep's worker gave no lab")
        return worker, built

    async def play(self, task: Task) -> Played:
        """Raises RuntimeFailure when the worker is gone."""
        answer = await self._ask(task)
        assert isinstance(answer, Played)
        return answer

    async def _ask(self, what: Setup | Task) -> Answer:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(what) + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if not line:
            raise RuntimeFailure("a worker of the sweep ended without a word")
        answer: Answer = msgspec.json.decode(line, type=Answer)
        return answer

    async def end(self) -> None:
        """Let it take its lab down; it is killed when that takes too long, and the lab with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), ENDS_WITHIN)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


class Sweep:
    """Plays cases over ``jobs`` cells. ``results`` holds every verdict by case; use within ``sweeping``."""

    def __init__(self, model: LabModel, topology: Path, text: str, jobs: int, directory: str) -> None:
        self.model = model
        self.results: dict[str, Result] = {}
        self.differs: tuple[str, ...] = ()
        """How a later build of the same lab came to another state than the first."""
        self.build_seconds = 0.0
        self._topology = topology
        self._text = text
        self._jobs = jobs
        self._reference = str(Path(directory) / "baseline.json")
        self._idle: asyncio.Queue[WorkerProcess | None] = asyncio.Queue()
        self._started = 0

    async def baseline(self) -> Result:
        """Build the first lab and judge it with nothing out. Raises RuntimeFailure when it cannot be built."""
        worker = await self._start()
        result = await self._judged(worker, Task(case=""))
        self._idle.put_nowait(worker)
        for _ in range(1, self._jobs):
            self._idle.put_nowait(None)
        self.results[""] = result
        return result

    async def play(self, cases: Iterable[Case], tell: Tell) -> tuple[Result, ...]:
        """Every case's verdict, in the order of the cases; those that have to wait for a hold time begin first."""
        chosen = list(cases)
        waiting = sorted(chosen, key=lambda case: -silence(self.model, case))
        await asyncio.gather(*(self._verdict(case, tell) for case in waiting))
        return tuple(self.results[str(case)] for case in chosen)

    async def _verdict(self, case: Case, tell: Tell) -> None:
        result = await self._once(Task(case=str(case)))
        if result.outcome is Outcome.FAIL:
            again = await self._once(Task(case=str(case), fresh=True))
            if not again.failing & result.failing:
                once = ", ".join(sorted(result.failing))
                note = f"failed once ({once}), but not in a lab that was built for it alone"
                result = msgspec.structs.replace(result, outcome=Outcome.INCONCLUSIVE, note=note)
        self.results[str(case)] = result
        tell(result)

    async def shrink(self, case: Case) -> Result:
        """Find the shortest part of a failed case that fails alike, and keep it with the case's result."""
        result = self.results[str(case)]
        best = await (self._shorter_order(case) if case.is_order else self._fewer(case))
        result = msgspec.structs.replace(result, shortest=str(best))
        self.results[str(case)] = result
        return result

    async def _fewer(self, case: Case) -> Case:
        """Every part, the smallest first."""
        trials = 0
        for size in range(1, len(case.units)):
            for part in smaller(case, size):
                trials += str(part) not in self.results
                if trials > SHRINK_TRIALS:
                    return case
                if await self._fails_alike(part, case):
                    return part
        return case

    async def _shorter_order(self, case: Case) -> Case:
        """Leave out ever smaller stretches of the order, the end of it first, as long as it fails alike."""
        best, size, trials = case, len(case.units) // 2, 0
        while size >= 1:
            found = None
            for begin in range(len(best.units) - size, -1, -size):
                trials += 1
                candidate = without(best.units, begin, begin + size)
                if trials > SHRINK_TRIALS:
                    return best
                if candidate.units and await self._fails_alike(candidate, case):
                    found = candidate
                    break
            best = found or best
            size = min(size, len(best.units) // 2) if found else size // 2
        return best

    async def _fails_alike(self, part: Case, whole: Case) -> bool:
        if str(part) not in self.results:
            self.results[str(part)] = await self._once(Task(case=str(part), fresh=True))
        return bool(self.results[str(part)].failing & self.results[str(whole)].failing)

    async def _once(self, task: Task) -> Result:
        worker = await self._idle.get()
        try:
            if worker is None:
                worker = await self._start()
            result = await self._judged(worker, task)
        except RuntimeFailure as failure:
            if worker is not None:
                await worker.end()
                worker = None
            result = Result(case=task.case, outcome=Outcome.INCONCLUSIVE, seconds=0.0, note=str(failure))
        finally:
            self._idle.put_nowait(worker)
        return result

    async def _judged(self, worker: WorkerProcess, task: Task) -> Result:
        played = await worker.play(task)
        outcome = worst(played.findings) if not played.broke else Outcome.INCONCLUSIVE
        return Result(
            case=task.case, outcome=outcome, seconds=played.seconds, findings=played.findings, note=played.broke
        )

    async def _start(self) -> WorkerProcess:
        self._started += 1
        setup = Setup(
            topology=str(self._topology),
            text=self._text,
            lab=f"{self.model.name[:LAB_NAME].rstrip('-')}-{os.getpid() % 100000}-{self._started}"[:29],
            reference=self._reference,
        )
        worker, built = await WorkerProcess.start(setup)
        self.differs = self.differs or built.differs
        self.build_seconds = self.build_seconds or built.seconds
        return worker

    async def end(self) -> None:
        """End every worker and its lab."""
        workers: list[WorkerProcess] = []
        while not self._idle.empty():
            worker = self._idle.get_nowait()
            if worker is not None:
                workers.append(worker)
        await asyncio.gather(*(worker.end() for worker in workers))


@contextlib.asynccontextmanager
async def sweeping(model: LabModel, topology: Path, text: str, jobs: int) -> AsyncIterator[Sweep]:
    """A sweep with its workers, ended in any case."""
    with tempfile.TemporaryDirectory(prefix="peerlab-sweep-") as directory:
        sweep = Sweep(model, topology, text, jobs, directory)
        try:
            yield sweep
        finally:
            await sweep.end()


def default_jobs() -> int:
    """How many cells at once."""
    return CELLS_PER_CORE * len(os.sched_getaffinity(0))


def orders(model: LabModel, count: int, seed: int) -> tuple[Case, ...]:
    """``count`` orders in which the links between ASes come up, drawn by a seed: the same seed, the same orders."""
    links = list(units(model, (UnitKind.UP,)))
    draw = random.Random(seed)
    found: dict[tuple[Unit, ...], None] = {}
    for _ in range(count * 4):
        order = list(links)
        draw.shuffle(order)
        found[tuple(order)] = None
        if len(found) == count:
            break
    return tuple(Case(order) for order in found)


def silence(model: LabModel, case: Case) -> int:
    """Seconds of hold time that a case waits for: some end of a lost session sees no carrier go and hears no farewell.

    A shut session and a killed router are heard at once.
    """
    if case.is_order:
        return len(case.units)
    alive = left_of(model, case)
    shut = {unit.name for unit in case.units if unit.kind is UnitKind.SESSION}
    waits = [0]
    for session in model.sessions:
        ends = (session.left, session.right)
        if session.id in alive.sessions or session.id in shut or any(e.node not in alive.routers for e in ends):
            continue
        wires = [e.interface and model.node(e.node).interface(e.interface).link for e in ends]
        if any(wire is None or wire in alive.links for wire in wires):
            waits.append(session.hold_time)
    return max(waits)
