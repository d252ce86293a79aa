"""What happened in one conversation, both sides on one clock: `events` of its directory.

    +0.000012 open pid 4711 O_NONBLOCK
    +0.000031 SYN out to 10.0.2.2:80 (try 1)
    +0.000050 ARP who-has 10.0.2.2 (try 1)
    +0.000310 poll pid 4711 -> none, parked
    +0.020310 SYN-ACK in from 10.0.2.2:80: seq 0, 0 octets, ack 1, window 65535
    +0.020310 fevent OUT -> 1 waker
    +0.020840 poll pid 4711 -> OUT

Nothing is recorded, and nothing paid but a look at an attribute, until somebody opens the file; or from the first call
on with the option `,events` in the address. The newest 64 KiB are kept. Who records is given `Journal.sink`; what is
worth a line is theirs to say.
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
    """An engine that tells what it does."""

    @property
    def sink(self) -> Sink | None:
        """Who is told; None: nobody."""

    def record_to(self, sink: Sink) -> None:
        """Send every line to *sink* from now on."""


class EarlyEvents:
    """Whom an engine tells before its conversation has it: what `connect` has done, and a handshake not accepted yet.

    Bounded, as all that a peer can cause: the newest lines.
    """

    __slots__ = ("heir", "lines")

    def __init__(self) -> None:
        self.lines: deque[tuple[float | None, str]] = deque(maxlen=EARLY_LINES)
        self.heir: Sink | None = None  # who is told instead, once the conversation has the engine

    def __call__(self, now: float | None, text: str) -> None:
        """Keep a line, or pass it on."""
        if self.heir is not None:
            self.heir(now, text)
        else:
            self.lines.append((now, text))

    def forward_to(self, heir: Sink) -> None:
        """Tell *heir* what was kept, and all that comes: whoever was given this, a neighbor that is asked, goes on."""
        for now, text in self.lines:
            heir(now, text)
        self.lines.clear()
        self.heir = heir


class Journal:
    """The lines of one conversation."""

    __slots__ = ("_began_at", "_events", "_last_at", "ring")

    def __init__(self, began_at: float) -> None:
        self.ring = LogRing(CAPACITY)
        self._began_at = began_at
        self._last_at = began_at
        self._events = -1  # what was ready when it was told last; -1: it never was

    def follow(self, engine: object) -> bool:
        """Have *engine*, if it is one that can, tell what it does; True: it has told what it did before."""
        if not isinstance(engine, EventSource):
            return False
        earlier = engine.sink
        engine.record_to(self.log_event)
        if not isinstance(earlier, EarlyEvents):
            return False
        if earlier.lines and not self.ring.end:
            # A handshake comes before its accept; who told the first line may not have known the time.
            self._began_at = self._last_at = next((at for at, _ in earlier.lines if at is not None), self._began_at)
        earlier.forward_to(self.log_event)
        return True

    def log_event(self, now: float | None, text: str) -> None:
        """Add a line; *now* None: whoever calls is not told the time, and it is still that of the last line.

        A time before that of the last line is that of the last line: an event is told when it was seen.
        """
        if now is not None:
            self._last_at = max(self._last_at, now)
        self.ring.append(f"+{self._last_at - self._began_at:.6f} {text}")

    def changed(self, events: int, woken: int) -> None:
        """Add what is ready now, and how many that waited were told; nothing when neither is news."""
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
