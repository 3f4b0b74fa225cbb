"""How the supervisor starts, remembers and buries processes: commands it forks itself, and zygotes' children."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import signal
import socket
import termios
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from peerlab.errors import RefusedError, RuntimeFailure
from peerlab.runtime import alone
from peerlab.runtime.base import ProcessExit, ProcessObservation, ZygoteSpec
from peerlab.runtime.container import SEARCH_PATH, Container, find_program
from peerlab.runtime.framing import Channel
from peerlab.runtime.language import ForkOrder, ZygoteWord
from peerlab.runtime.zygote import become_zygote, close_all_above, settle

__all__ = ["NODES_DIRECTORY", "Birth", "Home", "Launcher", "Zygote", "clear_directory", "node_directory"]

NODES_DIRECTORY = Path("/run/peerlab")
_Born = Callable[[int, str], None]


def node_directory(node: str) -> Path:
    """Where a node's private files live, inside the cell only."""
    return NODES_DIRECTORY / node


def clear_directory(place: Path) -> None:
    """Makes room where a node of the same name has left its directory."""
    if place.is_symlink():
        place.unlink()
    else:
        shutil.rmtree(place)


class Zygote:
    """The supervisor's side of a zygote: orders out, births and deaths in."""

    def __init__(self, spec: ZygoteSpec, pid: int, channel: Channel) -> None:
        self.spec = spec
        self.pid = pid
        self.channel = channel
        self.waiting: dict[int, _Born] = {}
        self._orders = 0

    def order(
        self,
        title: str,
        directory: Path,
        entry: str,
        argument: bytes,
        descriptors: list[int],
        born: _Born,
        more: bool = False,
    ) -> None:
        """Orders a child. ``born`` is called with its pid, or 0 and the reason. Descriptors become ours to close.

        With ``more`` the next order must follow: see `ForkOrder`.
        """
        self._orders += 1
        self.waiting[self._orders] = born
        order = ForkOrder(self._orders, title, str(directory), entry, argument, len(descriptors), more)
        self.channel.queue(msgspec.json.encode(order), descriptors)


class Home(NamedTuple):
    """Where a process lives: the node's name, its network namespace, and its container if it is one."""

    node: str
    namespace: int
    container: Container | None = None


class Birth(NamedTuple):
    """A child to be ordered from a zygote. ``born`` is called with its pid, or 0 and the reason.

    ``entry`` is the function that it runs, where that is not the zygote's own.
    """

    home: Home
    name: str
    argument: bytes
    born: _Born
    entry: str = ""


class _Running:
    __slots__ = ("forgotten", "observation", "owner")

    def __init__(self, observation: ProcessObservation, owner: object) -> None:
        self.observation = observation
        self.owner = owner
        self.forgotten = False


