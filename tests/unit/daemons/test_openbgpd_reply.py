"""What bgpctl 7.7 answered, as recorded, and what it means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peerlab.bgp.attributes import Origin, PathAttributes, Segment, SegmentType
from peerlab.daemons.openbgpd_reply import path_of, read, refusal, routes, sessions

FLAGS = {"partial": False, "transitive": True, "optional": True}
HEARD: dict[str, Any] = {
    "prefix": "198.51.100.0/24", "aspath": "64500 65010", "exit_nexthop": "10.9.0.1", "true_nexthop": "10.9.0.1",
    "neighbor": {"remote_addr": "10.9.0.1", "bgp_id": "10.0.0.1"}, "valid": True, "best": True, "source": "external",
    "ovs": "not-found", "origin": "IGP", "metric": 5, "localpref": 250, "weight": 0, "dmetric": 5,
    "last_update": "00:00:02", "last_update_sec": 2, "communities": ["1:2", "NO_EXPORT"],
    "extended_communities": ["rt 64500:7"], "large_communities": ["4294967295:2:1", "1:2:3"],
    "attributes": [{"type": "OTC", "length": 4, "flags": FLAGS, "as": 64500}],
}  # fmt: skip
REFLECTED = HEARD | {"attributes": [
    {"type": "Originator Id", "length": 4, "flags": FLAGS, "originator": "10.0.0.1"},
    {"type": "Cluster Id List", "length": 4, "flags": FLAGS, "cluster_list": ["10.0.0.2"]},
]}  # fmt: skip
OWN = {
    "prefix": "203.0.113.0/24", "aspath": "", "exit_nexthop": "0.0.0.0", "true_nexthop": "0.0.0.0",
    "neighbor": {"description": "LOCAL", "remote_addr": "???", "bgp_id": "10.0.0.2"}, "valid": True, "best": True,
    "source": "internal", "announced": True, "ovs": "not-found", "origin": "IGP", "metric": 0, "localpref": 100,
    "weight": 0, "dmetric": 5, "last_update": "00:00:04", "last_update_sec": 4,
    "large_communities": ["4294967295:2:3", "4294967295:4:1", "4294967295:3:1"],
}  # fmt: skip
CAPABILITIES = {
    "as4byte": True, "refresh": True, "enhanced_refresh": False, "multiprotocol": ["IPv4 unicast"],
    "graceful_restart": {"eor": True, "restart": False}, "open_policy_role": "peer",
}  # fmt: skip
ZEROES = {"open": 1, "notifications": 0, "updates": 2, "keepalives": 1, "route_refresh": 0, "total": 4}
NEIGHBOUR = {
    "remote_as": "64500", "remote_addr": "10.9.0.1", "bgpid": "10.0.0.1", "state": "Established",
    "stats": {
        "prefixes": {"sent": 1, "received": 2},
        "message": {"sent": ZEROES, "received": ZEROES | {"updates": 3}},
        "update": {"sent": {"updates": 1, "withdraws": 0, "eor": 1}, "received": {"updates": 2, "withdraws": 0,
                   "eor": 1}, "pending": {"updates": 0, "withdraws": 0}},
        "route-refresh": {"sent": {"request": 0, "borr": 0, "eorr": 0},
                          "received": {"request": 0, "borr": 0, "eorr": 0}},
    },
    "session": {"holdtime": 9, "keepalive": 3, "local": {"capabilities": CAPABILITIES},
                "remote": {"capabilities": CAPABILITIES | {"enhanced_refresh": True}}},
}  # fmt: skip


def test_routes_come_without_the_marks_of_the_rules() -> None:
    heard, own = routes({"rib": [HEARD, OWN]})
    assert (heard.peer, heard.best, heard.age, heard.discarded, heard.med_is_set) == ("10.9.0.1", True, 2, False, False)
    assert heard.attributes == PathAttributes(
        origin=Origin.IGP,
        as_path=(Segment(SegmentType.AS_SEQUENCE, (64500, 65010)),),
        next_hop="10.9.0.1",
        med=5,
        local_pref=250,
        communities=("1:2", "65535:65281"),
        large_communities=("1:2:3",),
        otc=64500,
    )
    assert (own.peer, own.discarded, own.med_is_set) == (None, True, True)
    assert own.attributes == PathAttributes(local_pref=100)


def test_marks_of_a_reflector() -> None:
    (route,) = routes({"rib": [REFLECTED]})
    assert (route.attributes.originator_id, route.attributes.cluster_list) == ("10.0.0.1", ("10.0.0.2",))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("64500 { 64505 64506 }", (Segment(SegmentType.AS_SEQUENCE, (64500,)),
                                   Segment(SegmentType.AS_SET, (64505, 64506)))),
        ("(1) 2", (Segment(SegmentType.AS_CONFED_SEQUENCE, (1,)), Segment(SegmentType.AS_SEQUENCE, (2,)))),
    ],
)  # fmt: skip
def test_paths(text: str, path: tuple[Segment, ...]) -> None:
    assert path_of(text) == path


def test_a_session() -> None:
    (session,) = sessions({"neighbors": [NEIGHBOUR]})
    assert (session.state, session.hold_time, session.keepalive, session.remote_role) == ("Established", 9, 3, "peer")
    assert (session.received, session.advertised, session.end_of_rib) == (2, 1, True)
    assert session.capabilities_received == (
        "four octet as", "route refresh", "enhanced route refresh", "multiprotocol", "graceful restart", "bgp role",
    )  # fmt: skip
    one_more = json.loads(json.dumps(NEIGHBOUR))
    one_more["stats"]["message"]["received"]["updates"] += 1
    assert sessions({"neighbors": [one_more]})[0].counters != session.counters


def test_refusals_and_words_in_front() -> None:
    assert refusal(read('reload request sent.\n{ "status": "OK" }')) is None
    assert refusal(read('{ "status": "FAILED", "error": "no such neighbor" }')) == "no such neighbor"
    assert read("{\n\n}") == {}


@pytest.mark.parametrize("text", ["", "bgpctl: connect: No such file", "{ broken"])
def test_what_is_no_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        read(text)


@pytest.mark.parametrize("change", [{"aspath": "64500 what"}, {"neighbor": {}}, {"origin": "other"}])
def test_words_that_cannot_be_read_are_errors(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        routes({"rib": [HEARD | change]})
