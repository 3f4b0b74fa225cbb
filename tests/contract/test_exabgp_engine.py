"""What ``router/engine*.py`` relies on inside ExaBGP. A new release of ExaBGP that changes any of it fails here."""

from __future__ import annotations

import inspect
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import exabgp.reactor.peer
import msgspec
import pytest
from exabgp.bgp.fsm import FSM
from exabgp.bgp.message import _NOP, NOP, KeepAlive, Message, Notification, Notify, Open, Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.open.capability import Capabilities, Capability, Negotiated
from exabgp.bgp.message.open.holdtime import HoldTime
from exabgp.bgp.timer import ReceiveTimer, SendTimer
from exabgp.configuration.configuration import Configuration
from exabgp.logger import log
from exabgp.reactor.keepalive import KA
from exabgp.reactor.listener import Listener
from exabgp.reactor.network.connection import Connection
from exabgp.reactor.network.error import LostConnection, NetworkError
from exabgp.reactor.network.incoming import Incoming
from exabgp.reactor.network.outgoing import Outgoing
from exabgp.reactor.peer import ACTION, Peer
from exabgp.reactor.protocol import Protocol
from exabgp.version import release

from peerlab.bgp.attributes import Address, BgpRole, Family
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.open import decode_open
from peerlab.daemons import exabgp as daemon
from peerlab.errors import RefusedError, RuntimeFailure, Unsupported
from peerlab.router import engine
from peerlab.router.engine import SUPPORTED, Engine, Opens, check_release, warm_up
from peerlab.router.engine_protocol import RoleCapability, SessionProtocol, check_role
from peerlab.router.engine_session import STATES, HoldTimer, KeepaliveTimer, SessionPeer
from peerlab.router.loop import Loop

PEER = PeerConfig(
    session="s",
    peer="b",
    family=Family.IPV4,
    local_address=Address("127.0.0.1"),
    peer_address=Address("127.0.0.2"),
    local_as=4200000001,
    peer_as=64501,
    import_policy="deny-all",
    export_policy="deny-all",
    md5="key",
    gtsm=True,
    passive=True,
    local_role=BgpRole.CUSTOMER,
)
ROUTER = RouterConfig(
    node="a", asn=4200000001, router_id=Address("10.0.0.1"), directory="/nowhere", peers=(PEER,), policies={}
)


class Diary:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.opens: Opens | None = None
        self.bodies: list[bytes] = []

    def state_changed(self, session: str, before: str, after: str, reason: str) -> None:
        self.lines.append((before, after, reason))

    def session_up(self, session: str, opens: Opens) -> None:
        self.opens = opens

    def session_down(self, session: str, reason: str) -> None:
        self.lines.append(("down", reason))

    def updates_came(self, session: str, bodies: list[bytes]) -> None:
        self.bodies += bodies

    def refresh_came(self, session: str, body: bytes) -> None:
        self.lines.append(("refresh", body))

    def trouble(self, text: str) -> None:
        raise AssertionError(text)


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    warm_up(daemon.configuration(ROUTER))


@pytest.fixture
def neighbor(tmp_path: Path) -> Any:
    path = tmp_path / "exabgp.conf"
    path.write_text(daemon.configuration(ROUTER))
    parsed = Configuration([str(path)])
    assert parsed.reload() is True, parsed.error
    (found,) = parsed.neighbors.values()
    return found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Engine, Loop, Diary]]:
    loop, diary = Loop(), Diary()
    it = Engine(loop, diary)
    yield it, loop, diary
    it.stop()


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_this_release_is_one_that_was_looked_into() -> None:
    assert release in SUPPORTED
    check_release()


def test_an_unknown_release_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "release", "5.1.0")
    with pytest.raises(Unsupported, match=r"ExaBGP 5\.1\.0 is installed.*pip install 'exabgp==5\.0\.15'"):
        check_release()


def test_a_neighbor_has_what_the_engine_reads(neighbor: Any) -> None:
    assert neighbor["local-address"].top() == "127.0.0.1"
    assert neighbor["peer-address"].top() == "127.0.0.2"
    assert (neighbor["passive"], neighbor["listen"], neighbor["connect"]) == (True, 179, 0)
    assert (neighbor["md5-password"], neighbor["md5-base64"]) == ("key", False)
    assert (neighbor["incoming-ttl"], neighbor["outgoing-ttl"], neighbor["source-interface"]) == (255, 255, None)
    assert neighbor["manual-eor"] is True  # or ExaBGP would send End-of-RIB before our first UPDATE
    assert int(neighbor["hold-time"]) == 9
    assert neighbor["peer-address"].afi == neighbor["local-address"].afi
    assert callable(neighbor.rib.uncache)


def test_the_peer_takes_its_protocol_and_keepalive_from_its_module() -> None:
    """So one assignment replaces them (``take_over``)."""
    for name in ("Protocol", "KA"):
        assert name in exabgp.reactor.peer.__dict__
    assert "Protocol(self)" in inspect.getsource(Peer.handle_connection)
    assert "KA(self.proto.connection.session, self.proto)" in inspect.getsource(Peer._main)


