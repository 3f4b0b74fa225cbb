"""The state diagrams of ``docs/``, generated from the tables so that they cannot disagree with them."""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.peering.states import DIRECT, EXCHANGE, PEER_ASN, PREFIX, REMOVED, ReviewRow, Row, StateT

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


def review_diagram(rows: Iterable[ReviewRow[StateT]]) -> str:
    """Mermaid ``stateDiagram-v2`` of a validation table; an edge reads ``trigger (actor)``."""
    lines = ["stateDiagram-v2"]
    for row in rows:
        before = "[*]" if row.before == _START else row.before
        lines.append(f"    {before} --> {row.after}: {row.trigger} ({row.actor})")
    return "\n".join(lines) + "\n"


def states_page() -> str:
    """``docs/states.md``: every table of this package as a diagram. A test holds the file against this text."""
    parts = [
        "# States of Microsoft.Peering resources",
        "Generated from the tables in `src/peerlab/peering/states.py`; `make golden` writes it anew. An edge reads "
        "*trigger (actor) [policy stage]*: under DENY nothing passes a session, under ALLOW its policy decides.",
        *(
            f"## {title}\n\n```mermaid\n{diagram}```"
            for title, diagram in (
                ("Connection of a Direct peering", connection_diagram(DIRECT)),
                ("Connection of an Exchange peering", connection_diagram(EXCHANGE)),
                ("PeerAsn", review_diagram(PEER_ASN)),
                ("Registered prefix and Peering Service prefix", review_diagram(PREFIX)),
            )
        ),
    ]
    return "\n\n".join(parts) + "\n"
