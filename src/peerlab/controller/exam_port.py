"""Who may open TCP/179: a stranger tries every address of the edges, and a configured neighbour shows that one can."""

from __future__ import annotations

import asyncio
from ipaddress import ip_interface

from peerlab.bgp.attributes import Family
from peerlab.controller.exam import ANSWERED_WITHIN, Exam, host
from peerlab.controller.examiner import Examiner
from peerlab.evidence.story import Stimulus
from peerlab.runtime.base import RouteSpec
from peerlab.topology.model import Node

TCP_CONNECT = "peerlab.runtime.transport:tcp_connect"
BGP_PORT = 179
TRIED_FOR = 1.0
"""Seconds after which a connection without an answer counts as filtered."""
NEIGHBOUR, STRANGER = "neighbour", "stranger"
ANSWERS = {"open": "open", "refused": "closed", "reset": "closed", "timed-out": "filtered", "unreachable": "filtered"}


def stranger_at(edge: str) -> str:
    """The case of the stranger that is wired to this router."""
    return f"{STRANGER}-{edge}"


def prepare(exam: Exam) -> None:
    """Want the neighbour's session, whose examined end listens; the strangers have none."""
    exam.want(NEIGHBOUR, at={"passive": True}, peer={"passive": False})


async def scan(exam: Exam, edges: list[str]) -> None:
    """Try every address of every edge from a stranger on a wire of its own (SEC-01)."""
    neighbour = exam[NEIGHBOUR]
    await asyncio.gather(*(exam.is_up(neighbour, family) for family in Family))
    opened = await asyncio.gather(
        *(_try(exam, neighbour.node, neighbour.far_addresses[f], neighbour.addresses[f]) for f in Family)
    )
    control = all(answer == "open" for answer in opened)
    await asyncio.gather(*(_scan_one(exam, exam[stranger_at(edge)], control) for edge in edges))


async def _scan_one(exam: Exam, stranger: Examiner, control: bool) -> None:
    lab = exam.rehearsal.lab
    own = set(stranger.far_addresses.values())
    addresses = _addresses(exam.rehearsal.model.node(stranger.at))
    routes = [
        RouteSpec(
            node=stranger.node,
            destination=host(address),
            via=stranger.far_addresses[Family.IPV6 if ":" in address else Family.IPV4],
        )
        for address in addresses
    ]
    await lab.runtime.set_routes(add=routes)
    targets = sorted({*addresses, *own})
    exam.applied(Stimulus.PORT_SCAN, stranger.node, "", edge=stranger.at, targets=targets, trial=stranger.at)
    sources = stranger.addresses
    found = await asyncio.gather(
        *(
            _try(exam, stranger.node, address, sources[Family.IPV6 if ":" in address else Family.IPV4])
            for address in targets
        )
    )
    await lab.runtime.set_routes(remove=routes)
    exam.observed(
        Stimulus.PORT_SCAN,
        stranger.node,
        "",
        trial=stranger.at,
        answers=dict(zip(targets, found, strict=True)),
        configured_open=control,
    )


async def _try(exam: Exam, node: str, address: str, source: str) -> str:
    arguments = {"destination": address, "port": BGP_PORT, "wait": TRIED_FOR, "source": source}
    task = await exam.rehearsal.lab.runtime.task(node, TCP_CONNECT, arguments)
    outcome = str((await asyncio.wait_for(task.result(), ANSWERED_WITHIN))["outcome"])
    return ANSWERS.get(outcome, outcome)


def _addresses(node: Node) -> list[str]:
    """Every address of a node that its neighbours or its own AS know."""
    held = [text for interface in node.interfaces for text in (interface.v4, interface.v6) if text]
    loopbacks = [address for address in (node.loopback_v4, node.loopback_v6) if address]
    return [*(str(ip_interface(text).ip) for text in held), *loopbacks]
