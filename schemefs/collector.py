"""When Python's collector of reference cycles runs: never so long that a caller would notice.

With thousands of conversations, most of the daemon's time would go into full collections, and one takes a second. Yet
they would find nothing: reference counts alone free a conversation (`tests/unit/test_reference_counts.py`). So

* what exists at the start is frozen: no collection looks at it again;
* what survives a full collection is frozen too, so each one looks at new objects only;
* `collect_all`, for idle times, looks at everything, unless that would take longer than `LONGEST`. It finds cycles that
  were frozen before they were dropped, which a plugin may make.

docs/decisions.md has the measurements.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import Final

MIDDLE_COLLECTIONS: Final = 1  # a full collection follows this many collections of the two youngest generations
LONGEST: Final = 0.1  # seconds that `collect_all` may take
SECONDS_PER_BLOCK: Final = 1e-6  # of allocated memory, at worst: on memory that no cache holds


class Collector:
    """The process's collector, from `start` to `stop`."""

    def __init__(self) -> None:
        self.collections = 0
        self.longest = 0.0  # processor seconds
        self._began = 0.0
        self._thresholds = gc.get_threshold()
        self._blocks = 0  # of memory, at the start

    def start(self) -> None:
        """Freeze what there is.

        Python makes a full collection only if a quarter as many objects are new as the last one has kept. The second
        one here keeps none.
        """
        gc.collect()
        gc.freeze()
        gc.collect()
        self._blocks = sys.getallocatedblocks()
        gc.set_threshold(*self._thresholds[:2], MIDDLE_COLLECTIONS)
        gc.callbacks.append(self._called)

    def stop(self) -> None:
        """Leave the collector as it was before `start`."""
        gc.callbacks.remove(self._called)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def collect_all(self) -> bool:
        """Look at every object; False: there are too many."""
        if (sys.getallocatedblocks() - self._blocks) * SECONDS_PER_BLOCK > LONGEST:
            return False
        gc.unfreeze()
        gc.collect()
        return True

    def _called(self, phase: str, information: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
            return
        self.collections += 1
        self.longest = max(self.longest, time.thread_time() - self._began)
        if information["generation"] == 2:
            gc.freeze()
