"""The loop: what is due is done, in order, and nothing else wakes it."""

from __future__ import annotations

import os
import signal
import time

from peerlab.router.loop import READ, WRITE, Loop


def test_calls_for_soon_are_made_in_order_and_new_ones_in_the_next_turn() -> None:
    loop, told = Loop(), []
    loop.soon(lambda: (told.append("a"), loop.soon(lambda: told.append("c"))))
    loop.soon(lambda: told.append("b"))
    loop.turn(0)
    assert told == ["a", "b"]
    loop.turn(0)
    assert told == ["a", "b", "c"]


def test_timers_fire_in_order_of_time_and_cancelled_ones_never() -> None:
    loop, told = Loop(), []
    loop.after(0.002, lambda: told.append("later"))
    loop.after(0.001, lambda: told.append("sooner"))
    loop.after(0.0, lambda: told.append("never")).cancel()
    deadline = time.monotonic() + 5
    while len(told) < 2 and time.monotonic() < deadline:
        loop.turn(1.0)
    assert told == ["sooner", "later"]


def test_a_descriptor_is_watched_until_it_is_not() -> None:
    loop, told = Loop(), []
    reader, writer = os.pipe()
    loop.watch(reader, READ, lambda events: told.append(os.read(reader, 1)))
    loop.turn(0)
    assert told == []
    os.write(writer, b"xy")
    loop.turn(1)
    loop.turn(1)
    assert told == [b"x", b"y"]
    loop.unwatch(reader)
    os.write(writer, b"z")
    loop.turn(0)
    assert told == [b"x", b"y"]
    loop.unwatch(reader)  # harmless
    os.close(reader)
    os.close(writer)


def test_what_a_descriptor_is_watched_for_can_change() -> None:
    loop, told = Loop(), []
    reader, writer = os.pipe()
    loop.watch(writer, READ, lambda events: told.append("read"))
    loop.turn(0)
    assert told == []
    loop.watch(writer, READ | WRITE, lambda events: told.append("write"))
    loop.turn(1)
    assert told == ["write"]
    loop.unwatch(writer)
    os.close(reader)
    os.close(writer)


def test_one_watcher_may_end_another_that_is_ready_in_the_same_turn() -> None:
    loop, told = Loop(), []
    pipes = [os.pipe() for _ in range(2)]

    def only_once(events: int) -> None:
        told.append("one")
        for reader, _ in pipes:
            loop.unwatch(reader)

    for reader, writer in pipes:
        loop.watch(reader, READ, only_once)
        os.write(writer, b"x")
    loop.turn(1)
    assert told == ["one"]
    for reader, writer in pipes:
        os.close(reader)
        os.close(writer)


def test_a_signal_is_heard_in_the_loop() -> None:
    loop, told = Loop(), []
    before = signal.getsignal(signal.SIGUSR1)
    try:
        loop.stop_on((signal.SIGUSR1,), lambda: (told.append("stop"), loop.stop()))
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run()
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
    assert told == ["stop"]


def test_the_end_of_a_turn_is_told_each_time() -> None:
    loop, told = Loop(), []
    loop.after_each_turn(lambda: told.append("over"))
    loop.soon(lambda: told.append("work"))
    loop.turn(0)
    loop.turn(0)
    assert told == ["work", "over", "over"]
