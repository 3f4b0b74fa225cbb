"""What a speaker lets in: built-in rules, import policy, limits, and malformed messages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from back_to_back import (
    Ear,
    attributes,
    best,
    hear,
    hear_withdrawal,
    negotiated,
    path,
    peer_config,
    speaker,
    told,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.attributes import Address, BgpRole, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.next_hop import StaticNextHops
from peerlab.bgp.policy import AsnRange, OriginAsIn, Policy, PrefixIn, PrefixRange, SetLocalPref, Statement, Verdict
from peerlab.bgp.update import encode_updates
from peerlab.errors import InputError

P = "203.0.113.0/24"
NEIGHBOUR = "10.0.1.1"

RULES: list[tuple[dict[str, Any], PathAttributes, str | None]] = [
    # session, received, the rule that keeps it out (None: accepted)
    ({"peer_as": 65001}, attributes(65001, 7), None),
    ({"peer_as": 65001}, attributes(65001, 65000, 7), "AS loop: own AS65000 in AS_PATH"),
    ({"peer_as": 65001}, PathAttributes(as_path=(*path(65001), Segment(SegmentType.AS_SET, (1, 65000)))),
     "AS loop: own AS65000 in AS_PATH"),
    ({"peer_as": 65001}, attributes(7, 65001), "first AS is not AS65001"),
    ({"peer_as": 65001}, attributes(), "first AS is not AS65001"),
    ({"peer_as": 65001, "enforce_first_as": False}, attributes(7), None),
    ({"peer_as": 65001, "relation": "route-server"}, attributes(7), None),  # RFC 7947 section 2.2.2.2
    ({"peer_as": 65001}, attributes(65001, next_hop="10.0.1.254"), "next hop 10.0.1.254 is this router's own address"),
    ({"peer_as": 65000}, attributes(7, next_hop="10.99.0.1"), None),  # iBGP: no first AS to enforce
    ({"peer_as": 65000}, attributes(7, next_hop="10.99.0.1", originator_id=Address("10.255.0.1")),
     "reflection loop: own ORIGINATOR_ID"),
    ({"peer_as": 65000}, attributes(7, next_hop="10.99.0.1", cluster_list=(Address("10.255.0.1"),)),
     "reflection loop: own cluster in CLUSTER_LIST"),
    ({"peer_as": 65001, "local_role": BgpRole.PROVIDER}, attributes(65001, otc=65009),
     "route leak: OTC 65009 from a customer"),
    ({"peer_as": 65001, "local_role": BgpRole.PEER}, attributes(65001, otc=65009),
     "route leak: OTC 65009 from peer AS65001"),
    ({"peer_as": 65001}, attributes(65001, otc=65009), None),  # no role, no procedure
    ({"peer_as": 65001, "import_policy": ""}, attributes(65001), "no import policy (RFC 8212)"),
    ({"peer_as": 65000, "import_policy": ""}, attributes(7, next_hop="10.99.0.1"), None),  # RFC 8212: eBGP only
    ({"peer_as": 65001, "import_policy": "deny-all"}, attributes(65001), "DENY ALL"),
]  # fmt: skip


@pytest.mark.parametrize("session, received, rule", RULES, ids=[row[2] or "accepted" for row in RULES])
def test_rules(session: dict[str, Any], received: PathAttributes, rule: str | None) -> None:
    if received.next_hop is None or received.next_hop == "192.0.2.1":
        received = attributes_at(received, NEIGHBOUR)
    made = speaker(peer_config("s", **session))
    hear(made, "s", received, P)
    (pre,) = made.adj_rib_in_pre("s")
    assert pre.attributes == received
    assert pre.accepted is (rule is None)
    assert len(made.adj_rib_in_post("s")) == (rule is None)
    assert best(made, P) == ("s" if rule is None else None)
    (candidate,) = made.explain(Prefix(P)).candidates
    assert candidate.accepted is (rule is None)
    if rule is not None:
        assert pre.reason == candidate.rejected_by == rule


def attributes_at(received: PathAttributes, next_hop: str) -> PathAttributes:
    return msgspec.structs.replace(received, next_hop=Address(next_hop))


def test_otc_is_added_on_entering_the_as() -> None:
    made = speaker(peer_config("s", 65001, local_role=BgpRole.CUSTOMER))
    hear(made, "s", attributes(65001, 7, next_hop=NEIGHBOUR), P)
    assert made.adj_rib_in_pre("s")[0].attributes.otc is None
    assert made.adj_rib_in_post("s")[0].attributes.otc == 65001


def test_graceful_shutdown_gives_the_lowest_preference_after_policy() -> None:
    """RFC 8326 section 4.1: it moves traffic although policy would prefer the session, and only to an alternative."""
    prefer = Policy(
        name="prefer", statements=(Statement(name="p", actions=(SetLocalPref(500),), verdict=Verdict.ACCEPT),)
    )
    made = speaker(
        peer_config("main", 65001, import_policy="prefer"),
        peer_config("spare", 65002, number=2),
        policies={"prefer": prefer},
    )
    hear(made, "main", attributes(65001, next_hop=NEIGHBOUR), P)
    hear(made, "spare", attributes(65002, next_hop="10.0.2.1"), P)
    assert best(made, P) == "main"
    hear(made, "main", attributes(65001, next_hop=NEIGHBOUR, communities=("65535:0",)), P)
    assert best(made, P) == "spare"
    assert [fact.attributes.local_pref for fact in made.adj_rib_in_post("main")] == [0]
    hear_withdrawal(made, "spare", P)
    assert best(made, P) == "main"


def test_local_pref_of_an_external_peer_is_ignored_and_an_internal_one_counts() -> None:
    made = speaker(peer_config("ext", 65001), peer_config("int", 65000, number=2))
    hear(made, "ext", attributes(65001, next_hop=NEIGHBOUR, local_pref=999), P)
    hear(made, "int", attributes(65009, next_hop="10.99.0.1", local_pref=101), P)
    assert best(made, P) == "int"


def test_policy_that_looks_at_prefixes_judges_each_prefix_of_a_message() -> None:
    policy = Policy(
        name="p",
        statements=(
            Statement(
                name="bogon", match=(PrefixIn((PrefixRange(Prefix("10.0.0.0/8"), le=32),)),), verdict=Verdict.REJECT
            ),
            Statement(name="mine", match=(OriginAsIn((AsnRange(7, 7),)),), verdict=Verdict.ACCEPT),
        ),
    )
    made = speaker(peer_config("s", 65001, import_policy="p"), policies={"p": policy})
    hear(made, "s", attributes(65001, 7, next_hop=NEIGHBOUR), "10.1.0.0/16", P, "10.2.0.0/16")
    assert {fact.prefix: (fact.accepted, fact.reason) for fact in made.adj_rib_in_pre("s")} == {
        "10.1.0.0/16": (False, "bogon"),
        P: (True, "mine"),
        "10.2.0.0/16": (False, "bogon"),
    }
    assert (made.counters("s").received, made.counters("s").accepted) == (3, 1)
    hear(made, "s", attributes(65001, 7, next_hop=NEIGHBOUR), P)
    hear(made, "s", attributes(65001, 8, next_hop=NEIGHBOUR), P)  # a replacement that policy rejects
    assert made.counters("s").accepted == 0
    hear(made, "s", attributes(65001, 7, next_hop=NEIGHBOUR), P)
    assert made.counters("s").accepted == 1
    hear(made, "s", attributes(65001, 8, next_hop=NEIGHBOUR), P)
    assert made.loc_rib() == []
    assert made.adj_rib_in_pre("s", Prefix(P))[0].reason == "default"
    hear_withdrawal(made, "s", P, "10.1.0.0/16")
    assert (made.counters("s").received, made.counters("s").accepted) == (1, 0)


class TestNextHops:
    def test_an_unreachable_next_hop_keeps_a_path_from_being_best_until_it_resolves(self) -> None:
        made = speaker(peer_config("s", 65000))
        made.set_next_hops(StaticNextHops([]), 0)
        hear(made, "s", attributes(7, next_hop="10.99.0.1"), P)
        assert best(made, P) is None
        assert made.explain(Prefix(P)).candidates[0].eliminated_by == "next hop unreachable"
        made.set_next_hops(StaticNextHops([(Prefix("10.99.0.0/16"), 20, Address("10.1.1.1"), "e1")]), 0)
        assert best(made, P) == "s"
        (change,) = made.take().fib
        assert (change.kind, change.prefix, change.gateway, change.interface) == ("unicast", P, "10.1.1.1", "e1")
        made.set_next_hops(StaticNextHops([(Prefix("10.99.0.0/16"), 30, Address("10.1.2.1"), "e2")]), 0)
        (change,) = made.take().fib
        assert (change.gateway, change.interface) == ("10.1.2.1", "e2")
        made.set_next_hops(StaticNextHops([(Prefix("10.99.0.0/16"), 40, Address("10.1.2.1"), "e2")]), 0)
        assert made.take().fib == []  # farther, but packets leave as before
        made.set_next_hops(StaticNextHops([]), 0)
        assert [change.kind for change in made.take().fib] == ["remove"]

    def test_a_route_like_an_earlier_one_sees_the_next_hop_of_now(self) -> None:
        made = speaker(peer_config("s", 65000))
        same = attributes(7, next_hop="10.99.0.1")
        hear(made, "s", same, P)
        made.set_next_hops(StaticNextHops([]), 0)
        hear(made, "s", same, "20.0.0.0/8")
        assert {fact.reason for fact in made.loc_rib()} == {"next hop unreachable"}

    def test_the_nearer_exit_is_taken_and_changes_with_the_igp(self) -> None:
        def view(east: int, west: int) -> StaticNextHops:
            return StaticNextHops(
                [
                    (Prefix("10.99.1.1/32"), east, Address("10.1.1.1"), "e1"),
                    (Prefix("10.99.2.1/32"), west, Address("10.1.2.1"), "e2"),
                ]
            )

        made = speaker(peer_config("east", 65000), peer_config("west", 65000, number=2))
        made.set_next_hops(view(10, 20), 0)
        hear(made, "east", attributes(7, next_hop="10.99.1.1"), P)
        hear(made, "west", attributes(7, next_hop="10.99.2.1"), P)
        assert best(made, P) == "east"
        made.set_next_hops(view(30, 20), 0)
        assert best(made, P) == "west"
        assert {one.session: one.igp_metric for one in made.explain(Prefix(P)).candidates} == {"west": 20, "east": 30}

    def test_a_connected_external_peer_cannot_name_a_next_hop_behind_a_gateway(self) -> None:
        view = StaticNextHops(
            [(Prefix("10.0.0.0/16"), 0, None, "e0"), (Prefix("10.99.0.0/16"), 5, Address("10.0.7.7"), "e1")]
        )
        made = speaker(peer_config("near", 65001), peer_config("far", 65002, number=2, multihop=True))
        made.set_next_hops(view, 0)
        hear(made, "near", attributes(65001, next_hop="10.99.0.1"), P)
        assert best(made, P) is None
        hear(made, "far", attributes(65002, next_hop="10.99.0.1"), P)
        assert best(made, P) == "far"


class TestMaxPrefix:
    def numbered(self, count: int) -> list[str]:
        return [f"20.0.{number}.0/24" for number in range(count)]

    def test_the_limit_passes_and_one_more_ends_this_session_only(self) -> None:
        made = speaker(peer_config("s", 65001, max_prefix=10), peer_config("other", 65002, number=2))
        hear(made, "other", attributes(65002, next_hop="10.0.2.1"), P)
        hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), *self.numbered(10))
        effects = made.take()
        assert effects.close == []
        assert [notice.kind for notice in effects.notices] == ["max-prefix-warning"]
        hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), "20.1.0.0/24")
        effects = made.take()
        (close,) = effects.close
        assert (close.session, close.code, close.subcode) == ("s", 6, 1)
        assert close.data == bytes([0, 1, 1, 0, 0, 0, 10])  # RFC 4486 section 4: AFI, SAFI, upper bound
        assert "11 prefixes received, the limit is 10" in close.reason
        assert {change.kind for change in effects.fib} == {"remove"}
        assert [fact.prefix for fact in made.loc_rib()] == [P]
        hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), P)  # still in flight: ignored
        assert made.adj_rib_in_pre("s") == []

    def test_rejected_routes_count_and_the_warning_comes_once_at_eighty_percent(self) -> None:
        made = speaker(peer_config("s", 65001, max_prefix=10, import_policy="deny-all"))
        kinds = []
        for prefix in self.numbered(11):
            hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), prefix)
            kinds.append([notice.kind for notice in made.take().notices])
        assert kinds == [[]] * 7 + [["max-prefix-warning"]] + [[]] * 2 + [["max-prefix"]]

    def test_announcing_again_does_not_count_twice_and_a_new_session_starts_at_zero(self) -> None:
        made = speaker(peer_config("s", 65001, max_prefix=10))
        for _ in range(3):
            hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), *self.numbered(10))
        assert made.take().close == []
        made.peer_down("s", "lost", 0)
        made.peer_up("s", negotiated(), 0)
        assert made.counters("s").received == 0
        hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), *self.numbered(10))
        assert made.take().close == []


class TestMalformed:
    def malformed_origin(self, prefix: str) -> bytes:
        (message,) = encode_updates(attributes(65001, next_hop=NEIGHBOUR), [Prefix(prefix)], Family.IPV4)
        body = message[19:]
        assert body[4:8] == b"\x40\x01\x01\x00"
        return body[:7] + b"\x09" + body[8:]  # ORIGIN 9

    def test_treat_as_withdraw_removes_the_route_and_shows_the_message(self) -> None:
        made = speaker(peer_config("s", 65001))
        hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), P, "20.0.0.0/24")
        made.take()
        body = self.malformed_origin(P)
        made.receive("s", [body], 0)
        effects = made.take()
        (notice,) = effects.notices
        assert (notice.kind, notice.session, notice.message) == ("treat-as-withdraw", "s", body)
        assert "ORIGIN" in notice.text
        assert effects.close == []
        assert [change.kind for change in effects.fib] == ["remove"]
        assert [fact.prefix for fact in made.adj_rib_in_pre("s")] == ["20.0.0.0/24"]
        assert made.counters("s").treated_as_withdrawn == 1

    def test_what_cannot_be_read_ends_the_session_and_its_routes(self) -> None:
        made = speaker(peer_config("s", 65001))
        hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), P)
        made.take()
        broken = b"\x00\x00\x00\x00\x21\x01"  # a /33
        made.receive("s", [broken], 0)
        effects = made.take()
        (close,) = effects.close
        assert (close.code, close.subcode) == (3, 10)
        assert [(notice.kind, notice.message) for notice in effects.notices] == [("session-reset", broken)]
        assert made.loc_rib() == []

    def test_discarded_attributes_are_told_once_per_session(self) -> None:
        made = speaker(peer_config("s", 65001))
        for number in range(3):
            hear(made, "s", attributes(65001, next_hop=NEIGHBOUR, local_pref=5), f"20.0.{number}.0/24")
        assert [notice.kind for notice in made.take().notices] == ["attribute-discarded"]
        assert len(made.loc_rib()) == 3

    @settings(max_examples=300)
    @given(st.lists(st.binary(max_size=60), max_size=4), st.sampled_from((65000, 65001)))
    def test_no_octets_make_a_speaker_raise(self, given_bodies: list[bytes], peer_as: int) -> None:
        made = speaker(peer_config("s", peer_as), peer_config("t", 65002, number=2))
        made.receive("s", given_bodies, 0)
        ear = Ear(peer_config("t", 65002, number=2))
        ear.listen(made.take(), "t")
        assert ear.routes == told(made, "t")

    @settings(max_examples=300)
    @given(st.data(), st.sampled_from((65000, 65001)))
    def test_no_damage_to_a_good_update_makes_a_speaker_raise(self, data: st.DataObject, peer_as: int) -> None:
        made = speaker(peer_config("s", peer_as), peer_config("t", 65002, number=2))
        (message,) = encode_updates(
            attributes(65001, 9, next_hop=NEIGHBOUR, med=4, communities=("1:2",), otc=5, large_communities=("1:2:3",)),
            [Prefix(P), Prefix("20.0.0.0/8")],
            Family.IPV4,
        )
        body = bytearray(message[19:])
        for _ in range(data.draw(st.integers(1, 3))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        made.receive("s", [bytes(body[: data.draw(st.integers(0, len(body)))]), bytes(body)], 0)
        ear = Ear(peer_config("t", 65002, number=2))
        ear.listen(made.take(), "t")
        assert ear.routes == told(made, "t")


def test_a_family_that_was_not_agreed_on_carries_nothing() -> None:
    made = speaker(peer_config("s", 65001), up=False)
    made.peer_up("s", negotiated(families=(Family.IPV6,)), 0)
    made.originate(Prefix(P), PathAttributes(), 0)
    hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), "20.0.0.0/8")
    effects = made.take()
    assert effects.send == {}
    assert [notice.kind for notice in effects.notices] == ["ignored"]
    assert made.adj_rib_in_pre("s") == []


def test_unknown_sessions_and_policies_are_refused() -> None:
    made = speaker(peer_config("s", 65001))
    with pytest.raises(KeyError):
        made.peer_up("nobody", negotiated(), 0)
    with pytest.raises(InputError, match=r"peers\.t\.import_policy: there is no policy 'typo'; name one of accept"):
        made.add_peers([peer_config("t", 65002, import_policy="typo")], {}, 0)
    with pytest.raises(InputError, match="exists already"):
        made.add_peers([peer_config("s", 65001)], {}, 0)
    with pytest.raises(InputError, match=r"prefix: .*host bits"):
        made.originate(Prefix("10.0.0.1/8"), PathAttributes(), 0)


def test_reading_is_up_to_date_before_take() -> None:
    made = speaker(peer_config("s", 65001))
    hear(made, "s", attributes(65001, next_hop=NEIGHBOUR), P)
    assert best(made, P) == "s"
    assert [fact.received_at for fact in made.adj_rib_in_pre("s")] == [0]
