"""What the desk remembers about each resource. Records are what ``ResourceChanged`` events carry.

A record holds facts of the process that the published resource does not show (LOA, link test, policy stage);
``view`` turns a record into the published resource.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.peering.addressing import SessionAddresses
from peerlab.peering.enums import (
    ConnectionState,
    DirectPeeringType,
    Kind,
    LearnedType,
    PrefixValidationState,
    SessionAddressProvider,
    ValidationState,
)
from peerlab.peering.peer_asn import ContactDetail
from peerlab.peering.peering_resource import ConnectivityProbe
from peerlab.peering.peering_service import PeeringServicePrefixEvent
from peerlab.peering.scope import Scope
from peerlab.topology.model import PolicyStage


class PeerAsnRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A PeerAsn. ``error`` is set when the review failed."""

    key: str
    scope: Scope
    name: str
    asn: int
    peer_name: str
    contacts: tuple[ContactDetail, ...] = ()
    state: ValidationState = ValidationState.NONE
    error: str | None = None

    @property
    def mail(self) -> str | None:
        """Where notices go: the NOC's address, else the first address there is."""
        nocs = [c.email for c in self.contacts if c.email and c.role == "Noc"]
        return next(iter(nocs or [c.email for c in self.contacts if c.email]), None)


class FamilySession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One address family of a connection. ``prefix`` is the interconnect's or the exchange LAN's.

    ``unvalidated``: the family was added to a connection whose policy is open; this session stays denied until
    validation has passed for it too.
    """

    prefix: Prefix | None = None
    peer: Address | None = None
    microsoft: Address | None = None
    max_prefixes: int = 0
    unvalidated: bool = False

    @property
    def addressed(self) -> bool:
        return self.peer is not None and self.microsoft is not None


class LinkTestRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A link test: its addresses, and once it is over whether it passed. ``running`` holds the addresses."""

    addresses: SessionAddresses
    running: bool = True
    passed: bool | None = None
    detail: str = ""


class ConnectionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One connection. ``label`` is its name in the lab (else its identifier), ``identifier`` its GUID.

    ``stage`` None means that no session is provisioned on the edge. ``bandwidth`` is asked for, in Mbps;
    ``provisioned_bandwidth`` is what carries traffic. ``wants_peering_service`` is a conversion under way.
    ``needs_bfd``: it is for Voice, so its sessions exchange no route before their BFD is Up (spec 3.7).
    """

    identifier: str
    label: str
    state: str = ConnectionState.NONE
    stage: PolicyStage | None = None
    bandwidth: int = 0
    provisioned_bandwidth: int = 0
    address_provider: SessionAddressProvider = SessionAddressProvider.PEER
    use_for_peering_service: bool = False
    wants_peering_service: bool = False
    needs_bfd: bool = False
    facility_id: int = 0
    v4: FamilySession | None = None
    v6: FamilySession | None = None
    md5: str | None = None
    tracking_id: str | None = None
    error: str | None = None
    approved: bool = False
    loa: str | None = None
    notified: bool = False
    link_test: LinkTestRecord | None = None


class PeeringRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A peering with its connections. ``peer_asn`` is a PeerAsn's key; ``wanted_type`` a conversion under way."""

    key: str
    scope: Scope
    name: str
    kind: Kind
    region: str
    sku: str
    peering_location: str
    peer_asn: str
    peer_asn_id: str
    asn: int
    direct_type: DirectPeeringType | None = None
    wanted_type: DirectPeeringType | None = None
    connections: tuple[ConnectionRecord, ...] = ()
    tags: dict[str, str] = {}
    probes: tuple[ConnectivityProbe, ...] = ()

    def connection(self, name: str) -> ConnectionRecord | None:
        """The connection with this label or identifier."""
        return next((c for c in self.connections if name in (c.label, c.identifier)), None)

    def replacing(self, connection: ConnectionRecord) -> PeeringRecord:
        """This peering with the connection of the same identifier replaced."""
        return msgspec.structs.replace(
            self,
            connections=tuple(connection if c.identifier == connection.identifier else c for c in self.connections),
        )


class RegisteredPrefixRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prefix registered by a partner under a peering. ``prefix_key`` is what the customer needs."""

    key: str
    peering: str
    name: str
    prefix: str
    prefix_key: str
    state: PrefixValidationState = PrefixValidationState.NONE
    error: str | None = None


class RegisteredAsnRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A customer ASN registered by a route-server partner under a peering."""

    key: str
    peering: str
    name: str
    asn: int
    prefix_key: str


class PeeringServiceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A customer's Peering Service. ``backup`` None means that the internet is the backup (spec S0)."""

    key: str
    scope: Scope
    name: str
    region: str
    location: str
    provider: str
    primary: str
    backup: str | None = None
    sku: str | None = None
    tags: dict[str, str] = {}


class ServicePrefixRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A customer's prefix under a Peering Service."""

    key: str
    service: str
    name: str
    prefix: str
    prefix_key: str | None = None
    state: PrefixValidationState = PrefixValidationState.NONE
    learned: LearnedType = LearnedType.NONE
    error: str | None = None
    events: tuple[PeeringServicePrefixEvent, ...] = ()

    @property
    def activated(self) -> bool:
        """Whether Microsoft carries the prefix cold: only validation makes it so (spec S0)."""
        return self.state in (PrefixValidationState.VERIFIED, PrefixValidationState.WARNING)


class MonitorTestRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reachability test of a Peering Service, by echo requests without a port. ``frequency`` in seconds."""

    key: str
    service: str
    name: str
    source_agent: str
    destination: str
    destination_port: int | None = None
    frequency: int = 60


class WorkspaceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The Log Analytics workspace of a subscription, which is its key. There is none behind it in a lab."""

    key: str
    workspace_id: str
    secret: str


class LegacyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A peering made out of band, waiting to be converted into a resource (spec 2.7)."""

    key: str
    asn: int
    kind: Kind
    peering_location: str
    direct_type: DirectPeeringType | None = None
    connections: tuple[ConnectionRecord, ...] = ()

    def connection(self, name: str) -> ConnectionRecord | None:
        """The connection with this label or identifier."""
        return next((c for c in self.connections if name in (c.label, c.identifier)), None)
