"""What the core costs without mount and driver, in the processor time of one thread: run it by either variant's Python.

    ./dev bench --study core                                                          plain Python
    cd .venv/compiled/run && ../env/bin/python -m tests.bench.studies.core            after `./dev test --compiled …`

segment   1000 octets in, read at once, its share of timers and ACKs, ten connections
trip      one octet through two ends over lo, read and acknowledged
life      handshake, accept, and both FINs
checksum  of 1,460 octets
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Final

from schemefs.net.checksum import ones_complement_sum
from schemefs.variant import variant
from tests.bench.studies.latency import TRIPS, Stack
from tests.support.many_connections import Crowd

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
