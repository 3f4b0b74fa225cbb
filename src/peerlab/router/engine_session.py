"""One session inside ExaBGP: its peer, made to sleep and wake by events instead of being asked all the time.

ExaBGP keeps what makes a BGP speaker: the order of messages, the FSM, OPEN negotiation, hold and keepalive timers,
NOTIFICATIONs. What is replaced is how it waits (polling), how it connects (a refused connection is taken for an open
one, then waits for seconds) and the order in which it walks the FSM's states.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any, Protocol

import exabgp.reactor.peer
from exabgp.bgp.fsm import FSM
from exabgp.bgp.message import _NOP, NOP, KeepAlive, Notify
from exabgp.bgp.timer import ReceiveTimer, SendTimer
from exabgp.environment import getenv
from exabgp.reactor.keepalive import KA
from exabgp.reactor.network.error import LostConnection, NetworkError
from exabgp.reactor.network.tcp import set_minimum_ttl, set_sending_ttl
from exabgp.reactor.peer import ACTION, Peer

from peerlab.bgp.config import PeerConfig
from peerlab.bgp.notification import (
    ADMINISTRATIVE_SHUTDOWN,
    CEASE,
    COLLISION,
    HOLD_TIMER_EXPIRED,
    PEER_DECONFIGURED,
    Notification,
)
from peerlab.errors import WireError
from peerlab.router.engine_protocol import SessionProtocol, connection_progress, start_connection
from peerlab.router.engine_rival import Rival
from peerlab.router.loop import READ, WRITE

RETRY_SECONDS = 0.075
"""From a refused connection to the next attempt. A laboratory's ConnectRetryTime: routers start within a second."""
RETRY_SECONDS_MOST = 0.5
"""Most that a session which keeps failing before Established waits (DampPeerOscillations, RFC 4271 section 8.1)."""
HELD_OFF_SECONDS = 2.0
"""Wait after the peer shut or de-configured the session (Cease/2, Cease/3): nobody is there to answer for a while."""
ATTEMPT_SECONDS = (0.1, 0.2, 0.4, 1.0)
"""How long the first, second … attempt to connect may take before it is given up for a new one.

A refusal cannot be seen on a session with MD5 (the RST has no signature), so the first attempts are short.
"""
DEFAULT_HOP_LIMIT = 64
SEND_HOLD_SECONDS = 480.0
"""Default of RFC 9687 section 6: the greater of eight minutes and twice the hold time."""
OPEN_SECONDS = 10
"""How long a peer may take from TCP to its OPEN."""

STATES = {
    FSM.IDLE: "Idle",
    FSM.CONNECT: "Connect",
    FSM.ACTIVE: "Active",
    FSM.OPENSENT: "OpenSent",
    FSM.OPENCONFIRM: "OpenConfirm",
    FSM.ESTABLISHED: "Established",
}
"""ExaBGP's states under the names of RFC 4271 section 8.2.2."""


class Owner(Protocol):
    """What a session tells the engine. All calls come out of ``SessionPeer.run``."""

    def state_changed(self, peer: SessionPeer, before: str, after: str) -> None: ...
    def updates_came(self, peer: SessionPeer, bodies: list[bytes]) -> None: ...
    def refresh_came(self, peer: SessionPeer, body: bytes) -> None: ...
    def descriptor_closes(self, peer: SessionPeer) -> None: ...
    def rival_came(self, peer: SessionPeer, descriptor: int) -> None: ...
    def rival_goes(self, peer: SessionPeer, descriptor: int) -> None: ...
    def refuse(self, steps: Any) -> None: ...
    def has_restarted(self) -> bool: ...


class _State(FSM):  # type: ignore[misc]
    """ExaBGP's FSM, telling of each change."""

    def change(self, state: Any) -> _State:
        before, after = STATES[self.state], STATES[state]
        super().change(state)
        if before != after:
            self.peer.owner.state_changed(self.peer, before, after)
        return self


class KeepaliveTimer(SendTimer):  # type: ignore[misc]
    """ExaBGP's keepalive timer, to the millisecond: in whole seconds, one that was sent late is followed by the next
    in less than a second, which is more often than RFC 4271 section 4.4 allows.
    """

    def __init__(self, session: Any, hold_time: Any) -> None:
        super().__init__(session, hold_time)
        self.last_sent: float = time.time()

    def need_ka(self) -> bool:
        """Whether it is time for a KEEPALIVE; the next one is due a full interval after this one."""
        now = time.time()
        if not self.keepalive or now < self.last_sent + self.keepalive:
            return False
        self.last_sent = now
        return True


class _Keepalive(KA):  # type: ignore[misc]
    """ExaBGP's keepalive, findable: its timer says when the session must run next."""

    def __init__(self, session: Any, proto: SessionProtocol) -> None:
        super().__init__(session, proto)
        proto.keepalive_timer = self.send_timer = KeepaliveTimer(session, proto.negotiated.holdtime)


