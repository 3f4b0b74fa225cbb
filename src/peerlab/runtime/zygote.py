"""A zygote: a warm parent that imports once and then forks processes into nodes in well under a millisecond.

It runs in a process that the supervisor forked, single-threaded, with its control socket as descriptor 3.
Each order brings two descriptors (network namespace, log) and perhaps a third, the child's conversation, which
the child finds as descriptor `CONVERSATION`.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import msgspec

from peerlab.runtime.base import ZygoteSpec
from peerlab.runtime.framing import Channel
from peerlab.runtime.kernel import CLONE_NEWNET, rename_process, setns
from peerlab.runtime.language import ForkOrder, ZygoteWord

__all__ = ["CONVERSATION", "become_zygote", "close_all_above", "resolve", "settle"]

CONVERSATION = 3
EXIT_SOFTWARE = 70  # sysexits.h: the entry raised instead of returning
_DEFAULT_SIGNALS = (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGHUP, signal.SIGXFSZ)

Entry = Callable[[bytes], int]


def close_all_above(highest: int) -> None:
    """Closes every descriptor above ``highest``."""
    os.closerange(highest + 1, os.sysconf("SC_OPEN_MAX"))


def settle(namespace: int, log: int, directory: str, title: str) -> None:
    """Makes a fresh child at home in its node: network namespace, session, directory, standard descriptors.

    Signals go back to their defaults. The log may be the same descriptor for both outputs.
    """
    signal.set_wakeup_fd(-1)
    for number in _DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    setns(namespace, CLONE_NEWNET)
    os.setsid()
    os.chdir(directory)
    rename_process(title)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)


def resolve(entry: str) -> Callable[..., object]:
    """The function behind "module:function". Raises ImportError or AttributeError, which name what is missing."""
    module, _, function = entry.partition(":")
    found = getattr(importlib.import_module(module), function)
    if not callable(found):
        raise AttributeError(f"{entry} cannot be called")
    return found  # type: ignore[no-any-return]


def become_zygote(control: int, spec: ZygoteSpec) -> NoReturn:
    """Turns the calling (freshly forked) process into a zygote. Never returns."""
    try:
        os.dup2(control, 3)
        close_all_above(3)
        _Zygote(socket.socket(fileno=3), spec).serve()
    except BaseException:
        traceback.print_exc()
        os._exit(EXIT_SOFTWARE)
    os._exit(0)


class _Zygote:
    def __init__(self, control: socket.socket, spec: ZygoteSpec) -> None:
        self.spec = spec
        self.channel = Channel(control)
        self.broken = ""
        self._gate: tuple[int, int] | None = None
        self._decode = msgspec.json.Decoder(ForkOrder).decode
        self._encode = msgspec.json.Encoder().encode
        self._woken, self._waker = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        rename_process(f"zygote {spec.name}")

    def _warm_up(self) -> None:
        try:
            for module in self.spec.preload:
                importlib.import_module(module)
            if self.spec.entry:
                resolve(self.spec.entry)
        except Exception as failure:
            traceback.print_exc()
            self.broken = f"zygote {self.spec.name} could not import: {type(failure).__name__}: {failure}"
        gc.collect()
        gc.disable()
        gc.freeze()

    def serve(self) -> None:
        """Obeys until the supervisor closes the control socket."""
        self._warm_up()
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._woken.fileno() in ready:
                self._woken.recv(4096)
                self._reap()
            if self.channel.fileno() in ready:
                frames = self.channel.feed()
                if frames is None:
                    return
                for frame in frames:
                    self._obey(self._decode(frame))

    def _say(self, word: ZygoteWord) -> None:
        self.channel.queue(self._encode(word))
        self.channel.flush()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._say(ZygoteWord(ended=(pid, status)))

    def _obey(self, order: ForkOrder) -> None:
        descriptors = self.channel.take_descriptors(order.descriptors)
        try:
            if self.broken:
                self._say(ZygoteWord(order.id, fault=self.broken))
                return
            if order.more and self._gate is None:
                self._gate = os.pipe2(os.O_CLOEXEC)
            pid = os.fork()
            if pid == 0:
                _live(order, descriptors, self._gate)
            self._say(ZygoteWord(order.id, pid))
        except OSError as failure:
            self._say(ZygoteWord(order.id, fault=f"zygote {self.spec.name} cannot fork: {failure}"))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            if self._gate is not None and not order.more:
                self._open_gate(self._gate)

    def _open_gate(self, gate: tuple[int, int]) -> None:
        """Every child of the batch is born: the pipe that they wait on comes to its end."""
        self._gate = None
        for descriptor in gate:
            os.close(descriptor)


def _live(order: ForkOrder, descriptors: list[int], gate: tuple[int, int] | None) -> NoReturn:
    """The whole life of a forked child. It waits for the end of the pipe ``gate``, which the zygote's death is too."""
    code = EXIT_SOFTWARE
    try:
        settle(descriptors[0], descriptors[1], order.directory, order.title)
        if gate is not None:
            os.close(gate[1])
            os.read(gate[0], 1)
        # What is forked is Python, where a peer that has gone is an exception; by the signal a router would die of it.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        if len(descriptors) > 2:
            os.dup2(descriptors[2], CONVERSATION)
            close_all_above(CONVERSATION)
        else:
            close_all_above(2)
        gc.enable()
        entry: Entry = resolve(order.entry)  # type: ignore[assignment]
        code = entry(order.argument)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else EXIT_SOFTWARE
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
