"""What a PUT must satisfy before the desk accepts it, with the provider's own texts (spec 1.4 to 1.6, 3.2, 3.3).

Each function reads a request as it came and returns accepted facts, or raises RefusedError.
"""

from __future__ import annotations

import re

from peerlab.bgp.attributes import Address, Prefix
from peerlab.peering.addressing import (
    direct_addresses,
    host_address,
    inside,
    network,
    session_prefix_v4,
    session_prefix_v6,
)
from peerlab.peering.catalogue import Facility
from peerlab.peering.enums import DirectPeeringType, Kind, SessionAddressProvider
from peerlab.peering.number_space import is_public_asn
from peerlab.peering.peering_resource import BgpSession, DirectConnection
from peerlab.peering.record import FamilySession, PeerAsnRecord
from peerlab.peering.refusal import bad_argument

BANDWIDTH_STEP = 10_000
BANDWIDTH_LIMIT = 100_000

LAST_ASN = 4_294_967_295
LONGEST_ASN = len(str(LAST_ASN))

MICROSOFT_ASNS = frozenset({8068, 8069, 8075, 12076})
"""AS numbers that Microsoft itself manages (spec 3.0)."""

FREE_MAIL_DOMAINS = ("yahoo.", "gmail.", "hotmail.")
"""Mail domains that are not a company's [IP/howto-subscription-association-portal]."""

_PEER_NAME = re.compile(r"[A-Za-z ]+\Z")

_SKUS: dict[str, Kind] = {
    "Basic_Exchange_Free": Kind.EXCHANGE,
    "Basic_Direct_Free": Kind.DIRECT,
    "Premium_Direct_Free": Kind.DIRECT,
    "Premium_Exchange_Metered": Kind.EXCHANGE,
    "Premium_Direct_Metered": Kind.DIRECT,
    "Premium_Direct_Unlimited": Kind.DIRECT,
}

PREMIUM_ONLY = frozenset({DirectPeeringType.IX_RS, DirectPeeringType.VOICE})
"""Types that exist only as Premium Free (spec 3.5, 3.7)."""


def check_bandwidth(mbps: int) -> None:
    """Bandwidth of a Direct connection, in Mbps. Raises RefusedError [PWSH]."""
    if mbps <= 0:
        raise bad_argument(f"Bandwidth {mbps} must be greater than 0")
    if mbps > BANDWIDTH_LIMIT:
        raise bad_argument(f"Bandwidth:{mbps} is greater than {BANDWIDTH_LIMIT}.")
    if mbps % BANDWIDTH_STEP:
        raise bad_argument(f"Bandwidth {mbps} must have a multiple of {BANDWIDTH_STEP}.")


def check_bandwidth_change(before: int, after: int, *, active: bool) -> None:
    """A new bandwidth for an existing connection: up or down on Active [IP], only up before [PWSH]."""
    check_bandwidth(after)
    if after < before and not active:
        raise bad_argument(f"Downgrading bandwidth from {before} to {after} not supported.")


def check_facility_id(facility_id: int | None) -> int:
    """A PeeringDB facility id. Raises RefusedError."""
    if facility_id is None or facility_id <= 0:
        raise bad_argument(f"peeringDBFacilityId {facility_id} must be greater than 0")
    return facility_id


def check_sku(name: str | None, kind: Kind, direct_type: DirectPeeringType | None) -> str:
    """A SKU that fits the kind and type. Raises RefusedError(BadArgument) [INF code]."""
    if name not in _SKUS:
        raise bad_argument(f"Sku '{name}' is unknown; use one of {', '.join(_SKUS)}")
    if _SKUS[name] is not kind:
        raise bad_argument(f"Sku '{name}' is not for {kind} peerings")
    if direct_type in PREMIUM_ONLY and name != "Premium_Direct_Free":
        raise bad_argument(f"Peering type {direct_type} needs sku 'Premium_Direct_Free', not '{name}'")
    return name


def asn_of(text: str) -> int:
    """An AS number in figures. Raises RefusedError."""
    if not (text.isdecimal() and len(text) <= LONGEST_ASN and int(text) <= LAST_ASN):
        raise bad_argument(f"'{text[:LONGEST_ASN]}' is not an AS number")
    return int(text)


def check_peer_asn_number(asn: int | None) -> int:
    """The number of a PeerAsn. Raises RefusedError; whether it is acceptable is for the review."""
    if asn is None or not 0 < asn <= LAST_ASN:
        raise bad_argument(f"PeerAsn {asn} must be between 1 and 4294967295")
    if asn in MICROSOFT_ASNS:
        raise bad_argument(f"PeerAsn {asn} is reserved for Microsoft")
    return asn


def review_problems(record: PeerAsnRecord) -> tuple[str, ...]:
    """What a reviewer would object to in a PeerAsn (spec 3.0, 3.1, 4.4), in words of our own; none documented."""
    problems: list[str] = []
    if not is_public_asn(record.asn):
        problems.append(f"AS{record.asn} is not a publicly routable ASN")
    if not _PEER_NAME.match(record.peer_name):
        problems.append("peerName may hold letters and spaces only, as in the PeeringDB profile")
    nocs = [c for c in record.contacts if c.role == "Noc" and c.email and c.phone]
    if not nocs:
        problems.append("a NOC contact with mail and phone is missing")
    for contact in record.contacts:
        domain = (contact.email or "").rpartition("@")[2].lower()
        if domain.startswith(FREE_MAIL_DOMAINS):
            problems.append(f"{contact.email} is not a corporate mail address")
    return tuple(problems)


