"""Queueing disciplines and packet filters as netlink messages: netem, tbf, and random loss by nftables.

Sources: linux/pkt_sched.h, linux/netfilter/nf_tables.h; nft(8) for the expressions behind
``numgen random mod 1000000 < N drop``, whose bytes the tests compare with what nft itself sends.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from peerlab.runtime.netlink import (
    HEADER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Failure,
    Netlink,
    NetlinkRefused,
    Request,
    attribute,
    error_of,
    messages_of,
    nested,
    request,
)

__all__ = [
    "NEWCHAIN",
    "NEWRULE",
    "NEWTABLE",
    "NLM_F_APPEND",
    "NLM_F_CREATE",
    "attribute",
    "be32",
    "commit",
    "drop",
    "expression",
    "loss_rules",
    "loss_table_removal",
    "nested",
    "netem",
    "nft",
    "qdisc_removal",
    "tbf",
    "text",
]

RTM_NEWQDISC, RTM_DELQDISC = 36, 37
TRAFFIC = struct.Struct("=BxxxiIII")
TC_H_ROOT = 0xFFFFFFFF
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_NETEM_RATE, TCA_NETEM_LATENCY64, TCA_NETEM_JITTER64 = 6, 10, 11
TCA_TBF_PARMS, TCA_TBF_BURST = 1, 6
LINKLAYER_ETHERNET = 1
NETEM_QUEUE_PACKETS = 100_000
TBF_QUEUE_SECONDS = 0.05
TBF_BURST_SECONDS = 0.01

NFNL_BATCH_BEGIN, NFNL_BATCH_END, NFNL_SUBSYS_NFTABLES = 16, 17, 10
NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE = 0, 2, 3, 6
NFPROTO_NETDEV = 5
HOOK_INGRESS, HOOK_EGRESS = 0, 1
NLM_F_APPEND = 0x800
RANDOM_MODULUS = 1_000_000
BE32 = struct.Struct("!I")


def text(kind: int, value: str) -> bytes:
    """An attribute with a text that ends in a zero octet."""
    return attribute(kind, value.encode() + b"\0")


def be32(kind: int, value: int) -> bytes:
    """An attribute with a number in network byte order."""
    return attribute(kind, BE32.pack(value))


def netem(
    index: int, loss_percent: float, delay_ms: float, rate_kbit: int, where: str, jitter_ms: float = 0.0
) -> Request:
    """netem at the root of an interface, replacing what is there."""
    loss = min(0xFFFFFFFF, round(loss_percent / 100 * 0xFFFFFFFF))
    options = struct.pack("=IIIIII", 0, NETEM_QUEUE_PACKETS, loss, 0, 0, 0)
    options += attribute(TCA_NETEM_LATENCY64, struct.pack("=q", round(delay_ms * 1e6)))
    if jitter_ms:
        options += attribute(TCA_NETEM_JITTER64, struct.pack("=q", round(jitter_ms * 1e6)))
    if rate_kbit:
        options += attribute(TCA_NETEM_RATE, struct.pack("=IiIi", rate_kbit * 125, 0, 0, 0))
    return _qdisc(index, "netem", options, f"put netem on {where}")


def tbf(index: int, rate_kbit: int, mtu: int, where: str) -> Request:
    """A token bucket at the root of an interface: ``rate_kbit``, a queue of `TBF_QUEUE_SECONDS`."""
    rate = rate_kbit * 125
    burst = max(round(rate * TBF_BURST_SECONDS), 2 * mtu)
    limit = round(rate * TBF_QUEUE_SECONDS) + burst
    rate_specification = struct.pack("=BBHhHI", 0, LINKLAYER_ETHERNET, 0, 0, 0, rate)
    parameters = rate_specification + bytes(12) + struct.pack("=III", limit, 0, 0)
    options = attribute(TCA_TBF_PARMS, parameters) + attribute(TCA_TBF_BURST, struct.pack("=I", burst))
    return _qdisc(index, "tbf", options, f"put tbf on {where}")


def _qdisc(index: int, kind: str, options: bytes, purpose: str) -> Request:
    body = TRAFFIC.pack(0, index, 0, TC_H_ROOT, 0) + text(TCA_KIND, kind) + attribute(TCA_OPTIONS, options)
    return request(RTM_NEWQDISC, body, purpose, NLM_F_CREATE | NLM_F_REPLACE)


def qdisc_removal(index: int, where: str) -> Request:
    """Puts the interface's default queue back."""
    return request(RTM_DELQDISC, TRAFFIC.pack(0, index, 0, TC_H_ROOT, 0), f"remove the queue of {where}")


