"""The Peering resource and its connections, as they travel in JSON (spec 1.4).

Fields marked RO in the spec may be present in a request; the desk ignores them there and fills them in answers.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.peering.enums import (
    ConnectionState,
    DirectPeeringType,
    Kind,
    ProbeProtocol,
    ProvisioningState,
    SessionAddressProvider,
    SessionState,
    Size,
    SkuFamily,
    Tier,
)


class SubResource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A reference to another resource by its id."""

    id: str | None = None


class BgpSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Both sessions of a connection. Addresses are as the client wrote them until the desk accepts them."""

    session_prefix_v4: Prefix | None = None
    session_prefix_v6: Prefix | None = None
    microsoft_session_ipv4_address: Address | None = msgspec.field(default=None, name="microsoftSessionIPv4Address")
    microsoft_session_ipv6_address: Address | None = msgspec.field(default=None, name="microsoftSessionIPv6Address")
    peer_session_ipv4_address: Address | None = msgspec.field(default=None, name="peerSessionIPv4Address")
    peer_session_ipv6_address: Address | None = msgspec.field(default=None, name="peerSessionIPv6Address")
    session_state_v4: SessionState | None = None
    session_state_v6: SessionState | None = None
    max_prefixes_advertised_v4: int | None = None
    max_prefixes_advertised_v6: int | None = None
    md5_authentication_key: str | None = None


class DirectConnection(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One physical interconnect of a Direct peering."""

    bandwidth_in_mbps: int | None = None
    provisioned_bandwidth_in_mbps: int | None = None
    session_address_provider: SessionAddressProvider | None = None
    use_for_peering_service: bool | None = None
    microsoft_tracking_id: str | None = None
    peering_db_facility_id: int | None = msgspec.field(default=None, name="peeringDBFacilityId")
    connection_state: ConnectionState | None = None
    bgp_session: BgpSession | None = None
    connection_identifier: str | None = None
    error_message: str | None = None


class ExchangeConnection(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One pair of neighbours on the peering LAN of an internet exchange."""

    peering_db_facility_id: int | None = msgspec.field(default=None, name="peeringDBFacilityId")
    connection_state: ConnectionState | None = None
    bgp_session: BgpSession | None = None
    connection_identifier: str | None = None
    error_message: str | None = None


class PeeringPropertiesDirect(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The direct half of a peering's properties."""

    connections: tuple[DirectConnection, ...] = ()
    use_for_peering_service: bool | None = None
    peer_asn: SubResource | None = None
    direct_peering_type: DirectPeeringType | None = None


class PeeringPropertiesExchange(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The exchange half of a peering's properties."""

    connections: tuple[ExchangeConnection, ...] = ()
    peer_asn: SubResource | None = None


class ConnectivityProbe(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A probe Microsoft sends to an endpoint of the peer (since 2025-05-01)."""

    endpoint: str | None = None
    azure_region: str | None = None
    protocol: ProbeProtocol | None = None
    prefixes_to_accesslist: tuple[Prefix, ...] = ()


class PeeringSku(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``name`` decides; the rest is read-only."""

    name: str | None = None
    tier: Tier | None = None
    family: SkuFamily | None = None
    size: Size | None = None


class PeeringProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Properties of a peering: exactly one of ``direct`` and ``exchange``, as ``kind`` says."""

    direct: PeeringPropertiesDirect | None = None
    exchange: PeeringPropertiesExchange | None = None
    connectivity_probes: tuple[ConnectivityProbe, ...] = ()
    peering_location: str | None = None
    provisioning_state: ProvisioningState | None = None


class Peering(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peerings``; a tracked resource."""

    kind: Kind
    sku: PeeringSku = PeeringSku()
    location: str | None = None
    id: str | None = None
    name: str | None = None
    type: str | None = None
    tags: dict[str, str] = {}
    properties: PeeringProperties = PeeringProperties()
