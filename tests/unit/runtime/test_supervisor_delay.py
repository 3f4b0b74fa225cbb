"""The supervisor's ear for the delay line."""

from __future__ import annotations

import selectors
import socket

import pytest

from peerlab.runtime.supervisor import Supervisor


@pytest.mark.parametrize(
    ("events", "losses"),
    [
        (selectors.EVENT_WRITE, 0),  # it was behind with its orders, and there is room again
        (selectors.EVENT_READ, 1),
        (selectors.EVENT_READ | selectors.EVENT_WRITE, 1),
    ],
)
def test_only_the_end_of_the_conversation_is_the_end_of_the_delay_line(
    monkeypatch: pytest.MonkeyPatch, events: int, losses: int
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        supervisor = Supervisor("unit", listener)
        told: list[None] = []
        monkeypatch.setattr(supervisor, "_lose_delay_line", lambda: told.append(None))
        supervisor._hear_delay_line(events)
        assert len(told) == losses
