"""Clients command a route server: not to one, only to one, prepended; and a path that hides another (POL-25).

Examiners are wired to a route server as clients: two that announce, one with a 2-octet AS number and one with a
4-octet one that are told. Every announcement asks the server to keep it from the lab's own clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from peerlab.bgp.attributes import Family, Prefix
from peerlab.controller.exam import ACCEPT_ALL, Exam
from peerlab.controller.examiner import Post, free_asns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.story_incident import Control, IncidentStimulus
from peerlab.topology.model import LabModel, Node
from peerlab.topology.relation import Neighbour, route_server_export, route_server_import

FIRST, SECOND, NEAR, FAR = "client-first", "client-second", "client-near", "client-far"
"""Two that announce, the first one's route being the better; a client with a 2-octet AS number, one with 4 octets."""
CASES = (FIRST, SECOND, NEAR, FAR)
ANNOUNCER, RIVAL, CLIENT = "exam-s", "exam-t", "exam-u"


@dataclass(frozen=True)
class Saying:
    """One route of the first announcer; ``also`` is what the second one announces beside it, behind its own AS."""

    case: Control
    communities: tuple[str, ...]
    near: str
    far: str
    also: tuple[int, ...] = ()

    def expected(self, client: str) -> str:
        """The path that a client is to be told, '' for nothing."""
        return self.near if client == NEAR else self.far


def server_of(model: LabModel) -> Node | None:
    """The route server that is examined: the first one of the lab."""
    return next((node for node in model.nodes if node.route_server), None)


def posts(model: LabModel, server: Node) -> list[Post]:
    """The clients' wires to the server, each client with an AS of its own."""
    unused = list(free_asns(model))
    narrow = [asn for asn in unused if asn <= 0xFFFF]
    wide = [asn for asn in unused if asn > 0xFFFF]
    return [
        Post(case=FIRST, examiner=ANNOUNCER, at=server.name, asn=narrow[-1]),
        Post(case=SECOND, examiner=RIVAL, at=server.name, asn=narrow[-2]),
        Post(case=NEAR, examiner=CLIENT, at=server.name, asn=narrow[-3]),
        Post(case=FAR, examiner=CLIENT, at=server.name, asn=wide[-1]),
    ]


def want(exam: Exam, model: LabModel, server: Node) -> None:
    """Want the clients' sessions under the policies that the server's own clients have."""
    local = Neighbour(name=server.as_name or "", asn=server.asn or 0, prefixes=())
    for case in CASES:
        exam.want(
            case,
            at={"route_server_client": True},
            peer={"enforce_first_as": False},
            takes=route_server_import(local),
            tells=route_server_export(local, exam[case].asn),
            peer_takes=ACCEPT_ALL,
        )


def sayings(server: int, first: int, second: int, near: int, far: int) -> Iterator[Saying]:
    """Every case by AS numbers; ``near`` is one of 2 octets, ``far`` one of 4."""
    path = str(first)
    yield Saying(Control.PLAIN, (), path, path)
    yield Saying(Control.NOT_TO, (f"{server}:0:{near}",), "", path)
    yield Saying(Control.NOT_TO, (f"{server}:0:{far}",), path, "")
    yield Saying(Control.NOT_TO, (f"0:{near}",), "", path)
    yield Saying(Control.ONLY_TO, (f"{server}:0:0", f"{server}:1:{far}"), "", path)
    yield Saying(Control.ONLY_TO, (f"{server}:0:0", f"{server}:1:{near}"), path, "")
    yield Saying(Control.TO_NOBODY, (f"{server}:0:0",), "", "")
    yield Saying(Control.PREPEND, (f"{server}:102:{far}",), path, f"{first} {first} {first}")
    yield Saying(Control.PREPEND, (f"{server}:101:{near}",), f"{first} {first}", path)
    for withheld, paths in ((near, (f"{second} {second}", path)), (far, (path, f"{second} {second}"))):
        yield Saying(Control.HIDDEN, (f"{server}:0:{withheld}",), *paths, also=(second,))


async def command(exam: Exam, rehearsal: Rehearsal, server: Node) -> None:
    """Announce every case of both families, and see what either client is told."""
    await asyncio.gather(*(exam.is_up(exam[case], family) for case in CASES for family in Family))
    asns = [exam[case].asn for case in CASES]
    own = _own_clients(rehearsal.model, server)
    programme = [
        (family, number, saying)
        for family in Family
        for number, saying in enumerate(sayings(server.asn or 0, *asns))
    ]
    for family, number, saying in programme:
        await _announce(exam, server, family, number, saying, own)
    await rehearsal.lab.wait_quiet((server.name, ANNOUNCER, RIVAL, CLIENT))
    for family, number, saying in programme:
        await _observe(exam, family, number, saying)


def _own_clients(model: LabModel, server: Node) -> tuple[str, ...]:
    """What keeps a route from every client that the server has in the topology."""
    others = {session.other(server.name).asn for session in model.sessions_of(server.name)} - {server.asn}
    return tuple(f"{server.asn}:0:{asn}" for asn in sorted(others))


def _prefix(exam: Exam, family: Family, number: int) -> Prefix:
    return exam.prefix(family, f"client control {number}")


async def _announce(
    exam: Exam, server: Node, family: Family, number: int, saying: Saying, own: tuple[str, ...]
) -> None:
    prefix, examiner = _prefix(exam, family, number), exam[FIRST]
    for client in (NEAR, FAR):
        exam.applied(
            IncidentStimulus.CLIENT_CONTROL,
            examiner.node,
            examiner.sessions[family],
            trial=_trial(client, number),
            case=saying.case,
            prefix=prefix,
            as_path=str(examiner.asn),
            communities=list(saying.communities),
            server=server.name,
            client=exam[client].sessions[family],
            client_as=exam[client].asn,
            expected=saying.expected(client),
        )
    if saying.also:
        await _tell(exam, family, SECOND, prefix, saying.also, own)
    await _tell(exam, family, FIRST, prefix, (), (*saying.communities, *own))


async def _tell(
    exam: Exam, family: Family, case: str, prefix: Prefix, path: tuple[int, ...], asked: tuple[str, ...]
) -> None:
    await exam.announce(
        exam[case],
        family,
        (prefix,),
        path,
        communities=tuple(sorted(one for one in asked if one.count(":") == 1)),
        large_communities=tuple(sorted(one for one in asked if one.count(":") == 2)),
    )


async def _observe(exam: Exam, family: Family, number: int, saying: Saying) -> None:
    prefix, router = _prefix(exam, family, number), await exam.router(CLIENT)
    for client in (NEAR, FAR):
        held = await router.rib("adj-rib-in-pre", exam[client].sessions[family], prefix)
        told = next((route.attributes for route in held), None)
        exam.observed(
            IncidentStimulus.CLIENT_CONTROL,
            exam[FIRST].node,
            exam[FIRST].sessions[family],
            trial=_trial(client, number),
            prefix=prefix,
            told="" if told is None else told.path_text(),
            communities=[] if told is None else [*told.communities, *told.large_communities],
        )


def _trial(client: str, number: int) -> str:
    return f"{client} {number}"
