"""A topology written around one router's configuration: every neighbour that it names, on addresses of its own.

What the configuration says stands; what it does not say is made up of benchmarking and documentation space, and told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import pairwise

import msgspec

from peerlab.bgp.attributes import Family, Prefix
from peerlab.errors import InputError, Problem
from peerlab.topology.check import RESERVED_ASN
from peerlab.topology.check_address import LINK_TEST, NOT_UNICAST
from peerlab.topology.pool import Network, Pool
from peerlab.topology.surround import RouterReading
from peerlab.topology.surround_device import Device, Lan, Placed, devices
from peerlab.topology.surround_place import places, turned
from peerlab.topology.surround_relation import CLOUD_ASN, Kind, judge

OWN_ROLES = {
    Kind.PROVIDER: "transit",
    Kind.CUSTOMER: "customer",
    Kind.PEER: "isp",
    Kind.ROUTE_SERVER: "ixp",
    Kind.CLIENT: "isp",
}
MADE_UP = {4: (ip_network("198.18.0.0/16"), 24), 6: (ip_network("2001:db8:1000::/36"), 48)}
"""Where prefixes come from that the configuration does not name: RFC 2544 and RFC 3849."""
DOCUMENTATION_ASNS = (*range(65551, 65535, -1), *range(64511, 64495, -1))
MOST_PREFIXES = 8
"""Prefixes of a neighbour, out of those that its import policy names."""
LONGEST = {4: 24, 6: 48}
MOST_NEIGHBOURS = 120
"""Neighbour statements that one machine can still rehearse."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the lab is to be like. ``roles`` overrule by AS number; ``addresses`` are the router's own with length."""

    metro: str
    location: str
    region: str
    roles: Mapping[int, Kind] = {}
    addresses: tuple[str, ...] = ()


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The topology as YAML, what each neighbour was taken for and why, and what could not be told."""

    text: str
    taken: tuple[str, ...]
    untold: tuple[str, ...]


def surround(reading: RouterReading, wishes: Wishes) -> Surroundings:
    """The lab around a router. Raises InputError when it cannot stand in one."""
    if reading.asn == CLOUD_ASN:
        problem = Problem(reading.source, "is AS8075's own configuration", "a lab plays Microsoft's side itself")
        raise InputError([problem])
    if reading.asn in RESERVED_ASN:
        problem = Problem(reading.source, f"has the reserved AS{reading.asn}", "give the router a number of its own")
        raise InputError([problem])
    if len(reading.neighbours) > MOST_NEIGHBOURS:
        what = f"names {len(reading.neighbours)} neighbours, a lab takes {MOST_NEIGHBOURS}"
        raise InputError([Problem(reading.source, what, "take some of them out of a copy")])
    return _Writer(reading, wishes).surroundings()


class _Writer:
    def __init__(self, reading: RouterReading, wishes: Wishes) -> None:
        self._reading = reading
        self._wishes = wishes
        self._untold = list(reading.skipped)
        self._placed = self._listed()
        self._devices, self._lans = devices(self._placed)
        self._router = _slug(reading.name, "router")
        self._self = f"as{reading.asn}"
        self._names = dict(self._named())
        self._space = list(self._own_space())
        self._pools = {version: Pool(whole, self._stated()) for version, (whole, _) in MADE_UP.items()}
        self._holders: list[tuple[Network, int]] = [(network, reading.asn) for network in self._space]

    # -- what is where -----------------------------------------------------------------------------------------------

    def _listed(self) -> list[tuple[int, Placed]]:
        """Every usable neighbour with the AS number it has in the lab."""
        reading, source = self._reading, self._reading.source
        usable = []
        for one in reading.neighbours:
            network = ip_network(one.address) if one.address is not None else None
            if one.asn in RESERVED_ASN:
                self._untold.append(f"line {one.line}: {one.name} has the reserved AS{one.asn}: left out")
            elif network is not None and any(
                n.version == network.version and n.overlaps(network) for n in (*NOT_UNICAST, *LINK_TEST)
            ):
                self._untold.append(f"line {one.line}: {one.name}: {one.address} is not unicast space: left out")
            else:
                usable.append(one)
        if not usable:
            raise InputError([Problem(source, "leaves no neighbour for a lab", "; ".join(self._untold))])
        judgements = judge(usable, self._wishes.roles)
        kinds = [judgement.kind for judgement in judgements]
        where = places(usable, kinds, (*reading.addresses, *self._wishes.addresses))
        taken = [place.network for place in where if place.network is not None]
        free = iter(n for n in DOCUMENTATION_ASNS if n != reading.asn and all(n != one.asn for one in usable))
        found = []
        for one, judgement, place in zip(usable, judgements, where, strict=True):
            wrong = {Kind.PROVIDER: place.first, Kind.CUSTOMER: not place.first}.get(judgement.kind, False)
            if place.network is not None and not place.lan and wrong:
                place = turned(place, one.address or "", taken)
                taken += [place.network] if place.network is not None else []
            asn = one.asn
            if asn is None:
                asn = next(free, 0) or 64496
                self._untold.append(f"line {one.line}: {one.name}: any other AS may be there: AS{asn} is made up")
            placed = Placed(neighbour=one, judgement=judgement, place=place)
            self._doubts(placed)
            found.append((asn, placed))
        return found

    def _doubts(self, placed: Placed) -> None:
        one, place, at = placed.neighbour, placed.place, f"line {placed.neighbour.line}: {placed.neighbour.name}"
        if placed.judgement.strength == 0:
            self._untold.append(f"{at}: taken for a peer; --role {one.asn or 'ASN'}=ROLE says what it is")
        if place.guess:
            self._untold.append(f"{at}: {place.guess}")
        if one.multihop and not one.internal:
            self._untold.append(f"{at}: multihop; in the lab it is a link away, on made-up addresses")
        if one.address is not None and set(one.carries) - {one.family}:
            other = ", ".join(f.value for f in one.carries if f is not one.family)
            self._untold.append(f"{at}: carries {other} too; a lab has one session per family, of its address's")
        if one.local_asn not in (None, self._reading.asn):
            self._untold.append(f"{at}: speaks as AS{one.local_asn}; in the lab as AS{self._reading.asn}")
        if one.disabled:
            self._untold.append(f"{at}: is shut down in the configuration; in the lab it is there and up")
        if placed.kind is Kind.MICROSOFT and place.network is not None and not place.lan and not place.first:
            self._untold.append(
                f"{at}: Microsoft is at the first address of {place.network}; it takes the second of a Direct "
                "connection, and the lab does so"
            )

    def _stated(self) -> list[Network]:
        """Everything the configuration names, which nothing made up may overlap."""
        found = [*self._space]
        for one in self._reading.neighbours:
            found += [ip_network(prefix) for policy in one.imports.values() for prefix in policy.prefixes]
            found += [ip_network(address) for address in (one.address, one.local_address) if address]
        found += [placed.place.network for _, placed in self._placed if placed.place.network is not None]
        return found

    def _own_space(self) -> Iterator[Network]:
        for prefix in self._reading.originated:
            network = ip_network(prefix)
            if any(n.version == network.version and n.overlaps(network) for n in (*NOT_UNICAST, *LINK_TEST)):
                self._untold.append(f"{prefix} is not unicast space: not originated in the lab")
            else:
                yield network

    def _made_up(self, version: int) -> Prefix:
        network = self._pools[version].subnet(MADE_UP[version][1])
        if network is None:
            problem = Problem(self._reading.source, "names so much space that none is left to make up", "cut it")
            raise InputError([problem])
        return Prefix(str(network))

    def _prefixes(self, asn: int, named: Sequence[Prefix], versions: Sequence[int]) -> list[Prefix]:
        """What an AS originates: prefixes that our import policy names, a made-up one in a family that names none."""
        kept: list[Prefix] = []
        for prefix in named:
            network = ip_network(prefix)
            holder = next((a for n, a in self._holders if n.version == network.version and n.overlaps(network)), None)
            if not 8 <= network.prefixlen <= LONGEST[network.version] or len(kept) >= MOST_PREFIXES:
                continue
            if any(n.version == network.version and n.overlaps(network) for n in (*NOT_UNICAST, *LINK_TEST)):
                continue
            if holder is not None:
                if holder != asn:
                    said = f"{prefix} of AS{asn} lies in AS{holder}'s space; a lab gives it to one of them: AS{holder}"
                    self._untold.append(said)
                continue
            self._holders.append((network, asn))
            kept.append(prefix)
        for version in versions:
            if not any(ip_network(prefix).version == version for prefix in kept):
                kept.append(self._made_up(version))
        return kept

    def _named(self) -> Iterator[tuple[int, str]]:
        """A router's name per device, by its place in the list."""
        counts: dict[int, int] = {}
        for number, device in enumerate(self._devices):
            counts[device.asn] = counts.get(device.asn, 0) + 1
            stem = "ms-edge" if device.kind is Kind.MICROSOFT else f"as{device.asn}"
            if device.kind is Kind.ROUTE_SERVER:
                stem = f"rs{device.asn}"
            yield number, f"{stem}-{counts[device.asn]}"

    # -- the text ----------------------------------------------------------------------------------------------------

    def surroundings(self) -> Surroundings:
        lines = [*self._head(), "", "metros:"]
        location, region = _text(self._wishes.location), _text(self._wishes.region)
        lines.append(f"  {self._wishes.metro}: {{location: {location}, region: {region}}}")
        lines += ["", "ases:", *self._own()]
        for asn in dict.fromkeys(device.asn for device in self._devices):
            if asn != self._reading.asn:
                lines += ["", *self._neighbour_as(asn)]
        others, exchanges = self._exchanges()
        lines += [*others, *exchanges, *self._links(), *self._peerings()]
        taken = tuple(self._sentence(asn, placed) for asn, placed in self._placed)
        return Surroundings(
            text="\n".join(lines) + "\n",
            taken=taken,
            untold=tuple(dict.fromkeys(_comment(text) for text in self._untold)),
        )

    def _head(self) -> Iterator[str]:
        reading = self._reading
        source = _comment(reading.source)
        yield f"# The surroundings of AS{reading.asn}: written by `peerlab surround` from {source}."
        yield "# Every neighbour that it names, at its address; what it announces is made up unless a policy names it."
        yield f"# {self._router} itself runs {reading.daemon.upper()} with a configuration of peerlab's, which follows from"
        yield "# what stands here: its neighbours, what they are to it, and its prefixes."
        yield f"name: {_slug(f'around-{self._router}', 'around')}"

    def _sentence(self, asn: int, placed: Placed) -> str:
        one = placed.neighbour
        where = f"{one.name}, AS{asn}" + (f" at {one.address}" if one.address not in (None, one.name) else "")
        on = "behind a loopback" if placed.kind is Kind.INTERNAL else "on made-up addresses"
        if placed.kind is not Kind.INTERNAL and placed.place.network is not None:
            on = f"on the {'LAN' if placed.place.lan else 'link'} {placed.place.network}"
        return _comment(f"line {one.line}: {where}: {placed.kind}, by {placed.judgement.why}; {on}")

    def _own(self) -> Iterator[str]:
        reading = self._reading
        mine = [(number, d) for number, d in enumerate(self._devices) if d.asn == reading.asn]
        prefixes = [Prefix(str(network)) for network in self._space]
        for version in (4, 6):
            if not any(network.version == version for network in self._space):
                prefixes.append(self._made_up(version))
                self._untold.append(f"no IPv{version} prefix that it originates was found: {prefixes[-1]} is made up")
        is_server = any(d.kind is Kind.CLIENT for d in self._devices)
        yield f"  {self._self}:"
        yield f"    asn: {reading.asn}"
        yield f"    role: {'ixp' if is_server else 'isp'}"
        if not is_server:
            yield f"    prefixes: {_listing(prefixes)}"
        for key, kind in (("providers", Kind.PROVIDER), ("peers", Kind.PEER)):
            them = dict.fromkeys(f"as{d.asn}" for d in self._devices if d.kind is kind)
            if them:
                yield f"    {key}: [{', '.join(them)}]"
        yield "    routers:"
        pins = [f"kind: {reading.daemon}", *self._own_pins()]
        if mine:
            pins.append(f"originates: {_listing(prefixes)}")
        yield f"      {self._router}: {{{', '.join(pins)}}}"
        for number, device in mine:
            pinned = [f"loopback-{_key(f)}: {_text(one.neighbour.address)}" for f, one in device.sessions.items()
                      if one.neighbour.address is not None and self._is_free(one.neighbour.address)]
            yield from self._notes(device)
            yield f"      {self._names[number]}: {{{', '.join([*pinned, 'originates: []'])}}}"
        if mine:
            yield "    backbone:"
            for number, _ in mine:
                yield f"      - {{between: [{self._router}, {self._names[number]}]}}"
        reflected = any(one.neighbour.reflector_client for _, d in mine for one in d.sessions.values())
        if reflected:
            yield f"    reflectors: [{self._router}]"
        if not is_server:
            yield "    hosts:"
            yield f"      pc: {{router: {self._router}}}"

    def _own_pins(self) -> Iterator[str]:
        """Our router id, and the loopbacks that internal sessions run from."""
        if self._reading.router_id is not None and self._reading.router_id != "0.0.0.0":
            yield f"router-id: {self._reading.router_id}"
        for family in Family:
            local = next(
                (
                    placed.neighbour.local_address
                    for _, placed in self._placed
                    if placed.kind is Kind.INTERNAL and placed.neighbour.family is family
                    if placed.neighbour.local_address is not None
                ),
                None,
            )
            if local is not None and self._is_free(local):
                yield f"loopback-{_key(family)}: {_text(local)}"

    def _is_free(self, address: str) -> bool:
        """Whether a loopback can have it: in no network that stands here."""
        host = ip_network(address)
        networks = [placed.place.network for _, placed in self._placed if placed.place.network is not None]
        return not any(n.version == host.version and n.overlaps(host) for n in networks)

    def _notes(self, device: Device) -> Iterator[str]:
        for one in device.placed:
            described = f" ({one.neighbour.description})" if one.neighbour.description else ""
            yield _comment(f"      # {self._sentence(device.asn, one)}{described}", 6)

    def _neighbour_as(self, asn: int) -> Iterator[str]:
        here = [(number, d) for number, d in enumerate(self._devices) if d.asn == asn]
        kind = here[0][1].kind
        name = _as_name(here[0][1])
        named = [
            prefix
            for _, d in here
            for one in d.placed
            for policy in one.neighbour.imports.values()
            for prefix in policy.prefixes
        ]
        yield f"  {name}:"
        yield f"    asn: {asn}"
        yield f"    role: {'cloud' if kind is Kind.MICROSOFT else OWN_ROLES[kind]}"
        if kind is not Kind.ROUTE_SERVER:
            spoken = {f for _, d in here for f in d.sessions} if kind is not Kind.MICROSOFT else set(Family)
            versions = [version for version, family in ((4, Family.IPV4), (6, Family.IPV6)) if family in spoken]
            prefixes = self._prefixes(asn, [] if kind in (Kind.MICROSOFT, Kind.PROVIDER) else named, versions)
            yield f"    prefixes: {_listing(prefixes)}"
        if kind is Kind.CUSTOMER:
            yield f"    providers: [{self._self}]"
        yield "    routers:"
        for number, device in here:
            yield from self._notes(device)
            place = f" {{metro: {self._wishes.metro}}}" if kind is Kind.MICROSOFT else ""
            yield f"      {self._names[number]}:{place}"
        if len(here) > 1 and kind is not Kind.ROUTE_SERVER:
            yield "    backbone:"
            for (one, _), (other, _) in pairwise(here):
                yield f"      - {{between: [{self._names[one]}, {self._names[other]}], cost: 1}}"
        if kind is Kind.MICROSOFT:
            yield "    hosts:"
            yield f"      svc: {{router: {self._names[here[0][0]]}}}"

    # -- wires ---------------------------------------------------------------------------------------------------------

    def _exchanges(self) -> tuple[list[str], list[str]]:
        """An AS that is made up per LAN whose route servers would have nobody else, and the LANs."""
        others: list[str] = []
        lines: list[str] = ["", "exchanges:"] if self._lans else []
        for number, lan in enumerate(self._lans):
            here = [(n, d) for n, d in enumerate(self._devices) if d.lan == number]
            servers = [(n, d) for n, d in here if d.kind is Kind.ROUTE_SERVER]
            clients = [d for _, d in here if d.kind is Kind.CLIENT]
            lines += [f"  lan-{number + 1}:"]
            if servers or clients:
                operator = _as_name(servers[0][1]) if servers else self._self
                lines.append(f"    operator: {operator}")
            for family, network in lan.networks.items():
                lines.append(f"    {_key(family)}: {_text(str(network))}")
            lines += ["    members:", self._own_port(lan, servers, number)]
            for n, device in here:
                words = [f"{_key(f)}: {_text(one.neighbour.address)}" for f, one in device.sessions.items()
                         if one.neighbour.address is not None and one.place.network == lan.networks.get(f)]
                if device.kind is Kind.CLIENT:
                    words += self._session(device)
                lines.append(f"      {self._names[n]}: {{{', '.join(words)}}}")
            if servers and len({d.asn for _, d in here} - {servers[0][1].asn, CLOUD_ASN}) == 0:
                others += self._another(number)
                lines.append(f"      another-{number + 1}-1:")
            alone = {d.asn: d for _, d in here if d.kind in (Kind.PEER, Kind.PROVIDER, Kind.CUSTOMER)}
            if alone:
                lines.append("    bilateral:")
            for device in alone.values():
                words = self._session(device)
                options = f", {', '.join(words)}" if words else ""
                lines.append(f"      - {{between: [{self._self}, {_as_name(device)}]{options}}}")
        return others, lines

    def _own_port(self, lan: Lan, servers: Sequence[tuple[int, Device]], number: int) -> str:
        words = [f"{_key(family)}: {_text(address)}" for family, address in lan.own.items()]
        for family in lan.networks.keys() - lan.own.keys():
            self._untold.append(f"our own {family.value} address on {lan.networks[family]} is made up; say --address")
        if servers:
            asns = {d.asn for _, d in servers}
            if len(asns) > 1:
                self._untold.append(f"lan-{number + 1} has route servers of several ASes; a lab has those of one")
            words += self._session(servers[0][1], [d for _, d in servers])
        return f"      {self._router}: {{{', '.join(words)}}}"

    def _another(self, number: int) -> list[str]:
        used = {self._reading.asn, *(device.asn for device in self._devices)}
        asn = [n for n in DOCUMENTATION_ASNS if n not in used][number]
        self._untold.append(f"lan-{number + 1}: AS{asn} is made up, for the route servers have nobody else to speak of")
        return [
            "",
            f"  another-{number + 1}:  # made up, so that the route servers have something to say",
            f"    asn: {asn}",
            "    role: isp",
            f"    prefixes: {_listing([self._made_up(version) for version in (4, 6)])}",
            "    routers:",
            f"      another-{number + 1}-1:",
        ]

    def _links(self) -> Iterator[str]:
        first = True
        for number, device in enumerate(self._devices):
            if device.lan is not None or device.kind in (Kind.MICROSOFT, Kind.INTERNAL):
                continue
            if first:
                yield from ("", "links:")
            first = False
            order = [self._router, self._names[number]]
            networks = self._networks(device)
            places = [one.place for f, one in device.sessions.items() if f in networks]
            if places and not places[0].first:
                order.reverse()
            words = [f"between: [{', '.join(order)}]"]
            words += [f"{_key(family)}: {_text(str(network))}" for family, network in networks.items()]
            words += self._session(device)
            yield f"  - {{{', '.join(words)}}}"

    def _networks(self, device: Device) -> dict[Family, Network]:
        found: dict[Family, Network] = {}
        sides: set[bool] = set()
        for family, one in device.sessions.items():
            if one.place.network is None or one.place.lan:
                continue
            if sides and one.place.first not in sides and device.kind is not Kind.MICROSOFT:
                said = "IPv4 and IPv6 are numbered from different ends: IPv6 is made up"
                self._untold.append(f"{one.neighbour.name}: {said}")
                continue
            sides.add(one.place.first)
            found[family] = one.place.network
        return found

    def _peerings(self) -> Iterator[str]:
        edges = [(n, d) for n, d in enumerate(self._devices) if d.kind is Kind.MICROSOFT]
        direct = [(n, d) for n, d in edges if d.lan is None]
        lans = sorted({d.lan for _, d in edges if d.lan is not None})
        if edges:
            yield from ("", "peerings:")
        if direct:
            yield from (f"  {self._self}-direct:", f"    peer: {self._self}", f"    metro: {self._wishes.metro}")
            yield "    connections:"
            for position, (number, device) in enumerate(direct, 1):
                words = [f"between: [{self._names[number]}, {self._router}]"]
                words += [f"prefix-{_key(f)}: {_text(str(n))}" for f, n in self._networks(device).items()]
                words += self._session(device)
                yield f"      link-{position}: {{{', '.join(words)}}}"
        is_server = any(d.kind is Kind.CLIENT for d in self._devices)
        for lan in lans:
            kind = "type: IxRs" if is_server else "kind: Exchange"
            device = next(d for _, d in edges if d.lan == lan)
            words = [f"exchange: lan-{lan + 1}", *self._session(device)]
            yield from (f"  {self._self}-lan-{lan + 1}:", f"    peer: {self._self}", f"    {kind}")
            yield from (f"    metro: {self._wishes.metro}", "    connections:", f"      lan: {{{', '.join(words)}}}")

    def _session(self, device: Device, fellows: Sequence[Device] = ()) -> list[str]:
        """``session: {…}`` of what the configuration says of it; nothing where it says nothing."""
        all_devices = [device, *fellows]
        statements = [one.neighbour for d in all_devices for one in d.placed]
        families = [f for f in Family if any(f in d.sessions for d in all_devices)]
        words = [f"families: [{families[0].value}]"] if len(families) == 1 else []
        hold = next((one.hold_time for one in statements if one.hold_time is not None), None)
        if hold is not None and (hold == 0 or 3 <= hold <= 65535):
            words.append(f"hold-time: {hold}")
        md5 = next((one.md5 for one in statements if one.md5), None)
        if md5 is not None and 1 <= len(md5) <= 80:
            words.append(f"md5: {_text(md5, quote=True)}")
        if any(one.gtsm for one in statements):
            words.append("gtsm: true")
        if any(one.bfd for one in statements):
            words.append("bfd: {}")
        end = [
            f"max-prefix-{_key(family)}: {limit}"
            for family in Family
            for limit in [next((one.limits[family] for one in statements if family in one.limits), None)]
            if limit
        ]
        if any(one.passive for one in statements):
            end.append("passive: true")
        if any(one.role_strict for one in statements):
            end.append("role-strict: true")
        if end:
            words.append(f"ends: {{{self._router}: {{{', '.join(end)}}}}}")
        return [f"session: {{{', '.join(words)}}}"] if words else []


def _as_name(device: Device) -> str:
    if device.kind is Kind.MICROSOFT:
        return "microsoft"
    return f"ixp{device.asn}" if device.kind is Kind.ROUTE_SERVER else f"as{device.asn}"


def _key(family: Family) -> str:
    return "v4" if family is Family.IPV4 else "v6"


def _slug(text: str, otherwise: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].strip("-")
    return slug if re.match(r"[a-z]", slug) else otherwise


def _text(text: str | None, *, quote: bool = False) -> str:
    """A scalar that YAML reads as this text."""
    return json.dumps(text or "") if quote or not re.fullmatch(r"[A-Za-z0-9./-]+", text or "") else text or ""


def _comment(text: str, indent: int = 0) -> str:
    return " " * indent + " ".join(re.sub(r"[^\x20-\x7e]", " ", text).split())


def _listing(prefixes: Sequence[Prefix]) -> str:
    return f"[{', '.join(_text(prefix) for prefix in prefixes)}]"
