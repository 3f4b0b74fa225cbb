"""What can be asked of the desk: by the peer (resources), and by Microsoft's own people (the process).

Names of resources are keys (``scope``) except in the Put commands, which carry a scope and a name. ``connection`` is a
connection's label or identifier.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address
from peerlab.peering.enums import LearnedType
from peerlab.peering.peer_asn import PeerAsnProperties
from peerlab.peering.peering_resource import Peering
from peerlab.peering.peering_service import PeeringService
from peerlab.peering.prefix_event import PrefixEvent
from peerlab.peering.received_route import ConnectionMonitorTestProperties
from peerlab.peering.record import LegacyRecord
from peerlab.peering.scope import LAB, Scope
from peerlab.peering.verdict import RuleVerdict


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    pass


class PutPeerAsn(_Command, frozen=True, kw_only=True):
    """Create or update a PeerAsn."""

    name: str
    properties: PeerAsnProperties
    scope: Scope = LAB


class ApprovePeerAsn(_Command, frozen=True, kw_only=True):
    """Microsoft approves the association of the ASN with the subscription."""

    peer_asn: str


class RejectPeerAsn(_Command, frozen=True, kw_only=True):
    """Microsoft refuses it; ``reason`` becomes the errorMessage."""

    peer_asn: str
    reason: str


class DeletePeerAsn(_Command, frozen=True, kw_only=True):
    """Delete a PeerAsn; refused while a peering uses it."""

    peer_asn: str


class PutPeering(_Command, frozen=True, kw_only=True):
    """Create or update a peering. ``labels`` names connections (by identifier) as the lab knows them."""

    name: str
    peering: Peering
    scope: Scope = LAB
    labels: dict[str, str] = {}


class TagPeering(_Command, frozen=True, kw_only=True):
    """Replace the tags of a peering (PATCH)."""

    peering: str
    tags: dict[str, str]


class DeletePeering(_Command, frozen=True, kw_only=True):
    """Delete a peering; the guards of spec 2.1 apply to each of its connections."""

    peering: str


class ApproveConnection(_Command, frozen=True, kw_only=True):
    """Microsoft approves a connection. ``loa`` is the reference of the LOA that is mailed with it (Direct)."""

    peering: str
    connection: str
    loa: str = ""


class RejectConnection(_Command, frozen=True, kw_only=True):
    """Microsoft does not approve a connection; ``reason`` becomes the errorMessage."""

    peering: str
    connection: str
    reason: str


class RecordLoa(_Command, frozen=True, kw_only=True):
    """The Letter of Authorization of a connection was issued (again)."""

    peering: str
    connection: str
    loa: str


class AssignAddresses(_Command, frozen=True, kw_only=True):
    """Microsoft assigns session prefixes to a connection with Microsoft-provided addresses, and mails them."""

    peering: str
    connection: str


class StartLinkTest(_Command, frozen=True, kw_only=True):
    """Take two link-test addresses for the connection's link; ``within`` is the range the peer names, if any."""

    peering: str
    connection: str
    within: str | None = None


class FinishLinkTest(_Command, frozen=True, kw_only=True):
    """The link test is over and its addresses are off the link."""

    peering: str
    connection: str
    passed: bool
    detail: str = ""


class NotifyReady(_Command, frozen=True, kw_only=True):
    """The peer notifies Microsoft that its side of the connection is wired and configured."""

    peering: str
    connection: str


class ConfiguredNeighbor(msgspec.Struct, frozen=True, array_like=True):
    """A neighbour address that an edge router already has, and the AS it is configured with."""

    address: Address
    asn: int


class ProvisionSessions(_Command, frozen=True, kw_only=True):
    """Microsoft provisions the connection's sessions under DENY ALL. ``configured`` is what the edge has already."""

    peering: str
    connection: str
    configured: tuple[ConfiguredNeighbor, ...] = ()


class JudgeValidation(_Command, frozen=True, kw_only=True):
    """The end-to-end validation was run; its verdicts decide whether the policy may open."""

    peering: str
    connection: str
    verdicts: tuple[RuleVerdict, ...]


class OpenPolicy(_Command, frozen=True, kw_only=True):
    """Microsoft replaces DENY ALL by the peering's policy, in one atomic step."""

    peering: str
    connection: str


class ReportSessionLost(_Command, frozen=True, kw_only=True):
    """A session of a connection that is not Active yet went down; validation starts again."""

    peering: str
    connection: str
    reason: str


class RaiseBlocker(_Command, frozen=True, kw_only=True):
    """Something outside Microsoft blocks the connection."""

    peering: str
    connection: str
    reason: str


class ClearBlocker(_Command, frozen=True, kw_only=True):
    """The external blocker is gone."""

    peering: str
    connection: str


class FailProvisioning(_Command, frozen=True, kw_only=True):
    """Provisioning failed; ``reason`` becomes the errorMessage."""

    peering: str
    connection: str
    reason: str


class ResumeProvisioning(_Command, frozen=True, kw_only=True):
    """Microsoft takes a failed, once approved connection up again."""

    peering: str
    connection: str


class ProvisionBandwidth(_Command, frozen=True, kw_only=True):
    """Microsoft has carried out a change of an Active connection's bandwidth."""

    peering: str
    connection: str


class Deprovision(_Command, frozen=True, kw_only=True):
    """Microsoft agrees to deprovision an Active connection: it is drained and waits for removal."""

    peering: str
    connection: str


class CompleteRemoval(_Command, frozen=True, kw_only=True):
    """Microsoft removed a drained connection; the last one takes the peering with it."""

    peering: str
    connection: str


