"""BFD control packets: against captures and tcpdump's reading of them, there and back, and what is discarded."""

from __future__ import annotations

import re

import pytest
from capture_file import CAPTURES, datagrams
from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.bfd_packet import BfdState, ControlPacket, Discarded, decode, diagnostic_words, encode

VERBOSE = (
    "bfd-lag-v",
    "bfd-multihop-v",
    "bfd-raw-auth-md5-v",
    "bfd-raw-auth-sha1-v",
    "bfd-raw-auth-simple-v",
    "bfd-sbfd-v",
    "bfd_source_port_49152",
)
"""tcpdump's own tests that print every field."""

_FLAGS = {
    "Poll": "poll",
    "Final": "final",
    "Demand": "demand",
    "Control Plane Independent": "control_plane_independent",
}
_WORDS = {"State Up": "Up", "State Down": "Down", "State Init": "Init", "State AdminDown": "AdminDown"}


def said(packet: ControlPacket, length: int) -> dict[str, object]:
    """A packet in the words of ``told``."""
    flags = {word for word, name in _FLAGS.items() if getattr(packet, name)}
    if packet.authentication:
        flags.add("Authentication Present")
    return {
        "state": packet.state.words(),
        "flags": flags,
        "diagnostic": f"{diagnostic_words(packet.diagnostic)} (0x{packet.diagnostic:02x})",
        "mult": packet.detect_mult,
        "length": length,
        "mine": packet.my_discriminator,
        "yours": packet.your_discriminator,
        "tx": packet.desired_min_tx // 1000,
        "rx": packet.required_min_rx // 1000,
        "echo": packet.required_min_echo_rx // 1000,
    }


def told(text: str) -> list[dict[str, object]]:
    """What tcpdump printed, one entry per packet."""
    found = []
    for block in re.split(r"\n(?=\s+\d+  )", text):

        def number(label: str, base: int = 10, within: str = block) -> int:
            match = re.search(rf"{label}:?\s+(0x[0-9a-f]+|\d+)", within)
            assert match, (label, within)
            return int(match[1], 16 if match[1].startswith("0x") else base)

        state = re.search(r"(State \w+), Flags: \[([^\]]*)\], Diagnostic: (.*)", block)
        assert state, block
        found.append(
            {
                "state": _WORDS[state[1]],
                "flags": {flag for flag in state[2].split(", ") if flag != "none"},
                "diagnostic": state[3].strip(),
                "mult": number("Detection Timer Multiplier"),
                "length": number("BFD Length"),
                "mine": number("My Discriminator"),
                "yours": number("Your Discriminator"),
                "tx": number("Desired min Tx Interval"),
                "rx": number("Required min Rx Interval"),
                "echo": number("Required min Echo Interval"),
            }
        )
    return found


@pytest.mark.parametrize("name", VERBOSE)
def test_reads_what_tcpdump_reads(name: str) -> None:
    octets = list(datagrams(f"{name.removesuffix('-v')}.pcap"))
    expected = told((CAPTURES / f"{name}.out").read_text().rstrip("\n"))
    assert len(octets) >= len(expected) > 0
    for payload, one in zip(octets, expected, strict=False):
        assert said(decode(payload), payload[3]) == one
        assert encode(decode(payload)) == payload[: payload[3]]


PACKETS = st.builds(
    ControlPacket,
    state=st.sampled_from([BfdState.DOWN, BfdState.ADMIN_DOWN]),
    my_discriminator=st.integers(1, 0xFFFFFFFF),
    your_discriminator=st.integers(0, 0xFFFFFFFF),
    detect_mult=st.integers(1, 255),
    desired_min_tx=st.integers(0, 0xFFFFFFFF),
    required_min_rx=st.integers(0, 0xFFFFFFFF),
    required_min_echo_rx=st.integers(0, 0xFFFFFFFF),
    diagnostic=st.integers(0, 31),
    poll=st.booleans(),
    final=st.booleans(),
    control_plane_independent=st.booleans(),
    demand=st.booleans(),
    authentication=st.one_of(st.just(b""), st.binary(min_size=2, max_size=28)),
)


@given(PACKETS)
def test_every_packet_survives_the_wire(packet: ControlPacket) -> None:
    assert decode(encode(packet)) == packet
    assert decode(encode(packet) + b"padding behind the packet") == packet


@given(st.binary(max_size=80))
def test_rubbish_is_discarded_or_read_and_nothing_else(octets: bytes) -> None:
    try:
        packet = decode(octets)
    except Discarded as why:
        assert str(why)
    else:
        assert packet.my_discriminator
        assert packet.detect_mult


GOOD = encode(
    ControlPacket(
        state=BfdState.UP,
        my_discriminator=1,
        your_discriminator=2,
        detect_mult=3,
        desired_min_tx=300_000,
        required_min_rx=300_000,
    )
)


def changed(at: int, octet: int) -> bytes:
    return GOOD[:at] + bytes([octet]) + GOOD[at + 1 :]


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        pytest.param(GOOD[:23], "23 octets", id="too short"),
        pytest.param(changed(0, 0 << 5), "version 0", id="version 0"),
        pytest.param(changed(0, 2 << 5), "version 2", id="version 2"),
        pytest.param(changed(3, 23), "length 23", id="length under 24"),
        pytest.param(changed(3, 25), "more than the 24", id="length over the payload"),
        pytest.param(changed(1, 0xC4), "less than the 26", id="authenticated but 24 octets"),
        pytest.param(changed(2, 0), "detect mult", id="detect mult zero"),
        pytest.param(changed(1, 0xC1), "multipoint", id="multipoint"),
        pytest.param(GOOD[:4] + bytes(4) + GOOD[8:], "my discriminator", id="my discriminator zero"),
        pytest.param(GOOD[:8] + bytes(4) + GOOD[12:], "in state Up", id="Up without your discriminator"),
    ],
)
def test_what_the_rfc_discards_is_discarded(octets: bytes, why: str) -> None:
    """RFC 5880 section 6.8.6, every step that the packet alone decides."""
    assert decode(GOOD).state is BfdState.UP
    with pytest.raises(Discarded, match=why):
        decode(octets)
