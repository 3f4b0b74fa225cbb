"""NOTIFICATION in words, and the shutdown communication."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.notification import ADMINISTRATIVE_RESET
from peerlab.bgp.wire import Notification, decode_notification, encode_notification, shutdown
from peerlab.errors import WireError


@pytest.mark.parametrize(
    ("code", "subcode", "name"),
    [
        (1, 1, "Message Header Error/Connection Not Synchronized"),
        (2, 2, "OPEN Message Error/Bad Peer AS"),
        (2, 11, "OPEN Message Error/Role Mismatch"),
        (3, 1, "UPDATE Message Error/Malformed Attribute List"),
        (3, 11, "UPDATE Message Error/Malformed AS_PATH"),
        (4, 0, "Hold Timer Expired"),
        (5, 3, "Finite State Machine Error/Unexpected Message in Established State"),
        (6, 1, "Cease/Maximum Number of Prefixes Reached"),
        (6, 2, "Cease/Administrative Shutdown"),
        (6, 3, "Cease/Peer De-configured"),
        (6, 9, "Cease/Hard Reset"),
        (6, 10, "Cease/BFD Down"),
        (7, 1, "ROUTE-REFRESH Message Error/Invalid Message Length"),
        (8, 0, "Send Hold Timer Expired"),
        # what has no name keeps its number
        (6, 99, "Cease/subcode 99"),
        (99, 0, "code 99"),
        (99, 1, "code 99/subcode 1"),
    ],
)
def test_names(code: int, subcode: int, name: str) -> None:
    assert Notification(code, subcode).name() == name


def test_a_shutdown_octet_by_octet() -> None:
    notification = shutdown("bye", ADMINISTRATIVE_RESET)
    assert encode_notification(notification) == bytes.fromhex("0604" "03" "627965")  # fmt: skip
    assert notification.communication() == "bye"


@pytest.mark.parametrize(
    ("notification", "text"),
    [
        (shutdown("peerlab: planned maintenance ✓"), "peerlab: planned maintenance ✓"),
        (shutdown("é" * 127), "é" * 127),  # 254 octets: more than RFC 8203 allowed, within RFC 9003
        (shutdown(""), None),
        (Notification(6, 2), None),  # nothing there at all
        (Notification(6, 2, b"\x05bye"), None),  # longer than the message
        (Notification(6, 2, b"\x02\xff\xfe"), None),  # not UTF-8: must not be interpreted
        (Notification(6, 3, b"\x03bye"), None),  # subcodes 2 and 4 only
        (Notification(3, 2, b"\x03bye"), None),  # Cease only
        (Notification(6, 9, b"\x06\x02\x03bye"), "bye"),  # inside a hard reset, RFC 8538 section 3
        (Notification(6, 9, b"\x06"), None),
    ],
)
def test_communications(notification: Notification, text: str | None) -> None:
    assert notification.communication() == text


def test_what_a_hard_reset_carries() -> None:
    assert Notification(6, 9, bytes.fromhex("0604" "03627965")).inner() == shutdown("bye", 4)  # fmt: skip
    assert Notification(6, 9).inner() is None
    assert Notification(6, 4, b"\x06\x03").inner() is None


def test_a_communication_of_more_than_255_octets_is_refused() -> None:
    with pytest.raises(ValueError, match="this one 256"):
        shutdown("é" * 128)


@given(st.binary(max_size=40))
def test_any_body_is_decoded_or_too_short(body: bytes) -> None:
    if len(body) < 2:
        with pytest.raises(WireError):
            decode_notification(body)
        return
    notification = decode_notification(body)
    notification.name(), notification.communication()
    assert encode_notification(notification) == body
