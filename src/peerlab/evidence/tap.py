"""The tap: every TCP segment of every BGP session of a lab, once, at the node that sent it, into one pcapng file.

One process for the whole lab. It runs inside the cell, holds one `Window` per node and waits on all of them at
once. Only frames that leave a node and carry one of its own addresses as source are kept, so a multihop session
through three routers is recorded once. Frames of different nodes may stand in the file some milliseconds out of
order; each carries the kernel's time of the moment it was sent, and readers sort by it.

What the kernel had to drop is written down as a loss of that node, so that nobody takes silence for proof.
"""

from __future__ import annotations

import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from peerlab.errors import RuntimeFailure
from peerlab.evidence import pcapng
from peerlab.evidence.capture_file import CaptureFile, CaptureStopped
from peerlab.evidence.own_address import OwnAddresses
from peerlab.evidence.packet_ring import BLOCK_AGE_MS, BLOCK_SIZE, Window, in_namespace_at, interface_names, mark_of
from peerlab.evidence.tap_request import (
    LONGEST_REQUEST,
    AddNodes,
    Captured,
    Flush,
    RemoveNodes,
    TapAnswer,
    TapConfig,
    TapRequest,
)

_FEWEST_BLOCKS = 4
_MOST_BLOCKS = 64
_READ_SIZE = 1 << 16
_EXHAUSTED_WITHIN = 4 * BLOCK_AGE_MS / 1000
"""Seconds after which the kernel has certainly handed over what a node sent last."""
_ANSWER_TIMEOUT = 5.0
"""Seconds that a client may leave an answer unread before it is dropped."""


_AT_ONCE = 64
"""Threads that open or close windows: the kernel lets each wait 14-27 ms, alone or together with others."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def _together(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """``work`` on every item, many at a time. All are through when this returns or raises."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(work, items))


class _NodeTap:
    """One node: its window, its addresses, and the losses told so far."""

    def __init__(self, name: str, blocks: int) -> None:
        self.name = name
        self.blocks = blocks
        self.window = Window(blocks)
        try:
            self.addresses = OwnAddresses()
        except OSError:
            self.window.close()
            raise
        self.interfaces = interface_names()
        self.since = self.checked = time.time_ns()
        self.lost = 0
        self.marked = 0

    def close(self) -> None:
        self.window.close()
        self.addresses.close()


