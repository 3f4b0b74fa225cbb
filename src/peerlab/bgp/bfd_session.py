"""One BFD session in asynchronous mode, without sockets, clock or randomness (RFC 5880 section 6).

The owner hands in what came (``receive``) and calls ``run`` when ``due`` says so; ``take`` gives what is to be sent.
Times are nanoseconds of one monotonic clock; intervals inside packets are microseconds. The jitter of each interval is
an argument, so that a test can choose it. Not done: demand mode of our own, the echo function, authentication.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from peerlab.bgp.bfd_packet import BfdDiagnostic, BfdState, ControlPacket, Discarded
from peerlab.bgp.config import BfdConfig

SLOW_INTERVAL = 1_000_000
"""Microseconds: the least DesiredMinTxInterval of a session that is not Up (RFC 5880 section 6.8.3)."""
_MICROSECOND = 1000
_MILLISECOND = 1000
_NEVER_SENT = -(1 << 62)

Jitter = Callable[[], float]
"""A fresh number in [0, 1): how far into the range of section 6.8.7 the next interval lies."""


class StateChange(msgspec.Struct, frozen=True):
    """The session moved. ``path_failed`` says that a client protocol has to treat its path as broken (RFC 5882
    section 3.2): Up was lost, and neither end did that by administration."""

    before: BfdState
    after: BfdState
    diagnostic: int
    remote: BfdState
    path_failed: bool


class BfdSession:
    """The state variables of RFC 5880 section 6.8.1 and what moves them."""

    def __init__(self, config: BfdConfig, discriminator: int, now: int, enabled: bool = True) -> None:
        """``discriminator`` is not zero and unique in this system. The first packet is due at once."""
        self.config = config
        self.local_discriminator = discriminator
        self.remote_discriminator = 0
        self.state = BfdState.DOWN if enabled else BfdState.ADMIN_DOWN
        self.remote_state = BfdState.DOWN
        self.diagnostic: int = BfdDiagnostic.NONE if enabled else BfdDiagnostic.ADMINISTRATIVELY_DOWN
        self.remote_diagnostic = 0
        self.since = now
        self._remote_min_rx = 1
        self._remote_min_tx = 0
        self._remote_mult = 0
        self._remote_demand = False
        self._polling = False
        self._tx_in_force = self._wanted_tx()
        self._rx_in_force = self._wanted_rx()
        self._heard_at: int | None = None
        self._sent_at = _NEVER_SENT
        self._gap = 0.0
        self._out: list[ControlPacket] = []
        self._changes: list[StateChange] = []

    # what the owner asks

    @property
    def transmit_interval(self) -> int:
        """Microseconds between our packets before jitter: the slower of what we want and what the peer can take."""
        return max(self._tx_in_force, self._remote_min_rx)

    @property
    def detection_time(self) -> int:
        """Microseconds of silence after which the path counts as broken (section 6.8.4); 0 before anything came."""
        return self._remote_mult * max(self._rx_in_force, self._remote_min_tx)

    def due(self) -> int | None:
        """When ``run`` must be called next if nothing comes before; None for never."""
        times = [when for when in (self._transmit_at(), self._expires_at()) if when is not None]
        return min(times) if times else None

    def take(self) -> list[ControlPacket]:
        """Packets to send now, in order."""
        out, self._out = self._out, []
        return out

    def changes(self) -> list[StateChange]:
        """Every move since the last time, in order."""
        changes, self._changes = self._changes, []
        return changes

    # what happens to it

    def receive(self, packet: ControlPacket, now: int, jitter: Jitter) -> None:
        """A packet that belongs to this session (section 6.8.6). Raises Discarded when it must not count."""
        if packet.your_discriminator not in (0, self.local_discriminator):
            raise Discarded(f"your discriminator {packet.your_discriminator:#x} is not ours")
        if packet.authentication:
            raise Discarded("it is authenticated, and no authentication is agreed")
        self.remote_discriminator = packet.my_discriminator
        self.remote_state = packet.state
        self.remote_diagnostic = packet.diagnostic
        self._remote_demand = packet.demand
        self._remote_min_rx = packet.required_min_rx
        self._remote_min_tx = packet.desired_min_tx
        self._remote_mult = packet.detect_mult
        if packet.final and self._polling:
            self._end_poll()
        if self.state is BfdState.ADMIN_DOWN:
            return
        self._heard_at = now
        self._follow(packet.state, now, jitter)
        if packet.poll:
            self._send(now, jitter, final=True)

    def run(self, now: int, jitter: Jitter) -> None:
        """Do what is due: expire the detection time, send the periodic packet."""
        expires = self._expires_at()
        if expires is not None and now >= expires:
            self._expire(now, jitter)
        transmit = self._transmit_at()
        if transmit is not None and now >= transmit:
            self._send(now, jitter)

    def set_enabled(self, enabled: bool, now: int, jitter: Jitter) -> None:
        """Administrative control (section 6.8.16): AdminDown, told to the peer, or Down and from there up again."""
        if enabled and self.state is BfdState.ADMIN_DOWN:
            self._move(BfdState.DOWN, BfdDiagnostic.NONE, now, jitter)
        elif not enabled and self.state is not BfdState.ADMIN_DOWN:
            self._heard_at = None
            self._move(BfdState.ADMIN_DOWN, BfdDiagnostic.ADMINISTRATIVELY_DOWN, now, jitter)

    def set_config(self, config: BfdConfig, now: int, jitter: Jitter) -> None:
        """Other timers from now on, agreed on by a Poll Sequence where the RFC asks for one (section 6.8.3)."""
        self.config = config
        self._renegotiate()
        self._send(now, jitter)

    # the state machine

    def _follow(self, remote: BfdState, now: int, jitter: Jitter) -> None:
        if remote is BfdState.ADMIN_DOWN:
            if self.state is not BfdState.DOWN:
                self._move(BfdState.DOWN, BfdDiagnostic.NEIGHBOR_SIGNALED_DOWN, now, jitter)
        elif self.state is BfdState.DOWN:
            if remote is BfdState.DOWN:
                self._move(BfdState.INIT, BfdDiagnostic.NONE, now, jitter)
            elif remote is BfdState.INIT:
                self._move(BfdState.UP, BfdDiagnostic.NONE, now, jitter)
        elif self.state is BfdState.INIT:
            if remote in (BfdState.INIT, BfdState.UP):
                self._move(BfdState.UP, BfdDiagnostic.NONE, now, jitter)
        elif remote is BfdState.DOWN:
            self._move(BfdState.DOWN, BfdDiagnostic.NEIGHBOR_SIGNALED_DOWN, now, jitter)

    def _expire(self, now: int, jitter: Jitter) -> None:
        """The peer's discriminator is forgotten, so that it may come back with another (section 6.8.1)."""
        self._heard_at = None
        self.remote_discriminator = 0
        self._remote_min_rx = 1
        self.remote_state = BfdState.DOWN
        if self.state in (BfdState.INIT, BfdState.UP):
            self._move(BfdState.DOWN, BfdDiagnostic.DETECTION_TIME_EXPIRED, now, jitter)

    def _move(self, after: BfdState, diagnostic: BfdDiagnostic, now: int, jitter: Jitter) -> None:
        before, self.state = self.state, after
        if after is not BfdState.INIT:  # a session on its way up still tells why it went down
            self.diagnostic = diagnostic
        self.since = now
        administered = BfdState.ADMIN_DOWN in (after, self.remote_state)
        self._changes.append(
            StateChange(
                before=before,
                after=after,
                diagnostic=self.diagnostic,
                remote=self.remote_state,
                path_failed=before is BfdState.UP and not administered,
            )
        )
        self._renegotiate()
        self._send(now, jitter)

    # timers

    def _wanted_tx(self) -> int:
        wanted = self.config.interval_ms * _MILLISECOND
        return wanted if self.state is BfdState.UP else max(wanted, SLOW_INTERVAL)

    def _wanted_rx(self) -> int:
        return self.config.interval_ms * _MILLISECOND

    def _renegotiate(self) -> None:
        """Section 6.8.3: while Up, a slower interval of ours and a faster one of the peer's wait for the peer's Final;
        everything else holds at once."""
        tx, rx = self._wanted_tx(), self._wanted_rx()
        up = self.state is BfdState.UP
        changed = (tx, rx) != (self._tx_in_force, self._rx_in_force)
        if not (up and tx > self._tx_in_force):
            self._tx_in_force = tx
        if not (up and rx < self._rx_in_force):
            self._rx_in_force = rx
        self._polling = up and (changed or self._polling)

    def _end_poll(self) -> None:
        self._polling = False
        self._tx_in_force, self._rx_in_force = self._wanted_tx(), self._wanted_rx()

    def _transmit_at(self) -> int | None:
        """Never to a peer that wants none; none periodically to one in demand mode unless a Poll is on (6.8.7)."""
        if self._sent_at == _NEVER_SENT:
            return self.since
        if not self._remote_min_rx:
            return None
        quiet = self._remote_demand and self.remote_state is BfdState.UP and self.state is BfdState.UP
        if quiet and not self._polling:
            return None
        return self._sent_at + int(self.transmit_interval * _MICROSECOND * self._gap)

    def _expires_at(self) -> int | None:
        if self._heard_at is None or not self.detection_time:
            return None
        return self._heard_at + self.detection_time * _MICROSECOND

    def _send(self, now: int, jitter: Jitter, final: bool = False) -> None:
        """Queue a packet. An answer to a Poll does not count as the periodic one (section 6.5)."""
        self._out.append(
            ControlPacket(
                state=self.state,
                diagnostic=self.diagnostic,
                poll=self._polling and not final,
                final=final,
                detect_mult=self.config.multiplier,
                my_discriminator=self.local_discriminator,
                your_discriminator=self.remote_discriminator,
                desired_min_tx=self._wanted_tx(),
                required_min_rx=self._wanted_rx(),
            )
        )
        if not final:
            self._sent_at = now
            most = 0.90 if self.config.multiplier == 1 else 1.0
            self._gap = 0.75 + (most - 0.75) * jitter()
