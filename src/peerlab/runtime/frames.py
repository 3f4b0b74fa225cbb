"""Frames as they are on the wire: send some, and watch an interface to prove what did or did not cross it."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from peerlab.errors import RefusedError
from peerlab.runtime.probe import internet_checksum
from peerlab.runtime.task import Reporter

__all__ = [
    "Frame",
    "FrameFilter",
    "FramesSent",
    "Watched",
    "ask_for_tags",
    "echo_request",
    "parse",
    "raw_send",
    "receive",
    "sniff",
]

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6
PACKET_OUTGOING = 4
PACKET_AUXDATA = 8
AUXDATA = struct.Struct("=IIIHHHH")
VLAN_VALID, VLAN_TPID_VALID = 0x10, 0x40
ETHER_VLAN = 0x8100
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("=qq")
RECEIVE_BUFFER = 4 << 20
ETHER_IPV4, ETHER_ARP, ETHER_IPV6 = 0x0800, 0x0806, 0x86DD
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}


class Frame(msgspec.Struct, frozen=True):
    """What a frame says of itself. Addresses are those of IP, or of ARP's sender and target."""

    ether_type: int
    source_mac: str
    destination_mac: str
    source: str = ""
    destination: str = ""
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0


_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_ECHO_REQUEST = struct.Struct("!BBHHH")
_HOPS = 64


def echo_request(source_mac: str, destination_mac: str, source: str, destination: str) -> bytes:
    """A whole Ethernet frame with an ICMP echo request (RFC 792) from and to any IPv4 address at all.

    Written out here because whoever commands the lab would wait most of a second for scapy's import.
    """
    addresses = socket.inet_aton(source), socket.inet_aton(destination)
    length = _IPV4.size + _ECHO_REQUEST.size
    fields = (0x45, 0, length, 1, 0, _HOPS, PROTOCOLS["icmp"])
    header = _IPV4.pack(*fields, internet_checksum(_IPV4.pack(*fields, 0, *addresses)), *addresses)
    echo = _ECHO_REQUEST.pack(8, 0, internet_checksum(_ECHO_REQUEST.pack(8, 0, 0, 0, 0)), 0, 0)
    macs = (bytes.fromhex(mac.replace(":", "")) for mac in (destination_mac, source_mac))
    return _ETHERNET.pack(*macs, ETHER_IPV4) + header + echo


class FrameFilter(msgspec.Struct, frozen=True):
    """Which frames are meant; an empty field means any. ``port`` and ``address`` match either end."""

    ether_type: int = 0
    protocol: str = ""
    source: str = ""
    destination: str = ""
    address: str = ""
    port: int = 0
    direction: str = ""

    def matches(self, frame: Frame, direction: str) -> bool:
        """True when every given field matches."""
        return (
            (not self.ether_type or frame.ether_type == self.ether_type)
            and (not self.protocol or frame.protocol == PROTOCOLS[self.protocol])
            and (not self.source or frame.source == self.source)
            and (not self.destination or frame.destination == self.destination)
            and (not self.address or self.address in (frame.source, frame.destination))
            and (not self.port or self.port in (frame.source_port, frame.destination_port))
            and (not self.direction or self.direction == direction)
        )


class FramesSent(msgspec.Struct, frozen=True):
    """How many frames left."""

    sent: int


class Watched(msgspec.Struct, frozen=True):
    """How many frames were seen, how many matched, and how many the kernel could not show (``missed``).

    "It did not cross" is proven by matched == 0 and missed == 0.
    """

    interface: str
    seen: int
    matched: int
    missed: int


def parse(block: bytes) -> Frame:
    """Reads Ethernet, IPv4, IPv6 (without extension headers), ARP and ports; what is cut short stays empty."""
    if len(block) < 14:
        return Frame(0, "", "")
    ether_type = int.from_bytes(block[12:14], "big")
    found = {"ether_type": ether_type, "source_mac": block[6:12].hex(":"), "destination_mac": block[:6].hex(":")}
    ports = b""
    if ether_type == ETHER_IPV4 and len(block) >= 34:
        found |= {"source": socket.inet_ntoa(block[26:30]), "destination": socket.inet_ntoa(block[30:34])}
        found["protocol"] = block[23]
        if not int.from_bytes(block[20:22], "big") & 0x1FFF:  # ports are in the first fragment only
            ports = block[14 + (block[14] & 15) * 4 :][:4]
    elif ether_type == ETHER_IPV6 and len(block) >= 54:
        found["source"] = socket.inet_ntop(socket.AF_INET6, block[22:38])
        found["destination"] = socket.inet_ntop(socket.AF_INET6, block[38:54])
        found["protocol"] = block[20]
        ports = block[54:58]
    elif ether_type == ETHER_ARP and len(block) >= 42:
        found |= {"source": socket.inet_ntoa(block[28:32]), "destination": socket.inet_ntoa(block[38:42])}
    if found.get("protocol") in (PROTOCOLS["tcp"], PROTOCOLS["udp"]) and len(ports) == 4:
        found["source_port"], found["destination_port"] = struct.unpack("!HH", ports)
    return msgspec.convert(found, Frame)


