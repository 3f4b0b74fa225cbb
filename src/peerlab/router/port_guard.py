"""Only configured neighbours may open TCP/179: strangers get no SYN-ACK at all (RFC 7454 section 4).

A classic BPF program on the listening socket judges each SYN by its source address, before the kernel answers. It
needs no privilege and no firewall, so it holds in a rootless cell too. Sources: linux/filter.h, socket(7).
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable

_SO_ATTACH_FILTER = 26
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF, -0x100000
_SOURCE = {4: 12, 16: 8}
"""Offset of the source address in the IP header, by the address's octets."""
_ACCEPT, _DROP = 0xFFFFFFFF, 0
_INSTRUCTION = struct.Struct("=HBBI")
_MOST_INSTRUCTIONS = 4096


def program(peers: Iterable[bytes]) -> bytes:
    """Accept what comes from one of these addresses (4 octets each, or 16 each), drop the rest.

    Raises ValueError when the kernel would not take a program of that length (over 400 IPv6 peers).
    """
    instructions: list[bytes] = []
    for peer in sorted(set(peers)):
        offset = _NETWORK_HEADER + _SOURCE[len(peer)]
        words = len(peer) // 4
        for n, (word,) in enumerate(struct.iter_unpack("!I", peer)):
            instructions.append(_INSTRUCTION.pack(_LOAD_WORD, 0, 0, offset + 4 * n))
            beyond = 2 * (words - 1 - n) + 1  # to the next peer's first instruction
            instructions.append(_INSTRUCTION.pack(_JUMP_IF_EQUAL, 0, beyond, word))
        instructions.append(_INSTRUCTION.pack(_RETURN, 0, 0, _ACCEPT))
    instructions.append(_INSTRUCTION.pack(_RETURN, 0, 0, _DROP))
    if len(instructions) > _MOST_INSTRUCTIONS:
        raise ValueError(f"a filter of {len(instructions)} instructions is over {_MOST_INSTRUCTIONS}")
    return b"".join(instructions)


def guard(listening: socket.socket, peers: Iterable[str]) -> None:
    """From now on only these addresses can connect. Raises OSError when the kernel refuses, ValueError for too many."""
    code = program(socket.inet_pton(listening.family, peer) for peer in peers)
    buffer = ctypes.create_string_buffer(code, len(code))
    listening.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    )
