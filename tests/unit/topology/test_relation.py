"""Default policies against the engine that runs them: Gao-Rexford as a matrix, hygiene as a table of reasons."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.policy import LearnedFrom
from peerlab.bgp.policy_engine import evaluate
from peerlab.topology.relation import (
    LOCAL_PREF,
    Adjustment,
    Neighbour,
    Source,
    export_policy,
    import_policy,
    maps_marks,
    route_server_export,
    route_server_import,
    tag,
)

ISP = Neighbour(
    name="isp",
    asn=64500,
    prefixes=(Prefix("198.18.32.0/24"), Prefix("2001:db8:2000::/48")),
    lans=(Prefix("203.0.113.0/24"),),
    registered=(Prefix("198.18.33.128/25"),),
    lab_asns=frozenset({64500, 64501, 65541}),
)
FOREIGN = Prefix("198.18.99.0/24")
PLAIN = Adjustment()


def path(*asns: int) -> tuple[Segment, ...]:
    return (Segment(SegmentType.AS_SEQUENCE, asns),)


def learned(source: Source) -> PathAttributes:
    """A route as it stands in the Loc-RIB of another router of the AS after import from such a neighbour."""
    judged = evaluate(import_policy(ISP, source, PLAIN), FOREIGN, PathAttributes(as_path=path(64501)))
    assert judged.accepted
    return judged.attributes


@pytest.mark.parametrize("source", list(Source))
@pytest.mark.parametrize("target", list(Source))
def test_only_customers_routes_go_to_everybody(source: Source, target: Source) -> None:
    """Gao-Rexford: what comes from a peer, provider, route server or exchange peer goes to customers only."""
    judged = evaluate(export_policy(ISP, target, PLAIN), FOREIGN, learned(source), LearnedFrom.IBGP)
    assert judged.accepted is (source is Source.CUSTOMER or target is Source.CUSTOMER)
    if judged.accepted:
        assert judged.attributes.large_communities == (), "tags stay inside"
    else:
        assert judged.statement == "neither own nor a customer's route"


@pytest.mark.parametrize("target", list(Source))
def test_own_routes_go_to_everybody(target: Source) -> None:
    policy = export_policy(ISP, target, PLAIN)
    here = evaluate(policy, FOREIGN, PathAttributes(), LearnedFrom.LOCAL)
    elsewhere = evaluate(policy, ISP.prefixes[0], PathAttributes(), LearnedFrom.IBGP)
    assert here.accepted and elsewhere.accepted


def test_a_route_without_a_tag_stays_in_the_as() -> None:
    """A forgotten tag must not become a leak."""
    judged = evaluate(export_policy(ISP, Source.PEER, PLAIN), FOREIGN, PathAttributes(), LearnedFrom.IBGP)
    assert not judged.accepted


def test_the_ladder_falls_from_customer_to_transit() -> None:
    order = [Source.CUSTOMER, Source.PEER, Source.EXCHANGE_PEER, Source.ROUTE_SERVER, Source.PROVIDER]
    preferences = [learned(source).local_pref or 0 for source in order]
    assert preferences == sorted(preferences, reverse=True)
    assert len(set(preferences)) == len(order)
    assert preferences == [LOCAL_PREF[source] for source in order]


@pytest.mark.parametrize(
    ("prefix", "asns", "reason"),
    [
        ("0.0.0.0/0", (64501,), "default route"),
        ("::/0", (64501,), "default route"),
        ("198.18.32.0/24", (64501,), "own or exchange prefix"),
        ("198.18.32.128/25", (64501,), "own or exchange prefix"),  # a more specific of one's own is a hijack too
        ("2001:db8:2000:1::/64", (64501,), "own or exchange prefix"),
        ("203.0.113.0/25", (64501,), "own or exchange prefix"),  # RFC 7454 section 6.1.5
        ("198.18.99.0/25", (64501,), "longer than /24 or /48"),
        ("2001:db8:9900::/49", (64501,), "longer than /24 or /48"),
        ("198.18.99.0/24", (64501, 64999), "reserved or private AS in the path"),
        ("198.18.99.0/24", (64501, 23456), "reserved or private AS in the path"),
        ("198.18.99.0/24", (64501, 4200000000), "reserved or private AS in the path"),
        ("198.18.99.0/24", (64501, 12076), "AS12076 (ExpressRoute) in the path"),
        ("198.18.99.0/24", (64501,) * 101, "path longer than 100"),
        ("198.18.99.0/24", (64501, 65541), None),  # documentation ASNs are public here, 4-octet ones too
        ("198.18.99.0/24", (64501,) * 100, None),
        ("198.18.33.128/25", (64501,), None),  # registered with Microsoft (M15)
        ("2001:db8:9900::/48", (64501,), None),
    ],
)
def test_hygiene_gives_the_reason(prefix: str, asns: tuple[int, ...], reason: str | None) -> None:
    for source in Source:
        judged = evaluate(import_policy(ISP, source, PLAIN), Prefix(prefix), PathAttributes(as_path=path(*asns)))
        assert judged.accepted is (reason is None)
        assert reason is None or judged.statement == reason


def test_a_set_in_the_path_is_rejected() -> None:
    as_set = (*path(64501), Segment(SegmentType.AS_SET, (64502, 64503)))
    assert evaluate(import_policy(ISP, Source.PEER, PLAIN), FOREIGN, PathAttributes(as_path=as_set)).statement == (
        "AS_SET in the path"
    )


def test_a_private_as_of_the_lab_itself_is_no_stranger() -> None:
    local = Neighbour(name="isp", asn=64500, prefixes=(), lab_asns=frozenset({64600}))
    policy = import_policy(local, Source.PEER, PLAIN)
    for asn, accepted in ((64599, False), (64600, True), (64601, False)):
        assert evaluate(policy, FOREIGN, PathAttributes(as_path=path(asn))).accepted is accepted


def test_a_neighbour_cannot_forge_tags_but_keeps_its_own_communities() -> None:
    """Otherwise a provider could have its routes exported as a customer's."""
    forged = PathAttributes(
        as_path=path(64501),
        large_communities=(tag(ISP.asn, Source.CUSTOMER), "64501:7:7"),
        communities=("64500:1", "64501:7"),
    )
    judged = evaluate(import_policy(ISP, Source.PROVIDER, PLAIN), FOREIGN, forged)
    assert judged.attributes.large_communities == (tag(ISP.asn, Source.PROVIDER), "64501:7:7")
    assert judged.attributes.communities == ("64501:7",)


