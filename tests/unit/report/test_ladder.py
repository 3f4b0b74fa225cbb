"""The ladder says in one line what a message says, in a hundred columns, and chooses what was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.tcp_talk import (
    KEEPALIVE,
    LEFT6,
    MODEL,
    NOON,
    RIGHT6,
    Capture,
    Connection,
    announce,
    attributes,
    open_message,
    withdraw,
)

from peerlab.bgp.attributes import BgpRole, Family, Prefix
from peerlab.bgp.capability import bgp_role, multiprotocol
from peerlab.bgp.wire import MessageType, Notification, encode_notification, encode_updates, end_of_rib, frame, shutdown
from peerlab.evidence.pcapng import Interface, Loss
from peerlab.evidence.trace import Trace
from peerlab.report.ladder import Row, render, rows


def notification(message: Notification) -> bytes:
    return frame(MessageType.NOTIFICATION, encode_notification(message))


SUMMARIES = [
    # message, its line
    (KEEPALIVE, "KEEPALIVE"),
    (end_of_rib(Family.IPV6), "UPDATE End-of-RIB ipv6"),
    (
        announce("203.0.113.0/24", 64500, 64501, communities=("8075:8007", "65535:65281"), med=10),
        "UPDATE announce 203.0.113.0/24 path 64500 64501 via 192.0.2.0 med 10 comm NO_EXPORT,8075:8007",
    ),
    (
        announce("203.0.113.0/24", 64500, otc=64500, large_communities=("8075:1:2",)),
        "UPDATE announce 203.0.113.0/24 path 64500 via 192.0.2.0 otc 64500 large 8075:1:2",
    ),
    (withdraw("203.0.113.0/24"), "UPDATE withdraw 203.0.113.0/24"),
    (frame(MessageType.UPDATE, bytes(4)), "UPDATE End-of-RIB ipv4"),
    (
        notification(shutdown("maintenance\x07 at 02:00")),
        'NOTIFICATION 6/2 Cease/Administrative Shutdown: "maintenance\N{REPLACEMENT CHARACTER} at 02:00"',
    ),
    (notification(Notification(2, 2)), "NOTIFICATION 2/2 OPEN Message Error/Bad Peer AS"),
    (notification(Notification(4, 0)), "NOTIFICATION 4/0 Hold Timer Expired"),
    (
        notification(Notification(6, 9, bytes([6, 2]))),
        "NOTIFICATION 6/9 Cease/Hard Reset, carrying 6/2 Cease/Administrative Shutdown",
    ),
    (frame(MessageType.ROUTE_REFRESH, bytes([0, 1, 0, 1])), "ROUTE-REFRESH ipv4 request"),
    (frame(MessageType.ROUTE_REFRESH, bytes([0, 25, 0, 65])), "ROUTE-REFRESH AFI 25 SAFI 65 request"),
    (
        open_message(8075, "10.0.0.2", (multiprotocol(Family.IPV4), bgp_role(BgpRole.PROVIDER))),
        "OPEN AS 8075 hold 9 id 10.0.0.2 families ipv4 role provider",
    ),
    (frame(MessageType.UPDATE, b"\xff\xff\0\0"), "UPDATE malformed, NOTIFICATION 3/1: "),
    (KEEPALIVE[:18] + b"\x2a", "type 42 malformed, NOTIFICATION 1/3: message type 42 is unknown"),
]


@pytest.mark.parametrize(("message", "line"), SUMMARIES, ids=lambda value: value[:30] if isinstance(value, str) else "")
def test_what_a_message_says_in_one_line(message: bytes, line: str) -> None:
    capture = Capture()
    connection = Connection(capture).open()
    connection.say("left", message)
    (row,) = [row for row in rows(Trace.from_pcapng(capture.octets(), MODEL)) if row.kind != "TCP"]
    assert f"{row.kind} {row.summary}".rstrip().startswith(line)
    assert (row.source, row.destination, row.session, row.message) == ("left", "right", "s4", message.hex())


def test_well_known_communities_have_their_names_and_many_prefixes_are_counted() -> None:
    prefixes = [Prefix(f"203.0.113.{n}/32") for n in range(9)]
    capture = Capture()
    (message,) = encode_updates(attributes(64500), prefixes, Family.IPV4, ebgp=True)
    Connection(capture).open().say("left", message)
    text = rows(Trace.from_pcapng(capture.octets(), MODEL))[-1].summary
    assert text.startswith("announce 203.0.113.0/32, 203.0.113.1/32, 203.0.113.2/32 and 6 more path 64500")


@pytest.fixture(scope="module")
def trace() -> Trace:
    capture = Capture()
    connection = Connection(capture).establish()
    connection.say("left", announce("203.0.113.0/24", 64500))
    connection.say("left", b"no BGP at all, this here")
    six = Connection(capture, ("left", LEFT6), ("right", RIGHT6)).establish(Family.IPV6)
    six.say("right", announce("2001:db8:f::/48", 8075, next_hop=RIGHT6))
    connection.close()
    loss = Loss(start=NOON, end=NOON + 10**9, interface=Interface(name="right:lo"), frames=2)
    return Trace.from_pcapng(capture.octets([loss]), MODEL)


@pytest.mark.parametrize(
    ("chosen", "kinds"),
    [
        ({"session": "s4", "kind": MessageType.UPDATE}, {"UPDATE", "GAP"}),
        ({"session": "s4"}, {"TCP", "OPEN", "KEEPALIVE", "UPDATE", "GARBLED", "GAP"}),
        ({"session": "s4", "keepalives": False}, {"TCP", "OPEN", "UPDATE", "GARBLED", "GAP"}),
        ({"session": "s4", "kind": MessageType.KEEPALIVE, "keepalives": False}, {"KEEPALIVE", "GAP"}),
        ({"prefix": Prefix("203.0.113.0/28")}, {"UPDATE", "GAP"}),  # a covering prefix counts
        ({"prefix": Prefix("192.88.99.0/24"), "node": "left"}, set()),
        ({"node": "far"}, set()),
        ({"since": NOON + 10**12}, set()),
    ],
)
def test_choosing(trace: Trace, chosen: dict[str, object], kinds: set[str]) -> None:
    found = rows(trace, **chosen)  # type: ignore[arg-type]
    assert {row.kind for row in found} == kinds
    assert list(found) == sorted(found, key=lambda row: row.at)
    if "session" in chosen:
        assert {row.session for row in found} == {chosen["session"]}


def test_a_whole_picture() -> None:
    capture = Capture()
    connection = Connection(capture).open()
    connection.say("right", notification(Notification(6, 5)))
    assert render(rows(Trace.from_pcapng(capture.octets(), MODEL))) == "\n".join(
        [
            "22:13:20.000001  left → right  TCP connects",
            "22:13:20.000002  right → left  TCP accepts the connection",
            "22:13:20.000004  right → left  NOTIFICATION 6/5 Cease/Connection Rejected",
        ]
    )


def test_nothing_is_an_empty_picture() -> None:
    assert render(()) == ""


names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=32)
lines = st.builds(
    Row,
    at=st.integers(NOON, NOON + 10**12),
    source=names,
    destination=names,
    session=st.just(""),
    kind=st.sampled_from(["OPEN", "NOTIFICATION"]),
    summary=st.text("ab c", max_size=400),
)


@given(st.lists(lines, max_size=5), st.booleans())
def test_no_line_is_longer_than_asked_and_no_word_is_lost(ladder: list[Row], utc: bool) -> None:
    text = render(ladder, width=120, utc=utc)
    assert all(len(line) <= 120 for line in text.splitlines())
    for row in ladder:
        for letter in "abc":
            assert sum(line[17:].count(letter) for line in text.splitlines()) >= row.summary.count(letter)
