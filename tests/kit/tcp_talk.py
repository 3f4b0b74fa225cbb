"""Hand-made captures: TCP connections between the routers of a tiny lab, frame by frame.

``left`` (AS 64500) peers with ``right`` (AS 8075) over one wire, a session for each family; ``far`` (AS 8075) has an
iBGP session with ``right`` between loopbacks.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.capability import Capability, multiprotocol
from peerlab.bgp.wire import MessageType, encode_open, encode_updates, encode_withdrawals, frame, make_open
from peerlab.evidence import pcapng
from peerlab.evidence.pcapng import Frame
from peerlab.topology.model import LabModel, Node, NodeKind, Session, SessionEnd

NOON = 1_700_000_000_000_000_000
"""A time to start from, in ns."""
SECOND = 1_000_000_000

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10

LEFT4, RIGHT4 = "192.0.2.0", "192.0.2.1"
LEFT6, RIGHT6 = "2001:db8::", "2001:db8::1"
RIGHT_LOOPBACK, FAR_LOOPBACK = "198.51.100.1", "198.51.100.2"


def _end(node: str, asn: int, address: str) -> SessionEnd:
    return SessionEnd(node=node, asn=asn, address=Address(address))


def _node(name: str, asn: int, router_id: str, loopback: str | None) -> Node:
    return Node(
        name=name,
        kind=NodeKind.EXABGP,
        asn=asn,
        router_id=Address(router_id),
        loopback_v4=Address(loopback) if loopback else None,
    )


MODEL = LabModel(
    name="talk",
    nodes=(
        _node("left", 64500, "10.0.0.1", None),
        _node("right", 8075, "10.0.0.2", RIGHT_LOOPBACK),
        _node("far", 8075, "10.0.0.3", FAR_LOOPBACK),
    ),
    sessions=(
        Session(id="s4", family=Family.IPV4, left=_end("left", 64500, LEFT4), right=_end("right", 8075, RIGHT4)),
        Session(id="s6", family=Family.IPV6, left=_end("left", 64500, LEFT6), right=_end("right", 8075, RIGHT6)),
        Session(
            id="i4",
            family=Family.IPV4,
            left=_end("right", 8075, RIGHT_LOOPBACK),
            right=_end("far", 8075, FAR_LOOPBACK),
        ),
    ),
)  # fmt: skip


def packet(
    source: str,
    destination: str,
    ports: tuple[int, int],
    sequence: int,
    acknowledged: int,
    flags: int,
    payload: bytes = b"",
) -> bytes:
    """An Ethernet frame with one TCP segment. Checksums are left out, as an offloading sender leaves them."""
    tcp = struct.pack(
        ">HHIIBBHHH", *ports, sequence % 2**32, acknowledged % 2**32, 5 << 4, flags, 65535, 0, 0
    ) + payload  # fmt: skip
    a, b = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    if len(a) == 4:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + a + b
        return bytes(12) + b"\x08\x00" + ip + tcp
    return bytes(12) + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64) + a + b + tcp


class Capture:
    """Frames of any number of connections, and what they look like as a file."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.now = NOON
        self.since = NOON - SECOND
        self.watched = {node.name: self.since for node in MODEL.nodes}

    def add(self, node: str, octets: bytes, at: int | None = None, length: int | None = None) -> None:
        if at is None:
            self.now += 1000
            at = self.now
        interface = pcapng.Interface(name=f"{node}:eth0", since=self.watched.get(node, self.since))
        self.frames.append(Frame(at=at, interface=interface, octets=octets, length=length or len(octets)))

    def octets(self, extra: Iterable[pcapng.Record] = ()) -> bytes:
        """A pcapng file as the tap writes it."""
        declared = [pcapng.section_header()]
        for node, since in self.watched.items():
            declared.append(pcapng.interface_block(pcapng.Interface(name=f"{node}:lo", since=since)))
        numbers: dict[str, int] = {}
        blocks = []
        for one in [*self.frames, *extra]:
            assert not isinstance(one, pcapng.Interface)
            name = one.interface.name
            if name not in numbers:
                numbers[name] = len(self.watched) + len(numbers)
                blocks.append(pcapng.interface_block(one.interface))
            if isinstance(one, Frame):
                blocks.append(pcapng.frame_block(numbers[name], one.at, one.octets, one.length))
            else:
                blocks.append(pcapng.loss_block(numbers[name], one.start, one.end, one.frames))
        return b"".join(declared + blocks)


