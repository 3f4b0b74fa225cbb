"""Neighbour statements put together to routers: a lab has one router where a configuration has a session per family."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.topology.pool import Network
from peerlab.topology.surround import NeighbourReading
from peerlab.topology.surround_place import Place
from peerlab.topology.surround_relation import Judgement, Kind

_FAMILY_WORD = re.compile(r"(?:[\W_]|(?<=[a-z]))*(?:ip)?v?[46]$|[\W_](?:ip)?v?[46](?=[\W_])")


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """One neighbour statement with what it was taken for and where it is put."""

    neighbour: NeighbourReading
    judgement: Judgement
    place: Place

    @property
    def kind(self) -> Kind:
        """What it was taken for."""
        return self.judgement.kind


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A neighbouring router. ``sessions`` has one or two families; ``lan`` is the number of its LAN, None: a link."""

    asn: int
    kind: Kind
    sessions: dict[Family, Placed]
    lan: int | None = None

    @property
    def placed(self) -> tuple[Placed, ...]:
        """The statements, each once."""
        return tuple({one.neighbour.name: one for one in self.sessions.values()}.values())


class Lan(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange's LAN with our own addresses on it, as far as they are known."""

    networks: dict[Family, Network]
    own: dict[Family, str]


def devices(listed: Sequence[tuple[int, Placed]]) -> tuple[tuple[Device, ...], tuple[Lan, ...]]:
    """Routers and LANs of the statements, each with the AS number it has in the lab."""
    found: list[Device] = []
    groups: dict[tuple[int, bool], list[Placed]] = {}
    for asn, placed in listed:
        groups.setdefault((asn, placed.place.lan), []).append(placed)
    for (asn, _), group in groups.items():
        for pair in _paired(group):
            found.append(Device(asn=asn, kind=group[0].kind, sessions=pair))
    lans = _lans(found)
    return tuple(_on_lan(device, lans) for device in found), tuple(lans)


def families_of(placed: Placed) -> tuple[Family, ...]:
    """The families of a lab's sessions for it: that of its address; without an address what it exchanges."""
    one = placed.neighbour
    return (one.family,) if one.family is not None else one.carries or tuple(Family)


def _paired(group: Sequence[Placed]) -> Iterator[dict[Family, Placed]]:
    """IPv4 and IPv6 of one router: by what they are called, then in the file's order."""
    both = [one for one in group if len(families_of(one)) == 2]
    yield from (dict.fromkeys(Family, one) for one in both)
    v4 = [one for one in group if families_of(one) == (Family.IPV4,)]
    v6 = [one for one in group if families_of(one) == (Family.IPV6,)]
    partner: dict[int, Placed] = {}
    for by_name in (True, False):
        for number, one in enumerate(v4):
            if number in partner:
                continue
            match = next((o for o in v6 if not by_name or label(one) == label(o) != ""), None)
            if match is not None:
                partner[number] = match
                v6 = [other for other in v6 if other is not match]
    for number, one in enumerate(v4):
        yield {Family.IPV4: one, **({Family.IPV6: partner[number]} if number in partner else {})}
    yield from ({Family.IPV6: one} for one in v6)


def label(placed: Placed) -> str:
    """What a session is called, without the words that tell its family."""
    one = placed.neighbour
    text = one.name if one.address is None or one.name != one.address else one.description
    return _FAMILY_WORD.sub("", text.lower())


def _lans(found: Sequence[Device]) -> list[Lan]:
    """LANs: the networks of both families belong together where one router is on both."""
    lans: list[dict[Family, Network]] = []
    own: dict[Network, str] = {}
    for device in found:
        networks = {family: one.place.network for family, one in device.sessions.items() if one.place.lan}
        told = {family: network for family, network in networks.items() if network is not None}
        for one in device.sessions.values():
            if one.place.lan and one.place.network is not None and one.place.own is not None:
                own.setdefault(one.place.network, one.place.own)
        if not told:
            continue
        lan = next((lan for lan in lans if any(lan.get(family) == network for family, network in told.items())), None)
        if lan is None:
            lans.append(told)
        else:
            for family, network in told.items():
                lan.setdefault(family, network)
    # Two that are one: IPv4 came from a router without IPv6 and the other way round.
    alone_v4 = [lan for lan in lans if Family.IPV6 not in lan]
    alone_v6 = [lan for lan in lans if Family.IPV4 not in lan]
    if len(alone_v4) == len(alone_v6) == 1:
        alone_v4[0].update(alone_v6[0])
        lans.remove(alone_v6[0])
    return [
        Lan(networks=lan, own={family: own[network] for family, network in lan.items() if network in own})
        for lan in lans
    ]


def _on_lan(device: Device, lans: Sequence[Lan]) -> Device:
    for number, lan in enumerate(lans):
        for family, one in device.sessions.items():
            if one.place.lan and one.place.network == lan.networks.get(family):
                return msgspec.structs.replace(device, lan=number)
    return device


def as_name(device: Device) -> str:
    """The name of its AS in the lab."""
    if device.kind is Kind.MICROSOFT:
        return "microsoft"
    return f"ixp{device.asn}" if device.kind is Kind.ROUTE_SERVER else f"as{device.asn}"
