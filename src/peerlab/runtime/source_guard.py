"""Which sources a router forwards packets of that come in by an interface: the kernel's part of anti-spoofing (BCP 38).

An nftables chain at the hook *forward*: what is for the router itself never gets there, so sessions, link tests and
neighbour discovery do not notice. Packets by other interfaces do not either.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from peerlab.runtime import shaping
from peerlab.runtime.kernel import in_namespace
from peerlab.runtime.netlink import Netlink, NetlinkRefused, Request

__all__ = ["guard", "guard_rules"]

NETLINK_NETFILTER = 12
NFPROTO_INET, HOOK_FORWARD = 1, 2
CHAIN = "sources"
DELTABLE = 2

_REGISTER = 1
_VERDICT, _ACCEPT = 0, 1
_META_IIFNAME, _META_NFPROTO = 6, 15
_PAYLOAD_NETWORK = 1
_CMP_EQ, _CMP_NEQ = 0, 1
_IFNAMSIZ = 16
_SOURCE = {4: (2, 12, 4), 6: (10, 8, 16)}
"""By version: the family's number in netfilter, where a packet has its source, and how many octets that is."""


def guard_rules(interface: str, sources: Sequence[str], where: str) -> list[Request]:
    """The interface's table, its chain, and a rule per prefix; the last one drops what no prefix has."""
    table = f"peerlab-sources-{interface}"
    hooked = shaping.nested(4, shaping.be32(1, HOOK_FORWARD), shaping.be32(2, 0))
    chain = shaping.text(1, table) + shaping.text(3, CHAIN) + hooked + shaping.text(7, "filter")
    purpose = f"guard the sources at {where}"
    named = shaping.text(1, table)

    def rule(*expressions: bytes) -> Request:
        body = named + shaping.text(2, CHAIN) + shaping.nested(4, *expressions)
        return shaping.nft(shaping.NEWRULE, shaping.NLM_F_CREATE | shaping.NLM_F_APPEND, body, purpose, NFPROTO_INET)

    return [
        # A table of that name may be left of an interface that was removed; to delete it, it has to be there.
        shaping.nft(shaping.NEWTABLE, shaping.NLM_F_CREATE, named, purpose, NFPROTO_INET),
        shaping.nft(DELTABLE, 0, named, purpose, NFPROTO_INET),
        shaping.nft(shaping.NEWTABLE, shaping.NLM_F_CREATE, named, purpose, NFPROTO_INET),
        shaping.nft(shaping.NEWCHAIN, shaping.NLM_F_CREATE, chain, purpose, NFPROTO_INET),
        rule(_meta(_META_IIFNAME), _compare(_CMP_NEQ, interface.encode().ljust(_IFNAMSIZ, b"\0")), _accept()),
        *(rule(*_from(prefix), _accept()) for prefix in _merged(sources)),
        rule(shaping.drop()),
    ]


def _merged(sources: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = [ipaddress.ip_network(text) for text in sources]
    v4 = [one for one in networks if isinstance(one, ipaddress.IPv4Network)]
    v6 = [one for one in networks if isinstance(one, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6)]


def _from(prefix: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[bytes, ...]:
    """The expressions that are true of packets with a source in the prefix."""
    family, offset, length = _SOURCE[prefix.version]
    return (
        _meta(_META_NFPROTO),
        _compare(_CMP_EQ, bytes([family])),
        shaping.expression(
            "payload",
            shaping.be32(1, _REGISTER),
            shaping.be32(2, _PAYLOAD_NETWORK),
            shaping.be32(3, offset),
            shaping.be32(4, length),
        ),
        shaping.expression(
            "bitwise",
            shaping.be32(1, _REGISTER),
            shaping.be32(2, _REGISTER),
            shaping.be32(3, length),
            shaping.nested(4, shaping.attribute(1, prefix.netmask.packed)),
            shaping.nested(5, shaping.attribute(1, bytes(length))),
        ),
        _compare(_CMP_EQ, prefix.network_address.packed),
    )


def _meta(key: int) -> bytes:
    return shaping.expression("meta", shaping.be32(1, _REGISTER), shaping.be32(2, key))


def _compare(operation: int, value: bytes) -> bytes:
    data = shaping.nested(3, shaping.attribute(1, value))
    return shaping.expression("cmp", shaping.be32(1, _REGISTER), shaping.be32(2, operation), data)


def _accept() -> bytes:
    verdict = shaping.nested(2, shaping.nested(2, shaping.be32(1, _ACCEPT)))
    return shaping.expression("immediate", shaping.be32(1, _VERDICT), verdict)


def guard(descriptor: int, interface: str, sources: Sequence[str], where: str) -> bool:
    """Puts the rules into a namespace. False on a kernel without nftables: there every source is forwarded, and SEC-03
    says so."""
    try:
        netlink = in_namespace(descriptor, lambda: Netlink(NETLINK_NETFILTER))
    except OSError:
        return False
    try:
        shaping.commit(netlink, guard_rules(interface, sources, where))
    except (OSError, NetlinkRefused):
        return False
    finally:
        netlink.close()
    return True
