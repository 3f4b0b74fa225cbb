"""The words of Microsoft.Peering, in their exact case (spec 1.3, from azure-mgmt-peering 2.0.0).

Three vocabularies are kept apart on purpose: ``ConnectionState`` is where a connection stands with Microsoft,
``SessionState`` is the BGP session as the edge router reports it, and ``topology.model.PolicyStage`` is the policy in
force on that session. None of the three implies another (spec S3: connection state is not the BGP state).
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """``kind`` of a peering."""

    DIRECT = "Direct"
    EXCHANGE = "Exchange"


class ConnectionState(StrEnum):
    """``connectionState``. ``PendingRemove`` is in Microsoft's pages but not in the SDK's (extensible) enum."""

    NONE = "None"
    PENDING_APPROVAL = "PendingApproval"
    APPROVED = "Approved"
    PROVISIONING_STARTED = "ProvisioningStarted"
    PROVISIONING_FAILED = "ProvisioningFailed"
    PROVISIONING_COMPLETED = "ProvisioningCompleted"
    VALIDATING = "Validating"
    ACTIVE = "Active"
    TYPE_CHANGE_REQUESTED = "TypeChangeRequested"
    TYPE_CHANGE_IN_PROGRESS = "TypeChangeInProgress"
    EXTERNAL_BLOCKER = "ExternalBlocker"
    PENDING_REMOVE = "PendingRemove"


class SessionState(StrEnum):
    """``sessionStateV4`` and ``sessionStateV6``: RFC 4271 names, and changes queued on the Microsoft router."""

    NONE = "None"
    IDLE = "Idle"
    CONNECT = "Connect"
    ACTIVE = "Active"
    OPEN_SENT = "OpenSent"
    OPEN_CONFIRM = "OpenConfirm"
    OPEN_RECEIVED = "OpenReceived"
    ESTABLISHED = "Established"
    PENDING_ADD = "PendingAdd"
    PENDING_UPDATE = "PendingUpdate"
    PENDING_REMOVE = "PendingRemove"


class DirectPeeringType(StrEnum):
    """``directPeeringType``; the portal's "AS8075" is Edge, "(with Voice)" Voice, "(with route server)" IxRs."""

    EDGE = "Edge"
    TRANSIT = "Transit"
    CDN = "Cdn"
    INTERNAL = "Internal"
    IX = "Ix"
    IX_RS = "IxRs"
    VOICE = "Voice"
    EDGE_ZONE_FOR_OPERATORS = "EdgeZoneForOperators"
    PEER_PROP = "PeerProp"


class SessionAddressProvider(StrEnum):
    """Who provides the addresses of a Direct session."""

    MICROSOFT = "Microsoft"
    PEER = "Peer"


class ValidationState(StrEnum):
    """``validationState`` of a PeerAsn."""

    NONE = "None"
    PENDING = "Pending"
    APPROVED = "Approved"
    FAILED = "Failed"


class PrefixValidationState(StrEnum):
    """``prefixValidationState`` of a registered prefix or a Peering Service prefix."""

    NONE = "None"
    INVALID = "Invalid"
    VERIFIED = "Verified"
    FAILED = "Failed"
    PENDING = "Pending"
    WARNING = "Warning"
    UNKNOWN = "Unknown"


class LearnedType(StrEnum):
    """How Microsoft came to see a Peering Service prefix."""

    NONE = "None"
    VIA_SERVICE_PROVIDER = "ViaServiceProvider"
    VIA_SESSION = "ViaSession"


class ProvisioningState(StrEnum):
    """``provisioningState`` of a resource."""

    SUCCEEDED = "Succeeded"
    UPDATING = "Updating"
    DELETING = "Deleting"
    FAILED = "Failed"
    CANCELED = "Canceled"


class Role(StrEnum):
    """Role of a contact."""

    NOC = "Noc"
    POLICY = "Policy"
    TECHNICAL = "Technical"
    SERVICE = "Service"
    ESCALATION = "Escalation"
    OTHER = "Other"


class Tier(StrEnum):
    """Tier of a SKU (read-only)."""

    BASIC = "Basic"
    PREMIUM = "Premium"


class SkuFamily(StrEnum):
    """Family of a SKU (read-only); the SDK's ``Family``."""

    DIRECT = "Direct"
    EXCHANGE = "Exchange"


class Size(StrEnum):
    """Size of a SKU (read-only)."""

    FREE = "Free"
    METERED = "Metered"
    UNLIMITED = "Unlimited"


class LookingGlassCommand(StrEnum):
    """What a looking glass can be asked."""

    TRACEROUTE = "Traceroute"
    PING = "Ping"
    BGP_ROUTE = "BgpRoute"


class LookingGlassSource(StrEnum):
    """Where a looking glass looks from."""

    EDGE_SITE = "EdgeSite"
    AZURE_REGION = "AzureRegion"


class ProbeProtocol(StrEnum):
    """``protocol`` of a connectivity probe."""

    NONE = "None"
    ICMP = "ICMP"
    TCP = "TCP"


class Availability(StrEnum):
    """Answer of ``checkServiceProviderAvailability``."""

    AVAILABLE = "Available"
    UNAVAILABLE = "Unavailable"


class CreatedByType(StrEnum):
    """Who made a resource (``systemData``)."""

    USER = "User"
    APPLICATION = "Application"
    MANAGED_IDENTITY = "ManagedIdentity"
    KEY = "Key"


class PrefixEventType(StrEnum):
    """``eventType`` of a Peering Service prefix event (spec 3.9)."""

    ANNOUNCEMENT = "PrefixAnnouncementEvent"
    WITHDRAWAL = "PrefixWithdrawalEvent"
    BACKUP_ANNOUNCEMENT = "PrefixBackupRouteAnnouncementEvent"
    BACKUP_WITHDRAWAL = "PrefixBackupRouteWithdrawalEvent"
    ACTIVE_PATH = "PrefixActivePath"
    BACKUP_PATH = "PrefixBackupPath"
    ORIGIN_CHANGE = "PrefixOriginAsChangeEvent"
    BACKUP_ORIGIN_CHANGE = "PrefixBackupRouteOriginAsChangeEvent"


class EventLevel(StrEnum):
    """``eventLevel`` of a Peering Service prefix event."""

    INFORMATION = "Information"
    WARNING = "Warning"
    ERROR = "Error"
    CRITICAL = "Critical"
