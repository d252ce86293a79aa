"""What connections cost: `./dev bench` begins with this. In memory, without a driver or a mount; ratios in one run.

per segment    1000 octets in, read at once, its share of timers and ACKs, among 10, 1,000 and 10,000 connections
idle           octets of memory for each established connection that carries nothing
life           handshake, accept, and both FINs
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from many_connections import Crowd  # noqa: E402 # the paths above are pytest's when it runs

SEGMENTS: Final = 5000
ROUNDS: Final = 7
GOAL: Final = 1.2


def seconds_per_segment(crowds: dict[int, Crowd], busy: int) -> dict[int, float]:
    """Return the best of several rounds for each, taken in turns: the machine's mood is the same for all."""
    best = dict.fromkeys(crowds, float("inf"))
    for turn in range(ROUNDS):
        for count, crowd in crowds.items():
            segments = crowd.segments(SEGMENTS, turn, busy)
            began = time.perf_counter()
            crowd.take(segments)
            best[count] = min(best[count], (time.perf_counter() - began) / SEGMENTS)
    return best


def octets_when_idle(count: int = 2000) -> float:
    gc.collect()
    tracemalloc.start()
    crowd = Crowd(count)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] / len(crowd.connections)
    tracemalloc.stop()
    return used


def lives_per_second(count: int = 2000) -> float:
    began = time.perf_counter()
    Crowd(count).close()
    return count / (time.perf_counter() - began)


def main() -> None:
    crowds = {count: Crowd(count) for count in (10, 1000, 10_000)}
    for crowd in crowds.values():
        crowd.warm_up()
    gc.collect()
    gc.freeze()
    for busy, words in ((10, "ten busy"), (0, "all busy")):
        costs = seconds_per_segment(crowds, busy)
        for count, cost in costs.items():
            ratio = cost / costs[10]
            verdict = f"  above the goal of {GOAL}" if busy and ratio > GOAL else ""
            sys.stdout.write(f"{count:6} connections, {words}: {cost * 1e6:6.1f} µs a segment, {ratio:.2f}x{verdict}\n")
    sys.stdout.write(f"idle connection: {octets_when_idle() / 1024:.1f} KiB\n")
    sys.stdout.write(f"set up and closed: {lives_per_second():.0f} connections a second\n")


if __name__ == "__main__":
    main()
