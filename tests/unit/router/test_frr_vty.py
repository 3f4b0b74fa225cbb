"""The vty of FRR: replies belong to their commands, whatever pieces they are sent and come in."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerlab.errors import RefusedError
from peerlab.router.frr_vty import FrrVty

REPLIES = {"show one": (0, "one"), "show two": (1, "nothing there"), "bad": (2, "% Unknown command")}


class Daemon:
    """Answers as bgpd does: every command up to a NUL with its text, three NULs and a status; and notes them."""

    def __init__(self, directory: Path) -> None:
        self.heard: list[str] = []
        self._listening = socket.socket(socket.AF_UNIX)
        folder = os.open(directory, os.O_PATH)
        self._listening.bind(f"/proc/self/fd/{folder}/bgpd.vty")
        os.close(folder)
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        rest = b""
        while octets := connection.recv(4096):
            *commands, rest = (rest + octets).split(b"\0")
            for command in commands:
                self.heard.append(command.decode())
                status, text = REPLIES.get(command.decode(), (0, ""))
                for part in (text.encode() + b"\0", b"\0\0", bytes([status])):
                    connection.sendall(part)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Daemon, FrrVty]]:
    serving = Daemon(tmp_path)
    vty = FrrVty(tmp_path, "bgpd", ())
    yield serving, vty
    vty.close()


def test_a_reply_and_one_that_only_warns(daemon: tuple[Daemon, FrrVty]) -> None:
    _, vty = daemon
    assert (vty.ask("show one"), vty.ask("show two")) == ("one", "nothing there")


def test_a_refusal_has_the_daemons_words(daemon: tuple[Daemon, FrrVty]) -> None:
    _, vty = daemon
    with pytest.raises(RefusedError, match="bad: % Unknown command"):
        vty.ask("bad")
    assert vty.ask("show one") == "one"


@pytest.mark.parametrize("count", [0, 1, 500])
def test_a_change_of_any_length_leaves_replies_with_their_commands(daemon: tuple[Daemon, FrrVty], count: int) -> None:
    """No command at all would be one to the daemon, and its reply that of the next."""
    serving, vty = daemon
    lines = [f"neighbor 192.0.2.{number} solo" for number in range(count)]
    vty.configure(lines)
    assert vty.ask("show one") == "one"
    assert serving.heard == ["enable", "configure terminal", *lines, "end", "show one"]


def test_the_first_refusal_of_a_change_is_told_and_the_rest_read(daemon: tuple[Daemon, FrrVty]) -> None:
    serving, vty = daemon
    with pytest.raises(RefusedError, match="Unknown command"):
        vty.configure(["router bgp 1", "bad", "more"])
    assert serving.heard[-1] == "end"
    assert vty.ask("show one") == "one"
    vty.configure(["bad"], anyhow=True)
