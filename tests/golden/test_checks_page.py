"""``docs/checks.md`` says what the catalogue of checks says."""

from __future__ import annotations

from pathlib import Path

from golden_file import agree

from peerlab.report.catalogue import checks_markdown
from peerlab.verify.catalogue import CATALOGUE


def test_the_page_is_generated_from_the_catalogue() -> None:
    agree(Path(__file__).parents[2] / "docs" / "checks.md", checks_markdown(CATALOGUE))