class HoldTimer(ReceiveTimer):  # type: ignore[misc]
    """ExaBGP's hold timer, to the millisecond: in whole seconds a silent peer is noticed up to a second late."""

    def __init__(self, session: Any, hold_time: int) -> None:
        super().__init__(session, hold_time, HOLD_TIMER_EXPIRED, 0)
        self.last_read: float = time.time()

    def check_ka_timer(self, message: Any = _NOP, ignore: int = NOP.TYPE) -> bool:
        """Any message starts the time anew (RFC 4271 section 8.2.2); raises ExaBGP's Notify when it is up."""
        if self.holdtime:
            now = time.time()
            if ignore != message.TYPE:
                self.last_read = now
            elif now >= self.last_read + self.holdtime:
                raise Notify(self.code, self.subcode, self.message)
            return True
        return bool(message.TYPE != KeepAlive.TYPE)


class SendHold:
    """The SendHoldTimer (RFC 9687 section 4): how long nothing has got through to the peer.

    What counts is what the peer's TCP acknowledges, not what the own kernel takes, which holds hours of KEEPALIVEs.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._delivered = -1
        self._since = 0.0

    def expires(self, proto: SessionProtocol) -> float | None:
        """When the time is up if nothing more gets through: wall clock seconds; None while nothing waits."""
        if not proto.is_delivering:
            self._delivered = -1
            return None
        delivered = proto.delivered()
        if delivered != self._delivered:
            self._delivered, self._since = delivered, time.time()
        return self._since + self.seconds


class _Retry:
    """When to try again, instead of ExaBGP's 0, 1, 2 … 60 seconds."""

    def __init__(self) -> None:
        self._seconds = RETRY_SECONDS
        self._not_before = 0.0
        self.due = 0.0

    def reset(self) -> None:
        """Try at once, and be quick about it from now on."""
        self._seconds = RETRY_SECONDS
        self._not_before = self.due = 0.0

    def hold_off(self) -> None:
        """The peer has said that it does not want the session now."""
        self._not_before = time.time() + HELD_OFF_SECONDS

    def increase(self) -> None:
        """The session failed: wait, and longer the next time."""
        self.due = max(time.time() + self._seconds, self._not_before)
        self._seconds = min(2 * self._seconds, RETRY_SECONDS_MOST)

    def backoff(self) -> bool:
        """Whether it is too early."""
        return time.time() < self.due


def take_over() -> None:
    """Make ExaBGP's peer use our protocol and keepalive. Process-wide; done once."""
    exabgp.reactor.peer.Protocol = SessionProtocol
    exabgp.reactor.peer.KA = _Keepalive
    getenv().bgp.openwait = OPEN_SECONDS


