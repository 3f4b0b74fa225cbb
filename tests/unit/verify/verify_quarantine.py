"""Quarantine by hand: the synthetic lab with its exchange on a switch, and every port watched and found clean.

Frames are octets as a wire carries them; each row changes one of them, or one fact beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from ipaddress import ip_address, ip_interface
from typing import Any

import msgspec
from verify_model import lab
from verify_scenario import Scenario, ns

from peerlab.controller.quarantine_frames import PortFrames, frames_for
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story_quarantine import QuarantineStimulus as Q
from peerlab.runtime.probe_frame import ECHO_REQUEST, echo, question
from peerlab.topology.model import Interface, LabModel, Link, LinkEnd, LinkPurpose, Node, NodeKind
from peerlab.verify.port import Port, ports

BEGAN, ENDED = 2.0, 5.0
PLUGS = (("ams2", "e15"), ("rs1", "e15"), ("member", "e16"))
"""Members of the LAN and their interfaces on it."""
ELSEWHERE = "02:00:00:00:99:99"


def _replace(node: Node, **links: str) -> Node:
    """A node whose interfaces are on other links."""
    changed = tuple(
        msgspec.structs.replace(i, link=links[i.name]) if i.name in links else i
        for i in node.interfaces
        if not (node.name == "rs1" and i.name == "e16")
    )
    return msgspec.structs.replace(node, interfaces=changed)


@cache
def quarantined() -> LabModel:
    """The lab with the exchange's LAN as a switch, and without the peering in London, which has one wire only."""
    model = lab()
    plugs = tuple(
        Interface(name=f"p{n}", link=f"lan{n}", mac=f"02:00:00:00:aa:0{n}") for n, _ in enumerate(PLUGS, 1)
    )
    links = {node: {name: f"lan{n}"} for n, (node, name) in enumerate(PLUGS, 1)}
    nodes = tuple(_replace(node, **links.get(node.name, {})) for node in model.nodes)
    switch = Node(name="lan", kind=NodeKind.SWITCH, interfaces=plugs)
    wires = tuple(link for link in model.links if link.purpose is not LinkPurpose.LAN)
    wires += tuple(
        Link(id=f"lan{n}", ends=(LinkEnd(node, name), LinkEnd("lan", f"p{n}")), purpose=LinkPurpose.LAN)
        for n, (node, name) in enumerate(PLUGS, 1)
    )
    peerings = tuple(peering for peering in model.peerings if peering.name != "isp-lon")
    return msgspec.structs.replace(model, nodes=(*nodes, switch), links=wires, peerings=peerings)


def answer(mac: str, to: str, address: str, asker: str) -> str:
    """An ARP reply or a solicited neighbour advertisement."""
    if ":" in address:
        head = bytes.fromhex((to + mac).replace(":", "")) + b"\x86\xdd\x60\0\0\0\0\x20\x3a\xff"
        ends = ip_address(address).packed + ip_address(asker).packed
        message = bytes.fromhex("8800000060000000") + ip_address(address).packed
        return (head + ends + message + b"\x02\x01" + bytes.fromhex(mac.replace(":", ""))).hex()
    told = bytes.fromhex((to + mac).replace(":", "")) + b"\x08\x06" + bytes.fromhex("0001080006040002")
    told += bytes.fromhex(mac.replace(":", "")) + ip_address(address).packed
    return (told + bytes.fromhex(to.replace(":", "")) + ip_address(asker).packed).hex()


def _clean(port: Port, frames: PortFrames) -> list[str]:
    """What a port without fault sends: answers for itself, questions of its own, unicast."""
    mac, to = port.interface.mac, port.watcher_interface.mac
    texts = {4: port.interface.v4 or "", 6: port.interface.v6 or ""}
    fars = {4: port.far_interface.v4 or "", 6: port.far_interface.v6 or ""}
    sent = []
    for version, text in texts.items():
        own, far = text.split("/")[0], fars[version].split("/")[0]
        sent += [answer(mac, to, own, far), question(mac, own, far), echo(ECHO_REQUEST, mac, to, own, far)]
        sent += [question(mac, own, source) for source in frames.sources if (":" in source) == (version == 6)]
    if frames.entry is not None:
        sent.append(question(mac, texts[4].split("/")[0], frames.entry.control))
    return sent


