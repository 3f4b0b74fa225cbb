"""Sixth pass: what is asked of Microsoft, with the nodes, addresses and sessions that each request is about."""

from __future__ import annotations

import ipaddress

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.topology.addressing import AddressPlan
from peerlab.topology.census import Census, is_interconnect_peering, is_route_server_peering
from peerlab.topology.document import NO_BACKUP, ConnectionWords, PeeringWords, StatementOfTrace
from peerlab.topology.model import (
    ConnectionRequest,
    Expectation,
    PeeringKind,
    PeeringRequest,
    PeeringServicePrefixRequest,
    PeeringServiceRequest,
    RegistryEntry,
    Session,
)
from peerlab.topology.wiring import Wire


def peerings(
    census: Census, wires: tuple[Wire, ...], plan: AddressPlan, sessions: tuple[Session, ...]
) -> tuple[PeeringRequest, ...]:
    """Every Microsoft.Peering request of the document."""
    link_of = {wire.connection: wire.id for wire in wires if wire.connection is not None}
    found = []
    for name, words in census.document.peerings.items():
        connections = []
        for label, asked in words.connections.items():
            full_name = f"{name}/{label}"
            own = tuple(s for s in sessions if s.connection == full_name)
            connections.append(_connection(words, label, asked, own, plan, link_of.get(full_name)))
        found.append(
            PeeringRequest(
                name=name,
                kind=words.kind,
                peer_as=words.peer,
                peer_asn=census.document.ases[words.peer].asn,
                metro=words.metro,
                peering_location=census.document.metros[words.metro].location,
                direct_peering_type=words.type,
                sku=words.sku or _sku(words),
                connections=tuple(connections),
                registered_prefixes=tuple(words.registered_prefixes.items()),
                registered_asns=tuple(words.registered_asns.items()),
                link_test=words.link_test and is_interconnect_peering(words),
            )
        )
    return tuple(found)


def _connection(
    peering: PeeringWords,
    label: str,
    asked: ConnectionWords,
    sessions: tuple[Session, ...],
    plan: AddressPlan,
    link: str | None,
) -> ConnectionRequest:
    """Addresses of an Exchange or IxRs connection are those of its first session; the others follow from the mesh."""
    first = {family: next((s for s in sessions if s.family is family), None) for family in Family}
    lan = asked.exchange or ""

    def session_prefix(family: Family, version: int) -> Prefix | None:
        session = first[family]
        if session is None:
            return None
        if link is None:
            return plan.lans[lan, version]
        return Prefix(str(ipaddress.ip_interface(plan.ends[link, version][0]).network))

    def address(family: Family, *, microsoft: bool) -> Address | None:
        session = first[family]
        if session is None:
            return None
        return session.left.address if microsoft else session.right.address

    return ConnectionRequest(
        name=label,
        edge=sessions[0].left.node,
        peer=sessions[0].right.node,
        link=link,
        session_prefix_v4=session_prefix(Family.IPV4, 4),
        session_prefix_v6=session_prefix(Family.IPV6, 6),
        microsoft_v4=address(Family.IPV4, microsoft=True),
        microsoft_v6=address(Family.IPV6, microsoft=True),
        peer_v4=address(Family.IPV4, microsoft=False),
        peer_v6=address(Family.IPV6, microsoft=False),
        sessions=tuple(s.id for s in sessions),
        bandwidth_mbps=asked.bandwidth_mbps,
        max_prefixes_v4=asked.max_prefixes_v4,
        max_prefixes_v6=asked.max_prefixes_v6,
        md5=asked.session.md5,
        address_provider=asked.address_provider.capitalize(),
        use_for_peering_service=asked.peering_service or is_route_server_peering(peering),
        blackhole=asked.blackhole,
    )


def _sku(peering: PeeringWords) -> str:
    """The SKU that goes with a request that names none (spec 3.2 to 3.5)."""
    if peering.kind is PeeringKind.EXCHANGE:
        return "Basic_Exchange_Free"
    service = any(c.peering_service for c in peering.connections.values())
    return "Premium_Direct_Free" if service or peering.type != "Edge" else "Basic_Direct_Free"


def services(census: Census) -> tuple[PeeringServiceRequest, ...]:
    """Every Peering Service connection of the document."""
    return tuple(
        PeeringServiceRequest(
            name=name,
            customer_as=words.customer,
            provider_as=words.provider,
            primary_metro=words.primary,
            backup_metro=None if words.backup == NO_BACKUP else words.backup,
            prefixes=tuple(
                PeeringServicePrefixRequest(name=label, prefix=p.prefix, key_from=p.key_from, key=p.key)
                for label, p in words.prefixes.items()
            ),
        )
        for name, words in census.document.peering_services.items()
    )


def registry(census: Census) -> tuple[RegistryEntry, ...]:
    """As stated; else a route object with a VRP of exactly that length for every prefix of every AS."""
    if census.document.registry is not None:
        return tuple(
            RegistryEntry(prefix=r.prefix, origin_asn=r.origin, max_length=r.max_length)
            for r in census.document.registry
        )
    return tuple(
        RegistryEntry(prefix=p, origin_asn=asys.asn, max_length=ipaddress.ip_network(p).prefixlen)
        for asys in census.document.ases.values()
        for p in asys.prefixes
    )


def expectations(census: Census) -> tuple[Expectation, ...]:
    """Every ``expect:`` statement."""
    found = []
    for words in census.document.expect:
        stated: dict[str, StatementOfTrace | None] = {
            "never": words.never,
            "always": words.always,
            "until": words.until,
            "eventually": words.eventually,
        }
        for quantifier, sentence in stated.items():
            if sentence is None:
                continue
            found.append(
                Expectation(
                    name=words.name,
                    quantifier=quantifier,
                    where=sentence.where,
                    node=sentence.node,
                    prefix=sentence.prefix,
                    peer=sentence.peer,
                    as_path_contains=sentence.as_path_contains,
                    community=sentence.community,
                    within=sentence.within,
                    until=sentence.until,
                )
            )
    return tuple(found)
