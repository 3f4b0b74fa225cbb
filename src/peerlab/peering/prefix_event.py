"""Events of a Peering Service prefix: what a change of routes at the edge means to the customer (spec 3.9).

A route is told by where it came from: over the provider's sessions at the primary location it is the active route's,
at the backup location the backup route's. An announcement of exactly that prefix with another origin is a sign of a
hijack wherever it is heard, whether or not import policy let it in; one with the right origin from an AS that is no
upstream of it is a leak. Which path is in use is what the edge routers' own decisions say.

More-specifics are watched too, up to ``SUB_PREFIX_BITS`` longer: packets follow them whatever the prefix's own route is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from ipaddress import ip_network

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.evidence.events import RouteChanged
from peerlab.peering.enums import EventLevel, PrefixEventType
from peerlab.peering.intent import as_set
from peerlab.peering.ledger import Ledger
from peerlab.peering.record import PeeringServiceRecord, ServicePrefixRecord
from peerlab.topology.model import LabModel, Relation, Session, SessionEnd

LEVELS: dict[PrefixEventType, EventLevel] = {
    PrefixEventType.ANNOUNCEMENT: EventLevel.INFORMATION,
    PrefixEventType.WITHDRAWAL: EventLevel.WARNING,
    PrefixEventType.BACKUP_ANNOUNCEMENT: EventLevel.INFORMATION,
    PrefixEventType.BACKUP_WITHDRAWAL: EventLevel.WARNING,
    PrefixEventType.ACTIVE_PATH: EventLevel.INFORMATION,
    PrefixEventType.BACKUP_PATH: EventLevel.INFORMATION,
    PrefixEventType.ORIGIN_CHANGE: EventLevel.CRITICAL,
    PrefixEventType.BACKUP_ORIGIN_CHANGE: EventLevel.ERROR,
}
"""The level of each type [PS/connection-telemetry]."""


SUB_PREFIX_BITS = 2
"""How many bits longer than a prefix its more-specifics are that are watched with it: six prefixes."""


class Alarm(StrEnum):
    """What an event is a sign of, besides its type."""

    NONE = ""
    HIJACK = "hijack"
    LEAK = "leak"
    WITHDRAWAL = "withdrawal"


class Standing(StrEnum):
    """What a session is to a Peering Service prefix, in the order in which its routes are preferred."""

    PRIMARY = "primary"
    BACKUP = "backup"
    ELSEWHERE = "elsewhere"
    TRANSIT = "transit"
    STRANGER = "stranger"


_ORDER = list(Standing)


class PrefixEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event before it is recorded; ``caused_at`` is when the router saw its cause (ns), ``announced`` the more
    specific prefix that it is about, if it is about one."""

    kind: PrefixEventType
    summary: str
    description: str = ""
    node: str = ""
    session: str = ""
    origin: int | None = None
    alarm: Alarm = Alarm.NONE
    caused_at: int = 0
    announced: str = ""


class Watched(msgspec.Struct, frozen=True):
    """A prefix under watch: its service, its provider's ASN, and the origins that may announce it."""

    record: ServicePrefixRecord
    service: PeeringServiceRecord
    provider: int | None
    origins: frozenset[int]


def watched_of(model: LabModel, ledger: Ledger, key: str) -> Watched | None:
    """What to know of a prefix to judge its routes; None when the prefix is gone.

    The origins are those of the routing registry; a prefix that nobody registered has none, and then its first
    announcement from the provider says who it is.
    """
    record = ledger.prefixes.get(key)
    if record is None:
        return None
    service = ledger.services[record.service]
    provider = next((known.asn for known in model.ases if known.name == service.provider), None)
    origins = frozenset(entry.origin_asn for entry in model.registry if entry.prefix == record.prefix)
    return Watched(record, service, provider, origins)


def more_specifics(prefix: Prefix) -> tuple[Prefix, ...]:
    """The more-specifics of a prefix that are watched with it, the shorter ones first."""
    whole = ip_network(prefix)
    bits = min(SUB_PREFIX_BITS, whole.max_prefixlen - whole.prefixlen)
    return tuple(Prefix(str(part)) for more in range(1, bits + 1) for part in whole.subnets(prefixlen_diff=more))


