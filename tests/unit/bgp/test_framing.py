"""Message headers (RFC 4271 sections 4.1 and 6.1, RFC 8654)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.wire import HEADER_LENGTH, MARKER, MessageType, SessionContext, decode, frame, split
from peerlab.errors import WireError

KEEPALIVE = frame(MessageType.KEEPALIVE, b"")
UPDATE = frame(MessageType.UPDATE, bytes(4))


def header(length: int, kind: int) -> bytes:
    return MARKER + length.to_bytes(2, "big") + bytes([kind])


def test_a_keepalive_octet_by_octet() -> None:
    assert bytes.fromhex("ff" * 16 + "0013" + "04") == KEEPALIVE


@given(st.lists(st.binary(min_size=4, max_size=60), max_size=6), st.integers(0, 40))
def test_a_stream_is_cut_where_its_messages_end(bodies: list[bytes], extra: int) -> None:
    stream = b"".join(frame(MessageType.UPDATE, body) for body in bodies)
    incomplete = frame(MessageType.UPDATE, bytes(40))[:extra]
    messages, consumed = split(stream + incomplete)
    assert messages == [(MessageType.UPDATE, body) for body in bodies]
    assert consumed == len(stream)


@pytest.mark.parametrize(
    ("octets", "maximum", "subcode", "data", "what"),
    [
        (b"\xfe" + KEEPALIVE[1:], 4096, 1, b"", "marker"),
        # lengths: below the header, below the type's least, over the maximum
        (header(18, 4), 4096, 2, b"\x00\x12", "KEEPALIVE with a length of 18 octets, allowed are 19 to 19"),
        (header(20, 4), 4096, 2, b"\x00\x14", "allowed are 19 to 19"),
        (header(28, 1), 4096, 2, b"\x00\x1c", "OPEN with a length of 28 octets, allowed are 29 to 4096"),
        (header(22, 2), 4096, 2, b"\x00\x16", "UPDATE with a length of 22 octets, allowed are 23 to 4096"),
        (header(20, 3), 4096, 2, b"\x00\x14", "NOTIFICATION with a length of 20 octets"),
        (header(22, 5), 4096, 2, b"\x00\x16", "ROUTE_REFRESH with a length of 22 octets"),
        (header(4097, 2), 4096, 2, b"\x10\x01", "allowed are 23 to 4096"),
        # RFC 8654 section 3: OPEN and KEEPALIVE never grow
        (header(4097, 1), 65535, 2, b"\x10\x01", "allowed are 29 to 4096"),
        (header(23, 0), 4096, 3, b"\x00", "message type 0 is unknown"),
        (header(23, 6), 4096, 3, b"\x06", "message type 6 is unknown"),
    ],
)
def test_malformed_headers(octets: bytes, maximum: int, subcode: int, data: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what) as caught:
        split(octets, maximum)
    assert (caught.value.code, caught.value.subcode, caught.value.data) == (1, subcode, data)


def test_an_extended_message_is_taken_once_agreed_on() -> None:
    long = frame(MessageType.UPDATE, bytes(5000))
    assert split(long, SessionContext(extended_message=True).maximum) == ([(2, bytes(5000))], len(long))
    with pytest.raises(WireError):
        split(long, SessionContext().maximum)


def test_messages_before_a_malformed_one_are_not_lost() -> None:
    stream = UPDATE + KEEPALIVE + bytes(HEADER_LENGTH)
    messages, consumed = split(stream)
    assert messages == [(2, bytes(4)), (4, b"")]
    with pytest.raises(WireError):
        split(stream[consumed:])


def test_a_message_too_long_for_its_length_field_is_refused() -> None:
    with pytest.raises(ValueError, match="65536 octets"):
        frame(MessageType.UPDATE, bytes(65536 - HEADER_LENGTH))


@given(st.binary(max_size=64), st.sampled_from([4096, 65535]))
def test_arbitrary_octets_are_consumed_or_refused(octets: bytes, maximum: int) -> None:
    try:
        messages, consumed = split(octets, maximum)
    except WireError as error:
        assert error.code == 1
    else:
        assert consumed == sum(HEADER_LENGTH + len(body) for _, body in messages)


@given(st.integers(0, 255), st.binary(max_size=120))
def test_any_body_of_any_type_is_decoded_or_refused(kind: int, body: bytes) -> None:
    try:
        decode(kind, body, SessionContext())
    except WireError as error:
        assert 1 <= error.code <= 7
