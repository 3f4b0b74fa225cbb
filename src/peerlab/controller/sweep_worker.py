"""A process that holds one sweep cell: it reads cases from its standard input and writes what became of each.

Every line is one JSON value: first a ``Setup``, then ``Task``s; answers are ``Built`` and ``Played``. When the input
ends, or on SIGTERM, the lab is taken down: a sweep that is killed leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import msgspec

from peerlab.controller.sweep_cell import SweepCell
from peerlab.errors import PeerlabError
from peerlab.evidence.snapshot import Snapshot
from peerlab.topology.load import load_text
from peerlab.topology.model import LabModel
from peerlab.verify.finding import Finding
from peerlab.verify.likeness import differences
from peerlab.verify.outage import Case, case_of

LINE_LIMIT = 64 * 1024 * 1024


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know. ``reference`` is where the first lab's baseline is, or has to be put."""

    topology: str
    text: str
    lab: str
    reference: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A case to play; ``fresh``: in a lab that was built for it. The empty text is the lab as it is, nothing out."""

    case: str
    fresh: bool = False


class Built(msgspec.Struct, frozen=True, kw_only=True, tag="built"):
    """A lab stands. ``differs`` tells how its state is not the first lab's; ``broke`` why there is none."""

    seconds: float
    differs: tuple[str, ...] = ()
    broke: str = ""


class Played(msgspec.Struct, frozen=True, kw_only=True, tag="played"):
    """What became of a case; ``broke`` says why there is no judgement."""

    case: str
    seconds: float
    findings: tuple[Finding, ...] = ()
    sound: bool = True
    broke: str = ""


Answer = Built | Played


class Worker:
    """One cell at a time, built anew when the last is no longer proven to be what it was."""

    def __init__(self, setup: Setup, model: LabModel) -> None:
        self._setup = setup
        self._model = model
        self._cell: SweepCell | None = None
        self._count = 0

    async def play(self, task: Task) -> Played:
        """Play one case. What breaks the cell is told, and the next case gets another."""
        began = time.monotonic()
        try:
            if task.fresh or self._cell is None or not self._cell.is_sound:
                await self.build()
            assert self._cell is not None
            case = case_of(task.case, self._model) if task.case else Case(())
            findings = await self._cell.lab.while_it_lasts(self._cell.play(case))
            return Played(
                case=task.case,
                seconds=time.monotonic() - began,
                findings=findings,
                sound=self._cell.is_sound,
            )
        except (PeerlabError, OSError) as error:
            await self.end()
            return Played(case=task.case, seconds=time.monotonic() - began, broke=str(error), sound=False)

    async def build(self) -> Built:
        """A new lab in place of the last. Raises what building raises."""
        await self.end()
        began = time.monotonic()
        self._count += 1
        name = f"{self._setup.lab}-{self._count}"
        self._cell = await SweepCell.build(self._model, self._setup.text, name)
        return Built(seconds=time.monotonic() - began, differs=self._against_the_first())

    def _against_the_first(self) -> tuple[str, ...]:
        assert self._cell is not None
        reference = Path(self._setup.reference)
        if not reference.exists():
            reference.write_bytes(msgspec.json.encode(self._cell.baseline))
            return ()
        first = msgspec.json.decode(reference.read_bytes(), type=Snapshot)
        return tuple(differences(first, self._cell.baseline))[:3]

    async def end(self) -> None:
        """Take the lab down, if there is one."""
        cell, self._cell = self._cell, None
        if cell is not None:
            try:
                await cell.end()
            except (PeerlabError, OSError) as error:
                print(f"{cell.lab.store.name}: {error}", file=sys.stderr)


async def serve(lines: asyncio.StreamReader) -> None:
    """Answer every line until the input ends."""
    setup = msgspec.json.decode(await lines.readline(), type=Setup)
    worker = Worker(setup, load_text(setup.text, setup.topology))
    try:
        try:
            _say(await worker.build())
        except (PeerlabError, OSError) as error:
            _say(Built(seconds=0.0, broke=str(error)))
            return
        while line := await lines.readline():
            _say(await worker.play(msgspec.json.decode(line, type=Task)))
    finally:
        await worker.end()


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    serving = asyncio.ensure_future(serve(lines))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    await asyncio.gather(serving, return_exceptions=True)
    if not serving.cancelled() and (error := serving.exception()) is not None:
        raise error


if __name__ == "__main__":
    asyncio.run(_main())
