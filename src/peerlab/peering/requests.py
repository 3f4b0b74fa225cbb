"""What a topology asks of Microsoft, as commands for the desk, in the order of the real process."""

from __future__ import annotations

import uuid

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.peering.catalogue import Catalogue, Facility, catalogue_of
from peerlab.peering.command import (
    PutPeerAsn,
    PutPeering,
    PutPeeringService,
    PutRegisteredAsn,
    PutRegisteredPrefix,
    PutServicePrefix,
    SignAgreement,
)
from peerlab.peering.enums import DirectPeeringType, Kind, Role, SessionAddressProvider
from peerlab.peering.ledger import Ledger
from peerlab.peering.peer_asn import ContactDetail, PeerAsnProperties
from peerlab.peering.peering_resource import (
    BgpSession,
    DirectConnection,
    ExchangeConnection,
    Peering,
    PeeringProperties,
    PeeringPropertiesDirect,
    PeeringPropertiesExchange,
    PeeringSku,
    SubResource,
)
from peerlab.peering.peering_service import PeeringService, PeeringServiceProperties
from peerlab.peering.scope import LAB
from peerlab.topology.model import ConnectionRequest, LabModel, PeeringRequest, PeeringServiceRequest

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


class PeerRequests(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one peer AS asks for, in order: association, agreement, peerings."""

    put_peer_asn: PutPeerAsn
    agreements: tuple[SignAgreement, ...]
    put_peerings: tuple[PutPeering, ...]


def requests_from(model: LabModel) -> tuple[PeerRequests, ...]:
    """Every peer of the topology with its requests. Connections keep their names as labels."""
    catalogue = catalogue_of(model)
    by_peer: dict[tuple[str, int], list[PeeringRequest]] = {}
    for peering in model.peerings:
        by_peer.setdefault((peering.peer_as, peering.peer_asn), []).append(peering)
    return tuple(
        PeerRequests(
            put_peer_asn=_peer_asn(name, asn),
            agreements=(SignAgreement(asn=asn),) if any(_wants_service(p) for p in peerings) else (),
            put_peerings=tuple(_peering(p, catalogue) for p in peerings),
        )
        for (name, asn), peerings in by_peer.items()
    )


def registrations_from(model: LabModel) -> tuple[PutRegisteredPrefix | PutRegisteredAsn, ...]:
    """What partners register under their peerings, to be asked for once a connection is Active."""
    found: list[PutRegisteredPrefix | PutRegisteredAsn] = []
    for peering in model.peerings:
        found += [PutRegisteredPrefix(peering=peering.name, name=n, prefix=p) for n, p in peering.registered_prefixes]
        found += [PutRegisteredAsn(peering=peering.name, name=n, asn=a) for n, a in peering.registered_asns]
    return tuple(found)


def services_from(model: LabModel) -> tuple[PutPeeringService, ...]:
    """The customers' Peering Service connections."""
    return tuple(_service(service, model) for service in model.services)


def service_prefixes_from(model: LabModel, ledger: Ledger) -> tuple[PutServicePrefix, ...]:
    """The customers' prefixes, each with the key that its provider's registration was given.

    A ``key_from`` that names nothing registered gives a prefix without key, which validation then refuses.
    """
    found = []
    for service in model.services:
        for asked in service.prefixes:
            key = asked.key
            if asked.key_from is not None:
                name = asked.key_from.lower()
                registered = ledger.registered_prefixes.get(name) or ledger.registered_asns.get(name)
                key = registered.prefix_key if registered else None
            found.append(PutServicePrefix(service=service.name, name=asked.name, prefix=asked.prefix, prefix_key=key))
    return tuple(found)


def connection_identifier(peering: PeeringRequest, connection: ConnectionRequest) -> str:
    """The GUID that a topology's connection is requested under; the same at every run."""
    return str(uuid.uuid5(_NAMESPACE, f"peerlab/{peering.name}/{connection.name}"))


def _wants_service(peering: PeeringRequest) -> bool:
    return any(c.use_for_peering_service for c in peering.connections)


def _peer_asn(name: str, asn: int) -> PutPeerAsn:
    contact = ContactDetail(role=Role.NOC, email=f"noc@{name}.example", phone="+1 555 0100")
    spoken = " ".join(word.capitalize() for word in "".join(c if c.isalpha() else " " for c in name).split())
    properties = PeerAsnProperties(peer_asn=asn, peer_name=spoken or "Peer", peer_contact_detail=(contact,))
    return PutPeerAsn(name=name, properties=properties)


def _peering(peering: PeeringRequest, catalogue: Catalogue) -> PutPeering:
    owner = SubResource(id=LAB.peer_asn_id(peering.peer_as))
    direct = exchange = None
    if Kind(peering.kind) is Kind.DIRECT:
        direct = PeeringPropertiesDirect(
            connections=tuple(_direct(peering, c, catalogue) for c in peering.connections),
            peer_asn=owner,
            direct_peering_type=DirectPeeringType(peering.direct_peering_type),
        )
    else:
        exchange = PeeringPropertiesExchange(
            connections=tuple(_exchange(peering, c, catalogue) for c in peering.connections), peer_asn=owner
        )
    place = catalogue.place(peering.peering_location)
    body = Peering(
        kind=Kind(peering.kind),
        location=place.azure_region if place else "centralus",
        sku=PeeringSku(name=peering.sku),
        properties=PeeringProperties(direct=direct, exchange=exchange, peering_location=peering.peering_location),
    )
    labels = {connection_identifier(peering, c): c.name for c in peering.connections}
    return PutPeering(name=peering.name, peering=body, labels=labels)


def _direct(peering: PeeringRequest, connection: ConnectionRequest, catalogue: Catalogue) -> DirectConnection:
    provider = SessionAddressProvider(connection.address_provider)
    session = None
    if provider is SessionAddressProvider.PEER:
        on_lan = peering.direct_peering_type == DirectPeeringType.IX_RS
        session = _session(connection, addresses=on_lan)
    return DirectConnection(
        connection_identifier=connection_identifier(peering, connection),
        bandwidth_in_mbps=connection.bandwidth_mbps,
        session_address_provider=provider,
        use_for_peering_service=connection.use_for_peering_service,
        peering_db_facility_id=_facility(catalogue, Kind.DIRECT, peering.peering_location, connection).id,
        bgp_session=session,
    )


def _exchange(peering: PeeringRequest, connection: ConnectionRequest, catalogue: Catalogue) -> ExchangeConnection:
    """Names Microsoft's address: the topology's connection is one connection, whatever its sessions."""
    return ExchangeConnection(
        connection_identifier=connection_identifier(peering, connection),
        peering_db_facility_id=_facility(catalogue, Kind.EXCHANGE, peering.peering_location, connection).id,
        bgp_session=_session(connection, addresses=True),
    )


def _session(connection: ConnectionRequest, *, addresses: bool) -> BgpSession:
    def on_lan(address: Address | None) -> Address | None:
        return address if addresses else None

    return BgpSession(
        session_prefix_v4=connection.session_prefix_v4,
        session_prefix_v6=connection.session_prefix_v6,
        peer_session_ipv4_address=on_lan(connection.peer_v4),
        peer_session_ipv6_address=on_lan(connection.peer_v6),
        microsoft_session_ipv4_address=on_lan(connection.microsoft_v4),
        microsoft_session_ipv6_address=on_lan(connection.microsoft_v6),
        max_prefixes_advertised_v4=connection.max_prefixes_v4 if connection.session_prefix_v4 else None,
        max_prefixes_advertised_v6=connection.max_prefixes_v6 if connection.session_prefix_v6 else None,
        md5_authentication_key=connection.md5,
    )


def _facility(catalogue: Catalogue, kind: Kind, location: str, connection: ConnectionRequest) -> Facility:
    """Where the connection is: the exchange with its LAN, or the location's building. Raises LookupError."""
    lans: set[Prefix | None] = {connection.session_prefix_v4, connection.session_prefix_v6} - {None}
    here = [f for f in catalogue.facilities if f.kind is kind and f.peering_location == location]
    if kind is Kind.EXCHANGE:
        here = [f for f in here if {f.lan_v4, f.lan_v6} & lans]
    if not here:
        raise LookupError(f"no {kind} facility at {location} for connection {connection.name}")
    return here[0]


def _service(service: PeeringServiceRequest, model: LabModel) -> PutPeeringService:
    metros = {metro.name: metro for metro in model.metros}
    primary = metros[service.primary_metro]
    backup = metros[service.backup_metro].peering_location if service.backup_metro else None
    properties = PeeringServiceProperties(
        peering_service_location=primary.peering_location,
        peering_service_provider=service.provider_as,
        provider_primary_peering_location=primary.peering_location,
        provider_backup_peering_location=backup,
    )
    return PutPeeringService(name=service.name, service=PeeringService(location=primary.region, properties=properties))
