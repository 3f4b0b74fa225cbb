"""The supervisor: small and dull. One loop, one request at a time, an answer to each, and it does not die.

It runs as pid 1 of the cell (`peerlab.runtime.enclosure` brings it there), stays in the host's network
namespace, and holds what the lab is made of. When it ends, by whatever means, the kernel ends the lab.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from peerlab.errors import PeerlabError, RefusedError, RuntimeFailure, TimedOut
from peerlab.runtime import language
from peerlab.runtime.base import CELL, ForkSpec, Impairment, ProcessExit, RuntimeState, ZygoteSpec, check_names
from peerlab.runtime.container import Container
from peerlab.runtime.delay import DelayBank
from peerlab.runtime.delay_line import ENTRY as DELAY_LINE
from peerlab.runtime.fabric import Fabric
from peerlab.runtime.framing import Channel
from peerlab.runtime.impairment import Impairer
from peerlab.runtime.kernel import in_namespace
from peerlab.runtime.language import Answer, Call, ZygoteWord, as_fault, number_of
from peerlab.runtime.launch import Birth, Home, Launcher, Zygote, clear_directory, node_directory
from peerlab.runtime.netlink import Netlink
from peerlab.runtime.rendezvous import Rendezvous, try_connect

__all__ = ["SCAPY_TOOLBOX", "TOOLBOX", "Supervisor", "log_line"]

TASK_ENTRY = "peerlab.runtime.task:run_task"
_PROBES = ("delay_line", "probe", "stream", "transport", "frames", "monitor", "knock", "bonding")
TOOLBOX = ZygoteSpec("toolbox", tuple(f"peerlab.runtime.{each}" for each in _PROBES), TASK_ENTRY)
SCAPY_TOOLBOX = ZygoteSpec("scapy-toolbox", ("peerlab.runtime.linktest",), TASK_ENTRY)
"""Imports scapy, so it starts at the first link test, or when somebody prepares it before."""
PEER_CREDENTIALS = struct.Struct("=iii")
_LISTEN_BACKLOG = 64
CONTAINER_DESCRIPTORS = 4
"""Network, mount and UTS namespace of a container, and the pipe that it waits on."""


class _LaterError(Exception):
    """Raised by a handler that will answer when something else has happened."""


def log_line(text: str) -> None:
    """One line to the supervisor's log. A full disk costs the line, not the lab."""
    try:
        sys.stderr.write(f"{time.time():.3f} {text}\n")
        sys.stderr.flush()
    except OSError:
        return


class _Client:
    def __init__(self, connection: socket.socket) -> None:
        self.channel = Channel(connection)


