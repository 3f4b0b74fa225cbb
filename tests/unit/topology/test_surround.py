"""The lab around a router: what neighbours are taken for, where they are put, and that every such lab loads."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.daemons.bird_reading import read_bird
from peerlab.daemons.frr_reading import read_frr
from peerlab.errors import InputError
from peerlab.topology.load import load_text
from peerlab.topology.model import AsRole, LabModel, Relation
from peerlab.topology.surround import NeighbourReading, PolicyReading, Reach
from peerlab.topology.surround_place import link_from, link_of
from peerlab.topology.surround_relation import Kind, judge
from peerlab.topology.surround_scene import Wishes
from peerlab.topology.surround_topology import Surroundings, surround

V4, V6 = Family.IPV4, Family.IPV6
WISHES = Wishes(metro="metro", location="Amsterdam", region="westeurope")
ALL, SOME, NONE = (PolicyReading(reach=reach) for reach in (Reach.ALL, Reach.SOME, Reach.NONE))
DEFAULT = PolicyReading(reach=Reach.SOME, default=True)


def statement(**said: object) -> NeighbourReading:
    plain: dict[str, object] = {
        "name": "x", "line": 1, "asn": 64501, "address": "192.0.2.1", "family": V4, "carries": (V4,)
    }  # fmt: skip
    return NeighbourReading(**{**plain, **said})  # type: ignore[arg-type]


def named(name: str) -> dict[Family, PolicyReading]:
    return {V4: PolicyReading(names=(name,))}


JUDGED = [
    # what stands in the configuration, the kind, how strong
    pytest.param({"asn": 8075, "role": BgpRole.PROVIDER}, Kind.MICROSOFT, 4, id="Microsoft's number"),
    pytest.param({"internal": True}, Kind.INTERNAL, 4, id="our own number"),
    pytest.param({"role": BgpRole.PROVIDER, "description": "transit"}, Kind.CUSTOMER, 4, id="role before words"),
    pytest.param({"role": BgpRole.CUSTOMER}, Kind.PROVIDER, 4, id="we are its customer"),
    pytest.param({"role": BgpRole.RS_CLIENT}, Kind.ROUTE_SERVER, 4, id="we are its client"),
    pytest.param({"route_server_client": True}, Kind.CLIENT, 4, id="it is our client"),
    pytest.param({"description": "Customer: Contoso"}, Kind.CUSTOMER, 3, id="a description"),
    pytest.param({"description": "IX route server 1"}, Kind.ROUTE_SERVER, 3, id="a route server's"),
    pytest.param({"description": "peering with route-servers"}, Kind.ROUTE_SERVER, 3, id="peering at route servers"),
    pytest.param({"description": "customer of our transit"}, Kind.PEER, 0, id="two kinds in one text say nothing"),
    pytest.param({"description": "Ottawa-Crsdist"}, Kind.PEER, 0, id="letters inside a word are no word"),
    pytest.param({"groups": ("UPSTREAMS",)}, Kind.PROVIDER, 3, id="a peer group"),
    pytest.param({"name": "rs1_v6"}, Kind.ROUTE_SERVER, 3, id="a protocol's name"),
    pytest.param({"unchecked_first_as": True}, Kind.ROUTE_SERVER, 3, id="its own AS need not come first"),
    pytest.param({"imports": named("FROM-TRANSIT"), "exports": named("TO-PEERS")}, Kind.PROVIDER, 2, id="import first"),
    pytest.param({"exports": named("to_customers")}, Kind.CUSTOMER, 2, id="an export policy's name"),
    pytest.param({"imports": {V4: SOME}, "exports": {V4: ALL}}, Kind.CUSTOMER, 1, id="gets all, may say some"),
    pytest.param({"imports": {V4: SOME}, "exports": {V4: DEFAULT}}, Kind.CUSTOMER, 1, id="gets the default route"),
    pytest.param({"imports": {V4: DEFAULT}, "exports": {V4: SOME}}, Kind.PROVIDER, 1, id="gives the default route"),
    pytest.param({"imports": {V4: ALL}, "exports": {V4: SOME}}, Kind.PROVIDER, 1, id="may say all, gets some"),
    pytest.param({"imports": {V4: ALL}, "exports": {V4: SOME}, "limits": {V4: 500}}, Kind.PEER, 1, id="a small limit"),
    pytest.param({"imports": {V4: SOME}, "exports": {V4: SOME}}, Kind.PEER, 1, id="some for some"),
    pytest.param({"imports": {V4: ALL}, "exports": {V4: ALL}}, Kind.PEER, 0, id="all for all says nothing"),
    pytest.param({"imports": {V4: NONE}}, Kind.PEER, 0, id="nothing says nothing"),
]


@pytest.mark.parametrize(("said", "kind", "strength"), JUDGED)
def test_a_neighbour_is_taken_for_what_the_configuration_says(
    said: dict[str, object], kind: Kind, strength: int
) -> None:
    (found,) = judge([statement(**said)], {})
    assert (found.kind, found.strength) == (kind, strength), found.why


def test_a_person_overrules_the_words_and_one_as_is_one_kind() -> None:
    both = [statement(description="transit"), statement(address="192.0.2.9", line=2)]
    assert [found.kind for found in judge(both, {})] == [Kind.PROVIDER, Kind.PROVIDER]
    assert [found.kind for found in judge(both, {64501: Kind.CUSTOMER})] == [Kind.CUSTOMER, Kind.CUSTOMER]
    assert "as another session of AS64501" in judge(both, {})[1].why


LINKS = [
    # our address, the other's, the link, whether ours is the first
    ("192.0.2.0", "192.0.2.1", "192.0.2.0/31", True),
    ("192.0.2.2", "192.0.2.1", "192.0.2.0/30", False),
    ("192.0.2.4", "192.0.2.5", "192.0.2.4/31", True),
    ("2001:db8::a", "2001:db8::b", "2001:db8::a/127", True),
    ("2001:db8::2", "2001:db8::1", "2001:db8::/126", False),
]


@pytest.mark.parametrize(("own", "other", "network", "first"), LINKS)
def test_two_addresses_are_the_ends_of_one_link(own: str, other: str, network: str, first: bool) -> None:
    place = link_of(own, other)
    assert place is not None and (str(place.network), place.first) == (network, first)


GUESSED = [
    # the other's address, what ours is taken to be
    ("192.0.2.0", "192.0.2.1", "192.0.2.0/31"),
    ("192.0.2.1", "192.0.2.2", "192.0.2.0/30"),
    ("192.0.2.2", "192.0.2.1", "192.0.2.0/30"),
    ("192.0.2.3", "192.0.2.2", "192.0.2.2/31"),
    ("2001:db8::1", "2001:db8::2", "2001:db8::/126"),
    ("2001:db8::b", "2001:db8::a", "2001:db8::a/127"),
]


@pytest.mark.parametrize(("other", "own", "network"), GUESSED)
def test_one_address_has_the_link_that_an_operator_would_number(other: str, own: str, network: str) -> None:
    place = link_from(other)
    assert (place.own, str(place.network)) == (own, network)
    assert "is a guess" in place.guess


NO_LINKS = [("192.0.2.1", "192.0.2.6"), ("192.0.2.3", "192.0.2.4"), ("192.0.2.1", "::1")]


@pytest.mark.parametrize(("own", "other"), NO_LINKS)
def test_others_are_no_link(own: str, other: str) -> None:
    assert link_of(own, other) is None


def around(*neighbours: str, wishes: Wishes = WISHES, before: str = "") -> tuple[Surroundings, LabModel]:
    text = "\n".join(f"protocol bgp p{n} {{ local as 64500; {said} }}" for n, said in enumerate(neighbours))
    found = surround(read_bird(f"{before}\n{text}", "bird.conf"), wishes)
    return found, load_text(found.text, "written")


def ends(model: LabModel, node: str = "router") -> set[tuple[str, str, str]]:
    """What the node has sessions with: its own address, the other's, and what that one is to it."""
    return {
        (str(s.end(node).address), str(s.other(node).address), s.end(node).relation.value)
        for s in model.sessions_of(node)
    }


