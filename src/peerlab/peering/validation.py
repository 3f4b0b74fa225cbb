"""End-to-end validation of a connection's sessions under DENY ALL (spec S3, 3.0; HELP/e6abe37c).

Pure functions of what the edge routers report. A rule without evidence is not judged, and what is not judged does not
open a policy. Rules are catalogue ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix
from peerlab.peering.number_space import EXPRESSROUTE, is_special
from peerlab.peering.verdict import RuleVerdict

SESSION_RULES: tuple[str, ...] = ("SES-01", "POL-02", "VAL-05", "POL-10", "POL-12", "POL-13", "POL-15", "POL-20")
"""Every rule that must have passed before a policy opens, in the order they are judged."""

DEFAULT_ROUTES = frozenset({"0.0.0.0/0", "::/0"})


class ObservedSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a connection as the edge router reports it. ``id`` tells sessions with one peer address apart.

    ``accepted`` and ``advertised`` count routes after import policy and in Adj-RIB-Out. ``max_prefixes`` is what the
    peering request allows. ``route_server`` sessions have no first-AS rule (RFC 7947 section 2.2.2.2).
    ``waits_for_bfd``: BFD is demanded of it and is not Up, so that it exchanges no route whatever BGP says.
    """

    id: str
    peer: Address
    family: Family
    router: str
    peering_location: str
    state: str
    peer_as: int
    max_prefixes: int
    accepted: int = 0
    advertised: int = 0
    route_server: bool = False
    waits_for_bfd: bool = False


class ObservedRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route in Adj-RIB-In before policy. ``session`` is the session's id; ``rpki`` RFC 6811's state or None."""

    session: str
    prefix: Prefix
    attributes: PathAttributes
    rpki: str | None = None


def validate_sessions(
    sessions: Sequence[ObservedSession],
    routes: Sequence[ObservedRoute] | None,
    *,
    agreed_asn: int,
    public_ranges: Iterable[Prefix] = (),
) -> tuple[RuleVerdict, ...]:
    """One verdict per rule of ``SESSION_RULES``. ``routes`` None means that the RIBs could not be read.

    ``sessions`` are all sessions the connection should have, one that does not exist included in whatever state;
    every route is of one of them.
    """
    ranges = tuple(public_ranges)
    verdicts = [_established(sessions, agreed_asn), _denied(sessions)]
    if routes is None:
        return (*verdicts, *(_missing(rule) for rule in SESSION_RULES[2:]))
    by_id = {s.id: s for s in sessions}

    def first_as_differs(route: ObservedRoute) -> bool:
        session = by_id[route.session]
        return not session.route_server and route.attributes.first_as() != session.peer_as

    def every(rule: str, fault: str, broken: Callable[[ObservedRoute], bool]) -> RuleVerdict:
        bad = [f"{r.prefix} from {by_id[r.session].peer} {fault}" for r in routes if broken(r)]
        return RuleVerdict(rule=rule, passed=not bad, message="; ".join(bad))

    return (
        *verdicts,
        every("VAL-05", "is in special-purpose space", lambda r: is_special_route(r, ranges)),
        every("POL-10", "is a default route", lambda r: r.prefix in DEFAULT_ROUTES),
        every("POL-12", f"has AS{EXPRESSROUTE} in its path", lambda r: EXPRESSROUTE in r.attributes.asns()),
        every("POL-13", "does not begin with the peer's AS", first_as_differs),
        _within_limits(sessions, routes),
        every("POL-20", "is RPKI invalid", lambda r: r.rpki == "invalid"),
    )


def is_special_route(route: ObservedRoute, public_ranges: Iterable[Prefix]) -> bool:
    """Special-purpose space, the default route excepted: that has its own rule."""
    return route.prefix not in DEFAULT_ROUTES and is_special(route.prefix, public_ranges)


def _established(sessions: Sequence[ObservedSession], agreed_asn: int) -> RuleVerdict:
    if not sessions:
        return RuleVerdict(rule="SES-01", passed=None, message="No session of the connection is known")
    bad = [f"session with {s.peer} is {s.state}, not Established" for s in sessions if s.state != "Established"]
    bad += [
        f"session with {s.peer} exchanges no route: BFD is required and not Up" for s in sessions if s.waits_for_bfd
    ]
    bad += [
        f"session with {s.peer} is with AS{s.peer_as}, not AS{agreed_asn}"
        for s in sessions
        if not s.route_server and s.peer_as != agreed_asn
    ]
    return RuleVerdict(rule="SES-01", passed=not bad, message="; ".join(bad))


def _denied(sessions: Sequence[ObservedSession]) -> RuleVerdict:
    if not sessions:
        return RuleVerdict(rule="POL-02", passed=None, message="No session of the connection is known")
    open_ones = [
        f"session with {s.peer} accepted {s.accepted} and advertised {s.advertised} routes under DENY ALL"
        for s in sessions
        if s.accepted or s.advertised
    ]
    return RuleVerdict(rule="POL-02", passed=not open_ones, message="; ".join(open_ones))


def _within_limits(sessions: Iterable[ObservedSession], routes: Sequence[ObservedRoute]) -> RuleVerdict:
    bad: list[str] = []
    for session in sessions:
        count = sum(1 for r in routes if r.session == session.id)
        if count > session.max_prefixes:
            bad.append(f"session with {session.peer} sent {count} prefixes, more than {session.max_prefixes}")
    return RuleVerdict(rule="POL-15", passed=not bad, message="; ".join(bad))


def _missing(rule: str) -> RuleVerdict:
    return RuleVerdict(rule=rule, passed=None, message=f"{rule} could not be judged: received routes are unknown")
