"""The log of `--log-file`: written by a thread of its own, so that a full disk or a pipe that nobody reads never blocks
the stack. What it can't keep up with is left out, and the next line says how much that was.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import Final

STANDARD_ERROR: Final = 2
BACKLOG: Final = 10_000  # lines that wait for the disk
_CLOSING: Final = 1.0  # seconds that the last lines get


class LogFile(logging.Handler):
    """Appends records to a file; never waits and never raises."""

    def __init__(self, path: str) -> None:
        """Open *path*, or standard error for "-". OSError: it can't be written."""
        super().__init__()
        is_path = path != "-"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600) if is_path else os.dup(STANDARD_ERROR)
        self._lines: deque[bytes] = deque()
        self._left_out = 0
        self._wanted = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="log file", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have the formatted record written."""
        try:
            line = self.format(record).encode(errors="replace") + b"\n"
        except Exception:  # noqa: BLE001 - as in `log`: a bad format string must not end the stack
            self.handleError(record)
            return
        if len(self._lines) >= BACKLOG:
            self._left_out += 1
            return
        if self._left_out:
            line = b"(%d lines left out: the log file is too slow)\n%s" % (self._left_out, line)
            self._left_out = 0
        self._lines.append(line)
        self._wanted.set()

    def close(self) -> None:
        """Write what waits, for as long as a second; a file that takes nothing doesn't hold up the end."""
        self._ended = True
        self._wanted.set()
        self._thread.join(_CLOSING)
        super().close()

    def _write(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._lines:
                octets = b"".join(self._lines.popleft() for _ in range(min(len(self._lines), 1000)))
                try:
                    while octets:
                        octets = octets[os.write(self._fd, octets) :]
                except OSError:  # the disk is full, or nobody reads any more: nothing to say it to
                    continue
            if self._ended:
                os.close(self._fd)
                return
