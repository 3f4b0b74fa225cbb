"""PHY: quarantine of six ports: the wires isp1-ams1 (w1) and isp1-ams2 (w2), and ams2, rs1, member on the LAN.

isp1 e1 has 192.0.2.2/31 and 2001:db8:ff::2, MAC 02:00:00:00:05:01; ams2's port on the LAN is e15.
"""

from __future__ import annotations

import msgspec
from verify_quarantine import (
    ELSEWHERE,
    answer,
    bundled,
    edit,
    quarantine,
    quarantined,
    rates,
    reapply,
    sends,
    silenced,
)
from verify_row import Row
from verify_scenario import Scenario

from peerlab.evidence.story import Moment
from peerlab.evidence.story_quarantine import QuarantineStimulus as Q
from peerlab.runtime.probe_frame import ECHO_REPLY, arp_request, echo, neighbour_solicitation
from peerlab.topology.model import LabModel

MAC, TO = "02:00:00:00:05:01", "02:00:00:00:01:01"
"""Of isp1 e1 and of ams1 e1, which watches it."""
LAN = "ams2 e15"
LAN_MAC, LAN_TO = "02:00:00:00:02:0f", "02:00:00:00:aa:01"


def _raw(destination: str, body: str, source: str = MAC) -> str:
    return (destination + source).replace(":", "") + body


def _ipv4(destination: str, protocol: int, payload: str, to: str = "224.0.0.5") -> str:
    body = echo(ECHO_REPLY, MAC, destination, "192.0.2.2", to)
    return body[: 2 * 23] + f"{protocol:02x}" + body[2 * 24 : 2 * 34] + payload


def _icmpv6(destination: str, kind: int) -> str:
    body = echo(ECHO_REPLY, MAC, destination, "2001:db8:ff::2", "ff02::1")
    return body[: 2 * 54] + f"{kind:02x}" + body[2 * 55 :]


STP = _raw("01:80:c2:00:00:00", "0026424203" + "00" * 35)
LLDP = _raw("01:80:c2:00:00:0e", "88cc0207" + "00" * 40)
CDP = _raw("01:00:0c:cc:cc:cc", "0040aaaa0300000c2000" + "00" * 40)
OSPF = _ipv4("01:00:5e:00:00:05", 89, "0201002c")
DHCP = _ipv4("ff:ff:ff:ff:ff:ff", 17, "0044004300100000", "255.255.255.255")
RA, RS, MLD = (_icmpv6("33:33:00:00:00:01", kind) for kind in (134, 133, 143))
REDIRECT_V6, UNSOLICITED = _icmpv6(TO, 137), _icmpv6("33:33:00:00:00:01", 136)
REDIRECT = _ipv4(TO, 1, "0501000000000000", "192.0.2.3")
IRDP = _ipv4("ff:ff:ff:ff:ff:ff", 1, "0900000000000000", "255.255.255.255")
BROADCAST = _ipv4("ff:ff:ff:ff:ff:ff", 17, "c350c35000080000", "255.255.255.255")
TAGGED = _raw(TO, "81000064" + echo(ECHO_REPLY, MAC, TO, "192.0.2.2", "192.0.2.3")[24:])
IPX = _raw("02:00:00:00:01:01", "8137" + "00" * 40)


def unwatched(s: Scenario) -> None:
    s.untry(Q.PORT_WATCHED)


WINDOW = {
    "never watched": unwatched,
    "the kernel lost frames": edit(Q.PORT_WATCHED, lambda saw: saw.update(missed=3)),
    "a storm that was not kept": edit(Q.PORT_WATCHED, lambda saw: saw.update(untold=7)),
    "watched for a moment": edit(Q.PORT_WATCHED, lambda saw: saw.update(seconds=0.2)),
    "nothing came out of the port": edit(Q.PORT_WATCHED, lambda saw: saw.update(specimens=[])),
    "frames that are no octets": edit(Q.PORT_WATCHED, lambda saw: saw["specimens"][0].update(hex="zz")),
}
"""What takes the proof from any check of frames."""


def _without(*names: str) -> dict[str, object]:
    return {name: change for name, change in WINDOW.items() if name not in names}


def _after(end: int, **facts: object) -> object:
    return edit(Q.PORT_SOAKED, lambda saw: saw["ends"][end]["after"].update(facts))


def _model(s: Scenario, change: object) -> None:
    s.model = change(s.model)  # type: ignore[operator]


