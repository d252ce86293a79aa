"""The part of a conversation that remembers: its events, and the time before its present engine began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.conversation.usage import UsedConversation

if TYPE_CHECKING:
    from schemefs.conversation.event_log import EventLog
    from schemefs.conversation.time_spent import Part
    from schemefs.net.network_layer import EventData


class RecordedConversation(UsedConversation):
    """What `events`, `events.json` and `time` are read from, beside the engine."""

    __slots__ = ("event_log", "time_before")

    def __init__(self) -> None:
        super().__init__()
        self.event_log: EventLog | None = None  # None: events are not recorded
        self.time_before: list[Part] = []  # of the look-up, and of attempts before the one that has connected

    def log_event(self, now: float, text: str, name: str, data: EventData) -> None:
        """Add an event to the log, if there is one."""
        if self.event_log is not None:
            self.event_log.log_event(now, text, name, data)
