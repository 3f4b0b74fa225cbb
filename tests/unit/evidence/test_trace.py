"""The trace: who said what to whom, what stood announced when, and what is not known."""

from __future__ import annotations

import random

import pytest
from kit.tcp_talk import (
    ACK,
    FAR_LOOPBACK,
    FIN,
    KEEPALIVE,
    LEFT6,
    MODEL,
    NOON,
    PSH,
    RIGHT6,
    RIGHT_LOOPBACK,
    RST,
    SECOND,
    Capture,
    Connection,
    announce,
    open_message,
    withdraw,
)

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.capability import multiprotocol
from peerlab.bgp.wire import MessageType, Notification, Open, encode_notification, encode_open, frame, shutdown
from peerlab.evidence import pcapng
from peerlab.evidence.trace import Trace, TraceReader

P1, P2 = Prefix("203.0.113.0/24"), Prefix("198.51.100.0/24")


def trace_of(capture: Capture, *extra: pcapng.Record) -> Trace:
    return Trace.from_pcapng(capture.octets(extra), MODEL)


def told(trace: Trace, at: int, session: str = "s4", sender: str = "left") -> dict[str, str]:
    """What stands announced: prefix to path."""
    return {prefix: route.attributes.path_text() for prefix, route in trace.announced(session, sender, at).items()}


def notification(message: Notification) -> bytes:
    return frame(MessageType.NOTIFICATION, encode_notification(message))


class TestMessages:
    def test_each_message_knows_its_session_and_its_ends(self) -> None:
        capture = Capture()
        Connection(capture).establish()
        Connection(capture, ("right", RIGHT6), ("left", LEFT6), port=41000).establish(Family.IPV6)
        Connection(capture, ("far", FAR_LOOPBACK), ("right", RIGHT_LOOPBACK)).establish()
        trace = trace_of(capture)
        heard = {(m.session, m.source, m.destination) for m in trace}
        assert heard == {
            ("s4", "left", "right"), ("s4", "right", "left"),
            ("s6", "left", "right"), ("s6", "right", "left"),
            ("i4", "far", "right"), ("i4", "right", "far"),
        }  # fmt: skip
        assert [MessageType(m.kind).name for m in trace.of_session("s6")] == ["OPEN", "OPEN", "KEEPALIVE", "KEEPALIVE"]
        assert isinstance(trace.messages[0].decode(), Open)

    def test_addresses_that_the_model_has_not_are_their_own_names(self) -> None:
        capture = Capture()
        capture.watched = {}
        connection = Connection(capture, ("stranger", "203.0.113.9"), ("right", "192.0.2.1")).open()
        connection.say("stranger", KEEPALIVE)
        (message,) = trace_of(capture).messages
        assert (message.session, message.source, message.destination) == (None, "stranger", "right")

    def test_path_attributes_are_read_as_both_opens_agreed(self) -> None:
        """A speaker without four octet AS numbers sends two octets per AS; the trace reads them so."""
        capture = Capture()
        connection = Connection(capture).open()
        old = frame(
            MessageType.OPEN, encode_open(Open(asn=64500, two_octet_as=64500, hold_time=9, router_id="10.0.0.1"))
        )  # type: ignore[arg-type]
        connection.say("left", old)
        connection.say("right", open_message(8075, "10.0.0.2", (multiprotocol(Family.IPV4),)))
        path = bytes([0x40, 2, 6, 2, 2]) + (64500).to_bytes(2, "big") + (64501).to_bytes(2, "big")
        fields = bytes([0x40, 1, 1, 0]) + path + bytes([0x40, 3, 4, 192, 0, 2, 0])
        body = b"\0\0" + len(fields).to_bytes(2, "big") + fields + bytes([24, 203, 0, 113])
        connection.say("left", frame(MessageType.UPDATE, body))
        assert told(trace_of(capture), capture.now) == {P1: "64500 64501"}

    def test_frames_out_of_order_in_the_file_are_put_right_by_their_times(self) -> None:
        capture = Capture()
        Connection(capture).establish().say("left", announce(P1, 64500))
        expected = trace_of(capture).messages
        random.Random(7).shuffle(capture.frames)
        assert trace_of(capture).messages == expected

    def test_reading_in_portions_gives_the_same_trace(self) -> None:
        capture = Capture()
        Connection(capture).establish().say("left", announce(P1, 64500))
        octets = capture.octets()
        reader = TraceReader(MODEL)
        fresh = []
        for at in range(0, len(octets), 100):
            reader.feed(octets[at : at + 100])
            fresh += reader.fresh()
        assert tuple(fresh) == Trace.from_pcapng(octets, MODEL).messages == reader.trace().messages