class Supervisor:
    """The loop. ``listener`` is bound and will listen from `serve` on."""

    def __init__(self, lab: str, listener: socket.socket) -> None:
        self.lab = lab
        self.listener = listener
        self.fabric = Fabric()
        self.impairer = Impairer(self.fabric, DelayBank(self._start_delay_line))
        self.launcher = Launcher(self._announce, log_line)
        self.rendezvous = Rendezvous()
        self.clients: set[_Client] = set()
        self._selector = selectors.DefaultSelector()
        self._running = True
        self._tasks = 0
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._encode = msgspec.json.Encoder().encode
        self._calls = msgspec.json.Decoder(Call)
        self._words = msgspec.json.Decoder(ZygoteWord)
        self._handlers: dict[type, Callable[[_Client, int, Any, list[int]], Any]] = {
            language.Create: self._create,
            language.Adopt: self._adopt,
            language.Delete: self._delete,
            language.SetAddresses: self._set_addresses,
            language.SetRoutes: self._set_routes,
            language.SetLink: self._set_link,
            language.Impair: self._impair,
            language.Clear: self._clear,
            language.Observe: self._observe,
            language.NamespaceSocket: self._namespace_socket,
            language.Spawn: self._spawn,
            language.Prepare: self._prepare,
            language.Fork: self._fork,
            language.ForkAll: self._fork_all,
            language.Signal: self._signal,
            language.UnixConnect: self._unix_connect,
            language.StartTask: self._start_task,
            language.PutFiles: self._put_files,
            language.ReadFile: self._read_file,
            language.Shutdown: self._shutdown,
        }

    def serve(self, ready: Callable[[], None]) -> None:
        """Listens, calls ``ready`` once that is true, and obeys until told to end."""
        woken, waker = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._told_to_end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        node_directory(CELL).mkdir()
        self._watch_zygote(self.launcher.prepare(TOOLBOX))
        self.listener.setblocking(False)
        self.listener.listen(_LISTEN_BACKLOG)
        self._selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self.rendezvous, selectors.EVENT_READ, lambda _: self.rendezvous.appeared())
        self._selector.register(woken, selectors.EVENT_READ, lambda _: self._wake(woken))
        ready()
        while self._running:
            for key, events in self._selector.select(self.rendezvous.tick()):
                try:
                    key.data(events)
                except Exception:
                    log_line(traceback.format_exc())
            self._flush_all()

    def _told_to_end(self, *_: object) -> None:
        self._running = False

    def _wake(self, woken: socket.socket) -> None:
        woken.recv(4096)
        self.launcher.reap()

    # --- clients and zygotes ---------------------------------------------------------------------------

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self.listener.accept()
        except OSError as failure:
            if failure.errno in (errno.EMFILE, errno.ENFILE):
                self._turn_away()
            elif failure.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                log_line(f"cannot accept a client: {failure}")
            return
        _, user, _ = PEER_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if user != os.getuid():
            log_line(f"a client of user {user} was turned away")
            connection.close()
            return
        connection.setblocking(False)
        client = _Client(connection)
        self.clients.add(client)
        self._selector.register(client.channel, selectors.EVENT_READ, lambda _: self._hear_client(client))

    def _turn_away(self) -> None:
        """Out of descriptors: accepts the waiting client on a spare one and closes it, or it would wait for ever
        and keep this loop awake."""
        log_line("a client is turned away: no descriptors are left")
        os.close(self._spare)
        with contextlib.suppress(OSError):
            self.listener.accept()[0].close()
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def _drop(self, client: _Client) -> None:
        if client not in self.clients:
            return
        self.clients.discard(client)
        self._selector.unregister(client.channel)
        client.channel.close()
        self.launcher.kill_owned(client)

    def _hear_client(self, client: _Client) -> None:
        try:
            frames = client.channel.feed()
        except RuntimeFailure as failure:
            log_line(f"a client is dropped: {failure}")
            frames = None
        if frames is None:
            self._drop(client)
            return
        for frame in frames:
            self._obey(client, frame)

    def _obey(self, client: _Client, frame: bytes) -> None:
        try:
            call = self._calls.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError) as failure:
            number = number_of(frame)
            self._answer(client, Answer(number, fault=as_fault(RefusedError("BadRequest", str(failure)))))
            return
        descriptors: list[int] = []
        handed: list[int] = []
        try:
            descriptors = client.channel.take_descriptors(call.descriptors)
            value = self._handlers[type(call.ask)](client, call.id, call.ask, descriptors)
            if isinstance(value, _Handover):
                handed = value.descriptors
                value = value.value
            answer = Answer(call.id, msgspec.Raw(self._encode(value)), descriptors=len(handed))
        except _LaterError:
            return
        except Exception as failure:
            if not isinstance(failure, PeerlabError | OSError):
                log_line(traceback.format_exc())
            answer = Answer(call.id, fault=as_fault(failure))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._answer(client, answer, handed)

    def _answer(self, client: _Client, answer: Answer, descriptors: list[int] | None = None) -> None:
        if client not in self.clients:
            for descriptor in descriptors or ():
                os.close(descriptor)
            return
        client.channel.queue(self._encode(answer), descriptors or ())

    def _announce(self, ended: ProcessExit) -> None:
        for client in self.clients:
            self._answer(client, Answer(exit=ended))

    def _flush_all(self) -> None:
        for client in list(self.clients):
            self._flush(client.channel, lambda client=client: self._drop(client))  # type: ignore[misc]
        for zygote in list(self.launcher.zygotes.values()):
            self._flush(zygote.channel, lambda zygote=zygote: self._lose(zygote, "it does not listen"))  # type: ignore[misc]
        if (line := self.impairer.delays.channel) is not None:
            self._flush(line, self._lose_delay_line)

    def _flush(self, channel: Channel, gone: Callable[[], None]) -> None:
        try:
            empty = channel.flush()
        except OSError:
            gone()
            return
        if channel.overloaded:
            log_line("a client does not read its answers and is dropped")
            gone()
            return
        key = self._selector.get_key(channel)
        wanted = selectors.EVENT_READ if empty else selectors.EVENT_READ | selectors.EVENT_WRITE
        if key.events != wanted:
            self._selector.modify(channel, wanted, key.data)

    def _watch_zygote(self, zygote: Zygote) -> None:
        try:
            self._selector.get_key(zygote.channel)
        except KeyError:
            self._selector.register(zygote.channel, selectors.EVENT_READ, lambda _: self._hear_zygote(zygote))

    def _lose(self, zygote: Zygote, reason: str) -> None:
        self._selector.unregister(zygote.channel)
        self.launcher.lose(zygote, reason)

    def _hear_zygote(self, zygote: Zygote) -> None:
        frames = zygote.channel.feed()
        if frames is None:
            self._lose(zygote, "it closed its socket")
            return
        for frame in frames:
            self.launcher.hear(zygote, self._words.decode(frame))

    def _start_delay_line(self) -> Channel:
        zygote = self.launcher.prepare(TOOLBOX)
        self._watch_zygote(zygote)
        channel = self.launcher.converse(zygote, Home(CELL, self.fabric.node(CELL).descriptor), "delay", DELAY_LINE)
        self._selector.register(channel, selectors.EVENT_READ, self._hear_delay_line)
        return channel

    def _hear_delay_line(self, events: int) -> None:
        """It says nothing, so a readable socket is its end; a writable one is flushed in its turn."""
        if events & selectors.EVENT_READ:
            self._lose_delay_line()

    def _lose_delay_line(self) -> None:
        log_line("the delay line is gone, and with it every delay that it made")
        if (line := self.impairer.delays.channel) is not None:
            self._selector.unregister(line)
            self.impairer.lose_delays()

    # --- wiring ----------------------------------------------------------------------------------------

    def _create(self, client: _Client, number: int, ask: language.Create, _: list[int]) -> None:
        check_names(ask.nodes, ask.links)
        for node in ask.nodes:
            node_directory(node.name).mkdir(exist_ok=True)
        self.fabric.create(ask.nodes, ask.links, ask.routes)

    def _adopt(self, client: _Client, number: int, ask: language.Adopt, descriptors: list[int]) -> None:
        check_names([ask.node], [])
        if len(descriptors) != CONTAINER_DESCRIPTORS:
            raise RefusedError("BadRequest", f"{ask.node.name} came without its container's descriptors")
        place = node_directory(ask.node.name)
        network, mounts, names, hold = (os.dup(descriptor) for descriptor in descriptors)
        self.fabric.adopt(ask.node, network, Container(mounts, names, hold, str(place)))
        if place.is_symlink() or place.exists():
            clear_directory(place)
        place.symlink_to(ask.directory)

    def _delete(self, client: _Client, number: int, ask: language.Delete, _: list[int]) -> None:
        for node in ask.nodes:
            self.fabric.node(node)
        for node in ask.nodes:
            self.launcher.kill_node(node)
        self.fabric.delete(ask.nodes, ask.links)

    def _set_addresses(self, client: _Client, number: int, ask: language.SetAddresses, _: list[int]) -> None:
        self.fabric.set_addresses(ask.node, ask.interface, ask.add, ask.remove)

    def _set_routes(self, client: _Client, number: int, ask: language.SetRoutes, _: list[int]) -> None:
        self.fabric.set_routes(ask.add, ask.remove)

    def _set_link(self, client: _Client, number: int, ask: language.SetLink, _: list[int]) -> None:
        self.fabric.set_link(ask.node, ask.interface, ask.up)

    def _impair(self, client: _Client, number: int, ask: language.Impair, _: list[int]) -> Impairment:
        return self.impairer.impair(ask.impairment)

    def _clear(self, client: _Client, number: int, ask: language.Clear, _: list[int]) -> None:
        self.impairer.clear(ask.node, ask.interface, ask.direction)

    def _observe(self, client: _Client, number: int, ask: language.Observe, _: list[int]) -> RuntimeState:
        nodes, links = self.fabric.observe()
        return RuntimeState(
            tuple(nodes), tuple(links), tuple(self.launcher.observe()), tuple(self.impairer.observe())
        )

    def _namespace_socket(self, client: _Client, number: int, ask: language.NamespaceSocket, _: list[int]) -> _Handover:
        node = self.fabric.node(ask.node)
        return _Handover(None, [in_namespace(node.descriptor, lambda: Netlink(ask.protocol)).socket.detach()])

    # --- processes -------------------------------------------------------------------------------------

    def _spawn(self, client: _Client, number: int, ask: language.Spawn, descriptors: list[int]) -> int:
        node = self.fabric.node(ask.node)
        owner = client if ask.owned else None
        return self.launcher.spawn(
            Home(ask.node, node.descriptor, node.container),
            ask.name,
            ask.argv,
            ask.environment,
            descriptors[: ask.stdio],
            owner,
        )

    def _prepare(self, client: _Client, number: int, ask: language.Prepare, _: list[int]) -> None:
        self._watch_zygote(self.launcher.prepare(ask.zygote))

    def _fork(self, client: _Client, number: int, ask: language.Fork, _: list[int]) -> None:
        self._order(client, number, ask.node, ask.name, self._zygote(ask.zygote), ask.argument, -1, [])
        raise _LaterError

    def _zygote(self, name: str) -> Zygote:
        zygote = self.launcher.zygotes.get(name)
        if zygote is None:
            raise RefusedError("UnknownZygote", f"no zygote {name} runs; prepare it first")
        return zygote

    def _fork_all(self, client: _Client, number: int, ask: language.ForkAll, _: list[int]) -> tuple[int, ...]:
        zygote = self._zygote(ask.zygote)
        for fork in ask.forks:
            self._check_files(fork.node, fork.files)
        self.launcher.check_free((fork.node, fork.name) for fork in ask.forks)
        pids: dict[int, int] = {}
        faults: list[str] = []

        def birth(at: int, fork: ForkSpec) -> Birth:
            def born(pid: int, reason: str) -> None:
                pids[at] = pid
                if not pid:
                    faults.append(reason)
                if len(pids) < len(ask.forks):
                    return
                if faults:
                    self._answer(client, Answer(number, fault=as_fault(RuntimeFailure(faults[0]))))
                else:
                    self._answer(client, Answer(number, msgspec.Raw(self._encode([pids[at] for at in sorted(pids)]))))

            node = self.fabric.node(fork.node)
            return Birth(Home(fork.node, node.descriptor, node.container), fork.name, fork.argument, born)

        for fork in ask.forks:
            self._write_files(fork.node, fork.files)
        self.launcher.fork_all(zygote, [birth(at, fork) for at, fork in enumerate(ask.forks)])
        if not ask.forks:
            return ()
        raise _LaterError

    def _order(
        self,
        client: _Client,
        number: int,
        node: str,
        name: str,
        zygote: Zygote,
        argument: bytes,
        conversation: int,
        handed: list[int],
    ) -> None:
        def born(pid: int, reason: str) -> None:
            if pid:
                self._answer(client, Answer(number, msgspec.Raw(b"%d" % pid), descriptors=len(handed)), handed)
                return
            for descriptor in handed:
                os.close(descriptor)
            self._answer(client, Answer(number, fault=as_fault(RuntimeFailure(reason))))

        found = self.fabric.node(node)
        # A probe is the laboratory's own and needs the node's network only.
        container = found.container if conversation < 0 else None
        birth = Birth(Home(node, found.descriptor, container), name, argument, born)
        self.launcher.fork(zygote, birth, conversation)

    def _start_task(self, client: _Client, number: int, ask: language.StartTask, _: list[int]) -> None:
        self.fabric.node(ask.node)
        module = ask.entry.partition(":")[0]
        zygote = self.launcher.prepare(SCAPY_TOOLBOX if module in SCAPY_TOOLBOX.preload else TOOLBOX)
        self._watch_zygote(zygote)
        self._tasks += 1
        ours, theirs = socket.socketpair()
        argument = self._encode({"entry": ask.entry, "arguments": ask.arguments})
        name = f"task-{self._tasks}"
        self._order(client, number, ask.node, name, zygote, argument, theirs.detach(), [ours.detach()])
        raise _LaterError

    def _signal(self, client: _Client, number: int, ask: language.Signal, _: list[int]) -> None:
        self.launcher.signal(ask.node, ask.name, ask.number)

    def _unix_connect(
        self, client: _Client, number: int, ask: language.UnixConnect, _: list[int]
    ) -> _Handover:
        self.fabric.node(ask.node)
        path = node_directory(ask.node) / ask.path
        if ask.within <= 0:
            try:
                return _Handover(None, [try_connect(path).detach()])
            except OSError as failure:
                raise RuntimeFailure(
                    f"cannot connect to {ask.path} in {ask.node}: {failure.strerror or failure}"
                ) from failure

        def met(connection: socket.socket | None, reason: str) -> None:
            if connection is not None:
                self._answer(client, Answer(number, descriptors=1), [connection.detach()])
                return
            late = TimedOut(f"somebody listening on {ask.path} in {ask.node} ({reason})", ask.within)
            self._answer(client, Answer(number, fault=as_fault(late)))

        self.rendezvous.wait(path, ask.within, met)
        raise _LaterError

    # --- files -----------------------------------------------------------------------------------------

    def _put_files(self, client: _Client, number: int, ask: language.PutFiles, _: list[int]) -> None:
        self._check_files(ask.node, ask.files)
        self._write_files(ask.node, ask.files)

    def _check_files(self, node: str, files: Mapping[str, str]) -> None:
        self.fabric.node(node)
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise RefusedError("BadPath", f"{name!r} leaves the directory of {node}; give a relative path")

    def _write_files(self, node: str, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            place = node_directory(node) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def _read_file(self, client: _Client, number: int, ask: language.ReadFile, _: list[int]) -> _Handover:
        self.fabric.node(ask.node)
        try:
            path = Path(node_directory(ask.node), ask.path)
            return _Handover(None, [os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)])
        except OSError as failure:
            raise RuntimeFailure(f"cannot read {ask.path} in {ask.node}: {failure.strerror}") from failure

    def _shutdown(self, client: _Client, number: int, ask: language.Shutdown, _: list[int]) -> None:
        self._running = False


class _Handover:
    """A handler's answer that brings descriptors; the receiver will own them."""

    def __init__(self, value: object, descriptors: list[int]) -> None:
        self.value = value
        self.descriptors = descriptors
