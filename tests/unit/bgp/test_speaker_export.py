"""What a speaker tells its peers: to whom, with what attributes, and exactly so often."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from back_to_back import (
    Ear,
    attributes,
    bodies,
    hear,
    hear_withdrawal,
    negotiated,
    path,
    peer_config,
    speaker,
    told,
)

from peerlab.bgp.attributes import Address, BgpRole, Family, PathAttributes, Prefix, RawAttribute
from peerlab.bgp.framing import split
from peerlab.bgp.policy import (
    DENY_ALL,
    AddCommunities,
    FirstAsIs,
    LearnedFrom,
    LearnedFromIs,
    NextHopSelf,
    Policy,
    PrefixIn,
    PrefixRange,
    Prepend,
    SetMed,
    Statement,
    Verdict,
)
from peerlab.bgp.speaker import BgpSpeaker
from peerlab.bgp.update import encode_updates
from peerlab.errors import InputError, RefusedError

P = "203.0.113.0/24"
EBGP_IN = attributes(65001, 7, next_hop="10.0.1.1", med=50)
IBGP_IN = attributes(65001, 7, next_hop="10.99.0.1", med=50, local_pref=300)

NO_EXPORT, NO_ADVERTISE, NO_SUBCONFED = "65535:65281", "65535:65282", "65535:65283"


def tagged(community: str) -> PathAttributes:
    return attributes(65001, next_hop="10.0.1.1", communities=(community,))


EXT, INT = {"peer_as": 65002}, {"peer_as": 65000}
CLIENT = {"peer_as": 65000, "route_reflector_client": True}
FROM_EXT, FROM_INT, FROM_CLIENT = {"peer_as": 65001}, INT, CLIENT

RULES: list[tuple[str, dict[str, Any], PathAttributes, dict[str, Any], str | None]] = [
    # what, learned on, received, told on, why not (None: told)
    ("eBGP to eBGP", FROM_EXT, EBGP_IN, EXT, None),
    ("eBGP to iBGP", FROM_EXT, EBGP_IN, INT, None),
    ("iBGP to eBGP", FROM_INT, IBGP_IN, EXT, None),
    ("iBGP to iBGP", FROM_INT, IBGP_IN, INT, "learned by iBGP from a peer that is no reflection client"),
    ("client to non-client", FROM_CLIENT, IBGP_IN, INT, None),
    ("non-client to client", FROM_INT, IBGP_IN, CLIENT, None),
    ("client to client", FROM_CLIENT, IBGP_IN, CLIENT, None),
    ("NO_EXPORT to eBGP", FROM_EXT, tagged(NO_EXPORT), EXT, "NO_EXPORT"),
    ("NO_EXPORT to iBGP", FROM_EXT, tagged(NO_EXPORT), INT, None),
    ("NO_ADVERTISE to iBGP", FROM_EXT, tagged(NO_ADVERTISE), INT, "NO_ADVERTISE"),
    ("NO_ADVERTISE to eBGP", FROM_EXT, tagged(NO_ADVERTISE), EXT, "NO_ADVERTISE"),
    ("NO_EXPORT_SUBCONFED to eBGP", FROM_EXT, tagged(NO_SUBCONFED), EXT,
     "NO_EXPORT_SUBCONFED"),
    ("no policy to eBGP", FROM_EXT, EBGP_IN, {**EXT, "export_policy": ""}, "no export policy (RFC 8212)"),
    ("no policy to iBGP", FROM_EXT, EBGP_IN, {**INT, "export_policy": ""}, None),
    ("denied", FROM_EXT, EBGP_IN, {**EXT, "export_policy": "deny-all"}, "DENY ALL"),
    ("a peer's route to a peer", {**FROM_EXT, "local_role": BgpRole.PEER}, EBGP_IN, {**EXT, "local_role": BgpRole.PEER},
     "route leak: OTC 65001 is only for customers"),
    ("a provider's route to a provider", {**FROM_EXT, "local_role": BgpRole.CUSTOMER}, EBGP_IN,
     {**EXT, "local_role": BgpRole.CUSTOMER}, "route leak: OTC 65001 is only for customers"),
    ("a provider's route to a customer", {**FROM_EXT, "local_role": BgpRole.CUSTOMER}, EBGP_IN,
     {**EXT, "local_role": BgpRole.PROVIDER}, None),
    ("a customer's route to a provider", {**FROM_EXT, "local_role": BgpRole.PROVIDER}, EBGP_IN,
     {**EXT, "local_role": BgpRole.CUSTOMER}, None),
    ("a route server's route to a peer", {**FROM_EXT, "local_role": BgpRole.RS_CLIENT}, EBGP_IN,
     {**EXT, "local_role": BgpRole.PEER}, "route leak: OTC 65001 is only for customers"),
]  # fmt: skip


@pytest.mark.parametrize("what, source, received, target, why", RULES, ids=[row[0] for row in RULES])
def test_who_is_told(
    what: str, source: dict[str, Any], received: PathAttributes, target: dict[str, Any], why: str | None
) -> None:
    made = speaker(peer_config("in", **source), peer_config("out", number=2, **target))
    hear(made, "in", received, P)
    made.take()
    assert (P in told(made, "out")) is (why is None)
    assert made.withheld("out", Prefix(P)) == why
    assert told(made, "in") == {}
    assert made.withheld("in", Prefix(P)) == "split horizon: learned on this session"


def sent(source: dict[str, Any], received: PathAttributes, target: dict[str, Any], **more: Any) -> PathAttributes:
    """What the far end of ``target`` reads off the wire after ``received`` came on ``source``."""
    peer = peer_config("out", number=2, **target)
    made = speaker(peer_config("in", **source), peer, **more)
    ear = Ear(peer)
    hear(made, "in", received, P)
    ear.listen(made.take(), "out")
    return ear.routes[P]


def test_to_another_as() -> None:
    """Own AS in front, next hop self, and nothing internal."""
    received = attributes(
        65001,
        7,
        next_hop="10.0.1.1",
        med=50,
        communities=("1:2",),
        large_communities=("1:2:3",),
        extended_communities=(bytes.fromhex("0002fde800000064"), bytes.fromhex("4002fde800000064")),
        unknown=(RawAttribute(0xC0, 200, b"abc"),),
    )
    out = sent(FROM_EXT, received, EXT)
    assert out == attributes(
        65000,
        65001,
        7,
        next_hop="10.0.2.254",
        communities=("1:2",),
        large_communities=("1:2:3",),
        extended_communities=(bytes.fromhex("0002fde800000064"),),  # RFC 4360 section 6: the non-transitive one stays
        unknown=(RawAttribute(0xE0, 200, b"abc"),),  # passed on with the Partial bit
    )


def test_within_the_as() -> None:
    """AS_PATH, MED and next hop as they came; LOCAL_PREF always there."""
    out = sent(FROM_EXT, EBGP_IN, INT)
    assert out == attributes(65001, 7, next_hop="10.0.1.1", med=50, local_pref=100)
    out = sent(FROM_EXT, EBGP_IN, {**INT, "next_hop_self": True})
    assert out.next_hop == "10.0.2.254"


def test_internal_attributes_end_at_the_border() -> None:
    received = attributes(
        7,
        next_hop="10.99.0.1",
        med=50,
        local_pref=300,
        originator_id=Address("9.9.9.9"),
        cluster_list=(Address("8.8.8.8"),),
    )
    assert sent(FROM_INT, received, EXT) == attributes(65000, 7, next_hop="10.0.2.254")


def test_reflection_leaves_its_mark_and_keeps_the_next_hop() -> None:
    out = sent(FROM_CLIENT, IBGP_IN, {**INT, "next_hop_self": True}, cluster_id=Address("7.7.7.7"))
    assert out.originator_id == "10.254.0.1"  # the router id of the client that sent it
    assert out.cluster_list == ("7.7.7.7",)
    assert (out.next_hop, out.local_pref, out.med, out.as_path) == ("10.99.0.1", 300, 50, path(65001, 7))
    marked = attributes(7, next_hop="10.99.0.1", originator_id=Address("9.9.9.9"), cluster_list=(Address("8.8.8.8"),))
    out = sent(FROM_INT, marked, CLIENT)
    assert out.originator_id == "9.9.9.9"
    assert out.cluster_list == ("10.255.0.1", "8.8.8.8")  # without a cluster id, the router id


def test_a_client_that_is_provisioned_anew_as_none_is_none() -> None:
    made = speaker(peer_config("in", **CLIENT), peer_config("out", number=2, **INT))
    made.remove_peers(["in"], 0)
    made.add_peers([peer_config("in", **INT)], {}, 0)
    made.peer_up("in", negotiated(1), 0)
    hear(made, "in", IBGP_IN, P)
    made.take()
    assert told(made, "out") == {}


def policy(name: str, *actions: Any, match: tuple[Any, ...] = ()) -> dict[str, Policy]:
    return {
        name: Policy(
            name=name, statements=(Statement(name=name, match=match, actions=actions, verdict=Verdict.ACCEPT),)
        )
    }


def test_export_policy_changes_what_is_sent() -> None:
    given = {**EXT, "export_policy": "x"}
    assert sent(FROM_EXT, EBGP_IN, given, policies=policy("x", SetMed(9))).med == 9
    assert sent(FROM_EXT, EBGP_IN, given, policies=policy("x", Prepend(65000, 2))).as_path == path(
        65000, 65000, 65000, 65001, 7
    )
    no_export = policy("x", AddCommunities(("65535:65281",)))
    assert sent(FROM_EXT, EBGP_IN, given, policies=no_export).communities == ("65535:65281",)  # for the peer to honour
    inside = {**INT, "export_policy": "x"}
    assert sent(FROM_EXT, EBGP_IN, inside, policies=policy("x", NextHopSelf())).next_hop == "10.0.2.254"


def test_an_originated_route() -> None:
    target = peer_config("ext", 65002, number=2, local_role=BgpRole.PEER)
    made = speaker(target, peer_config("int", 65000, number=3))
    made.originate(Prefix(P), PathAttributes(med=5, communities=("1:1",)), 0)
    effects = made.take()
    assert told(made, "ext")[P] == attributes(65000, next_hop="10.0.2.254", med=5, communities=("1:1",), otc=65000)
    assert told(made, "int")[P] == attributes(next_hop="10.0.3.254", med=5, communities=("1:1",), local_pref=100)
    assert [(change.kind, change.prefix) for change in effects.fib] == [("blackhole", P)]
    made.originate(Prefix("10.0.2.0/24"), PathAttributes(), 0, blackhole=False)
    assert made.take().fib == []  # a connected prefix has its route in the kernel already


def test_export_by_source() -> None:
    only_own = policy("x", match=(LearnedFromIs((LearnedFrom.LOCAL,)),))
    made = speaker(peer_config("in", 65001), peer_config("out", number=2, **EXT, export_policy="x"), policies=only_own)
    hear(made, "in", EBGP_IN, P)
    made.originate(Prefix("20.0.0.0/8"), PathAttributes(), 0)
    made.take()
    assert set(told(made, "out")) == {"20.0.0.0/8"}
    assert made.withheld("out", Prefix(P)) == "default"


class TestRouteServer:
    """RFC 7947 section 2.2 and 2.3."""

    CLIENTS = tuple(
        peer_config(f"c{number}", 65000 + number, 64999, number, route_server_client=True, local_role=BgpRole.RS)
        for number in (1, 2, 3)
    )

    def made(self, **changes: dict[str, Any]) -> BgpSpeaker:
        clients = tuple(msgspec.structs.replace(one, **changes.get(one.session, {})) for one in self.CLIENTS)
        only_c2 = Policy(
            name="not-via-65001",
            statements=(
                Statement(
                    name="hidden", match=(PrefixIn((PrefixRange(Prefix(P)),)), *self.via(65001)), verdict=Verdict.REJECT
                ),
                Statement(name="rest", verdict=Verdict.ACCEPT),
            ),
        )
        return speaker(
            *clients, asn=64999, route_server=True, install_routes=False, policies={"not-via-65001": only_c2}
        )

    def via(self, asn: int) -> tuple[Any, ...]:
        return (FirstAsIs(asn),)

    def test_it_is_transparent(self) -> None:
        made = self.made()
        received = attributes(
            65001,
            7,
            next_hop="10.0.1.1",
            med=50,
            communities=("1:2", "65535:65281"),
            extended_communities=(bytes.fromhex("4002fde800000064"),),
        )
        hear(made, "c1", received, P)
        made.take()
        assert told(made, "c2")[P] == msgspec.structs.replace(received, otc=64999)  # RFC 9234: the RS adds OTC
        assert told(made, "c1") == {}

    def test_a_client_gets_the_best_of_what_may_be_told_to_it(self) -> None:
        """Path hiding: the best path is filtered for c3, so it gets the second best, and loses it with it."""
        made = self.made(c3={"export_policy": "not-via-65001"})
        hear(made, "c1", attributes(65001, next_hop="10.0.1.1"), P)
        made.take()
        assert told(made, "c3") == {}
        assert made.withheld("c3", Prefix(P)) == "hidden"
        hear(made, "c2", attributes(65002, 7, next_hop="10.0.2.1"), P)  # longer: best does not change
        made.take()
        assert told(made, "c3")[P].as_path == path(65002, 7)
        assert made.withheld("c3", Prefix(P)) is None
        assert told(made, "c1")[P].as_path == path(65002, 7)  # the best is its own: it gets the other
        assert told(made, "c2")[P].as_path == path(65001)
        hear_withdrawal(made, "c2", P)
        made.take()
        assert told(made, "c3") == told(made, "c1") == {}

    def test_a_leak_from_a_client_is_dropped(self) -> None:
        made = self.made()
        hear(made, "c1", attributes(65001, next_hop="10.0.1.1", otc=65009), P)
        made.take()
        assert told(made, "c2") == {}
        assert made.adj_rib_in_pre("c1")[0].reason == "route leak: OTC 65009 from a client"


class TestWhatIsWritten:
    """Messages: exactly what changed, once, packed."""

    def pair(self) -> tuple[BgpSpeaker, Ear]:
        peer = peer_config("out", number=2, **EXT)
        made = speaker(peer_config("in", 65001), peer_config("in2", 65003, number=3), peer)
        return made, Ear(peer)

    def test_prefixes_with_the_same_attributes_share_a_message(self) -> None:
        made, ear = self.pair()
        prefixes = [f"20.0.{number}.0/24" for number in range(200)]
        for prefix in prefixes:
            hear(made, "in", EBGP_IN, prefix)
        effects = made.take()
        assert len(effects.send["out"]) == 1
        ear.listen(effects, "out")
        assert set(ear.routes) == set(prefixes)
        made.peer_down("in", "gone", 0)
        effects = made.take()
        assert len(effects.send["out"]) == 1
        ear.listen(effects, "out")
        assert ear.routes == {}

    def test_nothing_is_said_when_nothing_changed_for_the_peer(self) -> None:
        made, _ = self.pair()
        hear(made, "in", EBGP_IN, P)
        made.take()
        hear(made, "in", EBGP_IN, P)  # the same again
        assert made.take().send == {}
        hear(made, "in", attributes(65001, 7, next_hop="10.0.1.1", med=51), P)  # MED does not go to a third AS
        assert "out" not in made.take().send
        hear(made, "in2", attributes(65003, 7, 8, next_hop="10.0.3.1"), P)  # a worse path
        assert "out" not in made.take().send

    def test_what_came_and_went_between_two_takes_is_never_told(self) -> None:
        made, _ = self.pair()
        hear(made, "in", EBGP_IN, P)
        assert len(made.loc_rib()) == 1  # somebody looking changes nothing for the outside
        hear_withdrawal(made, "in", P)
        assert made.loc_rib() == []
        effects = made.take()
        assert effects.send == {}
        assert effects.fib == []

    def test_a_new_path_replaces_without_a_withdrawal(self) -> None:
        made, ear = self.pair()
        hear(made, "in", EBGP_IN, P)
        ear.listen(made.take(), "out")
        hear(made, "in2", attributes(65003, next_hop="10.0.3.1"), P)
        ear.listen(made.take(), "out")
        assert ear.routes[P].as_path == path(65000, 65003)
        assert (ear.announced, ear.withdrawn) == (2, 0)

    def test_the_table_comes_first_and_end_of_rib_after_it_once(self) -> None:
        made, _ = self.pair()
        hear(made, "in", EBGP_IN, P)
        made.take()
        made.peer_down("out", "bounce", 0)
        made.peer_up("out", negotiated(2), 0)
        messages = made.take().send["out"]
        assert [len(body) > 4 for body in bodies(messages)] == [True, False]
        assert made.counters("out").end_of_rib_sent
        hear(made, "in", EBGP_IN, "20.0.0.0/8")
        assert all(len(body) > 4 for body in bodies(made.take().send["out"]))

    def test_a_route_that_fits_no_message_is_withdrawn_and_told_of(self) -> None:
        """RFC 8654 section 5: it came in an extended message and cannot go out in a standard one."""
        made, ear = self.pair()
        hear(made, "in", EBGP_IN, P)
        ear.listen(made.take(), "out")
        made.peer_down("in", "renegotiate", 0)
        made.peer_up("in", negotiated(1, extended_message=True), 0)
        many = tuple(sorted(f"65001:{number}" for number in range(2000)))
        huge = encode_updates(
            attributes(65001, next_hop="10.0.1.1", communities=many), [Prefix(P)], Family.IPV4, maximum=65535
        )
        made.receive("in", bodies(huge), 0)
        effects = made.take()
        ear.listen(effects, "out")
        assert ear.routes == told(made, "out") == {}
        assert [(notice.kind, notice.session) for notice in effects.notices] == [
            ("not-sent", "in2"),
            ("not-sent", "out"),
        ]


class TestRefresh:
    def test_a_request_resends_everything_and_nothing_else_moves(self) -> None:
        peer = peer_config("out", number=2, **EXT)
        made = speaker(peer_config("in", 65001), peer)
        ear = Ear(peer)
        hear(made, "in", EBGP_IN, P, "20.0.0.0/8")
        ear.listen(made.take(), "out")
        made.route_refresh("out", Family.IPV4, 0, 0)
        effects = made.take()
        ear.listen(effects, "out")
        assert (ear.announced, ear.withdrawn, set(effects.send)) == (4, 0, {"out"})
        assert effects.fib == []
        made.route_refresh("out", Family.IPV6, 0, 0)  # another family, and one we do not carry
        made.route_refresh("out", None, 0, 0)
        assert made.take().send == {}

    def test_where_both_ends_can_it_is_bracketed(self) -> None:
        made = speaker(peer_config("in", 65001), peer_config("out", number=2, **EXT), up=False)
        made.peer_up("in", negotiated(1), 0)
        made.peer_up("out", negotiated(2, enhanced_route_refresh=True), 0)
        hear(made, "in", EBGP_IN, P)
        made.take()
        made.route_refresh("out", Family.IPV4, 0, 0)
        kinds = [split(message)[0][0] for message in made.take().send["out"]]
        assert [kind for kind, _ in kinds] == [5, 2, 5]
        assert [kinds[0][1], kinds[2][1]] == [bytes([0, 1, 1, 1]), bytes([0, 1, 2, 1])]  # BoRR, EoRR

    def test_what_a_peers_refresh_leaves_out_is_gone(self) -> None:
        made = speaker(peer_config("in", 65001))
        hear(made, "in", EBGP_IN, P, "20.0.0.0/8", "30.0.0.0/8")
        made.route_refresh("in", Family.IPV4, 1, 0)
        hear(made, "in", EBGP_IN, P)
        hear(made, "in", attributes(65001, 8, next_hop="10.0.1.1"), "40.0.0.0/8")
        hear_withdrawal(made, "in", "30.0.0.0/8", "40.0.0.0/8")
        hear(made, "in", attributes(65001, 9, next_hop="10.0.1.1"), "40.0.0.0/8")
        assert len(made.loc_rib()) == 3  # until EoRR stale routes stay in use
        for _ in range(2):  # a second EoRR, without BoRR, means nothing
            made.route_refresh("in", Family.IPV4, 2, 0)
            assert [fact.prefix for fact in made.loc_rib()] == [P, "40.0.0.0/8"]
            assert [fact.attributes.origin_as() for fact in made.adj_rib_in_pre("in")] == [7, 9]


class TestStimuli:
    """Routes sent past policy: a leak or a hijack made on purpose."""

    def made(self) -> tuple[BgpSpeaker, Ear]:
        peer = peer_config("out", number=2, **EXT, export_policy="deny-all")
        made = speaker(peer_config("in", 65001), peer)
        made.take()
        return made, Ear(peer)

    def test_they_pass_every_policy_and_are_withdrawn_again(self) -> None:
        made, ear = self.made()
        made.announce_raw("out", [Prefix(P)], attributes(1, 2, 3, next_hop=None))
        ear.listen(made.take(), "out")
        assert ear.routes == {P: attributes(1, 2, 3, next_hop="10.0.2.254")}
        assert told(made, "out") == {}  # they stand in no RIB
        assert made.loc_rib() == []
        assert made.take().send == {}
        made.route_refresh("out", Family.IPV4, 0, 0)
        ear.listen(made.take(), "out")
        assert ear.announced == 2
        made.withdraw_raw("out", [Prefix(P), Prefix("20.0.0.0/8")])
        ear.listen(made.take(), "out")
        assert ear.routes == {}
        assert made.take().send == {}

    def test_they_hide_the_regular_route_and_give_way_to_it(self) -> None:
        made, ear = self.made()
        made.set_policy({}, {"out": ("accept", "accept")}, 0)
        hear(made, "in", EBGP_IN, P)
        ear.listen(made.take(), "out")
        made.announce_raw("out", [Prefix(P)], attributes(9, next_hop=None))
        ear.listen(made.take(), "out")
        assert ear.routes[P].as_path == path(9)
        hear(made, "in", attributes(65001, next_hop="10.0.1.1"), P)
        ear.listen(made.take(), "out")
        assert ear.routes[P].as_path == path(9)
        made.withdraw_raw("out", [Prefix(P)])
        ear.listen(made.take(), "out")
        assert ear.routes[P].as_path == path(65000, 65001)
        assert ear.withdrawn == 0
        hear_withdrawal(made, "in", P)
        ear.listen(made.take(), "out")
        assert ear.routes == {}

    def test_a_hidden_route_that_goes_is_withdrawn_with_its_stimulus(self) -> None:
        made, ear = self.made()
        made.set_policy({}, {"out": ("accept", "accept")}, 0)
        hear(made, "in", EBGP_IN, P)
        ear.listen(made.take(), "out")
        made.announce_raw("out", [Prefix(P)], attributes(9, next_hop=None))
        hear_withdrawal(made, "in", P)
        made.withdraw_raw("out", [Prefix(P)])  # before a single octet of it was sent
        ear.listen(made.take(), "out")
        assert ear.routes == {}

    def test_a_stimulus_that_comes_back_at_once_is_not_withdrawn(self) -> None:
        made, ear = self.made()
        for _ in range(2):
            made.announce_raw("out", [Prefix(P)], attributes(9, next_hop=None))
            ear.listen(made.take(), "out")
            made.withdraw_raw("out", [Prefix(P)])
        made.announce_raw("out", [Prefix(P)], attributes(9, next_hop=None))
        ear.listen(made.take(), "out")
        assert (set(ear.routes), ear.withdrawn) == ({P}, 0)

    def test_one_that_was_never_sent_is_never_withdrawn(self) -> None:
        made, ear = self.made()
        made.announce_raw("out", [Prefix(P)], attributes(9, next_hop=None))
        ear.listen(made.take(), "out")
        made.withdraw_raw("out", [Prefix(P)])
        ear.listen(made.take(), "out")
        made.announce_raw("out", [Prefix(P)], attributes(9, next_hop=None))
        made.withdraw_raw("out", [Prefix(P)])
        ear.listen(made.take(), "out")
        assert (ear.routes, ear.withdrawn) == ({}, 1)

    def test_they_need_a_session_and_attributes_that_fit(self) -> None:
        made, _ = self.made()
        with pytest.raises(InputError, match="2001:db8::/32 cannot be sent on out; give ipv4 prefixes"):
            made.announce_raw("out", [Prefix("2001:db8::/32")], attributes(1, next_hop="2001:db8::1"))
        with pytest.raises(InputError, match="'70000:1' is no standard community"):
            made.announce_raw("out", [Prefix(P)], attributes(1, communities=("70000:1",)))
        assert made.take().send == {}
        made.peer_down("out", "gone", 0)
        with pytest.raises(RefusedError, match="session out is not Established"):
            made.announce_raw("out", [Prefix(P)], attributes(1))


def test_deny_is_the_policy_that_provisioning_starts_from() -> None:
    """The name ``deny-all`` needs no definition: a session can always be closed."""
    made = speaker(peer_config("s", 65001, import_policy="deny-all", export_policy="deny-all"))
    made.originate(Prefix(P), PathAttributes(), 0)
    made.take()
    assert made.withheld("s", Prefix(P)) == DENY_ALL.statements[0].name
