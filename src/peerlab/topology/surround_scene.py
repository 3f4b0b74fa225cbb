"""What stands around a router: neighbours taken for something, placed, named, and the space they hold.

What had to be made up or guessed on the way is kept in words, for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_interface, ip_network

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.errors import InputError, Problem
from peerlab.topology.addressing import INFRASTRUCTURE
from peerlab.topology.check import RESERVED_ASN
from peerlab.topology.check_address import LINK_TEST, NOT_UNICAST
from peerlab.topology.pool import Network, Pool
from peerlab.topology.surround import RouterReading
from peerlab.topology.surround_device import Device, Placed, devices
from peerlab.topology.surround_place import places, turned
from peerlab.topology.surround_relation import Kind, judge
from peerlab.topology.surround_word import slug

MADE_UP = {4: (ip_network("198.18.0.0/16"), 24), 6: (ip_network("2001:db8:1000::/36"), 48)}
"""Where prefixes come from that the configuration does not name: RFC 2544 and RFC 3849."""
DOCUMENTATION_ASNS = (*range(65551, 65535, -1), *range(64511, 64495, -1))
_RESERVED_NAME = re.compile(r"pc|svc|(?:as|rs)\d+-\d+|(?:ms-edge|another|lan)-.*")
"""Names that others have, or may have, in the lab."""
MOST_PREFIXES = 8
"""Prefixes of a neighbour, out of those that its import policy names."""
LONGEST = {4: 24, 6: 48}


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the lab is to be like. ``roles`` overrule by AS number; ``addresses`` are the router's own with length."""

    metro: str
    location: str
    region: str
    roles: Mapping[int, Kind] = {}
    addresses: tuple[str, ...] = ()