def _take_terminal() -> None:
    """Makes standard input the session's terminal, for Ctrl-C and job control. One that is taken stays as it is."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Launcher:
    """Every process of the cell that has a name. ``announce`` is called with each exit."""

    def __init__(self, announce: Callable[[ProcessExit], None], log: Callable[[str], None]) -> None:
        self.announce = announce
        self.log = log
        self.zygotes: dict[str, Zygote] = {}
        self._conversations = 0
        self._by_pid: dict[int, _Running] = {}
        self._names: dict[tuple[str, str], int] = {}  # 0 while a zygote is at it
        self._soft_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def observe(self) -> list[ProcessObservation]:
        """What runs, by node and name."""
        return [each.observation for each in self._by_pid.values() if not each.forgotten]

    def pid_of(self, node: str, name: str) -> int:
        """The pid of a running process; refuses an unknown name."""
        pid = self._names.get((node, name), 0)
        if not pid:
            running = ", ".join(sorted(process for held, process in self._names if held == node)) or "nothing"
            raise RefusedError("UnknownProcess", f"no process {name} runs in {node}; there runs: {running}")
        return pid

    def check_free(self, places: Iterable[tuple[str, str]]) -> None:
        """Refuses a node and process name that is taken, or that comes twice."""
        seen: set[tuple[str, str]] = set()
        for node, name in places:
            if (node, name) in self._names or (node, name) in seen:
                raise RefusedError("ProcessExists", f"a process {name} runs in {node} already; stop it first")
            seen.add((node, name))

    def _reserve(self, node: str, name: str) -> None:
        self.check_free([(node, name)])
        self._names[node, name] = 0

    def _remember(self, node: str, name: str, pid: int, origin: str, owner: object) -> None:
        observation = ProcessObservation(node, name, pid, time.time_ns(), origin)
        self._by_pid[pid] = _Running(observation, owner)
        self._names[node, name] = pid

    def open_log(self, node: str, name: str) -> int:
        """The log of a process, opened for appending."""
        path = node_directory(node) / f"{name}.log"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def spawn(
        self,
        home: Home,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        stdio: Sequence[int],
        owner: object,
        origin: str = "spawn",
    ) -> int:
        """Forks and executes a command in a node. Raises `RuntimeFailure` when it cannot be executed."""
        node = home.node
        if not argv:
            raise RefusedError("NoCommand", f"the command of {name} in {node} is empty")
        if home.container is not None:
            program = argv[0]
            surroundings = {"LANG": "C.UTF-8", "HOME": "/", **environment, "PATH": SEARCH_PATH}
        else:
            surroundings = {**os.environ, **environment}
            found = shutil.which(argv[0], path=surroundings.get("PATH"))
            if found is None:
                looked = surroundings.get("PATH")
                raise RuntimeFailure(f"{argv[0]} is not a program on this machine (looked in {looked})")
            program = found
        self._reserve(node, name)
        log = -1
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            log = self.open_log(node, name)
            pid = os.fork()
            if pid == 0:
                self._execute(home, log, program, argv, surroundings, stdio, writer)
            os.close(writer)
            writer = -1
            complaint = os.read(reader, 4096)
        except BaseException:
            del self._names[node, name]
            raise
        finally:
            for descriptor in (reader, writer, log):
                if descriptor >= 0:
                    os.close(descriptor)
        if complaint:
            del self._names[node, name]
            os.waitpid(pid, 0)
            raise RuntimeFailure(f"cannot start {program} in {node}: {complaint.decode(errors='replace')}")
        self._remember(node, name, pid, origin, owner)
        return pid

    def _execute(
        self,
        home: Home,
        log: int,
        program: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        stdio: Sequence[int],
        writer: int,
    ) -> None:
        try:
            settle(home.namespace, log, str(node_directory(home.node)), f"{home.node}:{argv[0]}")
            for number, descriptor in enumerate(stdio):
                os.dup2(descriptor, number)
            if stdio and os.isatty(0):
                _take_terminal()
            os.dup2(writer, 3, inheritable=False)
            if home.container is None:
                close_all_above(3)
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._soft_limit, hard))
            if home.container is not None:
                home.container.enter(str(node_directory(home.node)))
                program = find_program(program)
            os.execve(program, list(argv), dict(environment))
        except BaseException as failure:
            os.write(3, str(failure).encode())
        finally:
            os._exit(127)

    def prepare(self, spec: ZygoteSpec) -> Zygote:
        """Starts a zygote, or gives the one that lives under this name. Refuses another spec under the same name."""
        living = self.zygotes.get(spec.name)
        if living is not None:
            if living.spec != spec:
                raise RefusedError("ZygoteExists", f"a zygote {spec.name} with another specification runs already")
            return living
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            become_zygote(theirs.fileno(), spec)
        theirs.close()
        ours.setblocking(False)
        self.zygotes[spec.name] = Zygote(spec, pid, Channel(ours))
        return self.zygotes[spec.name]

    def fork(self, zygote: Zygote, birth: Birth, conversation: int) -> None:
        """Orders a child of a zygote into a node. ``conversation`` is a descriptor for it, or -1; ours to close."""
        if birth.home.container is not None:
            self._start_alone(zygote, birth)
            return
        descriptors = self._reserve_birth(birth)
        if conversation >= 0:
            descriptors.append(conversation)
        self._order(zygote, birth, descriptors)

    def converse(self, zygote: Zygote, home: Home, title: str, entry: str) -> Channel:
        """Orders a child that runs ``entry`` and converses with us; our end. A child that is not born hangs up."""
        self._conversations += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)

        def born(pid: int, reason: str) -> None:
            if not pid:
                self.log(f"{title} was not born: {reason}")

        self.fork(zygote, Birth(home, f"{title}-{self._conversations}", b"", born, entry), theirs.detach())
        return Channel(ours)

    def _start_alone(self, zygote: Zygote, birth: Birth) -> None:
        """A container's own Python does what a zygote's child does elsewhere."""
        argv = alone.command(zygote.spec, birth.argument)
        try:
            pid = self.spawn(birth.home, birth.name, argv, {}, (), None, zygote.spec.name)
        except (RuntimeFailure, OSError) as failure:
            birth.born(0, str(failure))
        else:
            birth.born(pid, "")

    def fork_all(self, zygote: Zygote, births: Sequence[Birth]) -> None:
        """Orders children that begin together. Raises before anything is ordered, or not at all."""
        forked = [birth for birth in births if birth.home.container is None]
        ready: list[list[int]] = []
        try:
            for birth in forked:
                ready.append(self._reserve_birth(birth))
        except BaseException:
            for birth, descriptors in zip(forked, ready, strict=False):
                del self._names[birth.home.node, birth.name]
                for descriptor in descriptors:
                    os.close(descriptor)
            raise
        for birth in births:
            if birth.home.container is not None:
                self._start_alone(zygote, birth)
        for left, (birth, descriptors) in enumerate(zip(forked, ready, strict=True), 1 - len(forked)):
            self._order(zygote, birth, descriptors, more=left < 0)

    def _reserve_birth(self, birth: Birth) -> list[int]:
        """The name is taken from here on; the descriptors that an order needs."""
        (node, namespace, _), name = birth.home, birth.name
        self._reserve(node, name)
        descriptors: list[int] = []
        try:
            descriptors.append(os.dup(namespace))
            descriptors.append(self.open_log(node, name))
        except OSError:
            del self._names[node, name]
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors

    def _order(self, zygote: Zygote, birth: Birth, descriptors: list[int], more: bool = False) -> None:
        node, name = birth.home.node, birth.name

        def arrived(pid: int, reason: str) -> None:
            if pid:
                self._remember(node, name, pid, zygote.spec.name, None)
            else:
                self._names.pop((node, name), None)
            birth.born(pid, reason)

        title, directory = f"{node}:{name}", node_directory(node)
        zygote.order(title, directory, birth.entry or zygote.spec.entry, birth.argument, descriptors, arrived, more)

    def hear(self, zygote: Zygote, word: ZygoteWord) -> None:
        """A zygote said something."""
        if word.ended is not None:
            self._ended(*word.ended)
            return
        zygote.waiting.pop(word.id)(word.pid, word.fault)

    def lose(self, zygote: Zygote, reason: str) -> None:
        """A zygote is gone: whoever waits for a child of it is told. Its living children go on, as ours."""
        self.zygotes.pop(zygote.spec.name, None)
        zygote.channel.close()
        for born in zygote.waiting.values():
            born(0, f"zygote {zygote.spec.name} is gone ({reason}); see the supervisor's log")
        zygote.waiting.clear()

    def reap(self) -> None:
        """Buries every child that ended, adopted orphans included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for zygote in list(self.zygotes.values()):
                if zygote.pid == pid:
                    self.log(f"zygote {zygote.spec.name} ended with wait status {status}")
                    self.lose(zygote, f"wait status {status}")
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        running = self._by_pid.pop(pid, None)
        if running is None:
            return
        seen = running.observation
        if not running.forgotten:
            del self._names[seen.node, seen.name]
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = None if number is not None else os.waitstatus_to_exitcode(status)
        if not seen.name.startswith("task-"):
            self.announce(ProcessExit(seen.node, seen.name, pid, time.time_ns(), code, number))

    def signal(self, node: str, name: str, number: int) -> None:
        """Sends a signal to a process."""
        self._send(self.pid_of(node, name), number)

    def _send(self, pid: int, number: int) -> None:
        try:
            os.kill(pid, number)
        except OSError as failure:
            # ESRCH: it ended this instant and its exit notice is on the way.
            if failure.errno != errno.ESRCH:
                raise

    def kill_node(self, node: str) -> None:
        """Kills all that runs in a node and frees the names at once; the exits are still announced."""
        for pid, running in self._by_pid.items():
            if running.observation.node == node and not running.forgotten:
                self._send(pid, signal.SIGKILL)
                running.forgotten = True
                del self._names[node, running.observation.name]

    def kill_owned(self, owner: object) -> None:
        """Kills what belonged to a client that left."""
        for pid, running in list(self._by_pid.items()):
            if running.owner is owner:
                self._send(pid, signal.SIGKILL)
