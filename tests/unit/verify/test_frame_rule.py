"""Every frame on a peering LAN is told for what it is: real captures, hand-made frames, and clean traffic of a lab."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, LLC, SNAP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from peerlab.evidence import pcapng
from peerlab.verify.ethernet import dissect
from peerlab.verify.frame_rule import Kind, broken_rules, kind_of, rule_of
from peerlab.verify.sighting import sightings

CAPTURES = Path(__file__).parent / "captures"
MAC, OTHER, BROADCAST = "02:00:00:00:00:01", "02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"

# Counted with the frames' own names: what tcpdump's testers put into a file, and what came in beside it. Nothing is
# expected of a file whose link type is not Ethernet; a capture of an exchange's port has no such frames.
CAPTURED: dict[str, dict[Kind, int]] = {
    "aarp-heapoverflow-1.pcap": {Kind.OTHER_ETHERTYPE: 1},
    "aarp-heapoverflow-2.pcap": {Kind.OTHER_ETHERTYPE: 1},
    "arcnet-rfc1051-arp-icmp-http.pcap": {},
    "arcnet-rfc1201-arp-icmp-http.pcap": {},
    "arp-too-long-tha.pcap": {Kind.DAMAGED: 1},
    "atm-oam-loopback-print-overrun.pcap": {},
    "chdlc-slarp-short.pcap": {},
    "chdlc-slarp.pcap": {},
    "dhcp-mud.pcap": {Kind.DHCP: 2},
    "dhcp-option-108.pcapng": {Kind.DHCP: 2},
    "dhcp-option-33.pcap": {Kind.DHCP: 5},
    "dhcp-rfc3004.pcap": {Kind.DHCP: 4},
    "dhcp-rfc4388.pcap": {Kind.DHCP: 36, Kind.UNICAST_IPV4: 6, Kind.ARP_REQUEST: 6, Kind.ARP_REPLY: 6},
    "dhcp-rfc5859.pcap": {Kind.DHCP: 4},
    "dhcp6_reconf_asan.pcap": {Kind.DHCP: 1},
    "dhcpv4v6-rfc5970-rfc8572.pcap": {Kind.DHCP: 14},
    "dhcpv6-AFTR-Name-RFC6334.pcap": {Kind.DHCP: 4},
    "dhcpv6-domain-list.pcap": {Kind.DHCP: 1},
    "dhcpv6-ia-na.pcap": {Kind.DHCP: 4},
    "dhcpv6-ia-pd.pcap": {Kind.DHCP: 4},
    "dhcpv6-ia-ta.pcap": {Kind.DHCP: 4},
    "dhcpv6-mud.pcap": {Kind.DHCP: 5},
    "dhcpv6-ntp-server.pcap": {Kind.DHCP: 1},
    "dhcpv6-rfc6355-duid-uuid.pcap": {Kind.DHCP: 2},
    "dhcpv6-rfc8415-duid-type2.pcap": {Kind.DHCP: 1},
    "dhcpv6-sip-server-d.pcap": {Kind.DHCP: 1},
    "dhcpv6-vendor-specific-information.pcap": {Kind.DHCP: 1},
    "gre-heapoverflow-1.pcap": {Kind.OTHER_ETHERTYPE: 1, Kind.DAMAGED: 1},
    "gre-heapoverflow-2.pcap": {Kind.OTHER_ETHERTYPE: 1, Kind.UNICAST_IPV4: 1},
    "hdlc_slarp.pcapng": {},
    "hncp_dhcpv4data-oobr.pcap": {Kind.OTHER_MULTICAST: 1},
    "hncp_dhcpv6data-oobr.pcap": {Kind.UNICAST_IPV6: 1},
    "hoobr_pimv1.pcap": {Kind.OTHER_ETHERTYPE: 8, Kind.PIM: 1},
    "icmpv6-RFC2894-RR.pcap": {},
    "icmpv6-length-zero.pcapng": {Kind.UNSOLICITED_ND: 1},
    "icmpv6-ni-flags.pcap": {Kind.UNICAST_IPV6: 5},
    "icmpv6-ns-nonce.pcap": {Kind.ND_SOLICITATION: 1},
    "icmpv6-ra-pref64.pcap": {Kind.ROUTER_ADVERTISEMENT: 4},
    "icmpv6-rfc7112.pcap": {Kind.UNICAST_IPV6: 1},
    "icmpv6.pcap": {Kind.ROUTER_ADVERTISEMENT: 1, Kind.MLD: 4},
    "icmpv6_nodeinfo_queryipv4.pcap": {},
    "icmpv6_nodeinfo_queryipv6.pcap": {},
    "icmpv6_nodeinfo_replyipv4.pcap": {},
    "icmpv6_nodeinfo_replyipv6.pcap": {},
    "icmpv6_opt24.pcap": {Kind.ROUTER_ADVERTISEMENT: 2},
    "igmpv3-queries.pcap": {Kind.IGMP: 6},
    "isis-extd-isreach-oobr.pcap": {},
    "isis-infinite-loop.pcap": {},
    "isis-seg-fault-1.pcapng": {Kind.IS_IS: 1},
    "isis-seg-fault-2.pcapng": {Kind.IS_IS: 1},
    "isis-seg-fault-3.pcapng": {},
    "isis_cap_tlv.pcap": {Kind.IS_IS: 1},
    "isis_iid_tlv.pcap": {Kind.IS_IS: 41, Kind.ARP_REQUEST: 1, Kind.ARP_REPLY: 1},
    "isis_poi.pcap": {},
    "isis_poi2.pcap": {},
    "isis_sid.pcap": {Kind.IS_IS: 1},
    "isis_sr.pcapng": {Kind.IS_IS: 1},
    "isis_stlv_asan-2.pcap": {},
    "isis_stlv_asan-3.pcap": {},
    "isis_stlv_asan-4.pcap": {},
    "isis_stlv_asan.pcap": {},
    "isis_sysid_asan.pcap": {},
    "lldp-app-priority.pcap": {Kind.LLDP: 1},
    "lldp-infinite-loop-1.pcap": {Kind.LLDP: 1},
    "lldp-infinite-loop-2.pcap": {Kind.LLDP: 1},
    "lldp_8021_linkagg.pcap": {Kind.LLDP: 2},
    "lldp_8023_mtu-oobr.pcap": {Kind.LLDP: 1},
    "lldp_asan.pcap": {Kind.LLDP: 1},
    "lldp_mgmt_addr_tlv_asan.pcap": {Kind.LLDP: 1, Kind.OTHER_ETHERTYPE: 1},
    "lldp_mudurl.pcap": {Kind.LLDP: 2},
    "loopback.pcap": {Kind.KEEPALIVE: 6},
    "ospf-ack.pcap": {Kind.OSPF: 1},
    "ospf-gmpls.pcap": {},
    "ospf-nssa-bitnt.pcap": {Kind.OSPF: 1},
    "ospf-signed-integer-ubsan.pcap": {Kind.OSPF: 1},
    "ospf-sr-ri-sid.pcap": {Kind.OSPF: 1},
    "ospf-sr.pcapng": {Kind.OSPF: 1},
    "ospf-sr2.pcapng": {Kind.OSPF: 1},
    "ospf2-seg-fault-1.pcapng": {},
    "ospf3_auth.pcapng": {Kind.OSPF: 1},
    "ospf6_decode_v3_asan.pcap": {Kind.OSPF: 1},
    "ospf6_print_lshdr-oobr.pcap": {Kind.OSPF: 15},
    "ospf_graceful_restart_rfc3623.pcap": {Kind.OSPF: 1},
    "pim_header_asan-2.pcap": {Kind.PIM: 1, Kind.DAMAGED: 2},
    "pim_header_asan-3.pcap": {Kind.PIM: 1},
    "pim_header_asan-4.pcap": {Kind.PIM: 1, Kind.OTHER_ETHERTYPE: 2},
    "pim_header_asan.pcap": {Kind.PIM: 1},
    "rpvstp-trunk-native-vid5.pcap": {Kind.DTP: 2, Kind.PVST: 12, Kind.STP: 6, Kind.VTP: 1, Kind.KEEPALIVE: 1},
    "slow-ossp.pcap": {Kind.SLOW: 1},
    "stp-heapoverflow-1.pcap": {Kind.OTHER_ETHERTYPE: 13, Kind.STP: 1},
    "stp-heapoverflow-2.pcap": {Kind.OTHER_ETHERTYPE: 13, Kind.STP: 1},
    "stp-heapoverflow-3.pcap": {Kind.OTHER_ETHERTYPE: 13, Kind.STP: 1},
    "stp-heapoverflow-4.pcap": {Kind.OTHER_ETHERTYPE: 13, Kind.STP: 1},
    "stp-v4-length-sigsegv.pcap": {Kind.STP: 1},
    "udld-inf-loop-1.pcapng": {Kind.UDLD: 1},
    "various_gre.pcap": {
        Kind.KEEPALIVE: 5, Kind.PVST: 42, Kind.STP: 21, Kind.UNICAST_IPV4: 30, Kind.DTP: 1, Kind.CDP: 1,
    },
    "vrrp-vrrp_print-oobr-2.pcap": {Kind.VRRP: 10},
    "vrrp-vrrp_print-oobr.pcap": {},
    "vrrp.pcap": {Kind.VRRP: 165},
    "vtp_asan-2.pcap": {},
    "vtp_asan-3.pcap": {},
    "vtp_asan.pcap": {},
    "wccp_redirect_gre.pcap": {Kind.UNICAST_IPV4: 1},
}

NAMES = {
    "dhcp": Kind.DHCP, "igmp": Kind.IGMP, "isis": Kind.IS_IS, "lldp": Kind.LLDP, "loopback": Kind.KEEPALIVE,
    "ospf": Kind.OSPF, "pim": Kind.PIM, "hoobr_pim": Kind.PIM, "rpvstp": Kind.PVST, "slow": Kind.SLOW,
    "stp": Kind.STP, "udld": Kind.UDLD, "vrrp": Kind.VRRP, "icmpv6-ra": Kind.ROUTER_ADVERTISEMENT,
    "icmpv6_opt24": Kind.ROUTER_ADVERTISEMENT, "icmpv6-ns": Kind.ND_SOLICITATION,
}  # fmt: skip
"""How a file's name begins, and what must be in it: the word of those who made it, not ours."""


