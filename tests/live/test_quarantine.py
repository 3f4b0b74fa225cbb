"""Quarantine in real labs: what is clean passes, and whatever breaks a rule is found by the check that is about it.

All that is forbidden at once comes out of one router, kind by kind; each check has to find its own and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from product import ROOT, Product, product
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import ARP, LLC, SNAP, STP, Dot1Q, Dot3, Ether
from scapy.packet import Raw

from peerlab.controller import probing, quarantine
from peerlab.controller.lab import Lab
from peerlab.controller.rehearsal import Rehearsal, take_baseline
from peerlab.evidence.events import Event, StimulusObserved
from peerlab.evidence.story_quarantine import QuarantineStimulus
from peerlab.evidence.trace import Trace
from peerlab.runtime.base import Impairment
from peerlab.topology.load import load
from peerlab.topology.model import LabModel
from peerlab.verify.catalogue import judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding, Outcome
from peerlab.verify.physical import CHECKS

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("quarantine")]

RAW_SEND = "peerlab.runtime.frames:raw_send"
SECONDS = 1.5
"""A window for a test: longer than proxy ARP of Linux waits (0.8 s)."""
WITHIN = 30.0
LAN = "to-tulip-lan"
NTP_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 123))
while True:
    question, asker = server.recvfrom(512)
    server.sendto(bytes(48), asker)
"""
ALL = tuple(check.id for check in CHECKS)
Act = Callable[[Lab], Awaitable[None]]


class Quarantined:
    """A lab at its baseline, to be put into quarantine again and again."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.rehearsal = Rehearsal.of(lab, lambda _: None)

    async def judged(self, during: Act | None = None) -> dict[str, Finding]:
        """The findings of one quarantine. ``during`` is done once every port is watched and probed."""
        # Who has looked for an address in vain a moment ago does not look again at once.
        routers = [node.name for node in self.lab.model.nodes if node.is_router]
        await asyncio.gather(*(self.tell(node, "ip neigh flush all", "ip -6 neigh flush all") for node in routers))
        began = len(self.lab.events)
        probed = asyncio.Event()

        def notice(event: Event) -> None:
            if isinstance(event, StimulusObserved) and event.stimulus == QuarantineStimulus.MTU_PROBED:
                probed.set()

        async def act() -> None:
            if during is not None:
                await asyncio.wait_for(probed.wait(), WITHIN)
                await during(self.lab)

        self.lab.listeners.append(notice)
        try:
            await asyncio.gather(quarantine.quarantine(self.rehearsal, SECONDS), act())
        finally:
            self.lab.listeners.remove(notice)
        evidence = Evidence(
            model=self.lab.model,
            events=self.lab.events[began:],
            trace=Trace(),
            snapshots=dict(self.lab.snapshots),
        )
        return {finding.check: finding for finding in judge_all(evidence, only=ALL)}

    async def tell(self, node: str, *commands: str) -> None:
        """Shell commands inside a node."""
        done = await self.lab.runtime.run(node, ["sh", "-e", "-c", "; ".join(commands)], WITHIN)
        assert done.code == 0, done.stderr


def outcomes(findings: dict[str, Finding]) -> dict[str, str]:
    return {check: finding.outcome.value for check, finding in findings.items()}


def told(finding: Finding) -> str:
    """Everything that a finding shows, as one text."""
    shown = (*((finding.witness,) if finding.witness else ()), *finding.exhibits)
    return "\n".join(f"{one.where}: {one.what}" for one in shown)


def kinds(finding: Finding) -> set[str]:
    """What a finding's breaches are, of the checks of frames."""
    return {re.sub(r"^\d+ × ", "", found) for found in re.findall(r": (.*) from [0-9a-f:]{17} \(", told(finding))}


def failed(findings: dict[str, Finding], before: dict[str, Finding]) -> set[str]:
    """The checks that fail now and did not before. All others have to stay as they were."""
    changed = {c for c in findings if findings[c].outcome is not before[c].outcome}
    assert all(findings[check].outcome is Outcome.FAIL for check in changed), outcomes(findings)
    return changed


async def in_quarantine(topology: Path, name: str, story: Callable[[Quarantined], Awaitable[None]]) -> None:
    lab = await Lab.up(load(topology), topology.read_text(), name)
    try:
        held = Quarantined(lab)
        await take_baseline(held.rehearsal)
        await story(held)
    finally:
        await lab.down()


def check_clean(findings: dict[str, Finding], absent: set[str]) -> None:
    """All pass; a bundle cannot be made here; what the lab does not have is not applicable."""
    expected = dict.fromkeys(ALL, "pass") | dict.fromkeys(absent, "not-applicable") | {"PHY-03": "inconclusive"}
    assert outcomes(findings) == expected, {c: f.summary for c, f in findings.items()}