def _same_edge(model: LabModel) -> LabModel:
    """Both connections of the direct peering end on one edge router."""
    direct, *others = model.peerings
    first, second = direct.connections
    second = msgspec.structs.replace(second, edge=first.edge)
    return msgspec.structs.replace(
        model, peerings=(msgspec.structs.replace(direct, connections=(first, second)), *others)
    )


def _swapped(model: LabModel) -> LabModel:
    """The edge is given the first address of the session prefix, the peer the second."""
    direct, *others = model.peerings
    first, *rest = direct.connections
    first = msgspec.structs.replace(first, peer_v4=first.microsoft_v4, microsoft_v4=first.peer_v4)
    return msgspec.structs.replace(
        model, peerings=(msgspec.structs.replace(direct, connections=(first, *rest)), *others)
    )


def _unequal(model: LabModel) -> LabModel:
    direct, *others = model.peerings
    first, *rest = direct.connections
    first = msgspec.structs.replace(first, bandwidth_mbps=20000)
    return msgspec.structs.replace(
        model, peerings=(msgspec.structs.replace(direct, connections=(first, *rest)), *others)
    )


def _wired(s: Scenario) -> None:
    s.model = quarantined()


def _no_carrier(s: Scenario) -> None:
    s.change(Moment.BASELINE, "ams2", carrier={**s.node(Moment.BASELINE, "ams2").carrier, "e2": False})


def _moved(s: Scenario) -> None:
    nodes = tuple(
        msgspec.structs.replace(node, metro="london") if node.name == "ams2" else node for node in s.model.nodes
    )
    s.model = msgspec.structs.replace(s.model, nodes=nodes)


def _rate(s: Scenario, node: str, **saw: object) -> None:
    edit(Q.RATE_MEASURED, lambda detail: detail.update(saw), f"w1 {node}")(s)


def _own_answers(octets: str) -> bool:
    return octets[24:28] == "0806" and octets[40:44] == "0002"


def _asks_upper_half(octets: str) -> bool:
    return octets[24:28] == "0806" and octets[40:44] == "0001" and int(octets[-2:], 16) > 127


ND_STORM = neighbour_solicitation(MAC, "2001:db8:ff::2", "2001:db8:ff::3")
ARP_STORM = arp_request(MAC, "192.0.2.2", "192.0.2.3")

