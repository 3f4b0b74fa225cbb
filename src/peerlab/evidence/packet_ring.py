"""A window on what one network namespace sends to TCP port 179: an AF_PACKET socket with a memory-mapped ring.

Works without root inside a user namespace that owns the network namespace. The kernel writes frames into blocks of
a ring (TPACKET_V3, linux/Documentation/networking/packet_mmap.rst): large super-frames of offloading senders and
small keepalives share the space, a hundred thousand frames cost no system call each, and the ring's size is not
bound by net.core.rmem_max, which only the host's root may raise. A block is handed over when it is full or
``BLOCK_AGE_MS`` old; `Window.mark` fills blocks up with marks of its own and so makes the kernel hand over all that
was sent before, at once.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TypeVar

from peerlab.runtime.kernel import in_namespace

BLOCK_SIZE = 128 << 10
"""Octets of a block; the largest frame (64 KiB of IP and its headers) must fit in one."""
BLOCK_AGE_MS = 64
"""A block that is not full is handed over after this time."""

_ETH_P_ALL = 0x0003
_ETH_P_MARK = 0x88B5
"""Local experimental ethertype 1 (IEEE 802): the marks, which never leave a loopback interface."""
_SOL_PACKET = 263
_PACKET_RX_RING = 5
_PACKET_STATISTICS = 6
_PACKET_VERSION = 10
_TPACKET_V3 = 2
_SO_ATTACH_FILTER = 26
_SO_TIMESTAMPNS = 35
_SIOCGIFNAME = 0x8910
_FRAME_SIZE = 2048

_BLOCK_STATUS = 8
_USER_OWNS = 1
_LINK_ADDRESS = 48
_MARK_PAYLOAD = 60_000
_MARKS = BLOCK_SIZE // _MARK_PAYLOAD + 1
"""So many marks do not fit one block: the block that holds the first is closed by the last."""

_LOAD_BYTE, _LOAD_HALF, _LOAD_HALF_X, _LOAD_X_HEADER = 0x30, 0x28, 0x48, 0xB1
_IF_EQUAL, _IF_SET, _RETURN = 0x15, 0x45, 0x06
_PACKET_TYPE = 0xFFFFF000 + 4
_OUTGOING = 4
_ACCEPT, _DROP = 21, 22
_IPV6_PART = 15

_FILTER = (
    (_LOAD_BYTE, 0, 0, _PACKET_TYPE),
    (_IF_EQUAL, 0, _DROP - 2, _OUTGOING),
    (_LOAD_HALF, 0, 0, 12),
    (_IF_EQUAL, _ACCEPT - 4, 0, _ETH_P_MARK),
    (_IF_EQUAL, _IPV6_PART - 5, 0, 0x86DD),
    (_IF_EQUAL, 0, _DROP - 6, 0x0800),
    (_LOAD_BYTE, 0, 0, 23),
    (_IF_EQUAL, 0, _DROP - 8, 6),
    (_LOAD_HALF, 0, 0, 20),
    (_IF_SET, _DROP - 10, 0, 0x1FFF),
    (_LOAD_X_HEADER, 0, 0, 14),
    (_LOAD_HALF_X, 0, 0, 14),
    (_IF_EQUAL, _ACCEPT - 13, 0, 179),
    (_LOAD_HALF_X, 0, 0, 16),
    (_IF_EQUAL, _ACCEPT - 15, _DROP - 15, 179),
    (_LOAD_BYTE, 0, 0, 20),
    (_IF_EQUAL, 0, _DROP - 17, 6),
    (_LOAD_HALF, 0, 0, 54),
    (_IF_EQUAL, _ACCEPT - 19, 0, 179),
    (_LOAD_HALF, 0, 0, 56),
    (_IF_EQUAL, _ACCEPT - 21, _DROP - 21, 179),
    (_RETURN, 0, 0, 0x7FFFFFFF),
    (_RETURN, 0, 0, 0),
)
"""Classic BPF over an Ethernet frame: outgoing, and either a mark or TCP (IPv4 unfragmented or its first fragment,
IPv6 without extension headers) from or to port 179. The index of each line is its position; jumps are relative."""

_libc = ctypes.CDLL(None, use_errno=True)

Result = TypeVar("Result")


def in_namespace_at(path: str, work: Callable[[], Result]) -> Result:
    """Runs ``work`` in the network namespace behind ``path``. Sockets made there stay there; the caller does not move.

    Raises what ``work`` raised, and OSError when the namespace cannot be entered.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return in_namespace(descriptor, work)
    finally:
        os.close(descriptor)


