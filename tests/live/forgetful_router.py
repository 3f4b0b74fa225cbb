"""A router that restarts as if it never had run. A zygote preloads it in place of the right one.

It announces graceful restart like any other, but takes its routes out of the kernel when it starts, says nothing of
its restart in its OPEN, and forgets a peer's routes the moment that the session is gone.
"""

from __future__ import annotations

import peerlab.router.zygote  # noqa: F401  (everything that every router has in common)
from peerlab.bgp.effects import FibChange
from peerlab.bgp.speaker import BgpSpeaker
from peerlab.router.fib import Fib
from peerlab.router.main import run_forked

__all__ = ["run_forked"]

_leftovers = Fib.leftovers


def _take_out(self: Fib) -> list[FibChange]:
    self.apply(_leftovers(self))
    return []


def _forget(self: BgpSpeaker, session: str, now: int) -> int:
    self.peer_down(session, "", now)
    return 0


Fib.leftovers = _take_out  # type: ignore[method-assign]
BgpSpeaker.peer_restarts = _forget  # type: ignore[method-assign]