@pytest.mark.parametrize(
    ("owner", "name", "wanted"),
    [
        (Peer, "__init__", ["self", "neighbor", "reactor"]),
        (Peer, "_close", ["self", "message", "error"]),
        (Peer, "_reset", ["self", "message", "error"]),
        (Peer, "_run", ["self"]),
        (Peer, "_establish", ["self"]),
        (Peer, "_main", ["self"]),
        (Peer, "_connect", ["self"]),
        (Peer, "_read_open", ["self"]),
        (Peer, "_send_ka", ["self"]),
        (Peer, "_read_ka", ["self"]),
        (Peer, "handle_connection", ["self", "connection"]),
        (Peer, "socket", ["self"]),
        (Protocol, "__init__", ["self", "peer"]),
        (Protocol, "accept", ["self", "incoming"]),
        (Protocol, "close", ["self", "reason"]),
        (Protocol, "write", ["self", "message", "negotiated"]),
        (Protocol, "send", ["self", "raw"]),
        (Protocol, "read_message", ["self"]),
        (Protocol, "read_keepalive", ["self"]),
        (Protocol, "new_open", ["self"]),
        (Protocol, "new_notification", ["self", "notification"]),
        (Protocol, "validate_open", ["self"]),
        (KA, "__init__", ["self", "session", "proto"]),
        (FSM, "change", ["self", "state"]),
        (ReceiveTimer, "__init__", ["self", "session", "holdtime", "code", "subcode", "message"]),
        (ReceiveTimer, "check_ka_timer", ["self", "message", "ignore"]),
        (Listener, "listen_on", ["self", "local_addr", "remote_addr", "port", "md5_password", "md5_base64", "ttl_in"]),
        (Listener, "close_unwanted", ["self", "wanted"]),
        (Outgoing, "_connect", ["self"]),
        (Incoming, "notification", ["self", "code", "subcode", "message"]),
        (Negotiated, "sent", ["self", "sent_open"]),
        (Negotiated, "received", ["self", "received_open"]),
    ],
    ids=lambda value: value.__name__ if inspect.isclass(value) else str(value),
)
def test_what_is_overridden_or_called_has_the_known_shape(owner: type, name: str, wanted: list[str]) -> None:
    assert parameters(getattr(owner, name)) == wanted


def test_every_state_has_its_rfc_name() -> None:
    assert set(STATES) == set(FSM.STATE.valid)


def test_every_way_out_of_a_session_closes_it_first() -> None:
    """``_close`` moves to Idle; the engine's ``session_down`` hangs on that."""
    assert "self.fsm.change(FSM.IDLE)" in inspect.getsource(Peer._close)
    assert "self._close(message, error)" in inspect.getsource(Peer._reset)


def test_a_notification_goes_out_when_one_is_thrown_into_a_session() -> None:
    """``SessionPeer.end`` throws Notify or NetworkError into the generator of ``_run``."""
    source = inspect.getsource(Peer._run)
    for caught in ("except NetworkError", "except Notify", "except Notification"):
        assert caught in source
    assert issubclass(LostConnection, NetworkError)
    assert Notify(6, 2, b"\x02hi").message().endswith(b"\x06\x02\x02hi")


def test_the_main_loop_takes_an_empty_update_for_life_and_a_nop_for_nothing() -> None:
    timer = ReceiveTimer(lambda: "s", 9, 4, 0)
    timer.last_read = 0
    timer.holdtime = 1 << 40
    timer.check_ka_timer(_NOP)
    assert timer.last_read == 0
    timer.check_ka_timer(Update([], b""))
    assert timer.last_read > 0
    assert Update([], b"").nlris == []
    assert _NOP.TYPE == NOP.TYPE != KeepAlive.TYPE


def test_timers_say_when_they_are_due() -> None:
    class Hold(int):
        def keepalive(self) -> int:
            return int(self) // 3

    send = SendTimer(lambda: "s", Hold(9))
    assert send.keepalive == 3
    assert not send.need_ka()
    send.last_sent -= 3
    assert send.need_ka()
    receive = ReceiveTimer(lambda: "s", 9, 4, 0)
    receive.last_read = int(time.time()) - 9
    receive.check_ka_timer(_NOP)  # not over, just reached
    receive.last_read -= 1
    with pytest.raises(Notify) as expired:
        receive.check_ka_timer(_NOP)
    assert (expired.value.code, expired.value.subcode) == (4, 0)


def test_our_hold_timer_is_exact_where_exabgp_counts_whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.9
    monkeypatch.setattr("peerlab.router.engine_session.time.time", lambda: now)
    timer = HoldTimer(lambda: "s", 3)
    now = 1003.89
    assert timer.check_ka_timer(_NOP)  # 2.99 s of silence
    now = 1003.9
    with pytest.raises(Notify) as expired:
        timer.check_ka_timer(_NOP)
    assert (expired.value.code, expired.value.subcode) == (4, 0)
    assert timer.check_ka_timer(KeepAlive())  # whatever was read starts it anew, late as it is
    now = 1006.89
    assert timer.check_ka_timer(_NOP)
    off = HoldTimer(lambda: "s", 0)
    now = 9999.0
    assert off.check_ka_timer(_NOP)
    off.check_ka(KeepAlive())  # one may come with the OPEN
    with pytest.raises(Notify):
        off.check_ka(KeepAlive())


