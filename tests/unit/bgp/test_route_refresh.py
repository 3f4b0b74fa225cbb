"""ROUTE-REFRESH (RFC 2918, RFC 7313)."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import Family
from peerlab.bgp.wire import RefreshSubtype, RouteRefresh, decode_route_refresh, encode_route_refresh
from peerlab.errors import WireError


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("subtype", RefreshSubtype)
def test_octets(family: Family, subtype: RefreshSubtype) -> None:
    body = bytes([0, 1 if family is Family.IPV4 else 2, subtype, 1])
    assert encode_route_refresh(RouteRefresh(family=family, subtype=subtype)) == body
    found = decode_route_refresh(body)
    assert (found.family, found.subtype) == (family, subtype)


def test_a_foreign_family_has_numbers_only() -> None:
    found = decode_route_refresh(bytes.fromhex("00190046"))
    assert (found.family, found.afi, found.safi) == (None, 25, 70)
    assert encode_route_refresh(found) == bytes.fromhex("00190046")


def test_an_orf_request_may_be_longer() -> None:
    """RFC 5291 section 5: entries follow a plain request; peerlab reads the request alone."""
    assert decode_route_refresh(bytes.fromhex("00010001") + b"\x01\x40\x00").family is Family.IPV4


@pytest.mark.parametrize("subtype", [RefreshSubtype.BEGIN, RefreshSubtype.END])
def test_a_bracket_of_another_length_is_refused(subtype: RefreshSubtype) -> None:
    """RFC 7313 section 5: NOTIFICATION 7/1 with the whole message as data."""
    body = bytes([0, 1, subtype, 1, 0])
    with pytest.raises(WireError) as caught:
        decode_route_refresh(body)
    assert (caught.value.code, caught.value.subcode, caught.value.data) == (7, 1, body)


def test_a_short_one_is_refused() -> None:
    with pytest.raises(WireError) as caught:
        decode_route_refresh(b"\0\1\0")
    assert (caught.value.code, caught.value.subcode) == (1, 2)
