"""The frames that an impairment has dropped last: so a transport can name the rule that has taken its segment."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemefs.net.frame_fields import FrameFields

KEPT: Final = 256  # frames of one direction


class DroppedFrame(NamedTuple):
    """A frame, and the rule that has dropped it."""

    fields: FrameFields
    number: int  # of the rule, in the text of the impairments
    rule: str  # the same in words: "impair rule 2 of eth0, `drop tcp syn 1`"


class RecentDrops:
    """Those of one direction of a link."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: deque[tuple[float, FrameFields, int]] = deque(maxlen=KEPT)

    def keep(self, fields: FrameFields, number: int, now: float) -> None:
        """Keep what *fields* say of a frame that rule *number* drops."""
        self._frames.append((now, fields, number))

    def of_flow(
        self, ends: tuple[bytes, bytes], ports: tuple[int, int], since: float
    ) -> Iterator[tuple[FrameFields, int]]:
        """Yield the frames between *ends* in either direction that were dropped at *since* or later, newest first."""
        for dropped_at, fields, number in reversed(self._frames):
            if dropped_at < since:
                return
            there = (fields.source, fields.destination, fields.source_port, fields.destination_port)
            if there in ((*ends, *ports), (*reversed(ends), *reversed(ports))):
                yield fields, number
