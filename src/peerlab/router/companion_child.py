"""One process of a foreign daemon: it dies with its companion, never after it, and what it says is kept."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from peerlab.errors import RuntimeFailure, TimedOut, Unsupported
from peerlab.runtime.kernel import die_with_parent

START_WITHIN = 10.0
"""Seconds in which a daemon has to say or show that it started."""
END_WITHIN = 3.0
"""Seconds in which a daemon has to close its sessions when told to end; then it is killed."""
CHECK_WITHIN = 30.0
"""Seconds in which a daemon has to read a configuration."""


def program(candidates: Iterable[str], title: str, package: str) -> str:
    """Where a daemon is. Raises Unsupported when it is nowhere, with the package to install."""
    for candidate in candidates:
        found = shutil.which(candidate)
        if found is not None:
            return found
    raise Unsupported(f"{title} is not installed here; run `make daemons`, or install the package {package}")


def check(title: str, argv: Sequence[str], path: Path, prepare: Callable[[], None] | None = None) -> None:
    """A daemon's own check of a configuration. Raises RuntimeFailure with the daemon's words, TimedOut."""
    try:
        told = subprocess.run(
            argv, cwd=path.parent, capture_output=True, timeout=CHECK_WITHIN, check=False, preexec_fn=prepare
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{title}'s check of {path}", CHECK_WITHIN) from error
    if told.returncode:
        words = (told.stderr or told.stdout).decode(errors="replace").strip()
        raise RuntimeFailure(f"{title} refuses {path}: {words}")


class Child:
    """A running process. ``heard`` gets every line that it says, in order; ``log`` keeps them."""

    def __init__(
        self,
        title: str,
        argv: Sequence[str],
        directory: Path,
        log: str,
        heard: Callable[[str], None],
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start it in ``directory``. ``prepare`` runs in the new process before the program does."""
        self.title = title
        self.has_ended = False
        self._heard = heard
        self._rest = b""
        self._file = (directory / log).open("ab", buffering=0)

        def begin() -> None:
            die_with_parent(signal.SIGKILL)
            if prepare is not None:
                prepare()

        self._process = subprocess.Popen(
            argv,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=begin,
        )
        assert self._process.stdout is not None
        self.output = self._process.stdout.fileno()
        os.set_blocking(self.output, False)

    def read(self) -> None:
        """Pass on what it has said by now."""
        while True:
            try:
                octets = os.read(self.output, 1 << 16)
            except BlockingIOError:
                return
            if not octets:
                self.has_ended = True
                return
            self._file.write(octets)
            *lines, self._rest = (self._rest + octets).split(b"\n")
            for line in lines:
                self._heard(line.decode(errors="replace"))

    def wait_until(self, started: Callable[[], bool], look_every: float | None = None) -> None:
        """Wait for a sign of its start, looking when it says something, and every so many seconds.

        Raises RuntimeFailure when it ends, TimedOut.
        """
        said: list[str] = []
        heard = self._heard

        def listen(line: str) -> None:
            said.append(line)
            heard(line)

        self._heard = listen
        limit = time.monotonic() + START_WITHIN
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        while not started():
            left = limit - time.monotonic()
            if left <= 0:
                self.kill()
                raise TimedOut(f"{self.title}'s start", START_WITHIN)
            poll.poll(min(left, look_every or left) * 1000)
            self.read()
            if self.has_ended:
                self._process.wait()
                raise RuntimeFailure(f"{self.title} ended at its start: {said[-1] if said else 'without a word'}")
        self._heard = heard

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> None:
        """Have it end, and kill it when it takes too long."""
        self._process.terminate()
        limit = time.monotonic() + END_WITHIN
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        while not self.has_ended and time.monotonic() < limit:
            poll.poll(max(0.0, limit - time.monotonic()) * 1000)
            self.read()
        if not self.has_ended:
            self._process.kill()
        self._process.wait()
        self._file.close()

    def exit_status(self) -> int:
        """How it ended, once it has; negative for a signal."""
        return self._process.wait()
