"""What `schemefs tcpdump` does with the packets of a capture: lines, or a file of pcapng."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from schemefs.capture_reader import ETHERNET
from schemefs.net.frame_fields import FrameFields, ethernet_header_length, frame_fields
from schemefs.tools.exit_status import OUTPUT, fail, show
from schemefs.tools.frame_lines import FrameLines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemefs.capture_reader import Block, CaptureReader
    from schemefs.net.capture_filter import Filter

STANDARD: Final = "-"
_DATED: Final = 4
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class LineOutput:
    """Prints a line for each packet."""

    def __init__(self, reader: CaptureReader, times: int, *, absolute: bool) -> None:
        """*times*: how often -t was given."""
        self._reader = reader
        self._times = times
        self._frames = FrameLines(absolute=absolute)

    def put(self, block: Block) -> None:
        """Print the packet of *block*."""
        if not block.is_packet:
            return
        packet = self._reader.packet(block)
        line = self._frames.line(packet.octets, packet.interface.link_type, packet.length)
        comments = "".join(f"  # {comment}" for comment in packet.comments)
        place = ""
        if len(self._reader.interfaces) > 1:
            place = f"{packet.interface.name:5} {'Out' if packet.is_outgoing else 'In':3} "
        show(f"{self._time(packet.nanoseconds)}{place}{line}{comments}")

    def _time(self, nanoseconds: int) -> str:
        if self._times == 1:
            return ""
        whole, fraction = divmod(nanoseconds // 1000, 1_000_000)
        if self._times == 2:
            return f"{whole}.{fraction:06} "
        form = "%Y-%m-%d %H:%M:%S" if self._times == _DATED else "%H:%M:%S"
        return f"{time.strftime(form, time.localtime(whole))}.{fraction:06} "


class BlockOutput:
    """Writes whole blocks at once, so that the file can be read whenever and however this process ends."""

    def __init__(self, path: str) -> None:
        self._name = OUTPUT if path == STANDARD else path
        try:
            self._file = sys.stdout.fileno() if path == STANDARD else os.open(path, _NEW, 0o666)
        except OSError as error:
            fail(1, f"{path}: {error.strerror}")

    def put(self, block: Block) -> None:
        """Write *block*."""
        left = memoryview(block.octets)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            fail(1, f"{self._name}: {error.strerror}")


class Dump:
    """Puts out the packets of *reader* that *kept* keeps (None: all), the first *count* of them (None: all)."""

    def __init__(
        self, reader: CaptureReader, output: LineOutput | BlockOutput, kept: Filter | None, count: int | None
    ) -> None:
        self._reader = reader
        self._output = output
        self._kept = kept
        self._count = count
        self.packets = 0
        self._is_stopped = self._is_waiting = False

    def stop(self, *_signal: object) -> None:
        """End `run` after the present packet, which is then put out and counted. For the second time: at once."""
        if self._is_waiting or self._is_stopped:
            raise KeyboardInterrupt
        self._is_stopped = True

    def run(self) -> None:
        """Return at the end of the capture, or after the last packet. CaptureError: it can't be read."""
        for block in self._blocks():
            if block.is_packet and self._kept is not None and not self._kept(_fields(*self._reader.frame(block))):
                continue
            self._output.put(block)
            self.packets += block.is_packet
            if self.packets == self._count:
                return

    def _blocks(self) -> Iterator[Block]:
        """Yield each block; KeyboardInterrupt: `stop` was called while the next one was awaited."""
        blocks = self._reader.blocks()
        while not self._is_stopped:
            self._is_waiting = True
            block = next(blocks, None)
            self._is_waiting = False
            if block is None:
                return
            yield block


def _fields(octets: bytes, link_type: int) -> FrameFields:
    return frame_fields(octets, ethernet_header_length(octets) if link_type == ETHERNET else 0)
