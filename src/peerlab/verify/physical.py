"""Checks of ports and wires before BGP (catalogue PHY): what an exchange's quarantine and a turn-up look at."""

from __future__ import annotations

from peerlab.evidence.story import Phase
from peerlab.topology.model import LabModel
from peerlab.verify.check import CRITICAL, MAJOR, Check
from peerlab.verify.physical_frames import (
    judge_discipline,
    judge_no_proxy,
    judge_no_redirect,
    judge_one_mac,
    none_of,
)
from peerlab.verify.physical_link import (
    judge_bandwidth,
    judge_bundle,
    judge_carrier,
    judge_counters,
    judge_mtu,
    judge_two_links,
    no_own_wires,
)
from peerlab.verify.physical_plan import judge_address_plan, judge_services
from peerlab.verify.port import ports

PHASE = "physical & link"
SCENE = Phase.QUARANTINE
WATCHED = "trial port-watched per port: seconds, frames, missed, untold, specimens"


def no_ports(model: LabModel) -> str | None:
    """Why there is no port to put into quarantine."""
    return None if ports(model) else "no connection of this lab has a wire or an exchange's LAN"


CHECKS: tuple[Check, ...] = (
    Check(
        "PHY-01", "Link up and stable", PHASE, CRITICAL,
        "Carrier is up on both ends of every port's wire and does not change during the soak, whose length is told.",
        "DE-CIX turn-up step 1; S3 wiring step", "carrier and carrier_changes of both ends, before and after",
        no_ports, judge_carrier, ("trial port-soaked per port: ends, before and after",), SCENE,
    ),
    Check(
        "PHY-02", "Clean counters", PHASE, MAJOR,
        "CRC, drop, overrun and giant counters do not grow during the soak (but for frames of protocols that no stack "
        "knows, which PHY-08 to PHY-10 judge), and no datagram of its 1 kHz is lost.",
        "AMS-IX 1.1; DE-CIX", "the counters of both ends before and after, and a datagram stream between them",
        no_ports, judge_counters, ("trial port-soaked per port: sent, received, overflowed, ends",), SCENE,
    ),
    Check(
        "PHY-03", "LAG forms", PHASE, MAJOR,
        "An LACP bundle has all members up and the expected speed; removing one member keeps the bundle.",
        "MS voice/RS walkthrough (LACP default)", "the bundle's state as the kernel tells it",
        no_ports, judge_bundle, ("trial bundle-formed: members, members_up, members_wanted, speed, survived",), SCENE,
    ),
    Check(
        "PHY-04", "Two links, two routers", PHASE, CRITICAL,
        "A direct peering has at least two connections on wires of their own to two edge routers of one location.",
        "MS policy.md; MAPS prefix requirements", "the request, and the kernels' addresses and carriers",
        no_own_wires, judge_two_links, ("snapshot baseline: addresses and carrier of every edge",), SCENE,
    ),
    Check(
        "PHY-05", "Equal bandwidth", PHASE, MAJOR,
        "All direct connections of a peer have the same configured and, emulated at a thousandth, the same measured "
        "bandwidth within 10 %.",
        "MS voice/RS walkthrough", "a rate test of half a second per wire and direction",
        no_own_wires, judge_bandwidth, ("trial rate-measured per wire and end: offered_mbps, measured_mbps",), SCENE,
    ),
    Check(
        "PHY-06", "MTU both ways", PHASE, MAJOR,
        "Echo requests that must not be fragmented pass at the agreed MTU and do not one octet above, IPv4 and IPv6, "
        "from every port.",
        "Namex twin; RFC 8201 practice", "echo requests with DF between the routers of a subnet",
        no_ports, judge_mtu, ("trial mtu-probed per port: results, probes",), SCENE,
    ),
    Check(
        "PHY-07", "One source MAC", PHASE, CRITICAL,
        "Only the registered MAC is seen from the port.",
        "AMS-IX 2.3, LINX, DE-CIX", "every frame that comes out of the port", no_ports, judge_one_mac, (WATCHED,),
        SCENE,
    ),
    Check(
        "PHY-08", "Allowed ethertypes only", PHASE, CRITICAL,
        "Nothing but IPv4, ARP and IPv6 in Ethernet II, untagged. What PHY-09 to PHY-11 forbid by name is judged "
        "there.",
        "AMS-IX 2.1-2.2, LINX, DE-CIX", "every frame that comes out of the port",
        no_ports, none_of("PHY-08", "no tag, no foreign ethertype or framing"), (WATCHED,), SCENE,
    ),
    Check(
        "PHY-09", "No STP", PHASE, CRITICAL,
        "No BPDU of any flavour.",
        "all IXPs", "every frame that comes out of the port",
        no_ports, none_of("PHY-09", "no BPDU"), (WATCHED,), SCENE,
    ),
    Check(
        "PHY-10", "No discovery or trunk protocols", PHASE, MAJOR,
        "No CDP, LLDP, EDP, FDP, MNDP, VTP, DTP, GVRP, UDLD, MOP, layer 2 keepalive, loop detection, nor LACP outside "
        "a bundle.",
        "AMS-IX 2.6, BKNIX, NIX.no", "every frame that comes out of the port",
        no_ports, none_of("PHY-10", "no discovery or trunk protocol"), (WATCHED,), SCENE,
    ),
    Check(
        "PHY-11", "No IGP, PIM, DHCP, FHRP", PHASE, MAJOR,
        "No OSPF, IS-IS, EIGRP, RIP, PIM, IGMP, DHCP/BOOTP, VRRP/HSRP.",
        "AMS-IX, LINX", "every frame that comes out of the port",
        no_ports, none_of("PHY-11", "no interior protocol, DHCP or first-hop redundancy"), (WATCHED,), SCENE,
    ),
    Check(
        "PHY-12", "No IPv6 RA", PHASE, CRITICAL,
        "No Router Advertisement, and no Solicitation.",
        "AMS-IX, DE-CIX, LINX", "every frame that comes out of the port",
        no_ports, none_of("PHY-12", "no router advertisement or solicitation"), (WATCHED,), SCENE,
    ),
    Check(
        "PHY-13", "No proxy ARP / ND proxy", PHASE, CRITICAL,
        "ARP and neighbour solicitations for unused, monitor-owned, off-LAN and 169.254 addresses get no answer; the "
        "port's own addresses do, with its registered MAC.",
        "AMS-IX 2.4, DE-CIX, Namex twin", "questions of the monitor and what came back",
        no_ports, judge_no_proxy, (WATCHED, "trial addresses-asked per port: asked, sent"), SCENE,
    ),
    Check(
        "PHY-14", "No redirects, no IRDP", PHASE, MAJOR,
        "Traffic for a third host on the subnet does not trigger ICMP or ICMPv6 redirects; no ICMP router discovery.",
        "AMS-IX, LINX, BKNIX", "packets for a third host sent to the port, and every frame that comes out of it",
        no_ports, judge_no_redirect, (WATCHED, "trial third-host per port: sent"), SCENE,
    ),
    Check(
        "PHY-15", "Broadcast/multicast discipline", PHASE, MAJOR,
        "Broadcast only ARP requests, multicast only neighbour solicitations (no MLD), at most 50 in a minute; no "
        "gratuitous ARP or unsolicited advertisement; directed broadcast is not forwarded. What PHY-09 to PHY-14 "
        "forbid by name is judged there.",
        "AMS-IX 2.5, DE-CIX, LONAP, INEX", "every frame to a group, and packets to the LAN's broadcast address",
        no_ports, judge_discipline, (WATCHED, "trial directed-broadcast per LAN port: sent, control"), SCENE,
    ),
    Check(
        "PHY-16", "No exposed services", PHASE, MAJOR,
        "DNS, NTP, SNMP, SSH, HTTP on the port's addresses are closed to a router of the subnet.",
        "Namex twin; RFC 7454 4", "TCP connections and UDP questions from a router of the subnet",
        no_ports, judge_services, (WATCHED, "trial services-knocked per port: answers"), SCENE,
    ),
    Check(
        "PHY-17", "Address plan", PHASE, CRITICAL,
        "The peer holds the first, the edge the second address of a connection's /30 or /31; on a LAN each has its "
        "address with the whole netmask; IPv6 addresses are configured by hand. Kernel and wire say the same.",
        "MS faqs.md; LINX; UIXP", "the request, the kernels' addresses, ARP and neighbour discovery from both sides",
        no_ports, judge_address_plan, (WATCHED, "trial address-plan-read per port: sources, addresses"), SCENE,
    ),
)  # fmt: skip
