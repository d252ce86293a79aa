"""The open captures of one link: each frame with what the stack did with it, as pcapng.

A frame that arrives is kept until the layers above have seen it: only then is it known whether it was dropped, and why.
What leaves in the meantime follows it. All layers run without waiting, so this is the next frame that arrives, or the
end of the burst.

Where an impairment is in front of the link, a frame is shown between it and the layers (`net/capture_point.py`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from schemefs.net.frame_fields import FrameFields, frame_fields
from schemefs.net.offload import split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from schemefs.driver import Link
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.net.frame_history import PastFrame
    from schemefs.net.offload import Offload
    from schemefs.scheme import SchemeContext

_MOST_DEPARTED: Final = 1024  # frames on lo that have not arrived; those that never do make room


class CapturedFrame(NamedTuple):
    """A frame as on the wire."""

    octets: bytes
    fields: FrameFields
    outgoing: bool
    now: float
    remarks: list[str]
    notes: Sequence[str] = ()  # of an impairment; the pieces of a super-segment share them

    @property
    def comments(self) -> list[str]:
        """All comments, complete when the frame is given to a capture."""
        return [*self.remarks, *self.notes]


class NumberedFrame(NamedTuple):
    """A frame from before the opening of a capture, and the number of its link there."""

    number: int
    frame: PastFrame
    fields: FrameFields


class FrameSink(Protocol):
    """An open capture."""

    def take(self, frames: Iterable[CapturedFrame], interface: int) -> None:
        """Take frames of the link that has the number *interface* in it."""

    def changed(self) -> int:
        """Report that the link is gone."""


class LinkCaptures:
    """Observes *link* while there are captures; without one it costs nothing. Satisfies `CapturePoint`."""

    def __init__(self, link: Link, context: SchemeContext) -> None:
        self.link = link
        self.epoch = context.epoch
        self.is_attached = True
        self._context = context
        self._open: dict[FrameSink, int] = {}  # with the number that each has given this link
        self._frames: list[CapturedFrame] = []  # in order, until they are settled
        self._arrived: list[CapturedFrame] = []  # the pieces of the frame that arrived last
        self._arrived_number = 0
        # Those on lo that have not arrived, each with the octets that a rule may still change
        self._departed: deque[tuple[Buffer, CapturedFrame]] = deque(maxlen=_MOST_DEPARTED)
        self._timer = context.timers.timer(self.settle, f"captures of {link.name}")

    def add(self, capture: FrameSink, number: int) -> None:
        """Begin to give frames to *capture*, as those of its interface *number*."""
        self.settle(0.0)  # those from before are of the other captures
        if not self._open:
            self.link.observers.append(self._observe)
            self.link.capture_points.append(self)
        self._open[capture] = number

    def remove(self, capture: FrameSink) -> None:
        """Give it no more. The last one ends the observation."""
        del self._open[capture]
        if not self._open:
            self.link.observers.remove(self._observe)
            self.link.capture_points.remove(self)
            self._timer.clear()
            self._frames.clear()
            self._arrived.clear()
            self._departed.clear()

    def history(self, number: int) -> Iterator[NumberedFrame]:
        """Iterate over the frames that the link has kept until now, as those of its interface *number*."""
        frames = self.link.history.frames(self.link.network_offset)
        return (NumberedFrame(number, past, self._fields(past.octets)) for past in frames)

    def detach(self) -> None:
        """End every capture: the link is gone."""
        self.settle(0.0)
        self.is_attached = False
        for capture in self._open:
            capture.changed()

    def sent(self, frame: Buffer, offload: Offload, notes: list[str], now: float) -> None:
        """Show a frame that the layers send through an impairment."""
        for piece in split((frame,), offload, self.link.network_offset(frame)):
            self._leaves(bytes(piece), now, notes, frame)

    def received(self, frame: Buffer, offload: Offload, notes: list[str], now: float) -> None:
        """Show a frame that an impairment passes on to the layers."""
        self._begin_arrival(now)
        for piece in split((frame,), offload, self.link.network_offset(frame)):
            self._arrives(bytes(piece), now, notes)

    def lost(self, frame: Buffer, offload: Offload, notes: list[str], now: float) -> None:
        """Show a frame that has arrived, and that an impairment drops."""
        for piece in split((frame,), offload, self.link.network_offset(frame)):
            octets = bytes(piece)
            self._add(CapturedFrame(octets, self._fields(octets), False, now, [], notes))

    def settle(self, _now: float) -> None:
        """Comment the frame that arrived last with its fate, and give out all frames."""
        reason = self._context.drops.reason
        if reason:
            self._context.drops.reason = ""
            for frame in self._arrived:
                frame.remarks.insert(0, f"dropped: {reason}")
        frames, self._frames = [*self._lost_on_lo(), *self._frames], []
        self._arrived.clear()
        for capture, number in self._open.items():
            capture.take(frames, number)

    def _observe(self, chunks: Chunks, _offload: Offload, outgoing: bool, now: float) -> None:
        if outgoing in self.link.impaired:
            return  # it is shown between the impairment and the layers
        octets = b"".join(chunks)
        if outgoing:
            self._leaves(octets, now)
            return
        if self.link.observed != self._arrived_number:
            self._begin_arrival(now)
            self._arrived_number = self.link.observed
        self._arrives(octets, now)

    def _begin_arrival(self, now: float) -> None:
        self.settle(now)
        self._context.drops.reason = ""

    def _leaves(self, octets: bytes, now: float, notes: Sequence[str] = (), whole: Buffer = b"") -> None:
        fields = self._fields(octets)
        frame = CapturedFrame(octets, fields, True, now, self._remarks(fields, outgoing=True), notes)
        if self.link.is_loopback:  # a frame that leaves is one that arrives: it is shown then
            self._departed.append((whole, frame))
            self._arm()
        else:
            self._add(frame)

    def _arrives(self, octets: bytes, now: float, notes: Sequence[str] = ()) -> None:
        fields = self._fields(octets)
        # The layers take an arriving super-segment whole: what they say of it stands at its first piece.
        remarks = [] if self._arrived else self._remarks(fields, outgoing=False)
        if self.link.is_loopback and (departed := self._departure_of(octets)) is not None:
            remarks, notes = [*departed.remarks, *remarks], [*departed.notes, *notes]
        frame = CapturedFrame(octets, fields, False, now, remarks, notes)
        self._add(frame)
        self._arrived.append(frame)

    def _departure_of(self, octets: bytes) -> CapturedFrame | None:
        """Return the frame as it left on lo; None: it was not shown."""
        for place, (whole, frame) in enumerate(self._departed):
            if octets in (frame.octets, whole):
                del self._departed[place]
                return frame
        return None

    def _lost_on_lo(self) -> list[CapturedFrame]:
        """Take out those that a rule has dropped before they could arrive."""
        lost = [one for one in self._departed if one[1].notes and one[1].notes[0].startswith("dropped: ")]
        for one in lost:
            self._departed.remove(one)
        return [frame for _, frame in lost]

    def _add(self, frame: CapturedFrame) -> None:
        self._frames.append(frame)
        self._arm()

    def _arm(self) -> None:
        if not self._timer.armed:
            self._timer.call_soon()

    def _fields(self, octets: bytes) -> FrameFields:
        return frame_fields(octets, self.link.network_offset(octets))

    def _remarks(self, fields: FrameFields, *, outgoing: bool) -> list[str]:
        remarks = [scheme.remark(fields, outgoing=outgoing) for scheme in self._context.tree.schemes.values()]
        return [remark for remark in remarks if remark]
