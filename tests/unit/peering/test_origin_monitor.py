"""Monitoring of origins: what validation cannot see (RFC 9319), and what is no forgery."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.route_fact import RouteFact
from peerlab.peering.origin_monitor import OriginAlarmKind, watch_origins

VICTIM, UPSTREAM, FORGER, OTHER = 64500, 64501, 64502, 64503
WHOLE, PART = Prefix("198.51.100.0/23"), Prefix("198.51.100.0/24")
LOOSE, MINIMAL = Vrp(WHOLE, VICTIM, 24), Vrp(WHOLE, VICTIM, 23)


def route(prefix: str, *path: int, rpki: str = "valid", accepted: bool = True) -> RouteFact:
    attributes = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, path),))
    return RouteFact(prefix=Prefix(prefix), session="s", attributes=attributes, accepted=accepted, rpki=rpki)


RIGHTFUL = route(WHOLE, UPSTREAM, VICTIM)


def forged(*routes: RouteFact) -> list[str]:
    return [a.prefix for a in watch_origins(routes, ()) if a.kind is OriginAlarmKind.FORGED_ORIGIN]


def test_a_valid_sub_prefix_by_another_neighbour_of_its_origin_is_named() -> None:
    assert forged(RIGHTFUL, route(PART, FORGER, VICTIM)) == [PART]
    whole, part = "2001:db8::/47", "2001:db8::/48"
    assert forged(route(whole, UPSTREAM, VICTIM), route(part, OTHER, FORGER, VICTIM)) == [part]


@pytest.mark.parametrize(
    "innocent",
    [
        route(PART, UPSTREAM, VICTIM),  # traffic engineering by the same upstream
        route(PART, OTHER, UPSTREAM, VICTIM, VICTIM),  # the same upstream farther away, with prepending
        route(PART, FORGER, OTHER),  # another origin: validation's own business
        route(PART, FORGER, VICTIM, rpki="invalid", accepted=False),  # stopped already
        route(PART, FORGER, VICTIM, rpki="not-found"),  # no ROA vouches for it
        route(WHOLE, FORGER, VICTIM),  # another way to the same prefix: an ordinary second upstream
        route("198.51.102.0/24", FORGER, VICTIM),  # elsewhere
    ],
)
def test_what_is_no_forgery_is_not_named(innocent: RouteFact) -> None:
    assert forged(RIGHTFUL, innocent) == []


def test_a_sub_prefix_that_the_origin_itself_announces_is_no_forgery_when_the_covering_one_is_direct_too() -> None:
    assert forged(route(WHOLE, VICTIM), route(PART, VICTIM)) == []
    assert forged(route(WHOLE, VICTIM), route(PART, FORGER, VICTIM)) == [PART]


@pytest.mark.parametrize(
    ("vrps", "loose"), [((LOOSE,), [WHOLE]), ((MINIMAL,), []), ((Vrp(WHOLE, 0, 24),), []), ((), [])]
)
def test_a_roa_that_allows_more_than_is_announced_is_named(vrps: tuple[Vrp, ...], loose: list[str]) -> None:
    found = [a for a in watch_origins([RIGHTFUL], vrps) if a.kind is OriginAlarmKind.LOOSE_ROA]
    assert [alarm.prefix for alarm in found] == loose
    assert all("maxLength 23 would be minimal" in alarm.text for alarm in found)
