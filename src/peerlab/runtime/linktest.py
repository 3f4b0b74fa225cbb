"""The link test of a new interconnect: ARP, then echo requests, as raw frames over one interface.

Run it at both ends: each run proves one direction and back. The frames are made and read with scapy; the
answers come from the far end's kernel, which has the test address. Nothing of it needs or makes a route.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable

import msgspec

from peerlab.errors import RefusedError
from peerlab.runtime.frames import ETH_P_ALL, PACKET_OUTGOING
from peerlab.runtime.task import Reporter

# scapy makes folders in the home of whoever imports it; a lab leaves nothing there.
os.environ.update(dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), os.devnull))

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

__all__ = ["LinkTestReport", "link_test"]

BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP_REPLY = 2
ECHO_REPLY = 0
ARP_ATTEMPTS = 3
ANSWER_SECONDS = 0.5


class LinkTestReport(msgspec.Struct, frozen=True):
    """Echo requests sent and answered over one interface; times in milliseconds.

    When nobody answers ARP, ``destination_mac`` is empty, ``received`` 0, ``sent`` the number that was asked
    for, and ``error`` says so.
    """

    interface: str
    source: str
    destination: str
    sent: int
    received: int
    loss_percent: float
    rtt_min_ms: float | None = None
    rtt_avg_ms: float | None = None
    rtt_max_ms: float | None = None
    destination_mac: str = ""
    error: str = ""


def link_test(
    reporter: Reporter,
    interface: str,
    source: str,
    destination: str,
    count: int = 10,
    wait: float = ANSWER_SECONDS,
) -> LinkTestReport:
    """Resolves ``destination`` by ARP and sends ``count`` echo requests, each awaited up to ``wait`` seconds."""
    if ":" in source + destination:
        raise RefusedError("BadAddress", "the link test uses IPv4 addresses of 169.254.0.0/16")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire:
        wire.bind((interface, ETH_P_ALL))
        wire.setblocking(False)
        test = _LinkTest(wire, source, destination, wait)
        mac = test.resolve()
        if not mac:
            error = f"nobody answers ARP for {destination} at {interface}"
            return LinkTestReport(interface, source, destination, count, 0, 100.0, error=error)
        times = []
        for sequence in range(count):
            if reporter.stop.is_set():
                count = sequence
                break
            rtt = test.echo(mac, sequence)
            if rtt is not None:
                times.append(rtt)
            reporter.emit({"sequence": sequence, "rtt_ms": rtt})
    loss = 100.0 * (count - len(times)) / count if count else 0.0
    if not times:
        return LinkTestReport(interface, source, destination, count, 0, loss, destination_mac=mac)
    return LinkTestReport(
        interface,
        source,
        destination,
        count,
        len(times),
        loss,
        min(times),
        sum(times) / len(times),
        max(times),
        mac,
    )


class _LinkTest:
    def __init__(self, wire: socket.socket, source: str, destination: str, wait: float) -> None:
        self.wire = wire
        self.mac = wire.getsockname()[4].hex(":")
        self.source = source
        self.destination = destination
        self.wait = wait
        self.identifier = os.getpid() & 0xFFFF

    def resolve(self) -> str:
        """The far end's MAC, empty when nobody answers."""
        question = Ether(src=self.mac, dst=BROADCAST) / ARP(
            op="who-has", hwsrc=self.mac, psrc=self.source, pdst=self.destination
        )

        def answers(packet: Packet) -> bool:
            return ARP in packet and packet[ARP].op == ARP_REPLY and packet[ARP].psrc == self.destination

        for _ in range(ARP_ATTEMPTS):
            self._send(bytes(question))
            found, _ = self._await(answers)
            if found is not None:
                return str(found[ARP].hwsrc)
        return ""

    def echo(self, mac: str, sequence: int) -> float | None:
        """One echo request; its round-trip time in milliseconds, None without an answer."""
        request = (
            Ether(src=self.mac, dst=mac)
            / IP(src=self.source, dst=self.destination)
            / ICMP(id=self.identifier, seq=sequence)
            / Raw(b"peerlab link test")
        )
        block = bytes(request)

        def answers(packet: Packet) -> bool:
            return (
                ICMP in packet
                and packet[IP].src == self.destination
                and packet[ICMP].type == ECHO_REPLY
                and packet[ICMP].id == self.identifier
                and packet[ICMP].seq == sequence
            )

        sent_at = time.monotonic_ns()
        self._send(block)
        found, at = self._await(answers)
        return (at - sent_at) / 1e6 if found is not None else None

    def _send(self, block: bytes) -> None:
        try:
            self.wire.send(block)
        except OSError as failure:
            # The wire's impairment took the frame at this node's own egress: lost, like any other.
            if failure.errno != errno.ENOBUFS:
                raise

    def _await(self, wanted: Callable[[Packet], bool]) -> tuple[Packet | None, int]:
        """The first incoming frame that is wanted and when it was read; None after the wait."""
        deadline = time.monotonic() + self.wait
        poll = select.poll()
        poll.register(self.wire, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            block, address = self.wire.recvfrom(65536)
            at = time.monotonic_ns()
            if address[2] != PACKET_OUTGOING:
                packet = Ether(block)
                if wanted(packet):
                    return packet, at
        return None, 0
