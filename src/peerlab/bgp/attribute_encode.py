"""Path attributes to octets, in the order of their type codes (RFC 4271 section 5, appendix F.3)."""

from __future__ import annotations

from peerlab.bgp.address import address_bytes
from peerlab.bgp.as_path_codec import AS_TRANS, encode_as_path, needs_as4_path, without_confederation
from peerlab.bgp.attribute_type import ATTRIBUTE_FLAGS, EXTENDED_LENGTH, PARTIAL, AttributeType
from peerlab.bgp.attributes import Family, PathAttributes
from peerlab.bgp.communities import community_bytes, large_community_bytes
from peerlab.bgp.nlri import AFI, SAFI_UNICAST


def encode_attribute(flags: int, kind: int, value: bytes) -> bytes:
    """One attribute. The length takes two octets only where it must."""
    if len(value) > 255:
        return bytes([flags | EXTENDED_LENGTH, kind]) + len(value).to_bytes(2, "big") + value
    return bytes([flags, kind, len(value)]) + value


def encode_attributes(
    attributes: PathAttributes, *, asn4: bool = True, ebgp: bool = False, next_hop: bool = True
) -> bytes:
    """Every attribute but MP_REACH_NLRI and MP_UNREACH_NLRI.

    ``asn4``: AS numbers of four octets; without, AS4_PATH and AS4_AGGREGATOR are added where needed (RFC 6793
    section 4.2.2). ``ebgp`` leaves out what must not reach another AS: LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST.
    ``next_hop`` is False when the next hop travels in MP_REACH_NLRI. Unknown transitive attributes get the
    Partial bit (RFC 4271 section 5); unknown non-transitive ones are not passed on. Raises ValueError for a value
    that does not fit the wire.
    """
    found: list[tuple[int, int, bytes]] = []

    def add(kind: AttributeType, value: bytes) -> None:
        found.append((kind, ATTRIBUTE_FLAGS[kind], value))

    size = 4 if asn4 else 2
    add(AttributeType.ORIGIN, bytes([attributes.origin]))
    add(AttributeType.AS_PATH, encode_as_path(attributes.as_path, size))
    if next_hop:
        add(AttributeType.NEXT_HOP, _classic_next_hop(attributes))
    if attributes.med is not None:
        add(AttributeType.MULTI_EXIT_DISC, _word(attributes.med, "MED"))
    if attributes.local_pref is not None and not ebgp:
        add(AttributeType.LOCAL_PREF, _word(attributes.local_pref, "LOCAL_PREF"))
    if attributes.atomic_aggregate:
        add(AttributeType.ATOMIC_AGGREGATE, b"")
    if attributes.aggregator is not None:
        router_id = address_bytes(attributes.aggregator.router_id)
        asn = attributes.aggregator.asn
        if not asn4 and asn > 0xFFFF:
            add(AttributeType.AS4_AGGREGATOR, _word(asn, "AGGREGATOR") + router_id)
            asn = AS_TRANS
        add(AttributeType.AGGREGATOR, asn.to_bytes(size, "big") + router_id)
    if attributes.communities:
        add(AttributeType.COMMUNITIES, b"".join(map(community_bytes, attributes.communities)))
    if attributes.originator_id is not None and not ebgp:
        add(AttributeType.ORIGINATOR_ID, address_bytes(attributes.originator_id))
    if attributes.cluster_list and not ebgp:
        add(AttributeType.CLUSTER_LIST, b"".join(map(address_bytes, attributes.cluster_list)))
    if attributes.extended_communities:
        add(AttributeType.EXTENDED_COMMUNITIES, b"".join(attributes.extended_communities))
    if not asn4 and needs_as4_path(attributes.as_path):
        add(AttributeType.AS4_PATH, encode_as_path(without_confederation(attributes.as_path), 4))
    if attributes.large_communities:
        add(
            AttributeType.LARGE_COMMUNITIES,
            b"".join(map(large_community_bytes, attributes.large_communities)),
        )
    if attributes.otc is not None:
        add(AttributeType.OTC, _word(attributes.otc, "OTC"))
    found.extend((raw.type, raw.flags | PARTIAL, raw.value) for raw in attributes.unknown if raw.flags & 0x40)
    found.sort(key=lambda one: one[0])
    return b"".join([encode_attribute(flags, kind, value) for kind, flags, value in found])


def _classic_next_hop(attributes: PathAttributes) -> bytes:
    octets = address_bytes(attributes.next_hop) if attributes.next_hop is not None else b""
    if len(octets) != 4:
        raise ValueError(f"NEXT_HOP has to be an IPv4 address, not {attributes.next_hop}")
    return octets


def _word(value: int, what: str) -> bytes:
    if not 0 <= value <= 0xFFFFFFFF:
        raise ValueError(f"{what} {value} does not fit 32 bits")
    return value.to_bytes(4, "big")


def mp_reach_head(attributes: PathAttributes, family: Family) -> bytes:
    """The value of MP_REACH_NLRI up to its NLRI (RFC 4760 section 3, RFC 2545 section 3, RFC 8950 section 3)."""
    if attributes.next_hop is None:
        raise ValueError("MP_REACH_NLRI needs a next hop")
    octets = address_bytes(attributes.next_hop)
    if family is Family.IPV6 and len(octets) == 4:
        raise ValueError(f"IPv6 routes need an IPv6 next hop, not {attributes.next_hop}")
    if attributes.link_local_next_hop is not None and len(octets) == 16:
        octets += address_bytes(attributes.link_local_next_hop)
    return bytes([0, AFI[family], SAFI_UNICAST, len(octets)]) + octets + b"\0"