def frames_of(path: Path) -> list[pcapng.Frame]:
    return [record for record in pcapng.read(path.read_bytes()) if isinstance(record, pcapng.Frame)]


def test_every_capture_is_in_the_table() -> None:
    assert sorted(CAPTURED) == sorted(path.name for path in (CAPTURES / "l2noise").iterdir())


@pytest.mark.parametrize("name", CAPTURED)
def test_a_capture_is_told_for_what_it_is(name: str) -> None:
    frames = frames_of(CAPTURES / "l2noise" / name)
    if not CAPTURED[name]:
        assert {frame.interface.linktype for frame in frames} != {pcapng.LINKTYPE_ETHERNET}
        return
    kinds = Counter(kind_of(dissect(frame.octets)) for frame in frames)
    assert kinds == CAPTURED[name]
    for beginning, kind in NAMES.items():
        if name.startswith(beginning):
            assert kinds[kind]


def test_clean_traffic_of_a_lab_breaks_no_rule() -> None:
    frames = frames_of(CAPTURES / "clean.pcapng")
    kinds = {kind_of(dissect(frame.octets)) for frame in frames}
    assert kinds >= {Kind.ARP_REQUEST, Kind.ARP_REPLY, Kind.ND_SOLICITATION, Kind.ND_ADVERTISEMENT}
    assert kinds >= {Kind.UNICAST_IPV4, Kind.UNICAST_IPV6}
    assert [rule for frame in frames for rule in broken_rules(dissect(frame.octets))] == []


