"""The sweep without labs: failures are seen twice, shrunk to what they need, and orders come from their seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from peerlab.controller.sweep import Sweep, orders, silence
from peerlab.controller.sweep_worker import Built, Played, Setup, Task
from peerlab.errors import RuntimeFailure
from peerlab.topology.load import load
from peerlab.verify.finding import Finding, Outcome, Severity
from peerlab.verify.outage import Case, case_of, units

TOPOLOGY = Path(__file__).parents[3] / "topologies" / "direct.yaml"
MODEL = load(TOPOLOGY)
LINKS = [f"link:{link.id}" for link in MODEL.links]

Broken = Callable[[list[str], bool], bool]
"""Whether a case fails, by its units and by whether its lab is fresh."""


class ScriptedWorker:
    """A worker whose labs fail as a test says."""

    def __init__(self, broken: Broken, played: list[Task]) -> None:
        self._broken = broken
        self._played = played

    async def play(self, task: Task) -> Played:
        self._played.append(task)
        outcome = Outcome.FAIL if self._broken(task.case.split(","), task.fresh) else Outcome.PASS
        found = Finding(
            check="SWP-03", title="", phase="sweep", severity=Severity.CRITICAL, outcome=outcome, summary=""
        )
        return Played(case=task.case, seconds=0.0, findings=(found,))

    async def end(self) -> None:
        """Nothing runs."""


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Broken], tuple[Sweep, list[Task]]]:
    def make(broken: Broken) -> tuple[Sweep, list[Task]]:
        played: list[Task] = []

        async def start(setup: Setup) -> tuple[ScriptedWorker, Built]:
            return ScriptedWorker(broken, played), Built(seconds=0.0)

        monkeypatch.setattr("peerlab.controller.sweep.WorkerProcess.start", start)
        return Sweep(MODEL, TOPOLOGY, TOPOLOGY.read_text(), 2, str(tmp_path)), played

    return make


def shortest(sweep: Sweep, text: str) -> str:
    case = case_of(text, MODEL)

    async def work() -> str:
        await sweep.baseline()
        await sweep.play((case,), lambda _: None)
        return (await sweep.shrink(case)).shortest

    return asyncio.run(work())


Scripted = Callable[[Broken], tuple[Sweep, list[Task]]]


def test_a_failure_is_seen_again_in_a_lab_of_its_own(scripted: Scripted) -> None:
    sweep, played = scripted(lambda units, fresh: LINKS[0] in units)
    assert shortest(sweep, LINKS[0]) == LINKS[0]
    assert [task.fresh for task in played if task.case == LINKS[0]] == [False, True]
    assert sweep.results[LINKS[0]].outcome is Outcome.FAIL


def test_a_failure_that_a_fresh_lab_does_not_show_is_inconclusive(scripted: Scripted) -> None:
    sweep, _ = scripted(lambda units, fresh: LINKS[0] in units and not fresh)

    async def work() -> None:
        await sweep.baseline()
        await sweep.play((case_of(LINKS[0], MODEL),), lambda _: None)

    asyncio.run(work())
    assert sweep.results[LINKS[0]].outcome is Outcome.INCONCLUSIVE
    assert "not in a lab that was built for it alone" in sweep.results[LINKS[0]].note


@pytest.mark.parametrize("needed", [LINKS[2:3], LINKS[1:3], LINKS[0:4:3]])
def test_several_faults_shrink_to_those_that_are_needed(scripted: Scripted, needed: list[str]) -> None:
    sweep, _ = scripted(lambda units, fresh: set(needed) <= set(units))
    assert shortest(sweep, ",".join(LINKS[:4])) == ",".join(needed)


@pytest.mark.parametrize("needed", [[2], [0, 3], [3, 1]])
def test_an_order_shrinks_to_the_links_whose_order_matters(scripted: Scripted, needed: list[int]) -> None:
    ups = [f"up:{unit.name}" for unit in units(MODEL) if f"link:{unit.name}" in LINKS][2:6]
    ups = [text for text in ups if case_of(text, MODEL)]
    wanted = [ups[n] for n in needed]
    order = [*wanted, *(text for text in ups if text not in wanted)]

    def broken(units: list[str], fresh: bool) -> bool:
        return [text for text in units if text in wanted] == wanted

    sweep, _ = scripted(broken)
    assert shortest(sweep, ",".join(order)) == ",".join(wanted)


def test_orders_come_from_their_seed() -> None:
    assert orders(MODEL, 5, seed=7) == orders(MODEL, 5, seed=7)
    assert orders(MODEL, 5, seed=7) != orders(MODEL, 5, seed=8)
    assert len(set(orders(MODEL, 5, seed=7))) == 5
    assert all(case.is_order and len(case.units) == 4 for case in orders(MODEL, 5, seed=7))


def test_a_worker_that_dies_leaves_its_case_undecided_and_another_takes_over(scripted: Scripted) -> None:
    sweep, _ = scripted(lambda units, fresh: False)
    dead: list[str] = []
    alive = ScriptedWorker.play

    async def die_once(self: ScriptedWorker, task: Task) -> Played:
        if task.case == LINKS[1] and not dead:
            dead.append(task.case)
            raise RuntimeFailure("a worker of the sweep ended without a word")
        return await alive(self, task)

    ScriptedWorker.play = die_once  # type: ignore[method-assign]
    try:

        async def work() -> list[Outcome]:
            await sweep.baseline()
            cases = [Case(case_of(text, MODEL).units) for text in LINKS]
            return [result.outcome for result in await sweep.play(cases, lambda _: None)]

        outcomes = asyncio.run(work())
    finally:
        ScriptedWorker.play = alive  # type: ignore[method-assign]
    assert outcomes[1] is Outcome.INCONCLUSIVE
    assert set(outcomes[:1] + outcomes[2:]) == {Outcome.PASS}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("link:ams-edge-1--fab-ams-1", 0),
        ("link:ams-edge-1--ams-edge-2", 9),
        ("session:fab-ams-1--contoso-1.v4", 0),
        ("router:ams-edge-1", 0),
    ],
)
def test_cases_that_wait_for_a_hold_time_are_known(text: str, seconds: int) -> None:
    """Loopback sessions and ports of a LAN see no carrier go; those cases begin first."""
    assert silence(MODEL, case_of(text, MODEL)) == seconds