class SessionPeer(Peer):  # type: ignore[misc]
    """ExaBGP's peer of one session."""

    def __init__(self, neighbor: Any, reactor: Any, config: PeerConfig, owner: Owner) -> None:
        self.owner = owner
        self.config = config
        self.shut = False
        self.link_lost = ""
        self.remark = ""
        """Why the session ends, in words that ExaBGP does not have."""
        self.reason = ""
        """Why the session ended last, in words."""
        self.ended_silently = False
        """Whether the last end of TCP came without a NOTIFICATION of either side, its carrier still there."""
        self.obstacle = ""
        """Why there is no TCP connection yet, in words."""
        self._ending: BaseException | None = None
        self._connecting: Any = None
        self._rival: Rival | None = None
        self._send_hold = SendHold(config.send_hold_time or max(SEND_HOLD_SECONDS, 2 * config.hold_time))
        self._wake = 0.0
        self.generator: Any = None
        self.recv_timer: Any
        super().__init__(neighbor, reactor)
        self.fsm = _State(self, FSM.IDLE)
        self._delay = _Retry()

    # what the protocol asks and tells

    @property
    def is_established(self) -> bool:
        """Whether the FSM is in Established."""
        return bool(self.fsm == FSM.ESTABLISHED)

    @property
    def state(self) -> str:
        """The FSM's state under RFC 4271's name."""
        return STATES[self.fsm.state]

    def raise_ending(self) -> None:
        """Ends the session here when that was asked for while it was running."""
        if self._ending is not None:
            ending, self._ending = self._ending, None
            raise ending

    def updates_came(self, bodies: list[bytes]) -> None:
        """Bodies of UPDATEs, in order."""
        self.owner.updates_came(self, bodies)

    def refresh_came(self, body: bytes) -> None:
        """The body of a ROUTE-REFRESH."""
        self.owner.refresh_came(self, body)

    def notification_came(self, notification: Notification) -> None:
        """The peer ends the session."""
        self.remark = f"NOTIFICATION received: {_words(notification)}"
        if notification.code == CEASE and notification.subcode in (ADMINISTRATIVE_SHUTDOWN, PEER_DECONFIGURED):
            self._delay.hold_off()

    def descriptor_closes(self) -> None:
        """The session's socket is about to be closed."""
        self.owner.descriptor_closes(self)

    # what the engine asks

    def descriptor(self) -> int:
        """The socket to watch, -1 for none."""
        if self._connecting is not None:
            return int(self._connecting.fd())
        return int(self.socket())

    def interest(self) -> int:
        """The events that its socket is watched for."""
        if self._connecting is not None:
            return WRITE
        return READ | WRITE if self.proto is not None and self.proto.is_writing else READ

    def due(self) -> float | None:
        """When the session must run if nothing happens before: wall clock seconds, None for never."""
        if self.generator is None:
            return None if self._may_not_start() else self._delay.due
        if self.proto is None:
            return self._wake or None
        timers = []
        if self.recv_timer is not None and self.recv_timer.holdtime:
            timers.append(self.recv_timer.last_read + self.recv_timer.holdtime)
        if self.fsm == FSM.OPENSENT:
            timers = [self._wake]
        keepalive = self.proto.keepalive_timer
        if keepalive is not None and keepalive.keepalive:
            timers.append(keepalive.last_sent + keepalive.keepalive)
        if self.is_established:
            expires = self._send_hold.expires(self.proto)
            if expires is not None:
                timers.append(expires)
        return min(timers) if timers else None

    def _may_not_start(self) -> bool:
        return bool(self.shut or self.link_lost)

    def end(self, ending: BaseException, remark: str) -> None:
        """End the session: with ExaBGP's Notify, or with its NetworkError for an end without a word.

        Takes effect before this returns, except while the session itself is running: then when it is done.
        """
        self.remark = remark
        if self.generator is None or self.generator is False:
            self._abandon_connecting()
            return
        if self.generator.gi_running:
            self._ending = ending
            return
        generator = self.generator
        try:
            generator.throw(ending)
            for _ in generator:
                continue
        except StopIteration:
            pass
        except (NetworkError, Notify) as unheard:  # it had not begun yet, so nobody was there to catch
            self._reset(remark, unheard)
        self._abandon_connecting()
        self.generator = None

    def flush(self) -> None:
        """The socket has room again."""
        if self.proto is not None:
            self.proto.flush()

    # what ExaBGP does, in events

    def run(self) -> int:
        """One step. ACTION.NOW asks for the next one soon, ACTION.LATER for one when something happened."""
        if self.is_established:
            self._check_send_hold()
        if self.generator is None:
            if self._may_not_start() or (self.proto is None and self._delay.backoff()):
                return int(ACTION.LATER)
            self.generator = self._run()
        try:
            return int(next(self.generator))
        except StopIteration:
            self.generator = None
            return int(ACTION.LATER)

    def _check_send_hold(self) -> None:
        """RFC 9687 section 4.3: without a NOTIFICATION, which could not get through either."""
        expires = self._send_hold.expires(self.proto)
        if expires is not None and time.time() >= expires:
            words = f"send hold timer expired: nothing got through to the peer for {self._send_hold.seconds:g} s"
            self.proto.abort()
            self.end(LostConnection(words), words)

    def handle_connection(self, connection: Any) -> Any:
        """An incoming connection: ExaBGP's rules, and none while the session is shut or its link is down.

        Beside a connection on which an OPEN was sent it waits for its own OPEN (RFC 4271 section 6.8).
        """
        if self._may_not_start():
            return connection.notification(6, 5, "")
        if self.config.gtsm:
            set_minimum_ttl(connection.io, connection.afi, connection.peer, self.neighbor["incoming-ttl"])
        else:  # the listening socket may speak for others that do
            set_sending_ttl(connection.io, connection.afi, connection.peer, DEFAULT_HOP_LIMIT)
        self._abandon_connecting()
        if self.proto is not None and self.fsm.state in (FSM.OPENSENT, FSM.OPENCONFIRM) and self._rival is None:
            self._rival = Rival(connection)
            self.owner.rival_came(self, self._rival.descriptor())
            return None
        return super().handle_connection(connection)

    def rival_ready(self) -> None:
        """The second connection has something to read: with the peer's OPEN it is decided which one stays."""
        rival = self._rival
        if rival is None:
            return
        try:
            remote = rival.identifier()
        except OSError:
            self._drop_rival()
            return
        except WireError as error:
            self._drop_rival(error.code, error.subcode)
            return
        if remote is None:
            return
        own = int.from_bytes(self.neighbor["router-id"].pack(), "big")
        if self.is_established or remote < own:
            self._drop_rival(CEASE, COLLISION)
        else:  # closing the first connection hands the session to the second
            self.end(Notify(CEASE, COLLISION, b""), "the peer has the higher identifier, its connection stays")

    def _drop_rival(self, code: int = 0, subcode: int = 0) -> None:
        rival, self._rival = self._rival, None
        if rival is None:
            return
        self.owner.rival_goes(self, rival.descriptor())
        if code:
            self.owner.refuse(rival.connection.notification(code, subcode, ""))
        rival.connection.close()

    def _adopt_rival(self) -> None:
        """The session's own connection is gone: the one that waited takes its place."""
        rival, self._rival = self._rival, None
        if rival is None:
            return
        self.owner.rival_goes(self, rival.descriptor())
        self.proto = SessionProtocol(self).accept(rival.connection)
        self.proto.feed(rival.octets)
        self._delay.reset()

    def _connect(self) -> Iterator[int]:
        """Attempts until one succeeds. The FSM stays in Connect (RFC 4271 section 8.2.2, event 9)."""
        for patience in itertools.chain(ATTEMPT_SECONDS, itertools.repeat(ATTEMPT_SECONDS[-1])):
            try:
                self._connecting = start_connection(self)
                self._wake = time.time() + patience
                while not connection_progress(self._connecting):
                    if time.time() >= self._wake:
                        raise OSError(0, "no answer")
                    yield ACTION.LATER
            except (OSError, NetworkError) as error:
                self.obstacle = f"no TCP connection: {_innermost(error)}"
                self._abandon_connecting()
                self._wake = time.time() + RETRY_SECONDS
                while time.time() < self._wake:
                    yield ACTION.LATER
            else:
                self.proto = SessionProtocol(self)
                self.proto.connection, self._connecting = self._connecting, None
                return

    def _abandon_connecting(self) -> None:
        if self._connecting is not None:
            self.descriptor_closes()
            connection, self._connecting = self._connecting, None
            connection.close()

    def _establish(self) -> Iterator[int]:
        """From Idle to Established, in the order of RFC 4271 section 8.2.2."""
        self._wake = 0.0
        if self.proto is None:
            if self.neighbor["passive"]:
                self.fsm.change(FSM.ACTIVE)
                while self.proto is None:
                    yield ACTION.LATER
            else:
                self.fsm.change(FSM.CONNECT)
                yield from self._connect()
        self.obstacle = ""
        for sent in self.proto.new_open():
            self.proto.negotiated.sent(sent)
        self._wake = time.time() + OPEN_SECONDS + 1
        self.fsm.change(FSM.OPENSENT)
        received = None
        for received in self._read_open():
            if received in ACTION.ALL:
                yield received
        self.proto.negotiated.received(received)
        self.proto.connection.msg_size = self.proto.negotiated.msg_size
        self.proto.validate_open()
        self.fsm.change(FSM.OPENCONFIRM)
        self.recv_timer = HoldTimer(self.proto.connection.session, self.proto.negotiated.holdtime)
        yield from self._send_ka()
        yield from self._read_ka()
        self.fsm.change(FSM.ESTABLISHED)
        self.stats["complete"] = time.time()
        yield ACTION.NOW

    def _read_ka(self) -> Iterator[int]:
        """Waits for the peer's KEEPALIVE without spinning."""
        for message in self.proto.read_keepalive():
            if self.recv_timer is not None:
                self.recv_timer.check_ka_timer(message)
            if message.TYPE == NOP.TYPE:
                yield ACTION.LATER

    def _close(self, message: str = "", error: Any = "") -> None:
        """Everything that ends a connection comes through here."""
        if isinstance(error, Notify):
            why = f" ({self.remark})" if self.remark else ""
            self.reason = f"NOTIFICATION sent: {_words(Notification(error.code, error.subcode, error.data))}{why}"
        else:
            self.reason = self.remark or str(error) or message
        self.ended_silently = isinstance(error, LostConnection) and not self.remark
        self.remark = self.obstacle = ""
        self._abandon_connecting()
        self.recv_timer = None
        super()._close(message, error)
        self._ending = None
        if self._may_not_start():
            self._drop_rival()
        else:
            self._adopt_rival()


def _innermost(error: Exception) -> str:
    """The kernel's words of an error that ExaBGP has wrapped: ``… ([Errno ENETUNREACH] [Errno 101] Network is …)``."""
    words = error.strerror if isinstance(error, OSError) else str(error).rpartition("] ")[2].rstrip(")")
    return words or str(error)


def _words(notification: Notification) -> str:
    """A NOTIFICATION for people: its name, and what the one who sent it had to say (RFC 9003)."""
    text = notification.communication()
    return notification.name() + (f' "{text}"' if text else "")
