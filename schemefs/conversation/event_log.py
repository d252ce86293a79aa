"""The event log of one conversation: `events` of its directory. Engine and files write to it on one clock.

    +0.000012 open pid 4711 O_NONBLOCK
    +0.000031 SYN out to 10.0.2.2:80 (try 1)
    +0.000310 poll pid 4711 -> none, parked
    +0.020310 SYN-ACK in from 10.0.2.2:80: seq 0, 0 octets, ack 1, window 65535
    +0.020310 fevent OUT -> 1 waker
    +0.020840 poll pid 4711 -> OUT

Recording begins when `events` is opened, or with the conversation if its address has the option `,events`. Before that
an event costs one look at an attribute. The newest 64 KiB are kept. An engine is given `EventLog.log_event` as its sink
and decides what is worth a line.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from schemefs.log import LogRing
from schemefs.net.network_layer import Sink
from schemefs.scheme import O_NONBLOCK, Event

if TYPE_CHECKING:
    from schemefs.scheme import Caller

CAPACITY: Final = 64 << 10
EARLY_LINES: Final = 256


@runtime_checkable
class EventSource(Protocol):
    """An engine that reports its events."""

    @property
    def sink(self) -> Sink | None:
        """Where events go; None: they are not recorded."""

    def record_to(self, sink: Sink) -> None:
        """Send every event to *sink* from now on."""


class EarlyEvents:
    """The sink of an engine before its conversation has an event log: during `connect`, or before the accept.

    It keeps the newest lines only, because a peer can cause any number of them.
    """

    __slots__ = ("lines", "next_sink")

    def __init__(self) -> None:
        self.lines: deque[tuple[float | None, str]] = deque(maxlen=EARLY_LINES)
        self.next_sink: Sink | None = None  # set once the conversation has an event log

    def __call__(self, now: float | None, text: str) -> None:
        """Keep a line, or forward it."""
        if self.next_sink is not None:
            self.next_sink(now, text)
        else:
            self.lines.append((now, text))

    def forward_to(self, sink: Sink) -> None:
        """Send the kept lines and all later ones to *sink*: a neighbor entry may still write to this object."""
        for now, text in self.lines:
            sink(now, text)
        self.lines.clear()
        self.next_sink = sink


class EventLog:
    """The recorded lines of one conversation."""

    __slots__ = ("_began_at", "_events", "_last_at", "ring")

    def __init__(self, began_at: float) -> None:
        self.ring = LogRing(CAPACITY)
        self._began_at = began_at
        self._last_at = began_at
        self._events = -1  # the last readiness that was logged; -1: none was

    def follow(self, engine: object) -> bool:
        """Record the events of *engine* if it is an EventSource; True: its earlier events are in the log too."""
        if not isinstance(engine, EventSource):
            return False
        earlier = engine.sink
        engine.record_to(self.log_event)
        if not isinstance(earlier, EarlyEvents):
            return False
        if earlier.lines and not self.ring.end:
            # A handshake comes before its accept. The first line may have no time of its own.
            self._began_at = self._last_at = next((at for at, _ in earlier.lines if at is not None), self._began_at)
        earlier.forward_to(self.log_event)
        return True

    def log_event(self, now: float | None, text: str) -> None:
        """Add a line; *now* None: at the time of the last line.

        Times never go back: a *now* before that of the last line counts as that of the last line.
        """
        if now is not None:
            self._last_at = max(self._last_at, now)
        self.ring.append(f"+{self._last_at - self._began_at:.6f} {text}")

    def log_readiness(self, events: int, woken: int) -> None:
        """Add what is ready now and how many calls were woken, unless neither is new."""
        if woken or events != self._events:
            self._events = events
            self.log_event(None, f"fevent {events_text(events)} -> {woken} waker{'' if woken == 1 else 's'}")


def events_text(events: int) -> str:
    """Return `IN OUT`, or `none`."""
    names = [name for name in ("IN", "PRI", "OUT", "ERR", "HUP", "RDHUP") if events & getattr(Event, name)]
    return " ".join(names) or "none"


def open_text(caller: Caller, flags: int, name: str = "") -> str:
    """Return `open pid 4711 O_NONBLOCK`, with the file's *name* where there are several."""
    words = ("open", name, f"pid {caller.pid}", "O_NONBLOCK" if flags & O_NONBLOCK else "")
    return " ".join(filter(None, words))
