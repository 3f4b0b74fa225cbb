"""A session's defences: the send hold timer (RFC 9687), and a second connection that waits (RFC 4271 section 6.8)."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from peerlab.bgp.attributes import Address
from peerlab.bgp.framing import MessageType, frame
from peerlab.bgp.wire import encode_open, make_open
from peerlab.errors import WireError
from peerlab.router import engine_session
from peerlab.router.engine_rival import Rival
from peerlab.router.engine_session import SendHold

OPEN = frame(MessageType.OPEN, encode_open(make_open(64511, Address("10.0.0.9"), 9, ())))


class Proto:
    """What a send hold timer looks at."""

    def __init__(self) -> None:
        self.sent = 0
        self.acknowledged = 0

    @property
    def is_delivering(self) -> bool:
        return self.sent > self.acknowledged

    def delivered(self) -> int:
        return self.acknowledged


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(engine_session, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


def test_time_runs_from_when_something_waits_and_anew_with_each_octet_that_gets_through(clock: Any) -> None:
    proto, timer = Proto(), SendHold(5.0)
    assert timer.expires(proto) is None  # type: ignore[arg-type]
    proto.sent = 100
    assert timer.expires(proto) == 105.0  # type: ignore[arg-type]
    clock.now = 103.0
    assert timer.expires(proto) == 105.0  # type: ignore[arg-type]
    proto.acknowledged = 1
    assert timer.expires(proto) == 108.0  # type: ignore[arg-type]


def test_an_idle_time_does_not_count(clock: Any) -> None:
    proto, timer = Proto(), SendHold(5.0)
    proto.sent = 10
    assert timer.expires(proto) == 105.0  # type: ignore[arg-type]
    proto.acknowledged = 10
    assert timer.expires(proto) is None  # type: ignore[arg-type]
    clock.now, proto.sent = 200.0, 20
    assert timer.expires(proto) == 205.0  # type: ignore[arg-type]


def rival() -> tuple[Rival, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return Rival(SimpleNamespace(io=ours)), theirs


def test_a_second_connection_tells_its_identifier_once_the_whole_open_has_come() -> None:
    waiting, peer = rival()
    assert waiting.identifier() is None
    peer.send(OPEN[:20])
    assert waiting.identifier() is None
    peer.send(OPEN[20:])
    assert waiting.identifier() == 0x0A000009
    assert waiting.octets == OPEN


def test_a_second_connection_that_is_closed_is_lost() -> None:
    waiting, peer = rival()
    peer.close()
    with pytest.raises(OSError, match="closed by the peer"):
        waiting.identifier()


def test_a_second_connection_has_to_begin_with_an_open() -> None:
    waiting, peer = rival()
    peer.send(frame(MessageType.KEEPALIVE, b""))
    with pytest.raises(WireError) as caught:
        waiting.identifier()
    assert (caught.value.code, caught.value.subcode) == (5, 1)
