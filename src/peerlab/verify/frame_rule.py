"""What a frame is to a peering LAN, and which rule of the exchanges it breaks.

The rules are the union of those of AMS-IX (technical specifications 2.1-2.6), DE-CIX, LINX and others, collected in
the catalogue as PHY-07 to PHY-15. Three things are judged apart, because each has a cause of its own: who sent a frame
(its MAC), how it is wrapped (its tag), and what it is. What it is breaks one rule at most, the most specific: a BPDU
is Spanning Tree, and not besides a wrong ethertype and a forbidden multicast (docs/decisions/0020).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peerlab.verify.ethernet import (
    ADVERTISEMENT,
    ARP,
    BROADCAST,
    ICMP,
    ICMPV6,
    IGMP,
    IPV4,
    IPV6,
    REPLY,
    REQUEST,
    SOLICITATION,
    UDP,
    EthernetFrame,
)


class Kind(StrEnum):
    """What a frame is, in the words that people use of it."""

    ARP_REQUEST = "ARP request"
    ARP_REPLY = "ARP reply"
    ND_SOLICITATION = "neighbour solicitation"
    ND_ADVERTISEMENT = "neighbour advertisement"
    UNICAST_IPV4 = "IPv4 unicast"
    UNICAST_IPV6 = "IPv6 unicast"
    MLD = "MLD"
    GRATUITOUS_ARP = "gratuitous ARP"
    UNSOLICITED_ND = "unsolicited neighbour advertisement"
    OTHER_BROADCAST = "other broadcast"
    OTHER_MULTICAST = "other multicast"
    STP = "Spanning Tree"
    PVST = "Spanning Tree per VLAN"
    CDP = "CDP"
    LLDP = "LLDP"
    EDP = "EDP"
    FDP = "FDP"
    MNDP = "MNDP"
    VTP = "VTP"
    DTP = "DTP"
    GVRP = "GVRP"
    MVRP = "MVRP"
    UDLD = "UDLD"
    PAGP = "PAgP"
    SLOW = "LACP or another slow protocol"
    MOP = "MOP"
    KEEPALIVE = "layer 2 keepalive"
    LOOP_DETECTION = "loop detection"
    OSPF = "OSPF"
    IS_IS = "IS-IS"
    EIGRP = "EIGRP"
    RIP = "RIP"
    PIM = "PIM"
    IGMP = "IGMP"
    DHCP = "DHCP or BOOTP"
    VRRP = "VRRP or CARP"
    HSRP = "HSRP or GLBP"
    ROUTER_ADVERTISEMENT = "router advertisement"
    ROUTER_SOLICITATION = "router solicitation"
    REDIRECT = "ICMP redirect"
    IRDP = "IRDP"
    LLC = "802.3 with LLC or SNAP"
    OTHER_ETHERTYPE = "other ethertype"
    DAMAGED = "damaged frame"


class Rule(msgspec.Struct, frozen=True):
    """A rule of a peering LAN: the check of the catalogue that judges it, and the rule in words."""

    check: str
    text: str


ONE_MAC = Rule("PHY-07", "one source MAC per port")
UNTAGGED = Rule("PHY-08", "untagged unless agreed")
_FRAMING = Rule("PHY-08", "only IPv4, ARP and IPv6 in Ethernet II")
_NO_STP = Rule("PHY-09", "no Spanning Tree of any kind")
_NO_DISCOVERY = Rule("PHY-10", "no discovery, trunk or link protocols")
_NO_INTERIOR = Rule("PHY-11", "no interior routing, multicast routing, DHCP or first-hop redundancy")
_NO_ROUTER_DISCOVERY = Rule("PHY-12", "no IPv6 router discovery")
_NO_REDIRECT = Rule("PHY-14", "no redirects, no router discovery by ICMP")
_DISCIPLINE = Rule("PHY-15", "broadcast only for ARP requests, multicast only for neighbour discovery")
_NOTHING_UNASKED = Rule("PHY-15", "no gratuitous ARP or unsolicited neighbour advertisement after the start")

_ALLOWED = frozenset(
    {
        Kind.ARP_REQUEST,
        Kind.ARP_REPLY,
        Kind.ND_SOLICITATION,
        Kind.ND_ADVERTISEMENT,
        Kind.UNICAST_IPV4,
        Kind.UNICAST_IPV6,
    }
)
_RULES: dict[Kind, Rule] = {
    **dict.fromkeys((Kind.STP, Kind.PVST), _NO_STP),
    **dict.fromkeys(
        (Kind.CDP, Kind.LLDP, Kind.EDP, Kind.FDP, Kind.MNDP, Kind.VTP, Kind.DTP, Kind.GVRP, Kind.MVRP, Kind.UDLD,
         Kind.PAGP, Kind.SLOW, Kind.MOP, Kind.KEEPALIVE, Kind.LOOP_DETECTION),
        _NO_DISCOVERY,
    ),
    **dict.fromkeys(
        (Kind.OSPF, Kind.IS_IS, Kind.EIGRP, Kind.RIP, Kind.PIM, Kind.IGMP, Kind.DHCP, Kind.VRRP, Kind.HSRP),
        _NO_INTERIOR,
    ),
    **dict.fromkeys((Kind.ROUTER_ADVERTISEMENT, Kind.ROUTER_SOLICITATION), _NO_ROUTER_DISCOVERY),
    **dict.fromkeys((Kind.REDIRECT, Kind.IRDP), _NO_REDIRECT),
    **dict.fromkeys((Kind.MLD, Kind.OTHER_BROADCAST, Kind.OTHER_MULTICAST), _DISCIPLINE),
    **dict.fromkeys((Kind.GRATUITOUS_ARP, Kind.UNSOLICITED_ND), _NOTHING_UNASKED),
    **dict.fromkeys((Kind.LLC, Kind.OTHER_ETHERTYPE, Kind.DAMAGED), _FRAMING),
}  # fmt: skip

_GARP = ("01:80:c2:00:00:20", "01:80:c2:00:00:21")
_BRIDGE_GROUPS = ("01:80:c2:00:00:00", "01:80:c2:00:00:08")
_PVST_GROUP = "01:00:0c:cc:cc:cd"
_BPDU_LLC, _OSI_LLC = (0x42, 0x42), (0xFE, 0xFE)
_CISCO, _EXTREME, _FOUNDRY = 0x00000C, 0x00E02B, 0x00E052
_SNAP: dict[tuple[int, int], Kind] = {
    (_CISCO, 0x0104): Kind.PAGP,
    (_CISCO, 0x010B): Kind.PVST,
    (_CISCO, 0x0111): Kind.UDLD,
    (_CISCO, 0x2000): Kind.CDP,
    (_CISCO, 0x2003): Kind.VTP,
    (_CISCO, 0x2004): Kind.DTP,
    (_EXTREME, 0x00BB): Kind.EDP,
    (_FOUNDRY, 0x2000): Kind.FDP,
}
_ETHERTYPES: dict[int, Kind] = {
    0x6001: Kind.MOP,
    0x6002: Kind.MOP,
    0x8809: Kind.SLOW,
    0x8899: Kind.LOOP_DETECTION,
    0x88CC: Kind.LLDP,
    0x88F5: Kind.MVRP,
    0x9000: Kind.KEEPALIVE,
    0x9003: Kind.LOOP_DETECTION,
}
_PROTOCOLS: dict[int, Kind] = {88: Kind.EIGRP, 89: Kind.OSPF, 103: Kind.PIM, 112: Kind.VRRP}
_PORTS: dict[int, Kind] = {
    67: Kind.DHCP,
    68: Kind.DHCP,
    520: Kind.RIP,
    521: Kind.RIP,
    546: Kind.DHCP,
    547: Kind.DHCP,
}
_GROUP_PORTS: dict[int, Kind] = {1985: Kind.HSRP, 2029: Kind.HSRP, 3222: Kind.HSRP, 5678: Kind.MNDP}
"""Above the well-known ports: counted only when sent to a group, a client's port may be any of them."""
_PIM_IN_IGMP = 0x14
_ICMP: dict[int, Kind] = {5: Kind.REDIRECT, 9: Kind.IRDP, 10: Kind.IRDP}
_ICMPV6: dict[int, Kind] = {
    130: Kind.MLD,
    131: Kind.MLD,
    132: Kind.MLD,
    143: Kind.MLD,
    133: Kind.ROUTER_SOLICITATION,
    134: Kind.ROUTER_ADVERTISEMENT,
    SOLICITATION: Kind.ND_SOLICITATION,
    137: Kind.REDIRECT,
}


