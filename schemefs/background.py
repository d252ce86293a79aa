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
    child = os.fork()
    if child == 0:
        _become_daemon(serve, word_of_daemon, complaints, log_file)
    os.close(word_of_daemon)
    os.waitpid(child, 0)
    try:
        return _await_word(word, complaints)
    finally:
        os.close(word)
        os.close(complaints)


def _await_word(word: int, complaints: int) -> str:
    pid = 0
    with open(word, closefd=False, encoding="utf-8", errors="replace") as lines:
        try:
            for line in lines:
                key, _, text = line.rstrip("\n").partition(" ")
                if key == "pid":
                    pid = int(text)
                elif key == "ready":
                    return text
                else:
                    raise StartError(text + _cause(complaints))
        except KeyboardInterrupt:
            if pid:
                os.kill(pid, signal.SIGTERM)
                lines.read()  # until it has ended and taken everything down
            raise
    raise StartError("the daemon ended before it was ready" + (_cause(complaints, any_line=True)))


def _cause(complaints: int, *, any_line: bool = False) -> str:
    """Return what libfuse or fusermount3 complained of last, or whatever was written last."""
    text = os.pread(complaints, 1 << 16, 0).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and (any_line or line.startswith("fuse"))]
    return f" ({lines[-1]})" if lines else ""


def _become_daemon(serve: Serve, word: int, complaints: int, log_file: str) -> NoReturn:
    status = 1
    try:
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
