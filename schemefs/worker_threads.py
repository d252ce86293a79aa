"""Work that takes long and touches nothing of the daemon, in threads: TLS handshakes. Satisfies `scheme.Executor`.

    execute(work, done) ──> a thread runs work ──> call_soon(done): in the daemon's own thread, as everything else

Only work that releases the interpreter's lock, as OpenSSL does, gains by it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.call_soon import CallSoonQueue

THREADS: Final = 2  # more would take the processors from the daemon's own thread

log = logging.getLogger("schemefs.worker_threads")


class WorkerThreads:
    """Call it within the event loop. Further work waits, in order, until a thread is free."""

    def __init__(self, callbacks: CallSoonQueue) -> None:
        self._callbacks = callbacks
        self._limiter = trio.CapacityLimiter(THREADS)

    def __call__(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        """Run *work* in a thread, then *done* in the event loop."""
        trio.lowlevel.spawn_system_task(self._run, work, done)

    async def _run(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        try:
            await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)
        except Exception:
            log.exception("%r failed", work)
        self._callbacks.call_soon(lambda _now: done())