class _Client:
    """One connection to the control socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.gone = False

    def answer(self, answer: TapAnswer) -> None:
        octets = msgspec.json.encode(answer)
        self.connection.sendall(len(octets).to_bytes(4, "big") + octets)


class Tap:
    """The loop. Raises RuntimeFailure when a namespace cannot be entered or the file cannot be written."""

    def __init__(self, config: TapConfig) -> None:
        self._file = CaptureFile(config.output)
        self._selector = selectors.DefaultSelector()
        self._nodes: dict[str, _NodeTap] = {}
        self._frames = 0
        self._token = 0
        self._flushing: list[tuple[_Client, int, int, set[str]]] = []
        self._stopping = False
        self._free_blocks = config.ring_octets // BLOCK_SIZE
        self._add(config.nodes)
        self._listener = self._listen(config.control)

    @staticmethod
    def _listen(path: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            Path(path).unlink(missing_ok=True)
            listener.bind(path)
        except OSError as failure:
            listener.close()
            raise RuntimeFailure(f"{path}: the tap cannot listen there: {failure.strerror}") from failure
        listener.listen()
        listener.setblocking(False)
        return listener

    def _add(self, nodes: dict[str, str]) -> None:
        """Listen in all of these namespaces, or in none of them."""
        share = self._free_blocks // 2 // max(1, len(nodes))
        blocks_each = min(_MOST_BLOCKS, max(_FEWEST_BLOCKS, share))
        for name in nodes:
            if name in self._nodes:
                raise RuntimeFailure(f"node {name}: the tap listens there already")
        opened: dict[str, _NodeTap] = {}

        def open_one(name: str) -> None:
            opened[name] = self._open(name, nodes[name], blocks_each)

        try:
            _together(open_one, nodes)
        except RuntimeFailure:
            _together(_NodeTap.close, opened.values())
            raise
        blocks: list[bytes] = []
        for tap in [opened[name] for name in nodes]:
            self._nodes[tap.name] = tap
            self._free_blocks -= blocks_each
            self._selector.register(tap.window, selectors.EVENT_READ, tap)
            for interface in tap.interfaces:
                self._file.number_of(tap.name, interface, tap.since, blocks)
        self._file.write(blocks)

    @staticmethod
    def _open(name: str, path: str, blocks: int) -> _NodeTap:
        try:
            return in_namespace_at(path, lambda: _NodeTap(name, blocks))
        except OSError as failure:
            raise RuntimeFailure(f"node {name}: the tap cannot listen in {path}: {failure.strerror}") from failure

    def _remove(self, names: tuple[str, ...]) -> None:
        gone = []
        for name in names:
            tap = self._nodes.get(name)
            if tap is None:
                continue
            self._exhaust(tap)
            self._selector.unregister(tap.window)
            del self._nodes[name]
            self._free_blocks += tap.blocks
            self._file.forget(name)
            gone.append(tap)
        _together(_NodeTap.close, gone)
        for _, _, _, waiting in self._flushing:
            waiting.difference_update(names)

    def run(self, wakeup: socket.socket | None = None) -> None:
        """Until ``wakeup`` becomes readable, or for ever."""
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        if wakeup is not None:
            self._selector.register(wakeup, selectors.EVENT_READ, wakeup)
        while not self._stopping:
            for key, _ in self._selector.select():
                # What this very round has let go of may still stand in its list.
                if isinstance(key.data, _NodeTap):
                    if self._nodes.get(key.data.name) is key.data:
                        self._drain(key.data)
                elif isinstance(key.data, _Client):
                    if not key.data.gone:
                        self._serve(key.data)
                elif key.data is wakeup and wakeup is not None:
                    self._stopping = True
                else:
                    self._accept()
            self._finish_flushes()
        for tap in self._nodes.values():
            self._exhaust(tap)

    def _exhaust(self, tap: _NodeTap) -> None:
        """All that a node has sent into the file, the block that the kernel is still filling included."""
        self._token += 1
        try:
            self._mark(tap)
        except RuntimeFailure as failure:
            print(f"tap: {failure}; its last {BLOCK_AGE_MS} ms may be missing", file=sys.stderr, flush=True)
        self._drain(tap)
        while tap.marked < self._token and select.select([tap.window], [], [], _EXHAUSTED_WITHIN)[0]:
            self._drain(tap)

    def _drain(self, tap: _NodeTap) -> None:
        """Everything a window has handed over into the file, with the losses on the way."""
        frames = list(tap.window.frames())
        tap.addresses.refresh()
        blocks: list[bytes] = []
        for at, index, octets, length in frames:
            token = mark_of(octets)
            if token is not None:
                tap.marked = max(tap.marked, token)
            elif tap.addresses.sent(octets):
                number = self._file.number_of(tap.name, tap.window.name_of(index), tap.since, blocks)
                blocks.append(pcapng.frame_block(number, at, octets, length))
                self._frames += 1
        lost = tap.window.lost()
        now = time.time_ns()
        if lost:
            tap.lost += lost
            number = self._file.number_of(tap.name, "lo", tap.since, blocks)
            blocks.append(pcapng.loss_block(number, tap.checked, now, lost))
        tap.checked = now
        if blocks:
            self._file.write(blocks)
        if lost and any(tap.name in waiting for _, _, _, waiting in self._flushing):
            self._mark(tap)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(_ANSWER_TIMEOUT)
        self._selector.register(connection, selectors.EVENT_READ, _Client(connection))

    def _serve(self, client: _Client) -> None:
        try:
            octets = client.connection.recv(_READ_SIZE)
        except OSError:
            octets = b""
        if not octets:
            self._drop(client)
            return
        client.received += octets
        while not client.gone and len(client.received) >= 4:
            length = int.from_bytes(client.received[:4], "big")
            if length > LONGEST_REQUEST:
                self._drop(client)
                return
            if len(client.received) < 4 + length:
                return
            request = bytes(client.received[4 : 4 + length])
            del client.received[: 4 + length]
            self._do(client, request)

    def _drop(self, client: _Client) -> None:
        """Ends a connection: its peer is gone, or does not keep to the protocol."""
        if not client.gone:
            client.gone = True
            self._selector.unregister(client.connection)
            client.connection.close()

    def _do(self, client: _Client, octets: bytes) -> None:
        try:
            request = msgspec.json.decode(octets, type=TapRequest)
        except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
            self._answer(client, TapAnswer(id=_number_of(octets), refused=f"no request of the tap: {mistake}"))
            return
        try:
            if isinstance(request, AddNodes):
                self._add(request.nodes)
            elif isinstance(request, RemoveNodes):
                self._remove(request.nodes)
            else:
                self._begin_flush(client, request)
                return
        except CaptureStopped:
            raise
        except RuntimeFailure as failure:
            self._answer(client, TapAnswer(id=request.id, refused=str(failure)))
            return
        self._answer(client, TapAnswer(id=request.id, answer=True))

    def _answer(self, client: _Client, answer: TapAnswer) -> None:
        try:
            client.answer(answer)
        except OSError:
            self._drop(client)

    def _begin_flush(self, client: _Client, request: Flush) -> None:
        self._token += 1
        for tap in self._nodes.values():
            self._drain(tap)
            self._mark(tap)
        self._flushing.append((client, request.id, self._token, set(self._nodes)))

    def _mark(self, tap: _NodeTap) -> None:
        try:
            tap.window.mark(self._token)
        except OSError as failure:
            raise RuntimeFailure(
                f"node {tap.name}: the capture cannot be flushed through its loopback interface: {failure.strerror}"
            ) from failure

    def _finish_flushes(self) -> None:
        """Answer the flushes whose marks have all come; mark again where the ring was too full to take a mark."""
        unfinished = []
        for client, number, token, waiting in self._flushing:
            if client.gone:
                continue
            for name in [name for name in waiting if self._nodes[name].marked >= token]:
                waiting.discard(name)
            if waiting:
                unfinished.append((client, number, token, waiting))
                continue
            lost = {name: tap.lost for name, tap in self._nodes.items() if tap.lost}
            self._answer(
                client,
                TapAnswer(id=number, answer=Captured(octets=self._file.octets, frames=self._frames, lost=lost)),
            )
        self._flushing = unfinished

    def close(self) -> None:
        """Lets go of every namespace."""
        _together(_NodeTap.close, self._nodes.values())
        self._listener.close()
        self._selector.close()


class _Numbered(msgspec.Struct):
    """As much of a request as is needed to refuse it."""

    id: int = 0


def _number_of(octets: bytes) -> int:
    try:
        return msgspec.json.decode(octets, type=_Numbered).id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0


def run_forked(argument: bytes) -> int:
    """Entry of the forked process: ``argument`` is a `TapConfig` in JSON. Ends on SIGTERM with 0, on failure with 4."""
    config = msgspec.json.decode(argument, type=TapConfig)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno())
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        tap = Tap(config)
        tap.run(ours)
        tap.close()
    except RuntimeFailure as failure:
        print(f"tap: {failure}", file=sys.stderr, flush=True)
        return failure.exit_code
    return 0
