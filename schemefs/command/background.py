"""Starts the daemon in the background, in its own session; the command returns when the daemon is ready.

    schemefs mount ──fork──> setsid ──fork──> daemon: imports trio and pyfuse3, mounts
          │                     └ exits              │
          └────────── waits on a pipe <── "ready LINE" or "failed SENTENCE"

The fork comes before the import of trio and pyfuse3: neither an event loop nor libfuse survives a fork. The daemon
closes the caller's descriptors, so that `$(schemefs mount …)` and pipelines end with the command.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from schemefs.errors import StartError
from schemefs.log_file import open_log

Serve = Callable[[Callable[[str], None]], int]
"""Serves until the mount ends and returns the exit status. When ready, it calls its argument with the ready line."""


def run(serve: Serve, log_file: str) -> str:
    """Run *serve* in the background and return its ready line. StartError: it failed before it was ready.

    Once it is ready, standard error of the daemon and its libraries goes to *log_file*, if any.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reports, reports_of_daemon = os.pipe()
    errors = os.memfd_create("schemefs-start")  # standard error until ready: libfuse writes there why it failed
    # A Ctrl-C waits until the daemon's process id is known: an earlier one would leave a daemon that can't be ended.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    child = os.fork()
    if child == 0:
        _become_daemon(serve, reports_of_daemon, errors, log_file)
    os.close(reports_of_daemon)
    os.waitpid(child, 0)
    reader = _ReportReader(reports)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return reader.wait_ready(errors)
    except KeyboardInterrupt:
        reader.end_daemon()
        raise
    finally:
        reader.close()
        os.close(errors)


class _ReportReader:
    """The command's end of the pipe."""

    def __init__(self, reports: int) -> None:
        self._reports = reports
        self._unread = b""
        self._signalled, self._wakeup = os.pipe()  # readable after a signal, also after one just before `select`
        os.set_blocking(self._wakeup, False)
        self._wakeup_before = signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        key, _, pid = self._line().partition(" ")
        self._pid = int(pid) if key == "pid" else 0

    def wait_ready(self, errors: int) -> str:
        """Return the ready line. StartError: the daemon reported a failure, or ended without a report."""
        line = self._line()
        if not line:
            raise StartError("the daemon ended before it was ready" + _cause(errors, any_line=True))
        key, _, text = line.partition(" ")
        if key == "ready":
            return text
        raise StartError(text + _cause(errors))

    def end_daemon(self) -> None:
        """End the daemon and wait until it has undone every step of its start."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
        while os.read(self._reports, 4096):  # until the daemon closes its end
            pass

    def close(self) -> None:
        """Close the pipe: the daemon does not write to it after the ready line."""
        signal.set_wakeup_fd(self._wakeup_before)
        for descriptor in (self._reports, self._signalled, self._wakeup):
            os.close(descriptor)

    def _line(self) -> str:
        """Return the next line without its end; empty: there is no more. KeyboardInterrupt: Ctrl-C while it waited.

        A read alone would miss a signal that comes just before it blocks.
        """
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._reports, self._signalled], [], [])
            if self._reports not in ready:
                os.read(self._signalled, 4096)  # the handler has run, and did not raise
                continue
            data = os.read(self._reports, 4096)
            if not data:
                break
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace")


def _cause(errors: int, *, any_line: bool = False) -> str:
    """Return, in parentheses, the last line that libfuse or fusermount3 wrote; with *any_line* the last line at all."""
    text = os.pread(errors, 1 << 16, 0).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and (any_line or line.startswith("fuse"))]
    return f" ({lines[-1]})" if lines else ""


def _become_daemon(serve: Serve, reports: int, errors: int, log_file: str) -> NoReturn:
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.setsid()
        if os.fork():
            os._exit(0)  # the session's leader ends, so that the daemon can never get a controlling terminal
        os.chdir("/")
        _leave_descriptors(reports, errors)
        _report(reports, f"pid {os.getpid()}")
        status = _serve(serve, reports, log_file)
    except BaseException:  # noqa: BLE001 - the last place that can print it; _exit follows
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _serve(serve: Serve, reports: int, log_file: str) -> int:
    ready = False

    def report_ready(line: str) -> None:
        nonlocal ready
        ready = True
        output = open_log(log_file or os.devnull)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        _report(reports, f"ready {line}")
        os.close(reports)

    try:
        return serve(report_ready)
    except StartError as error:
        if ready:
            raise
        _report(reports, f"failed {error}")
        return 1


def _leave_descriptors(*kept: int) -> None:
    os.dup2(kept[-1], 1)
    os.dup2(kept[-1], 2)
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
    nothing = os.open(os.devnull, os.O_RDONLY)  # last: a descriptor is free now, however low the limit
    if nothing != 0:
        os.dup2(nothing, 0)
        os.close(nothing)


def _report(reports: int, line: str) -> None:
    # The command may have been killed while it waited: the mount goes on without it.
    with suppress(BrokenPipeError):
        os.write(reports, (" ".join(line.split("\n")) + "\n").encode())
