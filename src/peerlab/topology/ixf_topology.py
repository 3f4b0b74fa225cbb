"""A topology written from an exchange's LAN: its members, two route servers, and Microsoft's edge routers on it.

AS numbers, addresses on the LAN and limits of the route servers are the exchange's own; what the members announce is
not in an export, so each gets a benchmarking (RFC 2544) and a documentation prefix (RFC 3849).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.errors import InputError, Problem
from peerlab.topology.ixf import Exchange, Member, Port

CLOUD_ASN = 8075
OPERATOR_ASN = 65536
"""The operator's AS number where none is given: RFC 5398."""
MOST_MEMBERS = 220
"""Members that the prefixes last for."""
NAME_LENGTH = 24


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the lab is to be like. ``only`` and ``at_most`` thin the members out; Microsoft and route servers stay.

    ``kind`` is the kind of the route servers.
    """

    metro: str
    location: str
    region: str
    operator_asn: int = OPERATOR_ASN
    kind: str = "exabgp"
    only: tuple[int, ...] = ()
    at_most: int | None = None


class _Desk:
    """Addresses that are still free on the LAN."""

    def __init__(self, exchange: Exchange) -> None:
        self.lans = {family: ip_network(lan) for family, lan in exchange.lans.items()}
        self._taken = {
            ip_address(address)
            for member in exchange.members
            for port in member.ports
            for address in port.addresses.values()
        }

    def free(self) -> dict[Family, str]:
        """One unused address per family, from the top of the LAN; IPv6 of the same low number."""
        found = {}
        for family, lan in self.lans.items():
            last = int(lan.network_address) + min(lan.num_addresses, 1 << 16) - 2
            number = next(n for n in range(last, int(lan.network_address), -1) if ip_address(n) not in self._taken)
            self._taken.add(ip_address(number))
            found[family] = str(ip_address(number))
        return found


def ixf_topology(exchange: Exchange, wishes: Wishes, source: str) -> str:
    """The topology as YAML. Raises InputError when nothing of the export can be used as wished."""
    desk = _Desk(exchange)
    chosen = _chosen(exchange, wishes, source)
    operator = next((m for m in exchange.members if m.asn == wishes.operator_asn), None)
    servers = [port for m in exchange.members for port in m.ports if port.route_server]
    servers += [Port(addresses=desk.free(), max_prefixes={}) for _ in range(2 - len(servers))]
    cloud = next((m for m in exchange.members if m.asn == CLOUD_ASN), None)
    edges = list(cloud.ports) if cloud else []
    edges += [Port(addresses=desk.free(), max_prefixes={}) for _ in range(2 - len(edges))]
    names = _names(exchange, chosen)
    lan, ixp = f"{_slug(exchange.name, 'ixp')}-lan", _slug(exchange.name, "ixp")
    lines = [
        f"# {exchange.name}: written by `peerlab import ixf` from {source}.",
        f"# {len(chosen)} members with their own AS numbers, addresses and limits; what they announce is made up.",
    ]
    lines += [f"# Route servers and Microsoft's routers {_invented(exchange, operator)} addresses on the LAN."]
    lines += [f"name: {ixp}", "", "metros:"]
    lines.append(f"  {wishes.metro}: {{location: {wishes.location}, region: {wishes.region}}}")
    lines += ["", "ases:", *_cloud(edges, wishes), *_operator(ixp, servers, wishes)]
    for number, member in enumerate(chosen):
        lines += _member(names[member.asn], member, number)
    lines += ["", "exchanges:", f"  {lan}:", f"    operator: {ixp}", f"    metro: {wishes.metro}"]
    lines += [f"    {_key(family)}: {_quoted(prefix)}" for family, prefix in exchange.lans.items()]
    lines.append("    members:")
    lines += [_place(f"ms-edge-{number}", port) for number, port in enumerate(edges, 1)]
    lines += [_place(f"rs-{number}", port) for number, port in enumerate(servers, 1)]
    rs = [f"rs-{number}" for number in range(1, len(servers) + 1)]
    for member in chosen:
        for number, port in enumerate(member.ports, 1):
            lines.append(_place(f"{names[member.asn]}-{number}", port, rs))
    lines += ["", "peerings:", f"  {ixp}-{wishes.metro}:", f"    peer: {ixp}", "    type: IxRs"]
    lines += [f"    metro: {wishes.metro}", "    connections:"]
    lines.append(f"      mesh: {{exchange: {lan}, max-prefixes-v4: 20000, max-prefixes-v6: 2000}}")
    return "\n".join(lines) + "\n"


def _chosen(exchange: Exchange, wishes: Wishes, source: str) -> list[Member]:
    missing = sorted(set(wishes.only) - {member.asn for member in exchange.members})
    if missing:
        said = ", ".join(f"AS{asn}" for asn in missing)
        raise InputError([Problem(source, f"has no member {said} with an address on this LAN", "see the file")])
    members = [
        msgspec.structs.replace(member, ports=tuple(port for port in member.ports if not port.route_server))
        for member in exchange.members
        if member.asn not in (CLOUD_ASN, wishes.operator_asn) and (not wishes.only or member.asn in wishes.only)
    ]
    members = [member for member in members if member.ports][: wishes.at_most]
    if not members:
        raise InputError([Problem(source, "leaves no member for the lab", "choose others with --only")])
    if len(members) > MOST_MEMBERS:
        problem = Problem(source, f"has {len(members)} members", f"a lab takes {MOST_MEMBERS}: use --members")
        raise InputError([problem])
    return members


def _invented(exchange: Exchange, operator: Member | None) -> str:
    known = any(port.route_server for member in exchange.members for port in member.ports)
    return "have the export's or free" if known or operator else "have free"


def _cloud(edges: list[Port], wishes: Wishes) -> Iterator[str]:
    yield "  microsoft:"
    yield f"    asn: {CLOUD_ASN}"
    yield "    role: cloud"
    yield '    prefixes: [198.18.0.0/24, "2001:db8:1000::/48"]'
    yield "    routers:"
    yield from (f"      ms-edge-{number}: {{metro: {wishes.metro}}}" for number in range(1, len(edges) + 1))
    yield "    backbone:"
    for number in range(1, len(edges)):
        yield f"      - {{between: [ms-edge-{number}, ms-edge-{number + 1}], cost: 1}}"
    yield "    hosts:"
    yield "      svc: {router: ms-edge-1}"


def _operator(name: str, servers: list[Port], wishes: Wishes) -> Iterator[str]:
    yield f"  {name}:"
    yield f"    asn: {wishes.operator_asn}"
    yield "    role: ixp"
    yield "    routers:"
    kind = "" if wishes.kind == "exabgp" else f", kind: {wishes.kind}"
    for number in range(1, len(servers) + 1):
        yield f"      rs-{number}: {{metro: {wishes.metro}{kind}}}"


def _member(name: str, member: Member, number: int) -> Iterator[str]:
    yield f"  {name}:" + (f"  # {_comment(member.name)}" if member.name else "")
    yield f"    asn: {member.asn}"
    yield "    role: isp"
    yield f'    prefixes: [198.18.{number + 16}.0/24, "2001:db8:{0x2000 + number:x}::/48"]'
    yield "    routers:"
    yield from (f"      {name}-{port}:" for port in range(1, len(member.ports) + 1))
    if len(member.ports) > 1:
        yield "    backbone:"
        for port in range(1, len(member.ports)):
            yield f"      - {{between: [{name}-{port}, {name}-{port + 1}], cost: 10}}"
    if number == 0:
        yield "    hosts:"
        yield f"      pc: {{router: {name}-1}}"


def _place(router: str, port: Port, servers: list[str] | None = None) -> str:
    """The line of a router on the LAN; a client's limits are those of the route servers towards it."""
    words = [f"{_key(family)}: {_quoted(address)}" for family, address in port.addresses.items()]
    if port.client is False:
        words.append("route-servers: false")
    elif servers:
        session = []
        if len(port.addresses) == 1:
            session.append(f"families: [{next(iter(port.addresses)).value}]")
        limits = ", ".join(f"max-prefix-{_key(family)}: {limit}" for family, limit in port.max_prefixes.items())
        if limits:
            session.append("ends: {" + ", ".join(f"{server}: {{{limits}}}" for server in servers) + "}")
        if session:
            words.append("session: {" + ", ".join(session) + "}")
    return f"      {router}: {{{', '.join(words)}}}"


def _names(exchange: Exchange, members: list[Member]) -> dict[int, str]:
    """A name of the language per member: its own where it is short enough and nobody else's, else its AS number."""
    taken = {"microsoft", _slug(exchange.name, "ixp"), "rs", "ms-edge"}
    names: dict[int, str] = {}
    for member in members:
        name = _slug(member.name, f"as{member.asn}")
        if len(name) > NAME_LENGTH or name in taken:
            name = f"as{member.asn}"
        taken.add(name)
        names[member.asn] = name
    return names


def _slug(text: str, otherwise: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return slug if re.match(r"[a-z]", slug) else otherwise


def _comment(text: str) -> str:
    return " ".join(re.sub(r"[^\x20-\x7e]", " ", text).split())


def _key(family: Family) -> str:
    return "v4" if family is Family.IPV4 else "v6"


def _quoted(text: str) -> str:
    return f'"{text}"' if ":" in text else text
