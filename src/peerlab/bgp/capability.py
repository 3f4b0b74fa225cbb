"""Capabilities of an OPEN (RFC 5492): one value type, and a builder for each that peerlab speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum, IntFlag

import msgspec

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.bgp.nlri import AFI, SAFI_UNICAST


class CapabilityCode(IntEnum):
    """Capability codes, named as in IANA's registry."""

    MULTIPROTOCOL = 1
    ROUTE_REFRESH = 2
    OUTBOUND_ROUTE_FILTERING = 3
    EXTENDED_NEXT_HOP = 5
    EXTENDED_MESSAGE = 6
    BGPSEC = 7
    MULTIPLE_LABELS = 8
    BGP_ROLE = 9
    GRACEFUL_RESTART = 64
    FOUR_OCTET_AS = 65
    DYNAMIC_CAPABILITY = 67
    ADD_PATH = 69
    ENHANCED_ROUTE_REFRESH = 70
    LONG_LIVED_GRACEFUL_RESTART = 71
    FQDN = 73
    SOFTWARE_VERSION = 75


class AddPathMode(IntFlag):
    """Send/Receive of the ADD-PATH capability (RFC 7911 section 4)."""

    RECEIVE = 1
    SEND = 2


class Capability(msgspec.Struct, frozen=True, array_like=True):
    """One capability as on the wire. A code that peerlab does not know is kept and otherwise ignored."""

    code: int
    value: bytes = b""

    def name(self) -> str:
        """Its name in words, or its number: ``four octet as``, ``capability 239``."""
        try:
            return CapabilityCode(self.code).name.lower().replace("_", " ")
        except ValueError:
            return f"capability {self.code}"


ROLE_VALUES = {
    BgpRole.PROVIDER: 0,
    BgpRole.RS: 1,
    BgpRole.RS_CLIENT: 2,
    BgpRole.CUSTOMER: 3,
    BgpRole.PEER: 4,
}
"""Octets of the BGP Role capability (RFC 9234 section 4.1)."""


def multiprotocol(family: Family) -> Capability:
    """Unicast routes of this family (RFC 4760 section 8)."""
    return Capability(CapabilityCode.MULTIPROTOCOL, bytes([0, AFI[family], 0, SAFI_UNICAST]))


def route_refresh() -> Capability:
    """ROUTE-REFRESH messages are understood (RFC 2918 section 2)."""
    return Capability(CapabilityCode.ROUTE_REFRESH)


def enhanced_route_refresh() -> Capability:
    """A refresh is bracketed by BoRR and EoRR (RFC 7313 section 3.1)."""
    return Capability(CapabilityCode.ENHANCED_ROUTE_REFRESH)


def extended_message() -> Capability:
    """Messages of up to 65535 octets are understood (RFC 8654 section 3)."""
    return Capability(CapabilityCode.EXTENDED_MESSAGE)


def four_octet_as(asn: int) -> Capability:
    """AS numbers of four octets, and this speaker's own (RFC 6793 section 3)."""
    return Capability(CapabilityCode.FOUR_OCTET_AS, asn.to_bytes(4, "big"))


def bgp_role(role: BgpRole) -> Capability:
    """The sender's role in the relation (RFC 9234 section 4.1)."""
    return Capability(CapabilityCode.BGP_ROLE, bytes([ROLE_VALUES[role]]))


def add_path(modes: Mapping[Family, AddPathMode]) -> Capability:
    """Several paths per prefix, per family (RFC 7911 section 4)."""
    value = b"".join(bytes([0, AFI[family], SAFI_UNICAST, mode]) for family, mode in modes.items())
    return Capability(CapabilityCode.ADD_PATH, value)


def extended_next_hop(families: Iterable[Family] = (Family.IPV4,)) -> Capability:
    """NLRI of these families may have a next hop of the other one (RFC 8950 section 4)."""
    value = b""
    for family in families:
        other = Family.IPV6 if family is Family.IPV4 else Family.IPV4
        value += bytes([0, AFI[family], 0, SAFI_UNICAST, 0, AFI[other]])
    return Capability(CapabilityCode.EXTENDED_NEXT_HOP, value)


def graceful_restart(
    families: Mapping[Family, bool], *, seconds: int, restarted: bool = False, notification: bool = False
) -> Capability:
    """Graceful restart (RFC 4724 section 3): per family whether forwarding state was kept, and the restart time.

    ``restarted`` is the R bit, ``notification`` the N bit of RFC 8538. Raises ValueError over 4095 seconds.
    """
    if not 0 <= seconds <= 4095:
        raise ValueError(f"a restart time of {seconds} s does not fit 12 bits")
    head = (restarted << 15 | notification << 14 | seconds).to_bytes(2, "big")
    tail = b"".join(bytes([0, AFI[family], SAFI_UNICAST, kept << 7]) for family, kept in families.items())
    return Capability(CapabilityCode.GRACEFUL_RESTART, head + tail)
