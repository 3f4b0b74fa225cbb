"""Knocking at the services that a router should not offer to a peering LAN: DNS, NTP, SNMP, SSH, HTTP.

All doors are tried at once by one process. UDP services get a question of their own protocol, which a server that
listens answers; silence and an ICMP refusal both mean that nobody does.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Sequence

import msgspec

from peerlab.runtime.probe import family_of
from peerlab.runtime.task import Reporter

__all__ = ["DOORS", "Knocked", "knock"]

KNOCK_SECONDS = 1.0
_DNS = bytes.fromhex("5043 0100 0001 0000 0000 0000 0776657273696f6e0462696e640000100003")
"""version.bind, class CHAOS, TXT (RFC 4892)."""
_NTP = b"\x23" + bytes(47)
"""Version 4, mode 3: a client's request (RFC 5905 section 7.3)."""
_SNMP = bytes.fromhex("302602010104067075626c6963a019020150020100020100300e300c06082b060102010101000500")
"""SNMPv2c GetRequest of sysDescr.0 with community "public" (RFC 3416)."""

DOORS: dict[str, tuple[str, int, bytes]] = {
    "dns/tcp": ("tcp", 53, b""),
    "dns/udp": ("udp", 53, _DNS),
    "http/tcp": ("tcp", 80, b""),
    "ntp/udp": ("udp", 123, _NTP),
    "snmp/udp": ("udp", 161, _SNMP),
    "ssh/tcp": ("tcp", 22, b""),
}
"""Name of a service to transport, port and question."""


class Knocked(msgspec.Struct, frozen=True):
    """By address and service: open (it answered), closed (refused), or silent. Or the system's words."""

    answers: dict[str, dict[str, str]]


def knock(reporter: Reporter, destinations: Sequence[str], wait: float = KNOCK_SECONDS) -> Knocked:
    """Tries every service of every address, all at once, for at most ``wait`` seconds."""
    answers = {address: dict.fromkeys(DOORS, "silent") for address in destinations}
    waiting: dict[int, tuple[socket.socket, str, str]] = {}
    poll = select.poll()
    try:
        for address in destinations:
            for name, (transport, port, question) in DOORS.items():
                kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
                door = socket.socket(family_of(address), kind)
                door.setblocking(False)
                waiting[door.fileno()] = door, address, name
                poll.register(door, select.POLLIN if transport == "udp" else select.POLLOUT)
                number = door.connect_ex((address, port))
                if number in (0, errno.EINPROGRESS) and transport == "udp":
                    door.send(question)
                elif number not in (0, errno.EINPROGRESS):
                    answers[address][name] = _word(number)
                    poll.unregister(door)
                    waiting.pop(door.fileno())[0].close()
        deadline = time.monotonic() + wait
        while waiting and not reporter.stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for descriptor, _ in poll.poll(left * 1000):
                door, address, name = waiting.pop(descriptor)
                poll.unregister(descriptor)
                answers[address][name] = _word(door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
                door.close()
    finally:
        for door, _, _ in waiting.values():
            door.close()
    return Knocked(answers)


def _word(number: int) -> str:
    if number == 0:
        return "open"
    if number in (errno.ECONNREFUSED, errno.ECONNRESET):
        return "closed"
    if number in (errno.ETIMEDOUT, errno.EHOSTUNREACH):
        return "silent"
    return errno.errorcode.get(number, str(number))
