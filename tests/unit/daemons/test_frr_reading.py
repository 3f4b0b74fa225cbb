"""An frr.conf read for its neighbours: peer groups, families, maps and lists, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.daemons.frr_reading import read_frr
from peerlab.errors import InputError
from peerlab.topology.surround import NeighbourReading, Reach

V4, V6 = Family.IPV4, Family.IPV6
WHO = "192.0.2.1"
OPENING = ("router bgp 64500", f"neighbor {WHO} remote-as 64501")


def neighbour(*lines: str, before: tuple[str, ...] = ()) -> NeighbourReading:
    (found,) = read_frr("\n".join((*before, *OPENING, *lines)), "frr.conf").neighbours
    return found


LISTS = (
    "ip prefix-list SOME seq 5 permit 198.18.0.0/24 le 28",
    "ip prefix-list SOME seq 10 deny 198.18.9.0/24",
    "ip prefix-list ANY permit any",
    "ip prefix-list REST permit 0.0.0.0/0 le 24",
    "ip prefix-list DEFAULT permit 0.0.0.0/0",
    "ip prefix-list NOTHING deny any",
    "route-map OPEN permit 10",
    " set local-preference 200",
    "route-map SHUT deny 10",
    "route-map ONLY permit 10",
    " match ip address prefix-list SOME",
    "route-map HYGIENE deny 5",
    " match ip address prefix-list SOME",
    "route-map HYGIENE permit 10",
    "route-map THROUGH permit 10",
    " match ip address prefix-list ANY",
)
POLICIES = [
    # the line, reach, prefixes, whether the default route is named
    ("route-map OPEN in", Reach.ALL, (), False),
    ("route-map SHUT in", Reach.NONE, (), False),
    ("route-map ONLY in", Reach.SOME, ("198.18.0.0/24",), False),
    ("route-map HYGIENE in", Reach.ALL, (), False),
    ("route-map THROUGH in", Reach.ALL, (), False),
    ("route-map ELSEWHERE in", Reach.UNKNOWN, (), False),
    ("prefix-list SOME in", Reach.SOME, ("198.18.0.0/24",), False),
    ("prefix-list ANY in", Reach.ALL, (), False),
    ("prefix-list REST in", Reach.ALL, (), False),
    ("prefix-list DEFAULT in", Reach.SOME, (), True),
    ("prefix-list NOTHING in", Reach.NONE, (), False),
    ("filter-list PATHS in", Reach.UNKNOWN, (), False),
    ("soft-reconfiguration inbound", Reach.NONE, (), False),
]


@pytest.mark.parametrize(("line", "reach", "prefixes", "default"), POLICIES, ids=[row[0] for row in POLICIES])
def test_a_policy_is_read_as_far_as_it_can_be_told(
    line: str, reach: Reach, prefixes: tuple[str, ...], default: bool
) -> None:
    policy = neighbour("address-family ipv4 unicast", f"neighbor {WHO} {line}", before=LISTS).imports[V4]
    assert (policy.reach, policy.prefixes, policy.default) == (reach, prefixes, default)


def test_without_a_policy_nothing_passes_unless_the_router_is_told_so() -> None:
    assert neighbour().imports[V4].reach is Reach.NONE, "RFC 8212, and FRR's default"
    assert neighbour("no bgp ebgp-requires-policy").imports[V4].reach is Reach.ALL


def test_a_neighbour_has_what_its_group_says_and_its_own_word_last() -> None:
    lines = (
        "router bgp 64500",
        "neighbor PEERS peer-group",
        "neighbor PEERS remote-as 64501",
        "neighbor PEERS description all of them",
        "neighbor PEERS timers 3 9",
        f"neighbor {WHO} peer-group PEERS",
        f"neighbor {WHO} description this one",
        "address-family ipv4 unicast",
        "neighbor PEERS maximum-prefix 100",
    )
    (found,) = read_frr("\n".join(lines), "frr.conf").neighbours
    assert (found.asn, found.groups, found.description) == (64501, ("PEERS",), "this one")
    assert (found.hold_time, found.limits) == (9, {V4: 100})


FAMILIES = [
    pytest.param((), (V4,), id="IPv4 by default"),
    pytest.param(("no bgp default ipv4-unicast",), (), id="none without that default"),
    pytest.param(("address-family ipv6 unicast", f"neighbor {WHO} activate"), (V4, V6), id="both"),
    pytest.param(("address-family ipv4", f"no neighbor {WHO} activate"), (), id="taken back"),
    pytest.param(("address-family l2vpn evpn", f"neighbor {WHO} activate"), (V4,), id="another family"),
]


@pytest.mark.parametrize(("lines", "carries"), FAMILIES)
def test_families_are_exchanged_as_they_are_activated(lines: tuple[str, ...], carries: tuple[Family, ...]) -> None:
    assert neighbour(*lines).carries == carries


OPTIONS = [
    ("local-role rs-client strict-mode", "role", BgpRole.RS_CLIENT),
    ("local-role rs-client strict-mode", "role_strict", True),
    ("ebgp-multihop 2", "multihop", True),
    ("passive", "passive", True),
    ("shutdown", "disabled", True),
    ("ttl-security hops 1", "gtsm", True),
    ("bfd", "bfd", True),
    ("password s3cret", "md5", "s3cret"),
    ("update-source 192.0.2.0", "local_address", "192.0.2.0"),
    ("update-source eth7", "local_address", "192.0.2.9"),
    ("remote-as internal", "asn", 64500),
    ("remote-as internal", "internal", True),
    ("remote-as external", "asn", None),
]


@pytest.mark.parametrize(("line", "field", "value"), OPTIONS, ids=[f"{row[0]}: {row[1]}" for row in OPTIONS])
def test_an_option_is_read(line: str, field: str, value: object) -> None:
    own = ("interface eth7", " ip address 192.0.2.9/24")
    assert getattr(neighbour(f"neighbor {WHO} {line}", before=own), field) == value


def test_no_takes_an_option_back() -> None:
    assert not neighbour(f"neighbor {WHO} shutdown", f"no neighbor {WHO} shutdown").disabled
    assert neighbour(f"no neighbor {WHO} enforce-first-as").unchecked_first_as


def test_originated_are_networks_and_static_routes_that_are_redistributed() -> None:
    static = ("ip route 198.18.0.0/20 Null0", "ip route 198.18.16.0/20 192.0.2.7", "router bgp 64500")
    text = "\n".join((*static, f"neighbor {WHO} remote-as 64501", "network 198.18.32.0/24", "network 198.18.33.1/32"))
    assert read_frr(text, "f").originated == ("198.18.32.0/24",)
    assert read_frr(f"{text}\nredistribute static", "f").originated == ("198.18.32.0/24", "198.18.0.0/20")
    assert read_frr(text, "f").skipped == ("line 6: 198.18.33.1/32 is too long to be announced to others",)


REFUSED = [
    ("", "has no `router bgp` of the default VRF"),
    ("router bgp 64500", "names no BGP neighbour"),
    ("router bgp 64500 vrf red\n neighbor 192.0.2.1 remote-as 64501", "has no `router bgp` of the default VRF"),
    ("router bgp 99999999999999999999", "has no `router bgp` of the default VRF"),
    ("router bgp 64500\n neighbor 192.0.2.1 description x", "no remote-as that can be read"),
    ("router bgp 64500\n bgp listen range 192.0.2.0/24 peer-group X", "nobody is named"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_names_nobody_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_frr(text, "frr.conf")


WORDS = [
    "neighbor", "no", "router", "bgp", "64500", "192.0.2.1", "remote-as", "peer-group", "G", "interface", "eth0",
    "route-map", "permit", "match", "ip", "address", "prefix-list", "in", "out", "activate", "address-family", "ipv4",
    "ipv6", "unicast", "exit", "description", "password", "timers", "maximum-prefix", "!", "seq",
]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=7), max_size=25))
def test_no_text_makes_it_fail_otherwise(lines: list[list[str]]) -> None:
    with suppress(InputError):
        read_frr("\n".join((*OPENING, *(" ".join(words) for words in lines))), "frr.conf")
