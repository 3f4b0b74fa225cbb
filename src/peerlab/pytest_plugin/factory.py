"""Makes labs for tests: one state directory and one set of names per pytest process, and an end for each lab."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from peerlab.errors import InputError, PeerlabError, Unsupported
from peerlab.pytest_plugin.held_lab import STATES, HeldLab
from peerlab.pytest_plugin.loop_thread import LoopThread
from peerlab.topology.load import load_text, read_topology
from peerlab.topology.model import LabModel

REQUIRE = "PEERLAB_REQUIRE"
"""Environment variable: 1 makes a machine that cannot run labs a failure, 0 a skip; without it CI decides."""

STATE = "PEERLAB_STATE"
NAME_LETTERS = 12
"""Letters of a topology's name in a lab's name."""

Topology = str | Mapping[str, Any]


class LabFactory:
    """``running`` is a lab for a while, ``shared`` one until the end of the session."""

    def __init__(self, folder: Path, directory: Path, worker: str, keep: bool) -> None:
        self.kept: list[str] = []
        self._folder = folder
        self._directory = directory
        self._worker = worker
        self._keep = keep
        self._loop: LoopThread | None = None
        self._shared: dict[tuple[str, str], HeldLab] = {}
        self._count = 0
        self._before: str | None = None

    @contextlib.contextmanager
    def running(
        self, topology: Topology, state: str = "up", keep_if: Callable[[], bool] = lambda: False
    ) -> Iterator[HeldLab]:
        """A lab of its own. What it has shown is kept when ``keep_if`` says so at its end."""
        held = self._start(topology, state)
        try:
            yield held
        finally:
            self._end(held, keep_if())

    def shared(self, topology: Topology, state: str = "up") -> HeldLab:
        """The lab of this topology and state that the whole session uses; built on first use."""
        key = yaml.safe_dump(topology), state
        if key not in self._shared:
            self._shared[key] = self._start(topology, state)
        return self._shared[key]

    def end(self) -> None:
        """End every shared lab, and the loop."""
        for held in self._shared.values():
            self._end(held, keep_evidence=True)
        self._shared.clear()
        if self._loop is not None:
            self._loop.close()
            self._loop = None
            if self._before is None:
                os.environ.pop(STATE, None)
            else:
                os.environ[STATE] = self._before

    def read(self, topology: Topology) -> tuple[str, LabModel]:
        """The YAML text and the model of a topology. Raises UsageError with every mistake in it."""
        try:
            if isinstance(topology, str) and "\n" not in topology:
                path = next((p for p in (self._folder / topology, Path(topology)) if p.exists()), None)
                if path is None:
                    raise pytest.UsageError(f"there is no topology {topology} in {self._folder}")
                text = read_topology(path)
                return text, load_text(text, str(path))
            text = topology if isinstance(topology, str) else yaml.safe_dump(dict(topology), sort_keys=False)
            return text, load_text(text, "<topology in the test>")
        except InputError as mistakes:
            raise pytest.UsageError(str(mistakes)) from None

    def name(self, model: LabModel) -> str:
        """A name that no other test and no other process takes."""
        self._count += 1
        parts = [model.name[:NAME_LETTERS].strip("-"), self._worker, str(os.getpid()), str(self._count)]
        return "-".join(part for part in parts if part)[:32]

    def _start(self, topology: Topology, state: str) -> HeldLab:
        if state not in STATES:
            raise pytest.UsageError(f"there is no state {state!r} of a lab; take one of {', '.join(STATES)}")
        text, model = self.read(topology)
        if self._loop is None:
            self._before = os.environ.get(STATE)
            os.environ[STATE] = str(self._directory)
            self._loop = LoopThread()
        try:
            return HeldLab.start(self._loop, model, text, self.name(model), state)
        except Unsupported as error:
            return refuse(error)
        except PeerlabError as error:
            pytest.fail(f"the lab cannot be built: {error}", pytrace=False)

    def _end(self, held: HeldLab, keep_evidence: bool) -> None:
        if self._keep:
            self.kept.append(held.let_go())
        else:
            held.end(keep_evidence)


def refuse(error: Unsupported) -> HeldLab:
    """This machine runs no labs: a skip with the reason, and where labs are required a failure."""
    why = f"peerlab cannot run a lab here: {error} (`peerlab doctor` tells more)"
    asked = os.environ.get(REQUIRE)
    if asked == "1" or (asked is None and os.environ.get("CI", "").lower() not in ("", "0", "false")):
        pytest.fail(f"{why}; labs are required by {REQUIRE if asked else 'CI'}", pytrace=False)
    pytest.skip(why)