def kind_of(frame: EthernetFrame) -> Kind:
    """What a frame is."""
    if not frame.destination_mac:
        return Kind.DAMAGED
    if frame.llc is not None:
        return _kind_of_llc(frame)
    if frame.ether_type == ARP:
        return _kind_of_arp(frame)
    if frame.ether_type in (IPV4, IPV6):
        return _kind_of_ip(frame)
    return _ETHERTYPES.get(frame.ether_type, Kind.OTHER_ETHERTYPE)


def _kind_of_llc(frame: EthernetFrame) -> Kind:
    if frame.snap is not None and frame.snap in _SNAP:
        return _SNAP[frame.snap]
    if frame.destination_mac in _GARP:  # GARP borrows the LLC of Spanning Tree
        return Kind.GVRP
    if frame.llc == _BPDU_LLC or frame.destination_mac in _BRIDGE_GROUPS:
        return Kind.STP
    if frame.destination_mac == _PVST_GROUP:
        return Kind.PVST
    if frame.llc == _OSI_LLC:
        return Kind.IS_IS
    return Kind.LLC


def _kind_of_arp(frame: EthernetFrame) -> Kind:
    arp = frame.arp
    if arp is None or arp.operation not in (REQUEST, REPLY):
        return Kind.DAMAGED
    if arp.sender == arp.target or (arp.operation == REPLY and frame.is_group):
        return Kind.GRATUITOUS_ARP
    if frame.is_group and frame.destination_mac != BROADCAST:
        return Kind.OTHER_MULTICAST
    return Kind.ARP_REQUEST if arp.operation == REQUEST else Kind.ARP_REPLY


