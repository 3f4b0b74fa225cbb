"""What is announced to see an edge's import policy judge it: one row per case of the catalogue (POL-05 to POL-18).

Pure: from the model and from who announces to whom. Every refused case is right in all but the one thing that it is
about, as far as it can be: its AS_PATH ends in the peer's AS, its prefix is public and of a usual length. Only that no
registry has the prefix would keep it out too, which is looked at last; so the reason tells the rules apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import msgspec

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.peering.catalogue import exchange_lans
from peerlab.topology.model import AsRole, LabModel, Relation
from peerlab.verify.bogon import BOGON_ASNS, BOGON_PREFIXES, EXPRESS_ROUTE, TRANSIT_FREE

ACCEPT, REJECT = "accept", "reject"
LENGTH = {Family.IPV4: 24, Family.IPV6: 48}
DEFAULT = {Family.IPV4: "0.0.0.0/0", Family.IPV6: "::/0"}
TOO_SHORT = {Family.IPV4: "60.0.0.0/7", Family.IPV6: "2400::/18"}
MARTIAN = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}
NO_EXPORT, NO_ADVERTISE = "65535:65281", "65535:65282"
NOBODY = 112
"""An AS number in nobody's as-set: AS112 belongs to no organisation (RFC 7534), and no bogon list has it."""

SEGMENT = 255
"""AS numbers that fit one segment of an AS_PATH."""


class Announcer(msgspec.Struct, frozen=True, kw_only=True):
    """Who announces on which session to whom."""

    node: str
    session: str
    family: Family
    asn: int
    address: Address
    edge: str
    edge_address: Address


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One case: what is announced and what has to become of it. ``about`` are details that the checks ask for."""

    check: str
    case: str
    expected: str
    prefixes: tuple[Prefix, ...]
    attributes: PathAttributes
    about: dict[str, object] = {}


def refused(model: LabModel, by: Announcer, spare: Iterator[Prefix], foreign: int) -> Iterator[Row]:
    """Every announcement that a peer may not make. ``foreign`` is an AS that the lab does not use."""
    yield _row(by, "POL-05", "unregistered", (next(spare),))
    yield _row(by, "POL-06", "origin outside the as-set", (next(spare),), (by.asn, NOBODY))
    yield _row(by, "POL-07", "bogon", bogons(model, by.family))
    own = {known.asn for known in model.ases}
    for low, high, _ in BOGON_ASNS:
        if not any(low <= asn <= high for asn in own):
            yield _row(by, "POL-08", f"AS {low}", (next(spare),), (by.asn, low, by.asn))
    longer = next(ip_network(next(spare)).subnets())
    yield _row(by, "POL-09", "too long", (Prefix(str(longer)),))
    yield _row(by, "POL-09", "too short", (Prefix(TOO_SHORT[by.family]),))
    yield _row(by, "POL-10", "default route", (Prefix(DEFAULT[by.family]),))
    yield from _foreign_ground(model, by)
    yield _row(by, "POL-12", "ExpressRoute", (next(spare),), (by.asn, EXPRESS_ROUTE, by.asn))
    transit_free = min(TRANSIT_FREE - {by.asn})
    yield _row(by, "POL-12", "transit-free", (next(spare),), (by.asn, transit_free, by.asn))
    yield _row(by, "POL-14", "long path", (next(spare),), (by.asn,) * 101)
    yield _row(by, "POL-14", "endless path", (next(spare),), (by.asn,) * 300)
    as_set = (Segment(SegmentType.AS_SEQUENCE, (by.asn,)), Segment(SegmentType.AS_SET, (by.asn, foreign)))
    yield _row(by, "POL-14", "AS_SET", (next(spare),), as_path=as_set)
    off_subnet = Address(str(ip_address(int(ip_network(next(spare)).network_address) + 1)))
    for case, hop in (
        ("next hop off the subnet", off_subnet),
        ("next hop of the edge", by.edge_address),
        ("martian next hop", Address(MARTIAN[by.family])),
    ):
        yield _row(by, "POL-16", case, (next(spare),), about={"next_hop": hop}, next_hop=hop)
    edge_as = model.node(by.edge).asn or 0
    yield _row(by, "RTG-02", "own AS", (next(spare),), (by.asn, edge_as, by.asn))


def foreign_first(by: Announcer, spare: Iterator[Prefix], foreign: int) -> Row:
    """A path that does not begin with the announcer's AS; a route server may send such a one."""
    return _row(by, "POL-13", "foreign first AS", (next(spare),), (foreign, by.asn))


