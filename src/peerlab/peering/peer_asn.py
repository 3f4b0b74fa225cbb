"""The PeerAsn resource: an AS number associated with a subscription (spec 1.4, 3.1)."""

from __future__ import annotations

import msgspec

from peerlab.peering.enums import Role, ValidationState


class ContactDetail(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whom to reach at the peer. ``email`` of the NOC is where Microsoft's notices go."""

    role: Role | None = None
    email: str | None = None
    phone: str | None = None


class PeerAsnProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Properties of a PeerAsn; ``validation_state`` and ``error_message`` are read-only."""

    peer_asn: int | None = None
    peer_contact_detail: tuple[ContactDetail, ...] = ()
    peer_name: str | None = None
    validation_state: ValidationState | None = None
    error_message: str | None = None


class PeerAsn(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``Microsoft.Peering/peerAsns``; a proxy resource of the subscription."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    properties: PeerAsnProperties = PeerAsnProperties()
