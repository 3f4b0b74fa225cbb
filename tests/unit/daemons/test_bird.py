"""What a session's settings become in ``bird.conf``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from peerlab.bgp.attributes import Address, BgpRole, Family, Origin, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.config import BfdConfig, PeerConfig, RouterConfig
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.policy import DENY_ALL, Policy
from peerlab.daemons.bird import METRIC, configuration, protocol_name
from peerlab.daemons.kinds import daemon_of, files_of
from peerlab.daemons.origination import Origination
from peerlab.errors import Unsupported
from peerlab.router.fib import METRICS, PROTOCOL_IGP
from peerlab.router.interior import LARGEST_COST
from peerlab.topology.model import NodeKind


def config_of(*, router: dict[str, Any] | None = None, **settings: Any) -> RouterConfig:
    peer = PeerConfig(
        **{
            "session": "wire.v4",
            "peer": "b",
            "family": Family.IPV4,
            "local_address": Address("192.0.2.0"),
            "peer_address": Address("192.0.2.1"),
            "local_as": 64500,
            "peer_as": 64501,
            "import_policy": "deny-all",
            "export_policy": "deny-all",
            "interface": "e0",
        }
        | settings
    )
    policies: dict[str, Policy] = {"deny-all": DENY_ALL}
    return RouterConfig(
        node="a", asn=64500, router_id=Address("10.0.0.1"), directory="/run/a", kind="bird", peers=(peer,),
        policies=policies, **(router or {}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "present", "absent"),
    [
        ({}, ["local 192.0.2.0 as 64500;", "neighbor 192.0.2.1 as 64501;", "hold time 9;", "passive off;"], []),
        ({}, ["import table on;", "import keep filtered on;", "next hop self on;"], ["password"]),
        # with an export table BIRD 2.0.12 sends no MED that the export filter set
        ({}, [], ["export table"]),
        # a session over one wire stands and falls with it
        ({}, ["direct;", 'interface "e0";', "check link on;"], ["multihop;"]),
        ({"multihop": True, "interface": None}, ["multihop;"], ["direct;", "check link"]),
        ({"passive": True}, ["passive on;"], []),
        ({"md5": "plain word"}, ['password "plain word";'], []),
        ({"gtsm": True}, ["ttl security on;"], []),
        ({}, [], ["bfd"]),
        (
            {"bfd": BfdConfig(interval_ms=50, multiplier=5)},
            ["protocol bfd liveness {", "bfd { min rx interval 50 ms; min tx interval 50 ms;", "multiplier 5; };"],
            [],
        ),
        ({"local_role": BgpRole.RS_CLIENT}, ["local role rs_client;"], ["require roles"]),
        ({"local_role": BgpRole.PEER, "role_strict": True}, ["local role peer;", "require roles on;"], []),
        ({"max_prefix": 20}, ["receive limit 20 action disable;"], []),
        # RFC 4271 section 6.3; a route server's clients cannot insist (RFC 7947 section 2.2.2)
        ({}, ["enforce first as on;"], []),
        ({"relation": "route-server"}, ["enforce first as off;"], []),
        ({"route_server_client": True}, ["rs client;", "next hop keep on;"], ["unset(bgp_med)"]),
        # a neighbouring AS's MED is not for third ones, its LOCAL_PREF not for us
        ({}, ["if source = RTS_BGP then unset(bgp_med);", "bgp_local_pref = 100;", "lab_source = 1;"], []),
        ({"peer_as": 64500}, ["lab_source = 2;"], ["bgp_local_pref = 100;", "first as", "next hop self"]),
        ({"peer_as": 64500, "next_hop_self": True}, ["next hop self ebgp;"], []),
        ({"peer_as": 64500, "route_reflector_client": True}, ["rr client;", "rr cluster id 10.0.0.1;"], []),
    ],
)
def test_a_setting_becomes_these_lines(settings: dict[str, Any], present: list[str], absent: list[str]) -> None:
    text = configuration(config_of(**settings))
    assert [line for line in present if line not in text] == []
    assert [line for line in absent if line in text] == []


def test_a_shut_session_stays_shut_over_a_reconfiguration() -> None:
    assert "disabled;" not in configuration(config_of())
    assert "disabled;" in configuration(config_of(), shut={"wire.v4"})


@pytest.mark.parametrize("key", ['a "quoted" one', "two\nlines"])
def test_a_key_that_bird_cannot_be_told_is_refused(key: str) -> None:
    with pytest.raises(Unsupported, match=r"MD5 key of session wire\.v4"):
        configuration(config_of(md5=key))


@pytest.mark.parametrize(
    ("session", "name"),
    [
        ("ams-edge-1--fab-ams-1.v4", "ams-edge-1--fab-ams-1.v4"),
        ("fabrikam/first.v4", "fabrikam:first.v4"),
    ],
)
def test_a_protocol_is_named_after_its_session(session: str, name: str) -> None:
    assert protocol_name(session) == name


def test_names_that_bird_cannot_spell_stay_apart() -> None:
    names = {protocol_name(session) for session in ("a b", "a_b", "x" * 70, "x" * 71)}
    assert len(names) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_.:-]{1,60}", name) for name in names)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (Origination(Prefix("198.18.0.0/24")), "route 198.18.0.0/24 blackhole;"),
        (
            Origination(
                Prefix("2001:db8::/32"),
                PathAttributes(
                    origin=Origin.INCOMPLETE,
                    as_path=(Segment(SegmentType.AS_SEQUENCE, (1, 2)),),
                    med=3,
                    communities=("1:2",),
                    large_communities=("1:2:3",),
                ),
            ),
            "route 2001:db8::/32 blackhole { bgp_origin = ORIGIN_INCOMPLETE; bgp_path.prepend(2); "
            "bgp_path.prepend(1); bgp_med = 3; bgp_community.add((1,2)); bgp_large_community.add((1,2,3)); };",
        ),
    ],
)
def test_a_prefix_is_originated(given: Origination, line: str) -> None:
    assert line in configuration(config_of(), originated=[given])


@pytest.mark.parametrize(
    "attributes",
    [PathAttributes(otc=1), PathAttributes(as_path=(Segment(SegmentType.AS_SET, (1,)),))],
)
def test_what_a_static_route_cannot_carry_is_refused(attributes: PathAttributes) -> None:
    with pytest.raises(Unsupported, match="cannot originate"):
        configuration(config_of(), originated=[Origination(Prefix("198.18.0.0/24"), attributes)])


def test_the_registry_becomes_a_table_of_roas() -> None:
    vrps = (Vrp(Prefix("198.18.0.0/16"), 64500, 24), Vrp(Prefix("2001:db8::/32"), 64501))
    text = configuration(config_of(router={"vrps": vrps}))
    assert "route 198.18.0.0/16 max 24 as 64500;" in text
    assert "route 2001:db8::/32 max 32 as 64501;" in text


def test_a_route_server_leaves_the_kernel_alone() -> None:
    assert "protocol kernel" in configuration(config_of())
    assert "protocol kernel" not in configuration(config_of(router={"install_routes": False}))


def test_the_numbers_of_the_kernel_are_those_of_the_router() -> None:
    text = configuration(config_of())
    assert METRICS[PROTOCOL_IGP] + LARGEST_COST < METRIC
    assert f"metric {METRIC};" in text
    assert f"krt_source != {PROTOCOL_IGP}" in text
    assert f"igp_metric = krt_metric - {METRICS[PROTOCOL_IGP]};" in text


def test_a_kind_that_cannot_be_run_yet_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="kind switch yet; there are: bird, exabgp, frr"):
        daemon_of(NodeKind.SWITCH)


def test_the_files_of_a_router_follow_its_kind() -> None:
    assert sorted(map(str, files_of(config_of()))) == ["bird.conf", "router.json"]
