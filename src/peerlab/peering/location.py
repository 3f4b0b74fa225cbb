"""Peering locations, service locations, countries and providers: what Microsoft lists (spec 1.4)."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.peering.enums import DirectPeeringType, Kind


class DirectPeeringFacility(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A building where Direct peerings are possible."""

    address: str | None = None
    direct_peering_type: DirectPeeringType | None = None
    peering_db_facility_id: int | None = msgspec.field(default=None, name="peeringDBFacilityId")
    peering_db_facility_link: str | None = msgspec.field(default=None, name="peeringDBFacilityLink")


class PeeringBandwidthOffer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A bandwidth on offer, in Mbps."""

    offer_name: str
    value_in_mbps: int


class ExchangePeeringFacility(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An exchange. ``microsoft_ipv4_address`` may hold several addresses, separated by commas [REC]."""

    exchange_name: str | None = None
    bandwidth_in_mbps: int | None = None
    microsoft_ipv4_address: str | None = msgspec.field(default=None, name="microsoftIPv4Address")
    microsoft_ipv6_address: str | None = msgspec.field(default=None, name="microsoftIPv6Address")
    facility_ipv4_prefix: Prefix | None = msgspec.field(default=None, name="facilityIPv4Prefix")
    facility_ipv6_prefix: Prefix | None = msgspec.field(default=None, name="facilityIPv6Prefix")
    peering_db_facility_id: int | None = msgspec.field(default=None, name="peeringDBFacilityId")
    peering_db_facility_link: str | None = msgspec.field(default=None, name="peeringDBFacilityLink")


class PeeringLocationPropertiesDirect(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The direct half of a location."""

    peering_facilities: tuple[DirectPeeringFacility, ...] = ()
    bandwidth_offers: tuple[PeeringBandwidthOffer, ...] = ()


class PeeringLocationPropertiesExchange(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The exchange half of a location."""

    peering_facilities: tuple[ExchangePeeringFacility, ...] = ()


class PeeringLocationProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Properties of a location, for one kind."""

    direct: PeeringLocationPropertiesDirect | None = None
    exchange: PeeringLocationPropertiesExchange | None = None
    peering_location: str | None = None
    country: str | None = None
    azure_region: str | None = None


class PeeringLocation(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peeringLocations``."""

    kind: Kind
    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: PeeringLocationProperties = PeeringLocationProperties()


class PeeringServiceCountry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A country where Peering Service is sold."""

    name: str
    id: str | None = None
    type: str | None = None


class PeeringServiceLocationProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A state or province."""

    country: str | None = None
    state: str | None = None
    azure_region: str | None = None


class PeeringServiceLocation(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peeringServiceLocations``."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: PeeringServiceLocationProperties = PeeringServiceLocationProperties()


class PeeringServiceProviderProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A provider and where it is offered."""

    service_provider_name: str | None = None
    peering_locations: tuple[str, ...] = ()


class PeeringServiceProvider(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peeringServiceProviders``."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: PeeringServiceProviderProperties = PeeringServiceProviderProperties()