def forbidden(model: LabModel, node: str, interface: str) -> list[str]:
    """One frame of each forbidden protocol, from the port's own MAC but for the one that is about the MAC."""
    port = model.node(node).interface(interface)
    mac, own = port.mac, str(port.v4).split("/")[0]
    everybody = "ff:ff:ff:ff:ff:ff"

    def ip(to: str, at: str, **fields: int) -> Ether:
        return Ether(src=mac, dst=at) / IP(src=own, dst=to, ttl=1, **fields)

    frames = [
        Dot3(src=mac, dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP(),
        Dot3(src=mac, dst="01:00:0c:cc:cc:cc") / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0xC, code=0x2000)
        / Raw(bytes(30)),
        Ether(src=mac, dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(bytes.fromhex("020704") + bytes(40)),
        ip("224.0.0.5", "01:00:5e:00:00:05", proto=89) / Raw(bytes.fromhex("0201002c") + bytes(40)),
        ip("224.0.0.18", "01:00:5e:00:00:12", proto=112) / Raw(bytes.fromhex("2101640100010000") + bytes(12)),
        ip("255.255.255.255", everybody) / UDP(sport=68, dport=67) / BOOTP() / DHCP(options=["end"]),
        Ether(src=mac, dst="33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1", hlim=255) / ICMPv6ND_RA(),
        Ether(src="02:00:00:00:99:99", dst="02:00:00:00:99:98") / IP(src=own, dst="192.0.2.1") / UDP(),
        Ether(src=mac, dst="02:00:00:00:99:98") / Dot1Q(vlan=100) / IP(src=own, dst="192.0.2.1") / UDP(),
        Ether(src=mac, dst=everybody) / ARP(op=1, hwsrc=mac, psrc=own, pdst=own),
    ]  # fmt: skip
    return [bytes(frame).hex() for frame in frames]


FOUND = {
    "PHY-08": {"IPv4 unicast"},
    "PHY-09": {"Spanning Tree"},
    "PHY-10": {"CDP", "LLDP"},
    "PHY-11": {"OSPF", "VRRP or CARP", "DHCP or BOOTP"},
    "PHY-12": {"router advertisement"},
    "PHY-15": {"gratuitous ARP"},
}
"""What each check of frames has to find of `forbidden`, and no more."""


def test_an_exchange_port_that_breaks_rules_is_found_rule_by_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(held: Quarantined) -> None:
        clean = await held.judged()
        check_clean(clean, {"PHY-04", "PHY-05"})

        async def send_everything(lab: Lab) -> None:
            frames = forbidden(lab.model, "northwind-1", LAN)
            sender = await lab.runtime.task("northwind-1", RAW_SEND, {"interface": LAN, "frames": frames})
            await sender.result()

        noisy = await held.judged(send_everything)
        assert failed(noisy, clean) == {"PHY-07", *FOUND}, {c: f.summary for c, f in noisy.items()}
        for check, expected in FOUND.items():
            assert kinds(noisy[check]) == expected
            assert "northwind-1 to-tulip-lan: " in str(told(noisy[check]))
        assert "frames from 02:00:00:00:99:99" in noisy["PHY-07"].summary

        # One fault per router, each of another kind.
        conf = "/proc/sys/net/ipv4/conf"
        await held.tell("adatum-1", f"echo 1 > {conf}/{LAN}/proxy_arp")
        await held.tell("ams-edge-1", f"echo 1 > {conf}/all/send_redirects", f"echo 1 > {conf}/{LAN}/send_redirects")
        await held.tell("adatum-1", f"echo 1 > {conf}/all/bc_forwarding", f"echo 1 > {conf}/{LAN}/bc_forwarding",
                        f"for i in {conf}/*; do echo 1 > $i/bc_forwarding; done")  # fmt: skip
        address = next(str(i.v4) for i in held.lab.model.node("northwind-1").interfaces if i.name == LAN)
        narrow = address.replace("/24", "/25")
        await held.tell("northwind-1", f"ip addr add {narrow} dev {LAN}", f"ip addr del {address} dev {LAN}")
        own = next(str(i.v6) for i in held.lab.model.node("ams-edge-2").interfaces if i.name == LAN).split("/")[0]
        server = await held.lab.runtime.task("ams-edge-2", probing.TCP_SERVE, {"address": own, "port": 22})
        await probing.listening(server)
        await held.lab.runtime.spawn("adatum-1", "ntp", [sys.executable, "-c", NTP_SERVER])
        await held.tell("adatum-1", "until ss -Hlun | grep -q ':123 '; do :; done")
        faulty = await held.judged()
        server.close()
        assert failed(faulty, clean) == {"PHY-13", "PHY-14", "PHY-15", "PHY-16", "PHY-17"}, {
            c: f.summary for c, f in faulty.items()
        }
        assert "adatum-1 to-tulip-lan: answers for " in faulty["PHY-13"].summary
        assert "ams-edge-1 to-tulip-lan: " in faulty["PHY-14"].summary and "ICMP redirect" in faulty["PHY-14"].summary
        assert "adatum-1 to-tulip-lan: forwards a packet to 203.0.113.255" in told(faulty["PHY-15"])
        assert f"ams-edge-2 to-tulip-lan: ssh/tcp answers at {own}" in told(faulty["PHY-16"])
        assert "adatum-1 to-tulip-lan: ntp/udp answers at 203.0.113.4" in told(faulty["PHY-16"])
        assert f"northwind-1 to-tulip-lan: its kernel does not have {address}" in faulty["PHY-17"].summary
        assert "its netmask does not cover it" in told(faulty["PHY-17"])

    with product(tmp_path) as made:
        monkeypatch.setenv("PEERLAB_STATE", str(made.state))
        asyncio.run(in_quarantine(ROOT / "topologies" / "exchange.yaml", made.name(), story))


def test_a_wire_that_is_not_as_agreed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(held: Quarantined) -> None:
        clean = await held.judged()
        check_clean(clean, set())
        # The first wire flaps, carries half of its rate one way, and packets longer than agreed; the second router's
        # MTU is too small.
        await held.lab.runtime.impair(Impairment(node="fab-ams-1", interface="to-ams-edge-1", rate_kbit=5000))
        await held.tell("fab-ams-1", "ip link set to-ams-edge-1 mtu 1600")
        await held.tell("ams-edge-1", "ip link set to-fab-ams-1 mtu 1600")
        await held.tell("fab-ams-2", "ip link set to-ams-edge-2 mtu 1400")
        await held.tell("fab-ams-2", "ip -6 addr add 2001:db8:f0ff:0:0:ff:fe00:1/64 dev to-ams-edge-2 nodad")

        async def flap(lab: Lab) -> None:
            await lab.runtime.set_link("fab-ams-1", "to-ams-edge-1", False)
            await lab.runtime.set_link("fab-ams-1", "to-ams-edge-1", True)

        faulty = await held.judged(flap)
        # What a small MTU and a flap cost is lost, and counted.
        expected = {"PHY-01", "PHY-02", "PHY-05", "PHY-06", "PHY-17"}
        assert failed(faulty, clean) == expected, {c: f.summary for c, f in faulty.items()}
        assert "its carrier changed" in faulty["PHY-01"].summary
        assert "fabrikam-amsterdam/first from fab-ams-1" in faulty["PHY-05"].summary
        far = str(held.lab.model.node("ams-edge-1").interface("to-fab-ams-1").v4).split("/")[0]
        long = f"fab-ams-1 to-ams-edge-1 > {far}: 3 echo requests of 1501 octets were answered"
        assert long in told(faulty["PHY-06"])
        assert "fab-ams-2 to-ams-edge-2" in told(faulty["PHY-06"])
        assert "made from a MAC" in faulty["PHY-17"].summary
        impairments = (await held.lab.runtime.observe()).impairments
        assert [one.rate_kbit for one in impairments] == [5000], "the rate test leaves what it found"

    with product(tmp_path) as made:
        monkeypatch.setenv("PEERLAB_STATE", str(made.state))
        asyncio.run(in_quarantine(ROOT / "topologies" / "direct.yaml", made.name(), story))


@pytest.fixture
def peerlab(tmp_path: Path):  # type: ignore[no-untyped-def]
    with product(tmp_path) as made:
        yield made


def test_the_command_tells_what_a_port_sends(peerlab: Product) -> None:
    name = peerlab.name()
    topology = ROOT / "topologies" / "exchange.yaml"
    peerlab.ok("up", topology, "--name", name)
    told_ok = peerlab.run("quarantine", "northwind-1", LAN, "--seconds", "4", "--lab", name)
    assert told_ok.returncode == 0, told_ok.stdout + told_ok.stderr
    assert "clean: every frame is one that an exchange allows" in told_ok.stdout
    watching = peerlab.start("quarantine", "northwind-1", LAN, "--seconds", "3", "--json", "--lab", name)

    async def send() -> None:
        lab = await Lab.attach(name)
        try:
            frames = forbidden(lab.model, "northwind-1", LAN)
            while watching.poll() is None:  # whenever it listens, the frames come
                sender = await lab.runtime.task("northwind-1", RAW_SEND, {"interface": LAN, "frames": frames})
                await sender.result()
        finally:
            await lab.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEERLAB_STATE", str(peerlab.state))
        asyncio.run(send())
    out, err = watching.communicate()
    assert watching.returncode == 1, err
    broken = {rule["check"] for one in json.loads(out)["seen"] for rule in one["breaks"]}
    assert broken == {"PHY-07", *FOUND}
