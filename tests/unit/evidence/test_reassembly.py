"""Whatever TCP does to a stream, the same messages come out; what the capture lost is said, never passed over."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.tcp_talk import ACK, FIN, KEEPALIVE, LEFT4, PSH, RIGHT4, RST, SYN, Capture, Connection, announce, packet

from peerlab.bgp.wire import MessageType, frame
from peerlab.evidence.pcapng import Frame
from peerlab.evidence.reassembly import Fact, Lifecycle, Missing, Octets, Reassembler, Step, Unreadable
from peerlab.evidence.segment import segment_of

UPDATE = announce("203.0.113.0/24", 64500)


def facts_of(frames: list[Frame], *, settle: bool = True) -> list[Fact]:
    reassembler = Reassembler()
    facts: list[Fact] = []
    for one in frames:
        segment = segment_of(one)
        assert segment is not None
        facts += reassembler.feed(segment)
    return facts + (reassembler.settle() if settle else [])


def messages(facts: list[Fact]) -> list[bytes]:
    return [fact.octets for fact in facts if isinstance(fact, Octets)]


def steps(facts: list[Fact]) -> list[Step]:
    return [fact.step for fact in facts if isinstance(fact, Lifecycle)]


def missing(facts: list[Fact]) -> list[Missing]:
    return [fact for fact in facts if isinstance(fact, Missing)]


class TestLife:
    """Steps of a connection."""

    def test_opened_talked_and_closed(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.say("left", KEEPALIVE)
        connection.close()
        facts = facts_of(capture.frames)
        assert steps(facts) == [Step.ASKED, Step.OPENED, Step.FINISHED, Step.FINISHED]
        assert messages(facts) == [KEEPALIVE]
        assert missing(facts) == []

    def test_a_closed_port_refuses(self) -> None:
        capture = Capture()
        connection = Connection(capture)
        connection.send("left", SYN)
        connection.send("right", RST | ACK)
        assert steps(facts_of(capture.frames)) == [Step.ASKED, Step.REFUSED]

    def test_a_repeated_syn_is_the_same_connection(self) -> None:
        capture = Capture()
        connection = Connection(capture)
        connection.send("left", SYN)
        capture.add("left", capture.frames[0].octets)
        connection.send("right", SYN | ACK)
        assert steps(facts_of(capture.frames)) == [Step.ASKED, Step.OPENED]

    def test_a_reset_ends_it(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.send("right", RST)
        assert steps(facts_of(capture.frames)) == [Step.ASKED, Step.OPENED, Step.RESET]

    def test_the_same_ports_again_are_another_connection(self) -> None:
        capture = Capture()
        Connection(capture).open().say("left", KEEPALIVE)
        Connection(capture, initial=(77_000, 88_000)).open().say("left", UPDATE)
        facts = facts_of(capture.frames)
        assert steps(facts) == [Step.ASKED, Step.OPENED, Step.REPLACED, Step.ASKED, Step.OPENED]
        said = [(fact.connection, fact.octets) for fact in facts if isinstance(fact, Octets)]
        assert said == [(0, KEEPALIVE), (1, UPDATE)]
        assert missing(facts) == []

    def test_a_fin_before_the_data_it_ends_is_no_loss(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.send("left", PSH | ACK, KEEPALIVE)
        connection.send("left", FIN | ACK)
        connection.send("right")
        capture.frames[-3], capture.frames[-2] = capture.frames[-2], capture.frames[-3]
        facts = facts_of(capture.frames)
        assert messages(facts) == [KEEPALIVE] and missing(facts) == []

    def test_another_port_is_none_of_our_business(self) -> None:
        capture = Capture()
        capture.add("left", packet(LEFT4, RIGHT4, (40000, 80), 1, 1, ACK, KEEPALIVE))
        assert facts_of(capture.frames) == []


class TestLoss:
    """A hole is a loss only when the receiver has acknowledged what stood in it."""

    def test_acknowledged_and_not_captured_is_missing(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.say("left", KEEPALIVE)
        connection.say("left", UPDATE, captured=False)
        connection.say("left", KEEPALIVE)
        facts = facts_of(capture.frames)
        assert messages(facts) == [KEEPALIVE, KEEPALIVE], "reading goes on behind the hole"
        (gap,) = missing(facts)
        assert (gap.source, gap.why) == (LEFT4, f"the capture lost {len(UPDATE)} octets")
        assert gap.start < gap.end

    def test_the_last_message_missing_is_known_from_its_acknowledgement_alone(self) -> None:
        capture = Capture()
        Connection(capture).open().say("left", UPDATE, captured=False)
        assert len(missing(facts_of(capture.frames))) == 1

    def test_not_acknowledged_was_not_received_either(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.send("left", PSH | ACK, UPDATE, captured=False)
        connection.send("left", PSH | ACK, KEEPALIVE)
        facts = facts_of(capture.frames)
        assert messages(facts) == [] and missing(facts) == []

    def test_a_loss_is_not_declared_before_all_is_read(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.say("left", UPDATE, captured=False)
        assert missing(facts_of(capture.frames, settle=False)) == []

    def test_half_a_message_lost_takes_the_other_half_with_it(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.send("left", ACK, UPDATE[:30])
        connection.send("left", ACK, UPDATE[30:], captured=False)
        connection.say("left", KEEPALIVE)
        facts = facts_of(capture.frames)
        assert messages(facts) == [KEEPALIVE] and len(missing(facts)) == 1

    def test_a_capture_that_begins_in_the_middle_says_so(self) -> None:
        capture = Capture()
        connection = Connection(capture)
        connection.send("left", ACK, UPDATE[25:] + KEEPALIVE)
        facts = facts_of(capture.frames)
        assert messages(facts) == [KEEPALIVE]
        assert [gap.why for gap in missing(facts)] == ["the connection was running before the capture began"]

    def test_a_frame_cut_short_is_a_loss_too(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.say("left", UPDATE)
        data = capture.frames[-2]
        capture.frames[-2] = Frame(at=data.at, interface=data.interface, octets=data.octets[:80], length=data.length)
        facts = facts_of(capture.frames)
        assert messages(facts) == [] and len(missing(facts)) == 1

    def test_octets_without_a_header_are_shown_and_not_called_a_loss(self) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        connection.say("left", b"GET / HTTP/1.1\r\n\r\n\r\n")
        connection.say("left", KEEPALIVE)
        facts = facts_of(capture.frames)
        assert [fact.octets[:3] for fact in facts if isinstance(fact, Unreadable)] == [b"GET"]
        assert messages(facts) == [KEEPALIVE] and missing(facts) == []

    def test_an_unknown_type_is_a_message_all_the_same(self) -> None:
        capture = Capture()
        strange = KEEPALIVE[:18] + b"\x2a"
        Connection(capture).open().say("left", strange)
        assert messages(facts_of(capture.frames)) == [strange]


def test_the_time_of_a_message_is_that_of_the_frame_that_completed_it() -> None:
    capture = Capture()
    connection = Connection(capture).open()
    first = frame(MessageType.UPDATE, bytes(4))
    connection.send("left", ACK, first + UPDATE[:10])
    connection.send("left", ACK, UPDATE[10:])
    whole, rest = capture.frames[-2].at, capture.frames[-1].at
    said = [fact for fact in facts_of(capture.frames) if isinstance(fact, Octets)]
    assert [(fact.octets, fact.at) for fact in said] == [(first, whole), (UPDATE, rest)]


STREAM = b"".join(announce(f"203.0.113.{n}/32", 64500, 64501 + n) + KEEPALIVE for n in range(0, 40, 4))


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """An initial sequence number and pieces of the stream (start, end): every octet at least once, any order, any
    overlap, any repetition."""
    cuts = sorted({0, len(STREAM), *draw(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))})
    pieces = list(itertools.pairwise(cuts))
    extra = draw(st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(1, 400)), max_size=6))
    pieces += [(start, min(len(STREAM), start + length)) for start, length in extra]
    return draw(st.sampled_from([0, 1000, 2**32 - 1, 2**32 - 200, 2**31])), draw(st.permutations(pieces))


@given(deliveries())
def test_any_cutting_order_and_repetition_gives_the_same_messages(delivery: tuple[int, list[tuple[int, int]]]) -> None:
    initial, pieces = delivery
    capture = Capture()
    connection = Connection(capture, initial=(initial, 9)).open()
    start = (initial + 1) % 2**32
    for begin, end in pieces:
        capture.add("left", connection.segment("left", start + begin, ACK, STREAM[begin:end]))
    connection.next["left"] = (start + len(STREAM)) % 2**32
    connection.send("right")
    facts = facts_of(capture.frames)
    assert b"".join(messages(facts)) == STREAM
    assert len(messages(facts)) == 20
    assert missing(facts) == []


@pytest.mark.parametrize("length", [0, 13, 14, 33, 34, 47])
def test_a_frame_cut_inside_its_headers_is_no_segment(length: int) -> None:
    octets = packet(LEFT4, RIGHT4, (40000, 179), 1, 1, ACK)
    capture = Capture()
    capture.add("left", octets[:length])
    assert segment_of(capture.frames[0]) is None


def test_a_super_frame_without_a_total_length_is_as_long_as_the_frame() -> None:
    octets = bytearray(packet(LEFT4, RIGHT4, (40000, 179), 1, 1, ACK, bytes(60_000)))
    octets[16:18] = b"\0\0"
    capture = Capture()
    capture.add("left", bytes(octets))
    segment = segment_of(capture.frames[0])
    assert segment is not None and segment.length == len(segment.payload) == 60_000
