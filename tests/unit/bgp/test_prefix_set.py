"""Prefixes: raw and in text, and sets of them. The standard library's ``ipaddress`` is the oracle."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import prefixes

from peerlab.bgp.address import address_bytes, address_text
from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes, nlri_split, nlri_split_add_path, nlri_text
from peerlab.bgp.policy import PrefixRange
from peerlab.bgp.prefix_set import PrefixSet

FAMILIES = st.sampled_from(Family)


@pytest.mark.parametrize(
    ("prefix", "raw"),
    [
        ("0.0.0.0/0", "00"),
        ("10.0.0.0/8", "080a"),
        ("10.128.0.0/9", "090a80"),
        ("198.51.100.0/22", "16c63364"),
        ("198.51.100.7/32", "20c6336407"),
        ("::/0", "00"),
        ("2001:db8::/32", "2020010db8"),
        ("2001:db8::/33", "2120010db800"),
        ("2001:db8::1/128", "8020010db8000000000000000000000001"),
        ("::ffff:0:0/96", "6000000000000000000000ffff"),
    ],
)
def test_raw_prefixes_octet_by_octet(prefix: Prefix, raw: str) -> None:
    assert nlri_bytes(prefix) == bytes.fromhex(raw)
    assert nlri_text(bytes.fromhex(raw), family_of_prefix(prefix)) == prefix


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "2001:db8::/129", "x", "", "10.0.0.0/8/8"])
def test_what_is_no_prefix_is_refused(text: Prefix) -> None:
    with pytest.raises(ValueError):
        nlri_bytes(text)


@given(st.data(), FAMILIES)
def test_a_field_is_cut_into_the_prefixes_that_were_joined(data: st.DataObject, family: Family) -> None:
    given_prefixes = data.draw(st.lists(prefixes(family), max_size=30))
    raws = nlri_split(b"".join(map(nlri_bytes, given_prefixes)), family)
    assert [nlri_text(raw, family) for raw in raws] == given_prefixes


@given(st.data(), FAMILIES)
def test_bits_beyond_the_length_do_not_matter(data: st.DataObject, family: Family) -> None:
    """RFC 4271 section 4.3. Two speakers' spellings of a prefix must be one RIB key."""
    given_prefixes = data.draw(st.lists(prefixes(family), max_size=10))
    noisy = b""
    for prefix in given_prefixes:
        raw = bytearray(nlri_bytes(prefix))
        if raw[0] % 8:
            raw[-1] |= data.draw(st.integers(0, 0xFF >> raw[0] % 8))
        noisy += raw
    assert nlri_split(noisy, family) == [nlri_bytes(prefix) for prefix in given_prefixes]


@given(st.data(), FAMILIES)
def test_path_identifiers_are_cut_off(data: st.DataObject, family: Family) -> None:
    entries = data.draw(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), prefixes(family).map(nlri_bytes)), max_size=10))
    field = b"".join(path_id.to_bytes(4, "big") + raw for path_id, raw in entries)
    assert nlri_split_add_path(field, family) == entries


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_addresses_in_text_are_those_of_the_standard_library(raw: bytes) -> None:
    assert address_text(raw) == str(ipaddress.ip_address(raw))
    assert address_bytes(address_text(raw)) == raw


