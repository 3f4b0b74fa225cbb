"""Peerings that were made out of band: from a topology's request to the record that waits for conversion (spec 2.7)."""

from __future__ import annotations

from collections.abc import Callable

from peerlab.bgp.attributes import Address, Prefix
from peerlab.peering.catalogue import Catalogue
from peerlab.peering.enums import DirectPeeringType, Kind, SessionAddressProvider
from peerlab.peering.record import ConnectionRecord, FamilySession, LegacyRecord, PeeringRecord
from peerlab.peering.scope import Scope
from peerlab.peering.states import LEGACY
from peerlab.topology.model import ConnectionRequest, PeeringRequest, PolicyStage

PREFIX = "legacy-"
"""Before the topology's name of the peering: a key that no resource of the lab has."""


def legacy_of(asked: PeeringRequest, catalogue: Catalogue, new_id: Callable[[], str]) -> LegacyRecord:
    """The peering as Microsoft has it on its routers without a resource: policy open, all as the topology says."""
    kind = Kind(asked.kind)
    here = [f.id for f in catalogue.facilities if f.kind is kind and f.peering_location == asked.peering_location]
    return LegacyRecord(
        key=f"{PREFIX}{asked.name}",
        asn=asked.peer_asn,
        kind=kind,
        peering_location=asked.peering_location,
        direct_type=DirectPeeringType(asked.direct_peering_type) if kind is Kind.DIRECT else None,
        connections=tuple(_connection(c, new_id(), next(iter(here), 0)) for c in asked.connections),
    )


def _connection(asked: ConnectionRequest, identifier: str, facility: int) -> ConnectionRecord:
    return ConnectionRecord(
        identifier=identifier,
        label=identifier,
        state=LEGACY,
        stage=PolicyStage.ALLOW,
        bandwidth=asked.bandwidth_mbps,
        provisioned_bandwidth=asked.bandwidth_mbps,
        address_provider=SessionAddressProvider.PEER,
        facility_id=facility,
        v4=_family(asked.session_prefix_v4, asked.peer_v4, asked.microsoft_v4, asked.max_prefixes_v4),
        v6=_family(asked.session_prefix_v6, asked.peer_v6, asked.microsoft_v6, asked.max_prefixes_v6),
        md5=asked.md5,
        approved=True,
        notified=True,
    )


def _family(
    prefix: Prefix | None, peer: Address | None, microsoft: Address | None, limit: int
) -> FamilySession | None:
    if peer is None or microsoft is None:
        return None
    return FamilySession(prefix=prefix, peer=peer, microsoft=microsoft, max_prefixes=limit)


def as_listed(legacy: LegacyRecord, scope: Scope, region: str, peer_asn_id: str) -> PeeringRecord:
    """A legacy peering as ``legacyPeerings`` shows it to a subscription: not its resource, but what one would be."""
    return PeeringRecord(
        key=legacy.key,
        scope=scope,
        name=legacy.key,
        kind=legacy.kind,
        region=region,
        sku="Basic_Direct_Free" if legacy.kind is Kind.DIRECT else "Basic_Exchange_Free",
        peering_location=legacy.peering_location,
        peer_asn="",
        peer_asn_id=peer_asn_id,
        asn=legacy.asn,
        direct_type=legacy.direct_type,
        connections=legacy.connections,
    )


