"""Path attributes (RFC 4271 section 5 and its extensions) as one immutable value.

``PathAttributes`` is what policy and the decision process read. The codec in ``wire`` turns bytes into it and
back. Addresses and prefixes are canonical strings everywhere above the codec (``Address``, ``Prefix``).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NewType

import msgspec

Address = NewType("Address", str)
"""An IPv4 or IPv6 address in canonical text, e.g. ``192.0.2.1`` or ``2001:db8::1``."""

Prefix = NewType("Prefix", str)
"""An IPv4 or IPv6 network in canonical text with its length, e.g. ``192.0.2.0/24``. Never has host bits set."""


class Family(StrEnum):
    """Address family of a session and of the routes it carries (AFI 1 or 2, SAFI 1)."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Origin(IntEnum):
    """ORIGIN (RFC 4271 section 5.1.1). Lower is preferred."""

    IGP = 0
    EGP = 1
    INCOMPLETE = 2


class SegmentType(IntEnum):
    """AS_PATH segment types (RFC 4271 section 4.3, RFC 5065)."""

    AS_SET = 1
    AS_SEQUENCE = 2
    AS_CONFED_SEQUENCE = 3
    AS_CONFED_SET = 4


class BgpRole(StrEnum):
    """BGP Role of the local speaker (RFC 9234 section 4.1)."""

    PROVIDER = "provider"
    RS = "rs"
    RS_CLIENT = "rs-client"
    CUSTOMER = "customer"
    PEER = "peer"


class Segment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One AS_PATH segment, leftmost AS first."""

    kind: SegmentType
    asns: tuple[int, ...]


class RawAttribute(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An attribute this speaker does not know: flags and type as on the wire, value untouched."""

    flags: int
    type: int
    value: bytes


class Aggregator(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """AGGREGATOR (RFC 4271 section 5.1.7)."""

    asn: int
    router_id: Address


class PathAttributes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All attributes of a route except its NLRI. ``None`` means the attribute is absent.

    ``communities`` and ``large_communities`` are sorted and unique, as text: ``8075:8007``, ``8075:1:2``
    (RFC 1997, RFC 8092). ``extended_communities`` are 8 raw octets each (RFC 4360). ``otc`` is RFC 9234's
    Only-to-Customer. ``next_hop`` is the global next hop, of MP_REACH_NLRI for IPv6 (RFC 4760).
    """

    origin: Origin = Origin.IGP
    as_path: tuple[Segment, ...] = ()
    next_hop: Address | None = None
    link_local_next_hop: Address | None = None
    med: int | None = None
    local_pref: int | None = None
    atomic_aggregate: bool = False
    aggregator: Aggregator | None = None
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    extended_communities: tuple[bytes, ...] = ()
    originator_id: Address | None = None
    cluster_list: tuple[Address, ...] = ()
    otc: int | None = None
    unknown: tuple[RawAttribute, ...] = ()

    def asns(self) -> tuple[int, ...]:
        """Every AS number of the path, in order, sets and sequences alike."""
        return tuple(asn for segment in self.as_path for asn in segment.asns)

    def path_length(self) -> int:
        """AS_PATH length for the decision process: an AS_SET counts 1 (RFC 4271 section 9.1.2.2 a)."""
        length = 0
        for segment in self.as_path:
            if segment.kind is SegmentType.AS_SEQUENCE:
                length += len(segment.asns)
            elif segment.kind is SegmentType.AS_SET:
                length += 1
        return length

    def first_as(self) -> int | None:
        """Leftmost AS of the path, the neighbour that sent it; None for an empty path or a leading set."""
        if self.as_path and self.as_path[0].kind is SegmentType.AS_SEQUENCE and self.as_path[0].asns:
            return self.as_path[0].asns[0]
        return None

    def origin_as(self) -> int | None:
        """Rightmost AS of the path; None when the path is empty or ends in a set (RFC 6811 section 2: NONE)."""
        if self.as_path and self.as_path[-1].kind is SegmentType.AS_SEQUENCE and self.as_path[-1].asns:
            return self.as_path[-1].asns[-1]
        return None

    def path_text(self) -> str:
        """The path as operators write it: ``64500 64501 {64502,64503}``."""
        parts: list[str] = []
        for segment in self.as_path:
            text = [str(asn) for asn in segment.asns]
            if segment.kind is SegmentType.AS_SEQUENCE:
                parts.extend(text)
            elif segment.kind is SegmentType.AS_SET:
                parts.append("{" + ",".join(text) + "}")
            elif segment.kind is SegmentType.AS_CONFED_SEQUENCE:
                parts.append("(" + " ".join(text) + ")")
            else:
                parts.append("[" + ",".join(text) + "]")
        return " ".join(parts)
