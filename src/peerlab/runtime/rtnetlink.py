"""Links, addresses, routes and rules as rtnetlink messages, and what the kernel's dumps say.

Sources: rtnetlink(7), linux/if_link.h, linux/rtnetlink.h, linux/fib_rules.h, linux/veth.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

from peerlab.errors import RefusedError
from peerlab.runtime.base import AddressObservation, KernelRoute
from peerlab.runtime.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Request,
    attribute,
    attributes_of,
    nested,
    request,
)

__all__ = [
    "LinkFact",
    "address_change",
    "address_fact",
    "addresses_question",
    "bond",
    "bridge",
    "link_delete",
    "link_fact",
    "link_set",
    "links_question",
    "route_change",
    "route_fact",
    "route_question",
    "routes_question",
    "rule",
    "veth",
]

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE = 32

IFF_UP, IFF_LOWER_UP = 1, 0x10000
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 10, 18
IFLA_CARRIER_CHANGES = 35
IFLA_STATS64, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK = 23, 27, 28, 29
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_BR_FORWARD_DELAY, IFLA_BR_STP_STATE, IFLA_BR_MCAST_SNOOPING = 1, 5, 23

IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_F_NODAD = 1, 2, 8, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_MULTIPATH, RTA_TABLE, RTA_VIA = 1, 4, 5, 6, 7, 9, 15, 18
RTNH_F_DEAD, RTNH_F_ONLINK, RTNH_F_LINKDOWN = 1, 4, 16
RTPROT_STATIC = 4
ROUTE_KINDS = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole",
               7: "unreachable", 8: "prohibit", 9: "throw"}  # fmt: skip
ROUTE_NUMBERS = {name: number for number, name in ROUTE_KINDS.items()}
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_PRIORITY, FRA_TABLE = 1, 2, 3, 6, 15
FR_ACT_TO_TBL, FR_ACT_BLACKHOLE = 1, 6

LINK = struct.Struct("=BxHiII")
ADDRESS = struct.Struct("=BBBBi")
ROUTE = struct.Struct("=BBBBBBBBI")
RULE = struct.Struct("=BBBBBBBBI")
U32 = struct.Struct("=I")


def family_of(text: str) -> int:
    """AF_INET or AF_INET6 of an address or prefix text."""
    return socket.AF_INET6 if ":" in text else socket.AF_INET


def packed(text: str) -> tuple[int, int, bytes]:
    """(family, prefix length, address bytes) of "10.0.0.1/31"; a bare address has its full length."""
    address, _, length = text.partition("/")
    family = family_of(address)
    width = 128 if family == socket.AF_INET6 else 32
    try:
        value, bits = socket.inet_pton(family, address), int(length) if length else width
    except (OSError, ValueError):
        bits = -1
    if not 0 <= bits <= width:
        raise RefusedError("BadAddress", f"{text!r} is not an address with its prefix length")
    return family, bits, value


def _name(kind: int, name: str) -> bytes:
    return attribute(kind, name.encode() + b"\0")


@dataclass(frozen=True, slots=True)
class End:
    """One end of a veth pair about to be made. ``namespace`` is a file descriptor, ``master`` a bridge's index."""

    name: str
    mac: str
    mtu: int
    index: int
    namespace: int
    master: int = 0


def veth(near: End, far: End) -> Request:
    """A veth pair with both ends in place. The near end comes up at once; the kernel refuses that of the far end."""
    peer = (
        LINK.pack(0, 0, far.index, 0, 0)
        + _name(IFLA_IFNAME, far.name)
        + attribute(IFLA_ADDRESS, bytes.fromhex(far.mac.replace(":", "")))
        + attribute(IFLA_MTU, U32.pack(far.mtu))
        + attribute(IFLA_NET_NS_FD, U32.pack(far.namespace))
    )
    body = (
        LINK.pack(0, 0, near.index, IFF_UP, IFF_UP)
        + _name(IFLA_IFNAME, near.name)
        + attribute(IFLA_ADDRESS, bytes.fromhex(near.mac.replace(":", "")))
        + attribute(IFLA_MTU, U32.pack(near.mtu))
        + (attribute(IFLA_MASTER, U32.pack(near.master)) if near.master else b"")
        + attribute(IFLA_NET_NS_FD, U32.pack(near.namespace))
        + nested(
            IFLA_LINKINFO,
            _name(IFLA_INFO_KIND, "veth"),
            nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER | 0x8000, peer)),
        )
    )
    return request(RTM_NEWLINK, body, f"make the wire {near.name} - {far.name}", NLM_F_CREATE | NLM_F_EXCL)


