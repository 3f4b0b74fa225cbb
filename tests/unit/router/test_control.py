"""The control socket by itself: framing, answers, refusals, waits and notices, with a router made of functions."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerlab.errors import RefusedError
from peerlab.evidence.events import RouterNotice
from peerlab.router.control import SOCKET, Control
from peerlab.router.loop import Loop
from peerlab.router.protocol import ReadSessions, Request, ShutSession, Subscribe, WaitFor


class Talk:
    """One client, and the loop that has to turn for it to get an answer."""

    def __init__(self, loop: Loop, path: Path) -> None:
        self.loop = loop
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.setblocking(False)
        self.inbound = b""

    def say(self, octets: bytes) -> None:
        self.socket.sendall(struct.pack("!I", len(octets)) + octets)

    def ask(self, request: Request) -> None:
        self.say(msgspec.json.encode(request))

    def hear(self) -> dict[str, Any]:
        deadline = time.monotonic() + 5
        while True:
            if len(self.inbound) >= 4:
                (length,) = struct.unpack_from("!I", self.inbound)
                if len(self.inbound) >= 4 + length:
                    frame, self.inbound = self.inbound[4 : 4 + length], self.inbound[4 + length :]
                    return dict(msgspec.json.decode(frame))
            assert time.monotonic() < deadline, "no answer came within 5 s"
            self.loop.turn(0.05)
            try:
                self.inbound += self.socket.recv(1 << 16)
            except BlockingIOError:
                continue


class Stub:
    """Answers with the request's name; refuses shutting; a wait holds when ``held`` says so."""

    def __init__(self) -> None:
        self.held = False

    def answer(self, request: Any) -> Any:
        if isinstance(request, ShutSession):
            if request.session == "broken":
                raise LookupError("a fault of ours")
            raise RefusedError("SessionUnknown", f"no session {request.session} here")
        return type(request).__name__

    def holds(self, wait: WaitFor) -> bool:
        if wait.what == "nonsense":
            raise RefusedError("ConditionUnknown", "cannot wait for nonsense")
        return self.held


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Control, Stub, Loop, Path]]:
    loop, stub = Loop(), Stub()
    folder = tmp_path / ("deep" * 40)  # longer than a Unix socket's path may be
    folder.mkdir()
    control = Control(loop, folder, stub.answer, stub.holds)
    loop.after_each_turn(lambda: control.look_at_waits() if control.has_waits else None)
    short = tmp_path / "s"
    short.symlink_to(folder)
    yield control, stub, loop, Path(f"{short}/{SOCKET}")
    control.close()
    assert not (folder / SOCKET).exists()


def test_every_request_is_answered_under_its_number(world: tuple[Control, Stub, Loop, Path]) -> None:
    talk = Talk(world[2], world[3])
    talk.ask(ReadSessions(id=7))
    talk.ask(ReadSessions(id=8))
    assert talk.hear() == {"id": 7, "answer": "ReadSessions"}
    assert talk.hear() == {"id": 8, "answer": "ReadSessions"}


@pytest.mark.parametrize(
    ("frame", "number", "words"),
    [
        (b'{"do":"shut-session","id":3,"session":"s"}', 3, "no session s here"),
        (b'{"do":"shut-session","id":3,"session":"broken"}', 3, "the router failed at this: LookupError"),
        (b'{"do":"fly","id":4}', 4, "not a request of this protocol"),
        (b'{"do":"read-rib","id":5}', 5, "missing required field `view`"),
        (b"{", 0, "not a request of this protocol"),
        (b"", 0, "not a request of this protocol"),
    ],
)
def test_what_cannot_be_done_is_refused_and_the_talk_goes_on(
    world: tuple[Control, Stub, Loop, Path], frame: bytes, number: int, words: str
) -> None:
    talk = Talk(world[2], world[3])
    talk.say(frame)
    refusal = talk.hear()
    assert refusal["id"] == number
    assert words in refusal["refused"]
    talk.ask(ReadSessions(id=9))
    assert talk.hear()["id"] == 9


def test_a_wait_is_answered_when_its_condition_holds(world: tuple[Control, Stub, Loop, Path]) -> None:
    control, stub, loop, path = world
    talk = Talk(loop, path)
    talk.ask(WaitFor(id=1, what="quiet", within=60.0))
    loop.turn(0.05)
    loop.turn(0)
    assert control.has_waits
    stub.held = True
    assert talk.hear() == {"id": 1, "answer": True}
    assert not control.has_waits


def test_a_wait_that_takes_too_long_is_answered_false(world: tuple[Control, Stub, Loop, Path]) -> None:
    talk = Talk(world[2], world[3])
    talk.ask(WaitFor(id=1, what="quiet", within=0.01))
    assert talk.hear() == {"id": 1, "answer": False}


def test_a_wait_for_nonsense_is_refused(world: tuple[Control, Stub, Loop, Path]) -> None:
    talk = Talk(world[2], world[3])
    talk.ask(WaitFor(id=1, what="nonsense", within=60.0))
    assert "cannot wait for nonsense" in talk.hear()["refused"]


def test_only_subscribers_hear_notices_in_order_and_after_their_answer(world: tuple[Control, Stub, Loop, Path]) -> None:
    control, _, loop, path = world
    listener, other = Talk(loop, path), Talk(loop, path)
    listener.ask(Subscribe(id=1))
    assert listener.hear()["answer"] == "Subscribe"
    other.ask(ReadSessions(id=2))
    for n in range(3):
        control.notice(RouterNotice(at=n, node="a", session="s", kind="k", text="t"))
    assert [listener.hear()["notice"]["at"] for _ in range(3)] == [0, 1, 2]
    assert other.hear()["id"] == 2
    assert other.inbound == b""


def test_a_client_that_vanishes_takes_its_waits_along(world: tuple[Control, Stub, Loop, Path]) -> None:
    control, _, loop, path = world
    talk, other = Talk(loop, path), Talk(loop, path)
    talk.ask(Subscribe(id=1))
    talk.hear()
    talk.ask(WaitFor(id=2, what="quiet", within=60.0))
    talk.socket.close()
    deadline = time.monotonic() + 5
    loop.turn(0.05)
    while control.has_waits:
        assert time.monotonic() < deadline
        loop.turn(0.05)
    control.notice(RouterNotice(at=1, node="a", session="s", kind="k", text="t"))
    other.ask(ReadSessions(id=3))
    assert other.hear()["id"] == 3


def test_a_client_that_does_not_read_holds_up_nobody(world: tuple[Control, Stub, Loop, Path]) -> None:
    control, _, loop, path = world
    deaf, other = Talk(loop, path), Talk(loop, path)
    deaf.ask(Subscribe(id=1))
    deaf.hear()
    for n in range(3000):
        control.notice(RouterNotice(at=n, node="a", session="s", kind="k", text="t" * 1000))
    other.ask(ReadSessions(id=3))
    assert other.hear()["id"] == 3
    assert [deaf.hear()["notice"]["at"] for _ in range(3000)] == list(range(3000))


def test_the_socket_of_a_dead_router_is_replaced(tmp_path: Path) -> None:
    loop, stub = Loop(), Stub()
    first = Control(loop, tmp_path, stub.answer, stub.holds)  # never closed: its process was killed
    second = Control(loop, tmp_path, stub.answer, stub.holds)
    talk = Talk(loop, tmp_path / SOCKET)
    talk.ask(ReadSessions(id=1))
    assert talk.hear()["id"] == 1
    second.close()
    first.close()
