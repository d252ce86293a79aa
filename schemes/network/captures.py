"""The open captures of one link: each frame with what the stack did with it, as pcapng.

A frame that arrives is kept until the layers above have seen it: only then is it known whether it was dropped, and why.
What leaves in the meantime follows it. All layers run without waiting, so this is the next frame that arrives, or the
end of the burst.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from schemefs.net.frame_fields import FrameFields, frame_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemefs.driver import Link
    from schemefs.net.buffer import Chunks
    from schemefs.net.offload import Offload
    from schemefs.scheme import SchemeContext


class CapturedFrame(NamedTuple):
    """A frame as on the wire; *comments* may still grow until it is written."""

    octets: bytes
    fields: FrameFields
    outgoing: bool
    now: float
    comments: list[str]


class FrameSink(Protocol):
    """An open capture."""

    def take(self, frames: Iterable[CapturedFrame], interface: int) -> None:
        """Take frames of the link that has the number *interface* in it."""

    def changed(self) -> int:
        """Report that the link is gone."""


class LinkCaptures:
    """Observes *link* while there are captures; without one it costs nothing."""

    def __init__(self, link: Link, context: SchemeContext) -> None:
        self.link = link
        self.epoch = context.epoch
        self.is_attached = True
        self._context = context
        self._open: dict[FrameSink, int] = {}  # with the number that each has given this link
        self._frames: list[CapturedFrame] = []  # in order, until they are settled
        self._arrived: list[CapturedFrame] = []  # the pieces of the frame that arrived last
        self._arrived_number = 0
        self._departed: deque[tuple[bytes, list[str]]] = deque()  # frames on lo that have not arrived, with remarks
        self._timer = context.timers.timer(self.settle, f"captures of {link.name}")

    def add(self, capture: FrameSink, number: int) -> None:
        """Begin to give frames to *capture*, as those of its interface *number*."""
        if not self._open:
            self.link.observers.append(self._observe)
        self._open[capture] = number

    def remove(self, capture: FrameSink) -> None:
        """Give it no more. The last one ends the observation."""
        del self._open[capture]
        if not self._open:
            self.link.observers.remove(self._observe)
            self._timer.clear()
            self._frames.clear()
            self._arrived.clear()
            self._departed.clear()

    def detach(self) -> None:
        """End every capture: the link is gone."""
        self.settle(0.0)
        self.is_attached = False
        for capture in self._open:
            capture.changed()

    def _observe(self, chunks: Chunks, offload: Offload, outgoing: bool, now: float) -> None:
        del offload
        octets = b"".join(chunks)
        fields = frame_fields(octets, self.link.network_offset(octets))
        if not outgoing and self.link.observed != self._arrived_number:
            self.settle(now)
            self._arrived_number = self.link.observed
            self._context.drops.reason = ""
        # The layers take an arriving super-segment whole: what they say of it stands at its first piece.
        is_further_piece = not outgoing and bool(self._arrived)
        comments = [] if is_further_piece else self._remarks(fields, outgoing=outgoing)
        if self.link.is_loopback:  # a frame that leaves is one that arrives: it is shown then
            if outgoing:
                self._departed.append((octets, comments))
                return
            if self._departed and self._departed[0][0] == octets:
                comments = self._departed.popleft()[1] + comments
        frame = CapturedFrame(octets, fields, outgoing, now, comments)
        self._frames.append(frame)
        if not outgoing:
            self._arrived.append(frame)
        if not self._timer.armed:
            self._timer.call_soon()

    def _remarks(self, fields: FrameFields, *, outgoing: bool) -> list[str]:
        remarks = [scheme.remark(fields, outgoing=outgoing) for scheme in self._context.tree.schemes.values()]
        return [remark for remark in remarks if remark]

    def settle(self, _now: float) -> None:
        """Comment the frame that arrived last with its fate, and give out all frames."""
        reason = self._context.drops.reason
        if reason:
            self._context.drops.reason = ""
            for frame in self._arrived:
                frame.comments.insert(0, f"dropped: {reason}")
        frames, self._frames = self._frames, []
        self._arrived.clear()
        for capture, number in self._open.items():
            capture.take(frames, number)
