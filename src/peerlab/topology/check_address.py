"""First pass, addresses: sizes, kinds and overlaps of everything that a document pins."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import msgspec

from peerlab.topology.census import Census, is_interconnect_peering
from peerlab.topology.mistake import Mistakes, Path, path_text
from peerlab.topology.pool import Network

LINK_TEST = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))
NOT_UNICAST = tuple(
    ipaddress.ip_network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "ff00::/8")
)
LINK_LENGTHS = {4: (30, 31), 6: (64, 127)}
"""Shortest and longest prefix of a point-to-point link (spec 3.2: /30 or /31; IPv6 /64 to /127)."""


class Claim(msgspec.Struct, frozen=True):
    """A piece of address space, who holds it and where the document says so."""

    network: Network
    holder: str
    path: Path


def check_addresses(census: Census, mistakes: Mistakes) -> None:
    """Note every unusable or doubly used address."""
    space = list(_space(census))
    wires = list(_wires(census, mistakes))
    for claim in (*space, *wires):
        _check_kind(claim, mistakes)
    _check_space(space, mistakes)
    _check_apart(wires, mistakes)
    _check_pins(census, mistakes)


def _space(census: Census) -> Iterator[Claim]:
    """What ASes originate and what they keep for infrastructure."""
    for name, asys in census.document.ases.items():
        for key, prefixes in (("prefixes", asys.prefixes), ("infrastructure", asys.infrastructure)):
            for position, prefix in enumerate(prefixes):
                yield Claim(ipaddress.ip_network(prefix), name, ("ases", name, key, position))


def _wires(census: Census, mistakes: Mistakes) -> Iterator[Claim]:
    """Link prefixes, LANs, loopbacks and access subnets that are stated; notes wrong families and sizes."""
    document = census.document
    for name, asys in document.ases.items():
        for position, link in enumerate(asys.backbone):
            yield from _link(("ases", name, "backbone", position), link.v4, link.v6, "v4", "v6", mistakes)
        for router, words in asys.routers.items():
            for key, address in (("loopback-v4", words.loopback_v4), ("loopback-v6", words.loopback_v6)):
                yield from _single(("ases", name, "routers", router, key), address, int(key[-1]), mistakes)
        for host, host_words in asys.hosts.items():
            for key, pin in (("v4", host_words.v4), ("v6", host_words.v6)):
                path: Path = ("ases", name, "hosts", host, key)
                if pin is not None and _check_family(ipaddress.ip_interface(pin).network, int(key[-1]), path, mistakes):
                    yield Claim(ipaddress.ip_interface(pin).network, name, path)
    for position, wire in enumerate(document.links):
        yield from _link(("links", position), wire.v4, wire.v6, "v4", "v6", mistakes)
    for name, peering in document.peerings.items():
        for label, asked in peering.connections.items():
            path = ("peerings", name, "connections", label)
            if is_interconnect_peering(peering):
                yield from _link(path, asked.prefix_v4, asked.prefix_v6, "prefix-v4", "prefix-v6", mistakes)
    for name, exchange in document.exchanges.items():
        for key, lan, longest in (("v4", exchange.v4, 29), ("v6", exchange.v6, 120)):
            if lan is None:
                continue
            network = ipaddress.ip_network(lan)
            path = ("exchanges", name, key)
            if _check_family(network, int(key[-1]), path, mistakes):
                if network.prefixlen > longest:
                    mistakes.add(path, f"/{network.prefixlen} is too small for a LAN", f"use /{longest} or shorter")
                yield Claim(network, name, path)


def _link(path: Path, v4: str | None, v6: str | None, key_v4: str, key_v6: str, mistakes: Mistakes) -> Iterator[Claim]:
    for key, text, version in ((key_v4, v4, 4), (key_v6, v6, 6)):
        if text is None:
            continue
        network = ipaddress.ip_network(text)
        at = (*path, key)
        if not _check_family(network, version, at, mistakes):
            continue
        shortest, longest = LINK_LENGTHS[version]
        if not shortest <= network.prefixlen <= longest:
            remedy = "use /30 or /31" if version == 4 else "use /127 or /126 (/64 at the shortest)"
            mistakes.add(at, f"/{network.prefixlen} does not suit a point-to-point link", remedy)
        yield Claim(network, "", at)


def _single(path: Path, address: str | None, version: int, mistakes: Mistakes) -> Iterator[Claim]:
    if address is not None:
        network = ipaddress.ip_network(address)
        if _check_family(network, version, path, mistakes):
            yield Claim(network, "", path)


def _check_family(network: Network, version: int, path: Path, mistakes: Mistakes) -> bool:
    if network.version == version:
        return True
    mistakes.add(path, f"{network} is IPv{network.version}", f"write an IPv{version} one here")
    return False


def _check_kind(claim: Claim, mistakes: Mistakes) -> None:
    """Space that no unicast interface may use."""
    network = claim.network
    if any(network.version == other.version and network.overlaps(other) for other in NOT_UNICAST):
        mistakes.add(claim.path, f"{network} is not unicast space", "use a documentation prefix, e.g. 198.18.0.0/24")
    elif any(network.version == test.version and network.overlaps(test) for test in LINK_TEST):
        mistakes.add(claim.path, f"{network} is link-local, kept for the link test", "use another prefix")


def _check_space(space: list[Claim], mistakes: Mistakes) -> None:
    """No AS may hold what another holds; within one AS an aggregate and its parts may stand together."""
    by_place = sorted(space, key=lambda c: (c.network.version, int(c.network.network_address), c.network.prefixlen))
    open_claims: list[Claim] = []
    for claim in by_place:
        open_claims = [
            c
            for c in open_claims
            if c.network.version == claim.network.version
            and int(c.network.broadcast_address) >= int(claim.network.network_address)
        ]
        for other in open_claims:
            if other.holder != claim.holder:
                remedy = "give every AS space of its own"
                mistakes.add(*_overlap(claim, other), remedy)
            elif other.network == claim.network:
                mistakes.add(claim.path, f"{claim.network} stands twice", "remove one")
        open_claims.append(claim)


def _check_apart(wires: list[Claim], mistakes: Mistakes) -> None:
    """No two links, LANs, loopbacks or access subnets may share an address."""
    widest: Claim | None = None
    key = sorted(wires, key=lambda c: (c.network.version, int(c.network.network_address), c.network.prefixlen))
    for claim in key:
        if (
            widest is not None
            and widest.network.version == claim.network.version
            and int(widest.network.broadcast_address) >= int(claim.network.network_address)
        ):
            mistakes.add(*_overlap(claim, widest), "give every link and loopback addresses of its own")
        if (
            widest is None
            or widest.network.version != claim.network.version
            or int(claim.network.broadcast_address) > int(widest.network.broadcast_address)
        ):
            widest = claim


def _overlap(claim: Claim, other: Claim) -> tuple[Path, str]:
    if claim.network == other.network:
        return claim.path, f"{claim.network} is {path_text(other.path)} already"
    return claim.path, f"{claim.network} overlaps {other.network} of {path_text(other.path)}"


def _check_pins(census: Census, mistakes: Mistakes) -> None:
    """Pinned single addresses: inside their LAN or AS, and each once."""
    document = census.document
    router_ids: dict[str, str] = {}
    for name, asys in document.ases.items():
        for family in (4, 6):
            stated = [p for p in asys.infrastructure if ipaddress.ip_network(p).version == family]
            if len(stated) > 1:
                mistakes.add(("ases", name, "infrastructure"), f"two IPv{family} prefixes", "state one per family")
        for router, words in asys.routers.items():
            pin = words.router_id
            path: Path = ("ases", name, "routers", router, "router-id")
            if pin is None:
                continue
            if ":" in pin or pin == "0.0.0.0":
                mistakes.add(path, f"{pin} is not a BGP identifier (RFC 6286)", "write it like 198.19.0.1")
            elif pin in router_ids:
                mistakes.add(path, f"{pin} is {router_ids[pin]}'s already", "give every router its own")
            router_ids.setdefault(pin, router)
        for host, host_words in asys.hosts.items():
            for key, text in (("v4", host_words.v4), ("v6", host_words.v6)):
                if text is None:
                    continue
                interface = ipaddress.ip_interface(text)
                path = ("ases", name, "hosts", host, key)
                own = [ipaddress.ip_network(p) for p in asys.prefixes]
                if not any(n.version == interface.version and interface.ip in n for n in own):
                    mistakes.add(path, f"{text} is in no prefix of {name!r}", f"add its prefix to ases.{name}.prefixes")
                _check_usable(interface, path, mistakes)
    for name, exchange in document.exchanges.items():
        used: dict[str, str] = {}
        for router, member in exchange.members.items():
            for key, address, lan in (("v4", member.v4, exchange.v4), ("v6", member.v6, exchange.v6)):
                if address is None:
                    continue
                path = ("exchanges", name, "members", router, key)
                if lan is None:
                    mistakes.add(path, f"pinned, but the LAN's {key} is not", f"state {key}: of exchanges.{name}")
                elif ipaddress.ip_address(address) not in ipaddress.ip_network(lan):
                    mistakes.add(path, f"{address} is not on the LAN {lan}", "use an address of the LAN")
                else:
                    length = lan.partition("/")[2]
                    _check_usable(ipaddress.ip_interface(f"{address}/{length}"), path, mistakes)
                if address in used:
                    mistakes.add(path, f"{address} is {used[address]}'s already", "give every port its own")
                used.setdefault(address, router)


def _check_usable(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface, path: Path, mistakes: Mistakes) -> None:
    """Not the network's own address, nor IPv4 broadcast, and room for a gateway beside it."""
    network = interface.network
    if network.prefixlen >= network.max_prefixlen:
        mistakes.add(path, f"{interface} leaves no address for a router", "state a shorter length, e.g. /30 or /64")
    elif network.prefixlen < network.max_prefixlen - 1 and (
        interface.ip == network.network_address or (network.version == 4 and interface.ip == network.broadcast_address)
    ):
        mistakes.add(path, f"{interface.ip} is not usable by an interface in {network}", "use another address")
