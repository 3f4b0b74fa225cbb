"""The customer's side of Peering Service: the service, its prefixes and their events (spec 1.4, 3.6, 3.9)."""

from __future__ import annotations

import msgspec

from peerlab.peering.enums import (
    EventLevel,
    LearnedType,
    PrefixEventType,
    PrefixValidationState,
    ProvisioningState,
)


class PeeringServiceSku(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """SKU of a peering service."""

    name: str | None = None


class LogAnalyticsWorkspaceProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where connection monitor tests write to (read-only)."""

    workspace_id: str | None = msgspec.field(default=None, name="workspaceID")
    key: str | None = None
    connected_agents: tuple[str, ...] = ()


class PeeringServiceProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``provider_backup_peering_location`` absent, empty or ``None`` means: the internet is the backup (spec S0)."""

    peering_service_location: str | None = None
    peering_service_provider: str | None = None
    provider_primary_peering_location: str | None = None
    provider_backup_peering_location: str | None = None
    provisioning_state: ProvisioningState | None = None
    log_analytics_workspace_properties: LogAnalyticsWorkspaceProperties | None = None


class PeeringService(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peeringServices``; a tracked resource."""

    location: str | None = None
    sku: PeeringServiceSku | None = None
    id: str | None = None
    name: str | None = None
    type: str | None = None
    tags: dict[str, str] = {}
    properties: PeeringServiceProperties = PeeringServiceProperties()


class PeeringServicePrefixEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One event of a prefix; ``event_timestamp`` is RFC 3339 text."""

    event_timestamp: str | None = None
    event_type: PrefixEventType | None = None
    event_summary: str | None = None
    event_level: EventLevel | None = None
    event_description: str | None = None


class PeeringServicePrefixProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``prefix`` and the key are the customer's; all else is read-only."""

    prefix: str | None = None
    peering_service_prefix_key: str | None = None
    prefix_validation_state: PrefixValidationState | None = None
    learned_type: LearnedType | None = None
    error_message: str | None = None
    events: tuple[PeeringServicePrefixEvent, ...] = ()
    provisioning_state: ProvisioningState | None = None


class PeeringServicePrefix(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peeringServices/prefixes``."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: PeeringServicePrefixProperties = PeeringServicePrefixProperties()
