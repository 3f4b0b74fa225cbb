"""What a session's settings become in ``bgpd.conf``, and what FRR cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from peerlab.bgp.attributes import Address, BgpRole, Family, Origin, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.config import BfdConfig, PeerConfig, RouterConfig
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.policy import DENY_ALL
from peerlab.daemons.frr import CONFIGURATION, files, origin_map
from peerlab.errors import Unsupported


def text(router: dict[str, Any] | None = None, shut: tuple[str, ...] = (), **settings: Any) -> str:
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
    config = RouterConfig(
        node="a", asn=64500, router_id=Address("10.0.0.1"), directory="/run/a", kind="frr", peers=(peer,),
        policies={"deny-all": DENY_ALL}, **(router or {}),
    )  # fmt: skip
    return files(config, shut)[CONFIGURATION]


@pytest.mark.parametrize(
    ("settings", "present", "absent"),
    [
        ({}, ["remote-as 64501", "timers 3 9", "update-source 192.0.2.0", "solo"], ["password", "passive", "shutdown"]),
        ({}, ["soft-reconfiguration inbound", "next-hop-self", "send-community all"], ["no bgp ebgp-requires-policy"]),
        ({"passive": True}, ["passive"], []),
        ({"md5": "key"}, ["password key"], []),
        ({"gtsm": True}, ["ttl-security hops 1"], ["ebgp-multihop"]),
        ({"multihop": True, "interface": None}, ["ebgp-multihop 255"], []),
        ({"local_role": BgpRole.RS_CLIENT}, ["local-role rs-client"], ["strict-mode"]),
        ({"local_role": BgpRole.RS, "role_strict": True}, ["local-role rs-server strict-mode"], []),
        ({"max_prefix": 20}, ["maximum-prefix 20 80 force"], []),
        ({"relation": "route-server", "enforce_first_as": False}, [], ["enforce-first-as"]),
        ({"route_server_client": True}, ["route-server-client"], ["next-hop-self"]),
        ({"peer_as": 64500}, [], ["next-hop-self", "enforce-first-as", "ebgp-multihop"]),
        ({"peer_as": 64500, "route_reflector_client": True}, ["route-reflector-client"], []),
        ({"shut": ("wire.v4",)}, ["shutdown"], []),
    ],
)
def test_a_session_is_told_what_it_needs(settings: dict[str, Any], present: list[str], absent: list[str]) -> None:
    said = text(**settings)
    for line in present:
        assert f" neighbor 192.0.2.1 {line}\n" in said
    for line in absent:
        assert line not in said


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"md5": "two words"}, "MD5 key of session wire.v4"),
        ({"four_octet_as": False}, "4-octet AS"),
        ({"bfd": BfdConfig()}, "bfdd"),
        ({"send_hold_time": 9.0}, "send hold timer"),
        ({"router": {"vrps": (Vrp(Prefix("192.0.2.0/24"), 64500),)}}, "bgpd_rpki"),
    ],
)
def test_what_frr_cannot_be_told_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        text(**settings)


def test_a_prefix_is_originated_with_its_attributes_and_marked_as_own() -> None:
    attributes = PathAttributes(
        origin=Origin.EGP, as_path=(Segment(SegmentType.AS_SEQUENCE, (64510, 64511)),), med=7, communities=("64500:1",)
    )
    assert [line.strip() for line in origin_map(attributes).lines[1:-1]] == [
        "set tag 3", "set origin egp", "set as-path prepend 64510 64511", "set metric 7", "set community 64500:1",
    ]  # fmt: skip


def test_a_route_that_frr_cannot_originate_is_refused() -> None:
    with pytest.raises(Unsupported, match="originate it at an ExaBGP router"):
        origin_map(PathAttributes(otc=64500))
