"""docs/checks.md says what the code says. ``make golden`` rewrites it."""

from __future__ import annotations

import os
from pathlib import Path

from peerlab.report.catalogue import checks_markdown
from peerlab.verify.catalogue import CATALOGUE

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"


def test_the_page_of_checks_is_what_the_catalogue_says() -> None:
    wanted = checks_markdown(CATALOGUE)
    if os.environ.get("PEERLAB_GOLDEN") == "rewrite":
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "run `make golden` and look at the difference"
