"""The event queue: edges made of levels, one entry per watched conversation, removed with it.

    conversation ── changed, used ──> Registration: a note, nothing more     "look again" to who reads the queue
    read, fevent ── look ──> what is true now, and was not told since the last read or write  ──> told once

As in Redox an event comes once for what becomes true, and once more after each read or write that leaves it true.
Unlike there (each is a fault of the original's kernel or of its smolnetd):

* what is told is looked at once more when it is read: what has passed meanwhile is not told;
* events of one conversation join into one entry, so the queue is never longer than the list of what is watched;
* a second registration replaces the first, `none` removes it; the end of conversation or queue leaves nothing;
* errors and the end of both directions are events, asked for or not, as poll(2) has them.

How it is written and read is notation.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from schemefs.no_callback import no_callback
from schemefs.scheme import Event

if TYPE_CHECKING:
    from schemefs.scheme import Watchable

ALWAYS = Event.ERR | Event.HUP


class Registration:
    """One conversation that one queue watches."""

    __slots__ = ("_queue", "cookie", "interest", "key", "pending", "rearmed", "told", "watched")

    def __init__(self, queue: Queue, key: str, watched: Watchable) -> None:
        self._queue = queue
        self.key = key  # `tcp/3`, or what else its notation calls it
        self.watched = watched
        self.interest = 0
        self.cookie = 0  # Redox's `data`: given back with each event
        self.told = 0  # what was true and is known to the reader, or pending
        self.pending = 0  # what is new and was not read yet
        self.rearmed = 0  # what a read or write since the last look has made new again

    def changed(self) -> None:
        """Look again."""
        self._queue.note(self)

    def used(self, events: int) -> None:
        """What this read or write leaves true is news; so is an error: it was told of the one before."""
        self.rearmed |= events | ALWAYS
        self._queue.note(self)

    def ended(self) -> None:
        """The conversation is gone: nothing of it is told any more."""
        self._queue.remove(self.key)

    def look(self) -> bool:
        """Find what is new; tell whether there is something to read."""
        true = self.watched.fevent(self.interest)
        self.pending = (self.pending | (true & ~(self.told & ~self.rearmed))) & true
        self.told = true
        self.rearmed = 0
        return self.pending != 0


class Queue:
    """What one open of `event/queue` (or of `event/raw`) watches."""

    def __init__(self) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self._watched: dict[str, Registration] = {}
        self._noted: dict[Registration, None] = {}  # to look at, in the order of their changes
        self._ready: dict[Registration, None] = {}  # with something to read, the oldest first

    def __len__(self) -> int:
        """How many are watched."""
        return len(self._watched)

    def watch(self, key: str, watched: Watchable, interest: int, cookie: int = 0) -> None:
        """Tell of *interest* in *watched* from now on; what is true of it already is told at once."""
        self.remove(key)
        registration = self._watched[key] = Registration(self, key, watched)
        registration.interest = interest | ALWAYS
        registration.cookie = cookie
        watched.watchers.add(registration)
        self.note(registration)

    def remove(self, key: str) -> bool:
        """Watch it no more, and forget what of it was not read yet. False: it was not watched."""
        registration = self._watched.pop(key, None)
        if registration is None:
            return False
        registration.watched.watchers.discard(registration)
        self._noted.pop(registration, None)
        self._ready.pop(registration, None)
        return True

    def note(self, registration: Registration) -> None:
        """Remember to look at it. Whoever reads is told for the first one only: looking empties the list."""
        first = not self._noted
        self._noted[registration] = None
        if first:
            self.on_changed()

    def ready(self) -> bool:
        """Tell whether there is an event to read."""
        self._look()
        while self._ready:
            oldest = next(iter(self._ready))
            if oldest.look():
                return True
            del self._ready[oldest]
        return False

    def take(self) -> Iterator[tuple[Registration, int]]:
        """Yield the events there are, the oldest first; each is taken as it is yielded."""
        while self.ready():
            oldest = next(iter(self._ready))
            del self._ready[oldest]
            events, oldest.pending = oldest.pending, 0
            yield oldest, events

    def close(self) -> None:
        """Watch nothing any more."""
        for key in tuple(self._watched):
            self.remove(key)

    def _look(self) -> None:
        # Each note goes as it is looked at: a conversation that fails must not take the others' with it.
        for registration in tuple(self._noted):
            if self._noted.pop(registration, self) is None and registration.look():
                self._ready[registration] = None
