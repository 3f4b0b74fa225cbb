"""Malformed UPDATEs with the handling that RFC 7606 and its companions prescribe, as values.

Names, attributes and verdicts are those of FRR's conformance tests (FRRouting/frr ``tests/topotests/bgp_rfc7606_*`` at
fbfc8222da, ISC, (c) 2026 Donatas Abraitis; values only). ``core`` marks the 39 cases that a peering turn-up stands or
falls with (docs/decisions/0021).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peerlab.bgp.address import address_bytes
from peerlab.bgp.attribute_encode import encode_attribute
from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.communities import community_bytes
from peerlab.bgp.framing import MessageType, frame
from peerlab.bgp.nlri import AFI, SAFI_UNICAST, nlri_bytes


class Handling(StrEnum):
    """What has to become of the routes of a malformed UPDATE (RFC 7606 section 2)."""

    WITHDRAW = "withdraw"
    """Treat-as-withdraw: the routes go, the session stays."""
    DISCARD = "discard"
    """Attribute discard: the routes are used without it, the session stays."""
    KEEP = "keep"
    """Nothing is wrong with it: an unknown transitive attribute is passed on (RFC 4271 section 5)."""
    RESET = "reset"
    """NOTIFICATION: nothing can be told of the routes."""


class MalformedCase(msgspec.Struct, frozen=True):
    """One path attribute that takes the place of the right one, or is added: ``kind`` is its type, ``value`` hex.

    ``expect`` is the handling on an external session.
    """

    name: str
    kind: int
    flags: int
    value: str
    expect: Handling
    core: bool = False


_Row = MalformedCase
WITHDRAW, DISCARD, KEEP, RESET = Handling.WITHDRAW, Handling.DISCARD, Handling.KEEP, Handling.RESET

MALFORMED: tuple[MalformedCase, ...] = (
    _Row("origin-flag-optional", 1, 0xc0, "00", WITHDRAW, True),
    _Row("origin-flag-partial", 1, 0x60, "00", WITHDRAW, True),
    _Row("origin-len-0", 1, 0x40, "", WITHDRAW, True),
    _Row("origin-len-2", 1, 0x40, "0000", WITHDRAW, True),
    _Row("origin-value-3", 1, 0x40, "03", WITHDRAW, True),
    _Row("origin-value-4", 1, 0x40, "04", WITHDRAW, True),
    _Row("origin-value-255", 1, 0x40, "ff", WITHDRAW, True),
    _Row("aspath-flag-optional", 2, 0xc0, "02010000fde9", WITHDRAW, True),
    _Row("aspath-flag-partial", 2, 0x60, "02010000fde9", WITHDRAW, True),
    _Row("aspath-seg-type-0", 2, 0x40, "00010000fde9", WITHDRAW, True),
    _Row("aspath-seg-type-5", 2, 0x40, "05010000fde9", WITHDRAW, True),
    _Row("aspath-seg-len-0", 2, 0x40, "0200", WITHDRAW, True),
    _Row("aspath-seg-len-overrun", 2, 0x40, "02050000fde9", WITHDRAW, True),
    _Row("aspath-as-zero", 2, 0x40, "020100000000", WITHDRAW, True),
    _Row("nexthop-zero", 3, 0x40, "00000000", WITHDRAW, True),
    _Row("nexthop-loopback", 3, 0x40, "7f000001", WITHDRAW, True),
    _Row("nexthop-multicast", 3, 0x40, "e0000001", WITHDRAW, True),
    _Row("med-flag-trans", 4, 0xc0, "0000000a", WITHDRAW, True),
    _Row("med-len-3", 4, 0x80, "00000a", WITHDRAW, True),
    _Row("med-len-5", 4, 0x80, "000000000a", WITHDRAW, True),
    _Row("med-len-0", 4, 0x80, "", WITHDRAW, True),
    _Row("comm-flag-nontrans", 8, 0x80, "ffff0001", WITHDRAW, True),
    _Row("comm-len-0", 8, 0xc0, "", WITHDRAW, True),
    _Row("comm-len-5", 8, 0xc0, "ffff000100", WITHDRAW, True),
    _Row("originator-id-len-3", 9, 0x80, "0a0000", DISCARD),
    _Row("originator-id-len-5", 9, 0x80, "0a00000200", DISCARD),
    _Row("originator-id-flag-trans", 9, 0xc0, "0a000002", WITHDRAW),
    _Row("cluster-list-len-0", 10, 0x80, "", DISCARD),
    _Row("cluster-list-len-5", 10, 0x80, "0a00000200", DISCARD),
    _Row("cluster-list-flag-trans", 10, 0xc0, "0a000002", WITHDRAW),
    _Row("extcomm-flag-nontrans", 16, 0x80, "0002fde900000001", WITHDRAW, True),
    _Row("extcomm-len-0", 16, 0xc0, "", WITHDRAW, True),
    _Row("extcomm-len-9", 16, 0xc0, "0002fde90000000100", WITHDRAW, True),
    _Row("as4path-flag-nontrans", 17, 0x80, "020100010001", WITHDRAW),
    _Row("as4path-seg-type-0", 17, 0xc0, "000100010001", WITHDRAW),
    _Row("pmsi-flag-nontrans", 22, 0x80, "00060000000a000002", WITHDRAW),
    _Row("pmsi-len-4", 22, 0xc0, "00060000", WITHDRAW),
    _Row("pmsi-type-8", 22, 0xc0, "00080000000a000002", WITHDRAW),
    _Row("pmsi-type-255", 22, 0xc0, "00ff0000000a000002", WITHDRAW),
    _Row("pmsi-ingress-repl-len-10", 22, 0xc0, "00060000000a00000200", WITHDRAW),
    _Row("encap-flag-nontrans", 23, 0x80, "00070000", WITHDRAW),
    _Row("encap-len-3", 23, 0xc0, "000700", WITHDRAW),
    _Row("encap-outer-len-mismatch", 23, 0xc0, "0007000401", WITHDRAW),
    _Row("encap-subtlv-overrun", 23, 0xc0, "0007000401ff", WITHDRAW),
    _Row("ipv6-extcomm-flag-nontrans", 25, 0x80, "000220010db80000000000000000000000010001", WITHDRAW),
    _Row("ipv6-extcomm-len-0", 25, 0xc0, "", WITHDRAW),
    _Row("ipv6-extcomm-len-21", 25, 0xc0, "000220010db8000000000000000000000001000100", WITHDRAW),
    _Row("large-comm-flag-nontrans", 32, 0x80, "0000fde90000000100000002", WITHDRAW, True),
    _Row("large-comm-len-0", 32, 0xc0, "", WITHDRAW, True),
    _Row("large-comm-len-13", 32, 0xc0, "0000fde9000000010000000200", WITHDRAW, True),
    _Row("otc-flag-nontrans", 35, 0x80, "0000fde9", WITHDRAW, True),
    _Row("otc-len-3", 35, 0xc0, "0000fd", WITHDRAW, True),
    _Row("otc-len-5", 35, 0xc0, "0000fde900", WITHDRAW, True),
    _Row("otc-value-0", 35, 0xc0, "00000000", WITHDRAW, True),
    _Row("atomic-aggregate-len-1", 6, 0x40, "00", DISCARD, True),
    _Row("aggregator-len-5", 7, 0xc0, "0000fde90a", DISCARD, True),
    _Row("aggregator-len-7", 7, 0xc0, "0000fde90a0000", DISCARD, True),
    _Row("aggregator-len-9", 7, 0xc0, "0000fde90a00000200", DISCARD, True),
    _Row("aggregator-as-zero", 7, 0xc0, "000000000a000002", DISCARD, True),
    _Row("as4-aggregator-len-7", 18, 0xc0, "0000fde90a0000", DISCARD),
    _Row("as4-aggregator-len-9", 18, 0xc0, "0000fde90a00000200", DISCARD),
    _Row("aigp-flag-trans", 26, 0xc0, "01000b0000000000000000000a", DISCARD),
    _Row("prefix-sid-flag-nontrans", 40, 0x80, "01000700000000000001", DISCARD),
    _Row("prefix-sid-tlv-overrun", 40, 0xc0, "0100ff000000", DISCARD),
    _Row("prefix-sid-truncated-header", 40, 0xc0, "0100", DISCARD),
    _Row("prefix-sid-bad-label-index", 40, 0xc0, "010003000000", DISCARD),
    _Row("link-state-flag-trans", 29, 0xc0, "0400000100", DISCARD),
    _Row("link-state-tlv-overrun", 29, 0x80, "040000ff00", DISCARD),
    _Row("link-state-truncated-tlv", 29, 0x80, "0400", DISCARD),
    _Row("nhc-bad-afi-safi", 39, 0xc0, "00ff010001000100", DISCARD),
    _Row("nhc-tlv-overrun", 39, 0xc0, "0001010001ff00", DISCARD),
    _Row("unknown-fd-nontransitive", 253, 0x80, "deadbeef", DISCARD),
    _Row("unknown-fe-transitive", 254, 0xc0, "deadbeef", KEEP),
    _Row("mp-reach-nexthop-len-bogus", 14, 0x80, "0002010920010db80000000000004020010db800000001", RESET),
    _Row("mp-reach-nexthop-len-overrun", 14, 0x80, "0002014020010db80000000000000000", RESET),
    _Row("mp-reach-truncated", 14, 0x80, "0002011020010db800000000", RESET),
    _Row("mp-unreach-truncated", 15, 0x80, "0002014020010db8", RESET),
    _Row("local-pref-len-5", 5, 0x40, "0000000064", DISCARD),
    _Row("local-pref-len-0", 5, 0x40, "", DISCARD),
    _Row("aigp-tlv-len-not-11", 26, 0x80, "0100050000000000000000000a", DISCARD),
    _Row("aigp-len-0", 26, 0x80, "", DISCARD),
)  # fmt: skip

CORE = tuple(case for case in MALFORMED if case.core)

UNPARSEABLE = (
    "nlri-overrun",
    "nlri-length-impossible",
    "withdrawn-overrun",
    "mp-next-hop-length",
    "mp-next-hop-overrun",
    "mp-next-hop-cut",
    "attributes-overrun",
)
"""UPDATEs whose routes cannot be told from their octets (RFC 7606 sections 3 j, 5.3 and 7.11)."""

ORIGIN, AS_PATH, NEXT_HOP, COMMUNITIES, MP_REACH, MP_UNREACH = 1, 2, 3, 8, 14, 15
_SAMPLE_AS = "0000fde9"
"""AS 65001 in the paths of the cases; the speaker's own stands there instead, or the first AS would be wrong too."""
_NO_NEXT_HOPS = {
    "00000000": Address("::"),
    "7f000001": Address("::1"),
    "e0000001": Address("ff02::1"),
}
"""Next hops that cannot be one, in IPv4, and their like in IPv6."""


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends the UPDATEs: its AS number and its address, which is the next hop."""

    asn: int
    address: Address

    @property
    def family(self) -> Family:
        """The family of its session."""
        return Family.IPV6 if ":" in self.address else Family.IPV4


def good_update(sender: Sender, prefix: Prefix, community: str = "") -> bytes:
    """A whole UPDATE that announces a prefix with nothing wrong."""
    return _update(_attributes(sender, prefix, community), sender, prefix)


def malformed_update(case: MalformedCase, sender: Sender, prefix: Prefix, community: str = "") -> bytes:
    """A whole UPDATE that announces a prefix with the attribute of the case.

    ``community`` tells the route from the same one announced before; a case about communities goes without.
    """
    chosen = _attributes(sender, prefix, "" if case.kind == COMMUNITIES else community)
    value = bytes.fromhex(case.value)
    if case.kind == AS_PATH:
        value = bytes.fromhex(case.value.replace(_SAMPLE_AS, sender.asn.to_bytes(4, "big").hex()))
    if case.kind == NEXT_HOP and sender.family is Family.IPV6:
        chosen[MP_REACH] = (0x80, _reach(_NO_NEXT_HOPS[case.value], prefix))
    else:
        chosen[case.kind] = (case.flags, value)
    return _update(chosen, sender, prefix)


def unparseable_updates(sender: Sender, prefix: Prefix) -> dict[str, bytes]:
    """The octets of each of ``UNPARSEABLE``, by name."""
    afi = AFI[sender.family]
    nlri = nlri_bytes(prefix)
    too_long = bytes([nlri[0] + (8 if sender.family is Family.IPV4 else 80) + 1]) + nlri[1:] + bytes(16)
    good = _attributes(sender, prefix, "")
    hop = address_bytes(sender.address)
    head = bytes([0, afi, SAFI_UNICAST])
    plain = {kind: value for kind, value in good.items() if kind != MP_REACH}

    def with_reach(value: bytes) -> bytes:
        return _raw(b"", _encoded({MP_REACH: (0x80, value), **plain}), b"")

    made = {
        "nlri-overrun": with_reach(head + bytes([len(hop)]) + hop + b"\0" + nlri[:-1]),
        "nlri-length-impossible": with_reach(head + bytes([len(hop)]) + hop + b"\0" + bytes([129]) + bytes(17)),
        "withdrawn-overrun": _raw(b"", encode_attribute(0x80, MP_UNREACH, head + nlri[:-1]), b""),
        "mp-next-hop-length": with_reach(head + bytes([9]) + hop[:4] + bytes(5) + b"\0" + nlri),
        "mp-next-hop-overrun": with_reach(head + bytes([255]) + hop + b"\0" + nlri),
        "mp-next-hop-cut": with_reach(head + bytes([len(hop)]) + hop[:3]),
        "attributes-overrun": frame(MessageType.UPDATE, b"\0\0\xff\xff" + _encoded(good)),
    }
    if sender.family is Family.IPV4:
        made |= {
            "nlri-overrun": _raw(b"", _encoded(good), nlri[:-1]),
            "nlri-length-impossible": _raw(b"", _encoded(good), too_long),
            "withdrawn-overrun": _raw(nlri[:-1], b"", b""),
        }
    return made


def _attributes(sender: Sender, prefix: Prefix, community: str) -> dict[int, tuple[int, bytes]]:
    chosen = {ORIGIN: (0x40, b"\0"), AS_PATH: (0x40, b"\x02\x01" + sender.asn.to_bytes(4, "big"))}
    if sender.family is Family.IPV4:
        chosen[NEXT_HOP] = (0x40, address_bytes(sender.address))
    else:
        chosen[MP_REACH] = (0x80, _reach(sender.address, prefix))
    if community:
        chosen[COMMUNITIES] = (0xC0, community_bytes(community))
    return chosen


def _reach(next_hop: Address, prefix: Prefix) -> bytes:
    octets = address_bytes(next_hop)
    return bytes([0, AFI[Family.IPV6], SAFI_UNICAST, len(octets)]) + octets + b"\0" + nlri_bytes(prefix)


def _encoded(chosen: dict[int, tuple[int, bytes]]) -> bytes:
    """MP_REACH_NLRI and MP_UNREACH_NLRI stand first, as RFC 7606 section 5.1 wants it."""
    first = sorted(chosen, key=lambda kind: (kind not in (MP_REACH, MP_UNREACH), kind))
    return b"".join(encode_attribute(chosen[kind][0], kind, chosen[kind][1]) for kind in first)


def _update(chosen: dict[int, tuple[int, bytes]], sender: Sender, prefix: Prefix) -> bytes:
    return _raw(b"", _encoded(chosen), nlri_bytes(prefix) if sender.family is Family.IPV4 else b"")


def _raw(withdrawn: bytes, attributes: bytes, nlri: bytes) -> bytes:
    body = len(withdrawn).to_bytes(2, "big") + withdrawn + len(attributes).to_bytes(2, "big") + attributes + nlri
    return frame(MessageType.UPDATE, body)
