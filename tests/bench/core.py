"""What the core costs without mount and driver, in the processor time of one thread: run it by either variant's Python.

    .venv/bin/python tests/bench/core.py                                              plain Python
    cd .venv/compiled/run && ../env/bin/python tests/bench/core.py                    after `./dev test --compiled …`

segment   1000 octets in, read at once, its share of timers and ACKs, ten connections
trip      one octet through two ends over lo, read and acknowledged
life      handshake, accept, and both FINs
checksum  of 1,460 octets
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "bench")]

from latency import TRIPS, Stack  # noqa: E402 # the paths above are pytest's when it runs

from schemefs.net.checksum import ones_complement_sum  # noqa: E402
from schemefs.variant import variant  # noqa: E402
from tests.support.many_connections import Crowd  # noqa: E402

ROUNDS: Final = 7
COUNT: Final = 2000


def best(measure: Callable[[], object], count: int) -> float:
    """Return the least µs of the thread for each of *count*."""
    found = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        measure()
        found.append((time.thread_time() - began) / count * 1e6)
    return min(found)


def main() -> None:
    crowd = Crowd(10)
    crowd.warm_up()
    segments = iter([crowd.segments(COUNT, turn, 10) for turn in range(ROUNDS)])
    stack, octets = Stack(), memoryview(bytes(1460))
    gc.collect()
    gc.freeze()
    costs = {
        "segment": best(lambda: crowd.take(next(segments)), COUNT),
        "trip": best(stack.trip, TRIPS),
        "life": best(lambda: Crowd(COUNT // 4).close(), COUNT // 4),
        "checksum": best(lambda: [ones_complement_sum(octets) for _ in range(COUNT)], COUNT),
    }
    print(f"{variant()}:", ", ".join(f"{name} {cost:.2f} µs" for name, cost in costs.items()))


if __name__ == "__main__":
    main()
