"""A BIRD process of this node: checked, started, spoken to, and ended with its companion, never after it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from peerlab.daemons.bird import CONFIGURATION, CONTROL_SOCKET
from peerlab.daemons.bird_reply import Line, is_last, lines_of
from peerlab.errors import RefusedError, RuntimeFailure, TimedOut, Unsupported
from peerlab.runtime.kernel import die_with_parent

PROGRAMS = ("/usr/sbin/bird", "/usr/local/sbin/bird", "bird")
START_WITHIN = 10.0
"""Seconds in which BIRD has to say that it started."""
ANSWER_WITHIN = 10.0
"""Seconds in which BIRD has to answer on its control socket."""
END_WITHIN = 3.0
"""Seconds in which BIRD has to close its sessions when told to end; then it is killed."""
CHECK_WITHIN = 30.0
"""Seconds in which BIRD has to read a configuration."""

LOG = "bird.log"
"""Where BIRD's own words are kept, in the node's directory."""

_RUN_TIME_ERRORS = 8000
_NOT_FOUND = 8001
_STARTED = "<INFO> Started"


def program() -> str:
    """Where BIRD is. Raises Unsupported when it is nowhere."""
    for candidate in PROGRAMS:
        found = shutil.which(candidate)
        if found is not None:
            return found
    raise Unsupported("BIRD is not installed here; run `make daemons`, or install the package bird2")


class BirdDaemon:
    """One BIRD and the connection to its control socket. ``heard`` gets every line of its log, in order."""

    def __init__(self, directory: Path, heard: Callable[[str], None]) -> None:
        """Raises RuntimeFailure when BIRD refuses its configuration or does not start, Unsupported without BIRD."""
        self._directory = directory
        self._heard = heard
        self._rest = b""
        self._file = (directory / LOG).open("ab", buffering=0)
        self._answer = b""
        self.has_ended = False
        self._program = program()
        self.check(directory / CONFIGURATION)
        self._process = subprocess.Popen(
            [self._program, "-f", "-c", str(CONFIGURATION), "-s", str(CONTROL_SOCKET), "-P", "bird.pid"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),
        )
        assert self._process.stderr is not None
        self.log = self._process.stderr.fileno()
        os.set_blocking(self.log, False)
        self._wait_for_start()
        self._socket = self._connect()
        self._reply()

    def check(self, path: Path) -> None:
        """BIRD's own check of a configuration. Raises RuntimeFailure with BIRD's words, TimedOut."""
        try:
            told = subprocess.run(
                [self._program, "-p", "-c", str(path)], capture_output=True, timeout=CHECK_WITHIN, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"BIRD's check of {path}", CHECK_WITHIN) from error
        if told.returncode:
            words = (told.stderr or told.stdout).decode(errors="replace").strip()
            raise RuntimeFailure(f"BIRD refuses {path}: {words}")

    def read_log(self) -> None:
        """Pass on what BIRD has logged by now."""
        while True:
            try:
                octets = os.read(self.log, 1 << 16)
            except BlockingIOError:
                return
            if not octets:
                self.has_ended = True
                return
            self._file.write(octets)
            *lines, self._rest = (self._rest + octets).split(b"\n")
            for line in lines:
                self._heard(line.decode(errors="replace"))

    def ask(self, command: str) -> tuple[Line, ...]:
        """One command, all of its reply; an empty one for "Network not found".

        Raises RefusedError with BIRD's words for an error, RuntimeFailure when BIRD is gone, TimedOut.
        """
        try:
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            raise RuntimeFailure(f"BIRD has closed its control socket ({error.strerror})") from error
        lines = self._reply()
        code = lines[-1].code
        if code == _NOT_FOUND:
            return ()
        if code >= _RUN_TIME_ERRORS:
            raise RefusedError("BirdRefused", f"{command}: {' '.join(line.text for line in lines)}")
        return lines

    def end(self) -> None:
        """Have BIRD close its sessions and take its routes out of the kernel; kill it when it takes too long."""
        self._process.terminate()
        limit = time.monotonic() + END_WITHIN
        poll = select.poll()
        poll.register(self.log, select.POLLIN)
        while not self.has_ended and time.monotonic() < limit:
            poll.poll(max(0.0, limit - time.monotonic()) * 1000)
            self.read_log()
        if not self.has_ended:
            self._process.kill()
        self._process.wait()
        self._socket.close()
        self._file.close()

    def exit_status(self) -> int:
        """How BIRD ended, once its log has; negative for a signal."""
        return self._process.wait()

    def _wait_for_start(self) -> None:
        started: list[str] = []
        words: list[str] = []
        heard = self._heard

        def listen(line: str) -> None:
            words.append(line)
            if _STARTED in line:
                started.append(line)
            heard(line)

        self._heard = listen
        poll = select.poll()
        poll.register(self.log, select.POLLIN)
        limit = time.monotonic() + START_WITHIN
        while not started:
            left = limit - time.monotonic()
            if left <= 0:
                self._process.kill()
                raise TimedOut("BIRD's start", START_WITHIN)
            poll.poll(left * 1000)
            self.read_log()
            if self.has_ended:
                raise RuntimeFailure(f"BIRD ended at its start: {words[-1] if words else 'without a word'}")
        self._heard = heard

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # By way of the directory's descriptor: a path in sockaddr_un may have 107 octets at most.
        folder = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{CONTROL_SOCKET}")
        except OSError as error:
            self._process.kill()
            raise RuntimeFailure(f"BIRD runs but cannot be spoken to: {error.strerror}") from error
        finally:
            os.close(folder)
        return connection

    def _reply(self) -> tuple[Line, ...]:
        """The log is read meanwhile: BIRD would stop on a full pipe, and we on it."""
        limit = time.monotonic() + ANSWER_WITHIN
        poll = select.poll()
        poll.register(self.log, select.POLLIN)
        poll.register(self._socket, select.POLLIN)
        raw: list[str] = []
        while True:
            left = limit - time.monotonic()
            if left <= 0:
                raise TimedOut("BIRD's answer", ANSWER_WITHIN)
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            if self.log in ready:
                self.read_log()
            if self._socket.fileno() not in ready:
                if self.has_ended:
                    raise RuntimeFailure("BIRD has ended")
                continue
            octets = self._socket.recv(1 << 16)
            if not octets:
                raise RuntimeFailure("BIRD has closed its control socket")
            *lines, self._answer = (self._answer + octets).split(b"\n")
            raw += [line.decode(errors="replace") for line in lines]
            if raw and is_last(raw[-1]) and not self._answer:
                return lines_of(raw)