class ApproveTypeChange(_Command, frozen=True, kw_only=True):
    """Microsoft starts converting a connection; one of a peering at a time."""

    peering: str
    connection: str


class RejectTypeChange(_Command, frozen=True, kw_only=True):
    """Microsoft rejects the conversion."""

    peering: str
    connection: str
    reason: str


class FinishTypeChange(_Command, frozen=True, kw_only=True):
    """The connection is converted and carries traffic again."""

    peering: str
    connection: str


class SeedLegacy(_Command, frozen=True, kw_only=True):
    """Record a peering that was made out of band."""

    legacy: LegacyRecord


class PutRegisteredPrefix(_Command, frozen=True, kw_only=True):
    """Register a customer's prefix under a peering."""

    peering: str
    name: str
    prefix: str


class ValidateRegisteredPrefix(_Command, frozen=True, kw_only=True):
    """Queue another validation."""

    registered: str


class JudgeRegisteredPrefix(_Command, frozen=True, kw_only=True):
    """Validation of a registered prefix is over."""

    registered: str
    verdicts: tuple[RuleVerdict, ...]


class DeleteRegisteredPrefix(_Command, frozen=True, kw_only=True):
    """Take a registration back."""

    registered: str


class PutRegisteredAsn(_Command, frozen=True, kw_only=True):
    """Register a customer's ASN under a route-server peering."""

    peering: str
    name: str
    asn: int


class DeleteRegisteredAsn(_Command, frozen=True, kw_only=True):
    """Take a registration back."""

    registered: str


class SignAgreement(_Command, frozen=True, kw_only=True):
    """The Peering Service agreement with this AS is signed."""

    asn: int


class PutPeeringService(_Command, frozen=True, kw_only=True):
    """Create a Peering Service or change its tags."""

    name: str
    service: PeeringService
    scope: Scope = LAB


class TagPeeringService(_Command, frozen=True, kw_only=True):
    """Replace the tags of a peering service (PATCH)."""

    service: str
    tags: dict[str, str]


class DeletePeeringService(_Command, frozen=True, kw_only=True):
    """Delete a Peering Service with its prefixes."""

    service: str


class PutServicePrefix(_Command, frozen=True, kw_only=True):
    """Add a prefix to a Peering Service, with the provider's key."""

    service: str
    name: str
    prefix: str
    prefix_key: str | None = None


class JudgeServicePrefix(_Command, frozen=True, kw_only=True):
    """Validation of a Peering Service prefix is over; ``learned`` is how Microsoft saw the prefix."""

    prefix: str
    verdicts: tuple[RuleVerdict, ...]
    learned: LearnedType = LearnedType.NONE


class RevalidateServicePrefix(_Command, frozen=True, kw_only=True):
    """Queue another validation of a Peering Service prefix."""

    prefix: str


class RecordPrefixEvents(_Command, frozen=True, kw_only=True):
    """Route changes of a Peering Service prefix, as events of spec 3.9."""

    prefix: str
    events: tuple[PrefixEvent, ...]


class InitializeMonitor(_Command, frozen=True, kw_only=True):
    """Set connection monitoring up for a subscription."""

    subscription: str


class PutMonitorTest(_Command, frozen=True, kw_only=True):
    """Create or change a connection monitor test of a Peering Service."""

    service: str
    name: str
    properties: ConnectionMonitorTestProperties


class DeleteMonitorTest(_Command, frozen=True, kw_only=True):
    """Delete a connection monitor test."""

    test: str


class StartMaintenance(_Command, frozen=True, kw_only=True):
    """Planned maintenance of a connection's router begins: whoever it concerns is told."""

    peering: str
    connection: str


class EndMaintenance(_Command, frozen=True, kw_only=True):
    """Planned maintenance is over, and told."""

    peering: str
    connection: str


class FlagPartner(_Command, frozen=True, kw_only=True):
    """Something about a connection is against the requirements: the peer is asked to act."""

    peering: str
    connection: str
    problem: str


class DeleteServicePrefix(_Command, frozen=True, kw_only=True):
    """Delete a prefix of a Peering Service."""

    prefix: str


Command = (
    PutPeerAsn
    | ApprovePeerAsn
    | RejectPeerAsn
    | DeletePeerAsn
    | PutPeering
    | TagPeering
    | DeletePeering
    | ApproveConnection
    | RejectConnection
    | RecordLoa
    | AssignAddresses
    | StartLinkTest
    | FinishLinkTest
    | NotifyReady
    | ProvisionSessions
    | JudgeValidation
    | OpenPolicy
    | ReportSessionLost
    | RaiseBlocker
    | ClearBlocker
    | FailProvisioning
    | ResumeProvisioning
    | ProvisionBandwidth
    | Deprovision
    | CompleteRemoval
    | ApproveTypeChange
    | RejectTypeChange
    | FinishTypeChange
    | SeedLegacy
    | PutRegisteredPrefix
    | ValidateRegisteredPrefix
    | JudgeRegisteredPrefix
    | DeleteRegisteredPrefix
    | PutRegisteredAsn
    | DeleteRegisteredAsn
    | SignAgreement
    | PutPeeringService
    | TagPeeringService
    | DeletePeeringService
    | PutServicePrefix
    | JudgeServicePrefix
    | RevalidateServicePrefix
    | RecordPrefixEvents
    | InitializeMonitor
    | PutMonitorTest
    | DeleteMonitorTest
    | StartMaintenance
    | EndMaintenance
    | FlagPartner
    | DeleteServicePrefix
)