def ether(destination: str, body: Packet, **fields: object) -> bytes:
    return bytes(Ether(src=MAC, dst=destination, **fields) / body)


def snap(destination: str, oui: int, code: int) -> bytes:
    header = bytes.fromhex(destination.replace(":", "") + MAC.replace(":", ""))
    body = bytes(LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=oui, code=code) / Raw(bytes(30)))
    return header + len(body).to_bytes(2, "big") + body


def llc(destination: str, sap: int) -> bytes:
    header = bytes.fromhex(destination.replace(":", "") + MAC.replace(":", ""))
    return header + b"\x00\x26" + bytes([sap, sap, 3]) + bytes(35)


def ip(to: str, body: Packet, mac: str = OTHER, **fields: object) -> bytes:
    return ether(mac, IP(src="192.0.2.1", dst=to, **fields) / body)


def ip6(to: str, body: Packet, mac: str = OTHER) -> bytes:
    return ether(mac, IPv6(src="2001:db8::1", dst=to) / body)


GROUP4, GROUP6 = "01:00:5e:00:00:02", "33:33:00:00:00:01"

# name, octets, what it is, the check that forbids it ("" for none)
MADE: list[tuple[str, bytes, Kind, str]] = [
    ("who has", ether(BROADCAST, ARP(op=1, psrc="192.0.2.1", pdst="192.0.2.2")), Kind.ARP_REQUEST, ""),
    ("address probe", ether(BROADCAST, ARP(op=1, psrc="0.0.0.0", pdst="192.0.2.1")), Kind.ARP_REQUEST, ""),
    ("is at", ether(OTHER, ARP(op=2, psrc="192.0.2.1", pdst="192.0.2.2")), Kind.ARP_REPLY, ""),
    ("announcement", ether(BROADCAST, ARP(op=1, psrc="192.0.2.1", pdst="192.0.2.1")), Kind.GRATUITOUS_ARP, "PHY-15"),
    ("reply to all", ether(BROADCAST, ARP(op=2, psrc="192.0.2.1", pdst="192.0.2.2")), Kind.GRATUITOUS_ARP, "PHY-15"),
    ("solicitation", ip6("ff02::1:ff00:2", ICMPv6ND_NS(tgt="2001:db8::2"), GROUP6), Kind.ND_SOLICITATION, ""),
    ("advertisement", ip6("2001:db8::2", ICMPv6ND_NA(tgt="2001:db8::1")), Kind.ND_ADVERTISEMENT, ""),
    ("advertisement to all", ip6("ff02::1", ICMPv6ND_NA(tgt="2001:db8::1"), GROUP6), Kind.UNSOLICITED_ND, "PHY-15"),
    ("BGP", ip("192.0.2.2", Raw(b"\x00\xb3\x9c\x40" + bytes(16)), proto=6), Kind.UNICAST_IPV4, ""),
    ("MLD behind hop-by-hop", ip6("ff02::16", IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLReport2(),
                                  "33:33:00:00:00:16"), Kind.MLD, "PHY-15"),
    ("router advertisement", ip6("ff02::1", ICMPv6ND_RA(), GROUP6), Kind.ROUTER_ADVERTISEMENT, "PHY-12"),
    ("router solicitation", ip6("ff02::2", ICMPv6ND_RS(), GROUP6), Kind.ROUTER_SOLICITATION, "PHY-12"),
    ("RA behind a fragment header", ip6("ff02::1", IPv6ExtHdrFragment() / ICMPv6ND_RA(), GROUP6),
     Kind.ROUTER_ADVERTISEMENT, "PHY-12"),
    ("redirect", ip("192.0.2.2", ICMP(type=5, code=1)), Kind.REDIRECT, "PHY-14"),
    ("ICMPv6 redirect", ip6("2001:db8::2", ICMPv6ND_Redirect()), Kind.REDIRECT, "PHY-14"),
    ("IRDP", ip("224.0.0.1", ICMP(type=9), GROUP4), Kind.IRDP, "PHY-14"),
    ("IRDP solicitation", ip("224.0.0.2", ICMP(type=10), GROUP4), Kind.IRDP, "PHY-14"),
    ("EIGRP", ip("224.0.0.10", Raw(bytes(20)), GROUP4, proto=88), Kind.EIGRP, "PHY-11"),
    ("RIP", ip("224.0.0.9", UDP(sport=520, dport=520), GROUP4), Kind.RIP, "PHY-11"),
    ("RIPng", ip6("ff02::9", UDP(sport=521, dport=521), GROUP6), Kind.RIP, "PHY-11"),
    ("HSRP", ip("224.0.0.2", UDP(sport=1985, dport=1985), GROUP4), Kind.HSRP, "PHY-11"),
    ("GLBP", ip("224.0.0.102", UDP(sport=3222, dport=3222), GROUP4), Kind.HSRP, "PHY-11"),
    ("a client's port 1985", ip("192.0.2.2", UDP(sport=53, dport=1985)), Kind.UNICAST_IPV4, ""),
    ("MNDP", ip("255.255.255.255", UDP(sport=5678, dport=5678), BROADCAST), Kind.MNDP, "PHY-10"),
    ("mDNS", ip("224.0.0.251", UDP(sport=5353, dport=5353), "01:00:5e:00:00:fb"), Kind.OTHER_MULTICAST, "PHY-15"),
    ("NetBIOS", ip("192.0.2.255", UDP(sport=137, dport=137), BROADCAST), Kind.OTHER_BROADCAST, "PHY-15"),
    ("CDP", snap("01:00:0c:cc:cc:cc", 0x0C, 0x2000), Kind.CDP, "PHY-10"),
    ("VTP", snap("01:00:0c:cc:cc:cc", 0x0C, 0x2003), Kind.VTP, "PHY-10"),
    ("DTP", snap("01:00:0c:cc:cc:cc", 0x0C, 0x2004), Kind.DTP, "PHY-10"),
    ("UDLD", snap("01:00:0c:cc:cc:cc", 0x0C, 0x0111), Kind.UDLD, "PHY-10"),
    ("PAgP", snap("01:00:0c:cc:cc:cc", 0x0C, 0x0104), Kind.PAGP, "PHY-10"),
    ("EDP", snap("00:e0:2b:00:00:00", 0x00E02B, 0x00BB), Kind.EDP, "PHY-10"),
    ("FDP", snap("01:e0:52:cc:cc:cc", 0x00E052, 0x2000), Kind.FDP, "PHY-10"),
    ("PVST+", snap("01:00:0c:cc:cc:cd", 0x0C, 0x010B), Kind.PVST, "PHY-09"),
    ("BPDU", llc("01:80:c2:00:00:00", 0x42), Kind.STP, "PHY-09"),
    ("provider BPDU", llc("01:80:c2:00:00:08", 0x42), Kind.STP, "PHY-09"),
    ("GVRP", llc("01:80:c2:00:00:21", 0x42), Kind.GVRP, "PHY-10"),
    ("IS-IS", llc("01:80:c2:00:00:14", 0xFE), Kind.IS_IS, "PHY-11"),
    ("NetBEUI", llc(OTHER, 0xF0), Kind.LLC, "PHY-08"),
    ("MVRP", ether("01:80:c2:00:00:21", Raw(bytes(30)), type=0x88F5), Kind.MVRP, "PHY-10"),
    ("MOP", ether("ab:00:00:01:00:00", Raw(bytes(30)), type=0x6002), Kind.MOP, "PHY-10"),
    ("LACP", ether("01:80:c2:00:00:02", Raw(bytes(110)), type=0x8809), Kind.SLOW, "PHY-10"),
    ("loop detection", ether(BROADCAST, Raw(bytes(46)), type=0x8899), Kind.LOOP_DETECTION, "PHY-10"),
    ("IPX", ether(BROADCAST, Raw(bytes(46)), type=0x8137), Kind.OTHER_ETHERTYPE, "PHY-08"),
    ("MPLS", ether(OTHER, Raw(bytes(46)), type=0x8847), Kind.OTHER_ETHERTYPE, "PHY-08"),
    ("a frame cut short", bytes(9), Kind.DAMAGED, "PHY-08"),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "kind", "check"), [row[1:] for row in MADE], ids=[row[0] for row in MADE])
