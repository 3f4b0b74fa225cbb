"""The pytest plugin over real labs: the example project as it ships, and what a failure and --peerlab-keep leave."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live.product import ROOT, Product
from live.product import product as product_at

EXAMPLE = ROOT / "examples" / "ci"
WITHIN = 240.0
"""Seconds in which the example's rehearsal and tests end on a busy machine."""

SUITE = """
import pytest
from peerlab.verify.temporal import always, never, route

CUSTOMER = "198.18.33.0/24"

@pytest.mark.peerlab("edge.yaml", scope="session", state="open")
@pytest.mark.peerlab_check("RTG-10")
def test_passes(peerlab_lab):
    assert peerlab_lab.best("ams-edge-1", CUSTOMER)

@pytest.mark.peerlab("edge.yaml", scope="session", state="open")
def test_nearly(peerlab_lab):
    peerlab_lab.expect(always(route(prefix=CUSTOMER, as_path="64500 64502").sent_to("ams-edge-1"), from_first=True))
"""


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    with product_at(tmp_path) as made:
        yield made


def run(product: Product, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As in a project that has peerlab installed: the plugin by name, since this checkout may not be installed."""
    environment = {**product.surroundings(), "PYTEST_PLUGINS": "peerlab.pytest_plugin", "PEERLAB_REQUIRE": "1"}
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=WITHIN, check=False
    )


@pytest.mark.live
def test_the_example_project_rehearses_and_tests_in_one_command(product: Product, tmp_path: Path) -> None:
    project = shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("out", "__pycache__", ".*"))
    peerlab = f"{sys.executable} -m peerlab.cli.main"
    done = run(product, "make", "rehearse", "test", f"PEERLAB={peerlab}", f"PYTHON={sys.executable}", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b7 passed", done.stdout), done.stdout
    written = {path.name for path in (project / "out").iterdir()}
    assert written == {"rehearsal.xml", "rehearsal.md", "tests.xml"}


@pytest.mark.live
def test_a_failure_shows_near_misses_and_a_kept_lab_can_be_looked_at(product: Product, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE / "topologies", project / "topologies")
    (project / "test_it.py").write_text(SUITE)
    base = tmp_path / "base"
    done = run(
        product, sys.executable, "-m", "pytest", "--peerlab-keep", "--basetemp", str(base), "-p", "no:cacheprovider",
        cwd=project,
    )  # fmt: skip
    try:
        assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
        near = "198.18.33.0/24 path 64500 64501; as_path: wanted 64500 64502, is 64500 64501"
        assert f"sent by our-ams-1 to ams-edge-1: {near}" in done.stdout
        assert "our-ams-1 > ams-edge-1 announces 198.18.33.0/24 path 64500 64501" in done.stdout
        (evidence,) = re.findall(r"evidence: (\S+/edge-\S+)$", done.stdout, re.MULTILINE)[:1]
        assert (Path(evidence) / "trace.pcapng").exists()
        name, state = Path(evidence).name, str(Path(evidence).parent)
        assert f"PEERLAB_STATE={state} peerlab sessions {name}" in done.stdout
        product.environment["PEERLAB_STATE"] = state
        assert "Established" in product.ok("sessions", name)
    finally:
        if base.exists():
            for kept in base.glob("peerlab*"):
                product.environment["PEERLAB_STATE"] = str(kept)
                product.run("down", "--all")


def test_the_example_needs_nothing_that_is_not_in_it() -> None:
    """Its workflow and its job run what its Makefile has, and its tests name what its topology has."""
    make = (EXAMPLE / "Makefile").read_text()
    assert "all: rehearse test sweep" in make
    for file in (".github/workflows/peering.yml", ".gitlab-ci.yml"):
        text = (EXAMPLE / file).read_text()
        assert re.search(r"(run:|-) make$", text, re.MULTILINE), file
    assert os.access(EXAMPLE / "topologies" / "edge.yaml", os.R_OK)
