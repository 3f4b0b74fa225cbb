"""RFC 8210: PDUs survive the wire in both versions, and octets that are none are refused with the right code."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_pdu import (
    CacheReset,
    CacheResponse,
    EndOfData,
    ErrorCode,
    ErrorReport,
    Intervals,
    Pdu,
    PrefixPdu,
    ResetQuery,
    RouterKey,
    RtrError,
    SerialNotify,
    SerialQuery,
    decode,
    encode,
    split,
)

SHORT = st.integers(0, 0xFFFF)
LONG = st.integers(0, 0xFFFFFFFF)


@st.composite
def vrps(draw: st.DrawFn) -> Vrp:
    bits = draw(st.sampled_from((32, 128)))
    length = draw(st.integers(0, bits))
    number = draw(st.integers(0, (1 << bits) - 1)) >> (bits - length) << (bits - length)
    address = ipaddress.IPv4Address(number) if bits == 32 else ipaddress.IPv6Address(number)
    return Vrp(Prefix(f"{address}/{length}"), draw(LONG), draw(st.integers(length, bits)))


INTERVALS = st.builds(Intervals, LONG, LONG, LONG)
COMMON: st.SearchStrategy[Pdu] = st.one_of(
    st.builds(SerialNotify, SHORT, LONG),
    st.builds(SerialQuery, SHORT, LONG),
    st.just(ResetQuery()),
    st.builds(CacheResponse, SHORT),
    st.builds(PrefixPdu, st.booleans(), vrps()),
    st.just(CacheReset()),
    st.builds(ErrorReport, SHORT, st.binary(max_size=40), st.text(st.characters(exclude_categories=["Cs"]))),
)
NEWER: st.SearchStrategy[Pdu] = st.one_of(
    COMMON,
    st.builds(EndOfData, SHORT, LONG, INTERVALS),
    st.builds(RouterKey, st.booleans(), st.binary(min_size=20, max_size=20), LONG, st.binary(max_size=90)),
)
OLDER: st.SearchStrategy[Pdu] = st.one_of(COMMON, st.builds(EndOfData, SHORT, LONG, st.none()))


@given(NEWER)
def test_version_1_survives_the_wire(pdu: Pdu) -> None:
    assert decode(encode(pdu, 1)) == (1, pdu)


@given(OLDER)
def test_version_0_survives_the_wire(pdu: Pdu) -> None:
    assert decode(encode(pdu, 0)) == (0, pdu)


@given(st.lists(NEWER, max_size=6), st.integers(0, 40))
def test_a_stream_is_split_wherever_it_was_cut(pdus: list[Pdu], lost: int) -> None:
    octets = b"".join(encode(pdu) for pdu in pdus)
    cut = max(0, len(octets) - lost)
    whole, rest = split(octets[:cut])
    more, nothing = split(rest + octets[cut:])
    assert nothing == b""
    assert [decode(raw)[1] for raw in whole + more] == pdus


@given(st.binary(max_size=80))
def test_noise_is_refused_and_nothing_else_is_raised(noise: bytes) -> None:
    try:
        for raw in split(noise)[0]:
            decode(raw)
    except RtrError as error:
        assert error.code in set(ErrorCode)


def test_an_ipv4_prefix_is_the_octets_of_section_5_6() -> None:
    pdu = PrefixPdu(True, Vrp(Prefix("192.0.2.0/24"), 64500, 26))
    assert encode(pdu).hex(" ") == "01 04 00 00 00 00 00 14 01 18 1a 00 c0 00 02 00 00 00 fb f4"


def test_an_end_of_data_is_the_octets_of_section_5_8() -> None:
    pdu = EndOfData(7, 9, Intervals(3600, 600, 7200))
    assert encode(pdu).hex(" ") == "01 07 00 07 00 00 00 18 00 00 00 09 00 00 0e 10 00 00 02 58 00 00 1c 20"
    assert encode(pdu, 0).hex(" ") == "00 07 00 07 00 00 00 0c 00 00 00 09"


@pytest.mark.parametrize(
    "octets, code",
    [
        ("03 02 00 00 00 00 00 08", ErrorCode.UNSUPPORTED_VERSION),
        ("01 05 00 00 00 00 00 08", ErrorCode.UNSUPPORTED_PDU_TYPE),
        ("00 09 00 00 00 00 00 08", ErrorCode.UNSUPPORTED_PDU_TYPE),  # router keys came with version 1
        ("01 02 00 00 00 00 00 09 00", ErrorCode.CORRUPT_DATA),
        ("01 00 00 00 00 00 00 0a 00 00", ErrorCode.CORRUPT_DATA),
        ("01 04 00 00 00 00 00 14 01 18 17 00 c0 00 02 00 00 00 fb f4", ErrorCode.CORRUPT_DATA),  # maxLength < length
        ("01 04 00 00 00 00 00 14 01 18 21 00 c0 00 02 00 00 00 fb f4", ErrorCode.CORRUPT_DATA),  # maxLength > 32
        ("01 04 00 00 00 00 00 14 01 18 18 00 c0 00 02 01 00 00 fb f4", ErrorCode.CORRUPT_DATA),  # host bits
        ("01 0a 00 00 00 00 00 10 00 00 00 09 00 00 00 00", ErrorCode.CORRUPT_DATA),  # quotes more than there is
    ],
)
def test_a_malformed_pdu_is_refused_with_its_code(octets: str, code: ErrorCode) -> None:
    with pytest.raises(RtrError) as refused:
        decode(bytes.fromhex(octets))
    assert refused.value.code == code


@pytest.mark.parametrize("length", [0, 7, 1 << 17])
def test_a_length_that_cannot_be_ends_the_stream(length: int) -> None:
    with pytest.raises(RtrError, match="cannot be"):
        split(b"\x01\x02\x00\x00" + length.to_bytes(4, "big"))
