"""``bgpd.conf`` of OpenBGPD from a configuration: every setting of a session, and what is refused by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from peerlab.bgp.attributes import Address, BgpRole, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.config import BfdConfig, PeerConfig, RouterConfig
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.policy import Policy, Verdict
from peerlab.daemons.openbgpd import CONFIGURATION, files
from peerlab.daemons.origination import Origination
from peerlab.errors import Unsupported

ALL = Policy(name="all", default=Verdict.ACCEPT)
PEER = PeerConfig(
    session="s", peer="b", family=Family.IPV4, local_address=Address("192.0.2.0"), peer_address=Address("192.0.2.1"),
    local_as=64500, peer_as=64501, import_policy="all", export_policy="all",
)  # fmt: skip
CONFIG = RouterConfig(
    node="a", asn=64500, router_id=Address("10.0.0.1"), directory="/run/peerlab/a", policies={"all": ALL}, peers=(PEER,)
)


def text(shut: tuple[str, ...] = (), originated: Any = None, router: Any = None, **peer: Any) -> str:
    changed = msgspec.structs.replace(CONFIG, peers=(msgspec.structs.replace(PEER, **peer),), **(router or {}))
    return files(changed, shut, originated)[CONFIGURATION]


def lines(**peer: Any) -> list[str]:
    return [line.strip() for line in text(**peer).partition("neighbor 192.0.2.1 {")[2].partition("}")[0].splitlines()]


@pytest.mark.parametrize(
    ("peer", "line"),
    [
        ({"hold_time": 30}, "holdtime 30"),
        ({"passive": True}, "passive"),
        ({"gtsm": True}, "ttl-security yes"),
        ({"multihop": True}, "multihop 255"),
        ({"md5": "a-key"}, 'tcp md5sig password "a-key"'),
        ({"enforce_first_as": False}, "enforce neighbor-as no"),
        ({"local_role": BgpRole.RS_CLIENT}, "announce policy rs-client"),
        ({"local_role": BgpRole.PEER, "role_strict": True}, "announce policy peer enforce"),
        ({"route_server_client": True}, "transparent-as yes"),
        ({"route_server_client": True}, "set nexthop no-modify"),
        ({"peer_as": 64500, "route_reflector_client": True}, "route-reflector 10.0.0.1"),
        ({"four_octet_as": False}, "announce as-4byte no"),
        ({"max_prefix": 7}, "max-prefix 7"),
        ({"local_as": 64509}, "local-as 64509"),
    ],
)
def test_a_setting_of_a_session(peer: dict[str, Any], line: str) -> None:
    assert line in lines(**peer)
    assert line not in lines()


def test_a_session_that_is_shut_stays_down_and_updates_are_recorded_where_needed() -> None:
    assert "\tdown\n" in text(shut=("s",))
    six = {"family": Family.IPV6, "peer_address": Address("2001:db8::1"), "local_address": Address("2001:db8::")}
    assert 'dump updates in "/run/peerlab/a/updates-2001-db8--1.mrt"' in text(local_role=BgpRole.PEER, **six)
    assert "dump" not in text(**six)
    assert "dump" not in text(local_role=BgpRole.PEER)


def test_the_own_next_hop_inside_only_for_what_comes_from_outside() -> None:
    inside = text(peer_as=64500, next_hop_self=True)
    assert "match to 192.0.2.1 large-community 4294967295:2:1 set { nexthop self }" in inside


def test_originations() -> None:
    plain = Origination(Prefix("198.51.100.0/24"))
    rich = Origination(Prefix("2001:db8::/32"), PathAttributes(med=7, communities=("64500:1",)))
    made = text(originated=[plain, rich])
    assert "network 198.51.100.0/24 set { large-community 4294967295:2:3 }\n" in made
    assert "metric 7 large-community 4294967295:4:1 community 64500:1 }" in made


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hold_time": 0}, "hold time of 0"),
        ({"md5": 'a"b'}, "MD5 key of session s"),
        ({"md5": "key", "passive": True}, "listening end of session s"),
        ({"bfd": BfdConfig()}, "no BFD"),
        ({"originated": [Origination(Prefix("198.51.100.0/24"), PathAttributes(
            as_path=(Segment(SegmentType.AS_SEQUENCE, (1,)),)))]}, "cannot originate 198.51.100.0/24"),
        ({"router": {"vrps": (Vrp(Prefix("192.0.2.0/24"), 64500),)}}, "origin validation"),
    ],
)  # fmt: skip
def test_what_it_cannot_be_told_is_refused_by_name(given: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        text(**given)
