"""A router's discretion on its wires: what a Linux kernel says of its own accord and no exchange wants to hear.

Linux sends MLD reports for every solicited-node group and ICMPv6 redirects for packets that leave where they came in,
and no sysctl keeps it from that. So a router of a lab drops them on their way out, with router solicitations and
advertisements, by an nftables output chain, as a careful operator does. IPv4 has sysctls for all of it.
"""

from __future__ import annotations

import struct

from peerlab.runtime import shaping
from peerlab.runtime.kernel import in_namespace
from peerlab.runtime.netlink import Netlink, NetlinkRefused, Request

__all__ = ["UNSAID", "keep_quiet", "quiet_rules"]

NETLINK_NETFILTER = 12
TABLE, CHAIN = "peerlab-discretion", "out"
NFPROTO_IPV6, HOOK_LOCAL_OUT = 10, 3
ICMPV6 = 58
UNSAID = ((130, 134), (137, 137), (143, 143))
"""Ranges of ICMPv6 types: MLD and router discovery, redirect, MLDv2 report (RFC 2710, 4861, 3810)."""

_REGISTER = 1
_META_L4PROTO = 16
_PAYLOAD_TRANSPORT = 2
_CMP_EQ, _CMP_LTE, _CMP_GTE = 0, 3, 5


def quiet_rules(where: str) -> list[Request]:
    """The table, its output chain, and a rule per range of `UNSAID`."""
    hooked = shaping.nested(4, shaping.be32(1, HOOK_LOCAL_OUT), shaping.be32(2, 0))
    chain = shaping.text(1, TABLE) + shaping.text(3, CHAIN) + hooked + shaping.text(7, "filter")
    rules = [
        shaping.nft(shaping.NEWTABLE, shaping.NLM_F_CREATE, shaping.text(1, TABLE), f"make {TABLE} of {where}",
                    NFPROTO_IPV6),
        shaping.nft(shaping.NEWCHAIN, shaping.NLM_F_CREATE, chain, f"hook the output of {where}", NFPROTO_IPV6),
    ]  # fmt: skip
    for lowest, highest in UNSAID:
        expressions = (
            shaping.expression("meta", shaping.be32(1, _REGISTER), shaping.be32(2, _META_L4PROTO)),
            _compare(_CMP_EQ, ICMPV6),
            shaping.expression(
                "payload",
                shaping.be32(1, _REGISTER),
                shaping.be32(2, _PAYLOAD_TRANSPORT),
                shaping.be32(3, 0),
                shaping.be32(4, 1),
            ),
            _compare(_CMP_GTE, lowest),
            _compare(_CMP_LTE, highest),
            shaping.drop(),
        )
        body = shaping.text(1, TABLE) + shaping.text(2, CHAIN) + shaping.nested(4, *expressions)
        flags = shaping.NLM_F_CREATE | shaping.NLM_F_APPEND
        purpose = f"keep {where} from sending ICMPv6 {lowest}-{highest}"
        rules.append(shaping.nft(shaping.NEWRULE, flags, body, purpose, NFPROTO_IPV6))
    return rules


def _compare(operation: int, octet: int) -> bytes:
    value = shaping.nested(3, shaping.attribute(1, struct.pack("B", octet)))
    return shaping.expression("cmp", shaping.be32(1, _REGISTER), shaping.be32(2, operation), value)


def keep_quiet(descriptor: int, where: str) -> bool:
    """Puts the rules into a namespace. False on a kernel without nftables: there the router talks on, and PHY-15 says
    what it hears."""
    try:
        netlink = in_namespace(descriptor, lambda: Netlink(NETLINK_NETFILTER))
    except OSError:
        return False
    try:
        shaping.commit(netlink, quiet_rules(where))
    except (OSError, NetlinkRefused):
        return False
    finally:
        netlink.close()
    return True
