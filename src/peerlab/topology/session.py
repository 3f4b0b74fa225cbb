"""Fourth pass: BGP sessions, one per address family, from wires, LANs and relations."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from peerlab.bgp.attributes import Address, BgpRole, Family
from peerlab.bgp.config import BfdConfig, GracefulRestart
from peerlab.topology.addressing import AddressPlan
from peerlab.topology.census import Census, is_interconnect_peering, is_route_server_peering
from peerlab.topology.document import ConnectionWords, EndWords, SessionWords
from peerlab.topology.mistake import Path
from peerlab.topology.model import AsRole, LinkPurpose, NodeKind, Relation, Session, SessionEnd
from peerlab.topology.wiring import Wire

VERSION = {Family.IPV4: 4, Family.IPV6: 6}
OPPOSITE = {
    Relation.CUSTOMER: Relation.PROVIDER,
    Relation.PROVIDER: Relation.CUSTOMER,
    Relation.PEER: Relation.PEER,
    Relation.ROUTE_SERVER: Relation.ROUTE_SERVER_CLIENT,
    Relation.ROUTE_SERVER_CLIENT: Relation.ROUTE_SERVER,
    Relation.INTERNAL: Relation.INTERNAL,
}
LOCAL_ROLE = {
    Relation.CUSTOMER: BgpRole.PROVIDER,
    Relation.PROVIDER: BgpRole.CUSTOMER,
    Relation.PEER: BgpRole.PEER,
    Relation.ROUTE_SERVER: BgpRole.RS_CLIENT,
    Relation.ROUTE_SERVER_CLIENT: BgpRole.RS,
}
"""The local role (RFC 9234 section 4.1) towards a neighbour that is this to us."""

PEER_MAX_PREFIX = {Family.IPV4: 2000, Family.IPV6: 500}
"""What a peer sets towards Microsoft (spec 3.0)."""
PEERING_SERVICE_MAX_PREFIX = {Family.IPV4: 400, Family.IPV6: 400}
"""What a Peering Service partner sets towards Microsoft: 400 to 500 (spec 3.4)."""


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """Two routers that shall have sessions. ``relation`` is what the right one is to the left one.

    ``left_wire``/``right_wire`` are the wires their addresses are on (the same one, or two ports of a LAN);
    None for iBGP between loopbacks. ``words`` hold the options, ``path`` where they stand. ``id`` without family.
    """

    id: str
    left: str
    right: str
    relation: Relation
    left_wire: Wire | None = None
    right_wire: Wire | None = None
    words: SessionWords = SessionWords()
    path: Path = ()
    connection: str | None = None
    asked: ConnectionWords | None = None
    on_lan: bool = False


def pairings(census: Census, wires: tuple[Wire, ...]) -> tuple[Pairing, ...]:
    """Every pair of routers with sessions: iBGP, links, connections, LANs."""
    return (
        *_internal(census),
        *_on_wires(census, wires),
        *_on_lans(census, wires),
    )


def _internal(census: Census) -> Iterator[Pairing]:
    """Full mesh, or clients to reflectors with the reflectors meshed (RFC 4456). Route servers have no iBGP."""
    for name, asys in census.document.ases.items():
        if asys.role is AsRole.IXP:
            continue
        routers = list(asys.routers)
        for position, left in enumerate(routers):
            for right in routers[position + 1 :]:
                if asys.reflectors and left not in asys.reflectors and right not in asys.reflectors:
                    continue
                yield Pairing(
                    id=f"{left}--{right}", left=left, right=right, relation=Relation.INTERNAL, path=("ases", name)
                )


def _on_wires(census: Census, wires: tuple[Wire, ...]) -> Iterator[Pairing]:
    for wire in wires:
        if wire.purpose is not LinkPurpose.INTERCONNECT:
            continue
        left, right = wire.ends if wire.connection is None else wire.ends[::-1]
        relation = census.relation(census.router_as[left], census.router_as[right])
        peering, _, label = (wire.connection or "").partition("/")
        yield Pairing(
            id=wire.id,
            left=left,
            right=right,
            relation=relation or Relation.PEER,
            left_wire=wire,
            right_wire=wire,
            words=wire.session or SessionWords(),
            path=(*wire.path, "session"),
            connection=wire.connection,
            asked=census.document.peerings[peering].connections[label] if peering else None,
        )


def _on_lans(census: Census, wires: tuple[Wire, ...]) -> Iterator[Pairing]:
    ports = {(wire.ends[0], wire.exchange): wire for wire in wires if wire.exchange is not None}
    for name, exchange in census.document.exchanges.items():

        def pair(
            left: str,
            right: str,
            relation: Relation,
            words: SessionWords,
            path: Path,
            connection: str | None = None,
            asked: ConnectionWords | None = None,
            lan: str = name,
        ) -> Pairing:
            return Pairing(
                id=f"{left}--{right}@{lan}",
                left=left,
                right=right,
                relation=relation,
                left_wire=ports[left, lan],
                right_wire=ports[right, lan],
                words=words,
                path=path,
                connection=connection,
                asked=asked,
                on_lan=True,
            )

        servers = census.route_servers(exchange)
        for router, member in exchange.members.items():
            if router in servers:
                continue
            is_cloud = census.router_as[router] == census.cloud
            if member.route_servers if member.route_servers is not None else not is_cloud:
                for server in servers:
                    at: Path = ("exchanges", name, "members", router, "session")
                    yield pair(router, server, Relation.ROUTE_SERVER, member.session, at)
        for position, pair_words in enumerate(exchange.bilateral):
            first, second = pair_words.between
            for left in census.members_of(exchange, first):
                for right in census.members_of(exchange, second):
                    at = ("exchanges", name, "bilateral", position, "session")
                    relation = census.relation(first, second) or Relation.PEER
                    yield pair(left, right, relation, pair_words.session, at)
        for peering_name, peering in census.document.peerings.items():
            if is_interconnect_peering(peering):
                continue
            for label, asked in peering.connections.items():
                if asked.exchange != name:
                    continue
                at = ("peerings", peering_name, "connections", label, "session")
                if is_route_server_peering(peering):
                    others, relation = servers, Relation.ROUTE_SERVER
                else:
                    others = (census.exchange_router(peering, asked) or "",)
                    relation = Relation.PEER
                for edge in census.members_of(exchange, census.cloud):
                    for other in others:
                        connection = f"{peering_name}/{label}"
                        yield pair(edge, other, relation, asked.session, at, connection, asked)


def sessions(
    census: Census, pairs: tuple[Pairing, ...], plan: AddressPlan, interfaces: dict[tuple[str, str], str]
) -> tuple[tuple[Session, Pairing], ...]:
    """The sessions of every pair, without policies, each with the pair it comes from."""
    borders = {router for pair in pairs if pair.relation is not Relation.INTERNAL for router in (pair.left, pair.right)}
    return tuple(
        (_session(census, pair, family, plan, interfaces, borders), pair)
        for pair in pairs
        for family in pair.words.families
        if _has_family(pair, family, plan)
    )


def _has_family(pair: Pairing, family: Family, plan: AddressPlan) -> bool:
    return pair.left_wire is None or (pair.left_wire.id, VERSION[family]) in plan.ends


def _session(
    census: Census,
    pair: Pairing,
    family: Family,
    plan: AddressPlan,
    interfaces: dict[tuple[str, str], str],
    borders: set[str],
) -> Session:
    left_passive = _left_is_passive(census, pair)
    hold_time = pair.words.hold_time
    return Session(
        id=f"{pair.id}.v{VERSION[family]}",
        family=family,
        left=_end(census, pair, family, plan, interfaces, borders, at_left=True, passive=left_passive),
        right=_end(census, pair, family, plan, interfaces, borders, at_left=False, passive=not left_passive),
        hold_time=census.document.hold_time if hold_time is None else hold_time,
        md5=pair.words.md5,
        gtsm=pair.words.gtsm,
        connection=pair.connection,
        bfd=_bfd(census, pair),
        graceful_restart=_graceful_restart(pair),
    )


def _graceful_restart(pair: Pairing) -> GracefulRestart | None:
    words = pair.words.graceful_restart
    return None if words is None else GracefulRestart(restart_time=words.time)


def _bfd(census: Census, pair: Pairing) -> BfdConfig | None:
    """As stated; Microsoft demands it of Voice, and there no route is exchanged before it is Up (spec 3.7)."""
    words, voice = pair.words.bfd, census.is_for_voice(pair.connection)
    if words is None:
        return BfdConfig(strict=True) if voice else None
    return BfdConfig(
        interval_ms=words.interval_ms,
        multiplier=words.multiplier,
        strict=voice if words.strict is None else words.strict,
    )


def _left_is_passive(census: Census, pair: Pairing) -> bool:
    """Exactly one end connects, which spares the collision of RFC 4271 section 6.8.

    A stated ``passive`` decides; then OpenBGPD connects where there is an MD5 key, for it cannot listen with one; else
    route servers and Microsoft's edges listen, then daemons that connect slowly (all but ExaBGP), then the right end.
    """
    stated = {router: words.passive for router, words in pair.words.ends.items()}
    for router, is_left in ((pair.left, True), (pair.right, False)):
        if stated.get(router) is not None:
            return is_left is stated[router]

    def kind(router: str) -> NodeKind:
        return census.asys(router).routers[router].kind

    connects = [kind(router) is NodeKind.OPENBGPD and pair.words.md5 is not None for router in (pair.left, pair.right)]
    if connects[0] is not connects[1]:
        return connects[1]

    def rank(router: str) -> int:
        asys = census.asys(router)
        if asys.role is AsRole.IXP:
            return 3
        if asys.role is AsRole.CLOUD:
            return 2
        return int(kind(router) is not NodeKind.EXABGP)

    return rank(pair.left) > rank(pair.right)


def _end(
    census: Census,
    pair: Pairing,
    family: Family,
    plan: AddressPlan,
    interfaces: dict[tuple[str, str], str],
    borders: set[str],
    *,
    at_left: bool,
    passive: bool,
) -> SessionEnd:
    router = pair.left if at_left else pair.right
    wire = pair.left_wire if at_left else pair.right_wire
    relation = pair.relation if at_left else OPPOSITE[pair.relation]
    words = pair.words.ends.get(router, EndWords())
    asys = census.asys(router)
    if wire is None:
        address, interface = str(plan.loopbacks[router, VERSION[family]]), None
    else:
        address = plan.ends[wire.id, VERSION[family]][wire.ends.index(router)].partition("/")[0]
        interface = interfaces[router, wire.id]
    other = pair.right if at_left else pair.left
    return SessionEnd(
        node=router,
        asn=asys.asn,
        address=Address(address),
        interface=interface,
        role=words.role or LOCAL_ROLE.get(relation),
        role_strict=words.role_strict,
        passive=passive,
        relation=relation,
        max_prefix=_max_prefix(pair, words, family, at_edge=asys.role is AsRole.CLOUD),
        route_reflector_client=bool(asys.reflectors)
        and relation is Relation.INTERNAL
        and router in asys.reflectors
        and other not in asys.reflectors,
        next_hop_self=relation is Relation.INTERNAL and router in borders,
    )


def _max_prefix(pair: Pairing, words: EndWords, family: Family, *, at_edge: bool) -> int | None:
    """As stated; on a connection Microsoft takes what was asked for and the peer what the policy page says."""
    stated = words.max_prefix_v4 if family is Family.IPV4 else words.max_prefix_v6
    if stated is not None or pair.asked is None:
        return stated
    if at_edge:
        return pair.asked.max_prefixes_v4 if family is Family.IPV4 else pair.asked.max_prefixes_v6
    return (PEERING_SERVICE_MAX_PREFIX if pair.asked.peering_service else PEER_MAX_PREFIX)[family]