def _kind_of_ip(frame: EthernetFrame) -> Kind:
    known = _PROTOCOLS.get(frame.protocol)
    if frame.protocol == IGMP:
        known = Kind.PIM if frame.igmp_type == _PIM_IN_IGMP else Kind.IGMP
    elif frame.protocol == ICMP:
        known = _ICMP.get(frame.icmp_type)
    elif frame.protocol == ICMPV6 and frame.icmp_type == ADVERTISEMENT:
        known = Kind.UNSOLICITED_ND if frame.is_group else Kind.ND_ADVERTISEMENT
    elif frame.protocol == ICMPV6:
        known = _ICMPV6.get(frame.icmp_type)
    elif frame.protocol == UDP:
        known = _PORTS.get(frame.destination_port)
        if known is None and frame.is_group:
            known = _GROUP_PORTS.get(frame.destination_port)
    if known is not None:
        return known
    if not frame.source:
        return Kind.DAMAGED
    if frame.is_group:
        return Kind.OTHER_BROADCAST if frame.destination_mac == BROADCAST else Kind.OTHER_MULTICAST
    return Kind.UNICAST_IPV4 if frame.ether_type == IPV4 else Kind.UNICAST_IPV6


def rule_of(kind: Kind, mld_allowed: bool = False) -> Rule | None:
    """The rule that a frame of this kind breaks by being there, None when it may."""
    if kind in _ALLOWED or (mld_allowed and kind is Kind.MLD):
        return None
    return _RULES[kind]


def broken_rules(frame: EthernetFrame, registered_mac: str = "", mld_allowed: bool = False) -> tuple[Rule, ...]:
    """Every rule that one frame breaks: by its sender (unless ``registered_mac`` is empty), its tag, and what it is.

    ``mld_allowed`` is for exchanges that let MLD pass (AMS-IX Manila and Bay Area do; the catalogue does not).
    """
    by_kind = rule_of(kind_of(frame), mld_allowed)
    wrong_mac = registered_mac and frame.source_mac and frame.source_mac != registered_mac
    found = (ONE_MAC if wrong_mac else None, UNTAGGED if frame.vlan is not None else None, by_kind)
    return tuple(rule for rule in found if rule is not None)
