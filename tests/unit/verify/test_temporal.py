"""Never, always, until, eventually: what holds, what does not, and what nobody can tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.tcp_talk import KEEPALIVE, LEFT4, MODEL, NOON, SECOND, Capture, Connection, announce, attributes, withdraw

from peerlab.bgp.attributes import Prefix
from peerlab.evidence.events import Event, LabConverged, SessionStateChanged
from peerlab.evidence.pcapng import Interface, Loss, Record
from peerlab.evidence.snapshot import NodeSnapshot, RouteFact, Snapshot
from peerlab.evidence.trace import Trace
from peerlab.topology.model import Expectation
from peerlab.verify.evidence import Evidence
from peerlab.verify.expectation import expectation_statement, judge_expectation
from peerlab.verify.finding import Outcome
from peerlab.verify.temporal import after, always, eventually, never, route, until

P, Q = Prefix("203.0.113.0/24"), Prefix("198.51.100.0/24")
SENT = route(prefix=P).sent_by("left").sent_to("right")


def evidence(
    capture: Capture, *extra: Record, events: tuple[Event, ...] = (), snapshots: tuple[Snapshot, ...] = ()
) -> Evidence:
    trace = Trace.from_pcapng(capture.octets(extra), MODEL, until=capture.now)
    return Evidence(model=MODEL, events=events, trace=trace, snapshots={one.label: one for one in snapshots})


def talk(*said: bytes) -> Capture:
    """A session on which left says this, then a KEEPALIVE."""
    capture = Capture()
    connection = Connection(capture).establish()
    for message in (*said, KEEPALIVE):
        connection.say("left", message)
    return capture


class TestNever:
    def test_holds_when_the_session_was_watched_and_silent_about_it(self) -> None:
        judgement = never(SENT).judge(evidence(talk(announce(Q, 64500))))
        assert judgement.holds is True and judgement.looked_at == 4

    @pytest.mark.parametrize(
        ("pattern", "broken"),
        [
            # which routes are meant, whether "203.0.113.0/24 path 64500 64501 comm 8075:8007 med 5" is one
            ({"prefix": P}, True),
            ({}, True),
            ({"prefix": "203.0.113.0/25"}, False),  # exactly this prefix
            ({"as_path": "64500 64501"}, True),
            ({"as_path": "64500"}, False),
            ({"contains_as": 64501}, True),
            ({"contains_as": 8075}, False),
            ({"communities": ("8075:8007",)}, True),
            ({"communities": ("8075:8007", "8075:1")}, False),  # all of them
            ({"communities": ("8075:*",)}, True),
            ({"next_hop": LEFT4}, True),
            ({"med": 5}, True),
            ({"med": 0}, False),
            ({"local_pref": 100}, False),
            ({"otc": 64500}, False),
        ],
    )
    def test_which_routes_are_meant(self, pattern: dict[str, object], broken: bool) -> None:
        capture = talk(announce(P, 64500, 64501, communities=("8075:8007",), med=5))
        judgement = never(route(**pattern).sent_by("left").sent_to("right")).judge(evidence(capture))  # type: ignore[arg-type]
        expected = False if broken else (True if pattern.get("prefix") else None)  # s6 was never seen
        assert judgement.holds is expected

    def test_the_sender_and_the_receiver_narrow_it(self) -> None:
        seen = evidence(talk(announce(P, 64500)))
        for statement, expected in (
            (route(prefix=P).sent_by("left"), False),
            (route(prefix=P).sent_by("left").sent_to("right"), False),
            (route(prefix=P).sent_by("right").sent_to("left"), True),
            (route(prefix=P).sent_by("left").sent_to("far"), None),  # they have no session
        ):
            assert never(statement).judge(seen).holds is expected

    def test_a_session_that_was_never_seen_proves_nothing(self) -> None:
        capture = Capture()
        judgement = never(SENT).judge(evidence(capture))
        assert judgement.holds is None and "no message" in judgement.why

    def test_a_loss_of_the_sender_s_tap_makes_it_unknown_but_not_a_violation_good(self) -> None:
        loss = Loss(start=NOON, end=NOON + 5, interface=Interface(name="left:lo"), frames=1)
        assert never(SENT).judge(evidence(talk(), loss)).holds is None
        assert never(SENT).judge(evidence(talk(announce(P, 64500)), loss)).holds is False

    def test_a_loss_elsewhere_does_not_matter(self) -> None:
        loss = Loss(start=NOON, end=NOON + 5, interface=Interface(name="far:lo"), frames=1)
        assert never(SENT).judge(evidence(talk(), loss)).holds is True

    def test_what_was_lost_may_stand_until_the_session_ends(self) -> None:
        capture = Capture()
        Connection(capture).establish()
        loss = Loss(start=capture.now, end=capture.now + 1, interface=Interface(name="left:lo"), frames=1)
        capture.now += SECOND
        down = SessionStateChanged(at=capture.now, node="right", session="s4", before="Established", after="Idle")
        capture.now += SECOND
        Connection(capture, port=40001, initial=(5, 6)).establish()
        seen = evidence(capture, loss, events=(down,))
        assert after(down.at - 1, never(SENT)).judge(seen).holds is None
        assert after(down.at + 1, never(SENT)).judge(seen).holds is True

    def test_what_stood_when_the_span_began_counts(self) -> None:
        capture = talk(announce(P, 64500))
        assert after(capture.now, never(SENT)).judge(evidence(capture)).holds is False


class TestAlways:
    def test_from_the_first_time_without_interruption(self) -> None:
        steady = talk(announce(P, 64500), announce(P, 64500, 64501))
        assert always(SENT, from_first=True).judge(evidence(steady)).holds is True
        flapped = talk(announce(P, 64500), withdraw(P), announce(P, 64500))
        judgement = always(SENT, from_first=True).judge(evidence(flapped))
        assert judgement.holds is False and judgement.witness is not None
        assert judgement.witness.message == withdraw(P).hex()

    def test_a_replacement_that_does_not_match_interrupts(self) -> None:
        capture = talk(announce(P, 64500), announce(P, 64500, 64501))
        short = route(prefix=P, as_path="64500").sent_by("left")
        assert always(short, from_first=True).judge(evidence(capture)).holds is False

    def test_never_so_is_not_always_so(self) -> None:
        assert always(SENT, from_first=True).judge(evidence(talk())).holds is False
        assert always(SENT, from_first=True).judge(evidence(Capture())).holds is None

    def test_not_yet_at_the_start(self) -> None:
        assert always(SENT).judge(evidence(talk(announce(P, 64500)))).holds is False

    def test_a_gap_leaves_open_whether_it_was_interrupted_only_where_it_is_not_seen(self) -> None:
        capture = talk(announce(P, 64500))
        begin = capture.now
        loss = Loss(start=begin, end=begin + 1, interface=Interface(name="left:lo"), frames=1)
        Connection(capture, port=40001, initial=(5, 6)).open()
        assert after(begin, always(SENT)).judge(evidence(capture)).holds is True
        assert after(begin, always(SENT)).judge(evidence(capture, loss)).holds is None

    def test_a_capture_that_begins_in_the_middle_knows_what_is_told_from_then_on(self) -> None:
        capture = Capture()
        connection = Connection(capture)
        connection.say("left", announce(P, 64500))
        begin = capture.now
        connection.say("left", KEEPALIVE)
        seen = evidence(capture)
        assert after(begin, always(SENT)).judge(seen).holds is True
        assert never(route(prefix=Q).sent_by("left")).judge(seen).holds is None, "it may have been told before"


class TestEventually:
    def test_within_and_not_within(self) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        start = capture.now
        capture.now += SECOND
        connection.say("left", announce(P, 64500))
        capture.now += 2 * SECOND
        connection.say("left", KEEPALIVE)
        seen = evidence(capture)
        assert eventually(SENT, within=1.1, after=start).judge(seen).holds is True
        late = eventually(SENT, within=0.5, after=start).judge(seen)
        assert late.holds is False and "not within 0.5 s" in late.why

    def test_a_recording_that_ends_before_the_deadline_cannot_tell(self) -> None:
        capture = talk()
        judgement = eventually(SENT, within=60, after=NOON).judge(evidence(capture))
        assert judgement.holds is None and "capture ends" in judgement.why


def reported(label: str, at: int, *prefixes: str, accepted: bool = True) -> Snapshot:
    """A snapshot in which right has these routes of left, best and after policy."""
    facts = tuple(
        RouteFact(
            prefix=Prefix(one), session="s4", peer="left", attributes=attributes(64500), best=True, accepted=accepted
        )
        for one in prefixes
    )
    node = NodeSnapshot(node="right", adj_rib_in_pre={"s4": facts}, adj_rib_in_post={"s4": facts}, loc_rib=facts)
    return Snapshot(label=label, at=at, nodes={"right": node})


class TestReports:
    """What a node itself reports is looked at in snapshots; the wire says what cannot have been between them."""

    BEST = route(prefix=P).at("right").best
    ACCEPTED = route(prefix=P).at("right").post_policy

    def test_a_sighting_breaks_never(self) -> None:
        capture = talk(announce(P, 64500))
        seen = evidence(capture, snapshots=(reported("allowed", capture.now, P),))
        judgement = never(self.BEST).judge(seen)
        assert judgement.holds is False and judgement.witness is not None
        assert "snapshot allowed" in judgement.witness.where

    def test_absence_at_the_snapshots_is_what_it_is(self) -> None:
        capture = talk(announce(P, 64500))
        judgement = never(self.ACCEPTED).judge(evidence(capture, snapshots=(reported("under-deny", capture.now),)))
        assert judgement.holds is True
        assert "at the snapshots under-deny; not judged between them" in judgement.why

    def test_a_rejected_route_is_not_accepted(self) -> None:
        capture = talk(announce(P, 64500))
        snapshot = reported("under-deny", capture.now, P, accepted=False)
        assert never(self.ACCEPTED).judge(evidence(capture, snapshots=(snapshot,))).holds is True

    def test_without_a_snapshot_only_what_was_never_told_is_known(self) -> None:
        assert never(self.BEST).judge(evidence(talk(announce(P, 64500)))).holds is None
        assert never(self.BEST.from_peer("left")).judge(evidence(talk())).holds is True
        assert never(self.BEST).judge(evidence(talk())).holds is None, "far may have told it: its session is not seen"

    def test_always_is_judged_at_each_snapshot(self) -> None:
        capture = talk(announce(P, 64500))
        both = (reported("one", capture.now - 1, P), reported("two", capture.now, P))
        assert always(self.BEST).judge(evidence(capture, snapshots=both)).holds is True
        gone = (reported("one", capture.now - 1, P), reported("two", capture.now))
        judgement = always(self.BEST).judge(evidence(capture, snapshots=gone))
        assert judgement.holds is False and judgement.witness is not None and "two" in judgement.witness.where
        assert always(self.BEST).judge(evidence(capture)).holds is None

    def test_pre_policy_is_what_was_told_or_reported(self) -> None:
        before = route(prefix=P).at("right").pre_policy.from_peer("left")
        assert never(before).judge(evidence(talk())).holds is True
        assert never(before).judge(evidence(talk(announce(P, 64500)))).holds is False
        capture = talk()
        assert never(before).judge(evidence(capture, snapshots=(reported("odd", capture.now, P),))).holds is False

    def test_a_snapshot_s_label_is_a_moment(self) -> None:
        capture = talk()
        before = capture.now
        Connection(capture, port=40001, initial=(5, 6)).establish().say("left", announce(P, 64500))
        seen = evidence(capture, snapshots=(reported("under-deny", before),))
        assert until("under-deny", never(SENT)).judge(seen).holds is True
        assert until("no-such-moment", never(SENT)).judge(seen).holds is None


class TestExpectations:
    def expectation(self, quantifier: str, where: str = "sent", **more: object) -> Expectation:
        values: dict[str, object] = {"node": "left", "peer": "right", "prefix": P, **more}
        return Expectation(name="told", quantifier=quantifier, where=where, **values)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("quantifier", "more", "told", "silent"),
        [
            # the sentence, its outcome when left tells the prefix, and when it does not
            ("never", {}, Outcome.FAIL, Outcome.PASS),
            ("always", {}, Outcome.PASS, Outcome.FAIL),
            ("until", {"until": "later"}, Outcome.PASS, Outcome.FAIL),
            ("until", {"until": "nowhere"}, Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE),
            ("eventually", {"within": 1e-5}, Outcome.PASS, Outcome.FAIL),
            ("eventually", {"within": 60.0}, Outcome.PASS, Outcome.INCONCLUSIVE),
            ("never", {"as_path_contains": 64999}, Outcome.PASS, Outcome.PASS),
            ("never", {"community": "8075:8007"}, Outcome.FAIL, Outcome.PASS),
        ],
    )
    def test_outcomes(self, quantifier: str, more: dict[str, object], told: Outcome, silent: Outcome) -> None:
        for said, expected in ((announce(P, 64500, communities=("8075:8007",)), told), (KEEPALIVE, silent)):
            capture = Capture()
            connection = Connection(capture).establish()
            converged = LabConverged(at=capture.now, sessions=1)
            connection.say("left", said)
            for _ in range(20):
                connection.say("left", KEEPALIVE)
            seen = evidence(capture, events=(converged,), snapshots=(reported("later", capture.now),))
            finding = judge_expectation(self.expectation(quantifier, **more), seen)
            assert finding.outcome is expected, finding.summary
            assert (finding.witness is not None) or expected is not Outcome.FAIL or quantifier != "never"
            assert (finding.check, finding.title) == ("EXPECT", "told") and finding.exhibits

    def test_a_witness_is_the_message(self) -> None:
        finding = judge_expectation(self.expectation("never"), evidence(talk(announce(P, 64500))))
        assert finding.witness is not None and finding.witness.message == announce(P, 64500).hex()

    def test_best_speaks_of_the_node_s_own_table(self) -> None:
        statement = expectation_statement(self.expectation("never", "best", node="right", peer=None))
        assert str(statement) == "never 203.0.113.0/24 best at right"

    @pytest.mark.parametrize(
        "expectation",
        [
            {"quantifier": "sometimes"},
            {"quantifier": "never", "where": "somewhere"},
            {"quantifier": "eventually"},  # within what time
            {"quantifier": "until"},  # until when
        ],
    )
    def test_what_is_no_sentence_is_refused(self, expectation: dict[str, str]) -> None:
        with pytest.raises(ValueError):
            expectation_statement(self.expectation(**expectation))


@given(st.lists(st.sampled_from(["announce", "withdraw", "keepalive"]), max_size=12))
def test_never_and_eventually_are_each_other_s_opposite(story: list[str]) -> None:
    """On a whole capture exactly one of "never" and "at some time" holds, and it is the one that a replay says."""
    said = {"announce": announce(P, 64500), "withdraw": withdraw(P), "keepalive": KEEPALIVE}
    capture = talk(*(said[word] for word in story))
    seen = evidence(capture)
    span = (seen.trace.end - seen.trace.begin) / SECOND
    happened = eventually(SENT, within=span).judge(seen).holds
    assert happened is ("announce" in story)
    assert never(SENT).judge(seen).holds is not happened
