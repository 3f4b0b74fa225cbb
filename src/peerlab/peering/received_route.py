"""What Microsoft tells about routes: received, unbilled and CDN prefixes, looking glass, monitor tests (spec 1.4)."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.peering.enums import LookingGlassCommand, ProvisioningState


class PeeringReceivedRoute(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A route as received from the peer; all read-only. ``as_path`` is text, ``received_timestamp`` RFC 3339."""

    prefix: Prefix | None = None
    next_hop: str | None = None
    as_path: str | None = None
    origin_as_validation_state: str | None = None
    rpki_validation_state: str | None = None
    trust_anchor: str | None = None
    received_timestamp: str | None = None


class RpUnbilledPrefix(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A prefix that is not billed for."""

    prefix: Prefix | None = None
    azure_region: str | None = None
    peer_asn: int | None = None


class CdnPeeringPrefixProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A prefix of Microsoft's CDN with the community it is announced with."""

    prefix: Prefix | None = None
    azure_region: str | None = None
    azure_service: str | None = None
    is_primary_region: bool | None = None
    bgp_community: str | None = None


class CdnPeeringPrefix(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/cdnPeeringPrefixes``; named like ``CdnPrefix_192_168_1_0_24``."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: CdnPeeringPrefixProperties = CdnPeeringPrefixProperties()


class LookingGlassOutput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a looking glass printed."""

    command: LookingGlassCommand
    output: str


class ConnectionMonitorTestProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A reachability test of a Peering Service; the result and the path are read-only."""

    source_agent: str | None = None
    destination: str | None = None
    destination_port: int | None = None
    test_frequency_in_sec: int | None = None
    is_test_successful: bool | None = None
    path: tuple[str, ...] = ()
    provisioning_state: ProvisioningState | None = None


class ConnectionMonitorTest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peeringServices/connectionMonitorTests``."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: ConnectionMonitorTestProperties = ConnectionMonitorTestProperties()
