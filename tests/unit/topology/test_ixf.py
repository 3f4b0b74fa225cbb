"""IX-F member exports: every way of writing the same LAN is read the same, and becomes a lab that loads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.attributes import Family
from peerlab.errors import InputError
from peerlab.topology.ixf import read_export
from peerlab.topology.ixf_topology import Wishes, ixf_topology
from peerlab.topology.load import load_text
from peerlab.topology.model import LabModel

WISHES = Wishes(metro="amsterdam", location="Amsterdam", region="westeurope")
V4, V6 = Family.IPV4, Family.IPV6


def port(last: int, **told: Any) -> dict[str, Any]:
    """One entry of a vlan_list with both families; ``told`` goes into each."""
    v4, v6 = {"address": f"203.0.113.{last}"}, {"address": f"2001:db8:100::{last:x}"}
    return {"vlan_id": 1, "ipv4": v4 | told, "ipv6": v6 | told}


def member(asn: int, *vlans: dict[str, Any], ixp: int = 7, **told: Any) -> dict[str, Any]:
    return {"asnum": asn, "connection_list": [{"ixp_id": ixp, "vlan_list": list(vlans)}], **told}


def export(*members: dict[str, Any], vlan: dict[str, Any] | None = None) -> dict[str, Any]:
    ixp = {"ixp_id": 7, "shortname": "Tulip-IX", "vlan": [{"id": 1, **(vlan or {})}]}
    return {"version": "0.6", "timestamp": "2026-01-01T00:00:00Z", "ixp_list": [ixp], "member_list": list(members)}


def lab(data: dict[str, Any], **wished: Any) -> LabModel:
    wishes = Wishes(metro="amsterdam", location="Amsterdam", region="westeurope", **wished)
    return load_text(ixf_topology(read_export(data, "x.json"), wishes, "x.json"), "written")


def addresses(model: LabModel, node: str) -> set[str]:
    found = {interface for interface in model.node(node).interfaces if interface.v4 and "203.0.113." in interface.v4}
    return {text for interface in found for text in (interface.v4, interface.v6) if text}


def test_a_port_is_one_port_whether_its_families_share_an_entry_or_not() -> None:
    together = export(member(64500, port(10, max_prefix=5)))
    split = {key: port(10, max_prefix=5)[key] for key in ("vlan_id", "ipv4")}
    other = {key: port(10, max_prefix=5)[key] for key in ("vlan_id", "ipv6")}
    assert read_export(together, "x").members == read_export(export(member(64500, split, other)), "x").members
    (known,) = read_export(together, "x").members
    (place,) = known.ports
    assert place.addresses == {V4: "203.0.113.10", V6: "2001:db8:100::a"}
    assert place.max_prefixes == {V4: 5, V6: 5}


LANS = [
    # what the export says of the LAN, addresses, the prefix that is used
    pytest.param({"ipv4": {"prefix": "203.0.112.0", "mask_length": 23}}, (10, 20), "203.0.112.0/23", id="as told"),
    pytest.param({}, (10, 200), "203.0.113.0/24", id="the smallest usual one that holds all"),
    pytest.param({"ipv4": {"prefix": "203.0.113.7", "mask_length": 24}}, (10, 20), "203.0.113.0/24", id="told wrongly"),
]


@pytest.mark.parametrize(("told", "last", "lan"), LANS)
def test_the_lan_is_what_the_export_says_or_holds_every_address(
    told: dict[str, Any], last: tuple[int, int], lan: str
) -> None:
    data = export(*(member(64500 + one, port(one)) for one in last), vlan=told)
    assert read_export(data, "x").lans == {V4: lan, V6: "2001:db8:100::/64"}


def test_a_guessed_lan_grows_until_it_holds_everybody() -> None:
    far = {"vlan_id": 1, "ipv4": {"address": "203.0.114.9"}}
    assert read_export(export(member(64500, port(10)), member(64501, far)), "x").lans[V4] == "203.0.112.0/22"


def test_members_keep_number_address_and_limit_and_peer_with_both_route_servers() -> None:
    model = lab(export(member(64500, port(10, max_prefix=5)), member(64501, port(11))))
    assert addresses(model, "as64500-1") == {"203.0.113.10/24", "2001:db8:100::a/64"}
    assert model.node("as64500-1").asn == 64500
    sessions = [s for s in model.sessions if "as64500-1" in (s.left.node, s.right.node)]
    assert sorted(s.other("as64500-1").node for s in sessions) == ["rs-1", "rs-1", "rs-2", "rs-2"]
    assert {s.other("as64500-1").max_prefix for s in sessions} == {5}
    assert {s.end("as64500-1").max_prefix for s in sessions} != {5}, "the limit is the servers'"


def test_route_servers_and_microsoft_keep_the_addresses_that_the_export_gives_them() -> None:
    server = {"services": [{"type": "ixrouteserver"}]}
    model = lab(
        export(
            member(65536, port(1, **server), port(2, **server)),
            member(8075, port(75), port(76), name="Microsoft"),
            member(64500, port(10)),
        )
    )
    assert addresses(model, "rs-1") == {"203.0.113.1/24", "2001:db8:100::1/64"}
    assert addresses(model, "rs-2") == {"203.0.113.2/24", "2001:db8:100::2/64"}
    assert addresses(model, "ms-edge-2") == {"203.0.113.76/24", "2001:db8:100::4c/64"}
    assert model.node("rs-1").route_server and model.node("ms-edge-1").asn == 8075


def test_where_the_export_has_none_of_them_free_addresses_are_used() -> None:
    model = lab(export(member(64500, port(254)), member(64501, port(253))))
    taken = [interface.v4 for node in model.nodes for interface in node.interfaces if interface.v4]
    assert len(taken) == len(set(taken))
    assert addresses(model, "rs-1") == {"203.0.113.252/24", "2001:db8:100::fffe/64"}


def test_a_member_that_wants_no_route_server_gets_none_and_a_collector_is_no_router() -> None:
    model = lab(
        export(
            member(64500, port(10, routeserver=False)),
            member(64501, port(11, routeserver=True)),
            member(65536, port(3, services=[{"type": "ixroutecollector"}])),
        )
    )
    assert not model.sessions_of("as64500-1")
    assert len(model.sessions_of("as64501-1")) == 4
    assert not [node for node in model.nodes if any("203.0.113.3/" in (i.v4 or "") for i in node.interfaces)]


def test_two_ports_of_a_member_are_two_routers_with_a_backbone_and_iBGP() -> None:  # noqa: N802
    model = lab(export(member(64500, port(10), port(11), name="Two Ports"), member(64501, port(12))))
    assert {s.other("two-ports-1").node for s in model.sessions_of("two-ports-1") if s.is_internal} == {"two-ports-2"}


def test_names_are_those_of_the_language_and_nobody_shares_one() -> None:
    names = ("Ünïcode & Söhne", "Ünïcode & Söhne", "4Sight", "rs", "x" * 60)
    model = lab(export(*(member(64500 + n, port(10 + n), name=name) for n, name in enumerate(names))))
    members = [known.name for known in model.ases if known.asn not in (8075, 65536)]
    assert members == ["n-code-s-hne", "as64501", "as64502", "as64503", "as64504"]


def test_members_are_thinned_out_on_request() -> None:
    data = export(*(member(64500 + n, port(10 + n)) for n in range(5)))
    assert {a.asn for a in lab(data, at_most=2).ases} == {8075, 65536, 64500, 64501}
    assert {a.asn for a in lab(data, only=(64503,)).ases} == {8075, 65536, 64503}


def test_what_cannot_be_used_is_told() -> None:
    nowhere = {"asnum": 64501, "connection_list": [{"ixp_id": 7}]}
    other_ixp = member(64502, port(12), ixp=8)
    numberless = {"name": "Nobody", "connection_list": []}
    read = read_export(export(member(64500, port(10)), nowhere, other_ixp, numberless), "x")
    assert [known.asn for known in read.members] == [64500]
    assert read.skipped == (
        "AS64501: no address on this LAN",
        "AS64502: no address on this LAN",
        "a member without an AS number: Nobody",
    )


REFUSED = [
    # the file, what is wanted, the words
    pytest.param([], {}, "is no IX-F member export", id="a list"),
    pytest.param({"member_list": []}, {}, "is no IX-F member export", id="no exchange"),
    pytest.param(export(member(64500, port(9))), {"ixp_id": 3}, "has no ixp 3; choose one with --ixp: 7", id="ixp"),
    pytest.param(export(member(64500, port(9))), {"vlan_id": 3}, "has no vlan 3; choose one with --vlan: 1", id="vlan"),
    pytest.param(export(member(64500, port(9))), {"only": (64999,)}, "has no member AS64999", id="member"),
    pytest.param(export(), {}, "leaves no member for the lab", id="empty"),
]


@pytest.mark.parametrize(("data", "wanted", "words"), REFUSED)
def test_what_is_no_export_or_not_there_is_refused_in_words(data: Any, wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        exchange = read_export(data, "x.json", wanted.get("ixp_id"), wanted.get("vlan_id"))
        ixf_topology(exchange, Wishes(metro="m", location="L", region="r", only=wanted.get("only", ())), "x.json")


WORDS = st.sampled_from(
    ("ixp_list", "member_list", "ixp_id", "vlan", "id", "asnum", "connection_list", "vlan_list", "vlan_id", "ipv4",
     "ipv6", "address", "services", "prefix", "mask_length", "name")
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(JSON, JSON, JSON)
def test_garbage_is_refused_and_never_breaks(whole: object, ixps: object, members: object) -> None:
    for data in (whole, {"ixp_list": ixps, "member_list": members}):
        try:
            ixf_topology(read_export(data, "x.json"), WISHES, "x.json")
        except InputError as refused:
            assert refused.problems
