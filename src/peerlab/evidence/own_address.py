"""Which addresses a network namespace has ever had, followed over rtnetlink (rtnetlink(7))."""

from __future__ import annotations

import errno
import socket
import struct

from peerlab.bgp.address import address_text

_NEW_ADDRESS = 20
_GET_ADDRESS = 22
_ERROR = 2
_REQUEST_DUMP = 0x301
_IPV4_ADDRESSES = 0x10
_IPV6_ADDRESSES = 0x100
_ATTRIBUTE_ADDRESS = 1
_ATTRIBUTE_LOCAL = 2
_LARGEST_READ = 1 << 18


class OwnAddresses:
    """Every address of a namespace, from the moment it is made. Make it inside the namespace.

    An address that was taken away stays in the set: what the node sent with it may still be in a ring. Raises
    OSError when the kernel refuses the socket.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _IPV4_ADDRESSES | _IPV6_ADDRESSES))
        self._known: set[bytes] = set()
        self._ask()

    def fileno(self) -> int:
        """Readable when an address came or went."""
        return self._socket.fileno()

    def _ask(self) -> None:
        header = struct.pack("IHHII", 24, _GET_ADDRESS, _REQUEST_DUMP, 1, 0)
        self._socket.sendto(header + bytes(8), (0, 0))

    def refresh(self) -> None:
        """Takes in what the kernel has told since; asks for all again when it had to drop something."""
        while True:
            try:
                octets = self._socket.recv(_LARGEST_READ)
            except BlockingIOError:
                return
            except OSError as failure:
                if failure.errno != errno.ENOBUFS:
                    raise
                self._ask()
                continue
            self._read(octets)

    def _read(self, octets: bytes) -> None:
        at = 0
        while at + 16 <= len(octets):
            length, kind = struct.unpack_from("IH", octets, at)
            if kind == _ERROR and struct.unpack_from("i", octets, at + 16)[0]:
                number = -struct.unpack_from("i", octets, at + 16)[0]
                raise OSError(number, "RTM_GETADDR was refused")
            if kind == _NEW_ADDRESS:
                self._learn(octets[at + 24 : at + length])
            at += length + (-length % 4)

    def _learn(self, attributes: bytes) -> None:
        found: dict[int, bytes] = {}
        at = 0
        while at + 4 <= len(attributes):
            length, kind = struct.unpack_from("HH", attributes, at)
            if length < 4:
                break
            found[kind] = attributes[at + 4 : at + length]
            at += length + (-length % 4)
        address = found.get(_ATTRIBUTE_LOCAL, found.get(_ATTRIBUTE_ADDRESS))
        if address:
            self._known.add(address)

    def sent(self, frame: bytes) -> bool:
        """Whether this namespace is the source of an Ethernet frame with an IPv4 or IPv6 packet, not a router on
        its way."""
        source = frame[26:30] if frame[12:14] == b"\x08\x00" else frame[22:38]
        return source in self._known

    def text(self) -> tuple[str, ...]:
        """The addresses in canonical text, sorted."""
        return tuple(sorted(address_text(one) for one in self._known))

    def close(self) -> None:
        """Lets go of the namespace."""
        self._socket.close()
