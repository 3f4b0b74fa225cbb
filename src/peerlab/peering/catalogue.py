"""What Microsoft offers: facilities, exchanges, service providers. Data the desk consults and never changes."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.peering.enums import DirectPeeringType, Kind


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


class ServiceLocation(msgspec.Struct, frozen=True, kw_only=True):
    """A state or province where Peering Service is sold."""

    country: str
    state: str
    azure_region: str


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on offer. ``pool_v4``/``pool_v6`` are where Microsoft-provided session prefixes come from.

    ``public_ranges`` are ranges that count as public inside the lab although the registries reserve them.
    """

    places: tuple[PeeringPlace, ...] = ()
    facilities: tuple[Facility, ...] = ()
    providers: tuple[ServiceProvider, ...] = ()
    service_locations: tuple[ServiceLocation, ...] = ()
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
