"""How large the receive buffer is: twice what the reader takes in a round trip (Linux's "dynamic right-sizing").

A fixed buffer is too small for a long path, and on a short one it lets the peer overrun the queues between. The
capacity begins small and doubles each time the reader has taken more than half of it within one round trip. The
receiver measures the round trip as the time in which the offered window was filled. That is too long when the peer had
nothing to send, so the smallest counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemes.tcp.receive_buffer import ReceiveBuffer
    from schemes.tcp.sequence_spaces import ReceiveSpace

MAX_CAPACITY: Final = 6 << 20  # octets


class WindowTuning:
    """The measurements behind `ReceiveBuffer.capacity`."""

    __slots__ = ("_epoch_at", "_measured_at", "_measured_edge", "_taken", "largest", "rtt")

    def __init__(self) -> None:
        self.largest = MAX_CAPACITY  # octets
        self.rtt = 0.0  # seconds; 0: not measured yet
        self._measured_edge = -1  # sequence number: when RCV.NXT reaches it, a window has been filled
        self._measured_at = 0.0
        self._epoch_at = 0.0
        self._taken = 0  # octets the reader took since then

    def arrived(self, rcv: ReceiveSpace, now: float) -> None:
        """Octets came in order: measure the round trip if the window offered at `_measured_at` has been filled."""
        if self._measured_edge < 0:
            self._measured_edge = rcv.edge
            self._measured_at = now
        elif rcv.nxt >= self._measured_edge:
            elapsed = now - self._measured_at
            self.rtt = min(self.rtt, elapsed) if self.rtt else elapsed
            self._measured_edge = rcv.edge
            self._measured_at = now

    def read(self, buffer: ReceiveBuffer, srtt: float, octets: int, now: float) -> str:
        """The user has read *octets*: once a round trip, decide whether to grow. Return the decision as a sentence."""
        self._taken += octets
        rtt = srtt or self.rtt
        if not rtt or now - self._epoch_at < rtt:
            return ""
        decision = ""
        wants_more = self._epoch_at and self._taken * 2 > buffer.capacity and buffer.capacity < self.largest
        if wants_more and buffer.may_grow:
            elapsed = now - self._epoch_at
            decision = f"{self._taken} octets read in {elapsed:.4f} s -> twice the receive buffer"
            buffer.capacity = min(buffer.capacity * 2, self.largest)
        self._epoch_at = now
        self._taken = 0
        return decision