def _specimen(octets: str, at: float = BEGAN + 1, count: int = 1) -> dict[str, object]:
    return {"at_ns": ns(at), "count": count, "length": len(octets) // 2, "hex": octets}


COUNTERS = ("rx_dropped", "tx_dropped", "rx_errors", "tx_errors", "rx_length_errors", "rx_over_errors",
            "rx_crc_errors", "carrier_changes")  # fmt: skip


def _trial(s: Scenario, port: Port, stimulus: Q, did: dict[str, object], saw: dict[str, object]) -> None:
    key = {"trial": port.key}
    s.tell(StimulusApplied(at=ns(BEGAN), stimulus=stimulus, node=port.node, detail={**key, **did}))
    s.tell(StimulusObserved(at=ns(ENDED), stimulus=stimulus, node=port.node, detail={**key, **saw}))


def quarantine(s: Scenario) -> None:
    """Every port was watched and tried, and nothing is wrong."""
    s.model = quarantined()
    for port in ports(s.model):
        frames = frames_for(s.model, port)
        specimens = [_specimen(octets) for octets in _clean(port, frames)]
        window: dict[str, object] = {"seconds": 3.0, "frames": len(specimens), "missed": 0, "untold": 0}
        _trial(s, port, Q.PORT_WATCHED, {"mac": port.interface.mac}, {**window, "specimens": specimens})
        _trial(s, port, Q.ADDRESSES_ASKED, {"asked": {w: list(a) for w, a in frames.asked.items()}}, {"sent": 20})
        held = [str(ip_interface(text)) for text in (port.interface.v4, port.interface.v6) if text]
        _trial(s, port, Q.ADDRESS_PLAN_READ, {"sources": list(frames.sources)}, {"addresses": [*held, "fe80::1/64"]})
        _trial(s, port, Q.THIRD_HOST, {"destinations": list(frames.third_hosts)}, {"sent": 2})
        if frames.entry is not None:
            entry = frames.entry
            did: dict[str, object] = {"destination": entry.broadcast, "control": entry.control}
            _trial(s, port, Q.DIRECTED_BROADCAST, {**did, "entered": entry.entered}, {"sent": 2})
        facts = {"carrier": True, "rx_packets": 10, **dict.fromkeys(COUNTERS, 1)}
        ends = [
            {"end": f"{node} {name}", "before": dict(facts), "after": {**facts, "rx_packets": 2510}}
            for node, name in ((port.node, port.interface.name), (port.watcher, port.watcher_interface.name))
        ]
        both = {"ipv4": 1250, "ipv6": 1250}
        soaked = {"sent": dict(both), "received": dict(both), "overflowed": 0, "ends": ends}
        _trial(s, port, Q.PORT_SOAKED, {"rate_hz": 1000.0, "seconds": 2.5}, soaked)
        fars = [text.split("/")[0] for text in (port.far_interface.v4, port.far_interface.v6) if text]
        results = {address: {"at_mtu": 3, "over": 0} for address in fars}
        _trial(s, port, Q.MTU_PROBED, {"mtu": 1500, "destinations": fars}, {"results": results, "probes": 3})
        doors = dict.fromkeys(("dns/tcp", "dns/udp", "http/tcp", "ntp/udp", "snmp/udp", "ssh/tcp"), "closed")
        answers = {address: dict(doors) for address in port.own}
        _trial(s, port, Q.SERVICES_KNOCKED, {"addresses": list(port.own)}, {"answers": answers})


def rates(s: Scenario) -> None:
    """Every wire carries what it should, both ways."""
    quarantine(s)
    for port in ports(s.model):
        if port.lan is not None:
            continue
        key = {"trial": f"{port.link} {port.node}"}
        did = {"link": port.link, "connection": "isp-ams/x", "configured_mbps": 10000, "capacity_mbps": 10.0}
        saw = {"offered_mbps": 13.0, "measured_mbps": 10.1}
        stimulus = Q.RATE_MEASURED
        s.tell(StimulusApplied(at=ns(BEGAN), stimulus=stimulus, node=port.node, detail={**key, **did}))
        s.tell(StimulusObserved(at=ns(ENDED), stimulus=stimulus, node=port.node, detail={**key, **saw}))


def bundled(s: Scenario) -> None:
    """A bundle of two formed and lost one."""
    s.model = quarantined()
    saw: dict[str, object] = {"trial": "LACP", "members": 2, "members_wanted": 2, "members_up": 2, "speed_mbps": 20000,
                              "expected_mbps": 20000, "survived": True}  # fmt: skip
    s.trial(Q.BUNDLE_FORMED, "isp1", did={"trial": "LACP"}, saw=saw, at=BEGAN, until=ENDED)  # type: ignore[arg-type]


def sends(octets: str, at: str = "isp1 e1", count: int = 1) -> Callable[[Scenario], None]:
    """A change: a port sends one more frame."""

    def change(s: Scenario) -> None:
        edit(Q.PORT_WATCHED, lambda saw: saw["specimens"].append(_specimen(octets, count=count)), at)(s)

    return change


def edit(stimulus: Q, change: Callable[[dict[str, Any]], object], at: str = "isp1 e1") -> Callable[[Scenario], None]:
    """A change of what was observed of one port. The details are copied, other rows share them not."""

    def apply(s: Scenario) -> None:
        for i, event in enumerate(s.events):
            if isinstance(event, StimulusObserved) and event.stimulus == stimulus and event.detail["trial"] == at:
                detail = msgspec.json.decode(msgspec.json.encode(event.detail))
                change(detail)
                s.events[i] = msgspec.structs.replace(event, detail=detail)
                return
        raise AssertionError(f"no {stimulus} of {at} to change")

    return apply


def reapply(stimulus: Q, at: str = "isp1 e1", **did: object) -> Callable[[Scenario], None]:
    """A change of what was done to one port."""

    def apply(s: Scenario) -> None:
        for i, event in enumerate(s.events):
            if isinstance(event, StimulusApplied) and event.stimulus == stimulus and event.detail["trial"] == at:
                s.events[i] = msgspec.structs.replace(event, detail={**event.detail, **did})
                return
        raise AssertionError(f"no {stimulus} of {at} to change")

    return apply


def silenced(words: Callable[[str], bool], at: str = "isp1 e1") -> Callable[[Scenario], None]:
    """A change: a port did not send the frames that these words pick by their octets."""

    def change(saw: dict[str, Any]) -> None:
        kept = [one for one in saw["specimens"] if not words(one["hex"])]
        assert len(kept) < len(saw["specimens"]), "nothing to silence"
        saw["specimens"] = kept

    return edit(Q.PORT_WATCHED, change, at)
