"""Validation from observed routes: each documented failure from real attributes, and its repair (spec 4.1, 4.2)."""

from __future__ import annotations

import msgspec
import pytest

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.peering.prefix_validation import (
    REGISTERED_RULES,
    SERVICE_RULES,
    validate_registered,
    validate_service_prefix,
)
from peerlab.peering.validation import SESSION_RULES, ObservedRoute, ObservedSession, validate_sessions
from peerlab.peering.verdict import RuleVerdict, failures

PREFIX, PARTNER, CUSTOMER = "203.0.113.0/24", 64500, 64501
PUBLIC = (Prefix("203.0.113.0/24"),)


def session(peer: str, router: str = "ams1", place: str = "Amsterdam", **changes: object) -> ObservedSession:
    fields: dict[str, object] = {
        "id": f"{router}-{peer}",
        "peer": Address(peer),
        "family": Family.IPV4,
        "router": router,
        "peering_location": place,
        "state": "Established",
        "peer_as": PARTNER,
        "max_prefixes": 3,
    }
    return ObservedSession(**(fields | changes))  # type: ignore[arg-type]


FIRST, SECOND = session("192.0.2.0"), session("192.0.2.2", "ams2")
AWAY = session("192.0.2.4", "dub1", "Dublin")


def route(
    at: ObservedSession,
    path: tuple[int, ...] = (PARTNER, CUSTOMER),
    communities: tuple[str, ...] = ("8075:8007",),
    prefix: str = PREFIX,
    rpki: str = "valid",
) -> ObservedRoute:
    attributes = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, path),), communities=communities)
    return ObservedRoute(session=at.id, prefix=Prefix(prefix), attributes=attributes, rpki=rpki)


GOOD = (route(FIRST), route(SECOND))


def messages(verdicts: tuple[RuleVerdict, ...]) -> list[tuple[str, str]]:
    return [(v.rule, v.message) for v in failures(verdicts)]


def registered(
    routes: tuple[ObservedRoute, ...] | None, prefix: str = PREFIX, asns: tuple[int, ...] = (CUSTOMER, PARTNER)
) -> list[tuple[str, str]]:
    verdicts = validate_registered(prefix, (FIRST, SECOND), routes, registry_asns=asns, public_ranges=PUBLIC)
    return messages(verdicts)


# routes received, the failures they give: table 4.1 row by row
REGISTERED = [
    (GOOD, []),
    ((route(FIRST),), [("VAL-08", "Prefix not received from IP 192.0.2.2")]),
    ((), [("VAL-08", "Prefix not received from IP 192.0.2.0, 192.0.2.2")]),
    ((route(FIRST), route(SECOND, communities=())), [("VAL-09", "Advertisement missing MAPS community")]),
    ((route(FIRST), route(SECOND, communities=("8075:8006",))), [("VAL-09", "Advertisement missing MAPS community")]),
    # a path of four
    ((route(FIRST), route(SECOND, path=(PARTNER, 64502, 64503, CUSTOMER))), [("VAL-10", "AS path isn't correct")]),
    ((route(FIRST), route(SECOND, path=(PARTNER, 64502, CUSTOMER))), []),
    # a private ASN
    ((route(FIRST), route(SECOND, path=(PARTNER, 64512, CUSTOMER))), [("VAL-10", "AS path isn't correct")]),
    # prepending
    ((route(FIRST), route(SECOND, path=(PARTNER, PARTNER, CUSTOMER))), [("VAL-10", "AS path isn't correct")]),
    # another prefix does not help
    ((route(FIRST), route(SECOND, prefix="198.51.100.0/24")), [("VAL-08", "Prefix not received from IP 192.0.2.2")]),
]  # fmt: skip


@pytest.mark.parametrize(("routes", "expected"), REGISTERED)
def test_registered_prefix(routes: tuple[ObservedRoute, ...], expected: list[tuple[str, str]]) -> None:
    assert registered(routes) == expected


def test_a_private_range_is_never_verified() -> None:
    private = "10.1.0.0/24"
    routes = (route(FIRST, prefix=private), route(SECOND, prefix=private))
    assert registered(routes, private) == [("VAL-05", "Prefix 10.1.0.0/24 is in a private range")]


