"""Calls of the program that wait: each in a thread of the supervisor, until it is done or its caller has a signal.

The kernel leaves a received call waiting for its reply, killable only (`listener`). So a signal that the caller handles
stays pending there until the supervisor sees it here, in at most `LONGEST_TICK`, and ends the call: the kernel then
delivers the signal, and repeats the call or returns EINTR as SA_RESTART says. A wait in the mount ends by a signal to
the supervisor's own thread: FUSE_INTERRUPT takes nothing from the stream.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from schemefs.run.call import Call, Failed
from schemefs.run.listener import libc

SHORTEST_TICK, LONGEST_TICK = 0.01, 0.1  # seconds between two looks at a caller that waits for readiness
TICK: Final = 0.03  # seconds between two looks at the callers that wait in the mount
ERESTARTSYS: Final = 512  # the kernel repeats the call after the handler, or returns EINTR (signal(7))
INTERRUPT: Final = signal.SIGRTMIN + 3  # to the supervisor's own threads


class Interrupted(Failed):
    """The caller has a signal to handle, or has gone."""


class _Caller:
    """A waiting caller: whether its wait should end."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._shared_before = 0

    def interruption(self) -> int:
        """Return the number that ends the call; 0: it waits on."""
        if not self._call.listener.is_valid(self._call.notification):
            return errno.ESRCH
        try:
            status = self._call.status("Tgid", "SigPnd", "ShdPnd", "SigBlk", "Threads")
        except Failed:
            return errno.ESRCH
        handled = ~int(status["SigBlk"], 16)
        own, shared = (int(status[name], 16) & handled for name in ("SigPnd", "ShdPnd"))
        if own or (shared and int(status["Tgid"]) == self._call.thread):
            return ERESTARTSYS  # of a process's signals, the kernel tells its first thread, unless that blocks them
        # Another thread may be about to take it. If not, this caller may not be the one that the kernel has chosen, and
        # ERESTARTSYS without a signal would reach the program as an errno.
        again = shared & self._shared_before
        self._shared_before = shared
        return errno.EINTR if again else 0


class _Wait:
    """One thread in a system call of its own, on behalf of a caller."""

    def __init__(self, call: Call) -> None:
        self.caller = _Caller(call)
        self.thread = threading.get_ident()
        self.number = 0  # why it was interrupted


class Waits:
    """All waiting calls. *before_wait* is called by a thread that will wait, so that another one takes calls."""

    def __init__(self, before_wait: Callable[[], None]) -> None:
        self._before_wait = before_wait
        self._waits: set[_Wait] = set()
        self._changed = threading.Condition()
        self._watcher: threading.Thread | None = None
        signal.signal(INTERRUPT, lambda _number, _frame: None)

    def poll(self, call: Call, descriptor: int, events: int, timeout: float = 0.0) -> None:
        """Wait until *descriptor* is ready. EAGAIN: *timeout* seconds (0: no limit) have passed; Interrupted."""
        self._before_wait()
        caller = _Caller(call)
        poller = select.poll()
        poller.register(descriptor, events)
        end = time.monotonic() + timeout if timeout else float("inf")
        tick = SHORTEST_TICK
        while not poller.poll(min(tick, max(end - time.monotonic(), 0)) * 1000):
            number = caller.interruption()
            if number:
                raise Interrupted(number)
            if time.monotonic() >= end:
                raise Failed(errno.EAGAIN)
            tick = min(tick * 2, LONGEST_TICK)

    def read(self, call: Call, descriptor: int, size: int) -> bytes:
        """As read(2), which may wait. Interrupted: nothing was taken."""
        buffer = ctypes.create_string_buffer(size)
        length = self._run(call, lambda: libc.read(descriptor, buffer, size))
        return ctypes.string_at(buffer, length)

    def write(self, call: Call, descriptor: int, octets: bytes) -> int:
        """As write(2), which may wait."""
        return self._run(call, lambda: libc.write(descriptor, octets, len(octets)))

    def open(self, call: Call, path: str, flags: int, directory: int) -> int:
        """As openat(2), which may wait."""
        return self._run(call, lambda: libc.openat(directory, os.fsencode(path), flags))

    def _run(self, call: Call, system_call: Callable[[], int]) -> int:
        # ctypes, because the functions of os repeat a call that a signal has ended
        self._before_wait()
        wait = _Wait(call)
        with self._changed:
            self._waits.add(wait)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
                self._watcher.start()
            self._changed.notify()
        try:
            while (result := system_call()) < 0:
                number = ctypes.get_errno()
                if number != errno.EINTR:
                    raise OSError(number, os.strerror(number))
                if wait.number:
                    raise Interrupted(wait.number)
            return result
        finally:
            with self._changed:
                self._waits.discard(wait)

    def _watch(self) -> None:
        """Look at the waiting callers at every tick. A tick costs little; to be woken by each wait would cost more."""
        seen: set[_Wait] = set()
        while True:
            with self._changed:
                if not self._waits and not seen:
                    self._changed.wait_for(lambda: self._waits)
                waits = set(self._waits)
            time.sleep(TICK)
            for wait in waits & seen:
                wait.number = wait.number or wait.caller.interruption()
                if wait.number:
                    self._interrupt(wait)
            seen = waits

    def _interrupt(self, wait: _Wait) -> None:
        """Signal the thread. One that is not in its system call yet is signalled again at the next look."""
        with self._changed:
            if wait in self._waits:
                with suppress(ProcessLookupError):
                    signal.pthread_kill(wait.thread, INTERRUPT)
