"""Examiners: extra routers wired to a router of the lab for the tests that would break a real session.

A wrong AS, a wrong key, a peer that falls silent: such stimuli must not touch the connection that is being turned
up. Each case gets its own wire and sessions at a few routers that are added to the model, so that the ordinary plan
builds them and takes them away again. Their sessions carry ``connection = "examiner/CASE"`` and exist only while an
intent says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_interface

import msgspec

from peerlab.bgp.attributes import Address, Family
from peerlab.evidence.story import EXAMINER
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

POOL_V4 = IPv4Network("198.19.254.0/23")
POOL_V6 = IPv6Network("2001:db8:ffff:fe00::/56")
DOCUMENTATION_ASNS = (*range(64511, 64495, -1), *range(65551, 65535, -1))
"""RFC 5398, last first: topologies tend to use the first ones."""

EXAM_HOLD_TIME = 3
"""Seconds: the least that RFC 4271 allows, so that a silent peer is noticed soon."""


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """One case: the examiner's router, the router that it is wired to, and the AS it speaks for there.

    That router is one of the lab, or an examiner of an earlier post.

    ``asn`` None is the examiners' own AS; the lab router's own makes the sessions iBGP.
    """

    case: str
    examiner: str
    at: str
    asn: int | None = None


class Examiner(msgspec.Struct, frozen=True, kw_only=True):
    """One case's place in the lab: router, examined router, wire, interfaces at both, and session per family."""

    case: str
    node: str
    at: str
    asn: int
    link: str
    interface: str
    far_interface: str
    sessions: dict[Family, str]
    addresses: dict[Family, Address]
    """The examiner's own address on the wire."""
    far_addresses: dict[Family, Address]


def free_asns(model: LabModel, two_octets: bool = False) -> Iterator[int]:
    """Documentation AS numbers (RFC 5398) that the lab does not use, the examiners' own (``free_asn``) left out.

    ``two_octets``: up to 65535 only.
    """
    unused = _unused_asns(model)
    next(unused)
    return (asn for asn in unused if asn <= 0xFFFF or not two_octets)


def free_asn(model: LabModel) -> int:
    """The AS number of the examiners: one that the lab does not use."""
    return next(_unused_asns(model))


def _unused_asns(model: LabModel) -> Iterator[int]:
    used = {known.asn for known in model.ases}
    for asn in DOCUMENTATION_ASNS:
        if asn not in used:
            yield asn