def bridge(name: str, index: int, mac: str) -> Request:
    """A bridge that is up, forwards at once (no spanning tree) and floods multicast (no snooping)."""
    body = (
        LINK.pack(0, 0, index, IFF_UP, IFF_UP)
        + _name(IFLA_IFNAME, name)
        + attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
        + nested(
            IFLA_LINKINFO,
            _name(IFLA_INFO_KIND, "bridge"),
            nested(
                IFLA_INFO_DATA,
                attribute(IFLA_BR_FORWARD_DELAY, U32.pack(0)),
                attribute(IFLA_BR_STP_STATE, U32.pack(0)),
                attribute(IFLA_BR_MCAST_SNOOPING, b"\0"),
            ),
        )
    )
    return request(RTM_NEWLINK, body, f"make the bridge {name}", NLM_F_CREATE | NLM_F_EXCL)


def bond(name: str) -> Request:
    """Creates a bonding interface, of the driver's default mode."""
    body = LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _name(IFLA_IFNAME, name)
    body += nested(IFLA_LINKINFO, _name(IFLA_INFO_KIND, "bond"))
    return request(RTM_NEWLINK, body, f"create the bundle {name}", NLM_F_CREATE | NLM_F_EXCL)


def link_set(index: int, up: bool, purpose: str, master: int | None = None) -> Request:
    """Brings a link up or down, and into a bridge if ``master`` is its index."""
    flags = IFF_UP if up else 0
    body = LINK.pack(0, 0, index, flags, IFF_UP)
    if master is not None:
        body += attribute(IFLA_MASTER, U32.pack(master))
    return request(RTM_NEWLINK, body, purpose)


def link_delete(index: int, purpose: str) -> Request:
    """Removes a link; a veth takes its other end with it."""
    return request(RTM_DELLINK, LINK.pack(0, 0, index, 0, 0), purpose)


def link_group(index: int, group: int, purpose: str) -> Request:
    """Puts a link into a group of its namespace."""
    return request(RTM_NEWLINK, LINK.pack(0, 0, index, 0, 0) + attribute(IFLA_GROUP, U32.pack(group)), purpose)


def group_delete(group: int, purpose: str) -> Request:
    """Removes every link of a group in one go: the kernel waits once for its readers, not once per link."""
    return request(RTM_DELLINK, LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_GROUP, U32.pack(group)), purpose)


def links_question() -> Request:
    """Asks for all links of the namespace."""
    return request(RTM_GETLINK, LINK.pack(0, 0, 0, 0, 0), "list the links")


@dataclass(frozen=True, slots=True)
class LinkFact:
    """A link as dumped."""

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    carrier: bool
    counters: tuple[int, ...]  # the first 13 of rtnl_link_stats64 (linux/if_link.h), up to rx_crc_errors
    carrier_changes: int


def link_fact(body: bytes) -> LinkFact:
    """Reads one RTM_NEWLINK."""
    _, _, index, flags, _ = LINK.unpack_from(body)
    found = attributes_of(body[16:])
    counters = struct.unpack_from("=13Q", found[IFLA_STATS64]) if IFLA_STATS64 in found else (0,) * 13
    return LinkFact(
        index,
        found[IFLA_IFNAME].rstrip(b"\0").decode(),
        found.get(IFLA_ADDRESS, b"").hex(":"),
        U32.unpack(found[IFLA_MTU])[0],
        bool(flags & IFF_UP),
        bool(flags & IFF_LOWER_UP),
        counters,
        U32.unpack(found[IFLA_CARRIER_CHANGES])[0] if IFLA_CARRIER_CHANGES in found else 0,
    )


def address_change(index: int, address: str, add: bool, where: str) -> Request:
    """Adds or removes an address. IPv6 addresses skip duplicate detection: wires here have known ends."""
    family, length, value = packed(address)
    body = ADDRESS.pack(family, length, IFA_F_NODAD if family == socket.AF_INET6 else 0, 0, index)
    body += attribute(IFA_LOCAL, value) + attribute(IFA_ADDRESS, value)
    if family == socket.AF_INET6 and add:
        body += attribute(IFA_FLAGS, U32.pack(IFA_F_NODAD))
    if add:
        return request(RTM_NEWADDR, body, f"add the address {address} to {where}", NLM_F_CREATE | NLM_F_EXCL)
    return request(RTM_DELADDR, body, f"remove the address {address} from {where}")


def addresses_question() -> Request:
    """Asks for all addresses of the namespace."""
    return request(RTM_GETADDR, ADDRESS.pack(0, 0, 0, 0, 0), "list the addresses")


def address_fact(body: bytes, names: dict[int, str]) -> AddressObservation:
    """Reads one RTM_NEWADDR; ``names`` maps link indices."""
    family, length, _, scope, index = ADDRESS.unpack_from(body)
    found = attributes_of(body[8:])
    value = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    return AddressObservation(
        names.get(index, str(index)),
        f"{socket.inet_ntop(family, value)}/{length}",
        SCOPES.get(scope, "global"),  # type: ignore[arg-type]
    )