class Scene:
    """Everybody around the router. Raises InputError when nobody is left to stand there.

    ``untold`` grows while the scene is described.
    """

    def __init__(self, reading: RouterReading, wishes: Wishes) -> None:
        self.reading = reading
        self.wishes = wishes
        self.untold = list(reading.skipped)
        used = {reading.asn, *(one.asn for one in reading.neighbours)}
        self._free_asns: Iterator[int] = (asn for asn in DOCUMENTATION_ASNS if asn not in used)
        self.placed = self._listed()
        found, self.lans = devices(self.placed)
        self.devices = self._with_one_operator_each(found)
        self.router = slug(reading.name, "router")
        if _RESERVED_NAME.fullmatch(self.router):
            self.router = "router"
        self.own_as = f"as{reading.asn}"
        self.names = dict(self._named())
        self.space = list(self._own_space())
        self._pools = {version: Pool(whole, self._stated()) for version, (whole, _) in MADE_UP.items()}
        self._holders: list[tuple[Network, int]] = [(network, reading.asn) for network in self.space]

    # -- what is where -----------------------------------------------------------------------------------------------

    def _listed(self) -> list[tuple[int, Placed]]:
        """Every usable neighbour with the AS number it has in the lab."""
        reading, source = self.reading, self.reading.source
        usable = []
        lines: dict[str, int] = {}
        ours = {str(ip_interface(address).ip) for address in (*reading.addresses, *self.wishes.addresses)}
        ours |= {one.local_address for one in reading.neighbours if one.local_address is not None}
        for one in reading.neighbours:
            network = ip_network(one.address) if one.address is not None else None
            first = lines.setdefault(one.address or one.name, one.line)
            if first != one.line:
                self.untold.append(f"line {one.line}: {one.name}: the address stands in line {first} too: left out")
            elif one.address in ours:
                self.untold.append(f"line {one.line}: {one.name}: {one.address} is our own address: left out")
            elif one.asn in RESERVED_ASN:
                self.untold.append(f"line {one.line}: {one.name} has the reserved AS{one.asn}: left out")
            elif network is not None and _is_unusable(network):
                self.untold.append(f"line {one.line}: {one.name}: {one.address} is not unicast space: left out")
            else:
                usable.append(one)
        if not usable:
            raise InputError([Problem(source, "leaves no neighbour for a lab", "; ".join(self.untold))])
        judgements = judge(usable, self.wishes.roles)
        kinds = [judgement.kind for judgement in judgements]
        own = [address for address in (*self.wishes.addresses, *reading.addresses) if self._is_usable_here(address)]
        where = places(usable, kinds, own)
        taken = [place.network for place in where if place.network is not None]
        found = []
        for one, judgement, place in zip(usable, judgements, where, strict=True):
            wrong = {Kind.PROVIDER: place.first, Kind.CUSTOMER: not place.first}.get(judgement.kind, False)
            if place.network is not None and not place.lan and wrong:
                place = turned(place, one.address or "", taken)
                taken += [place.network] if place.network is not None else []
            asn = one.asn
            if asn is None:
                asn = self.free_asn()
                self.untold.append(f"line {one.line}: {one.name}: any other AS may be there: AS{asn} is made up")
            placed = Placed(neighbour=one, judgement=judgement, place=place)
            self._doubts(placed)
            found.append((asn, placed))
        return found

    def _is_usable_here(self, address: str) -> bool:
        """Whether a network of ours leaves the lab space to live in."""
        if _covers_lab(ip_interface(address).network):
            self.untold.append(f"our address {address}: a network so wide is no network in a lab; passed over")
            return False
        return True

    def _with_one_operator_each(self, found: Sequence[Device]) -> tuple[Device, ...]:
        """A LAN has the route servers of one AS; other ASes' are peers, and so is one that has no LAN."""
        operators: dict[int, int] = {}
        demoted: set[int] = set()
        for device in found:
            if device.kind is Kind.ROUTE_SERVER:
                operator = None if device.lan is None else operators.setdefault(device.lan, device.asn)
                if operator != device.asn:
                    demoted.add(device.asn)
                    said = "has no LAN" if operator is None else f"is on the LAN of AS{operator}'s route servers"
                    self.untold.append(f"the route server in AS{device.asn} {said}: a peer in the lab")
        return tuple(
            msgspec.structs.replace(device, kind=Kind.PEER) if device.asn in demoted else device for device in found
        )

    def metro_of_lan(self, number: int) -> str:
        """Its metro: one of its own where an operator has several LANs, for route servers stand where they are."""
        return self.wishes.metro if number == 0 or not self._scattered() else f"{self.wishes.metro}-{number + 1}"

    def metro_of(self, device: Device) -> str:
        """The metro of a router: its LAN's."""
        return self.wishes.metro if device.lan is None else self.metro_of_lan(device.lan)

    def metros(self) -> tuple[str, ...]:
        """Every metro there is."""
        return tuple(dict.fromkeys([self.wishes.metro, *(self.metro_of_lan(n) for n in range(len(self.lans)))]))

    def _scattered(self) -> bool:
        places = {(d.asn, d.lan) for d in self.devices if d.kind is Kind.ROUTE_SERVER}
        return len(places) > len({asn for asn, _ in places})

    def _doubts(self, placed: Placed) -> None:
        one, place, at = placed.neighbour, placed.place, f"line {placed.neighbour.line}: {placed.neighbour.name}"
        if placed.judgement.strength == 0:
            self.untold.append(f"{at}: taken for a peer; --role {one.asn or 'ASN'}=ROLE says what it is")
        if place.guess:
            self.untold.append(f"{at}: {place.guess}")
        if one.multihop and not one.internal:
            self.untold.append(f"{at}: multihop; in the lab it is a link away, on made-up addresses")
        if one.address is not None and set(one.carries) - {one.family}:
            other = ", ".join(f.value for f in one.carries if f is not one.family)
            self.untold.append(f"{at}: carries {other} too; a lab has one session per family, of its address's")
        if one.local_asn not in (None, self.reading.asn):
            self.untold.append(f"{at}: speaks as AS{one.local_asn}; in the lab as AS{self.reading.asn}")
        if one.disabled:
            self.untold.append(f"{at}: is shut down in the configuration; in the lab it is there and up")
        if placed.kind is Kind.MICROSOFT and place.network is not None and not place.lan and not place.first:
            self.untold.append(
                f"{at}: Microsoft is at the first address of {place.network}; it takes the second of a Direct "
                "connection, and the lab does so"
            )

    def _stated(self) -> list[Network]:
        """Everything the configuration names, which nothing made up may overlap."""
        found = [*self.space]
        for one in self.reading.neighbours:
            found += [ip_network(prefix) for policy in one.imports.values() for prefix in policy.prefixes]
            found += [ip_network(address) for address in (one.address, one.local_address) if address]
        found += [placed.place.network for _, placed in self.placed if placed.place.network is not None]
        return [network for network in found if not _covers_lab(network)]

    def _own_space(self) -> Iterator[Network]:
        for prefix in self.reading.originated:
            network = ip_network(prefix)
            if _is_unusable(network):
                self.untold.append(f"{prefix} is not unicast space: not originated in the lab")
            elif any(p.place.lan and p.place.network and _meet(p.place.network, network) for _, p in self.placed):
                self.untold.append(f"{prefix} meets a LAN: nobody originates a LAN's prefix, not in the lab either")
            elif _covers_lab(network):
                self.untold.append(f"{prefix} covers space that the lab itself lives in: not originated")
            else:
                yield network

    def free_asn(self) -> int:
        """An AS number that nobody has, of the documentation's (RFC 5398)."""
        asn = next(self._free_asns, None)
        if asn is None:
            problem = Problem(self.reading.source, "leaves no documentation AS number to make up", "cut it")
            raise InputError([problem])
        return asn

    def made_up(self, version: int) -> Prefix:
        network = self._pools[version].subnet(MADE_UP[version][1])
        if network is None:
            problem = Problem(self.reading.source, "names so much space that none is left to make up", "cut it")
            raise InputError([problem])
        return Prefix(str(network))

    def prefixes(self, asn: int, named: Sequence[Prefix], versions: Sequence[int]) -> list[Prefix]:
        """What an AS originates: prefixes that our import policy names, a made-up one in a family that names none."""
        kept: list[Prefix] = []
        for prefix in named:
            network = ip_network(prefix)
            holder = next((a for n, a in self._holders if n.version == network.version and n.overlaps(network)), None)
            if not 8 <= network.prefixlen <= LONGEST[network.version] or len(kept) >= MOST_PREFIXES:
                continue
            if _is_unusable(network) or _covers_lab(network):
                continue
            if holder is not None:
                if holder != asn:
                    said = f"{prefix} of AS{asn} lies in AS{holder}'s space; a lab gives it to one of them: AS{holder}"
                    self.untold.append(said)
                continue
            self._holders.append((network, asn))
            kept.append(prefix)
        for version in versions:
            if not any(ip_network(prefix).version == version for prefix in kept):
                kept.append(self.made_up(version))
        return kept

    def _named(self) -> Iterator[tuple[int, str]]:
        """A router's name per device, by its place in the list."""
        counts: dict[int, int] = {}
        for number, device in enumerate(self.devices):
            counts[device.asn] = counts.get(device.asn, 0) + 1
            stem = "ms-edge" if device.kind is Kind.MICROSOFT else f"as{device.asn}"
            if device.kind is Kind.ROUTE_SERVER:
                stem = f"rs{device.asn}"
            yield number, f"{stem}-{counts[device.asn]}"

    def is_free(self, address: str) -> bool:
        """Whether a loopback can have it: in no network that stands here."""
        host = ip_network(address)
        networks = [placed.place.network for _, placed in self.placed if placed.place.network is not None]
        return not any(n.version == host.version and n.overlaps(host) for n in networks)


def _is_unusable(network: Network) -> bool:
    return any(n.version == network.version and n.overlaps(network) for n in (*NOT_UNICAST, *LINK_TEST))


def _meet(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _covers_lab(network: Network) -> bool:
    """Whether nothing would be left to derive addresses or prefixes from."""
    ranges: list[Network] = [*INFRASTRUCTURE.values(), *(whole for whole, _ in MADE_UP.values())]
    return any(
        r.version == network.version and r.network_address in network and r.broadcast_address in network for r in ranges
    )
