"""The OPEN message, its capabilities, and what two of them agree on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.bgp.capability import (
    AddPathMode,
    Capability,
    CapabilityCode,
    add_path,
    bgp_role,
    enhanced_route_refresh,
    extended_message,
    extended_next_hop,
    four_octet_as,
    graceful_restart,
    multiprotocol,
    route_refresh,
)
from peerlab.bgp.wire import Open, SessionContext, decode_open, encode_open, make_open, negotiate, roles_agree
from peerlab.errors import WireError

GOOD = bytes.fromhex("04" "fde9" "005a" "c0000201" "00")  # fmt: skip


def test_an_open_octet_by_octet() -> None:
    capabilities = (
        multiprotocol(Family.IPV4),
        multiprotocol(Family.IPV6),
        route_refresh(),
        extended_next_hop(),
        extended_message(),
        bgp_role(BgpRole.PEER),
        graceful_restart({Family.IPV6: True}, seconds=120, restarted=True),
        four_octet_as(4200000000),
        add_path({Family.IPV4: AddPathMode.SEND | AddPathMode.RECEIVE}),
        enhanced_route_refresh(),
    )
    body = encode_open(make_open(4200000000, "192.0.2.1", 90, capabilities))
    assert body == bytes.fromhex(
        "04" "5ba0" "005a" "c0000201" "45"  # version, AS_TRANS, hold time, identifier, 69 octets of parameters
        "0206" "0104" "00010001"
        "0206" "0104" "00020001"
        "0202" "0200"
        "0208" "0506" "000100010002"
        "0202" "0600"
        "0203" "0901" "04"
        "0208" "4006" "8078" "00020180"
        "0206" "4104" "fa56ea00"
        "0206" "4504" "00010103"
        "0202" "4600"
    )  # fmt: skip
    opened = decode_open(body)
    assert opened.capabilities == capabilities
    assert (opened.asn, opened.two_octet_as, opened.four_octet_as) == (4200000000, 23456, 4200000000)
    assert opened.families() == (Family.IPV4, Family.IPV6)
    assert opened.has_route_refresh()
    assert opened.has_enhanced_route_refresh()
    assert opened.extended_message
    assert opened.extended_next_hop == (Family.IPV4,)
    assert opened.role is BgpRole.PEER
    assert opened.restart_time == 120
    assert opened.add_path == {Family.IPV4: AddPathMode.SEND | AddPathMode.RECEIVE}


def test_an_open_without_capabilities() -> None:
    opened = decode_open(GOOD)
    assert opened == Open(asn=65001, two_octet_as=65001, hold_time=90, router_id="192.0.2.1")
    assert opened.families() == (Family.IPV4,)  # RFC 4760 section 8
    assert opened.four_octet_as is None
    assert opened.role is None
    assert opened.restart_time is None
    assert not opened.has_route_refresh()


@pytest.mark.parametrize(
    ("body", "code", "subcode", "data"),
    [
        ("03fde9005ac000020100", 2, 1, b"\0\4"),  # version 3: the highest supported comes back
        ("04fde9005a0000000000", 2, 3, b""),  # identifier 0.0.0.0
        ("040000005ac000020100", 2, 2, b""),  # AS 0, RFC 7607
        ("04fde90001c000020100", 2, 6, b""),  # hold time 1 s
        ("04fde90002c000020100", 2, 6, b""),  # hold time 2 s
        ("04fde9005ac0000201020100", 2, 4, b""),  # parameter 1, authentication, is long gone
        ("04fde9005ac000020101", 2, 0, b""),  # parameters announced, none there
        ("04fde9005ac00002010002", 2, 0, b""),  # more octets than parameters
        ("04fde9005ac00002010102", 2, 0, b""),  # ends inside a parameter's header
        ("04fde9005ac0000201020204", 2, 0, b""),  # parameter runs past the end
        ("04fde9005ac000020103020141", 2, 0, b""),  # capability ends inside its header
        ("04fde9005ac00002010402024104", 2, 0, b""),  # capability runs past its parameter
        ("04fde9005ac0000201050203410100", 2, 0, b""),  # AS number of one octet
        ("04fde9005ac000020106020441020000", 2, 0, b""),  # AS number of two octets, and lengths wrong with it
        ("04fde9005ac0000201ffff00", 2, 0, b""),  # extended form cut short
        ("04fde9005ac00002", 1, 2, b"\0\x1b"),  # shorter than any OPEN
    ],
)
def test_malformed_opens(body: str, code: int, subcode: int, data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode_open(bytes.fromhex(body))
    assert (caught.value.code, caught.value.subcode, caught.value.data) == (code, subcode, data)


@pytest.mark.parametrize("hold_time", [0, 3, 65535])
def test_legal_hold_times(hold_time: int) -> None:
    assert decode_open(encode_open(make_open(65001, "192.0.2.1", hold_time))).hold_time == hold_time


def test_parameters_over_255_octets_take_the_extended_form() -> None:
    """RFC 9072 section 2: both marker octets are 255, and every parameter has a length of two octets."""
    many = tuple(Capability(239, bytes([i]) * 30) for i in range(8))
    body = encode_open(make_open(65001, "192.0.2.1", 90, many))
    assert body[9:13] == bytes.fromhex("ffff") + (8 * 35 + 9).to_bytes(2, "big")
    assert decode_open(body).capabilities == (*many, four_octet_as(65001))


def test_the_extended_form_is_read_when_it_was_not_needed() -> None:
    assert decode_open(bytes.fromhex("04fde9005ac0000201" + "ffff0005" + "0200020200")).has_route_refresh()


@given(
    st.integers(1, 0xFFFFFFFF),
    st.sampled_from([0, 3, 90, 65535]),
    st.lists(
        st.builds(Capability, st.integers(0, 255).filter(lambda code: code != 65), st.binary(max_size=255)), max_size=14
    ),
)
def test_any_open_survives_the_wire(asn: int, hold_time: int, capabilities: list[Capability]) -> None:
    opened = make_open(asn, "192.0.2.1", hold_time, tuple(capabilities))
    assert decode_open(encode_open(opened)) == opened


@given(st.binary(max_size=80).map(lambda tail: GOOD[:9] + tail))
def test_arbitrary_parameters_are_decoded_or_refused(body: bytes) -> None:
    try:
        opened = decode_open(body)
        opened.families(), opened.add_path, opened.extended_next_hop, opened.restart_time, opened.role
    except WireError as error:
        assert error.code in (1, 2)


def test_what_does_not_fit_an_open_is_refused() -> None:
    with pytest.raises(ValueError, match="256 octets, over 255"):
        encode_open(make_open(65001, "192.0.2.1", 90, (Capability(239, bytes(256)),)))
    with pytest.raises(ValueError, match="over 4096"):
        encode_open(make_open(65001, "192.0.2.1", 90, tuple(Capability(239, bytes(255)) for _ in range(16))))
    with pytest.raises(ValueError, match="does not fit 12 bits"):
        graceful_restart({}, seconds=4096)


def test_differing_roles_are_refused_and_equal_ones_are_one() -> None:
    """RFC 9234 section 4.2."""
    twice = make_open(65001, "192.0.2.1", 90, (bgp_role(BgpRole.PEER), bgp_role(BgpRole.PEER)))
    assert twice.role is BgpRole.PEER
    differing = make_open(65001, "192.0.2.1", 90, (bgp_role(BgpRole.PEER), bgp_role(BgpRole.CUSTOMER)))
    with pytest.raises(WireError) as caught:
        _ = differing.role
    assert (caught.value.code, caught.value.subcode) == (2, 11)


def test_only_three_pairs_of_roles_agree() -> None:
    """RFC 9234 table 2."""
    agreeing = {frozenset((a, b)) for a in BgpRole for b in BgpRole if roles_agree(a, b)}
    assert agreeing == {
        frozenset((BgpRole.PROVIDER, BgpRole.CUSTOMER)),
        frozenset((BgpRole.RS, BgpRole.RS_CLIENT)),
        frozenset((BgpRole.PEER,)),
    }
    assert all(roles_agree(a, b) == roles_agree(b, a) for a in BgpRole for b in BgpRole)


def test_an_unknown_capability_is_kept_and_ignored() -> None:
    """RFC 5492 section 3."""
    opened = decode_open(encode_open(make_open(65001, "192.0.2.1", 90, (Capability(239, b"x"),))))
    assert opened.capabilities[0] == Capability(239, b"x")
    assert [capability.name() for capability in opened.capabilities] == ["capability 239", "four octet as"]
    assert opened.has(CapabilityCode.FOUR_OCTET_AS)


V4, V6 = Family.IPV4, Family.IPV6
SEND, RECEIVE = AddPathMode.SEND, AddPathMode.RECEIVE
LOCAL = (
    multiprotocol(V4),
    multiprotocol(V6),
    extended_message(),
    extended_next_hop(),
    add_path({V4: RECEIVE, V6: SEND}),
)


@pytest.mark.parametrize(
    ("asn", "remote", "expect"),
    [
        # the same capabilities on both sides; both only receive paths for IPv4 and only send them for IPv6
        (65002, LOCAL, SessionContext(extended_message=True, extended_next_hop=(V4,))),
        # what one side alone announced does not count
        (65002, (multiprotocol(V4),), SessionContext(families=(V4,))),
        # a sender of paths meets a receiver
        (
            65002,
            (multiprotocol(V4), multiprotocol(V6), add_path({V4: SEND, V6: SEND})),
            SessionContext(add_path=(V4,)),
        ),
        # families without any multiprotocol capability, and a session inside the AS
        (65001, (), SessionContext(families=(V4,), ebgp=False)),
    ],
)
def test_negotiation(asn: int, remote: tuple[Capability, ...], expect: SessionContext) -> None:
    local = make_open(65001, "192.0.2.1", 90, LOCAL)
    assert negotiate(local, make_open(asn, "192.0.2.2", 90, remote)) == expect


def test_an_old_speaker_takes_two_octets() -> None:
    """RFC 6793 section 4.1: both must have announced the capability."""
    old = Open(asn=65002, two_octet_as=65002, hold_time=90, router_id="192.0.2.2")
    new = make_open(65001, "192.0.2.1", 90)
    assert [negotiate(a, b).asn4 for a, b in ((old, new), (new, old), (new, new))] == [False, False, True]