def test_a_frame_breaks_the_one_rule_that_is_about_it(octets: bytes, kind: Kind, check: str) -> None:
    frame = dissect(octets)
    assert kind_of(frame) is kind
    assert [rule.check for rule in broken_rules(frame, MAC if frame.source_mac else "")] == ([check] if check else [])


def test_every_kind_is_seen_here() -> None:
    seen = {row[2] for row in MADE} | {kind for kinds in CAPTURED.values() for kind in kinds}
    assert seen | {Kind.UNICAST_IPV6} == set(Kind)


def test_every_kind_is_allowed_or_has_a_rule() -> None:
    for kind in Kind:
        rule_of(kind)


def test_sender_tag_and_kind_are_judged_apart() -> None:
    frame = dissect(bytes(Ether(src=OTHER, dst="01:80:c2:00:00:0e") / Dot1Q(vlan=5, type=0x88CC) / Raw(bytes(30))))
    assert frame.vlan == 5
    assert [rule.check for rule in broken_rules(frame, MAC)] == ["PHY-07", "PHY-08", "PHY-10"]


def test_a_second_tag_is_looked_through() -> None:
    tagged = Ether(src=MAC, dst=OTHER, type=0x88A8) / Dot1Q(vlan=7, type=0x8100) / Dot1Q(vlan=8) / IP(dst="192.0.2.2")
    frame = dissect(bytes(tagged))
    assert (frame.vlan, kind_of(frame)) == (7, Kind.UNICAST_IPV4)


