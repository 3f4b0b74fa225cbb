"""The published resource that belongs to a record (spec 1.4, 1.5).

Session states are what the edge routers say at that moment; they are an argument, not a record. A session that is not
provisioned yet is ``PendingAdd``; one that is being taken away ``PendingRemove``.
"""

from __future__ import annotations

from collections.abc import Mapping

from peerlab.bgp.attributes import Family
from peerlab.peering.enums import ConnectionState, Kind, ProvisioningState, SessionState, Size, SkuFamily, Tier
from peerlab.peering.peer_asn import PeerAsn, PeerAsnProperties
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
from peerlab.peering.peering_service import (
    LogAnalyticsWorkspaceProperties,
    PeeringService,
    PeeringServicePrefix,
    PeeringServicePrefixProperties,
    PeeringServiceProperties,
    PeeringServiceSku,
)
from peerlab.peering.received_route import ConnectionMonitorTest, ConnectionMonitorTestProperties
from peerlab.peering.record import (
    ConnectionRecord,
    FamilySession,
    MonitorTestRecord,
    PeerAsnRecord,
    PeeringRecord,
    PeeringServiceRecord,
    RegisteredAsnRecord,
    RegisteredPrefixRecord,
    ServicePrefixRecord,
    WorkspaceRecord,
)
from peerlab.peering.registration import (
    PeeringRegisteredAsn,
    PeeringRegisteredPrefix,
    RegisteredAsnProperties,
    RegisteredPrefixProperties,
)
from peerlab.peering.scope import PROVIDER
from peerlab.peering.states import LEGACY

SessionStates = Mapping[tuple[str, Family], SessionState]
"""What the routers report, by connection identifier and family; a session missing here is not up."""


def peer_asn_resource(record: PeerAsnRecord) -> PeerAsn:
    """A PeerAsn as published."""
    return PeerAsn(
        id=record.scope.peer_asn_id(record.name),
        name=record.name,
        type=f"{PROVIDER}/peerAsns",
        properties=PeerAsnProperties(
            peer_asn=record.asn,
            peer_contact_detail=record.contacts,
            peer_name=record.peer_name,
            validation_state=record.state,
            error_message=record.error,
        ),
    )


def peering_resource(record: PeeringRecord, states: SessionStates) -> Peering:
    """A peering with its connections as published."""
    direct = exchange = None
    owner = SubResource(id=record.peer_asn_id)
    if record.kind is Kind.DIRECT:
        direct = PeeringPropertiesDirect(
            connections=tuple(_direct(c, states) for c in record.connections),
            use_for_peering_service=any(c.use_for_peering_service for c in record.connections),
            peer_asn=owner,
            direct_peering_type=record.direct_type,
        )
    else:
        exchange = PeeringPropertiesExchange(
            connections=tuple(_exchange(c, states) for c in record.connections), peer_asn=owner
        )
    return Peering(
        kind=record.kind,
        sku=_sku(record.sku),
        location=record.region,
        id=record.scope.id("peerings", record.name),
        name=record.name,
        type=f"{PROVIDER}/peerings",
        tags=record.tags,
        properties=PeeringProperties(
            direct=direct,
            exchange=exchange,
            connectivity_probes=record.probes,
            peering_location=record.peering_location,
            provisioning_state=ProvisioningState.SUCCEEDED,
        ),
    )


def registered_prefix_resource(record: RegisteredPrefixRecord, peering: PeeringRecord) -> PeeringRegisteredPrefix:
    """A registered prefix as published; it is ``Updating`` while validation is pending."""
    return PeeringRegisteredPrefix(
        id=peering.scope.id("peerings", peering.name, "registeredPrefixes", record.name),
        name=record.name,
        type=f"{PROVIDER}/peerings/registeredPrefixes",
        properties=RegisteredPrefixProperties(
            prefix=record.prefix,
            prefix_validation_state=record.state,
            peering_service_prefix_key=record.prefix_key,
            error_message=record.error,
            provisioning_state=_provisioning(record.state),
        ),
    )


def registered_asn_resource(record: RegisteredAsnRecord, peering: PeeringRecord) -> PeeringRegisteredAsn:
    """A registered ASN as published."""
    return PeeringRegisteredAsn(
        id=peering.scope.id("peerings", peering.name, "registeredAsns", record.name),
        name=record.name,
        type=f"{PROVIDER}/peerings/registeredAsns",
        properties=RegisteredAsnProperties(
            asn=record.asn,
            peering_service_prefix_key=record.prefix_key,
            provisioning_state=ProvisioningState.SUCCEEDED,
        ),
    )


