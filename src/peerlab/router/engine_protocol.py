"""ExaBGP's view of one TCP connection, with reading and writing taken over.

ExaBGP reads and writes one message at a time and decodes each in depth: 23 k prefixes/s in, 1-4 k/s out (measured,
docs/performance.md). Here a turn reads up to 256 KiB, hands the bodies of UPDATEs over undecoded, and ExaBGP sees every
other message. What is written waits in a buffer of its own session, so a peer that does not read holds up nobody.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from exabgp.bgp.message import _NOP, KeepAlive, Message, Notify, Open, Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.open import Version
from exabgp.bgp.message.open.capability import Capabilities, Capability
from exabgp.reactor.network.error import LostConnection
from exabgp.reactor.network.outgoing import Outgoing
from exabgp.reactor.protocol import Protocol

from peerlab.bgp import framing
from peerlab.bgp.attributes import BgpRole
from peerlab.bgp.capability import ROLE_VALUES, CapabilityCode, graceful_restart
from peerlab.bgp.framing import MessageType
from peerlab.bgp.notification import decode_notification
from peerlab.bgp.open import ROLE_MISMATCH, decode_open, roles_agree
from peerlab.errors import WireError

READ_OCTETS = 256 << 10
WRITE_OCTETS = 256 << 10

_ACTIVITY = Update([], b"")
"""What ExaBGP is shown for UPDATEs and ROUTE-REFRESHes that went to the speaker: life, and nothing to do."""

_KEEPALIVE = KeepAlive()


@Capability.register(CapabilityCode.BGP_ROLE)
class RoleCapability(Capability):  # type: ignore[misc]
    """Capability 9, which ExaBGP 5.0 does not have (RFC 9234 section 4.1)."""

    ID = CapabilityCode.BGP_ROLE

    def __init__(self, value: bytes = b"") -> None:
        self.value = value

    def extract(self) -> list[bytes]:
        """The values to put into the OPEN, as ExaBGP asks for them."""
        return [self.value]

    @staticmethod
    def unpack_capability(instance: RoleCapability, data: bytes, capability: int) -> RoleCapability:
        """Keeps the last value; differing ones are found in the OPEN's octets by ``check_role``."""
        instance.value = bytes(data)
        return instance

    def __str__(self) -> str:
        return f"BGP role {self.value.hex()}"

    def json(self) -> str:
        """ExaBGP's JSON form."""
        return f'{{ "name": "role", "value": "{self.value.hex()}" }}'


class RestartCapability(RoleCapability):
    """Capability 64 as our own octets: ExaBGP's cannot tell one family's F bit from a restart's R bit."""

    ID = CapabilityCode.GRACEFUL_RESTART


def check_role(received_open: bytes, local: BgpRole | None, strict: bool) -> None:
    """RFC 9234 section 4.2. Raises WireError 2/11 for roles that do not fit, or strictly for silence."""
    remote = decode_open(received_open).role
    if local is None:
        return
    if remote is None:
        if strict:
            raise WireError(2, ROLE_MISMATCH, what=f"the peer announces no role, role {local} demands one")
    elif not roles_agree(local, remote):
        raise WireError(2, ROLE_MISMATCH, what=f"roles do not fit: local {local}, peer {remote}")


