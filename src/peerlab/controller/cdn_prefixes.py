"""``cdnPeeringPrefixes``: the cloud's own prefixes as a location's edge routers announce them (spec 3.11)."""

from __future__ import annotations

import asyncio

from peerlab.bgp.attributes import Prefix
from peerlab.controller.office import Office
from peerlab.errors import PeerlabError
from peerlab.peering.received_route import CdnPeeringPrefixProperties
from peerlab.topology.model import LabModel

NAMESPACE = "8069:"
"""Communities of Microsoft's that tell service and region [PSHELP Get-AzPeeringCdnPrefix]."""


async def cdn_prefixes(office: Office, location: str) -> list[CdnPeeringPrefixProperties]:
    """Every prefix that is announced at a peering location, with the region it comes from and its community, where the
    announcement carries one. Nothing for an unknown location [REC]."""
    model = office.lab.model
    regions = {m.peering_location.casefold(): m.region for m in model.metros}
    here = regions.get(location.casefold())
    if here is None:
        return []
    sessions = [
        (node, session)
        for peering in office.ledger.peerings.values()
        if peering.peering_location.casefold() == location.casefold()
        for _, session, node in office.sessions_of(peering)
    ]

    async def announced(node: str, session: str) -> dict[Prefix, tuple[str, ...]]:
        try:
            routes = await (await office.lab.router(node)).rib("adj-rib-out", session)
        except PeerlabError:
            return {}
        return {route.prefix: route.attributes.communities for route in routes}

    told: dict[Prefix, tuple[str, ...]] = {}
    for answer in await asyncio.gather(*(announced(node, session) for node, session in sessions)):
        told |= answer
    origins = _regions_of(model)
    return [
        CdnPeeringPrefixProperties(
            prefix=prefix,
            azure_region=origins.get(prefix),
            is_primary_region=origins.get(prefix) == here,
            bgp_community=next((c for c in communities if c.startswith(NAMESPACE)), None),
        )
        for prefix, communities in sorted(told.items())
    ]


def _regions_of(model: LabModel) -> dict[Prefix, str]:
    """The region in which each of the cloud's prefixes is originated."""
    cloud, regions = model.cloud(), {metro.name: metro.region for metro in model.metros}
    return {
        prefix: regions[node.metro]
        for node in model.nodes
        if cloud is not None and node.as_name == cloud.name and node.metro in regions
        for prefix in node.originates
    }
