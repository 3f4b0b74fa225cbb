"""Monitoring of route origins: what origin validation lets through because a ROA says more than it should (RFC 9319).

Validation asks who may originate a prefix, not who did: whoever puts the rightful AS at the end of a path is Valid. A
ROA whose maxLength is longer than what its AS announces so opens every sub-prefix to a forger. Both are looked for: the
loose ROA, and the Valid sub-prefix that comes another way than the route that covers it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.nlri import nlri_bytes
from peerlab.bgp.origin_validation import VALID, Vrp
from peerlab.bgp.route_fact import RouteFact
from peerlab.bgp.rtr_pdu import exact


class OriginAlarmKind(StrEnum):
    """What monitoring found."""

    FORGED_ORIGIN = "forged-origin"
    """A Valid sub-prefix comes by another neighbour of its origin than the route that covers it."""
    LOOSE_ROA = "loose-roa"
    """A ROA allows sub-prefixes that its AS does not announce (RFC 9319 section 3)."""


class OriginAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. ``prefix`` is the route's, or the ROA's."""

    kind: OriginAlarmKind
    prefix: Prefix
    origin: int
    text: str


def watch_origins(routes: Iterable[RouteFact], vrps: Iterable[Vrp]) -> tuple[OriginAlarm, ...]:
    """Look at accepted routes of a router (Adj-RIB-In, all sessions) and at the VRPs it validates by."""
    accepted = [route for route in routes if route.accepted and route.attributes.origin_as() is not None]
    return (*_forged(accepted), *_loose(accepted, vrps))


def _forged(accepted: list[RouteFact]) -> list[OriginAlarm]:
    """Routes of one origin that cover one another and have no neighbour of the origin in common."""
    ways: dict[tuple[int, Prefix], set[int | None]] = {}
    for route in accepted:
        ways.setdefault((route.attributes.origin_as() or 0, route.prefix), set()).add(_before_origin(route))
    found: dict[Prefix, OriginAlarm] = {}
    for route in accepted:
        origin = route.attributes.origin_as() or 0
        if route.rpki != VALID:
            continue
        for (other_origin, covering), neighbours in ways.items():
            if other_origin != origin or not _is_inside(route.prefix, covering):
                continue
            if _before_origin(route) not in neighbours:
                found[route.prefix] = OriginAlarm(
                    kind=OriginAlarmKind.FORGED_ORIGIN,
                    prefix=route.prefix,
                    origin=origin,
                    text=f"{route.prefix} is Valid for AS{origin} by path {route.attributes.path_text()}, "
                    f"but {covering}, which covers it, comes from AS{origin} another way",
                )
    return list(found.values())


def _loose(accepted: list[RouteFact], vrps: Iterable[Vrp]) -> list[OriginAlarm]:
    announced = {(route.attributes.origin_as(), route.prefix) for route in accepted}
    found = []
    for vrp in sorted(set(map(exact, vrps)), key=lambda one: (one.prefix, one.asn)):
        length, longest = int(vrp.prefix.rpartition("/")[2]), vrp.max_length or 0
        if longest == length or vrp.asn == 0:
            continue
        if any(origin == vrp.asn and prefix == vrp.prefix for origin, prefix in announced):
            text = (
                f"the ROA of {vrp.prefix} for AS{vrp.asn} allows up to /{longest}; with {vrp.prefix} alone announced, "
                f"maxLength {length} would be minimal"
            )
            found.append(OriginAlarm(kind=OriginAlarmKind.LOOSE_ROA, prefix=vrp.prefix, origin=vrp.asn, text=text))
    return found


def _before_origin(route: RouteFact) -> int | None:
    """The AS that heard the route from its origin; None when the origin itself is the neighbour."""
    path = route.attributes.asns()
    origin = path[-1]
    return next((asn for asn in reversed(path) if asn != origin), None)


def _is_inside(prefix: Prefix, covering: Prefix) -> bool:
    if prefix == covering or (":" in prefix) != (":" in covering):
        return False
    inner, outer = nlri_bytes(prefix), nlri_bytes(covering)
    if inner[0] <= outer[0]:
        return False
    return ipaddress.ip_network(prefix).subnet_of(ipaddress.ip_network(covering))  # type: ignore[arg-type]
