"""RFC 7606, revised error handling: what becomes of a route when one of its attributes is malformed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peerlab.bgp.attributes import Family, RawAttribute
from peerlab.bgp.wire import AttributeCache, SessionContext, Update, decode_bulk, decode_update, nlri_bytes
from peerlab.errors import WireError

CASES = json.loads((Path(__file__).parent / "rfc7606_cases.json").read_text())["cases"]
FATAL = [case for case in CASES if case["expect"]["ebgp"] == "session-reset"]
SURVIVED = [case for case in CASES if case not in FATAL]

EBGP = SessionContext(ebgp=True)
IBGP = SessionContext(ebgp=False)
SESSIONS = {"ebgp": EBGP, "ibgp": IBGP}

PREFIX = "198.51.100.0/24"
GOOD = {
    1: (0x40, "00"),  # ORIGIN IGP
    2: (0x40, "02020000fde90000fdea"),  # AS_PATH 65001 65002
    3: (0x40, "c0000201"),  # NEXT_HOP 192.0.2.1
}
LOCAL_PREF = (0x40, "00000064")


def attribute(flags: int, kind: int, value: bytes) -> bytes:
    if flags & 0x10:
        return bytes([flags, kind]) + len(value).to_bytes(2, "big") + value
    return bytes([flags, kind, len(value)]) + value


def update(field: bytes, *, nlri: bytes = nlri_bytes(PREFIX), withdrawn: bytes = b"") -> bytes:
    return len(withdrawn).to_bytes(2, "big") + withdrawn + len(field).to_bytes(2, "big") + field + nlri


def attributes_with(changed: dict[int, tuple[int, str]], *, ibgp: bool = False) -> bytes:
    """A good set of attributes, with some replaced or added."""
    chosen = GOOD | ({5: LOCAL_PREF} if ibgp else {}) | changed
    return b"".join(attribute(flags, kind, bytes.fromhex(value)) for kind, (flags, value) in sorted(chosen.items()))


def body_of(case: dict[str, Any], session: str) -> bytes:
    """The UPDATE of a case: its attribute takes the place of the good one of that type."""
    if case["next_hop"]:
        changed = {3: (0x40, bytes(int(octet) for octet in case["next_hop"].split(".")).hex())}
    else:
        changed = {case["attr_type"]: (int(case["flags"], 16), case["value_hex"])}
    return update(attributes_with(changed, ibgp=session == "ibgp"))


def assert_withdrawn(decoded: Update) -> None:
    assert decoded.treat_as_withdraw
    assert decoded.withdrawn == (PREFIX,)
    assert decoded.announced == ()
    assert decoded.attributes is None


def assert_announced(decoded: Update) -> None:
    assert decoded.treat_as_withdraw is None
    assert decoded.withdrawn == ()
    assert decoded.announced == (PREFIX,)
    assert decoded.attributes is not None
    assert decoded.attributes.asns() == (65001, 65002)


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize(
    "case", [case for case in CASES if case["expect"]["ebgp"] != "session-reset"], ids=lambda c: c["name"]
)
def test_the_session_survives_and_the_route_is_handled_as_the_case_says(case: dict[str, Any], session: str) -> None:
    decoded = decode_update(body_of(case, session), SESSIONS[session])
    expect = case["expect"][session]
    if session in case["skip_for"]:
        # FRR's suite leaves these out; RFC 7606 section 7.5 and RFC 7311 section 3 discard them from another AS.
        expect = "discard"
    if expect == "withdraw":
        assert_withdrawn(decoded)
        return
    assert expect == "discard"
    assert_announced(decoded)
    if case["name"] == "unknown-fe-transitive":
        # Not an error: RFC 4271 section 5 wants an unknown transitive attribute passed on.
        assert decoded.discarded == ()
        assert decoded.attributes.unknown == (RawAttribute(0xC0, 254, bytes.fromhex("deadbeef")),)
        return
    assert len(decoded.discarded) == 1
    assert (
        decoded.attributes
        == decode_update(update(attributes_with({}, ibgp=session == "ibgp")), SESSIONS[session]).attributes
    )


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize(
    "case", [case for case in CASES if case["expect"]["ebgp"] == "session-reset"], ids=lambda c: c["name"]
)
def test_the_session_ends_with_the_notification_of_the_case(case: dict[str, Any], session: str) -> None:
    assert case["expect"] == {"ebgp": "session-reset", "ibgp": "session-reset"}
    with pytest.raises(WireError) as caught:
        decode_update(body_of(case, session), SESSIONS[session])
    assert (caught.value.code, caught.value.subcode) == (case["notification"]["code"], case["notification"]["subcode"])


W, D = "withdraw", "discard"


@pytest.mark.parametrize(
    ("kind", "flags", "value", "ebgp", "ibgp"),
    [
        # flags that contradict the attribute's definition, section 3 c
        pytest.param(1, 0xC0, "00", W, W, id="origin-flag-optional"),
        pytest.param(2, 0x00, "02010000fde9", W, W, id="as-path-flag-nontransitive"),
        pytest.param(4, 0xA0, "0000000a", W, W, id="med-flag-partial"),
        pytest.param(9, 0xC0, "0a000001", W, W, id="originator-id-flag-transitive"),
        pytest.param(10, 0xC0, "0a000001", W, W, id="cluster-list-flag-transitive"),
        pytest.param(22, 0x80, "0000000000", W, W, id="pmsi-flag-nontransitive"),
        pytest.param(25, 0x80, "00022001" + "0db8" * 8, W, W, id="ipv6-extcomm-flag-nontransitive"),
        pytest.param(32, 0x80, "000000010000000200000003", W, W, id="large-comm-flag-nontransitive"),
        pytest.param(35, 0x80, "0000fde9", W, W, id="otc-flag-nontransitive"),
        pytest.param(40, 0x80, "01000700000000000001", D, D, id="prefix-sid-flag-nontransitive"),
        # lengths and values, section 7
        pytest.param(1, 0x40, "0000", W, W, id="origin-len-2"),
        pytest.param(1, 0x40, "ff", W, W, id="origin-value-255"),
        pytest.param(2, 0x40, "00010000fde9", W, W, id="as-path-seg-type-0"),
        pytest.param(2, 0x40, "02050000fde9", W, W, id="as-path-seg-overrun"),
        pytest.param(2, 0x40, "02010000fde902", W, W, id="as-path-seg-header-cut"),
        pytest.param(3, 0x40, "c00002", W, W, id="next-hop-len-3"),
        pytest.param(3, 0x40, "7f000001", W, W, id="next-hop-loopback"),
        pytest.param(3, 0x40, "ffffffff", W, W, id="next-hop-broadcast"),
        pytest.param(4, 0x80, "00000a", W, W, id="med-len-3"),
        pytest.param(5, 0x40, "000064", D, W, id="local-pref-len-3"),
        pytest.param(7, 0xC0, "0000fde90a0000", D, D, id="aggregator-len-7"),
        pytest.param(8, 0xC0, "ffff000100", W, W, id="communities-len-5"),
        pytest.param(9, 0x80, "", D, W, id="originator-id-len-0"),
        pytest.param(16, 0xC0, "0002fde90000000100", W, W, id="extcomm-len-9"),
        pytest.param(18, 0xC0, "0000fde90a0000", D, D, id="as4-aggregator-len-7"),
        pytest.param(23, 0xC0, "000700", W, W, id="encap-len-3"),
        pytest.param(29, 0x80, "0400", D, D, id="link-state-truncated-tlv"),
        pytest.param(35, 0xC0, "00000000", W, W, id="otc-value-0"),
        # confederation segments end at the confederation's border, RFC 5065 section 5.3
        pytest.param(2, 0x40, "03010000fde9" + "02020000fde90000fdea", W, "accept", id="as-path-confed-sequence"),
    ],
)
def test_cases_beyond_the_file(kind: int, flags: int, value: str, ebgp: str, ibgp: str) -> None:
    for name, expect in (("ebgp", ebgp), ("ibgp", ibgp)):
        decoded = decode_update(update(attributes_with({kind: (flags, value)}, ibgp=name == "ibgp")), SESSIONS[name])
        if expect == W:
            assert_withdrawn(decoded)
        else:
            assert decoded.announced == (PREFIX,)
            assert len(decoded.discarded) == (1 if expect == D else 0)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_mandatory_attribute_withdraws_the_route(missing: int) -> None:
    """Section 3 d."""
    field = b"".join(attribute(f, kind, bytes.fromhex(value)) for kind, (f, value) in GOOD.items() if kind != missing)
    decoded = decode_update(update(field), EBGP)
    assert_withdrawn(decoded)
    assert decoded.treat_as_withdraw == {1: "ORIGIN", 2: "AS_PATH", 3: "NEXT_HOP"}[missing] + " is missing"


def test_an_attribute_given_twice_counts_once_the_first_time() -> None:
    """Section 3 g."""
    field = attributes_with({4: (0x80, "0000000a")}) + attribute(0x80, 4, bytes.fromhex("0000000b"))
    decoded = decode_update(update(field), EBGP)
    assert_announced(decoded)
    assert decoded.attributes is not None
    assert decoded.attributes.med == 10
    assert decoded.discarded == ("MULTI_EXIT_DISC: given twice, the first one counts",)


def test_a_second_copy_is_not_even_judged() -> None:
    """Section 3 g: all but the first are discarded, so a malformed second copy harms nobody."""
    assert_announced(decode_update(update(attributes_with({}) + attribute(0x40, 1, b"\x09")), EBGP))


REACH = attribute(0x80, 14, bytes.fromhex("0002011020010db8000000000000000000000001003020010db80001"))
UNREACH = attribute(0x80, 15, bytes.fromhex("0002013020010db80002"))


@pytest.mark.parametrize("twice", [REACH, UNREACH], ids=["MP_REACH_NLRI", "MP_UNREACH_NLRI"])
def test_a_multiprotocol_attribute_given_twice_ends_the_session(twice: bytes) -> None:
    """Section 3 g."""
    with pytest.raises(WireError, match="given twice") as caught:
        decode_update(update(twice + attributes_with({}) + twice, nlri=b""), EBGP)
    assert (caught.value.code, caught.value.subcode) == (3, 1)


def test_the_strongest_of_several_answers_wins() -> None:
    """Section 3 h: a discard and a withdrawal together withdraw; the discard is still reported."""
    decoded = decode_update(update(attributes_with({7: (0xC0, "00"), 8: (0xC0, "00")})), EBGP)
    assert_withdrawn(decoded)
    assert decoded.treat_as_withdraw == "COMMUNITIES: 1 octets are not a positive multiple of 4"
    assert decoded.discarded == ("AGGREGATOR: 1 octets instead of 8",)


@pytest.mark.parametrize(
    ("tail", "what"),
    [
        # section 4: a length past the end of the attributes leaves the NLRI where it was, so the route is withdrawn
        ("c00820ffff", "COMMUNITIES runs past the end of the attributes"),
        ("c0", "the attributes end inside a header"),
        ("d008", "the attributes end inside a header"),
        ("d00800", "the attributes end inside a header"),
    ],
)
def test_attributes_that_overrun_their_field_withdraw_the_route(tail: str, what: str) -> None:
    decoded = decode_update(update(attributes_with({}) + bytes.fromhex(tail)), EBGP)
    assert_withdrawn(decoded)
    assert decoded.treat_as_withdraw == what


def test_a_withdrawing_error_without_any_route_ends_the_session() -> None:
    """Section 5.2: what was damaged may be the very routes."""
    with pytest.raises(WireError, match="announces nothing") as caught:
        decode_update(update(attributes_with({1: (0x40, "03")}), nlri=b""), EBGP)
    assert (caught.value.code, caught.value.subcode) == (3, 1)


def test_a_discarding_error_without_any_route_is_harmless() -> None:
    """Section 5.2 ends the session for stronger errors only."""
    assert decode_update(update(attributes_with({7: (0xC0, "00")}), nlri=b""), EBGP).announced == ()


def test_a_withdrawn_route_stays_withdrawn_beside_a_treated_one() -> None:
    body = update(attributes_with({1: (0x40, "03")}), withdrawn=nlri_bytes("203.0.113.0/24"))
    assert decode_update(body, EBGP).withdrawn == ("203.0.113.0/24", PREFIX)


def test_wrong_flags_of_mp_reach_withdraw_its_routes() -> None:
    """Section 3 c holds for MP_REACH_NLRI too; its routes can still be read."""
    field = b"\xc0" + REACH[1:] + attributes_with({})
    decoded = decode_update(update(field, nlri=b""), EBGP)
    assert decoded.withdrawn == ("2001:db8:1::/48",)
    assert decoded.treat_as_withdraw == "MP_REACH_NLRI: flags 0xc0 are wrong for it"


@pytest.mark.parametrize(
    ("length", "next_hop", "families", "legal"),
    [
        (16, Family.IPV6, (), True),
        (32, Family.IPV6, (), True),
        (4, Family.IPV6, (), False),
        (24, Family.IPV6, (), False),
        (4, Family.IPV4, (), True),
        # RFC 8950: an IPv6 next hop for IPv4 routes needs both sides' consent
        (16, Family.IPV4, (), False),
        (16, Family.IPV4, (Family.IPV4,), True),
        (32, Family.IPV4, (Family.IPV4,), True),
        (8, Family.IPV4, (Family.IPV4,), False),
    ],
)
def test_next_hop_lengths(length: int, next_hop: Family, families: tuple[Family, ...], legal: bool) -> None:
    """Section 7.11."""
    afi, nlri = (1, "18c63364") if next_hop is Family.IPV4 else (2, "3020010db80001")
    octets = bytes.fromhex("20010db8000000000000000000000001fe800000000000000000000000000001")[:length]
    reach = attribute(0x80, 14, bytes([0, afi, 1, length]) + octets + b"\0" + bytes.fromhex(nlri))
    session = SessionContext(extended_next_hop=families)
    body = update(reach + attributes_with({}), nlri=b"")
    if legal:
        assert len(decode_update(body, session).announced) == 1
        return
    with pytest.raises(WireError, match="next hop of") as caught:
        decode_update(body, session)
    assert (caught.value.code, caught.value.subcode) == (3, 1)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("00" * 16, ":: cannot be a next hop"),
        ("00" * 15 + "01", "::1 cannot be a next hop"),
        ("ff02" + "00" * 13 + "01", "ff02::1 cannot be a next hop"),
    ],
)
def test_an_ipv6_next_hop_that_cannot_be_one_withdraws(address: str, reason: str) -> None:
    reach = attribute(0x80, 14, bytes.fromhex("00020110" + address + "00" + "3020010db80001"))
    decoded = decode_update(update(reach + attributes_with({}), nlri=b""), EBGP)
    assert decoded.withdrawn == ("2001:db8:1::/48",)
    assert decoded.treat_as_withdraw == f"MP_REACH_NLRI: {reason}"


@pytest.mark.parametrize(
    ("nlri", "what"),
    [("21c633640000", "prefix length of 33"), ("18c633", "/24 runs past"), ("20", "/32 runs past")],
)
def test_nlri_that_cannot_be_cut_ends_the_session(nlri: str, what: str) -> None:
    """Section 5.3, in the NLRI field, among the withdrawn routes and in both multiprotocol attributes."""
    octets = bytes.fromhex(nlri)
    reach = attribute(0x80, 14, bytes.fromhex("00010104c000020100") + octets)
    unreach = attribute(0x80, 15, bytes.fromhex("000101") + octets)
    for body, subcode in (
        (update(attributes_with({}), nlri=octets), 10),
        (update(b"", nlri=b"", withdrawn=octets), 10),
        (update(reach + attributes_with({}), nlri=b""), 9),
        (update(unreach, nlri=b""), 9),
    ):
        with pytest.raises(WireError, match=what) as caught:
            decode_update(body, EBGP)
        assert (caught.value.code, caught.value.subcode) == (3, subcode)


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0", b"\0\5\0\0", b"\0\0\0\1", bytes.fromhex("0000ffff")],
    ids=["empty", "cut", "withdrawn overrun", "attributes overrun", "attributes far overrun"],
)
def test_lengths_that_contradict_each_other_end_the_session(body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode_update(body, EBGP)
    assert (caught.value.code, caught.value.subcode) == (3, 1)


def test_an_unknown_well_known_attribute_ends_the_session_and_is_sent_back() -> None:
    """RFC 4271 section 6.3, which RFC 7606 leaves as it is."""
    with pytest.raises(WireError) as caught:
        decode_update(update(attributes_with({254: (0x40, "beef")})), EBGP)
    assert (caught.value.code, caught.value.subcode, caught.value.data) == (3, 2, bytes.fromhex("40fe02beef"))


def test_an_unknown_non_transitive_attribute_is_dropped_in_silence() -> None:
    decoded = decode_update(update(attributes_with({253: (0x80, "beef")})), EBGP)
    assert_announced(decoded)
    assert decoded.discarded == ()
    assert decoded.attributes is not None
    assert decoded.attributes.unknown == ()


def test_as4_attributes_between_four_octet_speakers_are_discarded() -> None:
    """RFC 6793 section 4.1."""
    decoded = decode_update(update(attributes_with({17: (0xC0, "020100010001"), 18: (0xC0, "000100010a000001")})), EBGP)
    assert_announced(decoded)
    assert [reason.partition(":")[0] for reason in decoded.discarded] == ["AS4_PATH", "AS4_AGGREGATOR"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_a_verdict_from_the_cache_is_the_first_one(case: dict[str, Any]) -> None:
    """The fast path must not be more lenient the second time."""
    cache = AttributeCache(EBGP)
    body = body_of(case, "ebgp")
    outcomes = []
    for _ in range(3):
        try:
            outcomes.append(decode_bulk(body, cache))
        except WireError as error:
            outcomes.append((error.code, error.subcode, str(error)))
    assert outcomes[0] == outcomes[1] == outcomes[2]
