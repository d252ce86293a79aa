"""Relays between standard input and output and one conversation.

    stdin ── a thread ──> conversation      with -N, at the end of stdin: `shutdown write` to its ctl, a FIN
    stdout <── the main thread ── conversation

It ends when both directions have ended: a peer that has sent its FIN may still read the rest of stdin. If stdin is a
terminal, the peer's end suffices: a user does not expect that Ctrl-D is still needed. Without -N the end of stdin is
no FIN: servers take a FIN behind a request for a client that has gone, and do not answer.

With -w 0 it moves what is ready, and ends: `echo text | nc -u -w 0` sends one datagram.

Two threads, because an echoing peer must be read while it is written to: each direction blocks by itself.
"""

from __future__ import annotations

import errno
import math
import os
import select
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemefs.errors import StartError
from schemefs.tools.conversation_name import conversation_of
from schemefs.tools.exit_status import OUTPUT, fail
from schemefs.tools.find_mount import failure

CHUNK: Final = 65536
DATAGRAM: Final = 65507
LONGEST: Final = 86400.0  # seconds of one poll(2), which counts milliseconds in an int
_ENDED: Final = select.POLLRDHUP | select.POLLHUP


@dataclass(frozen=True, slots=True)
class Ends:
    """When a relay ends, beside the end of both directions."""

    silence: float = math.inf  # seconds without data in either direction (-w); 0: until nothing is ready
    quit_after: float = math.inf  # seconds after the end of standard input (-q)
    shuts: bool = False  # the end of standard input is sent as a FIN (-N)


class StdioRelay:
    """Relays between standard input and output and one conversation."""

    def __init__(self, tree: Path, path: str, descriptor: int, *, datagrams: bool, ends: Ends) -> None:
        """*path* is that of the conversation, for sentences."""
        self._tree = tree
        self._path = path
        self._descriptor = descriptor
        self._datagrams = datagrams
        self._ends = ends
        self._quits_at = math.inf
        self._ctl = tree / conversation_of(descriptor) / "ctl"
        self._last = time.monotonic()  # when octets moved, in either direction
        self._broken: StartError | None = None  # why the conversation could not be written

    def run(self, *, writes: bool) -> None:
        """Relay until both directions have ended; without *writes* only to standard output.

        StartError, or OSError of a read: the conversation failed.
        """
        writes &= sys.stdin is not None  # None: closed by the parent process
        if not self._ends.silence:
            self._move_what_is_ready(writes=writes)
            return
        under_way = {self._descriptor}
        written = os.eventfd(0, os.EFD_CLOEXEC) if writes else -1  # readable once the thread has ended
        if writes:
            under_way.add(written)
            threading.Thread(target=self._write, args=(written,), daemon=True).start()
        while under_way and (ready := self._ready(under_way)):
            if written in ready:
                under_way.discard(written)
                self._quits_at = time.monotonic() + self._ends.quit_after
                if self._broken is not None and self._datagrams:
                    break  # nothing else ends a conversation of datagrams
            if self._descriptor in ready:
                octets = os.read(self._descriptor, CHUNK)
                self._last = time.monotonic()
                if octets:
                    _show(octets)
                elif not self._datagrams or ready[self._descriptor] & _ENDED:  # not an empty datagram
                    under_way.discard(self._descriptor)
                    if self._datagrams or (sys.stdin is not None and sys.stdin.isatty()):
                        break
        if self._broken is not None:
            raise self._broken

    def _move_what_is_ready(self, *, writes: bool) -> None:
        """Relay until no octets are ready in either direction. Without a thread: it would not be seen what it holds."""
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN | select.POLLRDHUP)
        if writes:
            poller.register(sys.stdin.fileno(), select.POLLIN)
        while ready := poller.poll(0):
            for descriptor, events in ready:
                try:
                    octets = os.read(descriptor, DATAGRAM if self._datagrams else CHUNK)
                except OSError:
                    if not self._datagrams or descriptor != self._descriptor:
                        raise
                    return  # an ICMP error: whether it has come by now is chance
                if descriptor == self._descriptor:
                    _show(octets)
                elif octets:
                    _write_all(self._descriptor, octets)
                elif self._ends.shuts and not self._datagrams:
                    self._shut()
                if not octets and (descriptor != self._descriptor or not self._datagrams or events & _ENDED):
                    poller.unregister(descriptor)

    def _ready(self, descriptors: set[int]) -> dict[int, int]:
        """Return poll's events of the readable ones of *descriptors*; none: the time of `-w` or `-q` is over."""
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN | select.POLLRDHUP)
        while True:
            left = min(self._last + self._ends.silence, self._quits_at) - time.monotonic()
            if left <= 0:
                return {}
            ready = poller.poll(None if left == math.inf else math.ceil(min(left, LONGEST) * 1000))
            if ready:
                return dict(ready)

    def _write(self, ended: int) -> None:
        try:
            while octets := os.read(sys.stdin.fileno(), DATAGRAM if self._datagrams else CHUNK):
                self._last = time.monotonic()
                _write_all(self._descriptor, octets)
                self._last = time.monotonic()
            if self._ends.shuts and not self._datagrams:
                self._shut()
        except OSError as error:
            self._broken = failure(self._tree, self._path, error)  # here: `err` is about the thread that asks
        finally:
            os.eventfd_write(ended, 1)

    def _shut(self) -> None:
        """Send the FIN. That the conversation has ended already is no failure: everything was written."""
        try:
            self._ctl.write_text("shutdown write\n")
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EPIPE, errno.ENOENT):
                raise


def _show(octets: bytes) -> None:
    """Write to standard output. A failure ends the program, with `-k` too: no other peer could be served."""
    try:
        _write_all(sys.stdout.fileno(), octets)
    except OSError as error:
        fail(1, f"{OUTPUT}: {error.strerror}")


def _write_all(descriptor: int, octets: bytes) -> None:
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
