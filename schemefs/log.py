"""Logs as files: rings of text that the stdlib's loggers write to and followed files read from.

A ring keeps the newest octets. Positions count all octets ever written: a reader that seeks to the end gets exactly the
lines after it, and a reader that has fallen behind goes on at the oldest line kept. Formatting and appending a line
never blocks and never fails the stack. RateLimit keeps a peer from filling a log with frames that cause warnings.

Level TRACE (5) logs each step of a frame, a caller and a timer on one clock: seconds since the daemon started.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from textwrap import indent
from typing import Final

from schemefs.errors import printable, printable_lines

TRACE: Final = 5
logging.addLevelName(TRACE, "TRACE")

RING_OCTETS: Final = 1 << 20


class LogRing:
    """The newest octets of a log, whole lines only, in one growing address space.

        first          start                            end
        │ cut last     │ what a file opened now shows   │

    What was cut last is kept for files opened before, so that they can be read to their end.
    """

    def __init__(self, capacity: int = RING_OCTETS) -> None:
        self.capacity = capacity
        self.start = 0  # the position of the oldest octet of a file opened now: always the beginning of a line
        self.end = 0  # octets ever written
        self.finished = False  # nothing more will be written
        self.is_private = False  # only the daemon's user and root may read it
        self.wakers: set[Callable[[], object]] = set()  # called after each change, to wake parked calls
        self._kept = bytearray()

    def append(self, line: str) -> None:
        """Add a line, and its newline."""
        octets = line.encode(errors="replace") + b"\n"
        self._kept += octets
        self.end += len(octets)
        if self.end - self.start > self.capacity:
            # Cut an eighth at a time, at the end of a line, so that the cost per line stays constant.
            del self._kept[: self.start - self._first]
            cut = self._kept.find(b"\n", len(self._kept) - self.capacity * 7 // 8) + 1
            self.start += cut or len(self._kept)
        self._wake()

    @property
    def _first(self) -> int:
        return self.end - len(self._kept)

    def last_lines(self, count: int) -> list[str]:
        """Return the newest lines, at most *count*."""
        return self._kept[self.start - self._first :].decode(errors="replace").splitlines()[-count:]

    def finish(self) -> None:
        """End the ring: nothing more will be written."""
        self.finished = True
        self._wake()

    def _wake(self) -> None:
        for wake in tuple(self.wakers):
            wake()

    def read(self, position: int, size: int) -> tuple[bytes, int]:
        """Return the octets from *position* on, at most *size*, and where they really began: `start` if it has gone."""
        first = self._first
        begin = position if position >= first else self.start
        offset = begin - first
        return bytes(self._kept[offset : offset + size]), begin


class RateLimit(logging.Filter):
    """Passes a burst of 20 lines of one kind, then 2 a second. A kind is a logger and a template.

    The next line that passes says how many did not. DEBUG and TRACE always pass: they are switched on to see each step.
    One limit serves all handlers, so that every log has the same lines.
    """

    BURST: Final = 20.0
    PER_SECOND: Final = 2.0
    _KINDS: Final = 1024  # the templates are literals of the source; a plugin's may not be

    def __init__(self) -> None:
        super().__init__()
        self.suppressed = 0  # lines, of all kinds
        self._kinds: dict[tuple[str, str], list[float]] = {}  # rest of the burst, its time, lines left out since

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* passes; the same for every handler."""
        if record.levelno < logging.INFO:
            return True
        passes = getattr(record, "passes", None)
        if passes is None:
            passes = record.passes = self._take(record)
        return bool(passes)

    def _take(self, record: logging.LogRecord) -> bool:
        if len(self._kinds) >= self._KINDS:
            self._kinds.clear()
        now = record.created
        kind = self._kinds.setdefault((record.name, str(record.msg)), [self.BURST, now, 0])
        left = min(self.BURST, kind[0] + max(0.0, now - kind[1]) * self.PER_SECOND)
        kind[1] = now
        if left < 1:
            kind[0] = left
            kind[2] += 1
            self.suppressed += 1
            return False
        kind[0] = left - 1
        record.left_out, kind[2] = int(kind[2]), 0
        return True


class _RingHandler(logging.Handler):
    """Sends records of one logger to a ring; never raises into the code that logs."""

    def __init__(self, ring: LogRing) -> None:
        super().__init__()
        self.ring = ring

    def emit(self, record: logging.LogRecord) -> None:
        """Append the formatted record."""
        try:
            self.ring.append(self.format(record))
        except Exception:  # noqa: BLE001 - a bad format string must not end the stack; the stdlib reports it
            self.handleError(record)


class _DaemonFormatter(logging.Formatter):
    """`+12.345678 INFO ip: text`, on the daemon's own clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock
        self.started = clock()

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, or several for a traceback."""
        subsystem = record.name.removeprefix("schemefs.")
        text = f"+{self.clock() - self.started:.6f} {record.levelname} {subsystem}: {printable(record.getMessage())}"
        left_out = getattr(record, "left_out", 0)
        if left_out:
            text += f" (and {left_out} lines like this one)"
        if record.exc_info:
            # Indented: the message of an exception, which may quote a peer, must not look like a line of the log.
            text += "\n" + indent(printable_lines(self.formatException(record.exc_info)), "  ")
        return text


class LogRings:
    """The logs of one daemon by file name: `schemefs.log`, `virtio/eth0.log`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._formatter = _DaemonFormatter(clock)
        self.limit = RateLimit()
        self._rings: dict[str, LogRing] = {}
        self._handlers: list[tuple[logging.Logger, logging.Handler]] = []

    def ring(self, file_name: str, logger_name: str) -> LogRing:
        """Return the ring of *file_name*, connected to the logger (and all below it) when it is new."""
        ring = self._rings.get(file_name)
        if ring is None:
            ring = self._rings[file_name] = LogRing()
            self.add_handler(_RingHandler(ring), logger_name)
        return ring

    def add_handler(self, handler: logging.Handler, logger_name: str = "schemefs") -> None:
        """Also send the records of a logger to *handler*, in the daemon's format, until `close`."""
        handler.setFormatter(self._formatter)
        handler.addFilter(self.limit)
        logger = logging.getLogger(logger_name)
        logger.addHandler(handler)
        self._handlers.append((logger, handler))

    def __iter__(self) -> Iterator[tuple[str, LogRing]]:
        """Yield file names and rings, oldest ring first."""
        return iter(tuple(self._rings.items()))

    def close(self) -> None:
        """Disconnect from the loggers, which outlive a daemon."""
        for logger, handler in self._handlers:
            logger.removeHandler(handler)
            handler.close()
        self._handlers.clear()
