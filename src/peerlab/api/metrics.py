"""Metrics of section 1.8 in Prometheus' text format, read from the routers at each scrape."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import APIRouter, Response

from peerlab.controller.office import Office
from peerlab.peering.enums import SessionState

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class SessionMetric(msgspec.Struct, frozen=True):
    """One session of a connection as its edge router counts it."""

    peering: str
    connection_id: str
    session_ip: str
    available: bool
    flaps: int


async def session_metrics(office: Office) -> list[SessionMetric]:
    """Every session on the edge; one that its router does not report is not available."""
    sessions = [(p, *found) for p in office.ledger.peerings.values() for found in office.sessions_of(p)]
    nodes = sorted({node for _, _, _, node in sessions})
    answers = await asyncio.gather(*(office.session_facts(node) for node in nodes))
    facts = {(fact.node, fact.session): fact for answer in answers for fact in answer}
    found = []
    for peering, connection, session, node in sessions:
        fact = facts.get((node, session))
        model = office.lab.model.session(session)
        found.append(
            SessionMetric(
                peering=peering.key,
                connection_id=connection.identifier,
                session_ip=model.other(node).address,
                available=fact is not None and fact.state == SessionState.ESTABLISHED,
                flaps=fact.flaps if fact is not None else 0,
            )
        )
    return found


def metrics(office: Office) -> APIRouter:
    """The scrape."""
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics")
    async def scrape() -> Response:
        return Response(prometheus(await session_metrics(office)), media_type=TEXT)

    return router


def prometheus(sessions: list[SessionMetric]) -> str:
    """The exposition. Labels are Azure Monitor's dimensions; values of the lab need no escaping but quotes."""
    lines = [
        "# HELP SessionAvailability 1 while the session is Established.",
        "# TYPE SessionAvailability gauge",
        *(f"SessionAvailability{_labels(s)} {int(s.available)}" for s in sessions),
        "# HELP FlapCounts_total Times the session went down since its router started.",
        "# TYPE FlapCounts_total counter",
        *(f"FlapCounts_total{_labels(s)} {s.flaps}" for s in sessions),
    ]
    return "\n".join(lines) + "\n"


def _labels(session: SessionMetric) -> str:
    named = (("Peering", session.peering), ("ConnectionId", session.connection_id), ("SessionIp", session.session_ip))
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in named) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
