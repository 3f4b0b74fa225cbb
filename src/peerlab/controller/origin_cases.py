"""What the scene about route origins announces, and under which ROAs: pure, from spare prefixes and AS numbers."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import msgspec

from peerlab.bgp.attributes import Family, Prefix, Segment, SegmentType
from peerlab.bgp.origin_validation import INVALID, NOT_FOUND, VALID, Vrp
from peerlab.controller.exam import host, sequence
from peerlab.evidence.story_origin import Egress, Hole, Ingress
from peerlab.topology.model import RegistryEntry

ACCEPT, REJECT = "accept", "reject"
DISCARD, FORWARD = "discard", "forward"
ANNOUNCE, WITHHOLD = "announce", "withhold"
PRIVATE_AS = 64512
"""An AS number of RFC 6996, which no receiver may be shown."""
LENGTH = {Family.IPV4: 24, Family.IPV6: 48}


class IngressCase(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the peer, with what validation has to make of it. A route object exists for each."""

    case: Ingress
    prefix: Prefix
    path: tuple[Segment, ...]
    vrps: tuple[Vrp, ...]
    state: str
    expected: str
    covering: Prefix


class EgressCase(msgspec.Struct, frozen=True, kw_only=True):
    """A route that the edge has, with what it has to tell. ``path`` is as the edge hears it, without the announcer."""

    case: Egress
    prefix: Prefix
    path: tuple[int, ...]
    vrps: tuple[Vrp, ...]
    origin: int
    expected: str


class BlackholeCase(msgspec.Struct, frozen=True, kw_only=True):
    """A prefix with or without 65535:666, on a session with or without an agreement."""

    case: Hole
    prefix: Prefix
    marked: bool
    agreed: bool
    covered: bool
    expected: str


class Forgery(msgspec.Struct, frozen=True, kw_only=True):
    """A victim's prefix and the sub-prefix that a forger announces in its name."""

    covering: Prefix
    prefix: Prefix
    loose: Vrp
    minimal: Vrp


def pair(spare: Iterator[Prefix]) -> tuple[Prefix, Prefix]:
    """A prefix one bit shorter than the spare ones, and its first half. Skips spare ones until two make a pair."""
    before = next(spare)
    for prefix in spare:
        whole = ip_network(prefix).supernet()
        if whole == ip_network(before).supernet():
            return Prefix(str(whole)), before
        before = prefix
    raise LookupError("no two of the spare prefixes make a shorter one")


def ingress_cases(family: Family, spare: Iterator[Prefix], peer: int, other: int) -> Iterator[IngressCase]:
    """POL-20: every way in which a route and its ROAs can stand to each other (RFC 6811 section 2)."""
    own, longest = sequence(peer), LENGTH[family]
    ends_in_set = (*own, Segment(SegmentType.AS_SET, (peer, other)))

    def one(
        case: Ingress, state: str, path: tuple[Segment, ...], *origins: int, expected: str = ""
    ) -> IngressCase:
        prefix = next(spare)
        return IngressCase(
            case=case,
            prefix=prefix,
            path=path,
            vrps=tuple(Vrp(prefix, asn) for asn in origins),
            state=state,
            expected=expected or (REJECT if state == INVALID else ACCEPT),
            covering=prefix,
        )

    yield one(Ingress.VALID, VALID, own, peer)
    yield one(Ingress.NOT_FOUND, NOT_FOUND, own)
    yield one(Ingress.WRONG_ORIGIN, INVALID, own, other)
    yield one(Ingress.AS0, INVALID, own, 0)
    yield one(Ingress.AS0_BESIDE, VALID, own, 0, peer)
    yield one(Ingress.SET_COVERED, INVALID, ends_in_set, peer)
    yield one(Ingress.SET_FREE, NOT_FOUND, ends_in_set, expected=REJECT)
    for case, state, length in ((Ingress.AT_LENGTH, VALID, longest), (Ingress.BEYOND_LENGTH, INVALID, longest - 1)):
        covering, prefix = pair(spare)
        yield IngressCase(
            case=case,
            prefix=prefix,
            path=own,
            vrps=(Vrp(covering, peer, length),),
            state=state,
            expected=REJECT if state == INVALID else ACCEPT,
            covering=covering,
        )


def egress_cases(spare: Iterator[Prefix], own: int, peer: int, other: int) -> Iterator[EgressCase]:
    """POL-22: the origin that counts is the one that the receiver sees (RFC 8893 section 3)."""

    def one(case: Egress, path: tuple[int, ...], roa: int, origin: int) -> EgressCase:
        prefix = next(spare)
        expected = ANNOUNCE if roa == origin else WITHHOLD
        return EgressCase(
            case=case, prefix=prefix, path=path, vrps=(Vrp(prefix, roa),), origin=origin, expected=expected
        )

    yield one(Egress.OWN, (), own, own)
    yield one(Egress.OWN_FOREIGN, (), other, own)
    yield one(Egress.LEFT, (PRIVATE_AS,), peer, peer)
    yield one(Egress.STRIPPED, (PRIVATE_AS,), PRIVATE_AS, peer)


def blackhole_cases(covered: Prefix, ordinary: Prefix, foreign: Prefix) -> Iterator[BlackholeCase]:
    """POL-19: hosts inside ``covered``, which has a route object and a minimal ROA, and inside ``foreign``, which has
    none. ``ordinary`` has a route object too."""

    def inside(prefix: Prefix, offset: int = 7) -> Prefix:
        return host(str(ip_network(prefix)[offset]))

    yield BlackholeCase(
        case=Hole.AGREED, prefix=inside(covered), marked=True, agreed=True, covered=True, expected=DISCARD
    )
    yield BlackholeCase(
        case=Hole.UNCOVERED, prefix=inside(foreign), marked=True, agreed=True, covered=False, expected=REJECT
    )
    yield BlackholeCase(
        case=Hole.UNMARKED,
        prefix=inside(covered, 8),
        marked=False,
        agreed=True,
        covered=True,
        expected=REJECT,
    )
    yield BlackholeCase(
        case=Hole.HOST_UNAGREED,
        prefix=inside(ordinary, 9),
        marked=True,
        agreed=False,
        covered=True,
        expected=REJECT,
    )
    yield BlackholeCase(
        case=Hole.ORDINARY_UNAGREED,
        prefix=ordinary,
        marked=True,
        agreed=False,
        covered=True,
        expected=FORWARD,
    )


def forgery(family: Family, spare: Iterator[Prefix], victim: int) -> Forgery:
    """SEC-06: a loose ROA, and the minimal one in its place."""
    covering, prefix = pair(spare)
    length = LENGTH[family]
    return Forgery(
        covering=covering, prefix=prefix, loose=Vrp(covering, victim, length), minimal=Vrp(covering, victim, length - 1)
    )


def route_object(prefix: Prefix, origin: int, family: Family) -> RegistryEntry:
    """A route object that allows the prefix and what is more specific, down to the usual length."""
    return RegistryEntry(prefix=prefix, origin_asn=origin, max_length=LENGTH[family])


def roa_text(vrp: Vrp) -> str:
    """A ROA as people write it."""
    return f"{vrp.prefix} le {vrp.max_length or vrp.prefix.rpartition('/')[2]} AS{vrp.asn}"