def service_resource(
    record: PeeringServiceRecord, workspace: WorkspaceRecord | None = None, agents: tuple[str, ...] = ()
) -> PeeringService:
    """A peering service as published; without a backup location the internet is the backup.

    ``agents`` are connected to the subscription's workspace, where it has one.
    """
    written = None
    if workspace is not None:
        written = LogAnalyticsWorkspaceProperties(
            workspace_id=workspace.workspace_id, key=workspace.secret, connected_agents=agents
        )
    return PeeringService(
        location=record.region,
        sku=PeeringServiceSku(name=record.sku) if record.sku else None,
        id=record.scope.id("peeringServices", record.name),
        name=record.name,
        type=f"{PROVIDER}/peeringServices",
        tags=record.tags,
        properties=PeeringServiceProperties(
            peering_service_location=record.location,
            peering_service_provider=record.provider,
            provider_primary_peering_location=record.primary,
            provider_backup_peering_location=record.backup,
            provisioning_state=ProvisioningState.SUCCEEDED,
            log_analytics_workspace_properties=written,
        ),
    )


def service_prefix_resource(
    record: ServicePrefixRecord, service: PeeringServiceRecord, *, events: bool = False
) -> PeeringServicePrefix:
    """A Peering Service prefix as published; its ``events`` only when they are asked for (``$expand``)."""
    return PeeringServicePrefix(
        id=service.scope.id("peeringServices", service.name, "prefixes", record.name),
        name=record.name,
        type=f"{PROVIDER}/peeringServices/prefixes",
        properties=PeeringServicePrefixProperties(
            prefix=record.prefix,
            peering_service_prefix_key=record.prefix_key,
            prefix_validation_state=record.state,
            learned_type=record.learned,
            error_message=record.error,
            events=record.events if events else (),
            provisioning_state=_provisioning(record.state),
        ),
    )


def monitor_test_resource(
    record: MonitorTestRecord, service: PeeringServiceRecord, success: bool | None = None, path: tuple[str, ...] = ()
) -> ConnectionMonitorTest:
    """A connection monitor test as published; ``success`` is None until it has run."""
    return ConnectionMonitorTest(
        id=service.scope.id("peeringServices", service.name, "connectionMonitorTests", record.name),
        name=record.name,
        type=f"{PROVIDER}/peeringServices/connectionMonitorTests",
        properties=ConnectionMonitorTestProperties(
            source_agent=record.source_agent,
            destination=record.destination,
            destination_port=record.destination_port,
            test_frequency_in_sec=record.frequency,
            is_test_successful=success,
            path=path,
            provisioning_state=ProvisioningState.SUCCEEDED,
        ),
    )


def _direct(record: ConnectionRecord, states: SessionStates) -> DirectConnection:
    return DirectConnection(
        bandwidth_in_mbps=record.bandwidth,
        provisioned_bandwidth_in_mbps=record.provisioned_bandwidth,
        session_address_provider=record.address_provider,
        use_for_peering_service=record.use_for_peering_service,
        microsoft_tracking_id=record.tracking_id,
        peering_db_facility_id=record.facility_id,
        connection_state=_shown(record.state),
        bgp_session=_session(record, states),
        connection_identifier=record.identifier,
        error_message=record.error,
    )


def _shown(state: str) -> ConnectionState:
    """A connection that was made out of band carries traffic, so it is listed as Active (spec 2.7)."""
    return ConnectionState.ACTIVE if state == LEGACY else ConnectionState(state)


def _exchange(record: ConnectionRecord, states: SessionStates) -> ExchangeConnection:
    return ExchangeConnection(
        peering_db_facility_id=record.facility_id,
        connection_state=_shown(record.state),
        bgp_session=_session(record, states),
        connection_identifier=record.identifier,
        error_message=record.error,
    )


def _session(record: ConnectionRecord, states: SessionStates) -> BgpSession | None:
    """None until there are addresses; an omitted family has a limit of 0 [REC]."""
    v4, v6 = record.v4 or FamilySession(), record.v6 or FamilySession()
    if not v4.addressed and not v6.addressed:
        return None
    return BgpSession(
        session_prefix_v4=v4.prefix,
        session_prefix_v6=v6.prefix,
        microsoft_session_ipv4_address=v4.microsoft,
        microsoft_session_ipv6_address=v6.microsoft,
        peer_session_ipv4_address=v4.peer,
        peer_session_ipv6_address=v6.peer,
        session_state_v4=_state(record, v4, Family.IPV4, states),
        session_state_v6=_state(record, v6, Family.IPV6, states),
        max_prefixes_advertised_v4=v4.max_prefixes,
        max_prefixes_advertised_v6=v6.max_prefixes,
        md5_authentication_key=record.md5,
    )


def _state(record: ConnectionRecord, session: FamilySession, family: Family, states: SessionStates) -> SessionState:
    if not session.addressed:
        return SessionState.NONE
    reported = states.get((record.identifier, family))
    if reported is not None:
        return reported
    if record.state == ConnectionState.PENDING_REMOVE:
        return SessionState.PENDING_REMOVE
    return SessionState.PENDING_ADD if record.stage is None else SessionState.IDLE


def _sku(name: str) -> PeeringSku:
    """SKU names are ``TIER_FAMILY_SIZE``."""
    tier, family, size = name.split("_")
    return PeeringSku(name=name, tier=Tier(tier), family=SkuFamily(family), size=Size(size))


def _provisioning(state: str) -> ProvisioningState:
    return ProvisioningState.UPDATING if state == "Pending" else ProvisioningState.SUCCEEDED
