"""Attributes that peerlab passes on without using them, and how far it checks them first.

A peering LAN has no use for tunnels, segments or link state, but a route may carry such an attribute by mistake
or malice. Each check answers (what is wrong or "", whether the route is treated as withdrawn for it).
"""

from __future__ import annotations

from collections.abc import Callable

from peerlab.bgp.attribute_type import AttributeType
from peerlab.bgp.nlri import family_of

_PMSI_TUNNEL_TYPES = 7
_PMSI_INGRESS_REPLICATION = 6


def _pmsi_tunnel(value: bytes) -> tuple[str, bool]:
    """RFC 6514 section 5: flags, type, label of three octets, identifier; for type 6 that is one address."""
    if len(value) < 5:
        return f"{len(value)} octets instead of at least 5", True
    if value[1] > _PMSI_TUNNEL_TYPES:
        return f"tunnel type {value[1]} is unknown", True
    if value[1] == _PMSI_INGRESS_REPLICATION and len(value) not in (9, 21):
        return f"ingress replication to an address of {len(value) - 5} octets", True
    return "", True


def _tunnel_encapsulation(value: bytes) -> tuple[str, bool]:
    """RFC 9012 section 2: tunnels of type and length, each made of sub-TLVs (length of two octets from type 128)."""
    at = 0
    while at < len(value):
        if at + 4 > len(value):
            return "a tunnel ends inside its header", True
        end = at + 4 + int.from_bytes(value[at + 2 : at + 4], "big")
        if end > len(value):
            return "a tunnel runs past the attribute's end", True
        at += 4
        while at < end:
            head = 3 if value[at] >= 128 else 2
            if at + head > end:
                return "a sub-TLV ends inside its header", True
            at += head + int.from_bytes(value[at + 1 : at + head], "big")
            if at > end:
                return "a sub-TLV runs past its tunnel's end", True
    return "", True


def _ipv6_extended_communities(value: bytes) -> tuple[str, bool]:
    """RFC 7606 section 7.15."""
    if not value or len(value) % 20:
        return f"{len(value)} octets are not a positive multiple of 20", True
    return "", True


def _aigp(value: bytes) -> tuple[str, bool]:
    """RFC 7311 section 3: TLVs whose length counts their header; the first of type 1 has 11 octets."""
    if not value:
        return "no TLV", False
    at = 0
    while at < len(value):
        if at + 3 > len(value):
            return "a TLV ends inside its header", False
        length = int.from_bytes(value[at + 1 : at + 3], "big")
        if length < 3 or at + length > len(value):
            return f"a TLV with a length of {length}", False
        if value[at] == 1 and length != 11:
            return f"an AIGP TLV of {length} octets instead of 11", False
        at += length
    return "", False


def _tlvs(type_octets: int) -> Callable[[bytes], tuple[str, bool]]:
    """A check for plain TLVs with a type of so many octets and a length of two that does not count the header."""
    head = type_octets + 2

    def check(value: bytes) -> tuple[str, bool]:
        at = 0
        while at < len(value):
            if at + head > len(value):
                return "a TLV ends inside its header", False
            at += head + int.from_bytes(value[at + type_octets : at + head], "big")
            if at > len(value):
                return "a TLV runs past the attribute's end", False
        return "", False

    return check


_capability_tlvs = _tlvs(2)


def _next_hop_capabilities(value: bytes) -> tuple[str, bool]:
    """draft-ietf-idr-entropy-label: AFI, SAFI, next hop, then TLVs with two octets of type and of length."""
    if len(value) < 4:
        return f"{len(value)} octets instead of at least 4", False
    if family_of(value[0] << 8 | value[1], value[2]) is None:
        return f"AFI {value[0] << 8 | value[1]} with SAFI {value[2]} is not carried here", False
    if value[3] not in (4, 16, 32) or 4 + value[3] > len(value):
        return f"a next hop of {value[3]} octets", False
    return _capability_tlvs(value[4 + value[3] :])


_LABEL_INDEX, _LABEL_INDEX_OCTETS = 1, 7
_prefix_sid_tlvs = _tlvs(1)


def _prefix_sid(value: bytes) -> tuple[str, bool]:
    """RFC 8669 section 3: TLVs; the label index (type 1) has 7 octets."""
    problem = _prefix_sid_tlvs(value)
    at = 0
    while not problem[0] and at < len(value):
        length = int.from_bytes(value[at + 1 : at + 3], "big")
        if value[at] == _LABEL_INDEX and length != _LABEL_INDEX_OCTETS:
            return f"a label index of {length} octets instead of {_LABEL_INDEX_OCTETS}", False
        at += 3 + length
    return problem


FOREIGN: dict[int, Callable[[bytes], tuple[str, bool]]] = {
    AttributeType.PMSI_TUNNEL: _pmsi_tunnel,
    AttributeType.TUNNEL_ENCAPSULATION: _tunnel_encapsulation,
    AttributeType.IPV6_EXTENDED_COMMUNITIES: _ipv6_extended_communities,
    AttributeType.AIGP: _aigp,
    AttributeType.LINK_STATE: _tlvs(2),
    AttributeType.NEXT_HOP_CAPABILITIES: _next_hop_capabilities,
    AttributeType.PREFIX_SID: _prefix_sid,
}
