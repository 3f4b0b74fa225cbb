"""What is on offer: locations, countries, providers, availability; all from the lab's catalogue (spec 1.2, 1.4)."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response

from peerlab.api.arm_body import body_of
from peerlab.api.arm_paging import page_of, query, required
from peerlab.api.arm_peerings import SUBSCRIPTION
from peerlab.api.arm_protocol import answer
from peerlab.controller.office import Office
from peerlab.peering.catalogue import Catalogue, Facility, PeeringPlace
from peerlab.peering.enums import Availability, DirectPeeringType, Kind
from peerlab.peering.location import (
    DirectPeeringFacility,
    ExchangePeeringFacility,
    PeeringBandwidthOffer,
    PeeringLocation,
    PeeringLocationProperties,
    PeeringLocationPropertiesDirect,
    PeeringLocationPropertiesExchange,
    PeeringServiceCountry,
    PeeringServiceLocation,
    PeeringServiceLocationProperties,
    PeeringServiceProvider,
    PeeringServiceProviderProperties,
)
from peerlab.peering.refusal import bad_argument
from peerlab.peering.scope import PROVIDER

OFFERS = (
    PeeringBandwidthOffer(offer_name="10Gbps", value_in_mbps=10_000),
    PeeringBandwidthOffer(offer_name="100Gbps", value_in_mbps=100_000),
)

COUNTRIES = {
    "amsterdam": "Netherlands",
    "ashburn": "United States",
    "dublin": "Ireland",
    "london": "United Kingdom",
    "seattle": "United States",
    "singapore": "Singapore",
}
"""Where metros lie that labs are built in; a topology does not say. Any other metro is its own country."""


class AvailabilityQuestion(msgspec.Struct, frozen=True, rename="camel"):
    """Body of ``checkServiceProviderAvailability``."""

    peering_service_location: str | None = None
    peering_service_provider: str | None = None


def places(office: Office) -> APIRouter:
    """The operations on what is on offer."""
    router = APIRouter(tags=["locations"])

    def resource_id(subscription: str, kind: str, name: str) -> str:
        return f"/subscriptions/{subscription}/providers/{PROVIDER}/{kind}/{name}"

    @router.get(SUBSCRIPTION + "/peeringLocations")
    async def list_peering_locations(subscription: str, request: Request) -> Response:
        kind = _kind(required(request, "kind"))
        wanted = query(request, "directPeeringType")
        rows = []
        for place in sorted(office.catalogue.places, key=lambda p: p.name):
            properties = _location(office.catalogue, place, kind, wanted)
            if properties is not None:
                one = PeeringLocation(
                    kind=kind,
                    id=resource_id(subscription, "peeringLocations", place.name),
                    name=place.name,
                    type=f"{PROVIDER}/peeringLocations",
                    properties=properties,
                )
                rows.append(((place.name,), one))
        return page_of(request, rows)

    @router.get(SUBSCRIPTION + "/peeringServiceCountries")
    async def list_countries(subscription: str, request: Request) -> Response:
        names = sorted({_country(place) for place in office.catalogue.places})
        kind = "peeringServiceCountries"
        rows = [
            (
                (name,),
                PeeringServiceCountry(name=name, id=resource_id(subscription, kind, name), type=f"{PROVIDER}/{kind}"),
            )
            for name in names
        ]
        return page_of(request, rows)

    @router.get(SUBSCRIPTION + "/peeringServiceLocations")
    async def list_service_locations(subscription: str, request: Request) -> Response:
        country, kind = query(request, "country"), "peeringServiceLocations"
        rows = [
            (
                (place.name,),
                PeeringServiceLocation(
                    id=resource_id(subscription, kind, place.name),
                    name=place.name,
                    type=f"{PROVIDER}/{kind}",
                    properties=PeeringServiceLocationProperties(
                        country=_country(place), state=place.name, azure_region=place.azure_region
                    ),
                ),
            )
            for place in sorted(office.catalogue.places, key=lambda p: p.name)
            if not country or country.casefold() == _country(place).casefold()
        ]
        return page_of(request, rows)

    @router.get(SUBSCRIPTION + "/peeringServiceProviders")
    async def list_providers(subscription: str, request: Request) -> Response:
        kind = "peeringServiceProviders"
        rows = [
            (
                (provider.name,),
                PeeringServiceProvider(
                    id=resource_id(subscription, kind, provider.name),
                    name=provider.name,
                    type=f"{PROVIDER}/{kind}",
                    properties=PeeringServiceProviderProperties(
                        service_provider_name=provider.name, peering_locations=provider.peering_locations
                    ),
                ),
            )
            for provider in sorted(office.catalogue.providers, key=lambda p: p.name)
        ]
        return page_of(request, rows)

    @router.post(SUBSCRIPTION + "/checkServiceProviderAvailability")
    async def check_availability(subscription: str, request: Request) -> Response:
        asked = await body_of(request, AvailabilityQuestion)
        provider = office.catalogue.provider(asked.peering_service_provider or "")
        location = (asked.peering_service_location or "").casefold()
        served = provider is not None and location in {name.casefold() for name in provider.peering_locations}
        return answer(Availability.AVAILABLE if served else Availability.UNAVAILABLE)

    return router


def _kind(text: str) -> Kind:
    found = next((kind for kind in Kind if kind.casefold() == text.casefold()), None)
    if found is None:
        raise bad_argument(f"kind '{text}' must be {' or '.join(Kind)}")
    return found


def _country(place: PeeringPlace) -> str:
    return place.country or COUNTRIES.get(place.name.casefold(), place.name)


def _location(
    catalogue: Catalogue, place: PeeringPlace, kind: Kind, direct_type: str
) -> PeeringLocationProperties | None:
    here = [f for f in catalogue.facilities if f.kind is kind and f.peering_location == place.name]
    direct = exchange = None
    if kind is Kind.DIRECT:
        facilities = tuple(
            _building(facility, one)
            for facility in here
            for one in facility.direct_types
            if not direct_type or direct_type.casefold() == one.casefold()
        )
        direct = PeeringLocationPropertiesDirect(peering_facilities=facilities, bandwidth_offers=OFFERS)
    else:
        exchange = PeeringLocationPropertiesExchange(peering_facilities=tuple(map(_exchange, here)))
    if not (direct.peering_facilities if direct else here):
        return None
    return PeeringLocationProperties(
        direct=direct,
        exchange=exchange,
        peering_location=place.name,
        country=_country(place),
        azure_region=place.azure_region,
    )


def _building(facility: Facility, kind: DirectPeeringType) -> DirectPeeringFacility:
    return DirectPeeringFacility(
        address=facility.name,
        direct_peering_type=kind,
        peering_db_facility_id=facility.id,
        peering_db_facility_link=f"https://www.peeringdb.com/fac/{facility.id}",
    )


def _exchange(facility: Facility) -> ExchangePeeringFacility:
    return ExchangePeeringFacility(
        exchange_name=facility.name,
        bandwidth_in_mbps=100_000,
        microsoft_ipv4_address=",".join(r.v4 for r in facility.microsoft if r.v4),
        microsoft_ipv6_address=",".join(r.v6 for r in facility.microsoft if r.v6),
        facility_ipv4_prefix=facility.lan_v4,
        facility_ipv6_prefix=facility.lan_v6,
        peering_db_facility_id=facility.id,
        peering_db_facility_link=f"https://www.peeringdb.com/ix/{facility.id}",
    )
