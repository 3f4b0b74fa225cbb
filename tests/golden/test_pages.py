"""The generated pages of ``docs/`` are what the code says, and the written ones name all that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from golden_file import agree
from test_checks import ROWS

from peerlab.cli.main import cli
from peerlab.cli.page import cli_page
from peerlab.cli.story_page import STIMULI, rehearsal_page
from peerlab.controller.storyline import SCENES
from peerlab.evidence.story import Moment
from peerlab.report.check_page import checks_page
from peerlab.report.incident_page import incident_page
from peerlab.topology.load import load_text
from peerlab.verify.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def test_the_command_page_is_generated_from_the_commands() -> None:
    agree(DOCS / "cli.md", cli_page())


def test_the_page_of_the_checks_is_generated_from_the_catalogue_and_the_mutations_of_its_tests() -> None:
    agree(DOCS / "checks.md", checks_page(CATALOGUE, {row.check: tuple(row.breaks) for row in ROWS}))


def test_the_page_of_incidents_is_generated_from_their_table() -> None:
    agree(DOCS / "incidents.md", incident_page())


def test_the_rehearsal_page_is_generated_from_the_story() -> None:
    agree(DOCS / "rehearsal.md", rehearsal_page())


def test_the_rehearsal_page_names_every_phase_in_order_and_every_moment_and_stimulus() -> None:
    page = rehearsal_page()
    phases = re.findall(r"^\| `([a-z-]+)` \|", page.partition("## Moments")[0], re.MULTILINE)
    assert phases == [scene.phase.value for scene in SCENES] + ["verdict"]
    assert [moment.value for moment in Moment if f"`{moment}`" not in page] == []
    assert [stimulus.value for words in STIMULI for stimulus in words if f"`{stimulus}`" not in page] == []


def test_the_readme_lists_every_command() -> None:
    assert [name for name in cli.commands if f"`{name}" not in README] == []


def test_the_topology_of_the_readme_is_a_lab_of_twenty_lines() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert len(block.splitlines()) <= 21
    model = load_text(block, "README.md")
    assert len(model.sessions) == 2 and len(model.peerings) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_decisions_are_numbered_without_a_gap_and_have_the_same_shape() -> None:
    decisions = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in decisions] == list(range(1, len(decisions) + 1))
    for page in decisions:
        headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], page.name
