"""Graceful restart on live routers: ours forward on, forgetful ones fail; and by hand with the topology's own word."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from product import product

from peerlab.controller import daemon_restart, reconcile
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

FORGETFUL = ZygoteSpec(name="router", preload=("forgetful_router",), entry="forgetful_router:run_forked")
WHAT_IT_LOSES = (
    "has no R bit",
    "has no F bit",
    "went while exam-restart was restarting",
    "before the restart time of 2 s",
)


def restarted(name: str) -> Finding:
    """FLV-07 in a minimal lab in which nothing else has happened."""

    async def story() -> Finding:
        lab = await Lab.up(load(MINIMAL), MINIMAL.read_text(), name)
        try:
            rehearsal = Rehearsal.of(lab, lambda _: None)
            lab.record(PhaseStarted(at=now_ns(), phase=Phase.RESTART))
            await daemon_restart.restart_gracefully(rehearsal)
            (finding,) = judge_all(await gather_evidence(rehearsal), only=["FLV-07"])
            return finding
        finally:
            await lab.down()

    return asyncio.run(asyncio.wait_for(story(), WITHIN))


def test_our_router_restarts_gracefully(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))
    finding = restarted(f"restart-right-{os.getpid()}")
    assert finding.outcome is Outcome.PASS, (finding.summary, finding.missing)


def test_a_router_that_forgets_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests" / "live"))))
    monkeypatch.setattr(reconcile, "ROUTER_ZYGOTE", FORGETFUL)
    finding = restarted(f"restart-forgetful-{os.getpid()}")
    assert finding.outcome is Outcome.FAIL, (finding.summary, finding.missing)
    shown = [one.what for one in (finding.witness, *finding.exhibits) if one is not None]
    for what in WHAT_IT_LOSES:
        assert any(what in text for text in shown), (what, shown)


def test_a_topology_asks_for_it(tmp_path: Path) -> None:
    """A killed router's route stays at its neighbour where the session says so, and goes where it does not."""
    with product(tmp_path) as peerlab:
        lab = peerlab.name()
        topology = tmp_path / "two.yaml"
        topology.write_text(TWO)
        peerlab.ok("up", topology, "--name", lab)
        peerlab.ok("fault", "kill-router", "east-1", "--lab", lab)
        assert PREFIX in peerlab.ok("routes", "west-1", "--lab", lab)
        assert PREFIX not in peerlab.ok("routes", "south-1", "--lab", lab)
        peerlab.ok("fault", "restart-router", "east-1", "--lab", lab)
        assert PREFIX in peerlab.ok("routes", "west-1", "--lab", lab)


PREFIX = "198.18.32.0/24"
TWO = """
name: two
description: A customer of two providers, one of which waits for it.
ases:
  east: {asn: 64500, role: isp, providers: [west, south], prefixes: [198.18.32.0/24], routers: {east-1: }}
  west: {asn: 64501, role: transit, routers: {west-1: }}
  south: {asn: 64502, role: transit, routers: {south-1: }}
links:
  - between: [east-1, west-1]
    session: {graceful-restart: {time: 60}}
  - between: [east-1, south-1]
"""