@pytest.mark.parametrize("text", ["192.0.2.256", "fe80::1%eth0", "", "192.0.2.0/24"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        address_bytes(text)


def ranges(*texts: str) -> PrefixSet:
    """Written as in an IRR filter: ``10.0.0.0/8``, ``10.0.0.0/8 ge 24``, ``10.0.0.0/8 ge 9 le 24``."""
    built = []
    for text in texts:
        prefix, *words = text.split()
        bounds = dict(zip(words[::2], map(int, words[1::2]), strict=True))
        built.append(PrefixRange(prefix=Prefix(prefix), ge=bounds.get("ge"), le=bounds.get("le")))
    return PrefixSet(built)


@pytest.mark.parametrize(
    ("of", "inside", "outside"),
    [
        # no bounds: exactly this prefix
        ("10.0.0.0/8", ["10.0.0.0/8"], ["10.0.0.0/9", "0.0.0.0/0", "11.0.0.0/8"]),
        # le alone: from its own length
        ("10.0.0.0/8 le 24", ["10.0.0.0/8", "10.1.2.0/24"], ["10.1.2.0/25", "10.0.0.0/7"]),
        # ge alone: down to hosts
        ("10.0.0.0/8 ge 25", ["10.1.2.0/25", "10.1.2.3/32"], ["10.0.0.0/8", "10.1.2.0/24"]),
        ("10.0.0.0/8 ge 9 le 16", ["10.0.0.0/9", "10.9.0.0/16"], ["10.0.0.0/8", "10.9.0.0/17"]),
        # the whole family, and only that family
        ("0.0.0.0/0 le 32", ["0.0.0.0/0", "192.0.2.1/32"], ["::/0", "2001:db8::/32"]),
        ("::/0 ge 49", ["2001:db8::/49", "::1/128"], ["2001:db8::/48", "0.0.0.0/0", "192.0.2.1/32"]),
        ("2001:db8::/32 le 48", ["2001:db8::/32", "2001:db8:ffff::/48"], ["2001:db9::/48", "2001:db8::/49"]),
        # a base that does not end at an octet
        ("172.16.0.0/12 le 32", ["172.31.255.0/24", "172.16.0.0/12"], ["172.32.0.0/12", "172.0.0.0/8"]),
    ],
)
def test_ranges(of: str, inside: list[Prefix], outside: list[Prefix]) -> None:
    found = ranges(of)
    assert [prefix for prefix in inside if not found.contains(prefix)] == []
    assert [prefix for prefix in outside if found.contains(prefix)] == []
    assert inside[0] in found
    assert outside[0] not in found


def test_two_ranges_of_one_prefix_both_count() -> None:
    found = ranges("10.0.0.0/8", "10.0.0.0/8 ge 24 le 24")
    assert [found.contains(Prefix(f"10.0.0.0/{length}")) for length in (8, 9, 24, 25)] == [True, False, True, False]


@pytest.mark.parametrize("of", ["10.0.0.0/8 ge 7", "10.0.0.0/8 le 33", "10.0.0.0/8 ge 25 le 24", "10.0.0.0/8 le 7"])
def test_a_range_without_any_length_is_refused(of: str) -> None:
    with pytest.raises(ValueError, match="have to lie between 8 and 32"):
        ranges(of)


def test_an_empty_set_holds_nothing() -> None:
    assert not PrefixSet(())
    assert Prefix("0.0.0.0/0") not in PrefixSet(())
    assert PrefixSet(()).longest(Prefix("0.0.0.0/0")) is None


def test_builders() -> None:
    exact = PrefixSet.exactly([Prefix("10.0.0.0/8")])
    assert (exact.contains(Prefix("10.0.0.0/8")), exact.contains(Prefix("10.0.0.0/9"))) == (True, False)
    under = PrefixSet.covering([Prefix("10.0.0.0/8"), Prefix("2001:db8::/32")])
    assert under.contains(Prefix("10.1.2.3/32"))
    assert under.contains(Prefix("2001:db8::1/128"))
    assert not under.contains(Prefix("10.0.0.0/7"))


def test_longest_match() -> None:
    found = ranges("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32")
    assert found.longest(Prefix("10.1.2.0/24")) == "10.1.0.0/16"
    assert found.longest(Prefix("10.1.0.0/16")) == "10.1.0.0/16"
    assert found.longest(Prefix("10.0.0.0/9")) == "10.0.0.0/8"
    assert found.longest(Prefix("192.0.2.0/24")) == "0.0.0.0/0"
    assert found.longest(Prefix("2001:db9::/32")) is None
    assert found.longest_address("10.1.255.255") == "10.1.0.0/16"
    assert found.longest_address("2001:db8::1") == "2001:db8::/32"
    assert not found.contains_address("2001:db9::1")


@given(st.data(), FAMILIES)
def test_the_set_agrees_with_the_standard_library(data: st.DataObject, family: Family) -> None:
    bases = data.draw(st.lists(prefixes(family), min_size=1, max_size=6))
    built, networks = [], []
    bits = 32 if family is Family.IPV4 else 128
    for base in bases:
        length = int(base.rpartition("/")[2])
        low = data.draw(st.integers(length, bits))
        high = data.draw(st.integers(low, bits))
        built.append(PrefixRange(prefix=base, ge=low, le=high))
        networks.append((ipaddress.ip_network(base), low, high))
    asked = data.draw(prefixes(family) | st.sampled_from(bases))
    network = ipaddress.ip_network(asked)
    over = [base for base, _, _ in networks if network.subnet_of(base)]  # type: ignore[arg-type]
    found = PrefixSet(built)
    assert found.contains(asked) == any(
        network.subnet_of(base) and low <= network.prefixlen <= high  # type: ignore[arg-type]
        for base, low, high in networks
    )
    longest = max(over, key=lambda base: base.prefixlen, default=None)
    assert found.longest(asked) == (None if longest is None else str(longest))
