"""The edge's policies, statement by statement: a route each one rejects, and a near miss that passes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import pytest

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.policy import DENY_ALL, LearnedFrom, Policy, Verdict
from peerlab.bgp.policy_engine import Judgement, evaluate
from peerlab.peering.number_space import BOGON_ASNS, BOGONS_V4, BOGONS_V6, TRANSIT_FREE
from peerlab.peering.policy import (
    TRANSIT_TAG,
    Activation,
    EdgeRules,
    EdgeSession,
    Neighbour,
    export_policy,
    import_policy,
    transit_import,
)
from peerlab.topology import relation
from peerlab.topology.model import PolicyStage, RegistryEntry

PEER, CUSTOMER, STRANGER, RIVAL = 64500, 64501, 65540, 65542
AMSTERDAM, DUBLIN, SEATTLE = "Amsterdam", "Dublin", "Seattle"


def entry(prefix: str, asn: int, longest: int | None = None) -> RegistryEntry:
    return RegistryEntry(prefix=Prefix(prefix), origin_asn=asn, max_length=longest)


RULES = EdgeRules(
    own=(Prefix("13.64.0.0/11"), Prefix("2603:1000::/24")),
    service=(Prefix("13.64.0.0/16"), Prefix("2603:1000::/32")),
    exchange_lans=(Prefix("80.249.208.0/21"), Prefix("2001:7f8:1::/64")),
    public_ranges=(Prefix("198.18.0.0/16"), Prefix("2001:db8::/32")),
    registry=(
        entry("198.18.32.0/24", PEER),
        entry("198.18.33.0/24", CUSTOMER),
        entry("45.0.0.0/16", CUSTOMER, 20),
        entry("45.0.0.0/8", PEER, 32),
        entry("64.0.0.0/6", PEER, 32),
        entry("80.249.208.0/20", PEER, 32),
        entry("13.0.0.0/8", PEER, 32),
        entry("0.0.0.0/0", PEER, 32),
        entry("::/0", PEER, 128),
        entry("2001:db8:2000::/48", PEER),
        entry("198.18.99.0/24", STRANGER),
    ),
)

V4 = EdgeSession(
    name="s4",
    family=Family.IPV4,
    neighbour=Neighbour.PRIVATE,
    peer_asn=PEER,
    peer=Address("192.0.2.0"),
    microsoft=Address("192.0.2.1"),
    location=AMSTERDAM,
    as_set=(PEER, CUSTOMER, TRANSIT_FREE[0]),
    registered=(Prefix("45.1.2.0/26"),),
)
V6 = msgspec.structs.replace(V4, name="s6", family=Family.IPV6, peer=Address("fe01::"), microsoft=Address("fe01::1"))
SERVER = msgspec.structs.replace(
    V4,
    neighbour=Neighbour.ROUTE_SERVER,
    peer_asn=65536,
    peer=Address("80.249.209.250"),
    microsoft=Address("80.249.209.20"),
    lan=Prefix("80.249.208.0/21"),
)
EXCHANGE = msgspec.structs.replace(V4, neighbour=Neighbour.EXCHANGE, lan=Prefix("80.249.208.0/21"))


@dataclass(frozen=True)
class Route:
    """A route as it arrives; ``path`` is a sequence, ``ends_in_set`` puts an AS_SET behind it."""

    prefix: str = "198.18.32.0/24"
    path: tuple[int, ...] = (PEER,)
    next_hop: str = "192.0.2.0"
    communities: tuple[str, ...] = ()
    large: tuple[str, ...] = ()
    med: int | None = None
    ends_in_set: bool = False

    def attributes(self) -> PathAttributes:
        segments = [Segment(SegmentType.AS_SEQUENCE, self.path)] if self.path else []
        if self.ends_in_set:
            segments.append(Segment(SegmentType.AS_SET, (CUSTOMER, PEER)))
        return PathAttributes(
            as_path=tuple(segments),
            next_hop=Address(self.next_hop),
            communities=self.communities,
            large_communities=self.large,
            med=self.med,
            local_pref=555,
        )


def judged(policy: Policy, route: Route, source: LearnedFrom = LearnedFrom.EBGP) -> Judgement:
    return evaluate(policy, Prefix(route.prefix), route.attributes(), source)


ON_LAN = "80.249.209.30"
GOOD4 = Route()
GOOD6 = Route(prefix="2001:db8:2000::/48", next_hop="fe01::")
BY_SERVER = Route(prefix="198.18.33.0/24", path=(CUSTOMER,), next_hop=ON_LAN)

# statement, session, a route that it rejects, a near miss that is accepted
STATEMENTS = [
    ("default route", V4, Route("0.0.0.0/0"), GOOD4),
    ("default route", V6, replace(GOOD6, prefix="::/0"), GOOD6),
    ("bogon prefix", V4, Route("10.1.0.0/16"), Route("11.1.0.0/16")),
    ("bogon prefix", V4, Route("198.19.0.0/24"), GOOD4),  # 198.18/15 is a bogon, 198.18/16 public in this lab
    ("bogon prefix", V6, replace(GOOD6, prefix="fc00::/32"), GOOD6),
    ("prefix of AS8075 itself", V4, Route("13.64.0.0/16"), Route("13.128.0.0/16")),
    ("prefix of AS8075 itself", V4, Route("13.65.7.0/24"), Route("13.32.0.0/16")),
    ("prefix of AS8075 itself", V6, replace(GOOD6, prefix="2603:1000:5::/48"), replace(GOOD6, prefix="2603:1100::/48")),
    ("prefix of an exchange LAN", V4, Route("80.249.209.0/24"), Route("80.249.216.0/24")),
    ("prefix of an exchange LAN", V4, Route("80.249.208.0/21"), Route("80.249.208.0/20")),  # covering is not inside
    ("longer than /24 and not registered", V4, Route("45.1.2.0/25"), Route("45.1.2.0/24")),
    ("longer than /24 and not registered", V4, Route("45.1.2.64/26"), Route("45.1.2.0/26")),  # the registered one
    ("longer than /48 and not registered", V6, replace(GOOD6, prefix="2001:db8:2000::/49"), GOOD6),
    ("shorter than /8", V4, Route("64.0.0.0/7"), Route("64.0.0.0/8")),
    ("shorter than /19", V6, replace(GOOD6, prefix="2a00::/18"), replace(GOOD6, prefix="2a00::/19")),
    ("bogon AS in the path", V4, Route(path=(PEER, 64512, PEER)), Route(path=(PEER, 64511, PEER))),
    ("bogon AS in the path", V4, Route(path=(PEER, 23456, PEER)), Route(path=(PEER, 23455, PEER))),
    ("bogon AS in the path", V4, Route(path=(PEER, 0, PEER)), Route(path=(PEER, 1, PEER))),
    ("bogon AS in the path", V4, Route(path=(PEER, 65552, PEER)), Route(path=(PEER, 65551, PEER))),
    ("AS12076 (ExpressRoute) in the path", V4, Route(path=(PEER, 12076, PEER)), Route(path=(PEER, 12077, PEER))),
    ("AS_SET in the path", V4, Route(ends_in_set=True), GOOD4),
    ("first AS is not the peer", V4, Route(path=(CUSTOMER, PEER)), Route(path=(PEER, PEER))),
    ("first AS is not the peer", V4, Route(path=()), GOOD4),
    ("first AS is not the peer", EXCHANGE, Route(path=(CUSTOMER,)), GOOD4),
    ("transit-free AS behind a peer", V4, Route(path=(PEER, 174, PEER)), Route(path=(PEER, 175, PEER))),
    ("transit-free AS behind a peer", SERVER, replace(BY_SERVER, path=(CUSTOMER, 3356, CUSTOMER)), BY_SERVER),
    ("path longer than 100", V4, Route(path=(PEER,) * 101), Route(path=(PEER,) * 100)),
    (
        "path of a registered prefix longer than 3",
        V4,
        Route("45.1.2.0/26", path=(PEER,) * 4),
        Route("45.1.2.0/26", path=(PEER,) * 3),
    ),
    ("next hop is not the peer", V4, Route(next_hop="192.0.2.1"), GOOD4),
    ("next hop is not the peer", EXCHANGE, Route(next_hop=ON_LAN), GOOD4),  # bilateral: no third party
    ("next hop is our own address", SERVER, replace(BY_SERVER, next_hop="80.249.209.20"), BY_SERVER),
    ("next hop is not on the exchange LAN", SERVER, replace(BY_SERVER, next_hop="192.0.2.9"), BY_SERVER),
    (
        "origin is not in the peer's as-set",
        V4,
        Route("198.18.99.0/24", path=(PEER, STRANGER)),
        Route("198.18.33.0/24", path=(PEER, CUSTOMER)),
    ),
    (
        "prefix has no route object of AS64501",
        V4,
        Route("198.18.34.0/24", path=(PEER, CUSTOMER)),
        Route("198.18.33.0/24", path=(PEER, CUSTOMER)),
    ),
    (
        "prefix has no route object of AS64501",
        V4,
        Route("45.0.16.0/21", path=(PEER, CUSTOMER)),  # the object allows up to /20
        Route("45.0.16.0/20", path=(PEER, CUSTOMER)),
    ),
]


@pytest.mark.parametrize(("statement", "session", "bad", "near_miss"), STATEMENTS)
def test_each_statement_rejects_its_route_and_no_more(
    statement: str, session: EdgeSession, bad: Route, near_miss: Route
) -> None:
    policy = import_policy(session, PolicyStage.ALLOW, RULES)
    rejected = judged(policy, bad)
    assert (rejected.accepted, rejected.statement) == (False, statement)
    passed = judged(policy, near_miss)
    assert (passed.accepted, passed.statement) == (True, "accepted")


def test_every_rejecting_statement_has_a_row() -> None:
    tested = {statement for statement, *_ in STATEMENTS}
    for session in (V4, V6, SERVER, EXCHANGE):
        for statement in import_policy(session, PolicyStage.ALLOW, RULES).statements:
            if statement.verdict is Verdict.REJECT and not statement.name.startswith("prefix has no route object"):
                assert statement.name in tested | {"origin has no route object"}


def test_an_origin_without_any_route_object_is_rejected() -> None:
    session = msgspec.structs.replace(V4, as_set=(PEER, 65541))
    policy = import_policy(session, PolicyStage.ALLOW, RULES)
    assert judged(policy, Route(path=(PEER, 65541))).statement == "origin has no route object"
    nobody = import_policy(V4, PolicyStage.ALLOW, msgspec.structs.replace(RULES, registry=()))
    assert judged(nobody, GOOD4).statement == "origin has no route object"


@pytest.mark.parametrize("prefix", [*BOGONS_V4, *BOGONS_V6])
def test_no_bogon_of_the_list_is_accepted(prefix: Prefix) -> None:
    session = V6 if ":" in prefix else V4
    rules = msgspec.structs.replace(RULES, public_ranges=())
    route = Route(prefix, next_hop=session.peer)
    assert judged(import_policy(session, PolicyStage.ALLOW, rules), route).statement == "bogon prefix"


@pytest.mark.parametrize("asn", [asn for r in BOGON_ASNS for asn in (r.low, r.high)])
def test_no_bogon_as_number_is_accepted(asn: int) -> None:
    policy = import_policy(V4, PolicyStage.ALLOW, RULES)
    assert judged(policy, Route(path=(PEER, asn, PEER))).statement == "bogon AS in the path"


def test_a_transit_free_peer_may_announce_its_own() -> None:
    session = msgspec.structs.replace(V4, peer_asn=174)
    rules = msgspec.structs.replace(RULES, registry=(entry("45.0.0.0/16", 174),))
    assert judged(import_policy(session, PolicyStage.ALLOW, rules), Route("45.0.0.0/16", path=(174,))).accepted


def test_communities_med_and_local_pref_are_overwritten() -> None:
    route = Route(communities=("64500:1", "8075:1", "8075:8007"), large=("64500:1:1", "8075:1:2"), med=50)
    after = judged(import_policy(V4, PolicyStage.ALLOW, RULES), route).attributes
    assert after.communities == ("64500:1", "8075:8007"), "own namespace scrubbed, MAPS and foreign ones kept"
    assert after.large_communities == ("64500:1:1", Neighbour.PRIVATE.tag)
    assert (after.med, after.local_pref) == (0, 200)
    plain = judged(import_policy(V4, PolicyStage.ALLOW, RULES), replace(route, communities=("8075:1", "8075:8006")))
    assert plain.attributes.communities == ()


def test_the_local_pref_ladder() -> None:
    values = [
        judged(import_policy(session, PolicyStage.ALLOW, RULES), route).attributes.local_pref
        for session, route in ((V4, GOOD4), (EXCHANGE, GOOD4), (SERVER, BY_SERVER))
    ]
    assert values == [200, 180, 160]
    assert values == [
        relation.LOCAL_PREF[s]
        for s in (relation.Source.PEER, relation.Source.EXCHANGE_PEER, relation.Source.ROUTE_SERVER)
    ], "one ladder in the whole lab"
    assert [n.tag for n in Neighbour] == [
        relation.tag(8075, s)
        for s in (relation.Source.PEER, relation.Source.EXCHANGE_PEER, relation.Source.ROUTE_SERVER)
    ]
    assert relation.tag(8075, relation.Source.PROVIDER) == TRANSIT_TAG


def test_graceful_shutdown_and_draining_put_a_route_last() -> None:
    policy = import_policy(V4, PolicyStage.ALLOW, RULES)
    assert judged(policy, Route(communities=("65535:0",))).attributes.local_pref == 0
    drained = msgspec.structs.replace(V4, draining=True)
    assert judged(import_policy(drained, PolicyStage.ALLOW, RULES), GOOD4).attributes.local_pref == 0
    out = judged(export_policy(drained, PolicyStage.ALLOW, RULES), Route("13.64.0.0/16", path=()), LearnedFrom.LOCAL)
    assert out.accepted
    assert out.attributes.communities == ("65535:0",)


@pytest.mark.parametrize("session", [V4, V6, SERVER, EXCHANGE])
def test_deny_is_the_one_deny_all(session: EdgeSession) -> None:
    assert import_policy(session, PolicyStage.DENY, RULES) is DENY_ALL
    assert export_policy(session, PolicyStage.DENY, RULES) is DENY_ALL


# What leaves under ALLOW: route, how it was learned, the statement that decides, whether it leaves
EXPORTS = [
    (Route("13.64.0.0/16", path=()), LearnedFrom.LOCAL, "service prefix", True),
    (Route("13.64.0.0/16", path=()), LearnedFrom.IBGP, "service prefix", True),
    # A regional specific that was not agreed.
    (Route("13.64.1.0/24", path=()), LearnedFrom.LOCAL, "not a service prefix", False),
    # The cloud's infrastructure.
    (Route("13.65.0.0/16", path=()), LearnedFrom.LOCAL, "not a service prefix", False),
    # A customer's Peering Service prefix, learned here and at another edge (spec S0: never re-announced).
    (GOOD4, LearnedFrom.EBGP, "learned from another AS", False),
    (
        replace(GOOD4, large=(Neighbour.PRIVATE.tag,)),
        LearnedFrom.IBGP,
        "learned from another AS at another edge",
        False,
    ),
    (replace(GOOD4, large=(TRANSIT_TAG,)), LearnedFrom.IBGP, "learned from another AS at another edge", False),
    # Somebody else's announcement of our own prefix.
    (Route("13.64.0.0/16"), LearnedFrom.EBGP, "learned from another AS", False),
]


@pytest.mark.parametrize(("route", "source", "statement", "leaves"), EXPORTS)
def test_only_service_prefixes_leave(route: Route, source: LearnedFrom, statement: str, leaves: bool) -> None:
    answer = judged(export_policy(V4, PolicyStage.ALLOW, RULES), route, source)
    assert (answer.accepted, answer.statement) == (leaves, statement)


WITH_BACKUP = Activation(prefix=Prefix("198.18.33.0/24"), provider_asn=PEER, primary=AMSTERDAM, backup=DUBLIN)
NO_BACKUP = msgspec.structs.replace(WITH_BACKUP, backup=None)
OTHER = msgspec.structs.replace(
    V4, peer_asn=RIVAL, as_set=(RIVAL, CUSTOMER), peer=Address("192.0.2.0"), location=AMSTERDAM
)

# activation, session, first AS of the path: what the edge makes of the activated prefix
DESIGNATED = [
    (WITH_BACKUP, V4, PEER, 400, "accepted"),
    (WITH_BACKUP, msgspec.structs.replace(V4, location=DUBLIN), PEER, 300, "accepted"),
    (WITH_BACKUP, msgspec.structs.replace(V4, location=SEATTLE), PEER, None, "not the designated location"),
    (NO_BACKUP, msgspec.structs.replace(V4, location=DUBLIN), PEER, None, "not the designated location"),
    (WITH_BACKUP, OTHER, RIVAL, None, "not the designated provider"),
]


@pytest.mark.parametrize(("activation", "session", "first", "local_pref", "statement"), DESIGNATED)
def test_an_activated_prefix_is_accepted_where_it_is_designated_only(
    activation: Activation, session: EdgeSession, first: int, local_pref: int | None, statement: str
) -> None:
    rules = msgspec.structs.replace(RULES, activations=(activation,))
    answer = judged(import_policy(session, PolicyStage.ALLOW, rules), Route("198.18.33.0/24", path=(first, CUSTOMER)))
    assert (answer.accepted, answer.statement) == (local_pref is not None, statement)
    if local_pref is not None:
        assert answer.attributes.local_pref == local_pref


def test_other_prefixes_keep_their_place_on_the_ladder() -> None:
    rules = msgspec.structs.replace(RULES, activations=(WITH_BACKUP,))
    assert judged(import_policy(V4, PolicyStage.ALLOW, rules), GOOD4).attributes.local_pref == 200


def test_a_flat_preference_is_the_same_at_every_location() -> None:
    """The hot-potato control: nothing is rejected for its location and no location is preferred."""
    rules = msgspec.structs.replace(RULES, activations=(WITH_BACKUP,), flat=True)
    for location in (AMSTERDAM, DUBLIN, SEATTLE):
        session = msgspec.structs.replace(V4, location=location)
        answer = judged(
            import_policy(session, PolicyStage.ALLOW, rules), Route("198.18.33.0/24", path=(PEER, CUSTOMER))
        )
        assert (answer.accepted, answer.attributes.local_pref) == (True, 200)


BASE = Policy(name="from-transit", statements=(), default=Verdict.ACCEPT)
FROM_TRANSIT = Route("198.18.33.0/24", path=(64506, PEER, CUSTOMER))


@pytest.mark.parametrize(
    ("rules", "statement"),
    [
        (EdgeRules(activations=(WITH_BACKUP,)), "internet is not the backup"),
        (EdgeRules(activations=(NO_BACKUP,)), "default"),
        (EdgeRules(activations=(WITH_BACKUP,), flat=True), "default"),
        (EdgeRules(), "default"),
    ],
    ids=["backup", "no backup", "hot-potato control", "not activated"],
)
def test_transit_brings_an_activated_prefix_only_where_the_internet_is_its_backup(
    rules: EdgeRules, statement: str
) -> None:
    policy = transit_import(BASE, Family.IPV4, rules)
    answer = judged(policy, FROM_TRANSIT)
    assert (answer.accepted, answer.statement) == (statement == "default", statement)
    assert judged(policy, GOOD4).accepted
    assert transit_import(BASE, Family.IPV6, rules) is BASE
