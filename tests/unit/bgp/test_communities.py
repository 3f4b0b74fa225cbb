"""Communities: text, octets, names and patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from wire_strategies import COMMUNITIES, LARGE_COMMUNITIES

from peerlab.bgp.communities import (
    GRACEFUL_SHUTDOWN,
    WELL_KNOWN,
    any_matches,
    communities_text,
    community_bytes,
    community_name,
    is_transitive_extended,
    large_communities_text,
    large_community_bytes,
    matches,
    parse_community,
)


def test_octets() -> None:
    assert community_bytes("8075:8007") == bytes.fromhex("1f8b1f47")
    assert large_community_bytes("8075:1:2") == bytes.fromhex("00001f8b0000000100000002")
    assert communities_text(bytes.fromhex("1f8b1f47" "ffff0000" "1f8b1f47")) == ("65535:0", "8075:8007")  # fmt: skip


@given(COMMUNITIES)
def test_standard_communities_survive_the_wire(community: str) -> None:
    assert communities_text(community_bytes(community)) == (community,)
    assert parse_community(community) == community


@given(LARGE_COMMUNITIES)
def test_large_communities_survive_the_wire(community: str) -> None:
    assert large_communities_text(large_community_bytes(community)) == (community,)
    assert parse_community(community) == community


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("GRACEFUL_SHUTDOWN", "ffff0000"),  # RFC 8326
        ("LLGR_STALE", "ffff0006"),  # RFC 9494
        ("NO_LLGR", "ffff0007"),
        ("BLACKHOLE", "ffff029a"),  # RFC 7999
        ("NO_EXPORT", "ffffff01"),  # RFC 1997
        ("NO_ADVERTISE", "ffffff02"),
        ("NO_EXPORT_SUBCONFED", "ffffff03"),
        ("NOPEER", "ffffff04"),  # RFC 3765
    ],
)
def test_well_known_communities(name: str, octets: str) -> None:
    assert community_bytes(parse_community(name)).hex() == octets
    assert community_name(WELL_KNOWN[name]) == name


def test_other_communities_have_no_name() -> None:
    assert community_name("8075:8007") is None
    assert community_name(GRACEFUL_SHUTDOWN) == "GRACEFUL_SHUTDOWN"


@pytest.mark.parametrize(
    "text", ["8075", "8075:", "8075:65536", "8075:1:4294967296", "8075:1:2:3", "a:b", "", "no_export", "1:-1"]
)
def test_what_is_no_community_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no community: "):
        parse_community(text)


def test_zeros_in_front_are_dropped() -> None:
    assert parse_community("08075:0001") == "8075:1"


@pytest.mark.parametrize(
    ("pattern", "community", "expect"),
    [
        ("8075:8007", "8075:8007", True),
        ("8075:8007", "8075:8008", False),
        ("8075:*", "8075:1", True),
        ("8075:*", "18075:1", False),
        ("8075:*", "8075:1:2", False),  # a star is one field
        ("8075:*:*", "8075:1:2", True),
        ("8075:1:*", "8075:2:2", False),
        ("*:666", "65535:666", True),
        ("*:*", "1:2", True),
        ("*:*", "1:2:3", False),
    ],
)
def test_patterns(pattern: str, community: str, expect: bool) -> None:
    assert matches(pattern, community) is expect


def test_any_pattern_may_match_any_community() -> None:
    assert any_matches(["1:1", "8075:*"], iter(["64500:1", "8075:7"]))
    assert not any_matches(["1:1", "8075:*"], ["64500:1"])
    assert not any_matches([], ["64500:1"])
    assert not any_matches(["1:1"], [])


@pytest.mark.parametrize("pattern", ["8075", "*", "8075:**", "8075:1*", "8075:[0-9]", "a:b"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="no community pattern"):
        matches(pattern, "8075:1")


@pytest.mark.parametrize(
    ("octets", "transitive"), [("0002fde900000001", True), ("4002fde900000001", False), ("4300000000000000", False)]
)
def test_transitivity_of_extended_communities(octets: str, transitive: bool) -> None:
    """RFC 4360 section 2; the third is RFC 8097's validation state."""
    assert is_transitive_extended(bytes.fromhex(octets)) is transitive


@pytest.mark.parametrize("wrong", ["1:65536", "65536:1", "1", "1:2:3", "a:b"])
def test_a_wrong_standard_community_cannot_be_sent(wrong: str) -> None:
    with pytest.raises(ValueError, match="no standard community"):
        community_bytes(wrong)


@pytest.mark.parametrize("wrong", ["1:2", "1:2:4294967296", "1:2:3:4", "a:b:c"])
def test_a_wrong_large_community_cannot_be_sent(wrong: str) -> None:
    with pytest.raises(ValueError, match="no large community"):
        large_community_bytes(wrong)