def accepted(by: Announcer, prefixes: list[Prefix], namespace: int) -> Iterator[Row]:
    """Announcements of registered prefixes, and what becomes of their attributes. ``namespace``: the edge's AS."""
    own, lent = f"{namespace}:123", "64999:77"
    registered, of_as_set, scrubbed, kept_in, kept_here, preferred, weighed = prefixes
    yield _accept(by, "POL-05", "registered", registered)
    yield _accept(by, "POL-06", "registered origin", of_as_set)
    yield _accept(by, "POL-17", "own and foreign", scrubbed, tuple(sorted((own, lent))))
    yield _accept(by, "POL-17", "NO_EXPORT", kept_in, (NO_EXPORT,))
    yield _accept(by, "POL-17", "NO_ADVERTISE", kept_here, (NO_ADVERTISE,))
    yield _accept(by, "POL-18", "LOCAL_PREF", preferred, about={"local_pref": 777}, local_pref=777)
    yield _accept(by, "POL-18", "MED", weighed, about={"med": 55}, med=55)


REGISTERED = 7
"""Prefixes that ``accepted`` needs."""


def passed_on(by: Announcer, prefix: Prefix, provider: int) -> Row:
    """A customer's route with a MED, which its provider announces to third ASes.

    What the examiner is to the provider is said too, for the topology does not know it.
    """
    about = {"med": 66, "relation": Relation.CUSTOMER.value, "announcer_as": by.asn, "receiver_as": provider}
    return _accept(by, "POL-18", "MED to a third AS", prefix, about=about, med=66)


def _accept(
    by: Announcer,
    check: str,
    case: str,
    prefix: Prefix,
    communities: tuple[str, ...] = (),
    about: dict[str, object] | None = None,
    **attributes: Any,
) -> Row:
    return _row(by, check, case, (prefix,), about=about or {}, expected=ACCEPT, communities=communities, **attributes)


def _row(
    by: Announcer,
    check: str,
    case: str,
    prefixes: tuple[Prefix, ...],
    path: tuple[int, ...] = (),
    about: dict[str, object] | None = None,
    expected: str = REJECT,
    **attributes: Any,
) -> Row:
    asns = path or (by.asn,)
    segments = tuple(Segment(SegmentType.AS_SEQUENCE, asns[at : at + SEGMENT]) for at in range(0, len(asns), SEGMENT))
    made = {"as_path": segments, "next_hop": by.address, **attributes}
    return Row(
        check=check,
        case=case,
        expected=expected,
        prefixes=prefixes,
        attributes=PathAttributes(**made),
        about=about or {},
    )


def bogons(model: LabModel, family: Family) -> tuple[Prefix, ...]:
    """One prefix of a usual length in every special-purpose range that is not public inside the lab."""
    public = [ip_network(known) for known in model.public_ranges]
    found = []
    for text in BOGON_PREFIXES:
        bogon = ip_network(text)
        if (bogon.version == 6) is not (family is Family.IPV6) or any(_overlap(bogon, known) for known in public):
            continue
        inside = bogon if bogon.prefixlen >= LENGTH[family] else next(bogon.subnets(new_prefix=LENGTH[family]))
        found.append(Prefix(str(inside)))
    return tuple(found)


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _foreign_ground(model: LabModel, by: Announcer) -> Iterator[Row]:
    """The cloud's own prefixes, exchange LANs and what else exchanges use, each with a more-specific (POL-11)."""
    cloud = model.cloud()
    infrastructure = [p for known in model.ases if known.role is AsRole.IXP for p in known.infrastructure]
    for case, ranges in (
        ("own prefix", cloud.prefixes if cloud else ()),
        ("exchange LAN", exchange_lans(model)),
        ("exchange infrastructure", infrastructure),
    ):
        mine = [p for p in ranges if (":" in p) is (by.family is Family.IPV6)]
        if mine:
            specific = Prefix(str(next(ip_network(mine[0]).subnets())))
            yield _row(by, "POL-11", case, (mine[0], specific))
