"""The state diagrams of ``docs/``, generated from the tables so that they cannot disagree with them."""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.peering.states import REMOVED, ReviewRow, Row

_START = "None"


def connection_diagram(rows: Iterable[Row]) -> str:
    """Mermaid ``stateDiagram-v2`` of a connection table; an edge reads ``trigger (actor) [stage]``."""
    lines = ["stateDiagram-v2"]
    for row in rows:
        before = "[*]" if row.before == _START else row.before
        after = "[*]" if row.after == REMOVED else row.after
        stage = f" [{row.stage.upper()}]" if row.stage is not None else ""
        lines.append(f"    {before} --> {after}: {row.trigger} ({row.actor}){stage}")
    return "\n".join(lines) + "\n"


def review_diagram(rows: Iterable[ReviewRow]) -> str:  # type: ignore[type-arg]
    """Mermaid ``stateDiagram-v2`` of a validation table; an edge reads ``trigger (actor)``."""
    lines = ["stateDiagram-v2"]
    for row in rows:
        before = "[*]" if row.before == _START else row.before
        lines.append(f"    {before} --> {row.after}: {row.trigger} ({row.actor})")
    return "\n".join(lines) + "\n"
