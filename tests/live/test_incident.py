"""Incidents in a running lab: the scene's checks fail when they must, and one command plays E9 and takes it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from product import ROOT, Product, product

from peerlab.bgp.policy import Policy, Statement, Verdict
from peerlab.controller import client_control, hijack, wiring
from peerlab.controller.incident import play_incident
from peerlab.controller.lab import Lab
from peerlab.controller.rehearsal import Rehearsal, gather_evidence, play
from peerlab.controller.storyline import SCENES
from peerlab.evidence.story import Phase
from peerlab.peering.incident import incident_of
from peerlab.topology.load import load
from peerlab.verify.catalogue import judge_all
from peerlab.verify.finding import Outcome

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("incident")]

ROUTE_SERVER = ROOT / "topologies" / "route-server.yaml"
TURN_UP = (Phase.REQUEST, Phase.DENY, Phase.VALIDATE, Phase.ALLOW, Phase.ROUTING)
CHECKS = ("POL-25", "SEC-03", "SEC-04")


@pytest.fixture(autouse=True)
def peerlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Product]:
    with product(tmp_path) as made:
        monkeypatch.setenv("PEERLAB_STATE", str(made.state))
        yield made


@asynccontextmanager
async def turned_up(name: str) -> AsyncIterator[Rehearsal]:
    lab = await Lab.up(load(ROUTE_SERVER), ROUTE_SERVER.read_text(), name)
    try:
        rehearsal = Rehearsal.of(lab, lambda _: None)
        await play(rehearsal, tuple(scene for scene in SCENES if scene.phase in TURN_UP))
        yield rehearsal
    finally:
        await lab.down()


async def scene(rehearsal: Rehearsal) -> dict[str, tuple[Outcome, str]]:
    await play(rehearsal, tuple(scene for scene in SCENES if scene.phase is Phase.INCIDENT))
    findings = judge_all(await gather_evidence(rehearsal), only=CHECKS)
    return {finding.check: (finding.outcome, finding.summary) for finding in findings}


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_the_scene_passes_and_the_next_incident_is_stopped_told_and_taken_back() -> None:
    async def story() -> None:
        async with turned_up("incident-good") as rehearsal:
            found = await scene(rehearsal)
            assert {outcome for outcome, _ in found.values()} == {Outcome.PASS}, found
            lab = rehearsal.lab
            played = await play_incident(rehearsal.desk, incident_of("E5"))
            assert {v.outcome for v in played.verdicts} == {Outcome.PASS}, played.verdicts
            for node in ("rs-1", "rs-2"):
                routes = await (await lab.router(node)).rib("loc-rib")
                left = [r.prefix for r in routes if r.attributes.path_text() == played.as_path]
                assert not set(left) & set(played.prefixes)

    run(story())


def test_every_check_of_the_scene_fails_when_its_guard_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No source guard, an edge that takes everything, a route server that heeds nobody: one FAIL each."""
    everything = Policy(name="everything", statements=(Statement(name="all", verdict=Verdict.ACCEPT),))

    def heedless(*_: object) -> Policy:
        return msgspec.structs.replace(everything, name="heedless")

    monkeypatch.setattr(wiring, "guarded_sources", lambda *_: None)
    monkeypatch.setattr(hijack, "import_policy", lambda *_: everything)
    monkeypatch.setattr(client_control, "route_server_export", heedless)

    async def story() -> None:
        async with turned_up("incident-bad") as rehearsal:
            found = await scene(rehearsal)
            assert {outcome for outcome, _ in found.values()} == {Outcome.FAIL}, found
            assert "got through" in found["SEC-03"][1]
            assert "accepted by the policy of a peering" in found["SEC-04"][1]
            assert "instead of none" in found["POL-25"][1]

    run(story())
