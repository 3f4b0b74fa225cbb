"""Route changes at the edge become the eight documented events, each with its level (spec 3.9)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from peerlab.bgp.attributes import Prefix
from peerlab.evidence.events import RouteChanged
from peerlab.peering.enums import EventLevel, PrefixEventType
from peerlab.peering.ledger import Ledger
from peerlab.peering.prefix_event import (
    LEVELS,
    Alarm,
    PrefixEvent,
    Watched,
    events_of,
    more_specifics,
    path_event,
    paths_of,
    watched_of,
)
from peerlab.peering.record import PeeringServiceRecord, ServicePrefixRecord
from peerlab.peering.scope import LAB
from peerlab.topology.load import load

MODEL = load(Path(__file__).parents[3] / "topologies" / "peering-service.yaml")
PREFIX = "198.18.33.0/24"
FABRIKAM, CONTOSO, WOODGROVE, HIJACKER = 64500, 64501, 64506, 64499


def ledger(backup: str | None = "Dublin") -> Ledger:
    service = PeeringServiceRecord(
        key="ps", scope=LAB, name="ps", region="x", location="x", provider="fabrikam",
        primary="Amsterdam", backup=backup,
    )  # fmt: skip
    prefix = ServicePrefixRecord(key="ps/hq", service="ps", name="hq", prefix=PREFIX)
    return Ledger(services={"ps": service}, prefixes={"ps/hq": prefix})


def session(edge: str, peer: str) -> str:
    return next(s.id for s in MODEL.sessions if {s.left.node, s.right.node} == {edge, peer} and s.id.endswith(".v4"))


PRIMARY = ("ams-edge-1", session("ams-edge-1", "fab-ams-1"))
SECOND = ("ams-edge-2", session("ams-edge-2", "fab-ams-2"))
BACKUP = ("dub-edge-1", session("dub-edge-1", "fab-dub-1"))
TRANSIT = ("sea-core-1", session("sea-core-1", "woodgrove-1"))
EXCHANGE = ("ams-edge-1", session("ams-edge-1", "rs-1"))


def route(place: tuple[str, str], *path: int, **more: object) -> RouteChanged:
    fields: dict[str, object] = {"accepted": True, "best": False, "received_at": 5, **more}
    text = " ".join(map(str, path))
    return RouteChanged(
        at=10, node=place[0], session=place[1], prefix=PREFIX, held=True, as_path=text, origin=path[-1], **fields
    )


def gone(place: tuple[str, str]) -> RouteChanged:
    return RouteChanged(at=20, node=place[0], session=place[1], prefix=PREFIX, held=False)


def told(change: RouteChanged, before: RouteChanged | None = None, backup: str | None = "Dublin") -> list[PrefixEvent]:
    return list(events_of(MODEL, under_watch(backup), before, change))


def under_watch(backup: str | None = "Dublin") -> Watched:
    found = watched_of(MODEL, ledger(backup), "ps/hq")
    assert found is not None
    return found


PROVIDERS = (FABRIKAM, CONTOSO)
HIJACKED = (FABRIKAM, HIJACKER)


@pytest.mark.parametrize(
    ("before", "change", "kind", "level", "alarm"),
    [
        (None, route(PRIMARY, *PROVIDERS), PrefixEventType.ANNOUNCEMENT, EventLevel.INFORMATION, Alarm.NONE),
        (None, route(BACKUP, *PROVIDERS), PrefixEventType.BACKUP_ANNOUNCEMENT, EventLevel.INFORMATION, Alarm.NONE),
        (
            route(PRIMARY, *PROVIDERS), gone(PRIMARY),
            PrefixEventType.WITHDRAWAL, EventLevel.WARNING, Alarm.WITHDRAWAL,
        ),
        (
            route(BACKUP, *PROVIDERS), gone(BACKUP),
            PrefixEventType.BACKUP_WITHDRAWAL, EventLevel.WARNING, Alarm.WITHDRAWAL,
        ),
        (
            route(PRIMARY, *PROVIDERS), route(PRIMARY, *HIJACKED),
            PrefixEventType.ORIGIN_CHANGE, EventLevel.CRITICAL, Alarm.HIJACK,
        ),
        (
            None, route(TRANSIT, WOODGROVE, HIJACKER, accepted=False),
            PrefixEventType.ORIGIN_CHANGE, EventLevel.CRITICAL, Alarm.HIJACK,
        ),
        (None, route(BACKUP, *HIJACKED), PrefixEventType.BACKUP_ORIGIN_CHANGE, EventLevel.ERROR, Alarm.HIJACK),
        (
            route(TRANSIT, WOODGROVE, HIJACKER), gone(TRANSIT),
            PrefixEventType.WITHDRAWAL, EventLevel.WARNING, Alarm.NONE,
        ),
        (
            route(TRANSIT, WOODGROVE, HIJACKER), route(TRANSIT, WOODGROVE, FABRIKAM, CONTOSO),
            PrefixEventType.WITHDRAWAL, EventLevel.WARNING, Alarm.NONE,
        ),
        (route(BACKUP, *HIJACKED), gone(BACKUP), PrefixEventType.BACKUP_WITHDRAWAL, EventLevel.WARNING, Alarm.NONE),
        (
            None, route(EXCHANGE, 64504, CONTOSO, accepted=False),
            PrefixEventType.ANNOUNCEMENT, EventLevel.INFORMATION, Alarm.LEAK,
        ),
    ],
)  # fmt: skip
def test_a_change_and_the_event_it_is(
    before: RouteChanged | None, change: RouteChanged, kind: PrefixEventType, level: EventLevel, alarm: Alarm
) -> None:
    (event,) = told(change, before)
    assert (event.kind, LEVELS[event.kind], event.alarm) == (kind, level, alarm)
    assert (event.node, event.session) == (change.node, change.session)
    over = event.kind in (PrefixEventType.WITHDRAWAL, PrefixEventType.BACKUP_WITHDRAWAL)
    assert event.origin == (before.origin if over and before else change.origin)


@pytest.mark.parametrize(
    ("before", "change", "backup"),
    [
        (route(PRIMARY, *PROVIDERS), route(PRIMARY, *PROVIDERS, best=True), "Dublin"),
        (route(PRIMARY, *PROVIDERS), route(PRIMARY, *PROVIDERS, received_at=9), "Dublin"),
        (None, gone(PRIMARY), "Dublin"),
        (None, route(TRANSIT, WOODGROVE, FABRIKAM, CONTOSO), "Dublin"),
        (route(TRANSIT, WOODGROVE, FABRIKAM, CONTOSO), gone(TRANSIT), "Dublin"),
        (None, route(BACKUP, *PROVIDERS), None),
    ],
    ids=["best only", "said again", "never held", "the internet's", "the internet's gone", "no backup was chosen"],
)
def test_what_is_no_event(before: RouteChanged | None, change: RouteChanged, backup: str | None) -> None:
    assert told(change, before, backup) == []


def test_the_right_origin_comes_back_after_a_hijack() -> None:
    (event,) = told(route(PRIMARY, *PROVIDERS), route(PRIMARY, *HIJACKED))
    assert (event.kind, event.alarm) == (PrefixEventType.ANNOUNCEMENT, Alarm.NONE)


def test_who_is_named_and_what_became_of_the_route() -> None:
    (event,) = told(route(TRANSIT, WOODGROVE, HIJACKER, accepted=False, reason="origin"))
    assert f"origin AS{HIJACKER}" in event.summary
    assert f"AS{WOODGROVE}" in event.summary
    assert event.summary.endswith(f"its origin is AS{CONTOSO}")
    assert event.description.endswith("rejected: origin")
    assert event.caused_at == 5


def test_the_path_in_use_is_the_one_that_its_edge_chose() -> None:
    held = {
        "a": route(PRIMARY, *PROVIDERS, best=True),
        "b": route(SECOND, *PROVIDERS, best=True),
        "c": route(BACKUP, *PROVIDERS),
        "d": route(TRANSIT, WOODGROVE, FABRIKAM, CONTOSO),
        "e": route(EXCHANGE, 64504, CONTOSO, accepted=False),
    }
    active, behind = paths_of(MODEL, under_watch(), held)
    assert active is not None and active.session == PRIMARY[1]
    assert behind is not None and behind.session == BACKUP[1]
    assert path_event(MODEL, PrefixEventType.ACTIVE_PATH, active, 7).caused_at == 7
    assert paths_of(MODEL, under_watch(), {"e": held["e"]}) == (None, None)


def test_a_prefix_that_is_gone_is_not_watched() -> None:
    assert watched_of(MODEL, ledger(), "ps/other") is None


PART, FAR_PART = "198.18.33.0/25", "198.18.33.192/26"


def part(change: RouteChanged, prefix: str = PART) -> RouteChanged:
    return msgspec.structs.replace(change, prefix=prefix)


@pytest.mark.parametrize("prefix", [PART, FAR_PART])
@pytest.mark.parametrize(
    ("change", "kind", "level", "alarm"),
    [
        (route(PRIMARY, *HIJACKED), PrefixEventType.ORIGIN_CHANGE, EventLevel.CRITICAL, Alarm.HIJACK),
        (route(TRANSIT, WOODGROVE, HIJACKER), PrefixEventType.ORIGIN_CHANGE, EventLevel.CRITICAL, Alarm.HIJACK),
        (route(BACKUP, *HIJACKED), PrefixEventType.BACKUP_ORIGIN_CHANGE, EventLevel.ERROR, Alarm.HIJACK),
        (route(EXCHANGE, 64504, CONTOSO), PrefixEventType.ANNOUNCEMENT, EventLevel.INFORMATION, Alarm.LEAK),
    ],
)
def test_a_more_specific_of_another_origin_is_a_hijack_and_one_from_a_stranger_a_leak(
    change: RouteChanged, kind: PrefixEventType, level: EventLevel, alarm: Alarm, prefix: str
) -> None:
    (event,) = told(part(change, prefix))
    assert (event.kind, LEVELS[event.kind], event.alarm, event.announced) == (kind, level, alarm, prefix)
    assert event.summary.find(f"{prefix}, inside {PREFIX},") >= 0
    assert told(part(change, prefix), part(change, prefix)) == []
    (over,) = told(part(gone((change.node, change.session)), prefix), part(change, prefix))
    assert over.kind in (PrefixEventType.WITHDRAWAL, PrefixEventType.BACKUP_WITHDRAWAL) and over.announced == prefix


def test_what_the_provider_takes_apart_itself_is_no_event() -> None:
    assert told(part(route(PRIMARY, *PROVIDERS))) == []
    assert told(part(gone(PRIMARY)), part(route(PRIMARY, *PROVIDERS))) == []
    assert told(part(gone(PRIMARY))) == []


def test_six_more_specifics_are_watched_and_no_host_has_any() -> None:
    assert len(more_specifics(Prefix(PREFIX))) == 6
    assert more_specifics(Prefix("2001:db8::/48"))[:2] == ("2001:db8::/49", "2001:db8:0:8000::/49")
    assert more_specifics(Prefix("198.18.33.7/32")) == ()