def route_change(
    destination: str,
    via: str | None,
    index: int | None,
    metric: int,
    table: int,
    kind: str,
    add: bool,
    where: str,
    protocol: int = RTPROT_STATIC,
    flags: int = 0,
) -> Request:
    """Adds or removes a route. A gateway of the other family (RFC 8950) travels as RTA_VIA."""
    try:
        network = ipaddress.ip_network(destination, strict=False)
    except ValueError as failure:
        raise RefusedError("BadPrefix", f"{destination!r} is not a prefix") from failure
    family, length, value = packed(str(network))
    scope = 253 if kind == "unicast" and via is None and family == socket.AF_INET else 0
    short = table if table < 256 else 0
    body = ROUTE.pack(family, length, 0, 0, short, protocol, scope, ROUTE_NUMBERS[kind], flags)
    body += attribute(RTA_DST, value) if length else b""
    body += attribute(RTA_TABLE, U32.pack(table))
    if via is not None:
        gateway_family, _, gateway = packed(via)
        if gateway_family == family:
            body += attribute(RTA_GATEWAY, gateway)
        else:
            body += attribute(RTA_VIA, struct.pack("=H", gateway_family) + gateway)
    if index is not None:
        body += attribute(RTA_OIF, U32.pack(index))
    if metric:
        body += attribute(RTA_PRIORITY, U32.pack(metric))
    if add:
        return request(RTM_NEWROUTE, body, f"add the route {destination} on {where}", NLM_F_CREATE | NLM_F_EXCL)
    return request(RTM_DELROUTE, body, f"remove the route {destination} from {where}")


def route_inverse(change: Request) -> Request:
    """The request that undoes a `route_change`."""
    if change.kind == RTM_NEWROUTE:
        return request(RTM_DELROUTE, change.body, f"take back: {change.purpose}")
    return request(RTM_NEWROUTE, change.body, f"take back: {change.purpose}", NLM_F_CREATE | NLM_F_EXCL)


def routes_question(family: int, table: int) -> Request:
    """Asks for the routes of one table (the kernel filters, given NETLINK_GET_STRICT_CHK)."""
    body = ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + attribute(RTA_TABLE, U32.pack(table))
    return request(RTM_GETROUTE, body, "list the routes")


def route_question(destination: str) -> Request:
    """Asks which route a packet to ``destination`` takes."""
    family, length, value = packed(destination)
    body = ROUTE.pack(family, length, 0, 0, 0, 0, 0, 0, 0) + attribute(RTA_DST, value)
    return request(RTM_GETROUTE, body, f"ask for the route to {destination}")


def route_fact(body: bytes, names: dict[int, str]) -> KernelRoute:
    """Reads one RTM_NEWROUTE. Of several next hops (ECMP) the first is told."""
    family, length, _, _, table, protocol, _, kind, flags = ROUTE.unpack_from(body)
    found = attributes_of(body[12:])
    hop = found
    if RTA_MULTIPATH in found:
        size, flags, _, index = struct.unpack_from("=HBBi", found[RTA_MULTIPATH])
        hop = attributes_of(found[RTA_MULTIPATH][8:size]) | {RTA_OIF: struct.pack("=i", index)}
    via = socket.inet_ntop(family, hop[RTA_GATEWAY]) if RTA_GATEWAY in hop else None
    if RTA_VIA in hop:
        via_family = struct.unpack_from("=H", hop[RTA_VIA])[0]
        via = socket.inet_ntop(via_family, hop[RTA_VIA][2:])
    index = U32.unpack(hop[RTA_OIF])[0] if RTA_OIF in hop else 0
    zero = bytes(16 if family == socket.AF_INET6 else 4)
    return KernelRoute(
        destination=f"{socket.inet_ntop(family, found.get(RTA_DST, zero))}/{length}",
        via=via,
        device=names.get(index, str(index)) if index else None,
        metric=U32.unpack(found[RTA_PRIORITY])[0] if RTA_PRIORITY in found else 0,
        table=U32.unpack(found[RTA_TABLE])[0] if RTA_TABLE in found else table,
        protocol=protocol,
        kind=ROUTE_KINDS.get(kind, str(kind)),
        source=socket.inet_ntop(family, found[RTA_PREFSRC]) if RTA_PREFSRC in found else None,
        dead=bool(flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)),
    )


def rule(priority: int, *, to: str = "", source: str = "", iif: str = "", table: int = 0, family: int = 0) -> Request:
    """A policy rule: look up ``table``, or drop silently when there is none."""
    far_family, far_length, far = packed(to) if to else (0, 0, b"")
    near_family, near_length, near = packed(source) if source else (0, 0, b"")
    action = FR_ACT_TO_TBL if table else FR_ACT_BLACKHOLE
    body = RULE.pack(
        family or far_family or near_family or socket.AF_INET, far_length, near_length, 0, table, 0, 0, action, 0
    )
    body += attribute(FRA_PRIORITY, U32.pack(priority))
    body += attribute(FRA_DST, far) if far else b""
    body += attribute(FRA_SRC, near) if near else b""
    body += _name(FRA_IIFNAME, iif) if iif else b""
    body += attribute(FRA_TABLE, U32.pack(table)) if table else b""
    return request(RTM_NEWRULE, body, f"add the rule of priority {priority}", NLM_F_CREATE | NLM_F_EXCL)