def test_graceful_shutdown_makes_a_route_the_last_choice() -> None:
    leaving = PathAttributes(as_path=path(64501), communities=("65535:0",))
    assert evaluate(import_policy(ISP, Source.CUSTOMER, PLAIN), FOREIGN, leaving).attributes.local_pref == 0


def test_an_adjusted_session_has_a_policy_of_its_own_name() -> None:
    change = Adjustment(local_pref=250, med=10, prepend=2, communities=("64500:9",))
    into, out = import_policy(ISP, Source.PEER, change), export_policy(ISP, Source.PEER, change)
    assert into.name == "import-from-peer@isp+local-pref-250"
    assert out.name == "export-to-peer@isp+med-10+prepend-2+64500:9"
    assert evaluate(into, FOREIGN, PathAttributes(as_path=path(64501))).attributes.local_pref == 250
    sent = evaluate(out, ISP.prefixes[0], PathAttributes(), LearnedFrom.LOCAL).attributes
    assert (sent.med, sent.asns(), sent.communities) == (10, (64500, 64500), ("64500:9",))


@pytest.mark.parametrize(
    ("prefix", "asns", "source", "marked"),
    [
        ("198.18.33.0/24", (64501,), LearnedFrom.IBGP, True),  # registered prefix
        ("198.18.34.0/24", (64501,), LearnedFrom.IBGP, False),
        ("198.18.33.0/25", (64501,), LearnedFrom.IBGP, False),  # a more specific is not what was registered
        ("198.18.49.0/24", (65541,), LearnedFrom.EBGP, True),  # registered origin
        ("198.18.32.0/24", (), LearnedFrom.LOCAL, True),  # the partner registered itself too
    ],
)
def test_the_maps_community_goes_on_what_is_registered(
    prefix: str, asns: tuple[int, ...], source: LearnedFrom, marked: bool
) -> None:
    marks = maps_marks([Prefix("198.18.33.0/24")], [65541, ISP.asn], ISP)
    policy = export_policy(ISP, Source.PEER, PLAIN, marks)
    attributes = PathAttributes(as_path=path(*asns) if asns else (), large_communities=(tag(64500, Source.CUSTOMER),))
    assert ("8075:8007" in evaluate(policy, Prefix(prefix), attributes, source).attributes.communities) is marked


