"""A row of the tables: how a check is seen passing, failing and without evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verify_scenario import Scenario

Change = Callable[[Scenario], object]


def nothing(_: Scenario) -> None:
    """The plain story as it is."""


@dataclass(frozen=True)
class Row:
    """``given`` completes the plain story so that the check passes. Each of ``breaks`` changes one fact and must turn
    it into a FAIL, each of ``lacks`` takes evidence away and must turn it into INCONCLUSIVE."""

    check: str
    given: Change
    breaks: dict[str, Change]
    lacks: dict[str, Change]