def standing_of(model: LabModel, watched: Watched, session_id: str) -> Standing:
    """What a session is to a prefix; one that the model does not have is a stranger's."""
    session = next((s for s in model.sessions if s.id == session_id), None)
    if session is None:
        return Standing.STRANGER
    name = (session.connection or "").rpartition("/")[0]
    peering = next((p for p in model.peerings if p.name == name), None)
    if peering is not None and peering.peer_asn == watched.provider:
        if peering.peering_location == watched.service.primary:
            return Standing.PRIMARY
        return Standing.BACKUP if peering.peering_location == watched.service.backup else Standing.ELSEWHERE
    ours, _ = ends_of(model, session)
    return Standing.TRANSIT if ours.relation is Relation.PROVIDER else Standing.STRANGER


def events_of(
    model: LabModel, watched: Watched, before: RouteChanged | None, change: RouteChanged
) -> tuple[PrefixEvent, ...]:
    """What one change of one session's route means; ``before`` is what it held until then."""
    had = before if before is not None and before.held else None
    if change.prefix != watched.record.prefix:
        return _of_more_specific(model, watched, had, change)
    if not change.held:
        return () if had is None else _withdrawn(model, watched, had, change)
    if had is not None and (had.as_path, had.origin) == (change.as_path, change.origin):
        return ()
    standing = standing_of(model, watched, change.session)
    who, how = _who(model, change.session), _how(change)
    if _is_foreign(watched, change):
        return (
            _event(
                PrefixEventType.BACKUP_ORIGIN_CHANGE if standing is Standing.BACKUP else PrefixEventType.ORIGIN_CHANGE,
                change,
                f"{change.prefix} is announced with origin {_as(change.origin)} by {who}; its origin is "
                f"{_either(watched.origins)}",
                how,
                Alarm.HIJACK,
            ),
        )
    told = "is announced" if had is None else "is announced with another path"
    if standing in (Standing.PRIMARY, Standing.BACKUP):
        primary = standing is Standing.PRIMARY
        kind = PrefixEventType.ANNOUNCEMENT if primary else PrefixEventType.BACKUP_ANNOUNCEMENT
        return (_event(kind, change, f"{change.prefix} {told} by {who} at the {standing} location", how),)
    if had is not None and _is_foreign(watched, had):
        # What the neighbour says instead is no event there, but that the other origin is gone is one.
        return _withdrawn(model, watched, had, change)
    if standing is Standing.STRANGER and _leaks(model, watched, change):
        summary = f"Route leak: {change.prefix} {told} by {who}, who is no provider of {_either(watched.origins)}"
        return (_event(PrefixEventType.ANNOUNCEMENT, change, summary, how, Alarm.LEAK),)
    return ()


def paths_of(
    model: LabModel, watched: Watched, held: Mapping[str, RouteChanged]
) -> tuple[RouteChanged | None, RouteChanged | None]:
    """The route in use and the route that stands behind it, of what the sessions hold; None where there is none.

    Every edge decides for itself: in use is whatever is best at the edge that it came to, and where edges of one
    location share the traffic the first of them is named.
    """
    candidates = sorted(
        (route for route in held.values() if route.held and route.accepted),
        key=lambda route: (not route.best, _ORDER.index(standing_of(model, watched, route.session)), route.session),
    )
    active = next((route for route in candidates if route.best), None)
    backup = next((route for route in candidates if not route.best), None)
    return active, backup


def path_event(model: LabModel, kind: PrefixEventType, route: RouteChanged, since: int) -> PrefixEvent:
    """The event that names the route now in use, or the one behind it; ``since`` is when routes changed (ns)."""
    what = "is routed by" if kind is PrefixEventType.ACTIVE_PATH else "would be routed next by"
    event = _event(kind, route, f"{route.prefix} {what} {_who(model, route.session)}", _how(route))
    return msgspec.structs.replace(event, caused_at=since)


def ends_of(model: LabModel, session: Session) -> tuple[SessionEnd, SessionEnd]:
    """The cloud's end and the other one."""
    cloud = model.cloud()
    left_is_cloud = cloud is None or session.left.asn == cloud.asn
    return (session.left, session.right) if left_is_cloud else (session.right, session.left)


