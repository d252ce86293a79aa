"""The event log of one conversation: `events` and `events.json` of its directory. Engine and files write to it on one
clock.

    +0.000012 open pid 4711 O_NONBLOCK
    +0.000031 SYN out to 10.0.2.2:80 (try 1)
    +0.000310 poll pid 4711 -> none, parked
    +0.020310 SYN-ACK in from 10.0.2.2:80: seq 0, 0 octets, ack 1, window 65535
    +0.020310 fevent OUT -> 1 waker
    +0.020840 poll pid 4711 -> OUT

    {"time": 0.000031, "name": "transport:packet_sent", "data": {"flags": "S", …, "text": "SYN out to …"}}

Recording begins when one of the two is opened, or with the conversation if its address has the option `,events`. Before
that an event costs one look at an attribute. The newest 64 KiB of lines and 128 KiB of JSON are kept. An engine is
given `EventLog.log_event` as its sink and decides what is worth an event. docs/events.md has every name.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from schemefs.log import LogRing
from schemefs.net.network_layer import EventData, Sink
from schemefs.scheme import O_NONBLOCK, Event

if TYPE_CHECKING:
    from schemefs.conversation.protocol import Engine
    from schemefs.scheme import Caller

CAPACITY: Final = 64 << 10
JSON_CAPACITY: Final = 128 << 10
EARLY_EVENTS: Final = 256
EVENT_NAMES: Final = ("IN", "PRI", "OUT", "ERR", "HUP", "RDHUP")  # of the bits of `Event` that poll(2) reports


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

    It keeps the newest events only, because a peer can cause any number of them.
    """

    __slots__ = ("events", "next_sink")

    def __init__(self) -> None:
        self.events: deque[tuple[float | None, str, str, EventData]] = deque(maxlen=EARLY_EVENTS)
        self.next_sink: Sink | None = None  # set once the conversation has an event log

    def __call__(self, now: float | None, text: str, name: str, data: EventData) -> None:
        """Keep an event, or forward it."""
        if self.next_sink is not None:
            self.next_sink(now, text, name, data)
        else:
            self.events.append((now, text, name, data))

    def forward_to(self, sink: Sink) -> None:
        """Send the kept events and all later ones to *sink*: a neighbor entry may still write to this object."""
        for event in self.events:
            sink(*event)
        self.events.clear()
        self.next_sink = sink


class EventLog:
    """The recorded events of one conversation, as lines and as JSON."""

    __slots__ = ("_began_at", "_events", "_last_at", "json", "ring")

    def __init__(self, began_at: float) -> None:
        self.ring = LogRing(CAPACITY)
        self.json = LogRing(JSON_CAPACITY)
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
        if earlier.events and not self.ring.end:
            # A handshake comes before its accept. The first event may have no time of its own.
            self._began_at = self._last_at = next((at for at, *_ in earlier.events if at is not None), self._began_at)
        earlier.forward_to(self.log_event)
        return True

    def begin(self, engine: Engine, now: float) -> None:
        """Record *engine*, which begins now: where it is, if its earlier events are lost."""
        if not self.follow(engine):
            state = engine.status(now).get("state", "begun")
            ends = {"local": engine.local, "remote": engine.remote, "state": state}
            text = f"{engine.local} to {engine.remote}: {state}"
            self.log_event(now, text, "connectivity:connection_started", ends)

    def log_event(self, now: float | None, text: str, name: str, data: EventData) -> None:
        """Add an event; *now* None: at the time of the last one.

        Times never go back: a *now* before that of the last event counts as that of the last event.
        """
        if now is not None:
            self._last_at = max(self._last_at, now)
        time = f"{self._last_at - self._began_at:.6f}"
        if text:
            self.ring.append(f"+{time} {text}")
            data = {**data, "text": text}
        self.json.append(f'{{"time": {time}, "name": "{name}", "data": {json.dumps(data)}}}')

    @property
    def is_finished(self) -> bool:
        """Whether `finish` was called."""
        return self.ring.finished

    def finish(self) -> None:
        """End both records: nothing follows."""
        self.ring.finish()
        self.json.finish()

    def log_readiness(self, events: int, woken: int) -> None:
        """Add what is ready now and how many calls were woken, unless neither is new."""
        if woken or events != self._events:
            self._events = events
            names = event_names(events)
            text = f"fevent {' '.join(names) or 'none'} -> {woken} waker{'' if woken == 1 else 's'}"
            self.log_event(None, text, "file:ready", {"events": names, "woken": woken})


def event_names(events: int) -> list[str]:
    """Return the names of the bits: IN, OUT…"""
    return [name for name in EVENT_NAMES if events & getattr(Event, name)]


def opened(caller: Caller, flags: int) -> tuple[str, str, EventData]:
    """Return the sentence, the name and the values of an open: `open pid 4711 O_NONBLOCK`."""
    is_nonblocking = bool(flags & O_NONBLOCK)
    text = f"open pid {caller.pid}{' O_NONBLOCK' if is_nonblocking else ''}"
    return text, "file:open", {"pid": caller.pid, "nonblock": is_nonblocking}
