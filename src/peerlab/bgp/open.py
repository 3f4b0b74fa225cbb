"""The OPEN message: decode, encode, and what two of them negotiate (RFC 4271 section 4.2, RFC 5492, RFC 9072)."""

from __future__ import annotations

import msgspec

from peerlab.bgp.address import address_bytes, address_text
from peerlab.bgp.as_path_codec import AS_TRANS
from peerlab.bgp.attributes import Address, BgpRole, Family
from peerlab.bgp.capability import ROLE_VALUES, AddPathMode, Capability, CapabilityCode, four_octet_as
from peerlab.bgp.nlri import family_of
from peerlab.bgp.session_context import SessionContext
from peerlab.errors import WireError

BGP_VERSION = 4

_CAPABILITIES_PARAMETER = 2
_EXTENDED_LENGTH = 255

UNSUPPORTED_VERSION = 1
BAD_PEER_AS = 2
BAD_IDENTIFIER = 3
UNSUPPORTED_PARAMETER = 4
UNACCEPTABLE_HOLD_TIME = 6
ROLE_MISMATCH = 11


class Open(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An OPEN. ``asn`` is the speaker's true AS number, from the four octet capability when that is there.

    ``hold_time`` is in seconds, 0 or at least 3. Capabilities keep their order and their duplicates.
    """

    version: int = BGP_VERSION
    asn: int
    two_octet_as: int
    hold_time: int
    router_id: Address
    capabilities: tuple[Capability, ...] = ()

    def values(self, code: CapabilityCode) -> tuple[bytes, ...]:
        """The values of every capability with this code, in order."""
        return tuple(capability.value for capability in self.capabilities if capability.code == code)

    def has(self, code: CapabilityCode) -> bool:
        """Whether a capability with this code was announced."""
        return any(capability.code == code for capability in self.capabilities)

    def families(self) -> tuple[Family, ...]:
        """Unicast families announced. Without any multiprotocol capability it is IPv4 (RFC 4760 section 8)."""
        values = self.values(CapabilityCode.MULTIPROTOCOL)
        if not values:
            return (Family.IPV4,)
        found = (family_of(value[0] << 8 | value[1], value[3]) for value in values if len(value) == 4)
        return tuple(dict.fromkeys(family for family in found if family is not None))

    def has_route_refresh(self) -> bool:
        """Route refresh was announced (RFC 2918)."""
        return self.has(CapabilityCode.ROUTE_REFRESH)

    def has_enhanced_route_refresh(self) -> bool:
        """Enhanced route refresh was announced (RFC 7313)."""
        return self.has(CapabilityCode.ENHANCED_ROUTE_REFRESH)

    @property
    def four_octet_as(self) -> int | None:
        """The AS number of the four octet AS capability (RFC 6793), None when that was not announced."""
        values = [value for value in self.values(CapabilityCode.FOUR_OCTET_AS) if len(value) == 4]
        return int.from_bytes(values[0], "big") if values else None

    @property
    def extended_message(self) -> bool:
        """Messages over 4096 octets are understood (RFC 8654)."""
        return self.has(CapabilityCode.EXTENDED_MESSAGE)

    @property
    def role(self) -> BgpRole | None:
        """The role announced (RFC 9234); None without one, or with a value that has no meaning.

        Raises WireError 2/11 when several differing roles were announced (section 4.2).
        """
        values = set(self.values(CapabilityCode.BGP_ROLE))
        if len(values) > 1:
            raise WireError(2, ROLE_MISMATCH, what="the OPEN announces several different BGP roles")
        return next((role for role, octet in ROLE_VALUES.items() if bytes([octet]) in values), None)

    @property
    def add_path(self) -> dict[Family, AddPathMode]:
        """ADD-PATH modes per unicast family (RFC 7911 section 4); an entry with an unknown mode is ignored."""
        modes = {}
        for value in self.values(CapabilityCode.ADD_PATH):
            for at in range(0, len(value) - 3, 4):
                family = family_of(value[at] << 8 | value[at + 1], value[at + 2])
                if family is not None and 1 <= value[at + 3] <= 3:
                    modes[family] = AddPathMode(value[at + 3])
        return modes

    @property
    def extended_next_hop(self) -> tuple[Family, ...]:
        """Families whose NLRI this speaker takes with a next hop of the other one (RFC 8950 section 4)."""
        families = []
        for value in self.values(CapabilityCode.EXTENDED_NEXT_HOP):
            for at in range(0, len(value) - 5, 6):
                afi, safi, next_hop_afi = (int.from_bytes(value[at + i : at + i + 2], "big") for i in (0, 2, 4))
                family = family_of(afi, safi)
                if family is not None and {afi, next_hop_afi} == {1, 2}:
                    families.append(family)
        return tuple(dict.fromkeys(families))

    @property
    def restart_time(self) -> int | None:
        """Restart time in seconds of graceful restart (RFC 4724 section 3), None when not announced."""
        values = [value for value in self.values(CapabilityCode.GRACEFUL_RESTART) if len(value) >= 2]
        return int.from_bytes(values[-1][:2], "big") & 0x0FFF if values else None

    @property
    def has_restarted(self) -> bool:
        """The R bit of graceful restart: this speaker has restarted (RFC 4724 section 3)."""
        values = [value for value in self.values(CapabilityCode.GRACEFUL_RESTART) if len(value) >= 2]
        return bool(values) and bool(values[-1][0] & 0x80)

    @property
    def restarting_families(self) -> dict[Family, bool]:
        """Unicast families that graceful restart is announced for, each with its F bit: forwarding was kept."""
        values = [value for value in self.values(CapabilityCode.GRACEFUL_RESTART) if len(value) >= 2]
        found: dict[Family, bool] = {}
        for at in range(2, len(values[-1]) - 3, 4) if values else ():
            family = family_of(values[-1][at] << 8 | values[-1][at + 1], values[-1][at + 2])
            if family is not None:
                found[family] = bool(values[-1][at + 3] & 0x80)
        return found


def decode_open(body: bytes) -> Open:
    """Decode the body of an OPEN.

    Raises WireError 2/1 for a version other than 4, 2/2 for AS 0 (RFC 7607), 2/3 for the identifier 0.0.0.0,
    2/4 for an optional parameter other than capabilities, 2/6 for a hold time of 1 or 2 s, and 2/0 for lengths
    that contradict each other (RFC 4271 section 6.2).
    """
    if len(body) < 10:
        raise WireError(1, 2, (len(body) + 19).to_bytes(2, "big"), "an OPEN has at least 29 octets")
    version = body[0]
    if version != BGP_VERSION:
        raise WireError(2, UNSUPPORTED_VERSION, b"\x00\x04", f"BGP version {version} is not supported, 4 is")
    capabilities = _decode_parameters(body)
    two_octet_as, hold_time = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    asn = two_octet_as
    for capability in capabilities:
        if capability.code == CapabilityCode.FOUR_OCTET_AS:
            if len(capability.value) != 4:
                raise WireError(2, 0, what="the four octet AS capability does not have four octets")
            asn = int.from_bytes(capability.value, "big")
            break
    if asn == 0:
        raise WireError(2, BAD_PEER_AS, what="AS 0 cannot be a peer (RFC 7607)")
    if hold_time in (1, 2):
        raise WireError(2, UNACCEPTABLE_HOLD_TIME, what=f"a hold time of {hold_time} s; 0 or 3 and more are legal")
    if body[5:9] == bytes(4):
        raise WireError(2, BAD_IDENTIFIER, what="the BGP identifier is 0.0.0.0")
    return Open(
        version=version,
        asn=asn,
        two_octet_as=two_octet_as,
        hold_time=hold_time,
        router_id=address_text(body[5:9]),
        capabilities=capabilities,
    )


def _decode_parameters(body: bytes) -> tuple[Capability, ...]:
    """Capabilities out of the optional parameters, in either form of RFC 9072 section 2."""
    extended = body[9] != 0 and len(body) > 10 and body[10] == _EXTENDED_LENGTH
    if extended:
        if len(body) < 13:
            raise WireError(2, 0, what="the extended optional parameters end inside their length")
        length, at = int.from_bytes(body[11:13], "big"), 13
    else:
        length, at = body[9], 10
    if at + length != len(body):
        raise WireError(2, 0, what=f"optional parameters of {length} octets, but {len(body) - at} follow")
    head = 3 if extended else 2
    capabilities: list[Capability] = []
    while at < len(body):
        if at + head > len(body):
            raise WireError(2, 0, what="the optional parameters end inside a header")
        kind, size = body[at], int.from_bytes(body[at + 1 : at + head], "big")
        at += head
        if at + size > len(body):
            raise WireError(2, 0, what=f"optional parameter {kind} runs past the end of the OPEN")
        if kind != _CAPABILITIES_PARAMETER:
            raise WireError(2, UNSUPPORTED_PARAMETER, what=f"optional parameter {kind} is not supported")
        capabilities += _decode_capabilities(body[at : at + size])
        at += size
    return tuple(capabilities)


def _decode_capabilities(value: bytes) -> list[Capability]:
    capabilities = []
    at = 0
    while at < len(value):
        if at + 2 > len(value) or at + 2 + value[at + 1] > len(value):
            raise WireError(2, 0, what="a capability runs past the end of its parameter")
        end = at + 2 + value[at + 1]
        capabilities.append(Capability(value[at], value[at + 2 : end]))
        at = end
    return capabilities


def encode_open(message: Open) -> bytes:
    """The body of an OPEN, one parameter per capability; in the extended form only when over 255 octets.

    Raises ValueError when the capabilities do not fit an OPEN of 4096 octets, or one of them 255.
    """
    encoded = []
    for capability in message.capabilities:
        if len(capability.value) > 255:
            raise ValueError(f"the value of {capability.name()} has {len(capability.value)} octets, over 255")
        encoded.append(bytes([capability.code, len(capability.value)]) + capability.value)
    short = b"".join(bytes([_CAPABILITIES_PARAMETER, len(one)]) + one for one in encoded if len(one) < 256)
    if len(short) < 256 and all(len(one) < 256 for one in encoded):
        parameters = bytes([len(short)]) + short
    else:
        long = b"".join(bytes([_CAPABILITIES_PARAMETER]) + len(one).to_bytes(2, "big") + one for one in encoded)
        parameters = bytes([_EXTENDED_LENGTH, _EXTENDED_LENGTH]) + len(long).to_bytes(2, "big") + long
    body = (
        bytes([message.version])
        + message.two_octet_as.to_bytes(2, "big")
        + message.hold_time.to_bytes(2, "big")
        + address_bytes(message.router_id)
        + parameters
    )
    if len(body) + 19 > 4096:
        raise ValueError(f"an OPEN of {len(body) + 19} octets is over 4096 (RFC 8654 section 3)")
    return body


def make_open(asn: int, router_id: Address, hold_time: int, capabilities: tuple[Capability, ...] = ()) -> Open:
    """An OPEN of a speaker with four octet AS numbers: adds that capability, and AS_TRANS where it is needed."""
    if not any(capability.code == CapabilityCode.FOUR_OCTET_AS for capability in capabilities):
        capabilities = (*capabilities, four_octet_as(asn))
    return Open(
        asn=asn,
        two_octet_as=asn if asn <= 0xFFFF else AS_TRANS,
        hold_time=hold_time,
        router_id=router_id,
        capabilities=capabilities,
    )


def negotiate(receiver: Open, sender: Open) -> SessionContext:
    """How ``receiver`` reads what ``sender`` sends, once both OPENs were exchanged.

    For the other direction swap the two. A capability counts only when both announced it; path identifiers
    when the sender sends and the receiver receives them (RFC 7911 section 4).
    """
    receives, sends = receiver.add_path, sender.add_path
    families = tuple(family for family in receiver.families() if family in sender.families())
    return SessionContext(
        asn4=receiver.four_octet_as is not None and sender.four_octet_as is not None,
        ebgp=receiver.asn != sender.asn,
        families=families,
        add_path=tuple(
            family
            for family in families
            if AddPathMode.RECEIVE in receives.get(family, AddPathMode(0))
            and AddPathMode.SEND in sends.get(family, AddPathMode(0))
        ),
        extended_next_hop=tuple(family for family in receiver.extended_next_hop if family in sender.extended_next_hop),
        extended_message=receiver.extended_message and sender.extended_message,
    )


_COMPATIBLE_ROLES = frozenset(
    {
        (BgpRole.PROVIDER, BgpRole.CUSTOMER),
        (BgpRole.CUSTOMER, BgpRole.PROVIDER),
        (BgpRole.RS, BgpRole.RS_CLIENT),
        (BgpRole.RS_CLIENT, BgpRole.RS),
        (BgpRole.PEER, BgpRole.PEER),
    }
)


def roles_agree(local: BgpRole, remote: BgpRole) -> bool:
    """Whether these two roles may face each other (RFC 9234 section 4.2); if not, NOTIFICATION 2/11."""
    return (local, remote) in _COMPATIBLE_ROLES