def ask_for_tags(watcher: socket.socket) -> None:
    """Lets `receive` know what the kernel takes off a frame before anybody sees it: its VLAN tag; and when it came."""
    watcher.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    watcher.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def receive(watcher: socket.socket) -> tuple[bytes, tuple[Any, ...], int]:
    """One frame as it was on the wire (its tag put back), the address packet(7) gives with it, and when it came in ns.

    Raises BlockingIOError when nothing waits. An interface that goes down says so once; when it is up again, so is
    the watch.
    """
    try:
        block, ancillary, _, address = watcher.recvmsg(65536, 256)
    except OSError as failure:
        if failure.errno == errno.ENETDOWN:
            raise BlockingIOError from failure
        raise
    at = 0
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= AUXDATA.size:
            status, _, _, _, _, tag, protocol = AUXDATA.unpack_from(value)
            if status & VLAN_VALID:
                outer = protocol if status & VLAN_TPID_VALID else ETHER_VLAN
                block = block[:12] + struct.pack("!HH", outer, tag) + block[12:]
        elif level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack(value)
            at = seconds * 1_000_000_000 + nanoseconds
    return block, address, at or time.time_ns()


def raw_send(reporter: Reporter, interface: str, frames: Sequence[str]) -> FramesSent:
    """Sends frames, each given as hex from the destination MAC on."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((interface, 0))
        for text in frames:
            try:
                block = bytes.fromhex(text)
            except ValueError as failure:
                raise RefusedError("BadFrame", f"{text[:40]!r} is not hexadecimal") from failure
            sender.send(block)
    return FramesSent(len(frames))


def sniff(
    reporter: Reporter,
    interface: str = "",
    filter: dict[str, object] | None = None,
    count: int = 0,
    seconds: float = 0.0,
    with_frames: bool = True,
) -> Watched:
    """Watches an interface (all of the node's if empty) and tells every matching frame.

    Ends when told to stop, after ``count`` matches, or after ``seconds``; 0 means never. The first record says
    that it listens. ``at_ns`` of a frame is the kernel's time of it, of the same clock as the tap's.
    """
    wanted = msgspec.convert(filter or {}, FrameFilter)
    if wanted.protocol and wanted.protocol not in PROTOCOLS:
        raise RefusedError("BadFilter", f"protocol {wanted.protocol!r} is none of {', '.join(PROTOCOLS)}")
    deadline = time.monotonic() + seconds if seconds else None
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as watcher:
        watcher.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        ask_for_tags(watcher)
        watcher.bind((interface, ETH_P_ALL))
        watcher.setblocking(False)
        reporter.emit({"interface": interface})
        poll = select.poll()
        poll.register(watcher, select.POLLIN)
        poll.register(reporter.stopped, select.POLLIN)
        seen = matched = 0
        ended = False
        while not ended:
            ended = reporter.stop.is_set()
            if not ended:
                poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000)
                ended = deadline is not None and time.monotonic() >= deadline
            while not (count and matched >= count):
                try:
                    block, address, at = receive(watcher)
                except BlockingIOError:
                    break
                seen += 1
                direction = "out" if address[2] == PACKET_OUTGOING else "in"
                frame = parse(block)
                if wanted.matches(frame, direction):
                    matched += 1
                    if with_frames:
                        record = msgspec.to_builtins(frame) | {"interface": address[0], "direction": direction}
                        reporter.emit(record | {"at_ns": at, "hex": block.hex()})
            ended = ended or bool(count and matched >= count)
        _, missed = struct.unpack("=II", watcher.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return Watched(interface, seen, matched, missed)
