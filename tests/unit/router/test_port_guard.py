"""The filter that keeps strangers off port 179, run by a small machine here and by the kernel below."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from peerlab.router.port_guard import guard, program


def judge(code: bytes, header: bytes) -> bool:
    """What the program returns for a packet whose IP header this is."""
    at, accumulator = 0, 0
    while True:
        operation, true, false, value = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("!I", header, value - 0xFFF00000)
        elif operation == 0x15:
            at += true if accumulator == value else false
        else:
            return bool(value)


def header_from(address: str) -> bytes:
    if ":" in address:
        return bytes(8) + socket.inet_pton(socket.AF_INET6, address) + bytes(16)
    return bytes(12) + socket.inet_pton(socket.AF_INET, address) + bytes(4)


@pytest.mark.parametrize(
    ("peers", "source", "passes"),
    [
        (["192.0.2.1", "192.0.2.9", "198.51.100.7"], "192.0.2.9", True),
        (["192.0.2.1", "192.0.2.9", "198.51.100.7"], "198.51.100.7", True),
        (["192.0.2.1", "192.0.2.9", "198.51.100.7"], "192.0.2.2", False),
        ([], "192.0.2.1", False),
        (["2001:db8::1", "2001:db8::2", "2001:db8:1::1"], "2001:db8::2", True),
        (["2001:db8::1", "2001:db8::2", "2001:db8:1::1"], "2001:db8:1::1", True),
        (["2001:db8::1", "2001:db8::2", "2001:db8:1::1"], "2001:db8:1::2", False),  # the last word differs
        (["2001:db8::1", "2001:db8::2", "2001:db8:1::1"], "2001:db9::1", False),  # the first word differs
    ],
)
def test_only_peers_pass(peers: list[str], source: str, passes: bool) -> None:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    assert judge(program(socket.inet_pton(family, peer) for peer in peers), header_from(source)) is passes


def test_more_peers_than_the_kernel_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="over 4096"):
        program(n.to_bytes(16, "big") for n in range(1000))


@pytest.mark.parametrize(
    ("family", "address"),
    [pytest.param(socket.AF_INET, "127.0.0.1", id="IPv4"), pytest.param(socket.AF_INET6, "::1", id="IPv6")],
)
@pytest.mark.parametrize("welcome", [True, False])
def test_the_kernel_agrees(family: int, address: str, welcome: bool) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as listening, socket.socket(family, socket.SOCK_STREAM) as caller:
        listening.bind((address, 0))
        other = "127.0.0.2" if family == socket.AF_INET else "::2"
        try:
            guard(listening, [other, address] if welcome else [other])
        except PermissionError:
            if os.geteuid() == 0 or "CI" in os.environ:
                raise
            pytest.skip("this kernel takes such a filter from a namespace's root only; SEC-01 of a rehearsal shows it")
        listening.listen()
        caller.settimeout(0.3)
        if welcome:
            caller.connect(listening.getsockname()[:2])
        else:
            with pytest.raises(TimeoutError):
                caller.connect(listening.getsockname()[:2])
