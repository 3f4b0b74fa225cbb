"""The timers of graceful restart: how long peers are waited for, and when an own restart is over (RFC 4724)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.capability import Capability, graceful_restart
from peerlab.bgp.config import GracefulRestart, PeerConfig
from peerlab.bgp.effects import FibChange
from peerlab.bgp.open import Open, make_open
from peerlab.router.graceful_restart import OwnRestart, Patience, grace, kept_forwarding

P, Q = bytes([24, 203, 0, 113]), bytes([24, 198, 51, 100])


class Clock:
    """A loop whose time passes when told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[list[Any]] = []

    def after(self, seconds: float, what: Any) -> Clock._Timer:
        self.timers.append([self.now + seconds, what])
        return Clock._Timer(self, self.timers[-1])

    def run(self, until: float) -> None:
        self.now = until
        for timer in [t for t in self.timers if t[0] <= until]:
            if timer in self.timers:
                self.timers.remove(timer)
                timer[1]()

    class _Timer:
        def __init__(self, clock: Clock, entry: list[Any]) -> None:
            self._clock, self._entry = clock, entry

        def cancel(self) -> None:
            if self._entry in self._clock.timers:
                self._clock.timers.remove(self._entry)


def peer(session: str, restart: GracefulRestart | None) -> PeerConfig:
    return PeerConfig(
        session=session, peer="p", family=Family.IPV4, local_address=Address("192.0.2.0"),
        peer_address=Address("192.0.2.1"), local_as=64500, peer_as=64501, import_policy="", export_policy="",
        graceful_restart=restart,
    )  # fmt: skip


def opened(*capabilities: Capability) -> Open:
    return make_open(64501, Address("192.0.2.1"), 9, capabilities)


YES, NO = peer("s", GracefulRestart(restart_time=30)), peer("s", None)
BOTH = opened(graceful_restart({Family.IPV4: True, Family.IPV6: False}, seconds=7, restarted=True))


@pytest.mark.parametrize(
    ("received", "config", "seconds"),
    [
        (BOTH, YES, 7),
        (BOTH, NO, 0),
        (opened(), YES, 0),
        (None, YES, 0),
        (opened(graceful_restart({Family.IPV6: True}, seconds=7)), YES, 0),
    ],
    ids=["agreed", "not at this end", "not at the peer", "never up", "another family"],
)
def test_routes_are_kept_for_the_peers_restart_time_when_both_agreed(
    received: Open | None, config: PeerConfig, seconds: int
) -> None:
    assert grace(received, config) == seconds


def test_only_families_with_the_f_bit_have_kept_their_forwarding() -> None:
    assert kept_forwarding(BOTH, YES) == (Family.IPV4,)
    assert kept_forwarding(BOTH, NO) == ()
    assert (BOTH.has_restarted, opened().has_restarted) == (True, False)


def test_a_peer_is_waited_for_once_and_no_longer() -> None:
    clock, over = Clock(), list[str]()
    patience = Patience(clock, over.append)  # type: ignore[arg-type]
    patience.begin("s", 5)
    patience.begin("t", 5)
    patience.end("t")
    clock.run(4.9)
    assert (over, patience.waits_for("s"), patience.waits_for("t")) == ([], True, False)
    clock.run(5)
    assert (over, patience.waits_for("s")) == (["s"], False)


def own(clock: Clock, done: list[str]) -> OwnRestart:
    left = [FibChange(Family.IPV4, raw, "remove") for raw in (P, Q)]
    others = msgspec.structs.replace(YES, session="t", graceful_restart=GracefulRestart(restart_time=60))
    third = msgspec.structs.replace(NO, session="u")
    return OwnRestart(clock, (YES, others, third), left, done.append)  # type: ignore[arg-type]


def test_selection_is_put_off_until_every_peer_with_graceful_restart_has_finished() -> None:
    clock, done = Clock(), list[str]()
    restart = own(clock, done)
    restart.is_over_for("u")
    restart.is_over_for("s")
    assert restart.is_deferring
    restart.is_over_for("t")
    assert (restart.is_deferring, len(done)) == (False, 1)
    clock.run(100)
    assert len(done) == 1


def test_selection_is_put_off_no_longer_than_the_longest_restart_time() -> None:
    clock, done = Clock(), list[str]()
    restart = own(clock, done)
    clock.run(59)
    assert restart.is_deferring
    clock.run(60)
    assert (restart.is_deferring, len(done)) == (False, 1)


def test_routes_of_the_earlier_life_that_are_not_installed_again_are_removed() -> None:
    restart = own(Clock(), [])
    again = FibChange(Family.IPV4, P, "unicast", Address("192.0.2.1"), "e0")
    assert [change.raw for change in restart.unused([again])] == [Q]
    assert [change.raw for change in restart.unused([msgspec.structs.replace(again, kind="remove")])] == [P, Q]