def nft(kind: int, flags: int, attributes: bytes, purpose: str, family: int = NFPROTO_NETDEV) -> Request:
    """A request of nftables, of a table of that family."""
    header = struct.pack("!BBH", family, 0, 0)
    return request(NFNL_SUBSYS_NFTABLES << 8 | kind, header + attributes, purpose, flags)


def loss_rules(table: str, device: str, hook: int, loss_percent: float, where: str) -> list[Request]:
    """A table of its own with one chain at a device's hook, which drops a share of all frames, ARP included."""
    chain = "loss"
    hooked = nested(4, be32(1, hook), be32(2, 0), text(3, device))
    expressions = []
    threshold = round(loss_percent / 100 * RANDOM_MODULUS)
    if threshold < RANDOM_MODULUS:
        expressions += [
            expression("numgen", be32(1, 1), be32(2, RANDOM_MODULUS), be32(3, 1), be32(4, 0)),
            expression("byteorder", be32(1, 1), be32(2, 1), be32(3, 1), be32(4, 4), be32(5, 4)),
            expression("cmp", be32(1, 1), be32(2, 2), nested(3, attribute(1, BE32.pack(threshold)))),
        ]
    expressions.append(drop())
    return [
        nft(NEWTABLE, NLM_F_CREATE, text(1, table), f"make the loss table of {where}"),
        nft(
            NEWCHAIN, NLM_F_CREATE, text(1, table) + text(3, chain) + hooked + text(7, "filter"), f"hook {where}"
        ),
        nft(
            NEWRULE,
            NLM_F_CREATE | NLM_F_APPEND,
            text(1, table) + text(2, chain) + nested(4, *expressions),
            f"drop {loss_percent:g} % at {where}",
        ),
    ]


def expression(name: str, *attributes: bytes) -> bytes:
    """One expression of a rule."""
    return nested(1, text(1, name), nested(2, *attributes))


def drop() -> bytes:
    """The expression that drops what came so far through its rule."""
    return expression("immediate", be32(1, 0), nested(2, nested(2, be32(1, 0))))


def loss_table_removal(table: str, where: str) -> Request:
    """Removes the table with all that is in it."""
    return nft(DELTABLE, 0, text(1, table), f"end the loss at {where}")


def commit(netlink: Netlink, requests: Sequence[Request]) -> None:
    """Sends one nftables transaction. The kernel has answered all of it when the send returns.

    Raises `NetlinkRefused`; then none of it was done.
    """
    begin, end = (struct.pack("!BBH", 0, 0, NFNL_SUBSYS_NFTABLES),) * 2
    parts = [HEADER.pack(20, NFNL_BATCH_BEGIN, NLM_F_REQUEST, 1, 0) + begin]
    for sequence, (kind, flags, body, _) in enumerate(requests, 2):
        parts.append(HEADER.pack(16 + len(body), kind, flags | NLM_F_ACK, sequence, 0) + body)
    parts.append(HEADER.pack(20, NFNL_BATCH_END, NLM_F_REQUEST, len(requests) + 2, 0) + end)
    netlink.socket.send(b"".join(parts))
    netlink.socket.setblocking(False)
    failures = []
    while True:
        try:
            block = memoryview(netlink.socket.recv(1 << 16))
        except BlockingIOError:
            break
        for kind, flags, sequence, answer in messages_of(block):
            number, text = error_of(flags, answer) if kind == NLMSG_ERROR else (0, "")
            if number:
                asked = requests[sequence - 2] if 2 <= sequence < len(requests) + 2 else requests[0]
                failures.append(Failure(asked, number, text))
    if failures:
        raise NetlinkRefused(failures)
