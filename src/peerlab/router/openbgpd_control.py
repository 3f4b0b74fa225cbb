"""Questions and commands to OpenBGPD: ``bgpctl -j``, one process each."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peerlab.daemons.openbgpd import CONTROL_SOCKET
from peerlab.daemons.openbgpd_reply import read, refusal
from peerlab.errors import RefusedError, RuntimeFailure, TimedOut
from peerlab.router.companion_child import Child
from peerlab.router.openbgpd_process import program

ANSWER_WITHIN = 20.0
"""Seconds in which OpenBGPD has to answer."""


class OpenBgpdControl:
    """bgpctl for one node."""

    def __init__(self, directory: Path, child: Child) -> None:
        """``child`` is read while an answer is waited for: it would stop on a full pipe, and we on it."""
        self._directory = directory
        self._child = child
        self._program = program("bgpctl")

    def ask(self, *words: str) -> Mapping[str, Any]:
        """What it answers. Raises RefusedError with OpenBGPD's words, RuntimeFailure, TimedOut."""
        command = [self._program, "-j", "-s", str(CONTROL_SOCKET), *words]
        text = self._run(command)
        try:
            said = read(text)
        except ValueError as error:
            raise RuntimeFailure(f"bgpctl {' '.join(words)}: {error}") from error
        words_of_refusal = refusal(said)
        if words_of_refusal is not None:
            raise RefusedError("OpenBgpdRefused", f"{' '.join(words)}: {words_of_refusal}")
        return said

    def _run(self, command: list[str]) -> str:
        process = subprocess.Popen(
            command,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        output, parts = process.stdout.fileno(), []
        limit = time.monotonic() + ANSWER_WITHIN
        poll = select.poll()
        poll.register(output, select.POLLIN)
        poll.register(self._child.output, select.POLLIN)
        with process:
            while True:
                left = limit - time.monotonic()
                if left <= 0:
                    process.kill()
                    raise TimedOut(f"OpenBGPD's answer to {' '.join(command[4:])!r}", ANSWER_WITHIN)
                ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
                if self._child.output in ready:
                    self._child.read()
                    if self._child.has_ended:
                        poll.unregister(self._child.output)
                if output in ready:
                    octets = os.read(output, 1 << 18)
                    if not octets:
                        break
                    parts.append(octets)
        self._child.read()  # what led to this answer was said before it
        return b"".join(parts).decode(errors="replace")
