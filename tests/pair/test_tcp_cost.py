"""Cost that is counted, not timed: calls per segment among few and many connections, memory of an idle one."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest

from tests.support.many_connections import Crowd

SEGMENTS = 400
BEFORE_IPV6 = 94.5  # calls for each of 400 segments in pairs, one of them acknowledged
IDLE_LIMIT = 10 << 10  # octets


def calls_per_segment(connections: int, family: int = 4) -> float:
    """Return how many functions, Python's and C's, a segment and its reading call."""
    crowd = Crowd(connections, family)
    crowd.warm_up()
    segments = crowd.segments(SEGMENTS, seed=2)
    calls = 0

    def count(_frame, event: str, _argument) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        crowd.take(segments)
    finally:
        sys.setprofile(None)
    return calls / SEGMENTS


@pytest.mark.plain("counts calls of Python")
def test_a_segment_costs_the_same_among_many_connections() -> None:
    """O(1): within 1.2x from 10 connections to thousands, timers and all."""
    few, many = calls_per_segment(10), calls_per_segment(2000)
    assert many <= 1.2 * few, (few, many)


def test_a_segment_costs_what_it_did_before_there_was_ipv6_and_not_more_by_ipv6() -> None:
    by_v4, by_v6 = calls_per_segment(10), calls_per_segment(10, family=6)
    assert by_v4 <= BEFORE_IPV6, by_v4
    assert by_v6 <= by_v4, by_v6


def test_an_idle_connection_is_small() -> None:
    """10 KiB at most, also after it has carried something."""
    count = 1000
    Crowd(10)  # whatever is made once
    gc.collect()
    tracemalloc.start()
    try:
        crowd = Crowd(count)
        crowd.take(crowd.segments(2 * count))
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert used <= IDLE_LIMIT, used


def test_nothing_is_left_of_closed_connections() -> None:
    crowd = Crowd(500)
    crowd.take(crowd.segments(500))
    crowd.close()
    assert not crowd.tcp.connections
    assert crowd.timers.pending == 0
