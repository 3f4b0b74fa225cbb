"""Where a neighbour is put: on a link of two, on a LAN with others, behind a loopback, or wherever there is room.

A configuration seldom says the length of the networks it speaks over. Known addresses of the router decide; what is
left is guessed as an operator would number it, and the guess is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.topology.pool import Network, end_addresses
from peerlab.topology.surround import NeighbourReading
from peerlab.topology.surround_relation import Kind

LINK_LENGTHS = {4: range(31, 29, -1), 6: range(127, 63, -1)}
LAN_LENGTHS = {4: range(24, 30), 6: range(64, 121)}
"""Lengths of a LAN that is guessed, the usual one first."""
LAN_KNOWN = {4: 29, 6: 120}
"""A network that is longer is no LAN (``topology.check_address``)."""

Interface = IPv4Interface | IPv6Interface


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one session runs.

    ``network`` None: nothing is known, addresses are derived. ``lan``: it is a LAN, else a link of two. ``own`` is the
    router's address there; ``first`` whether that is the lower one of a link. ``guess`` tells what was guessed.
    """

    network: Network | None = None
    lan: bool = False
    own: str | None = None
    first: bool = True
    guess: str = ""


NOWHERE = Place()


def places(
    neighbours: Sequence[NeighbourReading], kinds: Sequence[Kind], own: Iterable[str]
) -> list[Place]:
    """A place per neighbour, in order. ``own`` are the router's addresses with length, as far as they are known."""
    return _Surveyor(neighbours, kinds, [ip_interface(text) for text in own]).places()


class _Surveyor:
    def __init__(
        self, neighbours: Sequence[NeighbourReading], kinds: Sequence[Kind], own: Sequence[Interface]
    ) -> None:
        self._neighbours = neighbours
        self._kinds = kinds
        self._own = own
        self._found: dict[int, Place] = {}

    def places(self) -> list[Place]:
        asked = [
            number
            for number, one in enumerate(self._neighbours)
            if one.address is not None and self._kinds[number] is not Kind.INTERNAL and not one.multihop
        ]
        self._by_known_networks(asked)
        self._by_own_address([number for number in asked if number not in self._found])
        self._by_themselves([number for number in asked if number not in self._found])
        self._apart()
        return [self._found.get(number, NOWHERE) for number in range(len(self._neighbours))]

    def _address(self, number: int) -> str:
        return self._neighbours[number].address or ""

    def _by_known_networks(self, asked: Sequence[int]) -> None:
        """An address of ours with its length, in whose network the neighbour is."""
        for interface in self._own:
            network = interface.network
            there = [n for n in asked if n not in self._found and self._fits(n, network, str(interface.ip))]
            if len(there) > 1 or network.prefixlen <= LAN_KNOWN[network.version] - (network.version == 4):
                wide = network.version == 6 and len(there) == 1 and self._kinds[there[0]] not in _ON_LANS
                link = link_of(str(interface.ip), self._address(there[0])) if wide else None
                for number in there:
                    self._found[number] = link or _on_lan(network, str(interface.ip))
            else:
                for number in there:
                    link = link_of(str(interface.ip), self._address(number))
                    if link is not None:
                        self._found[number] = link

    def _by_own_address(self, asked: Sequence[int]) -> None:
        """The session's own address is stated, its length is not."""
        shared = [self._neighbours[number].local_address for number in asked]
        for number in asked:
            one = self._neighbours[number]
            if one.local_address is None or (":" in one.local_address) is not (one.family is Family.IPV6):
                continue
            alone = shared.count(one.local_address) == 1 and self._kinds[number] not in _ON_LANS
            link = link_of(one.local_address, self._address(number)) if alone else None
            if link is not None:
                self._found[number] = link
                continue
            lan = self._joined(number) or lan_of([one.local_address, self._address(number)])
            if lan is not None:
                guess = f"that the LAN is {lan} is a guess"
                self._found[number] = _on_lan(lan, one.local_address, guess)

    def _by_themselves(self, asked: Sequence[int]) -> None:
        """Nothing is known but the neighbour's address."""
        for number in sorted(asked, key=lambda n: self._kinds[n] not in _ON_LANS):
            joined = self._joined(number)
            own = next((p.own for p in self._found.values() if p.network == joined and p.own is not None), None)
            if joined is None and self._kinds[number] in _ON_LANS:
                joined = lan_of([self._address(number)])
            if joined is not None:
                guess = f"that {joined} is the LAN it is on is a guess"
                self._found[number] = Place(network=joined, lan=True, own=own, guess=guess)
            else:
                self._found[number] = link_from(self._address(number))
                self._share(number)

    def _share(self, number: int) -> None:
        """Two neighbours at the two ends of one link are none of each other's: both are on a LAN with us."""
        place = self._found[number]
        other = next((n for n, p in self._found.items() if n != number and p.guess and _clash(p, place)), None)
        if other is None or self._address(other) == self._address(number):
            return
        lan = lan_of([self._address(other), self._address(number)])
        if lan is not None:
            shared = Place(network=lan, lan=True, guess=f"that {lan} is the LAN it is on is a guess")
            self._found[number] = self._found[other] = shared

    def _joined(self, number: int) -> Network | None:
        """A LAN known by now that holds the neighbour."""
        lans = ((p.network, p.own) for p in self._found.values() if p.lan and p.network is not None)
        return next((network for network, own in lans if self._fits(number, network, own)), None)

    def _fits(self, number: int, network: Network, own: str | None) -> bool:
        """Whether the neighbour can have its address in this network, beside us."""
        address = self._address(number)
        if ip_address(address) not in network or address == own:
            return False
        return network.prefixlen >= network.max_prefixlen - 1 or _usable(address, network)

    def _apart(self) -> None:
        """No two networks may overlap: guessed ones give way, at last to derived addresses."""
        for number, place in sorted(self._found.items(), key=lambda item: (bool(item[1].guess), item[0])):
            clash = [other for n, other in self._found.items() if n != number and _clash(place, other)]
            if not clash:
                continue
            if place.lan and place.guess:
                smaller = self._smaller(place)
                if smaller is not None:
                    for n, other in list(self._found.items()):
                        if other.network == place.network:
                            self._found[n] = msgspec.structs.replace(
                                other, network=smaller, guess=f"that the LAN is {smaller} is a guess"
                            )
                    continue
            if place.guess or all(not other.guess for other in clash):
                guess = f"{place.network} would overlap {clash[0].network}: its addresses are made up"
                self._found[number] = Place(guess=guess)

    def _smaller(self, place: Place) -> Network | None:
        """A longer guess for a LAN that still holds everybody on it and nobody else."""
        here = [n for n, other in self._found.items() if other.lan and other.network == place.network]
        hosts = [self._address(n) for n in here] + [place.own] * (place.own is not None)
        others = [other.network for n, other in self._found.items() if n not in here and other.network]
        return lan_of([host for host in hosts if host], others)


