"""Goldens: text kept beside the test, rewritten on request so that a review sees the difference."""

from __future__ import annotations

import os
from pathlib import Path


def agree(golden: Path, text: str) -> None:
    """Assert that the text is the golden's; with PEERLAB_GOLDEN=rewrite make it so."""
    if os.environ.get("PEERLAB_GOLDEN") == "rewrite":
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert golden.exists(), f"{golden.name} does not exist; `make golden` writes it"
    assert text == golden.read_text()
