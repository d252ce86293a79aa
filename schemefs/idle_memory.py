"""What the daemon gives back when it is idle: free memory to the kernel, and objects that only the collector frees.

Neither belongs into a transfer: memory that is freed is allocated again at once, and each new page costs a fault (the
thresholds in `_libfuse_hooks.c` prevent it). So both wait until the process has used no processor time to speak of.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from schemefs.collector import Collector

PERIOD: Final = 2.0  # seconds between two looks
IDLE: Final = 0.1  # processor seconds in a period; with less, the daemon is idle
WORKED: Final = 0.2  # processor seconds since the last trim; with less, there is nothing to give back
COLLECT_EVERY: Final = 3600.0  # seconds


class IdleMemory:
    """Decides what is due. *processor_time* is that of the process, in seconds."""

    def __init__(self, collector: Collector, processor_time: Callable[[], float] = time.process_time) -> None:
        self._collector = collector
        self._processor_time = processor_time
        self._seen = self._trimmed = processor_time()
        self._collected_at = 0.0

    def look(self, now: float) -> bool:
        """Collect if that is due; return whether to trim. To be called once in each period."""
        used, self._seen = self._processor_time() - self._seen, self._processor_time()
        if used > IDLE:
            return False
        if now - self._collected_at >= COLLECT_EVERY and self._collector.collect_all():
            self._collected_at = now
        if self._seen - self._trimmed < WORKED:
            return False
        self._trimmed = self._seen
        return True

    async def run(self) -> None:
        """Look and act until cancelled."""
        while True:
            await trio.sleep(PERIOD)
            if self.look(trio.current_time()):
                # In a thread: 0.5 ms for each MiB that is given back. Only an allocation of more than 512 octets waits.
                await trio.to_thread.run_sync(trim, abandon_on_cancel=True)


def trim() -> None:
    """Give free memory back to the kernel, where the C library can."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if malloc_trim is not None:
        malloc_trim(0)