def direct_sessions(
    session: BgpSession | None, provider: SessionAddressProvider
) -> tuple[FamilySession | None, FamilySession | None]:
    """IPv4 and IPv6 of a Direct connection. Raises RefusedError (spec 1.5, 1.6)."""
    if session is None:
        if provider is SessionAddressProvider.MICROSOFT:
            return None, None
        raise bad_argument("bgpSession must not be null when sessionAddressProvider is Peer")
    v4 = session_prefix_v4(session.session_prefix_v4) if session.session_prefix_v4 else None
    v6 = session_prefix_v6(session.session_prefix_v6) if session.session_prefix_v6 else None
    if v4 is None and v6 is None and provider is SessionAddressProvider.PEER:
        raise bad_argument("sessionPrefixV4 or sessionPrefixV6 must be given when sessionAddressProvider is Peer")
    return (
        _direct_family(v4, session.max_prefixes_advertised_v4, "maxPrefixesAdvertisedV4", provider),
        _direct_family(v6, session.max_prefixes_advertised_v6, "maxPrefixesAdvertisedV6", provider),
    )


def _direct_family(
    prefix: Prefix | None, limit: int | None, field: str, provider: SessionAddressProvider
) -> FamilySession | None:
    if prefix is None:
        if provider is SessionAddressProvider.MICROSOFT:
            return FamilySession(max_prefixes=_limit(limit, field)) if limit else None
        _no_limit(limit, field)
        return None
    ends = direct_addresses(prefix)
    return FamilySession(prefix=prefix, peer=ends.peer, microsoft=ends.microsoft, max_prefixes=_limit(limit, field))


def _limit(limit: int | None, field: str) -> int:
    if limit is None or limit <= 0:
        raise bad_argument(f"{field} {limit} must be greater than 0")
    return limit


def _no_limit(limit: int | None, field: str) -> None:
    if limit:
        raise bad_argument(f"{field} must be null when that family has no address")


def exchange_peer_addresses(session: BgpSession | None) -> tuple[Address | None, Address | None]:
    """The peer's hosts on the exchange LAN. Raises RefusedError (spec 1.6)."""
    if session is None:
        raise bad_argument("bgpSession must not be null")
    v4, v6 = session.peer_session_ipv4_address, session.peer_session_ipv6_address
    peer_v4 = host_address(v4, 4) if v4 else None
    peer_v6 = host_address(v6, 6) if v6 else None
    if peer_v4 is None and peer_v6 is None:
        raise bad_argument("peerSessionIPv4Address or peerSessionIPv6Address must be given")
    return peer_v4, peer_v6


def exchange_family(
    peer: Address | None, microsoft: Address | None, limit: int | None, facility: Facility, version: int
) -> FamilySession | None:
    """One family of an exchange connection towards one Microsoft router. Raises RefusedError."""
    field = f"maxPrefixesAdvertisedV{version}"
    lan = facility.lan_v4 if version == 4 else facility.lan_v6
    if peer is None:
        _no_limit(limit, field)
        return None
    if lan is None or microsoft is None:
        raise bad_argument(f"Exchange {facility.name} has no IPv{version} for peering with Microsoft")
    _check_on_lan(peer, microsoft, lan)
    return FamilySession(prefix=lan, peer=peer, microsoft=microsoft, max_prefixes=_limit(limit, field))


def route_server_family(
    prefix: str | None, peer: str | None, microsoft: str | None, limit: int | None, version: int
) -> FamilySession | None:
    """One family of a route-server (IxRs) connection: LAN and both addresses are explicit. Raises RefusedError."""
    if not prefix and not peer and not microsoft:
        _no_limit(limit, f"maxPrefixesAdvertisedV{version}")
        return None
    if not prefix or not peer or not microsoft:
        raise bad_argument(
            f"An IxRs connection needs sessionPrefixV{version}, peerSessionIPv{version}Address and "
            f"microsoftSessionIPv{version}Address together"
        )
    lan = network(prefix)
    if lan.version != version:
        raise bad_argument(f"{prefix} is not in proper IP / CIDR notation.")
    peer_host, microsoft_host = host_address(peer, version), host_address(microsoft, version)
    _check_on_lan(peer_host, microsoft_host, str(lan))
    return FamilySession(
        prefix=Prefix(str(lan)),
        peer=peer_host,
        microsoft=microsoft_host,
        max_prefixes=_limit(limit, f"maxPrefixesAdvertisedV{version}"),
    )


def _check_on_lan(peer: Address, microsoft: Address, lan: str) -> None:
    for address in (peer, microsoft):
        if not inside(address, lan):
            raise bad_argument(f"{address} is not inside {lan}")
    if peer == microsoft:
        raise bad_argument(f"{peer} is Microsoft's address on {lan}")


def check_address_provider(connection: DirectConnection, direct_type: DirectPeeringType) -> SessionAddressProvider:
    """Who provides addresses: always the peer for IxRs, always Microsoft for Voice (spec 3.5, 3.7)."""
    provider = connection.session_address_provider or SessionAddressProvider.PEER
    if direct_type is DirectPeeringType.IX_RS and provider is not SessionAddressProvider.PEER:
        raise bad_argument("sessionAddressProvider must be Peer for peering type IxRs")
    if direct_type is DirectPeeringType.VOICE and provider is not SessionAddressProvider.MICROSOFT:
        raise bad_argument("sessionAddressProvider must be Microsoft for peering type Voice")
    return provider
