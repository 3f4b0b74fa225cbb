"""An IX-F member export (https://github.com/euro-ix/json-schemas) read into what a lab needs of it.

Versions 0.4 to 1.0 of the schema; of their differences those matter here in how a LAN's prefix, a route server and
the wish to peer with it are written. What an export leaves out is left out here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.errors import InputError, Problem

WIDEST_GUESS = {Family.IPV4: 16, Family.IPV6: 48}
"""A LAN is never guessed to be larger than this."""
USUAL_LENGTH = {Family.IPV4: 24, Family.IPV6: 64}
"""A LAN is never guessed to be smaller than this."""
ROUTE_SERVER, ROUTE_COLLECTOR = "ixrouteserver", "ixroutecollector"

Host = IPv4Address | IPv6Address
Lan = IPv4Network | IPv6Network


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a member on the LAN. ``client`` None: the export does not say whether it uses the route servers."""

    addresses: dict[Family, str]
    max_prefixes: dict[Family, int]
    client: bool | None = None
    route_server: bool = False


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A network with ports on the LAN; ``name`` '' where the export names none."""

    asn: int
    name: str
    ports: tuple[Port, ...]


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One LAN of one exchange, with everybody on it.

    ``skipped`` tells in words what of the export could not be used.
    """

    name: str
    lans: dict[Family, str]
    members: tuple[Member, ...]
    skipped: tuple[str, ...] = ()


def read_export(data: object, source: str, ixp_id: int | None = None, vlan_id: int | None = None) -> Exchange:
    """The LAN that a member export describes; ``source`` names the file in messages.

    ``ixp_id`` and ``vlan_id`` choose where an export has several. Raises InputError when it is no such export, names
    nothing of that id, or holds several and none was chosen.
    """
    export = data if isinstance(data, dict) else {}
    ixps, members = _items(export.get("ixp_list")), export.get("member_list")
    if not ixps or not isinstance(members, list):
        problem = Problem(source, "is no IX-F member export", "it needs ixp_list and member_list")
        raise InputError([problem])
    ixp = _chosen(source, "ixp", ixps, "ixp_id", ixp_id)
    vlans = _items(ixp.get("vlan"))
    vlan = _chosen(source, "vlan", vlans, "id", vlan_id) if vlans else {}
    skipped: list[str] = []
    found: dict[int, Member] = {}
    for entry in _items(members):
        asn = entry.get("asnum")
        if not isinstance(asn, int) or not 0 < asn < 1 << 32:
            skipped.append(f"a member without an AS number: {entry.get('name') or asn}")
            continue
        ports = tuple(_ports(entry, ixp.get("ixp_id"), vlan.get("id")))
        if not ports:
            skipped.append(f"AS{asn}: no address on this LAN")
            continue
        known = found.get(asn)
        found[asn] = Member(
            asn=asn, name=str(entry.get("name") or ""), ports=(*(known.ports if known else ()), *ports)
        )
    lans = {family: _lan(vlan, family, found.values()) for family in Family}
    return Exchange(
        name=str(ixp.get("shortname") or ixp.get("name") or "ixp"),
        lans={family: lan for family, lan in lans.items() if lan is not None},
        members=tuple(found.values()),
        skipped=tuple(skipped),
    )


def _items(value: object) -> list[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _chosen(
    source: str, what: str, entries: list[dict[str, object]], key: str, wanted: int | None
) -> dict[str, object]:
    """The entry of that id; the only one, where none is asked for. Raises InputError."""
    ids = ", ".join(str(entry.get(key)) for entry in entries)
    if wanted is None and len(entries) == 1:
        return entries[0]
    for entry in entries:
        if wanted is not None and entry.get(key) == wanted:
            return entry
    said = f"has {len(entries)} of kind {what}" if wanted is None else f"has no {what} {wanted}"
    raise InputError([Problem(source, said, f"choose one with --{what}: {ids}")])


def _ports(member: Mapping[str, object], ixp_id: object, vlan_id: object) -> Iterator[Port]:
    for connection in _items(member.get("connection_list")):
        if connection.get("ixp_id") != ixp_id or connection.get("state") in ("inactive", "planned"):
            continue
        places = [
            place for place in _items(connection.get("vlan_list")) if vlan_id is None or place.get("vlan_id") == vlan_id
        ]
        # Exports of some exchanges have one entry per family for one and the same port.
        alone = [place for place in places if not ("ipv4" in place and "ipv6" in place)]
        for place in (place for place in places if place not in alone):
            yield from _port([place])
        v4, v6 = ([place for place in alone if family in place] for family in ("ipv4", "ipv6"))
        for number in range(max(len(v4), len(v6))):
            yield from _port([*v4[number : number + 1], *v6[number : number + 1]])


def _port(places: list[dict[str, object]]) -> Iterator[Port]:
    addresses: dict[Family, str] = {}
    limits: dict[Family, int] = {}
    client: bool | None = None
    services: set[object] = set()
    for place in places:
        for family in Family:
            told = place.get(family.value)
            if not isinstance(told, dict):
                continue
            address = _address(told.get("address"), family)
            if address is not None:
                addresses[family] = address
            limit = told.get("max_prefix")
            if isinstance(limit, int) and limit > 0:
                limits[family] = limit
            if isinstance(told.get("routeserver"), bool):
                client = bool(told["routeserver"]) or bool(client)
            services |= {service.get("type") for service in _items(told.get("services"))}
    if addresses and services != {ROUTE_COLLECTOR}:
        yield Port(
            addresses=addresses, max_prefixes=limits, client=client, route_server=ROUTE_SERVER in services
        )


def _address(text: object, family: Family) -> str | None:
    try:
        address = ip_address(str(text).split("/")[0])
    except ValueError:
        return None
    return str(address) if (address.version == 6) is (family is Family.IPV6) else None


def _lan(vlan: Mapping[str, object], family: Family, members: Iterable[Member]) -> str | None:
    """The LAN's prefix: as the export says it, else the smallest usual one that holds every address."""
    told = vlan.get(family.value)
    if isinstance(told, dict) and told.get("prefix"):
        try:
            return str(ip_network(f"{told['prefix']}/{told.get('mask_length')}"))
        except ValueError:
            pass
    hosts: list[Host] = [
        ip_address(port.addresses[family])
        for member in members
        for port in member.ports
        if family in port.addresses
    ]
    if not hosts:
        return None
    for length in range(USUAL_LENGTH[family], WIDEST_GUESS[family] - 1, -1):
        lan: Lan = ip_network(f"{hosts[0]}/{length}", strict=False)
        if all(host in lan for host in hosts):
            return str(lan)
    return None
