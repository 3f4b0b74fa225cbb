"""A topology written around one router's configuration: every neighbour that it names, on addresses of its own.

What the configuration says stands; what it does not say is made up of benchmarking and documentation space, and told.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgspec

from peerlab.bgp.attributes import Family, Prefix
from peerlab.errors import InputError, Problem
from peerlab.topology.check import RESERVED_ASN
from peerlab.topology.surround import RouterReading
from peerlab.topology.surround_device import Device, Placed, as_name
from peerlab.topology.surround_relation import CLOUD_ASN, Kind
from peerlab.topology.surround_scene import Scene, Wishes
from peerlab.topology.surround_wire import SurroundWires
from peerlab.topology.surround_word import comment, key, listing, scalar, slug

OWN_ROLES = {
    Kind.PROVIDER: "transit",
    Kind.CUSTOMER: "customer",
    Kind.PEER: "isp",
    Kind.ROUTE_SERVER: "ixp",
    Kind.CLIENT: "isp",
}
MOST_NEIGHBOURS = 120
"""Neighbour statements that one machine can still rehearse."""


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
    return _Writer(Scene(reading, wishes)).surroundings()


class _Writer:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tell = scene.untold.append
        self._devices, self._names = scene.devices, scene.names
        self._router, self._own_as = scene.router, scene.own_as

    # -- the text ----------------------------------------------------------------------------------------------------

    def surroundings(self) -> Surroundings:
        lines = [*self._head(), "", "metros:"]
        location, region = scalar(self._scene.wishes.location), scalar(self._scene.wishes.region)
        lines += [f"  {metro}: {{location: {location}, region: {region}}}" for metro in self._scene.metros()]
        lines += ["", "ases:", *self._own()]
        for asn in dict.fromkeys(device.asn for device in self._devices):
            if asn != self._scene.reading.asn:
                lines += ["", *self._neighbour_as(asn)]
        wires = SurroundWires(self._scene)
        others, exchanges = wires.exchanges()
        lines += [*others, *exchanges, *wires.links(), *wires.peerings()]
        taken = tuple(self._sentence(asn, placed) for asn, placed in self._scene.placed)
        return Surroundings(
            text="\n".join(lines) + "\n",
            taken=taken,
            untold=tuple(dict.fromkeys(comment(text) for text in self._scene.untold)),
        )

    def _head(self) -> Iterator[str]:
        reading = self._scene.reading
        source = comment(reading.source)
        yield f"# The surroundings of AS{reading.asn}: written by `peerlab surround` from {source}."
        yield "# Every neighbour that it names, at its address; what it announces is made up unless a policy names it."
        yield f"# {self._router} itself runs {reading.daemon.upper()} with a configuration of peerlab's, which follows"
        yield "# from what stands here: its neighbours, what they are to it, and its prefixes."
        yield f"name: {slug(f'around-{self._router}', 'around')}"

    def _sentence(self, asn: int, placed: Placed) -> str:
        one = placed.neighbour
        where = f"{one.name}, AS{asn}" + (f" at {one.address}" if one.address not in (None, one.name) else "")
        on = "behind a loopback" if placed.kind is Kind.INTERNAL else "on made-up addresses"
        if placed.kind is not Kind.INTERNAL and placed.place.network is not None:
            on = f"on the {'LAN' if placed.place.lan else 'link'} {placed.place.network}"
        return comment(f"line {one.line}: {where}: {placed.kind} ({placed.judgement.why}), {on}")

    def _own(self) -> Iterator[str]:
        reading = self._scene.reading
        mine = [(number, d) for number, d in enumerate(self._devices) if d.asn == reading.asn]
        prefixes = [Prefix(str(network)) for network in self._scene.space]
        is_server = any(d.kind is Kind.CLIENT for d in self._devices)
        if is_server and mine:
            self._tell("our own other routers are left out: a lab's route servers have no iBGP")
            mine = []
        for version in (4, 6):
            if not is_server and not any(network.version == version for network in self._scene.space):
                prefixes.append(self._scene.made_up(version))
                self._tell(f"no IPv{version} prefix that it originates was found: {prefixes[-1]} is made up")
        yield f"  {self._own_as}:"
        yield f"    asn: {reading.asn}"
        yield f"    role: {'ixp' if is_server else 'isp'}"
        if not is_server:
            yield f"    prefixes: {listing(prefixes)}"
        for word, kind in (("providers", Kind.PROVIDER), ("peers", Kind.PEER)):
            them = dict.fromkeys(f"as{d.asn}" for d in self._devices if d.kind is kind)
            if them:
                yield f"    {word}: [{', '.join(them)}]"
        yield "    routers:"
        pins = [f"kind: {reading.daemon}", *self._own_pins()]
        if mine:
            pins.append(f"originates: {listing(prefixes)}")
        yield f"      {self._router}: {{{', '.join(pins)}}}"
        for number, device in mine:
            pinned = [f"loopback-{key(f)}: {scalar(one.neighbour.address)}" for f, one in device.sessions.items()
                      if one.neighbour.address is not None and self._scene.is_free(one.neighbour.address)]
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
        if self._scene.reading.router_id is not None and self._scene.reading.router_id != "0.0.0.0":
            yield f"router-id: {self._scene.reading.router_id}"
        for family in Family:
            local = next(
                (
                    placed.neighbour.local_address
                    for _, placed in self._scene.placed
                    if placed.kind is Kind.INTERNAL and placed.neighbour.family is family
                    if placed.neighbour.local_address is not None
                    if (":" in placed.neighbour.local_address) is (family is Family.IPV6)
                ),
                None,
            )
            if local is not None and self._scene.is_free(local):
                yield f"loopback-{key(family)}: {scalar(local)}"

    def _notes(self, device: Device) -> Iterator[str]:
        for one in device.placed:
            described = f" ({one.neighbour.description})" if one.neighbour.description else ""
            yield comment(f"      # {self._sentence(device.asn, one)}{described}", 6)

    def _neighbour_as(self, asn: int) -> Iterator[str]:
        here = [(number, d) for number, d in enumerate(self._devices) if d.asn == asn]
        kind = here[0][1].kind
        name = as_name(here[0][1])
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
            prefixes = self._scene.prefixes(asn, [] if kind in (Kind.MICROSOFT, Kind.PROVIDER) else named, versions)
            yield f"    prefixes: {listing(prefixes)}"
        if kind is Kind.CUSTOMER:
            yield f"    providers: [{self._own_as}]"
        yield "    routers:"
        for number, device in here:
            yield from self._notes(device)
            metro = self._scene.metro_of(device)
            place = f" {{metro: {metro}}}" if kind in (Kind.MICROSOFT, Kind.ROUTE_SERVER) else ""
            yield f"      {self._names[number]}:{place}"
        if len(here) > 1 and kind is not Kind.ROUTE_SERVER:
            yield "    backbone:"
            for (one, _), (other, _) in pairwise(here):
                yield f"      - {{between: [{self._names[one]}, {self._names[other]}], cost: 1}}"
        if kind is Kind.MICROSOFT or asn == self._first_client():
            yield "    hosts:"
            yield f"      {'svc' if kind is Kind.MICROSOFT else 'pc'}: {{router: {self._names[here[0][0]]}}}"

    def _first_client(self) -> int | None:
        """The AS that has the host where we are a route server, which has none behind it."""
        return next((d.asn for d in self._devices if d.kind is Kind.CLIENT), None)
