"""Packets of an interface handed to user space and back: rules that queue them, and nfnetlink_queue's own messages.

Only the identifier of a packet crosses into user space, never its octets, and one verdict releases every packet up to
an identifier. Sources: linux/netfilter/nfnetlink_queue.h, linux/netfilter/xt_NFQUEUE.h, linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

from peerlab.runtime import shaping
from peerlab.runtime.netlink import HEADER, NLM_F_REQUEST, Request, request

__all__ = [
    "MEANS",
    "PACKET",
    "QUEUE_PACKETS",
    "RECEIVE_BYTES",
    "SHOW_BRIDGED",
    "Entrance",
    "Means",
    "binding",
    "dropped",
    "packet_number",
    "queue_rules",
    "verdict",
]

QUEUE_PACKETS = shaping.NETEM_QUEUE_PACKETS
RECEIVE_BYTES = 32 << 20
"""Room for the messages of packets that came while the reader was away; without it they are dropped and counted."""
Means = Literal["queue", "target"]
MEANS: tuple[Means, ...] = ("queue", "target")
"""nftables' own expression, and xtables' NFQUEUE through nftables, for kernels that are built without the first."""


NFPROTO_IPV4, NFPROTO_BRIDGE, NFPROTO_IPV6 = 2, 7, 10
ROUTED, BRIDGED = (NFPROTO_IPV4, NFPROTO_IPV6), (NFPROTO_BRIDGE,)
HOOK_PREROUTING, PRIORITY_RAW = 0, -300
TABLE, CHAIN = "peerlab-delay", "in"
DELRULE = 8

_SUBSYSTEM = 3
PACKET, _CONFIG, _VERDICT_BATCH = (_SUBSYSTEM << 8 | kind for kind in (0, 2, 3))
_CMD_BIND, _COPY_META, _FLAG_GSO = 1, 1, 4
_ACCEPT = 1
_BYPASS = 1
_REGISTER, _META_IIF, _CMP_EQ = 1, 4, 0
_PHYSDEV_IN = 1
_XT_REVISION_WITH_FLAGS = 3
SHOW_BRIDGED = ("bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables")
"""Sysctls below net of the switch's own namespace, to be 1."""
_NUMBER = struct.Struct("!I")
_NUMBER_AT = 24
"""A packet message begins with its NFQA_PACKET_HDR: 16 octets of header, 4 of nfgenmsg, 4 of attribute before it."""


class Entrance(NamedTuple):
    """An interface where packets come in."""

    ifindex: int
    name: str


def binding(queue: int, where: str) -> Request:
    """Makes the socket that sends it the reader of a queue: identifiers only, large packets whole, a bounded queue."""
    body = struct.pack("!BBH", 0, 0, queue)
    body += shaping.attribute(1, struct.pack("!BxH", _CMD_BIND, 0))
    body += shaping.attribute(2, struct.pack("!IB", 0, _COPY_META))
    body += shaping.be32(3, QUEUE_PACKETS) + shaping.be32(4, _FLAG_GSO) + shaping.be32(5, _FLAG_GSO)
    return request(_CONFIG, body, f"read the packet queue of {where}")


def verdict(queue: int, number: int) -> bytes:
    """The message that lets every packet of a queue up to that identifier go on."""
    body = struct.pack("!BBH", 0, 0, queue) + shaping.attribute(2, struct.pack("!II", _ACCEPT, number))
    return HEADER.pack(16 + len(body), _VERDICT_BATCH, NLM_F_REQUEST, 0, 0) + body


def packet_number(message: bytes | bytearray) -> int | None:
    """The identifier of the packet that a message brings; None for a message that brings none."""
    if HEADER.unpack_from(message)[1] != PACKET:
        return None
    number: int = _NUMBER.unpack_from(message, _NUMBER_AT)[0]
    return number


def queue_rules(
    queues: Mapping[Entrance, int], bridged: bool, means: Means, where: str, replace: bool = False
) -> list[Request]:
    """What queues the packets that come in at each entrance, with the number of its queue.

    A switch's ports are seen by nftables' own expression in the bridge's family. xtables knows no such family: there
    the kernel has to show bridged IP packets to the routed families (br_netfilter, `SHOW_BRIDGED`).

    With ``replace`` no other interface of the namespace is queued any more. The hook stays, once made: when a hook goes
    the kernel drops whatever waits in any queue of the namespace. A queue without a reader lets everything pass.
    """
    requests = []
    for family in BRIDGED if bridged and means == "queue" else ROUTED:
        hooked = shaping.nested(
            4, shaping.be32(1, HOOK_PREROUTING), shaping.attribute(2, struct.pack("!i", PRIORITY_RAW))
        )
        chain = shaping.text(1, TABLE) + shaping.text(3, CHAIN) + hooked + shaping.text(7, "filter")
        place = shaping.text(1, TABLE) + shaping.text(2, CHAIN)
        requests += [
            shaping.nft(
                shaping.NEWTABLE, shaping.NLM_F_CREATE, shaping.text(1, TABLE), f"make {TABLE} of {where}", family
            ),
            shaping.nft(shaping.NEWCHAIN, shaping.NLM_F_CREATE, chain, f"hook what comes in at {where}", family),
        ]
        if replace:
            requests.append(shaping.nft(DELRULE, 0, place, f"end the queues of {where}", family))
        for entrance, queue in sorted(queues.items()):
            from_there = _from_port(entrance.name) if bridged and means == "target" else _from(entrance.ifindex)
            expressions = shaping.nested(4, *from_there, _to(queue, means))
            flags = shaping.NLM_F_CREATE | shaping.NLM_F_APPEND
            requests.append(
                shaping.nft(shaping.NEWRULE, flags, place + expressions, f"queue what comes in at {where}", family)
            )
    return requests


def _from(index: int) -> tuple[bytes, bytes]:
    value = shaping.nested(3, shaping.attribute(1, struct.pack("=I", index)))
    return (
        shaping.expression("meta", shaping.be32(1, _REGISTER), shaping.be32(2, _META_IIF)),
        shaping.expression("cmp", shaping.be32(1, _REGISTER), shaping.be32(2, _CMP_EQ), value),
    )


def _from_port(name: str) -> tuple[bytes]:
    """xtables' physdev match (linux/netfilter/xt_physdev.h): the port by which a bridged packet came in."""
    octets = name.encode()
    info = struct.pack("=16s16s32xBB6x", octets, b"\xff" * (len(octets) + 1), 0, _PHYSDEV_IN)
    return (
        shaping.expression("match", shaping.text(1, "physdev"), shaping.be32(2, 0), shaping.attribute(3, info)),
    )


def _to(queue: int, means: Means) -> bytes:
    if means == "queue":
        fields = ((1, queue), (2, 1), (3, _BYPASS))
        return shaping.expression("queue", *(shaping.attribute(at, struct.pack("!H", field)) for at, field in fields))
    info = struct.pack("=HHH2x", queue, 1, _BYPASS)
    return shaping.expression(
        "target", shaping.text(1, "NFQUEUE"), shaping.be32(2, _XT_REVISION_WITH_FLAGS), shaping.attribute(3, info)
    )


def dropped(table: str) -> dict[int, int]:
    """Packets that each queue had to drop, by its number, from /proc/net/netfilter/nfnetlink_queue.

    Its columns: queue, reader, waiting, copy mode, copy range, dropped (full), dropped (no memory), last number, 1.
    """
    lines = (line.split() for line in table.splitlines())
    return {int(fields[0]): int(fields[5]) + int(fields[6]) for fields in lines if len(fields) > 6}