PLACED = [
    pytest.param(
        ["local 192.0.2.0 as 64500; neighbor 192.0.2.1 as 64501; description \"customer\";"],
        {("192.0.2.0", "192.0.2.1", "customer")}, id="a link",
    ),
    pytest.param(
        ["local 203.0.113.9 as 64500; neighbor 203.0.113.1 as 64501;",
         "local 203.0.113.9 as 64500; neighbor 203.0.113.2 as 64502; description \"transit\";"],
        {("203.0.113.9", "203.0.113.1", "peer"), ("203.0.113.9", "203.0.113.2", "provider")}, id="one address, a LAN",
    ),
    pytest.param(
        ["local 192.0.2.2 as 64500; neighbor 192.0.2.1 as 64501; description \"customer\";"],
        {("192.0.2.2", "192.0.2.1", "customer")}, id="the other way round than a lab numbers links",
    ),
    pytest.param(
        ["local 198.18.0.1 as 64500; neighbor 198.18.0.2 as 64500;"],
        {("198.18.0.1", "198.18.0.2", "internal"), ("2001:db8:f000::1", "2001:db8:f000::2", "internal")}, id="iBGP",
    ),
    pytest.param(
        ["neighbor 192.0.2.1 as 8075; local 192.0.2.0 as 64500;", "neighbor 2001:db8::1 as 8075;"],
        {("192.0.2.0", "192.0.2.1", "peer"), ("2001:db8::2", "2001:db8::1", "peer")}, id="both families of Microsoft",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("neighbours", "expected"), PLACED)
def test_a_neighbour_has_the_address_it_has(neighbours: list[str], expected: set[tuple[str, str, str]]) -> None:
    # On a link of Microsoft's the second address is Microsoft's: IPv6 of the last row is numbered as the lab does it.
    _, model = around(*neighbours)
    told = ends(model)
    if any("8075" in said for said in neighbours):
        assert ("192.0.2.0", "192.0.2.1", "peer") in told and len(told) == 2
    else:
        assert told == expected


def test_both_families_of_a_neighbour_are_one_router_and_two_pairs_are_two() -> None:
    found, model = around(
        "neighbor 192.0.2.1 as 64501;", "neighbor 192.0.2.5 as 64501;",
        "neighbor 2001:db8:0:1::1 as 64501;", "neighbor 2001:db8:0:2::1 as 64501;",
    )  # fmt: skip
    assert {node.name for node in model.nodes if node.asn == 64501} == {"as64501-1", "as64501-2"}
    assert len(model.sessions_of("as64501-1")) == 4, "two with us, two inside"
    assert found.text.count("made up") >= 1


def test_microsoft_is_asked_for_a_peering_and_stands_at_the_edge() -> None:
    _, model = around("local 192.0.2.0 as 64500; neighbor 192.0.2.1 as 8075;")
    (session,) = [s for s in model.sessions if s.connection is not None]
    assert session.connection == "as64500-direct/link-1"
    assert next(a for a in model.ases if a.asn == 8075).role is AsRole.CLOUD


def test_a_customer_announces_what_our_policy_takes_from_it() -> None:
    said = "description \"customer\"; ipv4 { import where net ~ [ 198.18.200.0/22{22,24}, 0.0.0.0/0 ]; export all; };"
    _, model = around(f"neighbor 192.0.2.1 as 64501; {said}")
    assert next(a for a in model.ases if a.asn == 64501).prefixes == ("198.18.200.0/22",)


def test_space_that_is_ours_stays_ours_and_it_is_told() -> None:
    own = "protocol static { ipv4; route 198.18.192.0/18 blackhole; }"
    said = "description \"customer\"; ipv4 { import where net ~ [ 198.18.200.0/22 ]; export all; };"
    found, model = around(f"neighbor 192.0.2.1 as 64501; {said}", before=own)
    assert "198.18.200.0/22" not in next(a for a in model.ases if a.asn == 64501).prefixes
    assert any("198.18.200.0/22 of AS64501 lies in AS64500's space" in told for told in found.untold)


def test_a_route_server_has_somebody_to_speak_of() -> None:
    wishes = Wishes(metro="m", location="Dublin", region="northeurope", addresses=("203.0.113.9/24",))
    found, model = around("neighbor 203.0.113.1 as 65536; description \"route server\";", wishes=wishes)
    assert ("203.0.113.9", "203.0.113.1", Relation.ROUTE_SERVER.value) in ends(model)
    assert len({node.asn for node in model.nodes if node.asn}) == 3
    assert any("AS65551 is made up" in told for told in found.untold)


UNTOLD = [
    ("neighbor 192.0.2.1 as 64501;", "taken for a peer"),
    ("neighbor 192.0.2.1 as 64501;", "our address 192.0.2.2/30 is a guess"),
    ("neighbor 192.0.2.1 as 64501; multihop;", "multihop"),
    ("neighbor 192.0.2.1 as 64501; disabled;", "is shut down"),
    ("neighbor 192.0.2.1 as 64501; ipv6 { import all; };", "carries ipv6 too"),
    ("neighbor 192.0.2.1 external;", "AS65551 is made up"),
    ("neighbor fe80::1%eth0 as 64501;", "names no global address"),
    ("local 192.0.2.1 as 64500; neighbor 192.0.2.0 as 8075;", "Microsoft is at the first address"),
    ("neighbor 192.0.2.1 as 64501; ipv4 { import all; };", "no IPv4 prefix that it originates was found"),
]


@pytest.mark.parametrize(("said", "told"), UNTOLD)
def test_what_is_not_certain_is_told(said: str, told: str) -> None:
    found, _ = around(said)
    assert [sentence for sentence in found.untold if told in sentence]


def test_no_text_of_the_configuration_gets_into_the_yaml() -> None:
    hostile = 'description "x\nname: evil\n  routers: {"; password "a: {b}\\";'
    found, model = around(f"neighbor 192.0.2.1 as 64501; {hostile}")
    assert model.name == "around-router"
    assert {s.md5 for s in model.sessions} == {"a: {b}\\"}
    assert "\nname: evil" not in found.text


MANY = "\n".join(f"neighbor 192.0.2.{n} remote-as 64501" for n in range(121))
REFUSED = [
    ("router bgp 8075\nneighbor 192.0.2.1 remote-as 64501", "is AS8075's own configuration"),
    ("router bgp 23456\nneighbor 192.0.2.1 remote-as 64501", "has the reserved AS23456"),
    ("router bgp 64500\nneighbor 224.0.0.1 remote-as 64501", "leaves no neighbour for a lab"),
    ("router bgp 64500\nneighbor 192.0.2.1 remote-as 65535", "leaves no neighbour for a lab"),
    (f"router bgp 64500\n{MANY}", "names 121 neighbours"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_cannot_stand_in_a_lab_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        surround(read_frr(text, "frr.conf"), WISHES)


ADDRESSES = st.one_of(
    st.integers(0, 255).map(lambda n: f"203.0.113.{n}"),
    st.integers(0, 40).map(lambda n: f"2001:db8::{n:x}"),
    st.sampled_from(["10.0.0.1", "198.18.0.1", "198.19.0.1", "2001:db8:f000::1", "203.0.112.1", "169.254.0.1"]),
)
LINES = st.one_of(
    st.tuples(ADDRESSES, st.sampled_from([8075, 64500, 64501, 64502, 65536])).map(
        lambda t: f"neighbor {t[0]} remote-as {t[1]}"
    ),
    st.tuples(ADDRESSES, st.sampled_from(["transit", "customer", "rs1", "peer"])).map(
        lambda t: f"neighbor {t[0]} description {t[1]}"
    ),
    st.tuples(ADDRESSES, ADDRESSES).map(lambda t: f"neighbor {t[0]} update-source {t[1]}"),
    st.tuples(ADDRESSES, st.sampled_from([20, 24, 28, 30, 31, 32])).map(lambda t: f"network {t[0]}/{t[1]}"),
    ADDRESSES.map(lambda a: f"neighbor {a} route-server-client"),
    ADDRESSES.map(lambda a: f"neighbor {a} ebgp-multihop 2"),
)


OWN = st.tuples(ADDRESSES, st.sampled_from([8, 24, 29, 30, 31, 64]))


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=14), st.lists(OWN, max_size=2))
def test_every_lab_that_is_written_loads(lines: list[str], own: Iterable[tuple[str, int]]) -> None:
    addresses = [f" ip address {a}/{length}" for a, length in own if length <= 32 or ":" in a]
    text = "\n".join(("interface eth0", *addresses, "router bgp 64500", *lines))
    try:
        found = surround(read_frr(text, "frr.conf"), WISHES)
    except InputError:
        return
    load_text(found.text, "written")
