"""Into the background: a daemon in a session of its own, and a command that returns when the daemon is ready.

    schemefs mount ──fork──> setsid ──fork──> daemon: imports trio and pyfuse3, mounts
          │                     └ exits              │
          └────────── waits on a pipe <── "ready LINE" or "failed SENTENCE"

The fork comes before trio and pyfuse3 are imported: neither an event loop nor libfuse survives one. The daemon keeps no
descriptor of the caller's, so that `$(schemefs mount …)` and pipelines end when the command does.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from schemefs.errors import StartError

Serve = Callable[[Callable[[str], None]], int]
"""Serves until the end, having called its argument once with the line that says that it is ready; an exit status."""


def run(serve: Serve, log_file: str) -> str:
    """Run *serve* in the background and return the line it reports. StartError: it did not come to that.

    After it is ready, what the daemon (or a library in it) writes to standard error goes to *log_file*, if any.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    word, word_of_daemon = os.pipe()
    complaints = os.memfd_create("schemefs-start")  # what libfuse writes to stderr: why it failed
    # A Ctrl-C waits until the daemon's process id is known: before, it would leave a daemon that nobody can end.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    child = os.fork()
    if child == 0:
        _become_daemon(serve, word_of_daemon, complaints, log_file)
    os.close(word_of_daemon)
    os.waitpid(child, 0)
    listener = _Listener(word)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return listener.await_word(complaints)
    except KeyboardInterrupt:
        listener.end_daemon()
        raise
    finally:
        listener.close()
        os.close(complaints)


class _Listener:
    """The command's end of the pipe."""

    def __init__(self, word: int) -> None:
        self._lines = open(word, encoding="utf-8", errors="replace")  # noqa: SIM115 - `close` below
        key, _, pid = self._lines.readline().partition(" ")
        self._pid = int(pid) if key == "pid" else 0

    def await_word(self, complaints: int) -> str:
        """Return the line that says it is ready. StartError: what it said instead, or that it said nothing."""
        for line in self._lines:
            key, _, text = line.rstrip("\n").partition(" ")
            if key == "ready":
                return text
            raise StartError(text + _cause(complaints))
        raise StartError("the daemon ended before it was ready" + _cause(complaints, any_line=True))

    def end_daemon(self) -> None:
        """Make the daemon end, whatever it is doing, and wait until it has taken everything down."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
        self._lines.read()  # ends when the daemon has

    def close(self) -> None:
        """Close the pipe; the daemon needs it no more."""
        self._lines.close()


def _cause(complaints: int, *, any_line: bool = False) -> str:
    """Return what libfuse or fusermount3 complained of last, or whatever was written last."""
    text = os.pread(complaints, 1 << 16, 0).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and (any_line or line.startswith("fuse"))]
    return f" ({lines[-1]})" if lines else ""


def _become_daemon(serve: Serve, word: int, complaints: int, log_file: str) -> NoReturn:
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.setsid()
        if os.fork():
            os._exit(0)  # the session's leader goes, so that no terminal can ever become ours
        os.chdir("/")
        _leave_descriptors(word, complaints)
        _say(word, f"pid {os.getpid()}")
        status = _serve(serve, word, log_file)
    except BaseException:  # noqa: BLE001 - the last place that can tell; _exit follows
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _serve(serve: Serve, word: int, log_file: str) -> int:
    ready = False

    def report(line: str) -> None:
        nonlocal ready
        ready = True
        output = os.open(log_file or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        _say(word, f"ready {line}")
        os.close(word)

    try:
        return serve(report)
    except StartError as error:
        if ready:
            raise
        _say(word, f"failed {error}")
        return 1


def _leave_descriptors(*kept: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(kept[-1], 1)
    os.dup2(kept[-1], 2)
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _say(word: int, line: str) -> None:
    # The command may have been killed while it waited; the mount is wanted all the same.
    with suppress(BrokenPipeError):
        os.write(word, (" ".join(line.split("\n")) + "\n").encode())
