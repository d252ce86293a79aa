"""Queues of datagrams that have little room: a driver lets their readers read before it takes more frames.

    DatagramEngine  ── arrived: room for less than BURST ──> behind ─────>  ReaderTurns  <── are_due ── driver
                    ── take: room for BURST again ─────────> caught_up ──>    `── on_caught_up ──> it takes frames again

Why: reading a datagram costs as much as receiving it. A daemon that receives whenever it can spends its time on
datagrams that find the queue full, and its readers get a fraction of what they get at a lower load (receive livelock).
What a driver leaves in the device meanwhile is dropped there at no cost, if there is too much of it.

A queue whose reader does not read asks for nothing. Sans-IO: the driver waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

BURST: Final = 32  # frames that a driver takes in a row


class ReaderTurns:
    """The queues behind which a reader is at work. One object for a network layer and the links attached to it."""

    __slots__ = ("_due", "on_caught_up", "reads")

    def __init__(self) -> None:
        self.reads = 0  # datagrams that were read from queues with little room: it tells whether a reader reads
        self.on_caught_up: set[Callable[[], None]] = set()  # called when no turn is due any more
        self._due: set[object] = set()

    @property
    def are_due(self) -> bool:
        """Whether a queue has too little room for a burst, and a reader that reads."""
        return bool(self._due)

    def behind(self, queue: object) -> None:
        """Note that *queue* has little room. Its reader counts as active until `give_up`."""
        self._due.add(queue)

    def has_read(self, queue: object) -> None:
        """Note a read from *queue*, which still has little room: its reader is active."""
        self.reads += 1
        self._due.add(queue)

    def caught_up(self, queue: object) -> None:
        """Note that *queue* has room for a burst, or is gone."""
        self.reads += 1
        self._due.discard(queue)
        if not self._due:
            for callback in tuple(self.on_caught_up):
                callback()

    def give_up(self) -> None:
        """Take the readers of all queues that are behind as inactive, until they read again."""
        self._due.clear()
