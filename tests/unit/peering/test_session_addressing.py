"""Addresses: what a prefix gives, what is refused and with which words (spec 1.5, 1.6, S3)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.attributes import Address, Prefix
from peerlab.errors import RefusedError
from peerlab.peering.addressing import (
    direct_addresses,
    host_address,
    link_test_addresses,
    link_test_range,
    next_free_prefix,
    session_prefix_v4,
    session_prefix_v6,
)

# session prefix, peer's address, Microsoft's address: all from recordings or documented examples
DERIVED = [
    ("192.168.0.0/31", "192.168.0.0", "192.168.0.1"),
    ("10.21.31.0/31", "10.21.31.0", "10.21.31.1"),
    ("32.14.1.0/30", "32.14.1.1", "32.14.1.2"),
    ("12.90.152.60/30", "12.90.152.61", "12.90.152.62"),
    ("fd00::/127", "fd00::", "fd00::1"),
    ("fe01::3e:0/127", "fe01::3e:0", "fe01::3e:1"),
    ("fd00::/126", "fd00::1", "fd00::2"),
    # the validator takes /64 to /127; the first two usable addresses, as of a /126
    ("fd00:1::/64", "fd00:1::1", "fd00:1::2"),
]


@pytest.mark.parametrize(("prefix", "peer", "microsoft"), DERIVED)
def test_both_ends_follow_from_the_prefix(prefix: str, peer: str, microsoft: str) -> None:
    read = session_prefix_v6 if ":" in prefix else session_prefix_v4
    ends = direct_addresses(read(prefix))
    assert (ends.peer, ends.microsoft) == (peer, microsoft)


# given, message
REFUSED_V4 = [
    ("10.0.0.0/29", "Invalid Prefix: 10.0.0.0/29, must be either /30 or /31"),
    ("10.0.0.0/32", "Invalid Prefix: 10.0.0.0/32, must be either /30 or /31"),
    # a /31 is given as its network address
    ("10.0.0.1/31", "Unrecognized routePrefix 10.0.0.1/31"),
    ("10.0.0.0", "10.0.0.0 is not in proper IP / CIDR notation."),
    ("10.0.0/31", "10.0.0/31 is not in proper IP / CIDR notation."),
    ("fd00::/127", "fd00::/127 is not in proper IP / CIDR notation."),
]
REFUSED_V6 = [
    ("fd00::/63", "Invalid Prefix: fd00::/63, must be between /64 and /127"),
    ("fd00::/128", "Invalid Prefix: fd00::/128, must be between /64 and /127"),
    ("fd00::1/127", "Unrecognized routePrefix fd00::1/127"),
    ("10.0.0.0/31", "10.0.0.0/31 is not in proper IP / CIDR notation."),
]


@pytest.mark.parametrize(("text", "message"), REFUSED_V4)
def test_refused_ipv4_session_prefixes(text: str, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        session_prefix_v4(text)
    assert (refused.value.code, refused.value.message) == ("BadArgument", message)


@pytest.mark.parametrize(("text", "message"), REFUSED_V6)
def test_refused_ipv6_session_prefixes(text: str, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        session_prefix_v6(text)
    assert refused.value.message == message


def test_a_30_may_be_named_by_any_of_its_addresses() -> None:
    assert session_prefix_v4("10.0.0.1/30") == "10.0.0.0/30"


@pytest.mark.parametrize("text", ["80.249.211.62", "80.249.211.62/32"])
def test_exchange_addresses_are_hosts(text: str) -> None:
    assert host_address(text, 4) == "80.249.211.62"


@pytest.mark.parametrize("text", ["80.249.211.62/31", "2001:db8::1", "nonsense"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        host_address(text, 4)
    assert refused.value.message == f"{text} is not in proper IP / CIDR notation."


# range named by the peer, words of the refusal
OUTSIDE = [
    ("10.0.0.0/24", "outside 169.254.0.0/16"),
    ("169.254.0.0/15", "outside 169.254.0.0/16"),
    ("fe80::/64", "outside 169.254.0.0/16"),
    # reserved by RFC 3927 section 2.1
    ("169.254.0.0/24", "has no two addresses in 169.254.1.0-169.254.254.255"),
    ("169.254.255.0/24", "has no two addresses in 169.254.1.0-169.254.254.255"),
    ("169.254.7.7/32", "has no two addresses"),
]


@pytest.mark.parametrize(("text", "words"), OUTSIDE)
def test_a_link_test_range_outside_is_refused(text: str, words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        link_test_range(text)
    assert words in refused.value.message


def test_the_first_and_the_last_pair() -> None:
    first = link_test_addresses(())
    assert (first.peer, first.microsoft) == ("169.254.1.0", "169.254.1.1")
    last = link_test_addresses((), Prefix("169.254.254.254/31"))
    assert (last.peer, last.microsoft) == ("169.254.254.254", "169.254.254.255")


@given(st.integers(1, 60), st.sampled_from(["169.254.0.0/16", "169.254.9.0/24", "169.254.254.128/25"]))
def test_link_test_addresses_are_distinct_unique_and_in_range(links: int, within: str) -> None:
    taken: list[Address] = []
    for _ in range(links):
        pair = link_test_addresses(taken, Prefix(within))
        taken += [pair.peer, pair.microsoft]
    assert len(set(taken)) == 2 * links
    for address in taken:
        assert ipaddress.ip_address("169.254.1.0") <= ipaddress.ip_address(address)
        assert ipaddress.ip_address(address) <= ipaddress.ip_address("169.254.254.255")
        assert ipaddress.ip_address(address) in ipaddress.ip_network(within)


def test_a_used_up_range_is_refused() -> None:
    taken = [Address("169.254.9.0"), Address("169.254.9.3")]
    with pytest.raises(RefusedError, match="No free pair"):
        link_test_addresses(taken, Prefix("169.254.9.0/30"))


@given(st.sets(st.integers(0, 15), max_size=15))
def test_the_next_free_prefix_is_the_lowest_gap(busy: set[int]) -> None:
    taken = [Prefix(f"20.0.0.{2 * n}/31") for n in busy]
    lowest = min(set(range(16)) - busy)
    assert next_free_prefix(Prefix("20.0.0.0/27"), 31, taken) == f"20.0.0.{2 * lowest}/31"


def test_a_wide_neighbour_is_stepped_over_and_a_full_pool_gives_none() -> None:
    assert next_free_prefix(Prefix("20.0.0.0/28"), 31, [Prefix("20.0.0.0/29")]) == "20.0.0.8/31"
    assert next_free_prefix(Prefix("20.0.0.0/31"), 31, [Prefix("20.0.0.0/16")]) is None