class SessionProtocol(Protocol):  # type: ignore[misc]
    """One connection of a session. ``peer`` is the ``SessionPeer`` that it belongs to."""

    def __init__(self, peer: Any) -> None:
        super().__init__(peer)
        self.sent_open = b""
        self.received_open = b""
        self.keepalive_timer: Any = None
        self.lost: str = ""
        self._frames: deque[tuple[int, bytes]] = deque()
        self._partial = b""
        self._outbox: deque[bytes] = deque()
        self._chunk = b""
        self._chunk_sent = 0
        self._written = 0

    def close(self, reason: str = "") -> None:
        """Lets the loop forget the socket before it is closed: its number may be another's a moment later."""
        self.peer.descriptor_closes()
        super().close(reason)

    def new_open(self) -> Iterator[Any]:
        """ExaBGP's OPEN, with the role where one is configured and without its host name."""
        neighbor = self.neighbor
        capabilities = Capabilities().new(neighbor, False, local_as=neighbor["local-as"])
        capabilities.pop(Capability.CODE.HOSTNAME, None)
        role = self.peer.config.local_role
        if role is not None:
            capabilities[CapabilityCode.BGP_ROLE] = RoleCapability(bytes([ROLE_VALUES[role]]))
        restart = self.peer.config.graceful_restart
        if restart is not None:
            kept = self.peer.owner.has_restarted()
            octets = graceful_restart({self.peer.config.family: kept}, seconds=restart.restart_time, restarted=kept)
            capabilities[CapabilityCode.GRACEFUL_RESTART] = RestartCapability(octets.value)
        message = Open(Version(4), neighbor["local-as"], neighbor["hold-time"], neighbor["router-id"], capabilities)
        raw = message.message()
        self.sent_open = raw[framing.HEADER_LENGTH :]
        self.enqueue([raw])
        yield message

    def validate_open(self) -> None:
        """ExaBGP's checks of the two OPENs, then the roles."""
        super().validate_open()
        try:
            check_role(self.received_open, self.peer.config.local_role, self.peer.config.role_strict)
        except WireError as error:
            raise self._notify(error) from error

    def _notify(self, error: WireError) -> Notify:
        self.peer.remark = str(error)
        return Notify(error.code, error.subcode, error.data)

    # reading

    def feed(self, octets: bytes) -> None:
        """Octets that the peer has sent before this protocol took the connection over."""
        frames, consumed = framing.split(octets)
        self._frames.extend(frames)
        self._partial = octets[consumed:]

    def read_message(self) -> Iterator[Any]:
        """Every message that has come, for ExaBGP; a NOP when there is none. Never ends by itself."""
        while True:
            self.peer.raise_ending()
            if not self._frames and not self._receive():
                if self.lost:
                    raise LostConnection(self.lost)
                yield _NOP
                continue
            if self._frames[0][0] == MessageType.UPDATE and self.peer.is_established:
                self._deliver_updates()
                self.peer.raise_ending()
                yield _ACTIVITY
            else:
                yield self._understand(*self._frames.popleft())

    def _receive(self) -> bool:
        """Reads once. True when at least one whole message is there now."""
        try:
            block = self.connection.io.recv(READ_OCTETS)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            raise LostConnection(f"TCP connection lost: {error.strerror}") from None
        if not block:
            raise LostConnection("TCP connection closed by the peer")
        if self._partial:
            block = self._partial + block
        try:
            frames, consumed = framing.split(block, self.connection.msg_size)
        except WireError as error:
            raise self._notify(error) from error
        self._partial = block[consumed:]
        self._frames.extend(frames)
        return bool(frames)

    def _deliver_updates(self) -> None:
        bodies = []
        frames = self._frames
        while frames and frames[0][0] == MessageType.UPDATE:
            bodies.append(frames.popleft()[1])
        self.peer.updates_came(bodies)

    def _understand(self, kind: int, body: bytes) -> Any:
        """The message as ExaBGP knows it. Raises ExaBGP's Notify (ours) or Notification (the peer's)."""
        established = self.peer.is_established
        try:
            if kind == MessageType.NOTIFICATION:
                self.peer.notification_came(decode_notification(body))
                raise Message.unpack(kind, body, Direction.IN, self.negotiated)
            if kind == MessageType.KEEPALIVE:
                return _KEEPALIVE
            if kind == MessageType.OPEN:
                if established:
                    raise WireError(5, 3, what="the peer sent an OPEN in Established")
                decode_open(body)
                self.received_open = body
                return Message.unpack(kind, body, Direction.IN, self.negotiated)
            if kind == MessageType.ROUTE_REFRESH and established:
                self.peer.refresh_came(body)
        except WireError as error:
            raise self._notify(error) from error
        return _ACTIVITY

    # writing

    @property
    def is_writing(self) -> bool:
        """Whether octets wait for room in the socket."""
        return bool(self._outbox) or self._chunk_sent < len(self._chunk)

    def delivered(self) -> int:
        """Octets that the peer's TCP has acknowledged so far."""
        return self._written - self._unacknowledged()

    @property
    def is_delivering(self) -> bool:
        """Whether the peer's TCP still has to acknowledge anything."""
        return self.is_writing or self._unacknowledged() > 0

    def _unacknowledged(self) -> int:
        """Octets in the kernel's send queue (SIOCOUTQ, tcp(7))."""
        try:
            answer = fcntl.ioctl(self.connection.io.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, AttributeError, ValueError):
            return 0
        return int(struct.unpack("=i", answer)[0])

    def abort(self) -> None:
        """Make the coming close a reset: what waits in the kernel for a peer that takes nothing is thrown away."""
        self.connection.io.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))

    def write(self, message: Any, negotiated: Any = None) -> Iterator[bool]:
        """ExaBGP's way to write a message: queued behind what is there, never waits."""
        self.enqueue([message.message(negotiated)])
        yield from ()

    def send(self, raw: bytes) -> Iterator[bool]:
        """ExaBGP's way to write an UPDATE; the speaker writes ours, so this only keeps the order."""
        self.enqueue([raw])
        yield from ()

    def new_notification(self, notification: Any) -> Iterator[Any]:
        """The last word: what waits is dropped but for the rest of a message that was begun."""
        rest = self._chunk[self._chunk_sent : self._boundary()]
        self._outbox.clear()
        self._chunk, self._chunk_sent = rest + notification.message(), 0
        self.flush()
        yield notification

    def _boundary(self) -> int:
        """End of the message in the chunk that is partly sent, as an offset; the sent offset itself if none is."""
        at = 0
        while at < self._chunk_sent:
            at += int.from_bytes(self._chunk[at + 16 : at + 18], "big")
        return at

    def enqueue(self, messages: Iterable[bytes]) -> None:
        """Write whole messages as far as the socket takes them; the rest goes when it is writable."""
        self._outbox.extend(messages)
        self.flush()

    def flush(self) -> None:
        """Write what waits, until the socket is full. A lost connection shows at the next read."""
        try:
            while self.is_writing:
                if self._chunk_sent == len(self._chunk):
                    self._next_chunk()
                taken = self.connection.io.send(memoryview(self._chunk)[self._chunk_sent :])
                self._chunk_sent += taken
                self._written += taken
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, AttributeError) as error:
            self._outbox.clear()
            self._chunk, self._chunk_sent = b"", 0
            self.lost = f"TCP connection lost: {getattr(error, 'strerror', 'closed')}"
        else:
            self._chunk, self._chunk_sent = b"", 0

    def _next_chunk(self) -> None:
        octets = 0
        parts = []
        while self._outbox and octets < WRITE_OCTETS:
            parts.append(self._outbox.popleft())
            octets += len(parts[-1])
        self._chunk, self._chunk_sent = b"".join(parts), 0


def start_connection(peer: Any) -> Any:
    """A socket of ExaBGP's making that is on its way to the peer. Raises ExaBGP's NetworkError when it cannot be."""
    neighbor = peer.neighbor
    connection = Outgoing(
        neighbor["peer-address"].afi,
        neighbor["peer-address"].top(),
        neighbor["local-address"].top(),
        neighbor["connect"] or 179,
        neighbor["md5-password"],
        neighbor["md5-base64"],
        neighbor["outgoing-ttl"],
        neighbor["source-interface"],
        incoming_ttl=neighbor["incoming-ttl"],
    )
    refused = connection._connect()
    if refused is not None:
        raise refused
    connection.io.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def connection_progress(connection: Any) -> bool:
    """Whether the socket is connected by now; False while it is on its way. Raises OSError when it was refused."""
    error = connection.io.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
    try:
        connection.io.getpeername()
    except OSError:
        return False
    return True