def _free_pairs(*models: LabModel) -> Iterator[tuple[IPv4Network, IPv6Network]]:
    taken = [
        ip_interface(address).network
        for model in models
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


def add_examiners(
    model: LabModel, posts: Sequence[Post], avoid: LabModel | None = None
) -> tuple[LabModel, dict[str, Examiner]]:
    """The model with these posts manned, and the examiners by case.

    The examined router is the active end, so that a refused or silent peer is met by its own attempts. Addresses come
    from the benchmarking range (RFC 2544) and the documentation prefix (RFC 3849); none that ``avoid`` uses.
    """
    if not posts:
        return model, {}
    asn = free_asn(model)
    nodes = {node.name: node for node in model.nodes}
    links = list(model.links)
    sessions = list(model.sessions)
    manned: dict[str, Examiner] = {}
    pairs = _free_pairs(model, *([avoid] if avoid is not None else []))
    for post, pair in zip(posts, pairs, strict=False):
        v4 = pair[0]
        number = (int(v4[0]) - int(POOL_V4[0])) // 2
        if post.examiner not in nodes:
            nodes[post.examiner] = Node(
                name=post.examiner,
                kind=NodeKind.EXABGP,
                as_name=EXAMINER,
                asn=asn,
                router_id=Address(str(v4[0])),
            )
        link = Link(
            id=f"{post.examiner}--{post.at}-{post.case}",
            ends=(LinkEnd(post.examiner, f"e{number}"), LinkEnd(post.at, f"x{number}")),
            purpose=LinkPurpose.INTERCONNECT,
        )
        links.append(link)
        for side, end in enumerate(link.ends):
            interface = _interface(end.interface, link.id, v4[0], side, pair)
            node = nodes[end.node]
            nodes[end.node] = msgspec.structs.replace(node, interfaces=(*node.interfaces, interface))
        manned[post.case] = _manned(post, asn if post.asn is None else post.asn, link, pair)
        sessions.extend(_sessions(manned[post.case], nodes[post.at], pair))
    examiner_as = AutonomousSystem(name=EXAMINER, asn=asn, role=AsRole.OBSERVER)
    extended = msgspec.structs.replace(
        model,
        ases=(*model.ases, examiner_as),
        nodes=tuple(nodes.values()),
        links=tuple(links),
        sessions=tuple(sessions),
    )
    return extended, manned


def _manned(post: Post, asn: int, link: Link, pair: tuple[IPv4Network, IPv6Network]) -> Examiner:
    networks: dict[Family, IPv4Network | IPv6Network] = {Family.IPV4: pair[0], Family.IPV6: pair[1]}
    return Examiner(
        case=post.case,
        node=post.examiner,
        at=post.at,
        asn=asn,
        link=link.id,
        interface=link.ends[0].interface,
        far_interface=link.ends[1].interface,
        sessions={family: f"{link.id}-{family.value}" for family in networks},
        addresses={family: Address(str(network[0])) for family, network in networks.items()},
        far_addresses={family: Address(str(network[1])) for family, network in networks.items()},
    )


def remove_examiners(model: LabModel) -> LabModel:
    """The model as it was before ``add_examiners``."""
    gone = {node.name for node in model.nodes if node.as_name == EXAMINER}
    links = tuple(link for link in model.links if not {end.node for end in link.ends} & gone)
    kept = {link.id for link in links}
    return msgspec.structs.replace(
        model,
        ases=tuple(known for known in model.ases if known.name != EXAMINER),
        nodes=tuple(
            msgspec.structs.replace(node, interfaces=_kept_interfaces(node.interfaces, kept))
            for node in model.nodes
            if node.name not in gone
        ),
        links=links,
        sessions=tuple(s for s in model.sessions if not {s.left.node, s.right.node} & gone),
        caches=tuple(cache for cache in model.caches if cache.node not in gone),
    )


def widen(widest: LabModel, extended: LabModel) -> LabModel:
    """A model that has everything of both: the first one's, and what only the second has."""
    nodes = {node.name: node for node in widest.nodes}
    for node in extended.nodes:
        known = nodes.setdefault(node.name, node)
        names = {interface.name for interface in known.interfaces}
        added = tuple(interface for interface in node.interfaces if interface.name not in names)
        nodes[node.name] = msgspec.structs.replace(known, interfaces=(*known.interfaces, *added))
    links = {link.id: link for link in (*extended.links, *widest.links)}
    sessions = {session.id: session for session in (*widest.sessions, *extended.sessions)}
    ases = {known.name: known for known in (*widest.ases, *extended.ases)}
    return msgspec.structs.replace(
        widest,
        ases=tuple(ases.values()),
        nodes=tuple(nodes.values()),
        links=tuple(links.values()),
        sessions=tuple(sessions.values()),
    )


def _kept_interfaces(interfaces: Iterable[Interface], links: set[str]) -> tuple[Interface, ...]:
    return tuple(interface for interface in interfaces if interface.link in links)


def _interface(name: str, link: str, first: object, side: int, pair: tuple[IPv4Network, IPv6Network]) -> Interface:
    octets = bytes(int(part) for part in str(first).split("."))
    return Interface(
        name=name,
        link=link,
        mac=f"02:ee:{octets[1]:02x}:{octets[2]:02x}:{octets[3]:02x}:{side:02x}",
        v4=f"{pair[0][side]}/31",
        v6=f"{pair[1][side]}/127",
    )


def _sessions(examiner: Examiner, at: Node, pair: tuple[IPv4Network, IPv6Network]) -> Iterator[Session]:
    if at.asn is None:
        raise KeyError(f"{at.name} belongs to no AS")
    relation = Relation.INTERNAL if examiner.asn == at.asn else Relation.PEER
    for family, network in ((Family.IPV4, pair[0]), (Family.IPV6, pair[1])):
        yield Session(
            id=examiner.sessions[family],
            family=family,
            left=SessionEnd(
                node=examiner.node,
                asn=examiner.asn,
                address=Address(str(network[0])),
                interface=examiner.interface,
                passive=True,
                relation=relation,
            ),
            right=SessionEnd(
                node=at.name,
                asn=at.asn,
                address=Address(str(network[1])),
                interface=examiner.far_interface,
                relation=relation,
            ),
            hold_time=EXAM_HOLD_TIME,
            connection=f"{EXAMINER}/{examiner.case}",
        )
