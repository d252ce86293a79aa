"""What a router can say of one direction of a connection: which segments passed again, and which came late."""

from __future__ import annotations

import pytest

from schemes.ip.seen_segments import SeenSegments

ROUND_TRIP = 0.04


def seen(*segments: tuple[float, int, int]) -> SeenSegments:
    """Take (time, sequence number, octets)."""
    counted = SeenSegments()
    for now, sequence, length in segments:
        counted.take(sequence % (1 << 32), length, 0, now, ROUND_TRIP)
    return counted


def counts(counted: SeenSegments) -> tuple[int, int, int]:
    return (counted.segments, counted.retransmitted, counted.out_of_order)


@pytest.mark.parametrize("base", [0, 5000, (1 << 32) - 150, (1 << 32) - 1, 1 << 31])
@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([(0.0, 0, 100), (0.0, 100, 100), (0.0, 200, 100)], (3, 0, 0)),
        ([(0.0, 0, 100), (0.0, 0, 100)], (2, 1, 0)),  # passed before
        ([(0.0, 0, 0), (0.0, 0, 0), (0.0, 0, 0)], (3, 0, 0)),  # ACKs carry no numbers
        ([(0.0, 0, 100), (0.1, 99, 0)], (2, 0, 0)),  # a keepalive
        ([(0.0, 0, 100), (1.0, 200, 100), (1.001, 100, 100), (1.1, 300, 100)], (4, 0, 1)),  # overtaken
        ([(0.0, 0, 100), (1.0, 200, 100), (1.05, 100, 100)], (3, 1, 0)),  # a round trip later: sent again
        ([(0.0, 0, 100), (1.0, 200, 100), (1.05, 100, 100), (1.06, 100, 100)], (4, 2, 0)),  # and again
        ([(0.0, 0, 100), (1.0, 300, 100), (1.001, 200, 100), (1.002, 100, 100)], (4, 0, 2)),  # both halves of a gap
        ([(0.0, 0, 100), (1.0, 300, 100), (1.001, 100, 100), (1.05, 200, 100)], (4, 1, 1)),
        ([(0.0, 0, 100), (0.1, 50, 100), (0.2, 150, 100)], (3, 1, 0)),  # old octets with new ones
    ],
)
def test_a_segment_is_in_order_out_of_order_or_a_retransmission(base, segments, expected):
    assert counts(seen(*((now, base + sequence, length) for now, sequence, length in segments))) == expected


def test_a_super_segment_is_as_many_segments_as_on_the_wire():
    counted = SeenSegments()
    counted.take(0, 2500, 1000, 0.0, ROUND_TRIP)
    assert counts(counted) == (3, 0, 0)
    counted.take(1000, 2000, 1000, 0.1, ROUND_TRIP)  # the second and the third again; nothing new beyond them
    assert counts(counted) == (5, 2, 0)


def test_the_gaps_that_are_remembered_have_a_bound():
    counted = seen(*((1.0, 200 * number, 100) for number in range(100)))
    for number in range(100):
        counted.take(200 * number + 100, 100, 0, 1.001, ROUND_TRIP)
    assert counts(counted) == (200, 35, 64)
