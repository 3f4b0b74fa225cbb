"""The connections of a PUT body as records: addresses derived, exchange connections expanded (spec 1.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from peerlab.bgp.attributes import Prefix
from peerlab.peering.catalogue import Catalogue, Facility, MicrosoftRouter
from peerlab.peering.enums import DirectPeeringType, Kind
from peerlab.peering.peering_resource import BgpSession, DirectConnection, ExchangeConnection, Peering
from peerlab.peering.record import ConnectionRecord, FamilySession
from peerlab.peering.refusal import bad_argument
from peerlab.peering.request_rules import (
    check_address_provider,
    check_bandwidth,
    check_facility_id,
    direct_sessions,
    exchange_family,
    exchange_peer_addresses,
    route_server_family,
)


def requested_connections(
    body: Peering,
    *,
    catalogue: Catalogue,
    location: str,
    labels: Mapping[str, str],
    existing: Sequence[ConnectionRecord],
    agreement: bool,
    new_id: Callable[[], str],
) -> tuple[ConnectionRecord, ...]:
    """Accepted connections, each in state None. ``existing`` decides which exchange connections are not expanded.

    ``agreement``: the Peering Service agreement with this AS is signed. Raises RefusedError.
    """
    if body.kind is Kind.DIRECT and body.properties.direct is not None:
        direct = body.properties.direct
        kind = direct.direct_peering_type or DirectPeeringType.EDGE
        records = [
            _direct(connection, kind, catalogue, location, labels, agreement, new_id)
            for connection in direct.connections
        ]
    else:
        exchange = body.properties.exchange
        records = [
            record
            for connection in (exchange.connections if exchange else ())
            for record in _exchange(connection, catalogue, location, labels, existing, new_id)
        ]
    _check_distinct(records)
    return tuple(records)


def _direct(
    connection: DirectConnection,
    kind: DirectPeeringType,
    catalogue: Catalogue,
    location: str,
    labels: Mapping[str, str],
    agreement: bool,
    new_id: Callable[[], str],
) -> ConnectionRecord:
    facility = _facility(connection.peering_db_facility_id, Kind.DIRECT, catalogue, location)
    bandwidth = connection.bandwidth_in_mbps if connection.bandwidth_in_mbps is not None else 10_000
    check_bandwidth(bandwidth)
    provider = check_address_provider(connection, kind)
    if kind is DirectPeeringType.IX_RS:
        v4, v6 = _route_server(connection.bgp_session)
    else:
        v4, v6 = direct_sessions(connection.bgp_session, provider)
    identifier = connection.connection_identifier or new_id()
    return ConnectionRecord(
        identifier=identifier,
        label=labels.get(identifier, identifier),
        bandwidth=bandwidth,
        address_provider=provider,
        use_for_peering_service=_for_peering_service(connection, kind, agreement),
        needs_bfd=kind is DirectPeeringType.VOICE,
        facility_id=facility.id,
        v4=v4,
        v6=v6,
        md5=connection.bgp_session.md5_authentication_key if connection.bgp_session else None,
        tracking_id=None,
    )


def _for_peering_service(connection: DirectConnection, kind: DirectPeeringType, agreement: bool) -> bool:
    """IxRs and Voice get it by themselves once the agreement is signed; Edge asks for it (spec 3.4, 3.5, 3.7)."""
    if kind in (DirectPeeringType.IX_RS, DirectPeeringType.VOICE):
        return agreement
    if connection.use_for_peering_service and not agreement:
        raise bad_argument(
            "useForPeeringService needs a signed Peering Service agreement; mail peeringservice@microsoft.com"
        )
    return bool(connection.use_for_peering_service)


def _route_server(session: BgpSession | None) -> tuple[FamilySession | None, FamilySession | None]:
    if session is None:
        raise bad_argument("bgpSession must not be null")
    v4 = route_server_family(
        session.session_prefix_v4,
        session.peer_session_ipv4_address,
        session.microsoft_session_ipv4_address,
        session.max_prefixes_advertised_v4,
        4,
    )
    v6 = route_server_family(
        session.session_prefix_v6,
        session.peer_session_ipv6_address,
        session.microsoft_session_ipv6_address,
        session.max_prefixes_advertised_v6,
        6,
    )
    if v4 is None and v6 is None:
        raise bad_argument("An IxRs connection needs an IPv4 or an IPv6 session")
    return v4, v6


def _exchange(
    connection: ExchangeConnection,
    catalogue: Catalogue,
    location: str,
    labels: Mapping[str, str],
    existing: Sequence[ConnectionRecord],
    new_id: Callable[[], str],
) -> Iterable[ConnectionRecord]:
    """One connection per Microsoft router of the exchange, each with a GUID of its own.

    A connection that is known already, or that names Microsoft's addresses itself, stays the one it is.
    """
    facility = _facility(connection.peering_db_facility_id, Kind.EXCHANGE, catalogue, location)
    session = connection.bgp_session or BgpSession()
    peer_v4, peer_v6 = exchange_peer_addresses(connection.bgp_session)
    known = next((c for c in existing if c.identifier == connection.connection_identifier), None)
    if known is not None:
        routers = _routers_of(facility, known.v4, known.v6)
    elif session.microsoft_session_ipv4_address or session.microsoft_session_ipv6_address:
        routers = _routers_named(facility, session)
    else:
        routers = facility.microsoft
    if not routers:
        raise bad_argument(f"Microsoft has no router at exchange {facility.name} with these addresses")
    keep = known is not None or routers is not facility.microsoft
    for router in routers:
        identifier = (connection.connection_identifier if keep else None) or new_id()
        yield ConnectionRecord(
            identifier=identifier,
            label=labels.get(identifier, identifier),
            facility_id=facility.id,
            v4=exchange_family(peer_v4, router.v4, session.max_prefixes_advertised_v4, facility, 4),
            v6=exchange_family(peer_v6, router.v6, session.max_prefixes_advertised_v6, facility, 6),
            md5=session.md5_authentication_key,
        )


def _routers_of(facility: Facility, v4: FamilySession | None, v6: FamilySession | None) -> tuple[MicrosoftRouter, ...]:
    addresses = {s.microsoft for s in (v4, v6) if s is not None}
    return tuple(r for r in facility.microsoft if {r.v4, r.v6} & addresses)


def _routers_named(facility: Facility, session: BgpSession) -> tuple[MicrosoftRouter, ...]:
    return tuple(
        r
        for r in facility.microsoft
        if session.microsoft_session_ipv4_address in (None, r.v4)
        and session.microsoft_session_ipv6_address in (None, r.v6)
    )


def _facility(facility_id: int | None, kind: Kind, catalogue: Catalogue, location: str) -> Facility:
    number = check_facility_id(facility_id)
    facility = catalogue.facility(number, kind, location)
    if facility is None:
        raise bad_argument(f"Facility {number} is not offered for {kind} peerings at {location}")
    return facility


def _check_distinct(records: Iterable[ConnectionRecord]) -> None:
    """Two connections with one identifier, or Direct ones with one prefix, are a mistake of the request."""
    identifiers: set[str] = set()
    pairs: set[tuple[Prefix | None, str | None, str | None]] = set()
    for record in records:
        if record.identifier in identifiers:
            raise bad_argument(f"connectionIdentifier {record.identifier} is used twice")
        identifiers.add(record.identifier)
        for session in (record.v4, record.v6):
            if session is None or not session.addressed:
                continue
            pair = (session.prefix, session.peer, session.microsoft)
            if pair in pairs:
                raise bad_argument(f"Session {session.peer} - {session.microsoft} is asked for twice")
            pairs.add(pair)