_ON_LANS = (Kind.ROUTE_SERVER, Kind.CLIENT)


def link_of(own: str, other: str) -> Place | None:
    """The link of two whose first and second address these are; None where no length makes them that."""
    if ip_address(own).version != ip_address(other).version:
        return None
    for length in LINK_LENGTHS[ip_address(own).version]:
        network = ip_network(f"{own}/{length}", strict=False)
        ends = tuple(end.partition("/")[0] for end in end_addresses(network))
        if ends in ((own, other), (other, own)):
            return Place(network=network, own=own, first=ends[0] == own)
    return None


def link_from(other: str) -> Place:
    """The link of two that this address is probably on: the middle two of four make a /30 (/126), else a /31 (/127)."""
    last = int(ip_address(other)) % 4
    version = ip_address(other).version
    length = {4: 31, 6: 127}[version] - (last in (1, 2))
    network = ip_network(f"{other}/{length}", strict=False)
    ends = [end.partition("/")[0] for end in end_addresses(network)]
    own = ends[0] if ends[1] == other else ends[1]
    guess = f"our address {own}/{length} is a guess: the configuration does not state it"
    return Place(network=network, own=own, first=ends[0] == own, guess=guess)


def turned(place: Place, other: str, taken: Sequence[Network]) -> Place:
    """A link whose ends stand the other way round than a lab numbers them, as the smallest LAN that holds both."""
    version = ip_address(other).version
    lengths = range(LAN_LENGTHS[version][-1], LAN_LENGTHS[version][0] - 1, -1)
    lan = lan_of([other, place.own or other], [n for n in taken if n != place.network], lengths)
    if lan is None:
        return Place(guess=f"the ends of {place.network} stand the other way round in a lab: addresses are made up")
    said = f"in a lab the ends of {place.network} stand the other way round: written as the LAN {lan}"
    return Place(network=lan, lan=True, own=place.own, guess=f"{place.guess}; {said}" if place.guess else said)


def lan_of(
    hosts: Sequence[str], others: Sequence[Network] = (), lengths: Iterable[int] | None = None
) -> Network | None:
    """The first LAN of these lengths (default: the usual one first) that holds these addresses as hosts and overlaps
    none of the others; None when there is none."""
    version = ip_address(hosts[0]).version
    for length in LAN_LENGTHS[version] if lengths is None else lengths:
        network = ip_network(f"{hosts[0]}/{length}", strict=False)
        inside = all(ip_address(h) in network and _usable(h, network) for h in hosts)
        if inside and not any(o.version == version and o.overlaps(network) for o in others):
            return network
    return None


def _on_lan(network: Network, own: str, guess: str = "") -> Place:
    """A place on a LAN, with our address where it is a host's there."""
    usable = ip_address(own) in network and _usable(own, network)
    return Place(network=network, lan=True, own=own if usable else None, guess=guess)


def _usable(host: str, network: Network) -> bool:
    address = ip_address(host)
    return address != network.network_address and not (network.version == 4 and address == network.broadcast_address)


def _clash(one: Place, other: Place) -> bool:
    if one.network is None or other.network is None or one.network.version != other.network.version:
        return False
    same_lan = one.lan and other.lan and one.network == other.network
    return one.network.overlaps(other.network) and not same_lan