def _attach_filter(target: socket.socket) -> None:
    program = b"".join(struct.pack("HBBI", *line) for line in _FILTER)
    octets = ctypes.create_string_buffer(program, len(program))
    target.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxL", len(_FILTER), ctypes.addressof(octets))
    )


def _bind_to_all(target: socket.socket) -> None:
    """Hears every interface from here on. Python's own bind wants the name of one."""
    address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(_ETH_P_ALL), 0, 0, 0, 0)
    if _libc.bind(target.fileno(), address, len(address)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bind: {os.strerror(number)}")


def _make_ring(target: socket.socket, request: bytes) -> None:
    """The kernel waits 14 ms for other processors here (RCU). Python's own setsockopt would make every thread wait
    with it; this way the waits of many windows that are opened in threads pass at once."""
    if _libc.setsockopt(target.fileno(), _SOL_PACKET, _PACKET_RX_RING, request, len(request)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"PACKET_RX_RING: {os.strerror(number)}")


class Window:
    """One namespace's ring. Make it inside the namespace (`in_namespace_at`); use it from anywhere.

    Raises OSError when the kernel refuses the socket, the ring or the filter.
    """

    def __init__(self, blocks: int) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._marker = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._blocks = blocks
        self._current = 0
        self._names: dict[int, str] = {}
        _attach_filter(self._socket)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
        frames = BLOCK_SIZE * blocks // _FRAME_SIZE
        request = struct.pack("IIIIIII", BLOCK_SIZE, blocks, _FRAME_SIZE, frames, BLOCK_AGE_MS, 0, 0)
        _make_ring(self._socket, request)
        self._ring = mmap.mmap(self._socket.fileno(), BLOCK_SIZE * blocks, mmap.MAP_SHARED)
        _bind_to_all(self._socket)

    def fileno(self) -> int:
        """Readable when the kernel has handed over a block."""
        return self._socket.fileno()

    def frames(self) -> Iterator[tuple[int, int, bytes, int]]:
        """Everything handed over: (CLOCK_REALTIME ns, interface index, octets, length on the wire). Never waits."""
        ring = self._ring
        for _ in range(self._blocks):
            base = self._current * BLOCK_SIZE
            status, count, first = struct.unpack_from("III", ring, base + _BLOCK_STATUS)
            if not status & _USER_OWNS:
                return
            at = base + first
            for _ in range(count):
                following, seconds, nanoseconds, kept, length, _, mac = struct.unpack_from("IIIIIIH", ring, at)
                index = struct.unpack_from("i", ring, at + _LINK_ADDRESS + 4)[0]
                octets = ring[at + mac : at + mac + kept]
                yield seconds * 1_000_000_000 + nanoseconds, index, octets, length
                at += following
            struct.pack_into("I", ring, base + _BLOCK_STATUS, 0)
            self._current = (self._current + 1) % self._blocks

    def lost(self) -> int:
        """Frames that the kernel had to drop since it was asked last."""
        packets = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
        return int(struct.unpack("III", packets)[1])

    def mark(self, token: int) -> None:
        """Sends marks through the loopback interface; when one comes out of `frames`, so has all before it.

        Raises OSError, ENETDOWN when the loopback interface is down.
        """
        frame = bytes(12) + _ETH_P_MARK.to_bytes(2, "big") + token.to_bytes(8, "big") + bytes(_MARK_PAYLOAD)
        for _ in range(_MARKS):
            self._marker.sendto(frame, ("lo", _ETH_P_MARK))

    def name_of(self, index: int) -> str:
        """The name of an interface of this namespace; ``ifN`` for one that is gone."""
        if index not in self._names:
            request = struct.pack("16si20x", b"", index)
            try:
                answer = fcntl.ioctl(self._socket.fileno(), _SIOCGIFNAME, request)
            except OSError:
                return f"if{index}"
            self._names[index] = answer[:16].split(b"\0")[0].decode()
        return self._names[index]

    def close(self) -> None:
        """Lets go of the namespace."""
        self._ring.close()
        self._socket.close()
        self._marker.close()


def mark_of(octets: bytes) -> int | None:
    """The token of a mark; None for any other frame."""
    if int.from_bytes(octets[12:14], "big") != _ETH_P_MARK:
        return None
    return int.from_bytes(octets[14:22], "big")


def interface_names() -> tuple[str, ...]:
    """Interfaces of the namespace of the calling thread."""
    return tuple(name for _, name in socket.if_nameindex())