def test_mld_passes_where_an_exchange_lets_it() -> None:
    (octets,) = [row[1] for row in MADE if row[2] is Kind.MLD]
    assert broken_rules(dissect(octets), MAC, mld_allowed=True) == ()


@pytest.mark.parametrize(("name", "octets"), [row[:2] for row in MADE], ids=[row[0] for row in MADE])
def test_a_frame_cut_short_anywhere_is_no_trouble(name: str, octets: bytes) -> None:
    for length in range(len(octets)):
        broken_rules(dissect(octets[:length]), MAC)


def test_sightings_put_offenders_first_and_count() -> None:
    known = {row[0]: row[1] for row in MADE}
    frames = [(1, 5, known["BGP"]), (2, 1, known["LACP"]), (3, 2, known["LACP"]), (4, 1, known["who has"])]
    seen = sightings(frames, MAC)
    assert [(one.kind, one.frames, one.first_at) for one in seen] == [
        (Kind.SLOW.value, 3, 2),
        (Kind.UNICAST_IPV4.value, 5, 1),
        (Kind.ARP_REQUEST.value, 1, 4),
    ]
    assert [rule.check for rule in seen[0].breaks] == ["PHY-10"]


def test_without_a_registered_mac_the_first_ones_counts() -> None:
    asks = ARP(psrc="192.0.2.1", pdst="192.0.2.2")
    first, second = (bytes(Ether(src=mac, dst=BROADCAST) / asks) for mac in (MAC, OTHER))
    seen = sightings([(1, 1, first), (2, 1, second)])
    assert [(one.source_mac, [rule.check for rule in one.breaks]) for one in seen] == [(OTHER, ["PHY-07"]), (MAC, [])]
