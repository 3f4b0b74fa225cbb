"""The hostile scene on live routers: ours comes through, one that is careless fails each check that is about it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from product import product, read_json

from peerlab.controller import hostile, reconcile
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.rehearsal import Rehearsal, gather_evidence
from peerlab.evidence.events import PhaseStarted
from peerlab.evidence.story import Phase
from peerlab.runtime.base import ZygoteSpec
from peerlab.topology.load import load
from peerlab.verify.catalogue import judge_all
from peerlab.verify.finding import Finding, Outcome

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
MINIMAL = ROOT / "topologies" / "minimal.yaml"
WITHIN = 120.0
"""Seconds in which lab, scene and judgement are over on a busy machine."""

CARELESS = ZygoteSpec(name="router", preload=("careless_router",), entry="careless_router:run_forked")
WHAT_IT_DOES = {
    "SES-04": "identifier-0",
    "SES-07": "the connection of ams-edge-1 stays",
    "SES-13": "answered with NOTIFICATION 3/1",
    "SES-14": "was not answered with a NOTIFICATION 3/x",
    "SES-17": "still up",
    "SEC-08": "1/133",
}
"""Checks that the careless router fails, and what their finding shows."""


def attacked(name: str) -> dict[str, Finding]:
    """Findings of a minimal lab whose edge was attacked; nothing else has happened in it."""

    async def story() -> dict[str, Finding]:
        lab = await Lab.up(load(MINIMAL), MINIMAL.read_text(), name)
        try:
            rehearsal = Rehearsal.of(lab, lambda _: None)
            lab.record(PhaseStarted(at=now_ns(), phase=Phase.HOSTILE))
            await hostile.attack(rehearsal)
            return {finding.check: finding for finding in judge_all(await gather_evidence(rehearsal))}
        finally:
            await lab.down()

    return asyncio.run(asyncio.wait_for(story(), WITHIN))


def test_our_router_comes_through_every_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))
    found = attacked(f"hostile-right-{os.getpid()}")
    checks = ("SES-04", "SES-07", "SES-13", "SES-14", "SES-17", "SEC-02", "SEC-07")
    assert {check: found[check].outcome for check in checks} == dict.fromkeys(checks, Outcome.PASS), [
        found[check].summary for check in checks
    ]


def test_a_careless_router_fails_every_check_that_is_about_its_carelessness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests" / "live"))))
    monkeypatch.setattr(reconcile, "ROUTER_ZYGOTE", CARELESS)
    found = attacked(f"hostile-careless-{os.getpid()}")
    outcomes = {check: found[check].outcome for check in WHAT_IT_DOES}
    assert outcomes == dict.fromkeys(WHAT_IT_DOES, Outcome.FAIL), [found[c].summary for c in WHAT_IT_DOES]
    for check, what in WHAT_IT_DOES.items():
        shown = (found[check].witness, *found[check].exhibits)
        assert any(what in f"{one.where} {one.what}" for one in shown if one is not None), (check, found[check].summary)


def test_the_command_tells_what_a_router_makes_of_the_cases(tmp_path: Path) -> None:
    with product(tmp_path) as peerlab:
        lab = peerlab.name()
        peerlab.ok("up", MINIMAL, "--name", lab)
        chosen = ("--case", "identifier-0", "--case", "origin-value-3", "--case", "nlri-overrun")
        told = peerlab.ok("hostile", "fab-ams-1", "--lab", lab, *chosen)
        assert "fab-ams-1: 6 as prescribed, 0 otherwise, 0 unclear" in told
        seen = read_json(peerlab.ok("hostile", "fab-ams-1", "--lab", lab, "--case", "aggregator-len-5", "--json"))
        assert [(row["family"], row["expected"], row["seen"]) for row in seen] == [
            ("ipv4", "discard", "discard"),
            ("ipv6", "discard", "discard"),
        ]
        for wrong, said in (
            (("hostile", "fab-ams-2", "--lab", lab), "fab-ams-1"),
            (("hostile", "fab-pc", "--lab", lab), "fab-pc"),
            (("hostile", "fab-ams-1", "--lab", lab, "--case", "origin-valeu-3"), "origin-value-3"),
            (("hostile",), "--list"),
        ):
            refused = peerlab.run(*wrong)
            assert refused.returncode == 3 and said in refused.stderr, refused.stderr
        assert "attacker" not in peerlab.ok("inspect", lab)
