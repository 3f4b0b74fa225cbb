"""A bird.conf read for its neighbours: what stands there is said, nothing else, hostile text is refused in words."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.daemons.bird_reading import read_bird
from peerlab.errors import InputError
from peerlab.topology.surround import NeighbourReading, Reach, RouterReading

V4, V6 = Family.IPV4, Family.IPV6
WHO = "local 192.0.2.2 as 64500; neighbor 192.0.2.1 as 64501;"


def read(protocol: str, before: str = "") -> RouterReading:
    return read_bird(f"{before}\nprotocol bgp one {protocol}", "bird.conf")


def neighbour(inside: str, before: str = "", after: str = "") -> NeighbourReading:
    (found,) = read(f"{after} {{ {WHO} {inside} }}", before).neighbours
    return found


POLICIES = [
    # what stands before, the import statement, reach, prefixes, names
    pytest.param("", "all", Reach.ALL, (), (), id="all"),
    pytest.param("", "none", Reach.NONE, (), (), id="none"),
    pytest.param("filter f { accept; }", "filter f", Reach.ALL, (), ("f",), id="a filter by name"),
    pytest.param("", "filter { reject; }", Reach.NONE, (), (), id="a filter on the spot"),
    pytest.param("", "filter elsewhere", Reach.UNKNOWN, (), ("elsewhere",), id="a filter that is not there"),
    pytest.param(
        "filter f { if net ~ [ 198.18.0.0/16 ] then reject; accept; }", "filter f", Reach.ALL, (), ("f",),
        id="all but some is all",
    ),
    pytest.param(
        "filter f { if net ~ [ 198.18.0.0/24+ ] then accept; reject; }", "filter f", Reach.SOME, ("198.18.0.0/24",),
        ("f",), id="only what is named",
    ),
    pytest.param(
        "filter f { if net !~ [ 198.18.0.0/24 ] then reject; accept; }", "filter f", Reach.SOME, ("198.18.0.0/24",),
        ("f",), id="nothing but what is named",
    ),
    pytest.param(
        "filter f { if !(net ~ [ 198.18.0.0/24 ]) then { reject; } accept; }", "filter f", Reach.SOME,
        ("198.18.0.0/24",), ("f",), id="the same with a block",
    ),
    pytest.param(
        "define A = [ 198.18.0.0/16{20,24} ];", "where net ~ A", Reach.SOME, ("198.18.0.0/20",), (), id="a set's name"
    ),
    pytest.param("define A = B; define B = A;", "where net ~ A", Reach.UNKNOWN, (), (), id="names in a circle"),
    pytest.param("", "where !(net ~ [ 10.0.0.0/8+ ])", Reach.ALL, (), (), id="where not"),
    pytest.param("", "where from_customer()", Reach.UNKNOWN, (), ("from_customer",), id="a function of one's own"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "said", "reach", "prefixes", "names"), POLICIES)
def test_a_policy_is_read_as_far_as_it_can_be_told(
    before: str, said: str, reach: Reach, prefixes: tuple[str, ...], names: tuple[str, ...]
) -> None:
    policy = neighbour(f"ipv4 {{ import {said}; export none; }};", before).imports[V4]
    assert (policy.reach, policy.prefixes, policy.names) == (reach, prefixes, names)


def test_a_protocol_has_what_its_templates_say_and_its_own_word_last() -> None:
    templates = (
        'template bgp BASE { hold time 30; local role customer; description "base"; ipv4 { import all; export all; }; }'
        "template bgp NEAR from BASE { hold time 60; ipv4 { import none; }; }"
    )
    found = neighbour('description "mine";', templates, "from NEAR")
    assert (found.groups, found.hold_time, found.description) == (("NEAR", "BASE"), 60, "mine")
    assert found.role is BgpRole.CUSTOMER
    assert (found.imports[V4].reach, found.exports[V4].reach) == (Reach.NONE, Reach.ALL)


def test_templates_in_a_circle_end_and_are_told() -> None:
    circle = "template bgp A from B { } template bgp B from A { }"
    assert read(f"from A {{ {WHO} }}", circle).skipped == ("line 2: the template A is not in this file",)


def test_defines_stand_for_numbers_and_addresses() -> None:
    before = "define MS = 8075; define THERE = 2001:db8::1; define ME = 64500;"
    inside = "local 2001:db8:: as ME; neighbor THERE as MS; ipv6 { import all; export all; };"
    (found,) = read(f"{{ {inside} }}", before).neighbours
    assert (found.asn, found.address, found.local_asn, found.family) == (8075, "2001:db8::1", 64500, V6)


OPTIONS = [
    ("rs client;", "route_server_client", True),
    ("rr client;", "reflector_client", True),
    ("multihop 3;", "multihop", True),
    ("passive on;", "passive", True),
    ("passive off;", "passive", False),
    ("disabled;", "disabled", True),
    ("ttl security on;", "gtsm", True),
    ("bfd on;", "bfd", True),
    ("bfd { interval 50 ms; };", "bfd", True),
    ('password "a;b{c";', "md5", "a;b{c"),
    ("require roles on;", "role_strict", True),
    ("ipv4 { import limit 500 action block; };", "limits", {V4: 500}),
    ("ipv4 { receive limit 7; }; ipv6 { import all; };", "carries", (V4, V6)),
    ("import all;", "carries", (V4,)),  # BIRD 1
    ("# passive on;\n", "passive", False),
    ("/* passive on; */", "passive", False),
]


@pytest.mark.parametrize(("inside", "field", "value"), OPTIONS, ids=[row[0] for row in OPTIONS])
def test_an_option_is_read(inside: str, field: str, value: object) -> None:
    assert getattr(neighbour(inside), field) == value


def test_what_an_as_originates_are_its_routes_to_nowhere() -> None:
    static = (
        "protocol static { ipv4; route 198.18.0.0/20 blackhole; route 198.18.0.0/20 reject; route 0.0.0.0/0 reject;"
        " route 198.18.32.0/20 via 192.0.2.1; route 198.18.1.1/32 blackhole; }"
    )
    found = read(f"{{ {WHO} }}", static)
    assert found.originated == ("198.18.0.0/20",)
    assert found.skipped == ("line 1: 198.18.1.1/32 is too long to be announced to others",)


REFUSED = [
    ("", "names no BGP neighbour"),
    ('include "peers/*.conf";', "includes peers/*.conf, and other files are not read"),
    ("protocol bgp a { neighbor 192.0.2.1 as 64500;", "a block that is never closed"),
    ("protocol bgp a { } }", "a closing brace without an opening one"),
    ("protocol bgp a { neighbor range 10.0.0.0/8 as 64500; }", "nobody is named"),
    ("protocol bgp a { neighbor 192.0.2.1 as 99999999999999999999; }", "AS number cannot be read"),
    ("protocol bgp a { neighbor 192.0.2.1 as 64501; }", "never says its own AS number"),
    ("{" * 10_000, "nested deeper"),
    ('protocol bgp a { description "never closed', "never closed"),
    ("/*" * 100_000, "names no BGP neighbour"),
    ("'" * 100_001, "names no BGP neighbour"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_is_no_router_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        read_bird(text, "bird.conf")
    assert said in str(refused.value)
    assert str(refused.value).startswith("bird.conf")


WORDS = [*"{}[];~\"'/*# \n", *f"protocol bgp neighbor as if then net {WHO}".split()]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=80))
def test_no_text_makes_it_fail_otherwise(words: list[str]) -> None:
    with suppress(InputError):
        read_bird(f"protocol bgp a {{ {WHO} {' '.join(words)} }}", "bird.conf")
