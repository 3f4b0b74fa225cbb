"""The router's Unix socket: framed JSON requests in, answers and notices out. Clients come and go, the router stays."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from peerlab.errors import PeerlabError
from peerlab.router.loop import READ, WRITE, Loop, Timer
from peerlab.router.protocol import Request, Subscribe, WaitFor
from peerlab.runtime.framing import Channel, FrameTooLong

SOCKET = "router.sock"

_decode = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


class _Asked(msgspec.Struct, frozen=True):
    id: int = 0


class Wait:
    """A ``wait-for`` that has not been answered yet."""

    __slots__ = ("client", "request", "timer")

    def __init__(self, client: Client, request: WaitFor) -> None:
        self.client = client
        self.request = request
        self.timer: Timer | None = None


class Client:
    """One connection."""

    __slots__ = ("channel", "subscribed")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.subscribed = False


class Control:
    """Serves ``router.sock``. ``answer`` is called for every request but ``wait-for``, whose condition is ``holds``.

    Both may raise PeerlabError to refuse.
    """

    def __init__(
        self, loop: Loop, directory: Path, answer: Callable[[Any], Any], holds: Callable[[WaitFor], bool]
    ) -> None:
        """Raises OSError when the socket cannot be made. One left behind by a dead router is replaced."""
        self._loop = loop
        self._answer = answer
        self._holds = holds
        self._clients: dict[int, Client] = {}
        self._waits: list[Wait] = []
        self._path = directory / SOCKET
        self._path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        # By way of the directory's descriptor: a path in sockaddr_un may have 107 octets at most.
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self._listening.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.close(folder)
        self._listening.listen(64)
        loop.watch(self._listening.fileno(), READ, self._accept)

    def close(self) -> None:
        """Hang up on everybody."""
        for client in tuple(self._clients.values()):
            self._drop(client)
        self._loop.unwatch(self._listening.fileno())
        self._listening.close()
        self._path.unlink(missing_ok=True)

    def notice(self, event: msgspec.Struct) -> None:
        """Tell every subscriber."""
        subscribers = [client for client in self._clients.values() if client.subscribed]
        if subscribers:
            frame = _encode({"notice": event})
            for client in subscribers:
                self._send(client, frame)

    def look_at_waits(self) -> None:
        """Answer every ``wait-for`` whose condition holds now. To be called when a turn has left things settled."""
        for wait in tuple(self._waits):
            try:
                held = self._holds(wait.request)
            except PeerlabError as refusal:
                self._settle(wait, {"refused": str(refusal)})
                continue
            if held:
                self._settle(wait, {"answer": True})

    @property
    def has_waits(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waits)

    def _accept(self, _: int) -> None:
        while True:
            try:
                connection, _address = self._listening.accept()
            except OSError:
                return
            connection.setblocking(False)
            client = Client(Channel(connection))
            self._clients[connection.fileno()] = client
            self._loop.watch(connection.fileno(), READ, lambda events, client=client: self._ready(client, events))  # type: ignore[misc]

    def _ready(self, client: Client, events: int) -> None:
        if events & WRITE:
            self._flush(client)
        if events & ~WRITE and client.channel.fileno() in self._clients:
            try:
                frames = client.channel.feed()
            except FrameTooLong:
                frames = None
            if frames is None:
                self._drop(client)
                return
            for frame in frames:
                self._obey(client, frame)

    def _obey(self, client: Client, frame: bytes) -> None:
        try:
            request = _decode(frame)
        except msgspec.MsgspecError as error:
            self._reply(client, _number_of(frame), {"refused": f"not a request of this protocol: {error}"})
            return
        if isinstance(request, WaitFor):
            self._begin_wait(client, request)
            return
        try:
            answer = self._answer(request)
        except PeerlabError as refusal:
            self._reply(client, request.id, {"refused": str(refusal)})
            return
        except Exception as fault:  # a fault of ours in one request must not cost a router its sessions
            traceback.print_exc()
            self._reply(client, request.id, {"refused": f"the router failed at this: {fault!r}; see its log"})
            return
        self._reply(client, request.id, {"answer": answer})
        if isinstance(request, Subscribe):
            client.subscribed = True

    def _begin_wait(self, client: Client, request: WaitFor) -> None:
        wait = Wait(client, request)
        self._waits.append(wait)
        wait.timer = self._loop.after(request.within, lambda: self._settle(wait, {"answer": False}))

    def _settle(self, wait: Wait, answer: dict[str, Any]) -> None:
        if wait in self._waits:
            self._waits.remove(wait)
            if wait.timer is not None:
                wait.timer.cancel()
            self._reply(wait.client, wait.request.id, answer)

    def _reply(self, client: Client, number: int, answer: dict[str, Any]) -> None:
        self._send(client, _encode({"id": number, **answer}))

    def _send(self, client: Client, frame: bytes) -> None:
        if client.channel.fileno() not in self._clients:
            return
        client.channel.queue(frame)
        self._flush(client)

    def _flush(self, client: Client) -> None:
        descriptor = client.channel.fileno()
        try:
            done = client.channel.flush()
        except ConnectionError:
            self._drop(client)
            return
        if client.channel.overloaded:
            self._drop(client)
            return
        self._loop.watch(descriptor, READ if done else READ | WRITE, lambda events: self._ready(client, events))

    def _drop(self, client: Client) -> None:
        descriptor = client.channel.fileno()
        if self._clients.pop(descriptor, None) is None:
            return
        for wait in [wait for wait in self._waits if wait.client is client]:
            self._waits.remove(wait)
            if wait.timer is not None:
                wait.timer.cancel()
        self._loop.unwatch(descriptor)
        client.channel.close()


def _number_of(frame: bytes) -> int:
    """The id of a request that is otherwise unreadable; 0 when even that is."""
    try:
        return msgspec.json.decode(frame, type=_Asked).id
    except msgspec.MsgspecError:
        return 0
