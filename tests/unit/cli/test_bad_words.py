"""What a person mistypes: exit code, a text that says what to do, and never a traceback."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from command import DIRECT, Command

from peerlab.errors import PeerlabError, RefusedError, TimedOut
from peerlab.runtime.machine import Fact

REFUSED = [
    # words, what the error says
    (["sesions"], "there is no command sesions; did you mean 'sessions'?"),
    (["fault", "link-dwn"], "link-down"),
    (["up"], "Missing argument 'TOPOLOGY'"),
    (["up", "no-such.yaml"], "no-such.yaml: no such file"),
    (["up", DIRECT.parent], "is a directory"),
    (["up", DIRECT, "--name", "Bad Name!"], "BadLabName: 'Bad Name!' cannot name a lab"),
    (["up", DIRECT, "--colour"], "No such option"),
    (["down", "nolab"], "NoSuchLab"),
    (["sessions", "nolab"], "NoSuchLab: there is no lab nolab"),
    (["sessions"], "NoLab: no lab runs; start one with"),
    (["inspect", "nolab"], "NoSuchLab"),
    (["trace", "nolab"], "NoSuchLab"),
    (["trace", "--kind", "updat"], "'updat' is not one of"),
    (["check", "nolab"], "NoSuchLab"),
    (["check", "--id", "PLO-02"], "--id: there is no check PLO-02; did you mean 'POL-02'?"),
    (["explain", "a", "203.0.113.1/24"], "203.0.113.1/24 has host bits set; give a network such as"),
    (["explain", "a", "nonsense"], "PREFIX: 'nonsense' does not appear to be an IPv4 or IPv6 network"),
    (["explain", "a"], "Missing argument 'PREFIX'"),
    (["routes", "a", "--view", "rib"], "'rib' is not one of 'loc-rib'"),
    (["fault", "degrade", "a:b", "--loss", "101"], "101"),
    (["exec", "a"], "Missing argument"),
    (["capture", "a", "b"], "Missing option '--write'"),
    (["graph", DIRECT, "-o", "/nonexistent/lab.svg"], "/nonexistent/lab.svg: cannot be written"),
    (["rehearse", DIRECT, "--json", "/nonexistent/v.json"], "there is no directory /nonexistent"),
    (["rehearse", DIRECT, "--junit", "/"], "/: is a directory; name a file in it"),
]


@pytest.mark.parametrize(
    ("words", "said"), REFUSED, ids=lambda value: " ".join(map(str, value))[-40:] if isinstance(value, list) else ""
)
def test_bad_words_end_with_3_and_a_remedy(peerlab: Command, words: list[str | Path], said: str) -> None:
    assert peerlab(*words) == 3
    assert said in peerlab.err
    assert not peerlab.out


RAISED = [
    # what a command raises, exit code, what is said
    (RefusedError("BadArgument", "no such metro"), 3, "peerlab: BadArgument: no such metro\n"),
    (TimedOut("Established of a--b.v4", 20), 4, "peerlab: Established of a--b.v4 did not happen within 20 s\n"),
    (PeerlabError("the lab broke"), 4, "peerlab: the lab broke\n"),
    (KeyError("x"), 4, "peerlab: a defect of peerlab itself: KeyError: 'x'\nPlease report it"),
    (KeyboardInterrupt(), 130, "\npeerlab: interrupted; `peerlab ls` shows what still runs\n"),
]


@pytest.mark.parametrize(("raised", "code", "said"), RAISED, ids=lambda value: type(value).__name__)
def test_every_error_becomes_an_exit_code_and_a_text(
    peerlab: Command, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, said: str
) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr("peerlab.cli.machine.examine", fail)
    assert peerlab("doctor") == code
    assert peerlab.err.startswith(said)


def test_a_defect_shows_its_place_on_request(peerlab: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise KeyError("x")

    monkeypatch.setattr("peerlab.cli.machine.examine", fail)
    monkeypatch.setenv("PEERLAB_DEBUG", "1")
    with pytest.raises(KeyError):
        peerlab("doctor")


def test_a_terminal_that_cannot_show_a_letter_gets_a_question_mark(
    peerlab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="iso-8859-15")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr("peerlab.cli.machine.examine", lambda: (Fact("a → b", True, "works"),))
    assert peerlab("doctor") == 0
    narrow.flush()
    assert b"ok  a ? b: works\n" in narrow.buffer.getvalue()  # type: ignore[attr-defined]