def test_the_origin_must_be_in_a_registry() -> None:
    assert registered(GOOD, asns=(PARTNER,)) == [("VAL-06", "Origin AS 64501 is not in a routing registry")]


def test_without_evidence_there_is_no_verdict() -> None:
    assert registered(None) == [(rule, "Internal server error") for rule in REGISTERED_RULES]
    nothing = validate_registered(PREFIX, (), (), registry_asns=())
    assert [v.passed for v in nothing] == [None] * len(REGISTERED_RULES)


def service(
    routes: tuple[ObservedRoute, ...] | None,
    *,
    prefix: str = PREFIX,
    provider: int | None = PARTNER,
    primary: tuple[ObservedSession, ...] = (FIRST, SECOND),
    backup: tuple[ObservedSession, ...] | None = (AWAY,),
) -> tuple[RuleVerdict, ...]:
    return validate_service_prefix(
        prefix,
        provider_asn=provider,
        primary=primary,
        backup=backup,
        routes=routes,
        registry_asns=(CUSTOMER,),
        public_ranges=PUBLIC,
    )


EVERYWHERE = (*GOOD, route(AWAY))

# arguments, the failures they give: table 4.2 row by row
SERVICE: list[tuple[dict[str, object], list[tuple[str, str]]]] = [
    ({"routes": EVERYWHERE}, []),
    ({"routes": GOOD, "backup": None}, []),
    (
        {"routes": (route(FIRST), route(AWAY)), "primary": (FIRST,)},
        [("VAL-11", "Provider has fewer than two sessions in its primary location")],
    ),
    # two sessions on one router are no redundancy
    (
        {"routes": EVERYWHERE, "primary": (FIRST, msgspec.structs.replace(SECOND, router="ams1"))},
        [("VAL-11", "Provider has fewer than two sessions in its primary location")],
    ),
    ({"routes": GOOD, "backup": ()}, [("VAL-11", "Provider has no sessions in its backup location")]),
    (
        {"routes": (route(FIRST), route(AWAY))},
        [("VAL-08", "Not receiving prefix advertisement from IP 192.0.2.2 for prefix 203.0.113.0/24")],
    ),
    (
        {"routes": GOOD},
        [("VAL-08", "Not receiving prefix advertisement from IP 192.0.2.4 for prefix 203.0.113.0/24")],
    ),
    ({"routes": ()}, [("VAL-08", "Prefix is not announced by the service provider to Microsoft.")]),
    (
        {"routes": (*GOOD, route(AWAY, communities=()))},
        [
            (
                "VAL-09",
                "Received route for prefix 203.0.113.0/24 should have the Peering Service (MAPS) community 8075:8007",
            )
        ],
    ),
    (
        {"routes": (*GOOD, route(AWAY, path=(PARTNER, 64502, 64503, CUSTOMER)))},
        [("VAL-10", "AS path length for prefix should be <=3 for prefix 203.0.113.0/24")],
    ),
    (
        {"routes": (*GOOD, route(AWAY, path=(PARTNER, 64512, CUSTOMER)))},
        [("VAL-10", "AS path for prefix 203.0.113.0/24 shouldn't have any private ASN")],
    ),
    (
        {"routes": (*GOOD, route(AWAY, path=(PARTNER, CUSTOMER, CUSTOMER)))},
        [("VAL-10", "AS path for prefix 203.0.113.0/24 shouldn't have prepending")],
    ),
    ({"routes": EVERYWHERE, "provider": None}, [("VAL-07", "Peering service provider not found")]),
    ({"routes": (), "prefix": "2001:db8::/32"}, [("usable", "Peering service prefix is invalid")]),
    ({"routes": None}, [(rule, "Internal server error") for rule in SERVICE_RULES]),
]


