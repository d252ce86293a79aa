"""The last frames of a link, for a capture that is opened after the event: `netcfg/ifaces/<if>/history` sets its size.

A frame is kept as the driver has it: the first octets, uncut, with its work left. It is cut into the frames of the
wire only when it is read.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemefs.net.buffer import total_length
from schemefs.net.offload import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.net.offload import Offload

KEPT: Final = 256  # octets of each frame
_COST: Final = 128  # octets of an entry beside those of its frame


class PastFrame(NamedTuple):
    """A frame of the wire, as far as it was kept."""

    octets: bytes
    length: int
    outgoing: bool
    now: float


class FrameHistory:
    """A ring. While `size` is above 0 it has an entry among *observers*, so that the driver shows each frame."""

    __slots__ = ("_entries", "_held", "_observers", "size")

    def __init__(self, observers: list[Any]) -> None:
        self._observers = observers
        self._entries: deque[tuple[bytes, int, Offload, bool, float]] = deque()
        self._held = 0
        self.size = 0  # octets; 0: nothing is kept

    def resize(self, size: int) -> None:
        """Keep *size* octets from now on; the frames so far are kept as far as they fit."""
        if size and not self.size:
            self._observers.append(_no_pieces)
        elif self.size and not size:
            self._observers.remove(_no_pieces)
        self.size = size
        self._make_room()

    def keep(self, chunks: Chunks, offload: Offload, outgoing: bool, now: float) -> None:
        """Keep the beginning of a frame."""
        head = bytes(chunks[0][:KEPT])
        if len(head) < KEPT and len(chunks) > 1:
            head += bytes(chunks[1][: KEPT - len(head)])
        self._entries.append((head, total_length(chunks), offload, outgoing, now))
        self._held += len(head) + _COST
        if self._held > self.size:
            self._make_room()

    def _make_room(self) -> None:
        entries = self._entries
        while entries and self._held > self.size:
            self._held -= len(entries.popleft()[0]) + _COST

    def frames(self, network_offset: Callable[[Buffer], int]) -> Iterator[PastFrame]:
        """Iterate over the frames that are kept now, as on the wire, and make each as it is asked for."""
        return (past for entry in tuple(self._entries) for past in _on_the_wire(*entry, network_offset))


def _on_the_wire(
    head: bytes, length: int, offload: Offload, outgoing: bool, now: float, network_offset: Callable[[Buffer], int]
) -> Iterator[PastFrame]:
    """Yield the pieces of a frame. A piece after the octets that were kept has its headers."""
    kept = len(head)
    for piece in split((head.ljust(length, b"\0"),), offload, network_offset(head)):
        yield PastFrame(bytes(piece[:kept]), len(piece), outgoing, now)
        kept = min(kept, offload.header_length)


def _no_pieces(*_arguments: object) -> None:
    """Take a piece of a frame that `keep` has taken."""