def test_a_route_server_changes_nothing() -> None:
    """RFC 7947 section 2.2: AS_PATH, NEXT_HOP, MED and foreign communities pass untouched."""
    server = Neighbour(name="ix", asn=65536, prefixes=(), lab_asns=frozenset({64501}))
    route = PathAttributes(as_path=path(64501), med=7, communities=("64501:1",), large_communities=("64501:1:1",))
    for policy in (route_server_import(server), route_server_export(server, 64502)):
        judged = evaluate(policy, FOREIGN, route)
        assert judged.accepted and judged.attributes == route
    assert not evaluate(route_server_import(server), Prefix("0.0.0.0/0"), route).accepted


RS16, RS32 = (Neighbour(name="ix", asn=asn, prefixes=()) for asn in (64500, 65536))
"""Route servers whose AS number fits two octets, and one whose does not."""


@pytest.mark.parametrize(
    ("server", "client", "communities", "large", "told"),
    [
        (RS32, 65541, (), (), "64501 64496"),
        (RS32, 65541, (), ("65536:0:65541",), None),
        (RS32, 65541, (), ("65536:0:64505",), "64501 64496"),
        (RS32, 65541, (), ("65536:0:0",), None),
        (RS32, 65541, (), ("65536:0:0", "65536:1:65541"), "64501 64496"),
        (RS32, 65541, (), ("65536:0:0", "65536:1:64505"), None),
        (RS32, 65541, (), ("65536:0:65541", "65536:1:65541"), None),
        (RS32, 65541, (), ("65536:102:65541",), "64501 64501 64501 64496"),
        (RS32, 65541, (), ("65536:101:0",), "64501 64501 64496"),
        (RS32, 65541, (), ("65536:103:64505",), "64501 64496"),
        (RS16, 64505, ("0:64505",), (), None),
        (RS16, 64505, ("0:64506",), (), "64501 64496"),
        (RS16, 64505, ("0:64500",), (), None),
        (RS16, 64505, ("0:64500", "64500:64505"), (), "64501 64496"),
        (RS16, 65541, ("0:64500",), ("64500:1:65541",), "64501 64496"),
    ],
)
def test_a_client_is_told_what_the_announcer_asks_a_route_server_to_tell(
    server: Neighbour, client: int, communities: tuple[str, ...], large: tuple[str, ...], told: str | None
) -> None:
    """Per client, 4-octet AS numbers included; the server's own AS is never in the path."""
    route = PathAttributes(
        as_path=path(64501, 64496), communities=("64501:7", *communities), large_communities=("64501:1:1", *large)
    )
    judged = evaluate(route_server_export(server, client), FOREIGN, route)
    assert (judged.attributes.path_text() if judged.accepted else None) == told
    if judged.accepted:
        assert (judged.attributes.communities, judged.attributes.large_communities) == (("64501:7",), ("64501:1:1",))
