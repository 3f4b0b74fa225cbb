"""What Microsoft offers: facilities, exchanges, service providers. Data the desk consults and never changes.

``catalogue_of`` makes the catalogue of a lab from its topology.
"""

from __future__ import annotations

import ipaddress

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.peering.enums import DirectPeeringType, Kind
from peerlab.topology.model import LabModel, LinkPurpose, Node, NodeKind

_FIRST_FACILITY = 1001
_FIRST_EXCHANGE = 5001


class MicrosoftRouter(msgspec.Struct, frozen=True, kw_only=True):
    """A Microsoft edge router on an exchange's LAN, with its addresses there."""

    router: str
    v4: Address | None = None
    v6: Address | None = None


class Facility(msgspec.Struct, frozen=True, kw_only=True):
    """A building (Direct) or an exchange (Exchange, IxRs) where Microsoft peers. ``id`` is PeeringDB's number."""

    id: int
    name: str
    peering_location: str
    kind: Kind
    direct_types: tuple[DirectPeeringType, ...] = ()
    lan_v4: Prefix | None = None
    lan_v6: Prefix | None = None
    microsoft: tuple[MicrosoftRouter, ...] = ()


class PeeringPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A peering location (a metro) with the Azure region that serves it."""

    name: str
    azure_region: str = "centralus"
    country: str = ""


class ServiceProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A Peering Service partner: its name in the catalogue, its ASN, and where it is offered."""

    name: str
    asn: int
    peering_locations: tuple[str, ...] = ()


class ReservedPrefixes(msgspec.Struct, frozen=True, kw_only=True):
    """Session prefixes that Microsoft's address plan holds for one connection."""

    v4: Prefix | None = None
    v6: Prefix | None = None


class ServiceLocation(msgspec.Struct, frozen=True, kw_only=True):
    """A state or province where Peering Service is sold."""

    country: str
    state: str
    azure_region: str


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on offer. ``pool_v4``/``pool_v6`` are where Microsoft-provided session prefixes come from.

    ``reserved`` (by ``PEERING/CONNECTION``) is Microsoft's address plan: such a connection gets its addresses with the
    approval, any other one when somebody assigns them.

    ``public_ranges`` are ranges that count as public inside the lab although the registries reserve them.
    """

    places: tuple[PeeringPlace, ...] = ()
    facilities: tuple[Facility, ...] = ()
    providers: tuple[ServiceProvider, ...] = ()
    service_locations: tuple[ServiceLocation, ...] = ()
    reserved: dict[str, ReservedPrefixes] = {}
    pool_v4: Prefix | None = None
    pool_v6: Prefix | None = None
    public_ranges: tuple[Prefix, ...] = ()

    def place(self, name: str) -> PeeringPlace | None:
        """The peering location of that name, case-insensitively."""
        return next((p for p in self.places if p.name.casefold() == name.casefold()), None)

    def facility(self, facility_id: int, kind: Kind, peering_location: str) -> Facility | None:
        """The facility with this id, for this kind, in this location."""
        return next(
            (
                f
                for f in self.facilities
                if f.id == facility_id
                and f.kind is kind
                and f.peering_location.casefold() == peering_location.casefold()
            ),
            None,
        )

    def provider(self, name: str) -> ServiceProvider | None:
        """The provider of that name; the live list's spelling is inconsistent, so case does not count [REC]."""
        return next((p for p in self.providers if p.name.casefold() == name.casefold()), None)


def catalogue_of(model: LabModel) -> Catalogue:
    """One facility per metro, one exchange per peering LAN with a cloud router; every peer is a possible partner.

    Numbers of facilities are the lab's own, counted in model order.
    """
    return Catalogue(
        places=tuple(PeeringPlace(name=m.peering_location, azure_region=m.region) for m in model.metros),
        facilities=(*_buildings(model), *_exchanges(model)),
        providers=_providers(model),
        reserved={
            f"{peering.name}/{connection.name}": ReservedPrefixes(
                v4=connection.session_prefix_v4, v6=connection.session_prefix_v6
            )
            for peering in model.peerings
            for connection in peering.connections
            if connection.address_provider == "Microsoft"
        },
        public_ranges=model.public_ranges,
    )


def exchange_lans(model: LabModel) -> tuple[Prefix, ...]:
    """Prefixes of every peering LAN of the lab."""
    found = (
        Prefix(str(ipaddress.ip_interface(address).network))
        for lan in _lans(model)
        for _, v4, v6 in _members(model, lan)
        for address in (v4, v6)
        if address
    )
    return tuple(dict.fromkeys(found))


def _buildings(model: LabModel) -> tuple[Facility, ...]:
    return tuple(
        Facility(
            id=_FIRST_FACILITY + number,
            name=f"{metro.peering_location} facility",
            peering_location=metro.peering_location,
            kind=Kind.DIRECT,
            direct_types=tuple(DirectPeeringType),
        )
        for number, metro in enumerate(model.metros)
    )


def _exchanges(model: LabModel) -> tuple[Facility, ...]:
    cloud = model.cloud()
    metros = {metro.name: metro.peering_location for metro in model.metros}
    found = []
    for number, lan in enumerate(_lans(model)):
        members = _members(model, lan)
        routers = [(n, v4, v6) for n, v4, v6 in members if cloud is not None and n.asn == cloud.asn]
        metro = lan.metro or next((n.metro for n, _, _ in routers if n.metro), None)
        if not routers or metro is None:
            continue
        prefixes = {ipaddress.ip_interface(a).network for _, v4, v6 in members for a in (v4, v6) if a}
        found.append(
            Facility(
                id=_FIRST_EXCHANGE + number,
                name=lan.name,
                peering_location=metros[metro],
                kind=Kind.EXCHANGE,
                lan_v4=next((Prefix(str(p)) for p in prefixes if p.version == 4), None),
                lan_v6=next((Prefix(str(p)) for p in prefixes if p.version == 6), None),
                microsoft=tuple(MicrosoftRouter(router=n.name, v4=_bare(v4), v6=_bare(v6)) for n, v4, v6 in routers),
            )
        )
    return tuple(found)


def _providers(model: LabModel) -> tuple[ServiceProvider, ...]:
    places: dict[tuple[str, int], list[str]] = {}
    for peering in model.peerings:
        places.setdefault((peering.peer_as, peering.peer_asn), []).append(peering.peering_location)
    return tuple(
        ServiceProvider(name=name, asn=asn, peering_locations=tuple(dict.fromkeys(locations)))
        for (name, asn), locations in places.items()
    )


def _lans(model: LabModel) -> tuple[Node, ...]:
    """Switches of peering LANs: those whose links are of purpose LAN."""
    lan_links = {link.id for link in model.links if link.purpose is LinkPurpose.LAN}
    return tuple(n for n in model.nodes if n.kind is NodeKind.SWITCH and any(i.link in lan_links for i in n.interfaces))


def _members(model: LabModel, lan: Node) -> list[tuple[Node, str | None, str | None]]:
    links = {interface.link for interface in lan.interfaces}
    return [
        (node, interface.v4, interface.v6)
        for node in model.nodes
        if node.name != lan.name
        for interface in node.interfaces
        if interface.link in links
    ]


def _bare(address: str | None) -> Address | None:
    return Address(str(ipaddress.ip_interface(address).ip)) if address else None
