"""The interior protocol's sockets: one per wire, UDP to all hosts of the wire, one hop and no further."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from peerlab.router.igp import Wire
from peerlab.router.loop import READ, Loop

PORT = 5711
_ALL_V4 = "224.0.0.1"
_ALL_V6 = "ff02::1"
_LARGEST = 1 << 16

Receiver = Callable[[str, bytes], None]
"""Called with the wire's name and the datagram."""


class IgpPort:
    """A wire's socket. IPv4 where the wire has an IPv4 address, else IPv6. Both ends are configured alike."""

    def __init__(self, loop: Loop, wire: Wire, index: int, received: Receiver) -> None:
        """Raises OSError when the kernel does not let the socket be bound to the interface."""
        self.index = index
        self._loop = loop
        self._wire = wire
        self._received = received
        family = socket.AF_INET if wire.v4 is not None else socket.AF_INET6
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, wire.name.encode() + b"\0")
            if family == socket.AF_INET:
                self._socket.bind(("0.0.0.0", PORT))
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
                choice = socket.inet_aton("0.0.0.0") + socket.inet_aton("0.0.0.0") + struct.pack("=i", index)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
                self._destination: tuple[str, int] | tuple[str, int, int, int] = (_ALL_V4, PORT)
            else:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._socket.bind(("::", PORT))
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                self._destination = (_ALL_V6, PORT, 0, index)
        except OSError:
            self._socket.close()
            raise
        loop.watch(self._socket.fileno(), READ, self._read)

    def close(self) -> None:
        """Stop listening."""
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()

    def send(self, datagram: bytes) -> None:
        """Send to the other end. What the wire does not take is lost, and the next hello makes up for it."""
        try:
            self._socket.sendto(datagram, self._destination)
        except OSError:
            return

    def _read(self, _: int) -> None:
        while True:
            try:
                datagram = self._socket.recv(_LARGEST)
            except OSError:
                return
            self._received(self._wire.name, datagram)