@pytest.mark.parametrize(("given", "expected"), SERVICE)
def test_peering_service_prefix(given: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert messages(service(**given)) == expected  # type: ignore[arg-type]


def test_announcements_that_differ_between_locations_are_a_warning() -> None:
    verdicts = service((*GOOD, route(AWAY, communities=("8075:8007", "64500:1"))))
    assert failures(verdicts) == ()
    assert [(v.rule, v.message, v.warning) for v in verdicts if v.passed is False] == [
        ("VAL-12", "Announcements of prefix 203.0.113.0/24 differ between locations", True)
    ]


def test_a_route_server_mesh_is_judged_session_by_session() -> None:
    """One route server has sessions with two Microsoft routers: the same peer address, two sessions."""
    one, two = session("80.249.208.255", "ams1"), session("80.249.208.255", "ams2")
    mesh = {"primary": (one, two), "backup": None}
    assert messages(service((route(one), route(two)), **mesh)) == []  # type: ignore[arg-type]
    missing = "Not receiving prefix advertisement from IP 80.249.208.255 for prefix 203.0.113.0/24"
    assert messages(service((route(one),), **mesh)) == [("VAL-08", missing)]  # type: ignore[arg-type]


def sessions_judged(routes: tuple[ObservedRoute, ...] | None, *sessions: ObservedSession) -> list[tuple[str, str]]:
    verdicts = validate_sessions(sessions or (FIRST,), routes, agreed_asn=PARTNER, public_ranges=PUBLIC)
    assert [v.rule for v in verdicts] == list(SESSION_RULES), "every rule is judged, whatever happens"
    return messages(verdicts)


# routes received under DENY ALL, the failures that keep the policy closed
BAD_ADVERTISEMENTS = [
    ((route(FIRST),), []),
    ((), []),
    ((route(FIRST, prefix="0.0.0.0/0"),), [("POL-10", "0.0.0.0/0 from 192.0.2.0 is a default route")]),
    (
        (route(FIRST, path=(PARTNER, 12076)),),
        [("POL-12", "203.0.113.0/24 from 192.0.2.0 has AS12076 in its path")],
    ),
    ((route(FIRST, rpki="invalid"),), [("POL-20", "203.0.113.0/24 from 192.0.2.0 is RPKI invalid")]),
    (
        (route(FIRST, prefix="10.0.0.0/8"),),
        [("VAL-05", "10.0.0.0/8 from 192.0.2.0 is in special-purpose space")],
    ),
    (
        (route(FIRST, path=(CUSTOMER,)),),
        [("POL-13", "203.0.113.0/24 from 192.0.2.0 does not begin with the peer's AS")],
    ),
    (
        tuple(route(FIRST, prefix=f"20.0.{n}.0/24") for n in range(4)),
        [("POL-15", "session with 192.0.2.0 sent 4 prefixes, more than 3")],
    ),
    (tuple(route(FIRST, prefix=f"20.0.{n}.0/24") for n in range(3)), []),
]


@pytest.mark.parametrize(("routes", "expected"), BAD_ADVERTISEMENTS)
def test_end_to_end_validation_of_what_was_advertised(
    routes: tuple[ObservedRoute, ...], expected: list[tuple[str, str]]
) -> None:
    assert sessions_judged(routes) == expected


# a session as observed, the failures that keep the policy closed
BAD_SESSIONS = [
    (session("192.0.2.0", state="Active"), [("SES-01", "session with 192.0.2.0 is Active, not Established")]),
    (session("192.0.2.0", peer_as=64999), [("SES-01", "session with 192.0.2.0 is with AS64999, not AS64500")]),
    (
        session("192.0.2.0", accepted=1),
        [("POL-02", "session with 192.0.2.0 accepted 1 and advertised 0 routes under DENY ALL")],
    ),
    (
        session("192.0.2.0", advertised=2),
        [("POL-02", "session with 192.0.2.0 accepted 0 and advertised 2 routes under DENY ALL")],
    ),
]


@pytest.mark.parametrize(("observed", "expected"), BAD_SESSIONS)
def test_end_to_end_validation_of_the_sessions(observed: ObservedSession, expected: list[tuple[str, str]]) -> None:
    assert sessions_judged((), observed) == expected


def test_a_route_server_does_not_stand_in_the_path() -> None:
    server = session("80.249.208.255", route_server=True)
    assert sessions_judged((route(server, path=(CUSTOMER,)),), server) == []


def test_unread_ribs_open_nothing() -> None:
    assert [rule for rule, _ in sessions_judged(None)] == list(SESSION_RULES[2:])


def test_no_known_session_opens_nothing() -> None:
    verdicts = validate_sessions((), (), agreed_asn=PARTNER)
    assert {v.rule for v in failures(verdicts)} == {"SES-01", "POL-02"}
