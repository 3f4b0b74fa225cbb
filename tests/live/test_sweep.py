"""Sweeps of real labs: a clean one passes, a planted black hole is found and cut down, a wedgie's history shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from live.product import ROOT, Product
from live.product import product as product_at

from peerlab.controller.sweep_cell import SweepCell
from peerlab.evidence.store import LabStore
from peerlab.topology.load import load
from peerlab.verify.finding import Outcome
from peerlab.verify.outage import case_of

PLANTED = Path(__file__).with_name("planted")
OWN = ("SWP-01", "SWP-02", "SWP-03", "SWP-04", "SWP-05", "SWP-06")
WITHIN = 240.0
"""Seconds in which a sweep of a small lab ends on a busy machine."""


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    with product_at(tmp_path) as made:
        yield made


@pytest.mark.live
def test_a_clean_small_lab_passes_every_single_failure_and_order(product: Product, tmp_path: Path) -> None:
    file = tmp_path / "sweep.json"
    done = product.run(
        "sweep", ROOT / "topologies" / "minimal.yaml", "--orders", "1", "--pairs", "--json", file, within=WITHIN
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(file.read_text())["scenarios"]
    singles = [case for case in told if "," not in case["case"]]
    assert len(told) == len(singles) + 28, "eight things can be lost, in 28 pairs; one link comes up in one order"
    assert {case["outcome"] for case in told} == {"pass"}
    for case in told:
        judged = {finding["check"]: finding["outcome"] for finding in case["findings"]}
        assert {judged[check] for check in OWN} <= {"pass", "not-applicable"}
        assert judged["SWP-06"] == "pass"
    assert list(product.state.iterdir()) == [], "a lab left its directory behind"


@pytest.mark.live
def test_a_planted_black_hole_is_found_cut_down_and_played_again(product: Product) -> None:
    """Three faults at once, of which one is enough: the policy at the other connection leaves the customer out."""
    topology = PLANTED / "black-hole.yaml"
    done = product.run(
        "sweep",
        topology,
        "--replay",
        "session:fab-ams-2--contoso-1.v6,link:ams-edge-1--fab-ams-1,session:ams-edge-1--ams-edge-2.v6",
        within=WITHIN,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "SWP-03 No black hole: svc-ams > contoso-pc ipv4: no route at ams-edge-2" in done.stdout
    assert f"sweep {topology} --replay 'link:ams-edge-1--fab-ams-1'\n" in done.stdout
    again = product.run("sweep", topology, "--replay", "link:ams-edge-1--fab-ams-1", within=WITHIN)
    assert again.returncode == 1, again.stdout + again.stderr


@pytest.mark.live
def test_what_the_lab_does_not_have_is_bad_input(product: Product) -> None:
    done = product.run("sweep", ROOT / "topologies" / "minimal.yaml", "--replay", "router:nobody")
    assert done.returncode == 3
    assert "fab-ams-1" in done.stderr
    assert not product.state.exists(), "nothing is built before the words are understood"


@pytest.mark.live
def test_the_order_of_a_wedgie_decides_and_the_cell_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 4264: of these two orders one ends in the other stable state, whichever the lab was built in."""
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))
    topology = PLANTED / "wedgie.yaml"
    model = load(topology)
    links = ("adatum-1--litware-1", "woodgrove-1--adatum-1", "woodgrove-1--proseware-1", "proseware-1--litware-1")
    backup_first = ",".join(f"up:{link}" for link in links)
    backup_last = ",".join(f"up:{link}" for link in reversed(links))

    async def play() -> list[tuple[Outcome, bool]]:
        found = []
        cell = await SweepCell.build(model, topology.read_text(), f"wedgie-{id(tmp_path) % 10**9}")
        try:
            for text in (backup_first, backup_last):
                findings = await cell.play(case_of(text, model))
                found.append((next(f.outcome for f in findings if f.check == "SWP-06"), cell.is_sound))
        finally:
            await cell.end()
        return found

    found = asyncio.run(play())
    assert sorted(found) == [(Outcome.FAIL, False), (Outcome.PASS, True)]
    assert LabStore.names() == ()
