"""The live conversations of one protocol by number."""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Final

from schemefs.conversation.conversation import Conversation
from schemefs.conversation.event_log import CAPACITY, JSON_CAPACITY
from schemefs.errors import SchemeError
from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemefs.conversation.protocol import Engine
    from schemefs.held_octets import HeldOctets
    from schemefs.log import LogRing
    from schemefs.shares import Share
    from schemefs.timers import Timers

KEPT_LINES: Final = 30  # of the events of a conversation that has ended
RECORDED: Final = CAPACITY + JSON_CAPACITY  # octets, counted as held by each conversation that records its events
REUSE_AFTER: Final = 64
"""A freed number is used again after this many others were freed: until then an old path finds nothing."""


class ConversationTable:
    """Gives out the smallest numbers. *place* is the path of the numbered directories in the mount: `tcp`.

    *forgotten* is called with the engine of each conversation that has ended. *share* bounds those of a uid,
    and *held* what their buffers hold. With *ended*, every conversation records its events, which are not counted as
    held, and *ended* gets the last of them.
    """

    def __init__(
        self,
        place: str,
        timers: Timers,
        forgotten: Callable[[Engine], None],
        share: Share,
        held: HeldOctets,
        *,
        datagrams: bool = False,
        ended: LogRing | None = None,
    ) -> None:
        self.place = place
        self.share = share
        self.held = held
        self._forgotten = forgotten
        self.datagrams = datagrams
        self.ended = ended
        self.timers = timers
        self.on_forgotten: Callable[[Conversation], object] = no_callback
        self._live: dict[int, Conversation] = {}
        self._free: deque[int] = deque()
        self._next = 0

    def make(self, uid: int, gid: int, now: float) -> Conversation:
        """Return a new conversation of that owner. EMFILE: its uid has as many as are allowed."""
        self.share.take(uid)
        if len(self._free) > REUSE_AFTER:
            number = self._free.popleft()
        else:
            number = self._next
            self._next += 1
        conversation = self._live[number] = Conversation(self, number, uid, gid)
        if self.ended is not None:
            conversation.began_at = now
            conversation.record()
        return conversation

    def record_begins(self, uid: int) -> None:
        """Count the events of one more conversation. ENOBUFS: the buffers of *uid* hold too much already."""
        if self.ended is None:
            account = self.held.account(uid)
            if not account.arrival_room:
                raise SchemeError(errno.ENOBUFS, f"the buffers of uid {uid} are full: read what has arrived")
            account.put(RECORDED)

    def record_ended(self, conversation: Conversation) -> None:
        """Release the events of *conversation*, or keep the last of them."""
        if self.ended is None:
            self.held.account(conversation.uid).taken(RECORDED)
        elif conversation.event_log is not None:
            engine, listener = conversation.engine, conversation.listener
            ends = f" {engine.local} to {engine.remote}" if engine else f" {listener.local}" if listener else ""
            self.ended.append(f"{conversation.name}{ends}: {conversation.failure or 'ended'}")
            for line in conversation.event_log.ring.last_lines(KEPT_LINES):
                self.ended.append(f"  {line}")

    def forget(self, conversation: Conversation) -> None:
        """Free the number of a conversation that has ended. Calling it again is harmless."""
        if self._live.get(conversation.number) is conversation:
            del self._live[conversation.number]
            self.share.give_back(conversation.uid)
            self._free.append(conversation.number)
            self.on_forgotten(conversation)
            if conversation.engine is not None:
                self._forgotten(conversation.engine)

    def get(self, number: int) -> Conversation | None:
        """Return the live conversation with that number."""
        return self._live.get(number)

    def __iter__(self) -> Iterator[Conversation]:
        """Yield those that are live now in order of number; the table may change meanwhile."""
        return iter([self._live[number] for number in sorted(self._live)])

    def __len__(self) -> int:
        """Return the number of live conversations."""
        return len(self._live)
