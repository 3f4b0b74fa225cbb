"""The node's kernel routes: packed by hand and sent in batches, 190 k routes/s where a netlink library makes 3.5 k.

BGP's routes carry the protocol number 186 that Linux reserves for BGP, the interior protocol's one of its own, so
that each removes only what it put there. Sources: rtnetlink(7), linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence

import msgspec

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.effects import FibChange
from peerlab.runtime.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NLMSG_ERROR,
    Netlink,
    NetlinkRefused,
    attribute,
    attributes_of,
    error_of,
    messages_of,
)
from peerlab.runtime.rtnetlink import (
    ROUTE,
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    RTA_PRIORITY,
    RTA_VIA,
    RTM_DELROUTE,
    RTM_NEWROUTE,
    routes_question,
)

PROTOCOL_BGP = 186
"""RTPROT_BGP of linux/rtnetlink.h."""
PROTOCOL_IGP = 200
"""peerlab's interior routing protocol; a number nobody else uses."""

METRICS = {PROTOCOL_IGP: 512, PROTOCOL_BGP: 1024}
"""Both lose against connected networks (0 in IPv4, 256 in IPv6); the interior protocol wins over BGP."""

BATCH = 200
_TABLE_MAIN = 254
_KINDS = {"unicast": 1, "blackhole": 6, "remove": 0}
_FAMILIES = {Family.IPV4: (socket.AF_INET, 4), Family.IPV6: (socket.AF_INET6, 16)}
_HEAD = struct.Struct("=IHHIIBBBBBBBBIHH")
"""nlmsghdr, rtmsg and the head of RTA_DST in one."""
_HEAD_OCTETS = 32
_GONE = (errno.ESRCH, errno.ENOENT, errno.ENODEV)
"""The kernel took the route out by itself, as it does when an interface goes down."""


class FibRefusal(msgspec.Struct, frozen=True):
    """A change that the kernel refused, and its reason."""

    change: FibChange
    text: str

    def __str__(self) -> str:
        change = self.change
        way = f" over {change.gateway} on {change.interface}" if change.kind == "unicast" else ""
        return f"{change.kind} route {change.prefix}{way}: {self.text}"


def raw_prefix(address: bytes, length: int) -> bytes:
    """A prefix as NLRI: its length, and as few octets as hold it (RFC 4271 section 4.3)."""
    return bytes([length]) + address[: (length + 7) // 8]


class Fib:
    """The routes of one protocol in the main table of this network namespace."""

    def __init__(self, protocol: int = PROTOCOL_BGP) -> None:
        self.protocol = protocol
        self._netlink = Netlink()
        self._netlink.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._tails: dict[tuple[str, Address | None, str | None, int], bytes] = {}
        self._indices: Mapping[str, int] = {}

    def close(self) -> None:
        """Close the socket. Routes stay."""
        self._netlink.close()

    def know_interfaces(self, indices: Mapping[str, int]) -> None:
        """The kernel's numbers of the interfaces' names."""
        self._indices = dict(indices)
        self._tails.clear()

    def apply(self, changes: Sequence[FibChange]) -> list[FibRefusal]:
        """Make the changes in order, in as few system calls as possible; answers what the kernel refused.

        Removing what is gone already is no refusal. The kernel has worked through them when this returns.
        """
        refusals: list[FibRefusal] = []
        for start in range(0, len(changes), BATCH):
            refusals += self._batch(changes[start : start + BATCH])
        return refusals

    def clear(self) -> None:
        """Remove every route of this protocol: what an earlier life of this router left, or all at its end."""
        self.apply(self.leftovers())

    def leftovers(self) -> list[FibChange]:
        """The removal of every route of this protocol that the kernel holds."""
        leftovers = []
        for family, (number, width) in _FAMILIES.items():
            for body in self._table(number):
                _, length, _, _, _, protocol, _, _, _ = ROUTE.unpack_from(body)
                if protocol == self.protocol:
                    attributes = attributes_of(body[ROUTE.size :])
                    address = attributes.get(RTA_DST, bytes(width))
                    metric = int.from_bytes(attributes.get(RTA_PRIORITY, b""), sys.byteorder)
                    cost = max(0, metric - METRICS[self.protocol])
                    leftovers.append(FibChange(family, raw_prefix(address, length), "remove", cost=cost))
        return leftovers

    def _table(self, family: int) -> list[bytes]:
        try:
            return self._netlink.dump(routes_question(family, _TABLE_MAIN))
        except NetlinkRefused as refused:
            if refused.failures[0].errno == errno.ENOENT:
                return []  # the kernel makes the table with the node's first address
            raise

    def _batch(self, changes: Sequence[FibChange]) -> list[FibRefusal]:
        refusals = []
        parts: list[bytes] = []
        sent: list[FibChange] = []
        for change in changes:
            try:
                parts.append(self._pack(change, len(sent)))
            except KeyError:
                refusals.append(FibRefusal(change, f"there is no interface {change.interface}"))
            else:
                sent.append(change)
        if not parts:
            return refusals
        last = bytearray(parts[-1])
        struct.pack_into("=H", last, 6, struct.unpack_from("=H", last, 6)[0] | NLM_F_ACK)
        parts[-1] = bytes(last)
        self._netlink.socket.send(b"".join(parts))
        return refusals + self._answers(sent)

    def _answers(self, sent: Sequence[FibChange]) -> list[FibRefusal]:
        """The kernel is through with the batch when ``send`` returns: its answers are all there."""
        refusals = []
        while True:
            for kind, flags, sequence, body in messages_of(memoryview(self._netlink.socket.recv(1 << 16))):
                if kind != NLMSG_ERROR:
                    continue
                number, words = error_of(flags, body)
                if number and not (sent[sequence].kind == "remove" and number in _GONE):
                    reason = os.strerror(number) + (f" ({words})" if words else "")
                    refusals.append(FibRefusal(sent[sequence], reason))
                if sequence == len(sent) - 1:
                    return refusals

    def _pack(self, change: FibChange, sequence: int) -> bytes:
        number, width = _FAMILIES[change.family]
        raw = change.raw
        key = (change.kind, change.gateway, change.interface, change.cost)
        tail = self._tails.get(key)
        if tail is None:
            tail = self._tails[key] = self._tail(change, number)
        remove = change.kind == "remove"
        return (
            _HEAD.pack(
                _HEAD_OCTETS + width + len(tail),
                RTM_DELROUTE if remove else RTM_NEWROUTE,
                1 if remove else 1 | NLM_F_CREATE | NLM_F_REPLACE,
                sequence,
                0,
                number,
                raw[0],
                0,
                0,
                _TABLE_MAIN,
                self.protocol,
                0,
                _KINDS[change.kind],
                0,
                4 + width,
                RTA_DST,
            )
            + raw[1:].ljust(width, b"\0")
            + tail
        )

    def _tail(self, change: FibChange, family: int) -> bytes:
        """What follows the destination, the same for every route over one gateway. Raises KeyError: no interface."""
        tail = attribute(RTA_PRIORITY, struct.pack("=I", METRICS[self.protocol] + change.cost))
        if change.kind != "unicast":
            return tail
        if change.interface is not None:
            tail += attribute(RTA_OIF, struct.pack("=I", self._indices[change.interface]))
        if change.gateway is not None:
            other = socket.AF_INET6 if ":" in change.gateway else socket.AF_INET
            octets = socket.inet_pton(other, change.gateway)
            if other == family:
                tail += attribute(RTA_GATEWAY, octets)
            else:
                tail += attribute(RTA_VIA, struct.pack("=H", other) + octets)
        return tail
