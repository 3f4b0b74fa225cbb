"""RFC 6811: states of routes under VRPs."""

from __future__ import annotations

import pytest

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.bgp.origin_validation import OriginValidator, Vrp

VRPS = OriginValidator(
    [
        Vrp(Prefix("10.0.0.0/16"), 64500, 20),
        Vrp(Prefix("10.0.0.0/16"), 64501),
        Vrp(Prefix("10.1.0.0/16"), 0),
        Vrp(Prefix("2001:db8::/32"), 64500, 48),
        Vrp(Prefix("192.0.0.0/3"), 64502, 24),
    ]
)


@pytest.mark.parametrize(
    "prefix, origin, state",
    [
        ("10.0.0.0/16", 64500, "valid"),
        ("10.0.16.0/20", 64500, "valid"),  # at maxLength
        ("10.0.16.0/21", 64500, "invalid"),  # beyond
        ("10.0.0.0/16", 64501, "valid"),  # a second VRP
        ("10.0.0.0/17", 64501, "invalid"),  # without maxLength: exactly
        ("10.0.0.0/16", 64999, "invalid"),
        ("10.0.0.0/16", None, "invalid"),  # a set at the end matches nothing
        ("10.0.0.0/15", 64500, "not-found"),  # a VRP does not cover what is shorter
        ("10.1.0.0/16", 0, "invalid"),  # AS 0 is nobody's (RFC 7607)
        ("2001:db8:1::/48", 64500, "valid"),
        ("2001:db8:1::/49", 64500, "invalid"),
        ("2001:db9::/32", 64500, "not-found"),
        ("203.0.113.0/24", 64502, "valid"),  # a covering prefix with an odd length
        ("0.0.0.0/3", 64502, "not-found"),
    ],
)
def test_state(prefix: str, origin: int | None, state: str) -> None:
    assert VRPS.state(nlri_bytes(Prefix(prefix)), family_of_prefix(Prefix(prefix)), origin) == state


def test_without_vrps_everything_is_not_found() -> None:
    assert (
        OriginValidator().state(nlri_bytes(Prefix("10.0.0.0/8")), family_of_prefix(Prefix("10.0.0.0/8")), 1)
        == "not-found"
    )
