"""Frames and the file descriptors that ride along."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerlab.errors import RuntimeFailure
from peerlab.runtime.framing import Channel, FrameTooLong


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    ends = Channel(left), Channel(right)
    yield ends
    for end in ends:
        end.close()


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 64), min_size=1, max_size=20))
def test_frames_survive_any_chopping(frames: list[bytes], chops: list[int]) -> None:
    stream = b"".join(struct.pack("!I", len(frame)) + frame for frame in frames)
    left, right = socket.socketpair()
    receiver = Channel(right)
    right.setblocking(False)
    got: list[bytes] = []
    offset = turn = 0
    while offset < len(stream):
        size = chops[turn % len(chops)]
        left.send(stream[offset : offset + size])
        got += receiver.feed() or []
        offset, turn = offset + size, turn + 1
    left.close()
    receiver.close()
    assert got == frames


def test_descriptors_arrive_with_their_frames_in_order(pair: tuple[Channel, Channel]) -> None:
    sender, receiver = pair
    pipes = [os.pipe() for _ in range(3)]
    sender.queue(b"one", [pipes[0][1]])
    sender.queue(b"none")
    sender.queue(b"two", [pipes[1][1], pipes[2][1]])
    assert sender.flush()
    frames: list[bytes] = []
    while len(frames) < 3:
        frames += receiver.feed() or []
    assert frames == [b"one", b"none", b"two"]
    (first,) = receiver.take_descriptors(1)
    second, third = receiver.take_descriptors(2)
    for descriptor, (reader, _), word in zip((first, second, third), pipes, (b"1", b"2", b"3"), strict=True):
        os.write(descriptor, word)
        assert os.read(reader, 9) == word
        os.close(descriptor)
        assert os.read(reader, 9) == b""  # the sender kept no copy: nobody else holds the writing end
        os.close(reader)


def test_promised_descriptors_that_did_not_come_are_an_error(pair: tuple[Channel, Channel]) -> None:
    with pytest.raises(RuntimeFailure, match="promised 1"):
        pair[1].take_descriptors(1)


def test_a_frame_beyond_the_limit_is_refused_before_it_is_read(pair: tuple[Channel, Channel]) -> None:
    sender, receiver = pair
    sender.socket.send(struct.pack("!I", 1 << 31))
    with pytest.raises(FrameTooLong):
        receiver.feed()


def test_the_end_of_the_stream_is_none_and_silence_is_empty(pair: tuple[Channel, Channel]) -> None:
    sender, receiver = pair
    assert receiver.feed() == []
    sender.socket.close()
    assert receiver.feed() is None


def test_a_slow_reader_makes_a_backlog_that_drains(pair: tuple[Channel, Channel]) -> None:
    sender, receiver = pair
    frame = b"x" * 4_000_000
    sender.queue(frame)
    assert not sender.flush()  # the socket's buffer is smaller
    got: list[bytes] = []
    while not got:
        got = receiver.feed() or []
        sender.flush()
    assert got == [frame] and sender.flush()
