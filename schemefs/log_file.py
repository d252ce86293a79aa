"""The log of `--log-file`: its own thread writes it, so a full disk or a pipe without a reader never blocks the stack.

Lines that the file is too slow for are left out; the next line says how many.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from typing import Final

STANDARD_ERROR: Final = 2
BACKLOG: Final = 10_000  # lines that may wait for the disk
_CLOSING: Final = 1.0  # seconds that `close` waits for the last lines


def open_log(path: str) -> int:
    """Return a descriptor that appends to *path*. OSError: it can't be written, or is a FIFO without a reader (ENXIO).

    Without O_NONBLOCK the open of such a FIFO waits for a reader, without a limit.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)


class LogFile(logging.Handler):
    """Appends records to a file; never waits and never raises."""

    def __init__(self, path: str) -> None:
        """Open *path*, or standard error for "-". OSError: it can't be written."""
        # Before the handler is known to logging, which closes every one that it knows, at the end.
        self._fd = open_log(path) if path != "-" else os.dup(STANDARD_ERROR)
        super().__init__()
        self._writable = select.poll()
        self._writable.register(self._fd, select.POLLOUT)
        self._lines: deque[tuple[int, bytes]] = deque()  # each with how many were left out before it
        # Each thread has a count of its own: lines that `emit` had no room for, and lines that could not be written.
        self._left_out = 0
        self._lost = 0
        self._cut = False  # the last write ended inside a line
        self._wanted = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="log file", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the formatted record."""
        try:
            line = self.format(record).encode(errors="replace") + b"\n"
        except Exception:  # noqa: BLE001 - as in `log`: a bad format string must not end the stack
            self.handleError(record)
            return
        if len(self._lines) >= BACKLOG:
            self._left_out += 1
            return
        self._lines.append((self._left_out, line))
        self._left_out = 0
        self._wanted.set()

    def close(self) -> None:
        """Write the queue, for at most a second: a file that takes nothing must not delay the end."""
        self._ended = True
        self._wanted.set()
        self._thread.join(_CLOSING)
        super().close()

    def _write(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._lines:
                self._append([self._lines.popleft() for _ in range(min(len(self._lines), 1000))])
            if self._ended:
                os.close(self._fd)
                return

    def _append(self, lines: list[tuple[int, bytes]]) -> None:
        """Write *lines* after a notice of lost ones. Count those that cannot be written, a cut line included."""
        pieces = [(_notice(self._lost, "they could not be written"), self._lost)] if self._lost else []
        for left_out, line in lines:
            notice = _notice(left_out, "the log file is too slow") if left_out else b""
            pieces.append((notice + line, left_out + 1))
        octets = b"".join([b"\n" if self._cut else b"", *(piece for piece, _ in pieces)])
        rest = self._written(octets)
        if len(rest) < len(octets):
            self._cut = not octets.removesuffix(rest).endswith(b"\n")
        self._lost = 0
        at = 0
        for piece, count in reversed(pieces):
            if at < len(rest):
                self._lost += count
            at += len(piece)

    def _written(self, octets: bytes) -> bytes:
        """Write *octets*; return what could not be written."""
        while octets:
            try:
                octets = octets[os.write(self._fd, octets) :]
            except BlockingIOError:  # standard error may be a non-blocking pipe
                if not self._writable.poll(_CLOSING * 1000) and self._ended:
                    self._lines.clear()
                    break
            except OSError:  # the disk is full, or the pipe has no reader
                break
        return octets


def _notice(count: int, why: str) -> bytes:
    return f"({count} lines left out: {why})\n".encode()
