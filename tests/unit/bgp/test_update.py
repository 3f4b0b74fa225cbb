"""UPDATE messages and path attributes: hand-computed octets, and laws over arbitrary values."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import attributes, prefixes

from peerlab.bgp.attributes import Aggregator, Family, Origin, PathAttributes, RawAttribute, Segment, SegmentType
from peerlab.bgp.wire import (
    AttributeCache,
    BulkUpdate,
    SessionContext,
    Update,
    decode,
    decode_bulk,
    decode_update,
    encode_updates,
    encode_withdrawals,
    end_of_rib,
    nlri_text,
    split,
)
from peerlab.errors import WireError

SEQUENCE, SET = SegmentType.AS_SEQUENCE, SegmentType.AS_SET
IBGP = SessionContext(ebgp=False)
PATH = (Segment(SEQUENCE, (65001, 4200000000)),)


def only(messages: list[bytes], session: SessionContext = IBGP) -> Update:
    """The one UPDATE in one message."""
    (message,) = messages
    ((kind, body),), consumed = split(message)
    assert consumed == len(message)
    update = decode(kind, body, session)
    assert isinstance(update, Update)
    return update


def hexadecimal(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


HEADER = "ff" * 16


def test_an_ipv4_route_octet_by_octet() -> None:
    found = encode_updates(
        PathAttributes(
            origin=Origin.EGP,
            as_path=PATH,
            next_hop="192.0.2.1",
            med=10,
            local_pref=100,
            atomic_aggregate=True,
            aggregator=Aggregator(65001, "192.0.2.9"),
            communities=("65535:0", "8075:8007"),
            originator_id="192.0.2.8",
            cluster_list=("192.0.2.7", "192.0.2.6"),
            extended_communities=(bytes.fromhex("0002fde900000001"),),
            large_communities=("8075:1:2",),
            otc=65001,
            unknown=(RawAttribute(0xC0, 0xFE, b"\xbe\xef"),),
        ),
        ["198.51.100.0/22", "0.0.0.0/0", "203.0.113.1/32"],
        Family.IPV4,
    )
    attribute_octets = hexadecimal(
        "400101" "01",  # ORIGIN EGP
        "40020a" "0202" "0000fde9" "fa56ea00",  # AS_PATH 65001 4200000000
        "400304" "c0000201",  # NEXT_HOP
        "800404" "0000000a",  # MULTI_EXIT_DISC
        "400504" "00000064",  # LOCAL_PREF
        "400600",  # ATOMIC_AGGREGATE
        "c00708" "0000fde9" "c0000209",  # AGGREGATOR
        "c00808" "ffff0000" "1f8b1f47",  # COMMUNITIES
        "800904" "c0000208",  # ORIGINATOR_ID
        "800a08" "c0000207" "c0000206",  # CLUSTER_LIST
        "c01008" "0002fde900000001",  # EXTENDED COMMUNITIES
        "c0200c" "00001f8b" "00000001" "00000002",  # LARGE_COMMUNITY
        "c02304" "0000fde9",  # OTC
        "e0fe02" "beef",  # unknown, Partial bit set
    )  # fmt: skip
    body = b"\0\0" + len(attribute_octets).to_bytes(2, "big") + attribute_octets
    body += hexadecimal("16c63364", "00", "20cb007101")
    assert found == [hexadecimal(HEADER) + (19 + len(body)).to_bytes(2, "big") + b"\2" + body]


def test_an_ipv6_route_octet_by_octet() -> None:
    """RFC 4760 section 3 and RFC 2545: MP_REACH_NLRI comes first, NEXT_HOP is absent."""
    found = encode_updates(
        PathAttributes(as_path=PATH, next_hop="2001:db8::1", link_local_next_hop="fe80::1"),
        ["2001:db8:1::/48"],
        Family.IPV6,
    )
    field = hexadecimal(
        "900e002c" "000201" "20" "20010db8000000000000000000000001" "fe800000000000000000000000000001" "00"
        "3020010db80001",
        "40010100" "40020a02020000fde9fa56ea00",
    )  # fmt: skip
    body = b"\0\0" + len(field).to_bytes(2, "big") + field
    assert found == [hexadecimal(HEADER) + (19 + len(body)).to_bytes(2, "big") + b"\2" + body]


def test_an_ipv4_route_with_an_ipv6_next_hop() -> None:
    """RFC 8950 section 3: such a route travels in MP_REACH_NLRI with AFI 1."""
    update = only(
        encode_updates(PathAttributes(next_hop="2001:db8::1"), ["198.51.100.0/24"], Family.IPV4),
        SessionContext(ebgp=False, extended_next_hop=(Family.IPV4,)),
    )
    assert update.announced == ("198.51.100.0/24",)
    assert update.family is Family.IPV4
    assert update.attributes is not None
    assert update.attributes.next_hop == "2001:db8::1"


def test_withdrawals_octet_by_octet() -> None:
    assert encode_withdrawals(["198.51.100.0/24"], Family.IPV4) == [hexadecimal(HEADER, "001b02000418c633640000")]
    assert encode_withdrawals(["2001:db8:1::/48"], Family.IPV6) == [
        hexadecimal(HEADER, "002502" "0000" "000e" "900f000a" "000201" "3020010db80001")
    ]  # fmt: skip


def test_end_of_rib_octet_by_octet() -> None:
    """RFC 4724 section 2: an UPDATE that says nothing, or an empty MP_UNREACH_NLRI."""
    assert end_of_rib(Family.IPV4) == hexadecimal(HEADER, "00170200000000")
    assert end_of_rib(Family.IPV6) == hexadecimal(HEADER, "001d0200000006800f03000201")
    for family in Family:
        update = only([end_of_rib(family)])
        assert update == Update(family=family, end_of_rib=family)


def test_an_end_of_rib_after_a_withdrawal_is_still_one() -> None:
    """Both have an empty attribute field, which the cache must not confuse."""
    cache = AttributeCache(IBGP)
    withdrawal = encode_withdrawals(["198.51.100.0/24"], Family.IPV4)[0][19:]
    for _ in range(2):
        assert decode_bulk(withdrawal, cache) == (BulkUpdate(Family.IPV4, [bytes.fromhex("18c63364")], []),)
        assert decode_bulk(bytes(4), cache) == (BulkUpdate(Family.IPV4, [], [], end_of_rib=True),)


def test_an_empty_withdrawal_beside_other_attributes_is_no_end_of_rib() -> None:
    """RFC 4724 section 2: the marker has MP_UNREACH_NLRI only."""
    field = hexadecimal("800f03000201", "40010100")
    assert decode_update(b"\0\0" + len(field).to_bytes(2, "big") + field, IBGP) == Update(family=Family.IPV6)


@given(st.data(), st.sampled_from(Family), st.booleans())
def test_what_was_encoded_is_what_is_decoded(data: st.DataObject, family: Family, asn4: bool) -> None:
    """For speakers of four and of two octet AS numbers: AS4_PATH loses nothing (RFC 6793 section 4.2.3)."""
    given_attributes = data.draw(attributes(family, confederation=asn4))
    given_prefixes = data.draw(st.lists(prefixes(family), min_size=1, max_size=20))
    session = SessionContext(ebgp=False, asn4=asn4)
    update = only(encode_updates(given_attributes, given_prefixes, family, asn4=asn4), session)
    assert update.attributes == given_attributes
    assert update.announced == tuple(given_prefixes)
    assert update.withdrawn == ()
    assert update.discarded == ()
    assert update.treat_as_withdraw is None


@given(st.data(), st.sampled_from(Family))
def test_an_external_session_carries_nothing_internal(data: st.DataObject, family: Family) -> None:
    """RFC 4271 section 5.1.5, RFC 4456 section 8: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST stay inside the AS."""
    given_attributes = data.draw(attributes(family))
    update = only(encode_updates(given_attributes, [data.draw(prefixes(family))], family, ebgp=True), SessionContext())
    assert update.discarded == ()
    assert update.attributes == msgspec.structs.replace(
        given_attributes, local_pref=None, originator_id=None, cluster_list=()
    )


@given(st.data(), st.sampled_from(Family), st.integers(120, 400))
def test_messages_fit_and_together_hold_every_prefix_in_order(
    data: st.DataObject, family: Family, maximum: int
) -> None:
    given_prefixes = data.draw(st.lists(prefixes(family), max_size=120))
    next_hop = "192.0.2.1" if family is Family.IPV4 else "2001:db8::1"
    messages = encode_updates(PathAttributes(as_path=PATH, next_hop=next_hop), given_prefixes, family, maximum=maximum)
    assert all(len(message) <= maximum for message in messages)
    assert [prefix for message in messages for prefix in only([message]).announced] == given_prefixes
    withdrawals = encode_withdrawals(given_prefixes, family, maximum)
    assert all(len(message) <= maximum for message in withdrawals)
    assert [prefix for message in withdrawals for prefix in only([message]).withdrawn] == given_prefixes


def test_messages_are_filled() -> None:
    """Header, lengths and attributes take 43 octets, which leaves room for 1013 prefixes of 4 and for no more."""
    some = PathAttributes(as_path=(Segment(SEQUENCE, (65001,)),), next_hop="192.0.2.1")
    prefixes_of = [f"10.{i >> 8}.{i & 255}.0/24" for i in range(1013)]
    assert [len(message) for message in encode_updates(some, prefixes_of, Family.IPV4)] == [43 + 4 * 1013]
    assert len(encode_updates(some, [*prefixes_of, "203.0.113.0/24"], Family.IPV4)) == 2
    assert len(encode_updates(some, [*prefixes_of, "203.0.113.0/24"], Family.IPV4, maximum=65535)) == 1


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("maximum", range(100, 125))
def test_no_message_is_one_octet_too_long_or_a_prefix_too_short(family: Family, maximum: int) -> None:
    next_hop, names = (
        ("192.0.2.1", [f"10.0.{i}.0/24" for i in range(99)])
        if family is Family.IPV4
        else ("2001:db8::1", [f"2001:db8:{i:x}00::/40" for i in range(99)])
    )
    size = 4 if family is Family.IPV4 else 6
    for messages in (
        encode_updates(PathAttributes(next_hop=next_hop), names, family, maximum=maximum),
        encode_withdrawals(names, family, maximum),
    ):
        assert len(messages) > 1
        assert all(0 <= maximum - len(message) < size for message in messages[:-1])


@pytest.mark.parametrize("family", Family)
def test_attributes_that_leave_no_room_are_refused(family: Family) -> None:
    """RFC 8654 section 5: such a route is not announced to a peer without extended messages."""
    many = PathAttributes(
        next_hop="192.0.2.1" if family is Family.IPV4 else "2001:db8::1",
        large_communities=tuple(f"8075:1:{i}" for i in range(400)),
    )
    prefix = "198.51.100.0/24" if family is Family.IPV4 else "2001:db8:1::/48"
    with pytest.raises(ValueError, match="too few for a single prefix"):
        encode_updates(many, [prefix], family)
    (message,) = encode_updates(many, [prefix], family, maximum=65535)
    ((kind, body),), _ = split(message, 65535)
    update = decode(kind, body, IBGP)
    assert isinstance(update, Update)
    assert update.announced == (prefix,)


@pytest.mark.parametrize(
    ("wrong", "family", "what"),
    [
        (PathAttributes(), Family.IPV4, "needs a next hop"),
        (PathAttributes(next_hop="192.0.2.1"), Family.IPV6, "need an IPv6 next hop"),
        (PathAttributes(next_hop="192.0.2.1", med=1 << 32), Family.IPV4, "MED 4294967296 does not fit"),
        (PathAttributes(next_hop="192.0.2.1", communities=("1:70000",)), Family.IPV4, "no standard community"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_words(wrong: PathAttributes, family: Family, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        encode_updates(wrong, ["198.51.100.0/24" if family is Family.IPV4 else "2001:db8::/32"], family)


def test_a_message_may_carry_both_families() -> None:
    """Each announced prefix has the next hop of its own family."""
    four = only(encode_updates(PathAttributes(as_path=PATH, next_hop="192.0.2.1"), ["198.51.100.0/24"], Family.IPV4))
    reach = hexadecimal("800e1c0002011020010db8000000000000000000000001003020010db80001")
    unreach = hexadecimal("800f0a0002013020010db80002")
    field = reach + unreach + hexadecimal("40010100", "40020a02020000fde9fa56ea00", "400304c0000201")
    body = hexadecimal("000418cb0071") + len(field).to_bytes(2, "big") + field + hexadecimal("18c63364")
    update = decode_update(body, IBGP)
    assert update.withdrawn == ("203.0.113.0/24", "2001:db8:2::/48")
    assert update.announced == ("198.51.100.0/24", "2001:db8:1::/48")
    assert update.attributes == four.attributes
    assert [(prefix, found.next_hop) for prefix, found in update.routes()] == [
        ("198.51.100.0/24", "192.0.2.1"),
        ("2001:db8:1::/48", "2001:db8::1"),
    ]


def test_routes_of_a_family_that_was_not_agreed_on_are_ignored() -> None:
    """RFC 4760 section 8."""
    six = encode_updates(PathAttributes(next_hop="2001:db8::1"), ["2001:db8:1::/48"], Family.IPV6)
    update = only(six, SessionContext(families=(Family.IPV4,)))
    assert (update.announced, update.withdrawn) == ((), ())
    assert update.ignored == "MP_REACH_NLRI for AFI 2 SAFI 1, which was not agreed on"
    four = encode_updates(PathAttributes(next_hop="192.0.2.1"), ["198.51.100.0/24"], Family.IPV4)
    update = only(four, SessionContext(families=(Family.IPV6,)))
    assert (update.announced, update.withdrawn) == ((), ())
    assert update.ignored == "IPv4 routes, which were not agreed on"


def test_path_identifiers_stand_beside_their_prefixes() -> None:
    """RFC 7911 section 3, for one family of the session only."""
    session = SessionContext(ebgp=False, add_path=(Family.IPV4,))
    field = hexadecimal("40010100", "400200", "400304c0000201")
    withdrawn = hexadecimal("0000000718cb0071")
    body = (
        b"\0\x08"
        + withdrawn
        + len(field).to_bytes(2, "big")
        + field
        + hexadecimal("0000000118c63364", "0000000218c63364")
    )
    update = decode_update(body, session)
    assert (update.withdrawn, update.withdrawn_path_ids) == (("203.0.113.0/24",), (7,))
    assert (update.announced, update.announced_path_ids) == (("198.51.100.0/24", "198.51.100.0/24"), (1, 2))
    six = only(encode_updates(PathAttributes(next_hop="2001:db8::1"), ["2001:db8:1::/48"], Family.IPV6), session)
    assert (six.announced, six.announced_path_ids) == (("2001:db8:1::/48",), ())


@given(st.binary(max_size=200), st.booleans(), st.booleans(), st.sampled_from([(), (Family.IPV4, Family.IPV6)]))
def test_no_octets_can_do_more_than_end_the_session(
    body: bytes, asn4: bool, ebgp: bool, add_path: tuple[Family, ...]
) -> None:
    session = SessionContext(asn4=asn4, ebgp=ebgp, add_path=add_path)
    try:
        update = decode_update(body, session)
    except WireError as error:
        assert error.code == 3
    else:
        assert (update.attributes is None) == (update.announced == ())


@given(st.data(), st.sampled_from(Family), st.booleans())
def test_damaged_messages_are_judged_alike_from_octets_and_from_the_cache(
    data: st.DataObject, family: Family, ebgp: bool
) -> None:
    """A good message with one octet changed, several times through one cache, beside a fresh decode."""
    found = encode_updates(data.draw(attributes(family)), data.draw(st.lists(prefixes(family), min_size=1)), family)
    body = bytearray(found[0][19:])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    session = SessionContext(ebgp=ebgp)
    cache = AttributeCache(session)
    decode_bulk(found[0][19:], cache)
    outcomes = [outcome(bytes(body), cache) for _ in range(2)]
    assert outcomes[0] == outcomes[1] == outcome(bytes(body), AttributeCache(session))


def outcome(body: bytes, cache: AttributeCache) -> object:
    try:
        return decode_bulk(body, cache)
    except WireError as error:
        return error.code, error.subcode, str(error)


@given(st.data(), st.sampled_from(Family))
def test_decode_encode_decode_is_stable(data: st.DataObject, family: Family) -> None:
    """Damaged or not: whatever routes are left after decoding survive being sent on and decoded again."""
    found = encode_updates(data.draw(attributes(family)), data.draw(st.lists(prefixes(family), min_size=1)), family)
    body = bytearray(found[0][19:])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        first = decode_update(bytes(body), IBGP)
    except WireError:
        return
    for prefix, kept in first.routes():
        again = only(encode_updates(kept, [prefix], Family.IPV6 if ":" in prefix else Family.IPV4))
        assert again.announced == (prefix,)
        assert again.attributes is not None
        partial = tuple(RawAttribute(raw.flags | 0x20, raw.type, raw.value) for raw in kept.unknown)
        assert msgspec.structs.replace(again.attributes, unknown=()) == msgspec.structs.replace(kept, unknown=())
        assert sorted(again.attributes.unknown, key=lambda raw: raw.type) == sorted(partial, key=lambda raw: raw.type)


def test_equal_octets_give_the_same_attributes_object() -> None:
    cache = AttributeCache(IBGP)
    for family, next_hop in ((Family.IPV4, "192.0.2.1"), (Family.IPV6, "2001:db8::1")):
        names = ["198.51.100.0/24", "203.0.113.0/24"] if family is Family.IPV4 else ["2001:db8::/32", "2001:db8::/48"]
        first, second = (
            decode_bulk(encode_updates(PathAttributes(as_path=PATH, next_hop=next_hop), [name], family)[0][19:], cache)[
                0
            ]
            for name in names
        )
        assert first.attributes is second.attributes
        assert first.key == second.key != b""
        assert [nlri_text(raw, family) for raw in first.announced + second.announced] == names
    assert len(cache) == 2


def test_sets_that_differ_only_in_the_multiprotocol_next_hop_are_told_apart() -> None:
    cache = AttributeCache(IBGP)
    hops = ["2001:db8::1", "2001:db8::2"]
    parts = [
        decode_bulk(encode_updates(PathAttributes(next_hop=hop), ["2001:db8::/48"], Family.IPV6)[0][19:], cache)[0]
        for hop in hops
    ]
    assert [part.attributes.next_hop for part in parts if part.attributes] == hops
    assert parts[0].key != parts[1].key


def test_the_cache_forgets_what_is_not_asked_for() -> None:
    cache = AttributeCache(IBGP, limit=8)
    bodies = [
        encode_updates(PathAttributes(next_hop="192.0.2.1", med=i), ["198.51.100.0/24"], Family.IPV4)[0][19:]
        for i in range(100)
    ]
    (kept,) = decode_bulk(bodies[0], cache)
    for body in bodies[1:]:
        decode_bulk(body, cache)
        assert decode_bulk(bodies[0], cache)[0].attributes is kept.attributes
        assert len(cache) <= 8
    assert cache.find(kept.key) is kept.decoded
    assert cache.find(decode_bulk(bodies[1], AttributeCache(IBGP))[0].key) is None
