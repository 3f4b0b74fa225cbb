"""OpenBGPD's record of UPDATEs, as it wrote one, and the End-of-RIB in it."""

from __future__ import annotations

import pytest

from peerlab.daemons.openbgpd_dump import ends_of_rib

HEAD = "6b00896400110004"
BODY = "0007d77b00001f8b0000fbf40000000220010db8f001800000000000000000012001 0db8f0018000000000000000 0000"
END_OF_RIB = bytes.fromhex(f"{HEAD} 0000004d {BODY} ffffffffffffffffffffffffffffffff 001d02 0000 0006 800f03000201")
OTHER = END_OF_RIB[:-1] + b"\x02"
"""The same for multicast."""


def test_each_end_of_rib_is_found_once() -> None:
    assert ends_of_rib(END_OF_RIB) == (1, 89)
    assert ends_of_rib(OTHER + END_OF_RIB + END_OF_RIB) == (2, 3 * 89)


def test_a_record_that_is_not_all_there_waits() -> None:
    assert ends_of_rib(END_OF_RIB + END_OF_RIB[:-1]) == (1, 89)
    assert ends_of_rib(b"") == (0, 0)


def test_what_is_no_record_is_an_error() -> None:
    with pytest.raises(ValueError, match="no record"):
        ends_of_rib(b"\xff" * 20)
