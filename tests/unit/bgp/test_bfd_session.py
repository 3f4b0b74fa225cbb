"""The BFD state machine: every row of RFC 5880 section 6.8.6, its timers, and any two ends left to themselves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.bfd_packet import BfdDiagnostic, BfdState, ControlPacket, Discarded, decode, encode
from peerlab.bgp.bfd_session import BfdSession, StateChange
from peerlab.bgp.config import BfdConfig

MS = 1_000_000
SECOND = 1000 * MS
ADMIN, DOWN, INIT, UP = BfdState.ADMIN_DOWN, BfdState.DOWN, BfdState.INIT, BfdState.UP


def most() -> float:
    return 0.999_999


def least() -> float:
    return 0.0


def session(config: BfdConfig = BfdConfig(), now: int = 0, enabled: bool = True) -> BfdSession:  # noqa: B008
    made = BfdSession(config, 7, now, enabled)
    made.run(now, least)
    made.take()
    return made


def packet(state: BfdState, **more: object) -> ControlPacket:
    given = {"detect_mult": 3, "desired_min_tx": 300_000, "required_min_rx": 300_000, "my_discriminator": 9}
    return ControlPacket(state=state, your_discriminator=7, **{**given, **more})  # type: ignore[arg-type]


def bring(to: BfdState, config: BfdConfig = BfdConfig(), now: int = 0) -> BfdSession:  # noqa: B008
    """A session in a state, its Poll answered, with nothing left to send."""
    made = session(config, now, enabled=to is not ADMIN)
    for state in {INIT: [DOWN], UP: [DOWN, INIT]}.get(to, []):
        made.receive(packet(state, final=state is INIT), now, least)
    if to is UP:
        made.receive(packet(UP, final=True), now, least)
    assert made.state is to
    made.take()
    made.changes()
    return made


TABLE = {
    # our state: what the peer says → our state after it (RFC 5880 sections 6.2 and 6.8.6)
    ADMIN: {ADMIN: ADMIN, DOWN: ADMIN, INIT: ADMIN, UP: ADMIN},
    DOWN: {ADMIN: DOWN, DOWN: INIT, INIT: UP, UP: DOWN},
    INIT: {ADMIN: DOWN, DOWN: INIT, INIT: UP, UP: UP},
    UP: {ADMIN: DOWN, DOWN: DOWN, INIT: UP, UP: UP},
}


@pytest.mark.parametrize(
    ("before", "said", "after"), [(b, s, a) for b, row in TABLE.items() for s, a in row.items()], ids=str
)
def test_follows_every_row_of_the_state_machine(before: BfdState, said: BfdState, after: BfdState) -> None:
    made = bring(before)
    made.receive(packet(said), SECOND, least)
    assert made.state is after
    moved = made.changes()
    assert [(m.before, m.after) for m in moved] == ([(before, after)] if before is not after else [])
    assert len(made.take()) == len(moved), "a change is told at once (6.8.7), no change is not"


@pytest.mark.parametrize(
    ("said", "failed", "diagnostic"),
    [(DOWN, True, BfdDiagnostic.NEIGHBOR_SIGNALED_DOWN), (ADMIN, False, BfdDiagnostic.NEIGHBOR_SIGNALED_DOWN)],
    ids=str,
)
def test_only_a_peer_that_is_down_by_failure_breaks_the_path(said: BfdState, failed: bool, diagnostic: int) -> None:
    """RFC 5882 section 3.2: AdminDown says nothing about the path."""
    made = bring(UP)
    made.receive(packet(said), SECOND, least)
    (moved,) = made.changes()
    assert (moved.after, moved.path_failed, moved.diagnostic) == (DOWN, failed, diagnostic)
    (told,) = made.take()
    assert (told.state, told.diagnostic) == (DOWN, diagnostic)


def test_silence_for_the_detection_time_breaks_the_path_and_forgets_the_peer() -> None:
    made = bring(UP)
    made.receive(packet(UP, detect_mult=5, desired_min_tx=400_000), SECOND, least)
    assert made.detection_time == 5 * 400_000, "the peer's multiplier by the slower of its sending and our receiving"
    made.run(SECOND + 2000 * MS - 1, most)
    assert made.state is UP
    made.take()
    made.run(SECOND + 2000 * MS, most)
    (moved,) = made.changes()
    assert moved == StateChange(UP, DOWN, BfdDiagnostic.DETECTION_TIME_EXPIRED, DOWN, path_failed=True)
    told = made.take()[0]
    assert (told.state, told.your_discriminator) == (DOWN, 0)


def test_our_own_administration_is_no_failure_and_the_peer_is_told() -> None:
    made = bring(UP)
    made.set_enabled(False, SECOND, least)
    (moved,) = made.changes()
    assert (moved.after, moved.path_failed) == (ADMIN, False)
    (told,) = made.take()
    assert (told.state, told.diagnostic) == (ADMIN, BfdDiagnostic.ADMINISTRATIVELY_DOWN)
    made.run(3 * SECOND, least)
    assert [p.state for p in made.take()] == [ADMIN], "it goes on telling"
    made.set_enabled(True, 4 * SECOND, least)
    assert made.state is DOWN


def test_a_poll_is_answered_at_once_beside_the_periodic_packets() -> None:
    made = bring(UP)
    due = made.due()
    made.receive(packet(UP, poll=True), 10 * MS, least)
    (answer,) = made.take()
    assert (answer.final, answer.poll) == (True, False)
    assert made.due() == due


def test_coming_up_is_agreed_on_by_a_poll_that_ends_with_the_final() -> None:
    """The fast interval is sent at once and announced by Poll until the peer has said Final (6.8.3)."""
    made = session()
    assert made.transmit_interval == 1_000_000
    made.receive(packet(DOWN), 0, least)
    made.receive(packet(INIT), 0, least)
    assert made.transmit_interval == 300_000
    assert made.take()[-1].poll
    made.run(225 * MS, least)
    assert [p.poll for p in made.take()] == [True]
    made.receive(packet(UP, final=True), 230 * MS, least)
    made.run(450 * MS, least)
    assert [p.poll for p in made.take()] == [False]


def test_slower_sending_waits_for_the_final_and_faster_receiving_too() -> None:
    made = bring(UP)
    made.set_config(BfdConfig(interval_ms=500), 0, least)
    (told,) = made.take()
    assert (told.poll, told.desired_min_tx, made.transmit_interval) == (True, 500_000, 300_000)
    made.receive(packet(UP, final=True), MS, least)
    assert made.transmit_interval == 500_000
    assert made.detection_time == 3 * 500_000
    made.set_config(BfdConfig(interval_ms=100), 2 * MS, least)
    assert made.detection_time == 3 * 500_000, "the peer does not know yet that it may be silent for less"
    made.receive(packet(UP, desired_min_tx=100_000, required_min_rx=100_000, final=True), 3 * MS, least)
    assert (made.detection_time, made.transmit_interval) == (300_000, 100_000)


@pytest.mark.parametrize(
    ("mult", "jitter", "share"), [(3, least, 0.75), (3, most, 1.0), (1, least, 0.75), (1, most, 0.90)]
)
def test_an_interval_is_jittered_as_the_rfc_says(mult: int, jitter: object, share: float) -> None:
    """75 to 100 %, and with a detect mult of 1 at most 90 % (6.8.7)."""
    made = bring(UP, BfdConfig(multiplier=mult))
    made.run(300 * MS, jitter)  # type: ignore[arg-type]
    assert [p.state for p in made.take()] == [UP]
    due = made.due()
    assert due is not None
    interval = (due - 300 * MS) / (300 * MS)
    assert share - 0.001 <= interval <= share


def test_nothing_is_sent_by_itself_to_a_peer_that_wants_nothing() -> None:
    made = bring(UP)
    made.receive(packet(UP, required_min_rx=0), 0, least)
    made.run(800 * MS, least)
    assert made.take() == []


def test_a_peer_in_demand_mode_is_left_in_peace_while_both_are_up() -> None:
    made = bring(UP)
    made.receive(packet(UP, demand=True), 0, least)
    made.run(800 * MS, least)
    assert made.take() == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (packet(UP, authentication=b"\x01\x03\x01"), "authenticated"),
        (ControlPacket(state=UP, my_discriminator=9, your_discriminator=8, detect_mult=3, desired_min_tx=1,
                       required_min_rx=1), "not ours"),
    ],
)  # fmt: skip
def test_a_packet_that_must_not_count_changes_nothing(wrong: ControlPacket, why: str) -> None:
    made = bring(UP)
    due = made.due()
    with pytest.raises(Discarded, match=why):
        made.receive(wrong, 100 * MS, least)
    assert (made.state, made.due(), made.take()) == (UP, due, [])


def test_a_peer_that_restarts_with_another_discriminator_is_followed() -> None:
    made = bring(UP)
    fresh = ControlPacket(state=DOWN, my_discriminator=99, detect_mult=3, desired_min_tx=10**6, required_min_rx=300_000)
    made.receive(fresh, SECOND, least)
    assert (made.state, made.remote_discriminator) == (DOWN, 99)


# -- two ends on one wire --------------------------------------------------------------------------------------------


class Wire:
    """Two sessions and the packets between them, by the clock; each direction can be cut."""

    def __init__(self, left: BfdConfig, right: BfdConfig, jitters: Iterator[float], delay: int = MS) -> None:
        self.ends = [BfdSession(left, 1, 0), BfdSession(right, 2, 0)]
        self.cut = [False, False]
        """Whether what the left, the right end sends is lost."""
        self.now = 0
        self.changes: list[list[StateChange]] = [[], []]
        self._jitters = jitters
        self._delay = delay
        self._flying: list[tuple[int, int, bytes]] = []

    def _jitter(self) -> float:
        return next(self._jitters)

    def _collect(self) -> None:
        for side, end in enumerate(self.ends):
            self.changes[side] += end.changes()
            for one in end.take():
                if not self.cut[side]:
                    self._flying.append((self.now + self._delay, 1 - side, encode(one)))

    def run_until(self, when: int) -> None:
        self._collect()
        while True:
            dues = [due for end in self.ends if (due := end.due()) is not None] + [at for at, _, _ in self._flying]
            soonest = min(dues, default=when)
            if soonest > when:
                break
            self.now = max(self.now, soonest)
            for item in [f for f in self._flying if f[0] <= self.now]:
                self._flying.remove(item)
                self.ends[item[1]].receive(decode(item[2]), self.now, self._jitter)
                self._collect()
            for end in self.ends:
                due = end.due()
                if due is not None and due <= self.now:
                    end.run(self.now, self._jitter)
                self._collect()
        self.now = when


CONFIGS = st.builds(BfdConfig, interval_ms=st.integers(10, 1000), multiplier=st.integers(1, 10))
JITTERS = st.lists(st.floats(0, 0.999), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(CONFIGS, CONFIGS, JITTERS)
def test_two_ends_come_up_and_stay_up_whatever_was_configured(
    left: BfdConfig, right: BfdConfig, js: list[float]
) -> None:
    wire = Wire(left, right, itertools.cycle(js))
    wire.run_until(30 * SECOND)
    assert [end.state for end in wire.ends] == [UP, UP]
    for side in (0, 1):
        assert [c.after for c in wire.changes[side]] in ([INIT, UP], [UP]), "no flap on the way"
        assert wire.ends[side].transmit_interval == 1000 * max(left.interval_ms, right.interval_ms)
        assert not wire.ends[side]._polling


@settings(max_examples=60, deadline=None)
@given(CONFIGS, CONFIGS, JITTERS, st.sampled_from([(True, True), (True, False), (False, True)]))
def test_loss_in_one_direction_is_found_like_loss_in_both(
    left: BfdConfig, right: BfdConfig, js: list[float], cut: tuple[bool, bool]
) -> None:
    """Whoever hears nothing is down after the detection time, and the other end is told or finds out by itself."""
    wire = Wire(left, right, itertools.cycle(js))
    wire.run_until(30 * SECOND)
    bound = max(end.detection_time for end in wire.ends) * 1000 + 10 * MS
    wire.cut = list(cut)
    for changes in wire.changes:
        changes.clear()
    wire.run_until(30 * SECOND + bound)
    for side in (0, 1):
        assert wire.ends[side].state is not UP
        assert wire.changes[side][0].path_failed
    wire.cut = [False, False]
    wire.run_until(wire.now + 30 * SECOND)
    assert [end.state for end in wire.ends] == [UP, UP], "mended, it comes back"


@settings(max_examples=40, deadline=None)
@given(CONFIGS, CONFIGS, JITTERS)
def test_administration_of_one_end_is_nobodys_failure(left: BfdConfig, right: BfdConfig, js: list[float]) -> None:
    wire = Wire(left, right, itertools.cycle(js))
    wire.run_until(30 * SECOND)
    wire.ends[0].set_enabled(False, wire.now, lambda: 0.5)
    wire.run_until(60 * SECOND)
    assert [end.state for end in wire.ends] == [ADMIN, DOWN]
    assert not any(change.path_failed for changes in wire.changes for change in changes)
    wire.ends[0].set_enabled(True, wire.now, lambda: 0.5)
    wire.run_until(90 * SECOND)
    assert [end.state for end in wire.ends] == [UP, UP]