PHYSICAL_ROWS = (
    Row(
        "PHY-01",
        quarantine,
        breaks={
            "the carrier went and came back": _after(0, carrier_changes=3),  # type: ignore[dict-item]
            "no carrier at the other end": _after(1, carrier=False),  # type: ignore[dict-item]
        },
        lacks={
            "never soaked": lambda s: s.untry(Q.PORT_SOAKED),
            "one end was not read": edit(Q.PORT_SOAKED, lambda saw: saw["ends"].pop()),
            "the carrier was not read": edit(Q.PORT_SOAKED, lambda saw: saw["ends"][0]["after"].pop("carrier")),
        },
    ),
    Row(
        "PHY-02",
        quarantine,
        breaks={
            "CRC errors": _after(0, rx_crc_errors=2),  # type: ignore[dict-item]
            "drops at the other end": _after(1, rx_dropped=40),  # type: ignore[dict-item]
            "more drops than frames that no stack knows": lambda s: (
                sends(LLDP)(s) or edit(Q.PORT_SOAKED, lambda saw: saw["ends"][1]["after"].update(rx_dropped=3))(s)
            ),
            "giants": _after(1, rx_length_errors=2),  # type: ignore[dict-item]
            "overruns": _after(0, rx_over_errors=9),  # type: ignore[dict-item]
            "datagrams were lost": edit(Q.PORT_SOAKED, lambda saw: saw["received"].update(ipv6=1249)),
        },
        lacks={
            "never soaked": lambda s: s.untry(Q.PORT_SOAKED),
            "no IPv6 was sent": edit(Q.PORT_SOAKED, lambda saw: saw["sent"].pop("ipv6")),
            "a counter was not read": edit(Q.PORT_SOAKED, lambda saw: saw["ends"][0]["before"].pop("rx_dropped")),
            "the receiver itself lost some": edit(Q.PORT_SOAKED, lambda saw: saw.update(overflowed=2)),
        },
    ),
    Row(
        "PHY-03",
        bundled,
        breaks={
            "a member is down": lambda s: s.resee(Q.BUNDLE_FORMED, members_up=1),
            "half the speed": lambda s: s.resee(Q.BUNDLE_FORMED, speed_mbps=10000),
            "it does not survive": lambda s: s.resee(Q.BUNDLE_FORMED, survived=False),
        },
        lacks={
            "never tried": lambda s: s.untry(Q.BUNDLE_FORMED),
            "the kernel has no bonding": lambda s: s.resee(Q.BUNDLE_FORMED, unsupported="no bonding driver"),
            "its state was not read": lambda s: s.resee(Q.BUNDLE_FORMED, members_wanted=0),
        },
    ),
    Row(
        "PHY-04",
        _wired,
        breaks={
            "both end on one router": lambda s: _model(s, _same_edge),
            "the second router is elsewhere": _moved,
        },
        lacks={
            "the baseline was not read": lambda s: s.snapshots.pop(Moment.BASELINE),
            "no carrier at the second router": _no_carrier,
            "the second router does not have the address": lambda s: s.change(Moment.BASELINE, "ams2", addresses={}),
        },
    ),
    Row(
        "PHY-05",
        rates,
        breaks={
            "one direction is slower": lambda s: _rate(s, "isp1", measured_mbps=5.0),
            "one direction is faster": lambda s: _rate(s, "ams1", measured_mbps=12.0),
            "configured unequal": lambda s: _model(s, _unequal),
        },
        lacks={
            "never measured": lambda s: s.untry(Q.RATE_MEASURED),
            "the kernel cannot shape": lambda s: _rate(s, "isp1", unsupported="no tbf"),
            "the sender was too slow": lambda s: _rate(s, "isp1", offered_mbps=9.0, measured_mbps=9.0),
            "nothing arrived that could be measured": lambda s: _rate(s, "isp1", measured_mbps=0.0),
        },
    ),
    Row(
        "PHY-06",
        quarantine,
        breaks={
            "the MTU does not pass": edit(
                Q.MTU_PROBED, lambda saw: saw["results"]["192.0.2.3"].update(at_mtu=0)
            ),
            "one more octet passes, IPv6": edit(
                Q.MTU_PROBED, lambda saw: saw["results"]["2001:db8:ff::3"].update(over=3)
            ),
        },
        lacks={
            "never probed": lambda s: s.untry(Q.MTU_PROBED),
            "IPv6 was not probed": edit(Q.MTU_PROBED, lambda saw: saw["results"].pop("2001:db8:ff::3")),
            "probed for another MTU": lambda s: s.redo(Q.MTU_PROBED, mtu=9000),
        },
    ),
    Row(
        "PHY-07",
        quarantine,
        breaks={
            "a frame from another MAC": sends(echo(ECHO_REPLY, ELSEWHERE, TO, "192.0.2.2", "192.0.2.3")),
            "a BPDU from a switch behind the router": sends(
                _raw("01:80:c2:00:00:00", "0026424203" + "00" * 35, ELSEWHERE)
            ),
        },
        lacks=WINDOW,
    ),
    Row(
        "PHY-08",
        quarantine,
        breaks={"a VLAN tag": sends(TAGGED), "IPX": sends(IPX), "LLC": sends(_raw(TO, "0026e0e003" + "00" * 35))},
        lacks=WINDOW,
    ),
    Row("PHY-09", quarantine, breaks={"a BPDU": sends(STP), "on the LAN": sends(STP, LAN)}, lacks=WINDOW),
    Row("PHY-10", quarantine, breaks={"LLDP": sends(LLDP), "CDP": sends(CDP)}, lacks=WINDOW),
    Row("PHY-11", quarantine, breaks={"OSPF": sends(OSPF), "DHCP": sends(DHCP)}, lacks=WINDOW),
    Row("PHY-12", quarantine, breaks={"an advertisement": sends(RA), "a solicitation": sends(RS)}, lacks=WINDOW),
    Row(
        "PHY-13",
        quarantine,
        breaks={
            "answers for an unused address": sends(
                answer(LAN_MAC, LAN_TO, "195.69.144.127", "195.69.144.130"), LAN
            ),
            "answers for the monitor's address": sends(answer(MAC, TO, "192.0.2.3", "192.0.2.77")),
            "answers for its loopback": sends(answer(MAC, TO, "10.255.0.5", "192.0.2.3")),
            "answers for a link-local address": sends(answer(MAC, TO, "169.254.77.1", "192.0.2.3")),
            "neighbour discovery for what is elsewhere": sends(answer(MAC, TO, "2001:db8:ffff::77", "2001:db8:ff::3")),
            "its own address is at another MAC": sends(answer(ELSEWHERE, TO, "192.0.2.2", "192.0.2.3")),
            "no answer for its own address": silenced(_own_answers),
        },
        lacks={
            **_without("nothing came out of the port"),
            "never asked": lambda s: s.untry(Q.ADDRESSES_ASKED),
            "the questions were not sent": edit(Q.ADDRESSES_ASKED, lambda saw: saw.update(sent=0)),
            "nothing foreign was asked for": reapply(
                Q.ADDRESSES_ASKED, asked={"own": ["192.0.2.2", "2001:db8:ff::2"]}
            ),
        },  # type: ignore[arg-type]
    ),
    Row(
        "PHY-14",
        quarantine,
        breaks={"a redirect": sends(REDIRECT), "an ICMPv6 redirect": sends(REDIRECT_V6), "IRDP": sends(IRDP)},
        lacks={
            **WINDOW,
            "never provoked": lambda s: s.untry(Q.THIRD_HOST),
            "the packets were not sent": edit(Q.THIRD_HOST, lambda saw: saw.update(sent=0)),
        },
    ),
    Row(
        "PHY-15",
        quarantine,
        breaks={
            "another broadcast": sends(BROADCAST),
            "MLD": sends(MLD),
            "gratuitous ARP": sends(arp_request(MAC, "192.0.2.2", "192.0.2.2")),
            "an unsolicited advertisement": sends(UNSOLICITED),
            "an ARP storm": sends(ARP_STORM, count=60),
            "a storm of solicitations": sends(ND_STORM, count=60),
            "a directed broadcast comes through": sends(
                echo(ECHO_REPLY, LAN_MAC, "ff:ff:ff:ff:ff:ff", "192.0.2.21", "195.69.144.255"), LAN
            ),
        },
        lacks={
            **WINDOW,
            "directed broadcast was not tried": lambda s: s.untry(Q.DIRECTED_BROADCAST),
            "the router forwards nothing from there": edit(Q.DIRECTED_BROADCAST, lambda saw: saw.update(sent=0), LAN),
        },
    ),
    Row(
        "PHY-16",
        quarantine,
        breaks={
            "SSH answers": edit(
                Q.SERVICES_KNOCKED, lambda saw: saw["answers"]["192.0.2.2"].update({"ssh/tcp": "open"})
            ),
            "NTP answers on IPv6": edit(
                Q.SERVICES_KNOCKED, lambda saw: saw["answers"]["2001:db8:ff::2"].update({"ntp/udp": "open"})
            ),
        },
        lacks={
            "never knocked": lambda s: s.untry(Q.SERVICES_KNOCKED),
            "SNMP was not tried": edit(Q.SERVICES_KNOCKED, lambda saw: saw["answers"]["192.0.2.2"].pop("snmp/udp")),
            "an answer nobody knows": edit(
                Q.SERVICES_KNOCKED, lambda saw: saw["answers"]["192.0.2.2"].update({"ssh/tcp": "ENETUNREACH"})
            ),
        },
    ),
    Row(
        "PHY-17",
        quarantine,
        breaks={
            "first and second are swapped": lambda s: _model(s, _swapped),
            "another address in the kernel": edit(
                Q.ADDRESS_PLAN_READ, lambda saw: saw.update(addresses=["192.0.2.8/31", "2001:db8:ff::2/127"])
            ),
            "half the netmask in the kernel": edit(
                Q.ADDRESS_PLAN_READ, lambda saw: saw.update(addresses=["195.69.144.2/25", "2001:7f8:1::2/64"]), LAN
            ),
            "the wire does not know the upper half": silenced(_asks_upper_half, LAN),
            "an IPv6 address made from the MAC": edit(
                Q.ADDRESS_PLAN_READ, lambda saw: saw["addresses"].append("2001:db8:ff:0:ff:fe00:501:1/64")
            ),
            "nobody has the address on the wire": silenced(_own_answers),
            "somebody else has the address": sends(answer(ELSEWHERE, TO, "192.0.2.2", "192.0.2.3")),
        },
        lacks={
            **_without("nothing came out of the port"),
            "never read": lambda s: s.untry(Q.ADDRESS_PLAN_READ),
            "the kernel was not asked": edit(Q.ADDRESS_PLAN_READ, lambda saw: saw.pop("addresses")),
            "no sources were tried": lambda s: s.redo(Q.ADDRESS_PLAN_READ, sources=None),
        },  # type: ignore[arg-type]
    ),
)
