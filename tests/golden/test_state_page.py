"""``docs/states.md`` is what the state tables say."""

from __future__ import annotations

from pathlib import Path

from golden_file import agree

from peerlab.peering.diagram import states_page


def test_the_page_is_generated_from_the_tables() -> None:
    agree(Path(__file__).parents[2] / "docs" / "states.md", states_page())
