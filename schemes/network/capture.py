"""`network/<if>/capture.pcapng`: the frames of a link from now on, as a stream that Wireshark and tshark read.

    tshark -r - <capture.pcapng          { echo 'tcp port 80' >&3; cat <&3; } 3<>capture.pcapng >web.pcapng

A write is a filter (`schemefs/net/capture_filter.py`) for the frames after it. A reader that is slow loses frames,
which an interface statistics block counts, and never delays the stack.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from heapq import merge
from typing import TYPE_CHECKING, Final

from schemefs.deferred_module import DeferredModule
from schemefs.driver import Medium
from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import parse_number
from schemefs.net.capture_filter import every_frame, parse_filter
from schemefs.readiness import readiness
from schemefs.scheme import Event, Handle, StaticDirectory, StreamFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from schemefs.net.capture_filter import Filter
    from schemefs.scheme import Caller, Node, SchemeContext
    from schemes.network import pcapng
    from schemes.network.captures import CapturedFrame, LinkCaptures, NumberedFrame
else:  # most mounts capture nothing
    pcapng = DeferredModule(globals(), "pcapng", "schemes.network.pcapng")

Links = Callable[[], Sequence["LinkCaptures"]]

CAPTURE: Final = "capture.pcapng"
QUEUE_OCTETS: Final = 16 << 20  # of one capture
PAST_OCTETS: Final = 1 << 16  # of one read, while the frames of before the opening are read
MOST_NAMED: Final = 65_536  # addresses; those after them have no names
WHOLE: Final = 262_144  # octets of the longest frame that is kept whole
SMALLEST_SNAP: Final = 64  # octets of each frame


class CaptureFile(StreamFile):
    """Opening it begins a capture of some links. For root and the daemon's user."""

    mode = 0o600

    def __init__(
        self,
        context: SchemeContext,
        name: str,
        links: Links,
        snap: int = WHOLE,
        kept: Filter = every_frame,
        *,
        has_history: bool = False,
    ) -> None:
        self._context = context
        self._name = name
        self._links = links
        self._snap = snap
        self._has_history = has_history
        self._filter = kept
        self.uid = context.uid

    def open(self, flags: int, caller: Caller, now: float) -> CaptureHandle:
        """Begin a capture. EACCES: the caller is neither root nor the daemon's user."""
        del flags, now
        if not self._context.is_privileged(caller):
            raise SchemeError(errno.EACCES, faults.not_privileged("capture frames"))
        handle = CaptureHandle(self._links(), self._name, self._filter, self._snap, self._context.names.names_of)
        if self._has_history:
            handle.begin_with_history()
        return handle


