"""Where the time of a connection goes: exactly one cause holds at any moment, and each cause has its seconds.

    transmit has ended        what keeps text from leaving, else whether text is in flight      output
    text arrives, a read      octets wait for the reader                                        arrival, connection
    a loss is found           the wait for it is the loss's, from its beginning                 losses
    the state changes         handshake, closing, over                                          opening, closing

docs/time.md has the order in which causes take precedence. Where a cause may change with each segment, the callers
compare it themselves: a change costs one addition, no change one comparison.
"""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "handshake", "reader", "peer_window", "congestion_window", "recovery", "rto", "delayed_ack", "path_wait", "closing",
    "writer", "idle",
)  # fmt: skip
HANDSHAKE: Final = 0
READER: Final = 1
PEER_WINDOW: Final = 2
CONGESTION_WINDOW: Final = 3
RECOVERY: Final = 4
RTO: Final = 5
DELAYED_ACK: Final = 6
PATH_WAIT: Final = 7
CLOSING: Final = 8
WRITER: Final = 9
IDLE: Final = 10
OVER: Final = 11  # the connection has ended: its time is not shown


class TimeSpent:
    """The seconds of each cause. Times are of the daemon's clock."""

    __slots__ = (
        "_loss",  # what the loss of the present cause was; empty: it is none of RECOVERY and RTO
        "_loss_at",  # when the wait for it began
        "_worst",  # cause -> (seconds, what the loss was) of its longest wait
        "cause",  # the one that holds
        "since",  # when it began to hold; -1: the connection has not begun
        "spent",  # seconds by cause, without the present one
        "turn",  # what holds when nothing waits or is in flight: WRITER if the peer's message was last, else IDLE
    )

    def __init__(self) -> None:
        self.cause = HANDSHAKE
        self.since = -1.0
        self.spent = [0.0] * (OVER + 1)
        self.turn = IDLE
        self._loss = ""
        self._loss_at = 0.0
        self._worst: dict[int, tuple[float, str]] | None = None

    def begin(self, now: float) -> None:
        """The first SYN is sent, or has come; a connect to another address of the host goes on."""
        if self.since < 0:
            self.since = now

    def enter(self, cause: int, now: float) -> None:
        """Let *cause* hold from now on."""
        if self.cause in (cause, OVER):
            return
        self.spent[self.cause] += now - self.since
        self.since = now
        if self._loss and cause not in (RECOVERY, RTO):
            self._end_loss(now)
        self.cause = cause

    def waited(self, seconds: float, now: float) -> None:
        """Segments have waited *seconds* for the next hop: so long PATH_WAIT held, not the present cause."""
        if self.cause == OVER:
            return
        seconds = min(seconds, now - self.since)
        self.spent[PATH_WAIT] += seconds
        self.since += seconds

    def lost(self, cause: int, seconds: float, what: str, now: float) -> None:
        """A loss, *what* in words, was found after a wait of *seconds*. *cause*, RECOVERY or RTO, holds from now on."""
        if self.cause == OVER:
            return
        seconds = min(seconds, now - self.since)
        if not self._loss:
            self._loss_at = now - seconds
        self.spent[self.cause] += now - self.since - seconds
        self.spent[cause] += seconds
        self._loss = what
        self.cause = cause
        self.since = now

    def _end_loss(self, now: float) -> None:
        worst = self._worst = self._worst or {}
        if now - self._loss_at > worst.get(self.cause, (0.0, ""))[0]:
            worst[self.cause] = (now - self._loss_at, self._loss)
        self._loss = ""

    def parts(self, now: float) -> list[tuple[str, float, str]]:
        """Return (cause, seconds, the longest loss in words) of every cause that has held, until *now*."""
        if self.since < 0:
            return []
        seconds = list(self.spent)
        seconds[self.cause] += now - self.since
        worst = dict(self._worst or {})
        if self._loss and now - self._loss_at > worst.get(self.cause, (0.0, ""))[0]:
            worst[self.cause] = (now - self._loss_at, self._loss)
        return [
            (name, seconds[cause], worst.get(cause, (0.0, ""))[1]) for cause, name in enumerate(NAMES) if seconds[cause]
        ]
