"""What is on its way, from the kernel's table of TCP connections."""

from __future__ import annotations

import pytest

from peerlab.runtime.transport import in_flight

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
V4 = "   0: 0100007F:{local:04X} 0200007F:{remote:04X} {state} {sent:08X}:{unread:08X} 00:00000000 00000000 0 0 1 1\n"
V6 = (
    "   1: 00000000000000000000000001000000:{local:04X} 00000000000000000000000002000000:{remote:04X} "
    "{state} {sent:08X}:{unread:08X} 00:00000000 00000000     0        0 2 1\n"
)
ESTABLISHED, LISTEN = "01", "0A"


def line(
    form: str, state: str = ESTABLISHED, local: int = 179, remote: int = 40000, sent: int = 0, unread: int = 0
) -> str:
    return form.format(state=state, local=local, remote=remote, sent=sent, unread=unread)


@pytest.mark.parametrize("form", [V4, V6])
@pytest.mark.parametrize(
    ("changed", "octets"),
    [
        ({}, 0),
        ({"sent": 19}, 19),
        ({"unread": 4096}, 4096),
        ({"sent": 1, "unread": 2}, 3),
        ({"sent": 19, "local": 40000, "remote": 179}, 19),
        ({"sent": 19, "local": 40000}, 0),  # somebody else's connection
        ({"unread": 3, "state": LISTEN}, 0),  # connections that were not accepted yet
    ],
)
def test_octets_count_that_are_not_acknowledged_or_not_read(form: str, changed: dict[str, int], octets: int) -> None:
    assert in_flight(HEAD + line(form) + line(form, **changed), 179) == octets  # type: ignore[arg-type]