class CaptureHandle(Handle):
    """One capture of some links, with a queue of its own. A filter that is written narrows *base*, and no more."""

    def __init__(
        self,
        links: Sequence[LinkCaptures],
        name: str,
        base: Filter = every_frame,
        snap: int = WHOLE,
        names_of: Callable[[bytes], Sequence[str]] = lambda _address: (),
    ) -> None:
        self._links = links
        self._names_of = names_of
        self._named: set[bytes] = set()  # addresses whose names were written, or that have none
        self._snap = snap
        self._base = base
        self._filter: Filter = every_frame
        self._front: deque[bytes] = deque()  # read before `_queue`: the blocks of the beginning, and of past frames
        self._past: Iterator[bytes] = iter(())
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._dropped = 0
        self._told_dropped = 0
        self._secrets: Callable[[], bytes | None] | None = None
        self._limit = QUEUE_OCTETS
        self.name = name
        self._front.append(pcapng.section())
        for number, captures in enumerate(links):
            link = captures.link
            link_type = pcapng.RAW_IP if link.medium is Medium.IP else pcapng.ETHERNET
            self._front.append(pcapng.interface(link.name, link.device, link_type, snap))
            captures.add(self, number)

    def begin_with_history(self) -> None:
        """Let the frames that the links have kept be read first, those that *base* keeps."""
        frames = [captures.history(number) for number, captures in enumerate(self._links)]
        self._past = filter(None, map(self._past_block, merge(*frames, key=lambda past: past.frame.now)))

    def wait_for_secrets(self, secrets: Callable[[], bytes | None], limit: int) -> None:
        """Let *secrets* be read before the packets. *limit*: octets that are queued until the first read; 0: many."""
        self._secrets = secrets
        self._limit = limit or QUEUE_OCTETS

    def take(self, frames: Iterable[CapturedFrame], interface: int) -> None:
        """Queue the blocks of the frames that the filter keeps. *interface* is the place of their link."""
        was_empty = not self._queue
        for frame in frames:
            if not (self._base(frame.fields) and self._filter(frame.fields)):
                continue
            if self._queued >= self._limit:
                self._dropped += 1
                continue
            when = self._links[interface].epoch + frame.now
            if self._dropped != self._told_dropped:
                self._told_dropped = self._dropped
                self._put(pcapng.statistics(interface, when, self._dropped))
            for address in (frame.fields.source, frame.fields.destination):
                if address not in self._named:
                    self._put(self._names_block(address))
            octets = frame.octets[: self._snap]
            length = len(frame.octets)
            self._put(pcapng.packet(interface, octets, length, when, outgoing=frame.outgoing, comments=frame.comments))
        if (was_empty and self._queue) or self._secrets is not None:
            self.changed()

    def read(self, size: int, now: float) -> bytes | None:
        """Return the next octets of the stream; blocks need not end where a read ends."""
        for captures in self._links:
            captures.settle(now)
        if self._waits:
            return None
        self._limit = QUEUE_OCTETS
        octets = self._read_front(min(size, PAST_OCTETS))
        if not self._front:
            live = _taken(self._queue, size - len(octets))
            self._queued -= len(live)
            octets += live
        return octets or (b"" if self._is_gone else None)

    def _read_front(self, size: int) -> bytes:
        """Return octets of the beginning. Past blocks are made as they are read: there may be 100,000."""
        pieces: list[bytes] = []
        while self._front and size:
            pieces.append(_taken(self._front, size))
            size -= len(pieces[-1])
            if not self._front and (block := next(self._past, b"")):
                self._front.append(block)
        return b"".join(pieces)

    def _names_block(self, address: bytes) -> bytes:
        """Return the names of *address*, to be written before its first packet; empty: it has none."""
        if not address or len(self._named) >= MOST_NAMED:
            return b""
        self._named.add(address)
        hosts = self._names_of(address)
        return pcapng.names(address, hosts) if hosts else b""

    def _past_block(self, past: NumberedFrame) -> bytes:
        """Return the block of a frame that was kept; empty: *base* does not keep it."""
        number, frame, fields = past
        if not self._base(fields):
            return b""
        when = self._links[number].epoch + frame.now
        octets = frame.octets[: self._snap]
        names = b"".join(map(self._names_block, {fields.source, fields.destination} - self._named))
        return names + pcapng.packet(number, octets, frame.length, when, outgoing=frame.outgoing)

    def write(self, data: memoryview, now: float) -> int:
        """Replace the filter, for the frames from now on. EINVAL: it is malformed."""
        try:
            kept = parse_filter(bytes(data).decode(errors="replace").strip())
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        for captures in self._links:
            captures.settle(now)  # by the filter until now
        self._filter = kept
        return len(data)

    def fevent(self, interest: int) -> int:
        """IN: octets are queued, or the link was removed. A filter can always be written."""
        gone = self._is_gone
        is_readable = bool(self._front or self._queue) and not self._waits
        return readiness(interest, is_readable, True, failed=gone) | (Event.HUP if gone else 0)

    def close(self, now: float) -> None:
        """End the capture."""
        del now
        for captures in self._links:
            captures.remove(self)
        self._front.clear()
        self._queue.clear()

    @property
    def _waits(self) -> bool:
        """Whether secrets are still to come. Once they are known they stand before the packets."""
        if self._secrets is None:
            return False
        secrets = self._secrets()
        if secrets is None and not self._is_gone:
            return True
        self._secrets = None
        if secrets:
            self._front.append(pcapng.secrets(secrets))
        return False

    @property
    def _is_gone(self) -> bool:
        """Whether every link was removed: the stream ends after what is queued."""
        return not any(captures.is_attached for captures in self._links)

    def _put(self, block: bytes) -> None:
        if not block:
            return
        self._queue.append(block)
        self._queued += len(block)


class CapturedDirectory(StaticDirectory):
    """`network/` or `network/<if>/`: its files, a capture among them, whose name takes options."""

    def __init__(self, context: SchemeContext, name: str, links: Links, children: Mapping[str, Node]) -> None:
        """*links*: what the capture is of when it is opened."""
        capture = CaptureFile(context, f"{name}/{CAPTURE}", links)
        super().__init__({**children, CAPTURE: capture.described("frames for Wireshark, with what became of each")})
        self._context = context
        self._name = name
        self._captured = links

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return a child. EINVAL: an option of the capture is malformed."""
        file, comma, options = name.partition(",")
        if file != CAPTURE or not comma:
            return super().lookup(name, caller)
        try:
            snap, kept, has_history = _parse_options(options)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        name = f"{self._name}/{CAPTURE}"
        return CaptureFile(self._context, name, self._captured, snap, kept, has_history=has_history)


def _taken(queue: deque[bytes], size: int) -> bytes:
    """Take at most *size* octets out of *queue*."""
    pieces: list[bytes] = []
    while queue and size:
        piece = queue.popleft()
        if len(piece) > size:
            queue.appendleft(piece[size:])
            piece = piece[:size]
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _parse_options(text: str) -> tuple[int, Filter, bool]:
    """Return the snap length, the filter, and whether past frames are first. ValueError: a sentence."""
    snap = WHOLE
    kept: Filter = every_frame
    has_history = False
    for option in text.split(","):
        name, _, value = option.partition("=")
        if name == "snap":
            snap = parse_number(value, SMALLEST_SNAP, WHOLE)
        elif name == "filter":
            kept = parse_filter(value.replace("%2F", "/"))
        elif option == "history":
            has_history = True
        else:
            message = f"{option!r} is not an option of a capture; there are: snap=OCTETS, filter=FILTER, history"
            raise ValueError(message)
    return snap, kept, has_history
