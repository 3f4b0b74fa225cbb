"""First pass: everything that can be wrong with what a document means."""

from __future__ import annotations

from peerlab.topology.census import Census
from peerlab.topology.mistake import Mistakes


def check(census: Census, mistakes: Mistakes) -> None:
    """Note every mistake."""


def warnings(census: Census) -> tuple[str, ...]:
    """What is allowed but unwise."""
    return ()
