"""BFD's sockets: one that listens per address family, one per session that sends (RFC 5881)."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import msgspec

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.bfd_packet import HOP_LIMIT, PORT, SOURCE_PORTS
from peerlab.router.loop import READ, Loop

_IP_RECVTTL, _IP_TTL, _IP_PKTINFO = 12, 2, 8  # linux/in.h; Python's socket module lacks some names
_RECEIVE_OCTETS = 512
_CONTROL_OCTETS = 128
_CS6 = 0xC0
"""Type of service of control packets: internetwork control (RFC 2474), as routers send BFD."""


class Datagram(msgspec.Struct, frozen=True):
    """A UDP datagram that came to BFD's port. ``hop_limit`` is its TTL when it arrived."""

    source: Address
    destination: Address
    hop_limit: int
    octets: bytes


class ListeningPort:
    """UDP/3784 of one family, on every address of the node."""

    def __init__(self, loop: Loop, family: Family, received: Callable[[Datagram], None]) -> None:
        """Raises OSError when the port cannot be had."""
        self._loop = loop
        self._received = received
        self._v6 = family is Family.IPV6
        kind = socket.AF_INET6 if self._v6 else socket.AF_INET
        self._socket = socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if self._v6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._socket.bind(("::" if self._v6 else "0.0.0.0", PORT))
        except OSError:
            self._socket.close()
            raise
        loop.watch(self._socket.fileno(), READ, lambda _: self.drain())

    def drain(self) -> None:
        """Hand over everything that waits. To be called before time is judged: what waits has come in time."""
        while True:
            try:
                octets, control, _, sender = self._socket.recvmsg(_RECEIVE_OCTETS, _CONTROL_OCTETS)
            except OSError:
                return
            hop_limit, destination = 0, ""
            for level, kind, value in control:
                if (level, kind) in ((socket.IPPROTO_IP, _IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)):
                    (hop_limit,) = struct.unpack("=i", value[:4])
                elif (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                    destination = socket.inet_ntoa(value[8:12])
                elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                    destination = str(ip_address(value[:16]))
            source = str(ip_address(sender[0].partition("%")[0]))
            self._received(Datagram(Address(source), Address(destination), hop_limit, octets))

    def close(self) -> None:
        """Stop listening."""
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()


class SendingPort:
    """Where one session sends from. Its address may not exist yet: it is bound when a packet can leave at last."""

    _ports: Iterator[int] = itertools.cycle(SOURCE_PORTS)

    def __init__(self, local: Address, peer: Address) -> None:
        self._local = local
        self._peer = peer
        self._socket: socket.socket | None = None

    def send(self, octets: bytes) -> None:
        """Send to the peer. What cannot leave is lost, as on a wire: the next packet tries again."""
        try:
            if self._socket is None:
                self._socket = self._bind()
            self._socket.sendto(octets, (self._peer, PORT))
        except OSError:
            return

    def close(self) -> None:
        """Send no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _bind(self) -> socket.socket:
        """Bound to a source port that stays the session's own (RFC 5881 section 4). Raises OSError."""
        v6 = ":" in self._local
        made = socket.socket(
            socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            if v6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT)
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _CS6)
            else:
                made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _CS6)
            made.bind((self._local, next(self._ports)))
        except OSError:
            made.close()
            raise
        return made
