"""Frames in a stream of octets: cut anywhere, lent without a copy, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.stream.framing import BUFFER_OCTETS, LARGEST_FRAME, FrameReader, FramingError


def framed(frames: Sequence[bytes]) -> bytes:
    return b"".join(pack(">I", len(frame)) + frame for frame in frames)


def put(reader: FrameReader, octets: bytes, frames: list[bytes]) -> None:
    while octets:
        space = reader.space
        count = min(len(space), len(octets))
        space[:count] = octets[:count]
        del space
        reader.received(count)
        while reader.deliver(lambda frame: frames.append(bytes(frame)), 3):
            pass
        octets = octets[count:]


@given(st.lists(st.binary(max_size=40), max_size=20), st.lists(st.integers(1, 50), max_size=30))
def test_frames_arrive_whole_wherever_the_stream_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    reader, seen = FrameReader(), list[bytes]()
    octets = framed(frames)
    for cut in cuts:
        put(reader, octets[:cut], seen)
        octets = octets[cut:]
    put(reader, octets, seen)
    assert seen == [frame for frame in frames if frame]


def test_frames_of_the_largest_size_fill_the_buffer_again_and_again() -> None:
    reader, seen = FrameReader(), list[bytes]()
    frames = [bytes([n]) * LARGEST_FRAME for n in range(3 * BUFFER_OCTETS // LARGEST_FRAME)]
    put(reader, framed(frames), seen)
    assert seen == frames


def test_a_view_that_is_kept_keeps_its_octets() -> None:
    reader, kept = FrameReader(), list[memoryview]()
    frames = [b"first", b"second"]
    for _ in range(3):
        octets = framed(frames) + b"\0\0"
        reader.space[: len(octets)] = octets
        reader.received(len(octets))
        assert not reader.deliver(kept.append, 3)
        reader.reset()
    assert [bytes(view) for view in kept] == frames * 3
    assert reader.lent == 3


def test_a_length_that_is_impossible_is_an_error() -> None:
    reader, seen = FrameReader(), list[bytes]()
    with pytest.raises(FramingError, match=f"a frame of {LARGEST_FRAME + 1} octets is announced"):
        put(reader, framed([b"good"]) + pack(">I", LARGEST_FRAME + 1), seen)
    assert seen == [b"good"]


def test_a_receiver_that_fails_loses_no_other_frame() -> None:
    reader, seen = FrameReader(), list[bytes]()

    def fail(_frame: memoryview) -> None:
        raise RuntimeError

    octets = framed([b"bad", b"good"])
    reader.space[: len(octets)] = octets
    reader.received(len(octets))
    with pytest.raises(RuntimeError):
        reader.deliver(fail, 3)
    reader.deliver(lambda frame: seen.append(bytes(frame)), 3)
    assert seen == [b"good"]


def test_no_more_frames_than_asked_are_delivered_at_once() -> None:
    reader, seen = FrameReader(), list[bytes]()
    octets = framed([bytes([n]) for n in range(5)])
    reader.space[: len(octets)] = octets
    reader.received(len(octets))
    assert reader.deliver(lambda frame: seen.append(bytes(frame)), 2)
    assert len(seen) == 2
    assert reader.deliver(lambda frame: seen.append(bytes(frame)), 2)
    assert not reader.deliver(lambda frame: seen.append(bytes(frame)), 2)
    assert seen == [bytes([n]) for n in range(5)]
