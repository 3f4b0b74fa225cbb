"""Registered prefixes and registered ASNs: what a Peering Service partner registers under its peering (spec 1.4)."""

from __future__ import annotations

import msgspec

from peerlab.peering.enums import PrefixValidationState, ProvisioningState


class RegisteredAsnProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``asn`` is the customer's; the key (a GUID) is the server's."""

    asn: int | None = None
    peering_service_prefix_key: str | None = None
    provisioning_state: ProvisioningState | None = None


class PeeringRegisteredAsn(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peerings/registeredAsns``."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: RegisteredAsnProperties = RegisteredAsnProperties()


class RegisteredPrefixProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``prefix`` is the customer's, announced by the partner; all else is the server's."""

    prefix: str | None = None
    prefix_validation_state: PrefixValidationState | None = None
    peering_service_prefix_key: str | None = None
    error_message: str | None = None
    provisioning_state: ProvisioningState | None = None


class PeeringRegisteredPrefix(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peerings/registeredPrefixes``."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: RegisteredPrefixProperties = RegisteredPrefixProperties()
