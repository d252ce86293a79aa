"""One handshake: its steps run outside the event loop, and it has a limited time.

    octets ──> layer.receive ──> step: work of an executor ──> `woken` ──> the engine calls `advance` again

A step may take long: the peer chooses the keys that are to be verified. While it runs, the layer belongs to it: nothing
else may use it. Sans-IO: the executor is given, and one that runs the step at once makes `advance` complete it.
"""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError, out_of_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.scheme import Executor
    from schemefs.timers import Timers
    from schemes.tls.record_layer import RecordLayer


class Handshake:
    """*woken* is called when a step has ended, *too_late* when the time is over, *ended* once, with True on success."""

    __slots__ = (
        "_ended",
        "_execute",
        "_has_begun",
        "_is_calling",
        "_layer",
        "_outcome",
        "_timer",
        "_woken",
        "is_running",
    )

    def __init__(
        self,
        layer: RecordLayer,
        execute: Executor,
        woken: Callable[[], None],
        ended: Callable[[bool], None],
    ) -> None:
        self.is_running = False  # a step is at work
        self._layer = layer
        self._execute = execute
        self._woken = woken
        self._ended: Callable[[bool], None] | None = ended
        self._outcome: bool | OSError | None = None  # of the last step; None: taken
        self._has_begun = self._is_calling = False

    def limit(self, timers: Timers, deadline: float, too_late: Callable[[float], None], owner: str) -> None:
        """Call *too_late* at *deadline*, unless `stop` is called before."""
        self._timer = timers.timer(too_late, owner)
        self._timer.set(deadline)

    @property
    def is_due(self) -> bool:
        """Whether `advance` has something to do without more octets: the first step, or the outcome of one."""
        return not self.is_running and (self._outcome is not None or not self._has_begun)

    def advance(self) -> bool:
        """Run one step; True: the handshake is complete. False: octets, or the end of the step, are awaited.

        Raises what made the step fail: ssl.SSLError, or SchemeError if the system's certificates can't be read.
        """
        if self.is_running:
            return False
        if self._outcome is None:
            self.is_running = self._is_calling = self._has_begun = True
            self._execute(self._step, self._step_ended)
            self._is_calling = False
            if self.is_running:
                return False
        outcome, self._outcome = self._outcome, None
        try:
            if isinstance(outcome, ssl.SSLError):
                raise outcome
            if isinstance(outcome, OSError):
                why = f"the system's certificates can't be read: {outcome.strerror}"
                raise out_of_descriptors(outcome) or SchemeError(errno.EPROTO, why)
            return bool(outcome)
        finally:
            del outcome  # its traceback keeps this frame

    def stop(self) -> None:
        """Stop the time."""
        self._timer.clear()

    def end(self, succeeded: bool) -> None:
        """Report the outcome of the whole, once."""
        self.stop()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(succeeded)

    def forget(self) -> None:
        """Refer no more to what refers to this."""
        self._timer.end()
        self._ended = None

    def _step(self) -> None:
        """Run by the executor, perhaps in another thread: it touches the layer and nothing else."""
        try:
            outcome: bool | OSError = self._layer.handshake()
        except OSError as error:  # ssl.SSLError is one
            outcome = error.with_traceback(None)  # it would keep this frame, which keeps it
        self._outcome = outcome

    def _step_ended(self) -> None:
        self.is_running = False
        if not self._is_calling:
            self._woken()