def test_a_late_keepalive_is_followed_by_the_next_a_full_interval_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole seconds would send the next one at 12.0, 0.1 s less than RFC 4271 section 4.4 asks for."""
    clock = [10.0]
    monkeypatch.setattr("peerlab.router.engine_session.time.time", lambda: clock[0])
    timer = KeepaliveTimer(lambda: "s", HoldTime(3))
    sent = []
    for clock[0] in (10.9, 11.1, 12.0, 12.05, 12.1, 12.5, 13.1):
        if timer.need_ka():
            sent.append(clock[0])
    assert sent == [11.1, 12.1, 13.1]
    assert not KeepaliveTimer(lambda: "s", HoldTime(0)).need_ka(), "hold time 0 means no KEEPALIVEs"


def test_role_is_still_unknown_to_exabgp_itself() -> None:
    """When ExaBGP learns capability 9, ours must go."""
    assert Capability.registered_capability[9] is RoleCapability
    assert "ROLE" not in vars(Capability.CODE)


def test_our_open_has_the_capabilities_that_are_wanted_and_no_others(neighbor: Any) -> None:
    class Owner:
        def state_changed(self, *_: Any) -> None: ...
        def descriptor_closes(self, *_: Any) -> None: ...

    class Collector(SessionProtocol):
        def enqueue(self, messages: Any) -> None: ...

    peer = SessionPeer(neighbor, None, PEER, Owner())  # type: ignore[arg-type]
    protocol = Collector(peer)
    list(protocol.new_open())
    sent = decode_open(protocol.sent_open)
    assert (sent.asn, sent.two_octet_as, sent.hold_time, sent.router_id) == (4200000001, 23456, 9, "10.0.0.1")
    assert sent.families() == (Family.IPV4,)
    assert sent.role is BgpRole.CUSTOMER
    names = sorted(capability.name() for capability in sent.capabilities)
    assert names == [
        "bgp role",
        "enhanced route refresh",
        "extended message",
        "four octet as",
        "multiprotocol",
        "route refresh",
    ]
    read = Message.unpack(Open.ID, protocol.sent_open, Direction.IN, protocol.negotiated)
    assert isinstance(read.capabilities, Capabilities)
    assert read.capabilities[9].value == b"\x03"
    check_role(protocol.sent_open, BgpRole.PROVIDER, strict=True)


def test_the_listener_keeps_its_sockets_and_what_it_accepted_where_they_are_looked_for(
    running: tuple[Engine, Loop, Diary],
) -> None:
    listener = Listener(running[0])
    assert listener._sockets == listener._accepted == {}
    assert listener.incoming() is False
    source = inspect.getsource(Listener._listen)
    assert "self._sockets[sock] = (local_ip.top(), local_port, peer_ip.top(), use_md5)" in source
    for asked in ("reactor.peers()", "reactor.neighbor(key)", "reactor.handle_connection(key, connection)"):
        assert asked in inspect.getsource(Listener.new_connections)


def test_a_connection_is_its_socket_and_its_largest_message() -> None:
    left, right = socket.socketpair()
    connection = Connection.__new__(Connection)
    connection.io, connection.peer, connection.local = left, "p", "l"
    connection.direction, connection.id = "incoming", 1
    assert connection.fd() == left.fileno()
    connection.close()
    assert connection.fd() == -1
    right.close()
    assert "self.msg_size = ExtendedMessage.INITIAL_SIZE" in inspect.getsource(Connection.__init__)


def test_the_log_is_replaceable_where_everybody_finds_it() -> None:
    """Every module of ExaBGP shares this class; its errors must reach people, its chatter nobody."""
    assert exabgp.reactor.peer.log is log
    log.warning(lambda: "never evaluated", source="x")
    assert Notification(6, 2, b"").code == 6


def test_a_session_without_a_neighbor_in_the_file_is_refused(
    tmp_path: Path, running: tuple[Engine, Loop, Diary]
) -> None:
    path = tmp_path / "exabgp.conf"
    path.write_text(daemon.configuration(msgspec.structs.replace(ROUTER, peers=())))
    words = r"no neighbor 127\.0\.0\.2 with local-address 127\.0\.0\.1 for session s"
    with pytest.raises(RuntimeFailure, match=words):
        running[0].configure(path, [PEER])
    with pytest.raises(RefusedError, match="no session s here"):
        running[0].state("s")


def test_a_file_that_exabgp_does_not_take_is_refused_with_its_words(
    tmp_path: Path, running: tuple[Engine, Loop, Diary]
) -> None:
    path = tmp_path / "exabgp.conf"
    path.write_text("neighbor 192.0.2.1 { router-id nonsense; }\n")
    with pytest.raises(RuntimeFailure, match=r"ExaBGP refuses .*exabgp\.conf"):
        running[0].configure(path, [PEER])


def test_action_values_are_distinct() -> None:
    assert len({ACTION.NOW, ACTION.LATER, ACTION.CLOSE}) == 3
