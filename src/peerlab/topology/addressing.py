"""Third pass: addresses. Pinned ones are kept, all others follow from the order of the document.

Space for loopbacks and links is carved per AS from 198.19.0.0/16 and 2001:db8:f000::/36, LANs are whole
documentation networks, hosts live in what their router originates. Everything is documentation or benchmarking
space, so that no lab ever speaks of somebody's network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.topology.census import Census
from peerlab.topology.document import HostWords
from peerlab.topology.mistake import Mistakes
from peerlab.topology.model import LinkPurpose
from peerlab.topology.pool import Network, Pool, end_addresses
from peerlab.topology.wiring import Wire

PUBLIC_RANGES = tuple(
    Prefix(text)
    for text in (
        "192.0.2.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    )
)
"""Documentation and benchmarking ranges (RFC 5737, 2544, 3849, 9637): public inside a lab."""

INFRASTRUCTURE: dict[int, Network] = {
    4: ipaddress.ip_network("198.19.0.0/16"),
    6: ipaddress.ip_network("2001:db8:f000::/36"),
}
"""Where an AS's space for loopbacks and links is carved from."""

LANS: dict[int, tuple[Network, ...]] = {
    4: tuple(ipaddress.ip_network(text) for text in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")),
    6: tuple(ipaddress.ip_network(f"2001:db8:e{number:03x}::/64") for number in range(16)),
}
"""Exchange LANs, in the order they are given to exchanges."""

_WIRE_LENGTH = {4: 31, 6: 127}
_ACCESS_LENGTH = {4: 30, 6: 64}
_BLOCK_LENGTHS = {4: (24, 26, 28), 6: (48,)}

PerFamily = dict[tuple[str, int], str]
"""Text by (name, IP version)."""


class AddressPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Every address of the lab, by (name, 4 or 6).

    ``blocks`` per AS, ``lans`` per exchange, ``loopbacks`` per router; ``ends`` per wire: the addresses with length
    of its first and second end. A LAN port's second end is the switch, which has none.
    """

    blocks: dict[tuple[str, int], Prefix]
    lans: dict[tuple[str, int], Prefix]
    loopbacks: dict[tuple[str, int], Address]
    ends: dict[tuple[str, int], tuple[str, str]]


def plan(census: Census, wires: tuple[Wire, ...], mistakes: Mistakes) -> AddressPlan:
    """Derive every address that is not pinned. Notes a mistake where the space does not suffice."""
    blocks: dict[tuple[str, int], Prefix] = {}
    lans: dict[tuple[str, int], Prefix] = {}
    loopbacks: dict[tuple[str, int], Address] = {}
    ends: dict[tuple[str, int], tuple[str, str]] = {}
    for version in (4, 6):
        pinned = [n for n in _pinned(census, wires) if n.version == version]
        for name, block in _blocks(census, wires, version, pinned, mistakes):
            blocks[name, version] = Prefix(str(block))
            loopbacks.update(_loopbacks(census, name, block, mistakes))
            ends.update(_wire_ends(wires, name, block, pinned, mistakes))
        for name, lan in _lans(census, version, pinned, mistakes):
            lans[name, version] = Prefix(str(lan))
            ends.update(_port_ends(census, wires, name, lan, mistakes))
    ends.update(_access_ends(census, wires, mistakes))
    return AddressPlan(blocks=blocks, lans=lans, loopbacks=loopbacks, ends=ends)


def pinned_on_wire(wire: Wire) -> Iterator[Network]:
    """The prefixes that the document gives to a wire."""
    for text in (wire.v4, wire.v6):
        if text is not None:
            yield ipaddress.ip_network(text)


def _pinned(census: Census, wires: tuple[Wire, ...]) -> Iterator[Network]:
    """Everything the document states, which nothing derived may overlap."""
    for asys in census.document.ases.values():
        yield from (ipaddress.ip_network(text) for text in (*asys.prefixes, *asys.infrastructure))
    yield from _pinned_interfaces(census, wires)


def _pinned_interfaces(census: Census, wires: tuple[Wire, ...]) -> Iterator[Network]:
    """What is stated of loopbacks, LANs and wires; it may lie in the space that an AS originates."""
    for asys in census.document.ases.values():
        for router in asys.routers.values():
            yield from (ipaddress.ip_network(a) for a in (router.loopback_v4, router.loopback_v6) if a)
    for exchange in census.document.exchanges.values():
        yield from (ipaddress.ip_network(text) for text in (exchange.v4, exchange.v6) if text)
    for wire in wires:
        yield from pinned_on_wire(wire)


def _blocks(
    census: Census, wires: tuple[Wire, ...], version: int, pinned: list[Network], mistakes: Mistakes
) -> Iterator[tuple[str, Network]]:
    """The infrastructure of each AS: as stated, else the next /24 (less when there are very many ASes)."""
    owned: dict[str, int] = {}
    for wire in wires:
        if wire.owner is not None:
            owned[wire.owner] = owned.get(wire.owner, 0) + 1
    for longest in _BLOCK_LENGTHS[version]:
        pool = Pool(INFRASTRUCTURE[version], pinned)
        found: list[tuple[str, Network]] = []
        for name, asys in census.document.ases.items():
            stated = [n for n in map(ipaddress.ip_network, asys.infrastructure) if n.version == version]
            half = max(len(asys.routers) + 1, 2 * owned.get(name, 0))
            needed = INFRASTRUCTURE[version].max_prefixlen - (half - 1).bit_length() - 1
            block = stated[0] if stated else pool.subnet(min(longest, needed))
            if block is None:
                break
            found.append((name, block))
        else:
            yield from found
            return
    mistakes.add(
        ("ases",),
        f"{INFRASTRUCTURE[version]} does not hold the infrastructure of {len(census.document.ases)} ASes",
        "state infrastructure: for the large ones",
    )


def _loopbacks(
    census: Census, name: str, block: Network, mistakes: Mistakes
) -> Iterator[tuple[tuple[str, int], Address]]:
    """Lower half of the block, from its second address on."""
    routers = census.document.ases[name].routers
    stated = {r: w.loopback_v4 if block.version == 4 else w.loopback_v6 for r, w in routers.items()}
    pool = Pool(block, [ipaddress.ip_network(a) for a in stated.values() if a], start=1)
    for router, pin in stated.items():
        address = pin or pool.address()
        if address is None:
            mistakes.add(("ases", name, "infrastructure"), f"{block} holds no more loopbacks", "state a larger prefix")
            return
        yield (router, block.version), Address(address)


def _wire_ends(
    wires: tuple[Wire, ...], name: str, block: Network, pinned: list[Network], mistakes: Mistakes
) -> Iterator[tuple[tuple[str, int], tuple[str, str]]]:
    """Upper half of the block, one /31 or /127 per wire."""
    inside = [n for n in pinned if n.prefixlen > block.prefixlen]
    pool = Pool(block, inside, start=block.num_addresses // 2)
    for wire in wires:
        if wire.owner != name:
            continue
        pin = wire.v4 if block.version == 4 else wire.v6
        network = ipaddress.ip_network(pin) if pin else pool.subnet(_WIRE_LENGTH[block.version])
        if network is None:
            mistakes.add(("ases", name, "infrastructure"), f"{block} holds no more links", "state a larger prefix")
            return
        yield (wire.id, block.version), end_addresses(network)


def _lans(census: Census, version: int, pinned: list[Network], mistakes: Mistakes) -> Iterator[tuple[str, Network]]:
    free = [lan for lan in LANS[version] if not any(lan.overlaps(n) for n in pinned)]
    for name, exchange in census.document.exchanges.items():
        pin = exchange.v4 if version == 4 else exchange.v6
        if pin is None and not free:
            key = "v4" if version == 4 else "v6"
            mistakes.add(("exchanges", name), "no documentation network is left for this LAN", f"state {key}: PREFIX")
            continue
        yield name, ipaddress.ip_network(pin) if pin else free.pop(0)


def _port_ends(
    census: Census, wires: tuple[Wire, ...], name: str, lan: Network, mistakes: Mistakes
) -> Iterator[tuple[tuple[str, int], tuple[str, str]]]:
    """LAN addresses: route servers first, then members as listed, from the network's second address on."""
    members = census.document.exchanges[name].members
    stated = {r: w.v4 if lan.version == 4 else w.v6 for r, w in members.items()}
    used = [ipaddress.ip_network(a) for a in stated.values() if a]
    broadcast = [ipaddress.ip_network(str(lan.broadcast_address))] if lan.version == 4 else []
    pool = Pool(lan, [*used, *broadcast], start=1)
    for wire in wires:
        if wire.exchange != name:
            continue
        address = stated.get(wire.ends[0]) or pool.address()
        if address is None:
            mistakes.add(("exchanges", name), f"{lan} holds no more members", "state a larger LAN")
            return
        yield (wire.id, lan.version), (f"{address}/{lan.prefixlen}", "")


def _access_ends(
    census: Census, wires: tuple[Wire, ...], mistakes: Mistakes
) -> Iterator[tuple[tuple[str, int], tuple[str, str]]]:
    """A /30 and a /64 per host out of its home prefix; the router has the first usable address, the host the next."""
    hosts = [
        (wire, census.document.ases[census.as_of[wire.ends[0]]].hosts[wire.ends[0]])
        for wire in wires
        if wire.purpose is LinkPurpose.ACCESS and wire.owner is None
    ]
    stated = [ipaddress.ip_interface(a).network for _, words in hosts for a in (words.v4, words.v6) if a]
    stated += _pinned_interfaces(census, wires)
    pools: dict[str, Pool] = {}
    for wire, words in hosts:
        for version, pin in ((4, words.v4), (6, words.v6)):
            if pin is not None:
                yield (wire.id, version), (pin, _gateway(pin))
                continue
            home = home_prefix(census, words, version)
            if home is None:
                continue
            network = ipaddress.ip_network(home)
            pool = pools.setdefault(home, Pool(network, stated))
            longest = network.max_prefixlen - 2
            subnet = pool.subnet(min(longest, max(_ACCESS_LENGTH[version], network.prefixlen)))
            if subnet is None:
                mistakes.add(wire.path, f"{home} holds no more hosts", f"state v{version}: ADDRESS/LENGTH")
                continue
            router, host = end_addresses(subnet)
            yield (wire.id, version), (host, router)


def home_prefix(census: Census, host: HostWords, version: int) -> Prefix | None:
    """The first prefix of a family that the host's router originates; None when there is none."""
    asys = census.asys(host.router)
    originates = asys.routers[host.router].originates
    prefixes = asys.prefixes if originates is None else originates
    return next((p for p in prefixes if ipaddress.ip_network(p).version == version), None)


def _gateway(pin: str) -> str:
    """The first usable address of a pinned host's subnet that is not the host's."""
    interface = ipaddress.ip_interface(pin)
    candidates: Iterable[str] = end_addresses(interface.network)
    return next(c for c in candidates if c != str(interface))
