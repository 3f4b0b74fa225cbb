"""Examiners: extra routers wired to an edge for the tests that would break a real session.

A wrong AS, a wrong key, a peer that falls silent: such stimuli must not touch the connection that is being turned
up. Each case gets its own router, wire and sessions, added to the model, so that the ordinary plan builds them and
takes them away again. Their sessions carry ``connection = "examiner/CASE"`` and exist only while an intent says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_interface

import msgspec

from peerlab.bgp.attributes import Address, Family
from peerlab.topology.model import (
    AsRole,
    AutonomousSystem,
    Interface,
    LabModel,
    Link,
    LinkEnd,
    LinkPurpose,
    Node,
    NodeKind,
    Relation,
    Session,
    SessionEnd,
)

EXAMINER_AS = "examiner"
POOL_V4 = IPv4Network("198.19.254.0/23")
POOL_V6 = IPv6Network("2001:db8:ffff:fe00::/56")
DOCUMENTATION_ASNS = (*range(64511, 64495, -1), *range(65551, 65535, -1))
"""RFC 5398, last first: topologies tend to use the first ones."""

EXAM_HOLD_TIME = 3
"""Seconds: the least that RFC 4271 allows, so that a silent peer is noticed soon."""


class Examiner(msgspec.Struct, frozen=True, kw_only=True):
    """One case's router: its node, the edge it is wired to, the wire, and its session per family."""

    case: str
    node: str
    edge: str
    link: str
    sessions: dict[Family, str]


def free_asn(model: LabModel) -> int:
    """A documentation AS number (RFC 5398) that the lab does not use."""
    used = {known.asn for known in model.ases}
    return next(asn for asn in DOCUMENTATION_ASNS if asn not in used)


def _free_pairs(model: LabModel) -> Iterator[tuple[IPv4Network, IPv6Network]]:
    taken = [
        ip_interface(address).network
        for node in model.nodes
        for interface in node.interfaces
        for address in (interface.v4, interface.v6)
        if address
    ]

    def is_free(network: IPv4Network | IPv6Network) -> bool:
        return not any(network.version == other.version and network.overlaps(other) for other in taken)

    v4 = (network for network in POOL_V4.subnets(new_prefix=31) if is_free(network))
    v6 = (network for network in POOL_V6.subnets(new_prefix=127) if is_free(network))
    return zip(v4, v6, strict=False)


def add_examiners(model: LabModel, edge: str, cases: Sequence[str]) -> tuple[LabModel, dict[str, Examiner]]:
    """The model with one examiner per case wired to ``edge``, and the examiners by case.

    The edge is the active end, so that a refused or silent peer is met by the edge's own attempts. Addresses come
    from the benchmarking range (RFC 2544) and the documentation prefix (RFC 3849).
    """
    if not cases:
        return model, {}
    asn = free_asn(model)
    edge_node = model.node(edge)
    if edge_node.asn is None:
        raise KeyError(f"{edge} belongs to no AS")
    nodes = {node.name: node for node in model.nodes}
    links = list(model.links)
    sessions = list(model.sessions)
    examiners: dict[str, Examiner] = {}
    for (number, case), (v4, v6) in zip(enumerate(cases), _free_pairs(model), strict=False):
        name = f"exam-{case}"
        link = Link(
            id=f"{name}--{edge}",
            ends=(LinkEnd(name, "e0"), LinkEnd(edge, f"x{number}")),
            purpose=LinkPurpose.INTERCONNECT,
        )
        links.append(link)
        nodes[name] = Node(
            name=name,
            kind=NodeKind.EXABGP,
            as_name=EXAMINER_AS,
            asn=asn,
            router_id=Address(str(v4[0])),
            interfaces=(_interface("e0", link.id, number, 0, v4, v6),),
        )
        nodes[edge] = msgspec.structs.replace(
            nodes[edge],
            interfaces=(*nodes[edge].interfaces, _interface(f"x{number}", link.id, number, 1, v4, v6)),
        )
        ids: dict[Family, str] = {}
        for family, network in ((Family.IPV4, v4), (Family.IPV6, v6)):
            session = _session(f"{name}--{edge}-{family.value}", family, name, asn, edge_node, number, network, case)
            ids[family] = session.id
            sessions.append(session)
        examiners[case] = Examiner(case=case, node=name, edge=edge, link=link.id, sessions=ids)
    examiner_as = AutonomousSystem(name=EXAMINER_AS, asn=asn, role=AsRole.OBSERVER)
    extended = msgspec.structs.replace(
        model,
        ases=(*model.ases, examiner_as),
        nodes=tuple(nodes.values()),
        links=tuple(links),
        sessions=tuple(sessions),
    )
    return extended, examiners


def remove_examiners(model: LabModel) -> LabModel:
    """The model as it was before ``add_examiners``."""
    gone = {node.name for node in model.nodes if node.as_name == EXAMINER_AS}
    links = tuple(link for link in model.links if not {end.node for end in link.ends} & gone)
    kept = {link.id for link in links}
    return msgspec.structs.replace(
        model,
        ases=tuple(known for known in model.ases if known.name != EXAMINER_AS),
        nodes=tuple(
            msgspec.structs.replace(node, interfaces=_kept_interfaces(node.interfaces, kept))
            for node in model.nodes
            if node.name not in gone
        ),
        links=links,
        sessions=tuple(s for s in model.sessions if not {s.left.node, s.right.node} & gone),
    )


def _kept_interfaces(interfaces: Iterable[Interface], links: set[str]) -> tuple[Interface, ...]:
    return tuple(interface for interface in interfaces if interface.link in links)


def _interface(name: str, link: str, number: int, side: int, v4: IPv4Network, v6: IPv6Network) -> Interface:
    return Interface(
        name=name,
        link=link,
        mac=f"02:ee:{number >> 8:02x}:{number & 0xFF:02x}:00:{side:02x}",
        v4=f"{v4[side]}/31",
        v6=f"{v6[side]}/127",
    )


def _session(
    session_id: str,
    family: Family,
    name: str,
    asn: int,
    edge: Node,
    number: int,
    network: IPv4Network | IPv6Network,
    case: str,
) -> Session:
    assert edge.asn is not None
    return Session(
        id=session_id,
        family=family,
        left=SessionEnd(
            node=name, asn=asn, address=Address(str(network[0])), interface="e0", passive=True, relation=Relation.PEER
        ),
        right=SessionEnd(
            node=edge.name,
            asn=edge.asn,
            address=Address(str(network[1])),
            interface=f"x{number}",
            relation=Relation.PEER,
        ),
        hold_time=EXAM_HOLD_TIME,
        connection=f"examiner/{case}",
    )