class TestSelect:
    @pytest.fixture
    def trace(self) -> Trace:
        capture = Capture()
        connection = Connection(capture).establish()
        connection.say("left", announce(P1, 64500))
        connection.say("left", announce(P2, 64500))
        connection.say("right", withdraw("203.0.113.128/25"))
        Connection(capture, ("far", FAR_LOOPBACK), ("right", RIGHT_LOOPBACK)).establish()
        return trace_of(capture)

    @pytest.mark.parametrize(
        ("conditions", "count"),
        [
            ({}, 11),
            ({"node": "far"}, 4),  # sent and received
            ({"source": "left"}, 4),
            ({"session": "i4", "kind": MessageType.OPEN}, 2),
            ({"prefix": P1}, 1),  # exactly this prefix
            ({"prefix": P1, "covering": True}, 2),  # and a more specific that is withdrawn
            ({"prefix": Prefix("203.0.113.7/32"), "covering": True}, 1),  # a covering one
            ({"prefix": Prefix("2001:db8::/32"), "covering": True}, 0),  # the other family
            ({"until": NOON}, 0),
            ({"since": NOON + SECOND}, 0),
        ],
    )
    def test_by_conditions(self, trace: Trace, conditions: dict[str, object], count: int) -> None:
        assert len(trace.select(**conditions)) == count  # type: ignore[arg-type]


class TestWhatStandsAnnounced:
    """Adj-RIB-Out according to the wire."""

    def test_from_the_update_to_the_withdrawal(self) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        before = capture.now
        connection.say("left", announce(P1, 64500))
        announced = capture.now
        connection.say("left", withdraw(P1))
        trace = trace_of(capture)
        assert told(trace, before) == {}
        assert told(trace, announced) == {P1: "64500"}
        assert told(trace, capture.now) == {}
        (route,) = trace.history("s4", "left").routes
        assert route.ended_by is not None and route.message.session == "s4"

    def test_another_path_replaces_the_first(self) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        connection.say("left", announce(P1, 64500), announce(P1, 64500, 64501))
        assert told(trace_of(capture), capture.now) == {P1: "64500 64501"}

    def test_each_direction_has_its_own(self) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        connection.say("left", announce(P1, 64500))
        connection.say("right", announce(P2, 8075, next_hop="192.0.2.1"))
        trace = trace_of(capture)
        assert told(trace, capture.now) == {P1: "64500"}
        assert told(trace, capture.now, sender="right") == {P2: "8075"}

    def test_ipv6(self) -> None:
        capture = Capture()
        connection = Connection(capture, ("left", LEFT6), ("right", RIGHT6)).establish(Family.IPV6)
        connection.say("left", announce("2001:db8:a::/48", 64500, next_hop=LEFT6))
        assert told(trace_of(capture), capture.now, "s6") == {"2001:db8:a::/48": "64500"}

    @pytest.mark.parametrize("who", ["left", "right"])
    def test_a_notification_of_either_end_ends_it(self, who: str) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        connection.say("left", announce(P1, 64500))
        connection.say(who, notification(shutdown("maintenance")))
        assert told(trace_of(capture), capture.now) == {}

    @pytest.mark.parametrize("flag", [RST, FIN | ACK], ids=["reset", "fin"])
    def test_the_connection_s_end_ends_it(self, flag: int) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        connection.say("left", announce(P1, 64500))
        connection.send("right", flag)
        assert told(trace_of(capture), capture.now) == {}

    def test_a_session_that_died_unseen_ends_when_the_next_one_speaks(self) -> None:
        """The link was cut: neither FIN nor NOTIFICATION on the wire. What the old session told is void."""
        capture = Capture()
        Connection(capture).establish().say("left", announce(P1, 64500))
        again = Connection(capture, port=40001, initial=(7, 9)).establish()
        assert told(trace_of(capture), capture.now) == {P1: "64500"}, "OPEN and KEEPALIVE may be of a collision"
        again.say("left", announce(P2, 64500))
        assert told(trace_of(capture), capture.now) == {P2: "64500"}

    def test_or_when_a_router_reported_it_down(self) -> None:
        capture = Capture()
        Connection(capture).establish().say("left", announce(P1, 64500))
        history = trace_of(capture).history("s4", "left", downs=[capture.now + 5])
        assert P1 in history.standing(capture.now + 4)
        assert history.standing(capture.now + 5) == {}

    def test_a_refused_collision_does_not_end_it(self) -> None:
        """RFC 4271 section 6.8: a second connection is closed with a Cease; the first one goes on."""
        capture = Capture()
        Connection(capture).establish().say("left", announce(P1, 64500))
        second = Connection(capture, ("right", "192.0.2.1"), ("left", "192.0.2.0"), port=42000).open()
        second.say("right", open_message(8075, "10.0.0.2"))
        second.say("left", notification(Notification(6, 7)))
        second.close()
        assert told(trace_of(capture), capture.now) == {P1: "64500"}

    def test_an_update_that_nobody_can_read_is_a_gap(self) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        connection.say("left", frame(MessageType.UPDATE, b"\xff\xff\0\0"))
        (gap,) = trace_of(capture).history("s4", "left").gaps
        assert "cannot be read" in gap.why


