"""What bgpd 8.4.4 answered, as recorded, and what it means."""

from __future__ import annotations

import json

import pytest

from peerlab.bgp.attributes import Origin, PathAttributes, Segment, SegmentType
from peerlab.daemons.frr_reply import (
    attributes_of_brief,
    briefs,
    path_of,
    path_text,
    read,
    received_count,
    routes,
    sessions,
)

PATH = {
    "aspath": {"string": "64501 65550 {1,2}", "length": 3, "segments": [
        {"type": "as-sequence", "list": [64501, 65550]}, {"type": "as-set", "list": [1, 2]}]},
    "origin": "IGP", "metric": 0, "tag": 1, "valid": True,
    "bestpath": {"overall": True, "selectionReason": "Router ID"},
    "community": {"string": "64500:1 blackhole no-export", "list": ["64500:1", "blackhole", "noExport"]},
    "largeCommunity": {"string": "1:2:3", "list": ["1:2:3"]},
    "lastUpdate": {"epoch": 1795191972},
    "nexthops": [{"ip": "192.0.2.2", "afi": "ipv4", "used": True}],
    "peer": {"peerId": "192.0.2.2", "routerId": "2.2.2.2"},
}  # fmt: skip
OWN = {
    "aspath": {"string": "Local", "segments": [], "length": 0}, "origin": "IGP", "metric": 0, "tag": 3, "valid": True,
    "sourced": True, "local": True, "nexthops": [{"ip": "0.0.0.0"}], "peer": {"peerId": "0.0.0.0"},
}  # fmt: skip
HEARD_OF = [{"prefix": "203.0.113.0/24", "version": 2}, PATH]
OWN_OF = [{"prefix": "198.51.100.0/24"}, OWN]
TABLE = json.dumps({"routerId": "1.1.1.1", "routes": {"203.0.113.0/24": HEARD_OF, "198.51.100.0/24": OWN_OF}})


def test_paths_of_a_table() -> None:
    heard, own = routes(TABLE)
    assert (heard.prefix, heard.peer, heard.best, heard.best_by, heard.tag) == (
        "203.0.113.0/24", "192.0.2.2", True, "Router ID", 1,
    )  # fmt: skip
    assert heard.attributes == PathAttributes(
        origin=Origin.IGP,
        as_path=(Segment(SegmentType.AS_SEQUENCE, (64501, 65550)), Segment(SegmentType.AS_SET, (1, 2))),
        next_hop="192.0.2.2",
        med=0,
        communities=("64500:1", "65535:65281", "65535:666"),
        large_communities=("1:2:3",),
    )
    assert (own.peer, own.best, own.attributes.next_hop) == (None, False, None)


def test_paths_of_one_prefix_have_the_same_words() -> None:
    assert routes(json.dumps({"prefix": "203.0.113.0/24", "paths": [PATH]})) == routes(TABLE)[:1]
    assert routes("{}") == []


def test_words_that_cannot_be_read_are_said() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        routes(json.dumps({"prefix": "1.0.0.0/8", "paths": [PATH | {"origin": "odd"}]}))
    with pytest.raises(ValueError, match="no JSON"):
        read("% Unknown command")


def test_briefs_of_both_directions() -> None:
    one = {"path": "64501 {1,2}", "metric": 9, "nextHop": "0.0.0.0", "bgpOriginCode": "?"}
    (brief,) = briefs(json.dumps({"advertisedRoutes": {"203.0.113.0/24": one}}))
    assert (brief.as_path, brief.med, brief.next_hop, brief.origin) == ("64501 {1,2}", 9, None, Origin.INCOMPLETE)
    assert path_text(attributes_of_brief(brief)) == brief.as_path
    assert briefs("{}") == []


@pytest.mark.parametrize("text", ["", "64500", "64500 64501 {1,2}", "(1 2) 64500", "{7}"])
def test_paths_are_read_as_they_are_written(text: str) -> None:
    assert path_text(PathAttributes(as_path=path_of(text))) == text


def test_a_path_in_unknown_words_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read at"):
        path_of("64500 <1>")


def test_sessions_and_what_was_agreed() -> None:
    shown = {
        "192.0.2.2": {
            "bgpState": "Established", "remoteRouterId": "2.2.2.2", "remoteRole": "rs-server",
            "bgpTimerHoldTimeMsecs": 9000, "bgpTimerKeepAliveIntervalMsecs": 3000,
            "neighborCapabilities": {
                "4byteAs": "advertisedAndReceived", "extendedMessage": "advertised",
                "routeRefresh": "advertisedAndReceivedOldNew",
                "multiprotocolExtensions": {"ipv4Unicast": {"advertisedAndReceived": True}},
            },
            "messageStats": {"updatesSent": 3, "routeRefreshRecv": 1},
            "addressFamilyInfo": {"ipv4Unicast": {"acceptedPrefixCounter": 2, "sentPrefixCounter": 1}},
        }
    }  # fmt: skip
    (one,) = sessions(json.dumps(shown))
    assert (one.address, one.hold_time, one.keepalive, one.remote_role) == ("192.0.2.2", 9, 3, "rs")
    assert (one.accepted, one.advertised, one.refreshes_heard) == (2, 1, 1)
    assert one.capabilities_sent == ("four octet as", "extended message", "route refresh", "multiprotocol")
    assert one.capabilities_received == ("four octet as", "route refresh", "multiprotocol")


def test_received_routes_are_counted_before_policy() -> None:
    assert received_count(json.dumps({"pfxCounter": 0, "ribTableWalkCounters": {"Adj-in": 2, "All RIB": 0}})) == 2
