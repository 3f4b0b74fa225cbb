"""Attribute type codes and flags (RFC 4271 section 4.3 and IANA's registry of BGP path attributes)."""

from __future__ import annotations

from enum import IntEnum

OPTIONAL = 0x80
TRANSITIVE = 0x40
PARTIAL = 0x20
EXTENDED_LENGTH = 0x10
FLAG_MASK = OPTIONAL | TRANSITIVE | PARTIAL
"""The flags that say something about the attribute; the extended length bit only says how it was written."""


class AttributeType(IntEnum):
    """Attributes that peerlab decodes or at least checks."""

    ORIGIN = 1
    AS_PATH = 2
    NEXT_HOP = 3
    MULTI_EXIT_DISC = 4
    LOCAL_PREF = 5
    ATOMIC_AGGREGATE = 6
    AGGREGATOR = 7
    COMMUNITIES = 8
    ORIGINATOR_ID = 9
    CLUSTER_LIST = 10
    MP_REACH_NLRI = 14
    MP_UNREACH_NLRI = 15
    EXTENDED_COMMUNITIES = 16
    AS4_PATH = 17
    AS4_AGGREGATOR = 18
    PMSI_TUNNEL = 22
    TUNNEL_ENCAPSULATION = 23
    IPV6_EXTENDED_COMMUNITIES = 25
    AIGP = 26
    LINK_STATE = 29
    LARGE_COMMUNITIES = 32
    OTC = 35
    NEXT_HOP_CAPABILITIES = 39
    PREFIX_SID = 40


_WELL_KNOWN = TRANSITIVE
_NON_TRANSITIVE = OPTIONAL
_OPTIONAL_TRANSITIVE = OPTIONAL | TRANSITIVE

ATTRIBUTE_FLAGS: dict[int, int] = {
    AttributeType.ORIGIN: _WELL_KNOWN,
    AttributeType.AS_PATH: _WELL_KNOWN,
    AttributeType.NEXT_HOP: _WELL_KNOWN,
    AttributeType.MULTI_EXIT_DISC: _NON_TRANSITIVE,
    AttributeType.LOCAL_PREF: _WELL_KNOWN,
    AttributeType.ATOMIC_AGGREGATE: _WELL_KNOWN,
    AttributeType.AGGREGATOR: _OPTIONAL_TRANSITIVE,
    AttributeType.COMMUNITIES: _OPTIONAL_TRANSITIVE,
    AttributeType.ORIGINATOR_ID: _NON_TRANSITIVE,
    AttributeType.CLUSTER_LIST: _NON_TRANSITIVE,
    AttributeType.MP_REACH_NLRI: _NON_TRANSITIVE,
    AttributeType.MP_UNREACH_NLRI: _NON_TRANSITIVE,
    AttributeType.EXTENDED_COMMUNITIES: _OPTIONAL_TRANSITIVE,
    AttributeType.AS4_PATH: _OPTIONAL_TRANSITIVE,
    AttributeType.AS4_AGGREGATOR: _OPTIONAL_TRANSITIVE,
    AttributeType.PMSI_TUNNEL: _OPTIONAL_TRANSITIVE,
    AttributeType.TUNNEL_ENCAPSULATION: _OPTIONAL_TRANSITIVE,
    AttributeType.IPV6_EXTENDED_COMMUNITIES: _OPTIONAL_TRANSITIVE,
    AttributeType.AIGP: _NON_TRANSITIVE,
    AttributeType.LINK_STATE: _NON_TRANSITIVE,
    AttributeType.LARGE_COMMUNITIES: _OPTIONAL_TRANSITIVE,
    AttributeType.OTC: _OPTIONAL_TRANSITIVE,
    AttributeType.NEXT_HOP_CAPABILITIES: _OPTIONAL_TRANSITIVE,
    AttributeType.PREFIX_SID: _OPTIONAL_TRANSITIVE,
}
"""The Optional and Transitive bits that each attribute's document fixes (RFC 7606 section 3 c)."""


def attribute_name(kind: int) -> str:
    """Its name as documents write it, or its number."""
    try:
        return AttributeType(kind).name
    except ValueError:
        return f"attribute {kind}"
