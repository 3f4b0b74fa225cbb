"""Octets of IPv6 at a node's interfaces, as the kernel counts them (RFC 4293, ``/proc/net/dev_snmp6``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from peerlab.runtime.task import Reporter

__all__ = ["Ipv6Octets", "ipv6_octets"]


class Ipv6Octets(msgspec.Struct, frozen=True):
    """Octets of IPv6 datagrams, in and out, by interface."""

    received: dict[str, int]
    sent: dict[str, int]


def ipv6_octets(reporter: Reporter, interfaces: Sequence[str]) -> Ipv6Octets:
    """What the kernel counts now. An interface that is not there has no entry."""
    received, sent = {}, {}
    for name in interfaces:
        try:
            lines = Path(f"/proc/net/dev_snmp6/{name}").read_text().splitlines()
        except OSError:
            continue
        counters = dict(line.split(maxsplit=1) for line in lines if line.strip())
        received[name] = int(counters.get("Ip6InOctets", "0"))
        sent[name] = int(counters.get("Ip6OutOctets", "0"))
    return Ipv6Octets(received, sent)