class Connection:
    """A TCP connection that keeps count; ``client`` and ``server`` are (node, address)."""

    def __init__(
        self,
        capture: Capture,
        client: tuple[str, str] = ("left", LEFT4),
        server: tuple[str, str] = ("right", RIGHT4),
        port: int = 40000,
        initial: tuple[int, int] = (1000, 5000),
    ) -> None:
        self.capture = capture
        self.ends = {client[0]: client[1], server[0]: server[1]}
        self.names = [client[0], server[0]]
        self.ports = {client[0]: port, server[0]: 179}
        self.next = dict(zip(self.names, initial, strict=True))
        self.acknowledged = dict.fromkeys(self.names, 0)

    def other(self, node: str) -> str:
        return self.names[1 - self.names.index(node)]

    def segment(self, node: str, sequence: int, flags: int, payload: bytes = b"") -> bytes:
        peer = self.other(node)
        ports = self.ports[node], self.ports[peer]
        return packet(self.ends[node], self.ends[peer], ports, sequence, self.next[peer], flags, payload)

    def send(self, node: str, flags: int = ACK, payload: bytes = b"", captured: bool = True) -> None:
        """One segment, in order; ``captured`` False leaves it out of the capture."""
        octets = self.segment(node, self.next[node], flags, payload)
        self.next[node] = (self.next[node] + len(payload) + bool(flags & (SYN | FIN))) % 2**32
        if captured:
            self.capture.add(node, octets)

    def open(self) -> Connection:
        """The three-way handshake."""
        client, server = self.names
        self.send(client, SYN)
        self.send(server, SYN | ACK)
        self.send(client)
        return self

    def say(self, node: str, *messages: bytes, captured: bool = True) -> None:
        """Messages in one segment, and their acknowledgement."""
        self.send(node, PSH | ACK, b"".join(messages), captured)
        self.send(self.other(node))

    def close(self) -> None:
        client, server = self.names
        self.send(client, FIN | ACK)
        self.send(server, FIN | ACK)
        self.send(client)

    def establish(self, family: Family = Family.IPV4) -> Connection:
        """Handshake, OPENs and KEEPALIVEs."""
        self.open()
        for name in self.names:
            node = MODEL.node(name)
            assert node.asn is not None and node.router_id is not None
            self.say(name, open_message(node.asn, node.router_id, (multiprotocol(family),)))
        for name in self.names:
            self.say(name, KEEPALIVE)
        return self


KEEPALIVE = frame(MessageType.KEEPALIVE, b"")


def open_message(asn: int, router_id: str, capabilities: tuple[Capability, ...] = ()) -> bytes:
    return frame(MessageType.OPEN, encode_open(make_open(asn, Address(router_id), 9, capabilities)))


def attributes(*path: int, next_hop: str = LEFT4, **more: object) -> PathAttributes:
    segments = (Segment(SegmentType.AS_SEQUENCE, path),) if path else ()
    return PathAttributes(as_path=segments, next_hop=Address(next_hop), **more)  # type: ignore[arg-type]


def announce(prefix: str, *path: int, next_hop: str = LEFT4, ebgp: bool = True, **more: object) -> bytes:
    family = Family.IPV6 if ":" in prefix else Family.IPV4
    route = attributes(*path, next_hop=next_hop, **more)
    return encode_updates(route, [Prefix(prefix)], family, ebgp=ebgp)[0]


def withdraw(prefix: str) -> bytes:
    return encode_withdrawals([Prefix(prefix)], Family.IPV6 if ":" in prefix else Family.IPV4)[0]
