"""The event queue: edges made of levels, one entry per watched conversation.

    conversation ── changed, used ──> Registration is marked, no more       "look again" to the reader of the queue
    read, fevent ── look ──> what is true now, and was not reported since the last read or write  ──> reported once

As in Redox, an event is reported once when it becomes true, and once after each read or write that leaves it true.
Unlike there (each is a fault of Redox's kernel or of its smolnetd):

* a read checks each event again, and does not report what is no longer true;
* the events of one conversation are one entry, so the queue is never longer than the list of what is watched;
* a second registration replaces the first, `none` removes it, and the end of conversation or queue leaves nothing;
* errors and the end of both directions are reported with any interest, as poll(2) does.

The notation of registrations and events is in notation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from schemefs.no_callback import no_callback
from schemefs.scheme import Event

if TYPE_CHECKING:
    from schemefs.scheme import Watchable
    from schemefs.shares import Share

SLICE: Final = 250  # registrations: 1 ms
ALWAYS = Event.ERR | Event.HUP


class Registration:
    """One conversation that one queue watches. Satisfies `Watcher`."""

    __slots__ = ("_queue", "cookie", "interest", "key", "pending", "rearmed", "reported", "watched")

    def __init__(self, queue: Queue, key: str, watched: Watchable) -> None:
        self._queue = queue
        self.key = key  # `tcp/3`, or the descriptor in Redox's records
        self.watched = watched
        self.interest = 0
        self.cookie = 0  # Redox's `data`: returned with each event
        self.reported = 0  # events that were true at the last look: read already, or pending
        self.pending = 0  # events to read
        self.rearmed = 0  # events to report again, because of a read or write since the last look

    def changed(self) -> None:
        """Have the queue look again."""
        self._queue.mark(self)

    def used(self, events: int) -> None:
        """Report again what stays true after this read or write; an error, too."""
        self.rearmed |= events | ALWAYS
        self._queue.mark(self)

    def ended(self) -> None:
        """Stop watching: the conversation has ended."""
        self._queue.remove(self.key)

    def look(self) -> bool:
        """Update `pending`; return whether there is an event to read."""
        true = self.watched.fevent(self.interest)
        self.pending = (self.pending | (true & ~(self.reported & ~self.rearmed))) & true
        self.reported = true
        self.rearmed = 0
        return self.pending != 0


class Queue:
    """What one open of `event/queue` or `event/raw` watches. Each watch is one of *uid*'s share.

    The work is done in slices of SLICE registrations: *later* must have `go_on` called soon, after other callers had
    their turns.
    """

    def __init__(self, share: Share, uid: int, later: Callable[[], None] = no_callback) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self._share = share
        self._uid = uid
        self._later = later
        self._is_closed = False
        self._watched: dict[str, Registration] = {}
        self._marked: dict[Registration, None] = {}  # to look at, in the order of their changes
        self._ready: dict[Registration, None] = {}  # with events to read, the oldest first

    def __len__(self) -> int:
        """Return how many conversations are watched."""
        return len(self._watched)

    def watch(self, key: str, watched: Watchable, interest: int, cookie: int = 0) -> None:
        """Report *interest* in *watched* from now on, first what is true already. ENOSPC: too many watches."""
        if not self.remove(key):
            self._share.require(self._uid)
        self._share.take(self._uid)
        registration = self._watched[key] = Registration(self, key, watched)
        registration.interest = interest | ALWAYS
        registration.cookie = cookie
        watched.watchers.add(registration)
        self.mark(registration)

    def remove(self, key: str) -> bool:
        """Stop watching, and drop unread events. False: it was not watched."""
        registration = self._watched.pop(key, None)
        if registration is None:
            return False
        self._share.give_back(self._uid)
        registration.watched.watchers.discard(registration)
        self._marked.pop(registration, None)
        self._ready.pop(registration, None)
        return True

    def mark(self, registration: Registration) -> None:
        """Look at it at the next read or poll. Only the first mark wakes the reader: a look empties the list."""
        first = not self._marked
        self._marked[registration] = None
        if first:
            self.on_changed()

    def ready(self) -> bool:
        """Return whether there is an event to read, as far as one slice of looks shows: the next follows soon."""
        self._look()
        return self._oldest() is not None

    def _oldest(self) -> Registration | None:
        """Return the first registration with an event that is still true."""
        for _ in range(min(SLICE, len(self._ready))):
            oldest = next(iter(self._ready))
            if oldest.look():
                return oldest
            del self._ready[oldest]
        if self._ready:
            self._later()
        return None

    def take(self) -> Iterator[tuple[Registration, int]]:
        """Yield at most SLICE events, the oldest first; each is removed as it is yielded."""
        self._look()
        for _ in range(SLICE):
            oldest = self._oldest()
            if oldest is None:
                return
            del self._ready[oldest]
            events, oldest.pending = oldest.pending, 0
            yield oldest, events

    def close(self) -> None:
        """Stop watching everything, the first slice at once."""
        self._is_closed = True
        self.on_changed = no_callback
        self.go_on()

    def go_on(self) -> None:
        """Do the next slice: of what is left to remove, or of the looks that a waiting reader is to know of."""
        if self._is_closed:
            for key in tuple(islice(self._watched, SLICE)):
                self.remove(key)
            if self._watched:
                self._later()
            else:
                self._later = no_callback
        elif self._marked:
            self.on_changed()

    def _look(self) -> None:
        # Remove each mark before its look: a conversation that raises must not lose the marks of the others.
        for registration in tuple(islice(self._marked, SLICE)):
            if self._marked.pop(registration, self) is None and registration.look():
                self._ready[registration] = None
        if self._marked:
            self._later()