class TestGaps:
    def test_what_the_tap_lost_is_a_gap_of_every_session_of_that_node(self) -> None:
        capture = Capture()
        Connection(capture).establish()
        loss = pcapng.Loss(start=NOON, end=NOON + 5, interface=pcapng.Interface(name="right:lo"), frames=3)
        trace = trace_of(capture, loss)
        assert {(gap.session, gap.source) for gap in trace.gaps} == {("s4", "right"), ("s6", "right"), ("i4", "right")}
        assert trace.gaps_of("s4", "left") == ()
        assert [gap.why for gap in trace.gaps_of("s4", "right", NOON + 5, NOON + 9)] == ["the tap lost 3 frames"]
        assert trace.gaps_of("s4", "right", NOON + 6, NOON + 9) == ()

    def test_a_hole_that_the_peer_acknowledged_is_a_gap_of_that_session(self) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        connection.say("left", announce(P1, 64500), captured=False)
        connection.say("left", KEEPALIVE)
        (gap,) = trace_of(capture).gaps
        assert (gap.session, gap.source) == ("s4", "left")

    def test_between_two_taps_is_a_gap(self) -> None:
        capture = Capture()
        Connection(capture).establish()
        first, ended = capture.octets(), capture.now
        capture.frames.clear()
        capture.watched = dict.fromkeys(capture.watched, ended + SECOND)
        trace = Trace.from_pcapng([first, capture.octets()], MODEL)
        assert [(gap.at, gap.end, gap.why) for gap in trace.gaps_of("i4", "far")] == [
            (ended, ended + SECOND, "the tap was not running")
        ]

    def test_octets_that_are_no_message_are_shown(self) -> None:
        capture = Capture()
        Connection(capture).establish().send("left", PSH | ACK, b"hello, this is no BGP")
        (garbled,) = trace_of(capture).garbled
        assert (garbled.session, garbled.source) == ("s4", "left") and garbled.octets.startswith(b"hello")


def test_begin_is_when_the_tap_listened_and_end_what_the_reader_was_told() -> None:
    capture = Capture()
    Connection(capture).establish()
    trace = Trace.from_pcapng(capture.octets(), MODEL, until=capture.now + SECOND)
    assert (trace.begin, trace.end) == (capture.since, capture.now + SECOND)
    assert Trace.from_pcapng(capture.octets(), MODEL).end <= capture.now


def test_nothing_is_a_trace_too() -> None:
    trace = Trace()
    assert len(trace) == 0 and trace.announced("s4", "left", NOON) == {} and trace.gaps_of("s4") == ()