def _of_more_specific(
    model: LabModel, watched: Watched, had: RouteChanged | None, change: RouteChanged
) -> tuple[PrefixEvent, ...]:
    """A more-specific of another origin is a sign of a hijack; one of the right origin, from who is no upstream of it,
    of a leak (RFC 7908 type 6). What the provider itself takes apart is its own affair."""
    route = change if change.held else had
    if route is None or (had is not None and (had.as_path, had.origin) == (change.as_path, change.origin)):
        return ()
    foreign = _is_foreign(watched, route)
    if not foreign and not _leaks(model, watched, route):
        return ()
    standing, who, inside = standing_of(model, watched, change.session), _who(model, change.session), watched.record
    backup = standing is Standing.BACKUP
    told = f"{change.prefix}, inside {inside.prefix},"
    if not change.held:
        kind = PrefixEventType.BACKUP_WITHDRAWAL if backup else PrefixEventType.WITHDRAWAL
        gone = msgspec.structs.replace(change, origin=route.origin)
        event = _event(kind, gone, f"{told} is no longer announced by {who}", _route(route))
    elif foreign:
        summary = f"{told} is announced with origin {_as(change.origin)} by {who}; its origin is "
        kind = PrefixEventType.BACKUP_ORIGIN_CHANGE if backup else PrefixEventType.ORIGIN_CHANGE
        event = _event(kind, change, summary + _either(watched.origins), _how(change), Alarm.HIJACK)
    else:
        summary = f"Route leak: {told} is announced by {who}, who is no provider of {_either(watched.origins)}"
        event = _event(PrefixEventType.ANNOUNCEMENT, change, summary, _how(change), Alarm.LEAK)
    return (msgspec.structs.replace(event, announced=change.prefix),)


def _withdrawn(
    model: LabModel, watched: Watched, had: RouteChanged, change: RouteChanged
) -> tuple[PrefixEvent, ...]:
    standing, who = standing_of(model, watched, change.session), _who(model, change.session)
    told = msgspec.structs.replace(change, origin=had.origin)
    if _is_foreign(watched, had) or (standing is Standing.STRANGER and _leaks(model, watched, had)):
        backup = standing is Standing.BACKUP
        kind = PrefixEventType.BACKUP_WITHDRAWAL if backup else PrefixEventType.WITHDRAWAL
        summary = f"{change.prefix} with origin {_as(had.origin)} is no longer announced by {who}"
        return (_event(kind, told, summary, _route(had)),)
    if standing not in (Standing.PRIMARY, Standing.BACKUP):
        return ()
    kind = PrefixEventType.WITHDRAWAL if standing is Standing.PRIMARY else PrefixEventType.BACKUP_WITHDRAWAL
    summary = f"{change.prefix} is withdrawn by {who} at the {standing} location"
    why = f"; {change.reason}" if change.reason else ""
    return (_event(kind, told, summary, f"{_route(had)}{why}", Alarm.WITHDRAWAL),)


def _event(
    kind: PrefixEventType, route: RouteChanged, summary: str, description: str, alarm: Alarm = Alarm.NONE
) -> PrefixEvent:
    return PrefixEvent(
        kind=kind,
        summary=summary,
        description=description,
        node=route.node,
        session=route.session,
        origin=route.origin,
        alarm=alarm,
        caused_at=route.received_at or route.at,
    )


def _is_foreign(watched: Watched, route: RouteChanged) -> bool:
    return bool(watched.origins) and route.origin not in watched.origins


def _leaks(model: LabModel, watched: Watched, route: RouteChanged) -> bool:
    """Whether the neighbour may not announce any of the origins' prefixes to the cloud (RFC 7908 section 2)."""
    session = next((s for s in model.sessions if s.id == route.session), None)
    if session is None or not watched.origins:
        return False
    _, theirs = ends_of(model, session)
    return watched.origins.isdisjoint(as_set(model, theirs.asn))


def _who(model: LabModel, session_id: str) -> str:
    session = next((s for s in model.sessions if s.id == session_id), None)
    if session is None:
        return f"session {session_id}"
    _, theirs = ends_of(model, session)
    return f"{theirs.address} (AS{theirs.asn})"


def _route(route: RouteChanged) -> str:
    return f"AS path {route.as_path or '-'}, session {route.session} at {route.node}"


def _how(route: RouteChanged) -> str:
    """The route, and what the edge made of it."""
    if not route.accepted:
        fate = f"rejected: {route.reason}" if route.reason else "rejected"
    else:
        fate = "accepted and in use" if route.best else "accepted, not in use"
    return f"{_route(route)}; {fate}"


def _as(origin: int | None) -> str:
    return "unknown" if origin is None else f"AS{origin}"


def _either(origins: Iterable[int]) -> str:
    return " or ".join(f"AS{asn}" for asn in sorted(origins)) or "not registered"
