"""Sessions in the HTML report: the state of each at every moment of which there is a snapshot, and the picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.report.graph import svg
from peerlab.report.layout import layout
from peerlab.topology.model import LabModel, Session
from peerlab.verify.evidence import Evidence
from peerlab.verify.subject import connection_sessions

ESTABLISHED = "Established"
LETTERS = {"up": "u", "partial": "p", "down": "d", "absent": "a"}
WORDS = {
    "up": "Established at both ends",
    "partial": "Established at one end only",
    "down": "configured, not Established",
    "absent": "not configured",
}
SIGNS = {"up": "●", "partial": "◐", "down": "○", "absent": "·"}


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session's states, one per moment, in the order of the moments."""

    session: str
    ends: str
    states: tuple[str, ...]


class SessionGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions under one heading."""

    title: str
    rows: tuple[SessionRow, ...]


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    """What the template shows. ``codes`` has a string per moment with a letter per session, in the order of ``ids``,
    ``natural`` is the picture's width at its own size."""

    moments: tuple[str, ...]
    chosen: str
    picture: str
    natural: float
    groups: tuple[SessionGroup, ...]
    ids: tuple[str, ...]
    codes: dict[str, str]


def sessions_of(evidence: Evidence) -> Sessions:
    """Every session of the topology at every moment. The picture shows the moment when all is open, if it was seen."""
    model = evidence.model
    by_moment = {label: states_at(model, snapshot) for label, snapshot in evidence.snapshots.items()}
    moments = tuple(by_moment)
    chosen = Moment.ALLOWED.value if Moment.ALLOWED in by_moment else (moments[-1] if moments else "")
    ids = tuple(session.id for session in model.sessions)
    asked = connection_sessions(model)
    others = [s for s in model.sessions if s not in asked and not s.is_internal]
    groups = (
        ("Microsoft.Peering connections", asked),
        ("Other eBGP sessions", others),
        ("iBGP", [s for s in model.sessions if s.is_internal]),
    )
    return Sessions(
        moments=moments,
        chosen=chosen,
        picture=svg(model, by_moment.get(chosen, {})),
        natural=round(layout(model).width),
        groups=tuple(
            SessionGroup(title=title, rows=tuple(_rows(members, by_moment))) for title, members in groups if members
        ),
        ids=ids,
        codes={label: "".join(LETTERS[states[one]] for one in ids) for label, states in by_moment.items()},
    )


def states_at(model: LabModel, snapshot: Snapshot) -> dict[str, str]:
    """The state of every session of the model at a snapshot, both ends taken together."""
    seen: dict[str, list[str]] = {}
    for node in snapshot.nodes.values():
        for fact in node.sessions:
            seen.setdefault(fact.session, []).append(fact.state)
    return {session.id: _state(seen.get(session.id, [])) for session in model.sessions}


def _state(ends: list[str]) -> str:
    if not ends:
        return "absent"
    up = ends.count(ESTABLISHED)
    return "up" if up == 2 else "partial" if up else "down"


def _rows(sessions: Iterable[Session], by_moment: Mapping[str, Mapping[str, str]]) -> list[SessionRow]:
    return [
        SessionRow(
            session=session.id,
            ends=f"AS{session.left.asn} to AS{session.right.asn}, {session.family.value}",
            states=tuple(states[session.id] for states in by_moment.values()),
        )
        for session in sessions
    ]
